/**
 * What TCP answers to any segment in any state: RFC 9293 3.10.7 as a table, first rule that holds.
 *
 * - `by` names the step of RFC 9293 3.10.7 (3.10.7.1 CLOSED, .2 LISTEN, .3 SYN-SENT, .4 the rest:
 *   "1st" check sequence number ... "8th" check the FIN bit), or the RFC that has changed it: 5961
 *   (blind attacks), 1337 (TIME-WAIT), 6191.
 * - `deviates` says where we do something else than the letter, and why; the test counts that each
 *   such rule is used.
 * - A segment is described by where it begins (`at`, relative to RCV.NXT), not by numbers: the test
 *   has them begin below the wrap.
 * - Nothing here is shared with src/: the acceptance test is the RFC's own four lines.
 *
 * Used by state-table.test.ts. Read first: RFC 9293 3.10.7.
 */

export const POSITIONS = [
  'old',
  'straddles',
  'before',
  'next',
  'inside',
  'last',
  'edge',
  'beyond',
] as const;
export const ACKS = ['ancient', 'old', 'una', 'part', 'all', 'future'] as const;
/** Every combination that anybody sends, and some that nobody should. */
export const FLAGS = [
  '', 'U', 'PU', 'F', 'FU', 'S', 'SF', 'SU', 'R', 'SR',
  'A', 'PA', 'UA', 'FA', 'FPA', 'FUA', 'SA', 'SFA', 'RA', 'SRA', 'FRA',
] as const; // biome-ignore format: without ACK, with ACK
export const DATA = [0, 10] as const;
/**
 * Options: none agreed and none there; none agreed, and each that there is; timestamps and SACK
 * agreed, and there; agreed, and missing. They change no answer: whatever else a segment is, it is
 * judged by its flags and numbers (RFC 9293 3.1, 3.10.7).
 */
export const OPTIONS = ['none', 'added', 'agreed', 'missing'] as const;
/** A payload that is wholly or partly there already. */
const OLD = -20;
const STRADDLES = -5;

export type Position = (typeof POSITIONS)[number];
export type Ack = (typeof ACKS)[number];
export type Options = (typeof OPTIONS)[number];

export interface Case {
  readonly flags: string;
  readonly position: Position;
  /**
   * Of what: 'ancient' is beyond the window ever offered, 'old' before SND.UNA, 'future' beyond
   * SND.MAX.
   */
  readonly ack: Ack | 'none';
  readonly data: number;
  /** SEG.SEQ - RCV.NXT, and RCV.WND. */
  readonly at: number;
  readonly window: number;
}

/**
 * 'reset': <SEQ=SEG.ACK><RST>; 'refusal': <SEQ=0><ACK=SEG.SEQ+SEG.LEN><RST,ACK>; 'abort':
 * <SEQ=SND.NXT><ACK=RCV.NXT><RST,ACK>.
 */
export type Reply = 'nothing' | 'ack' | 'synAck' | 'reset' | 'refusal' | 'abort';

export interface Answer {
  readonly reply: Reply;
  /** The state afterwards, `closed` for none. */
  readonly state: string;
  /** Why the flow died, when the application is told. */
  readonly dead?: 'reset' | 'refused' | 'closed' | 'aborted';
  /** How far RCV.NXT moves. */
  readonly taken?: number;
}

export interface Rule {
  readonly by: string;
  readonly when: (c: Case) => boolean;
  readonly answer: Answer | ((c: Case) => Answer);
  readonly deviates?: string;
}

/** Where a position begins, relative to RCV.NXT. */
export function beginOf(position: Position, window: number): number {
  const begin: Record<Position, number> = {
    old: OLD,
    straddles: STRADDLES,
    before: -1,
    next: 0,
    inside: 20,
    last: window - 1,
    edge: window,
    beyond: window + 1000,
  };
  return begin[position];
}

// --- what the rules ask ---

const has = (letter: string) => (c: Case) => c.flags.includes(letter);
const lacks = (letter: string) => (c: Case) => !c.flags.includes(letter);
const all =
  (...tests: ((c: Case) => boolean)[]) =>
  (c: Case) =>
    tests.every((test) => test(c));
const always = () => true;
const acks =
  (...kinds: Ack[]) =>
  (c: Case) =>
    kinds.includes(c.ack as Ack);

const length = (c: Case): number => c.data + (has('S')(c) ? 1 : 0) + (has('F')(c) ? 1 : 0);

/** RFC 9293 3.10.7.4, "First, check sequence number": the four lines of its table. */
export function isAcceptable(c: Case): boolean {
  const inWindow = (at: number): boolean => at >= 0 && at < c.window;
  const size = length(c);
  if (size === 0 && c.window === 0) return c.at === 0;
  if (size === 0) return inWindow(c.at);
  if (c.window === 0) return false;
  return inWindow(c.at) || inWindow(c.at + size - 1);
}

/**
 * "If the RCV.WND is zero, ... special allowance should be made to accept valid ACKs, URGs, and
 * RSTs."
 */
const isAllowance = (c: Case): boolean => c.window === 0 && c.at === 0 && length(c) > 0;
/**
 * The table would refuse what stands at RCV.NXT + RCV.WND. That is SND.NXT of a peer that has
 * filled our window, and so where its acknowledgements stand: an allowance of our own.
 */
const isFull = (c: Case): boolean =>
  length(c) === 0 && c.at === c.window && has('A')(c) && lacks('R')(c);
const refused = (c: Case): boolean => !isAcceptable(c) && !isAllowance(c) && !isFull(c);
/** A repetition that acknowledges everything, our FIN too: its acknowledgement counts. */
const isRepetition = (c: Case): boolean =>
  refused(c) && c.at < 0 && lacks('S')(c) && lacks('R')(c) && c.ack === 'all';

/**
 * Payload that is new and has room, when it is in order; and whether the FIN behind it is in order
 * too.
 */
const fresh = (c: Case): number => (c.at > 0 ? 0 : Math.max(0, Math.min(c.at + c.data, c.window)));
const isInOrder = (c: Case): boolean => c.at <= 0;
const hasText = (c: Case): boolean => c.data > 0 || has('F')(c);

const isExactReset = all(has('R'), (c) => c.at === 0);
const isBareProbe = all(lacks('A'), isAllowance, (c) => c.data > 0);

// --- rules that several states share ---

/** Steps one to five of every state behind SYN-SENT; `state` is where it stays. */
function checks(state: string, reset: Answer): Rule[] {
  const stay = (reply: Reply): Answer => ({ reply, state });
  return [
    { by: '1st: not acceptable, RST', when: all(refused, has('R')), answer: stay('nothing') },
    { by: '1st: not acceptable', when: refused, answer: stay('ack') },
    { by: '2nd; RFC 5961 3: RST at RCV.NXT', when: isExactReset, answer: reset },
    { by: 'RFC 5961 3: RST elsewhere in the window', when: has('R'), answer: stay('ack') },
    { by: '4th; RFC 5961 4: SYN in the window', when: has('S'), answer: stay('ack') },
    { by: '5th: no ACK, a probe of the closed window', when: isBareProbe, answer: stay('ack') },
    { by: '5th: no ACK', when: lacks('A'), answer: stay('nothing') },
  ];
}

const RESET: Answer = { reply: 'nothing', state: 'closed', dead: 'reset' };
const CLOSED: Answer = { reply: 'nothing', state: 'closed', dead: 'closed' };

/** What our FIN's acknowledgement does where it comes in a segment that is wholly old. */
const repetition = (answer: Answer): Rule => ({
  by: '1st: wholly old, and acknowledges our FIN',
  when: isRepetition,
  answer,
  deviates:
    'dropped by the letter; but its acknowledgement is true, and CLOSING would wait for our FIN ' +
    'to be sent again',
});

/** RFC 5961 5.2: acknowledges what was never sent, or what nobody can still be sending. */
const badAck = (state: string): Rule => ({
  by: '5th; RFC 5961 5: unacceptable acknowledgement',
  when: acks('future', 'ancient'),
  answer: { reply: 'ack', state },
});

/** Seventh and eighth, where data is taken: `fin` is the state behind a FIN in order. */
function text(state: string, fin: string): Rule[] {
  const isDead = fin === 'timeWait';
  return [
    { by: '7th: nothing in it', when: (c) => !hasText(c), answer: { reply: 'nothing', state } },
    {
      by: '8th: a FIN alone needs no room',
      when: all(isAllowance, (c) => c.data === 0),
      answer: { reply: 'ack', state: fin, taken: 1, ...(isDead ? { dead: 'closed' } : {}) },
      deviates:
        'the 1st step would refuse it: the peer of a reader that stands still could not end (Linux does so too)',
    },
    { by: '7th: the window is closed', when: isAllowance, answer: { reply: 'ack', state } },
    { by: '7th: out of order, kept', when: (c) => !isInOrder(c), answer: { reply: 'ack', state } },
    {
      by: '8th: FIN in order',
      when: has('F'),
      answer: (c) => ({
        ...{ reply: 'ack', state: fin, taken: fresh(c) + 1 },
        ...(isDead ? { dead: 'closed' } : {}),
      }),
    },
    {
      by: '7th: in order',
      when: always,
      answer: (c) => ({ reply: 'ack', state, taken: fresh(c) }),
    },
  ];
}

/**
 * Data for a flow that the application has closed (RFC 9293 3.6.1): the peer must know that it is
 * lost.
 */
function textAfterClose(state: string, fin: string): Rule[] {
  return [
    {
      by: '3.6.1: data after close',
      when: (c) => c.data > 0,
      answer: { reply: 'abort', state: 'closed', dead: 'aborted' },
    },
    ...text(state, fin),
  ];
}

/**
 * "This should not occur since a FIN has been received from the remote side. Ignore the segment
 * text."
 */
const ignoreText = (state: string): Rule => ({
  by: '7th: text behind a FIN is ignored',
  when: always,
  answer: { reply: 'nothing', state },
});

const only = (test: (c: Case) => boolean, rules: Rule[]): Rule[] =>
  rules.map((rule) => ({ ...rule, when: all(test, rule.when) }));
const finAcked = acks('all');

// --- the table ---

const NOT_BACK = 'not back to LISTEN at once, anyone could do that';

const handshake = (isActive: boolean): Rule[] => [
  {
    by: '4th: the SYN once more',
    when: (c) => c.at === -1 && has('S')(c) && lacks('R')(c) && lacks('A')(c),
    answer: { reply: 'synAck', state: 'synReceived' },
    deviates: 'not an ACK (1st) or LISTEN (4th): our SYN-ACK was lost, the peer needs it again',
  },
  {
    by: '3.5, figure 7: the SYN-ACK of a simultaneous open',
    when: (c) => c.at === -1 && has('S')(c) && lacks('R')(c) && c.ack === 'all',
    answer: (c) => ({
      reply: hasText(c) ? 'ack' : 'nothing',
      state: has('F')(c) ? 'closeWait' : 'established',
      taken: c.data + (has('F')(c) ? 1 : 0),
    }),
    deviates: 'the 1st step would refuse it, since it begins before RCV.NXT; figure 7 does not',
  },
  ...checks('synReceived', {
    reply: 'nothing',
    state: 'closed',
    ...(isActive ? { dead: 'refused' } : {}),
  }).map((rule) =>
    rule.by.startsWith('4th') && !isActive
      ? { ...rule, deviates: `passive OPEN: ${NOT_BACK}; RFC 5961 4 instead` }
      : rule,
  ),
  {
    by: '5th: SEG.ACK is not of our SYN',
    when: (c) => c.ack !== 'all',
    answer: { reply: 'reset', state: 'synReceived' },
  },
  ...text('established', 'closeWait'),
];

const badSynAck = all(has('A'), (c) => c.ack !== 'all');
const UNTOUCHED: Answer = { reply: 'nothing', state: 'synSent' };
const REFUSED: Answer = { reply: 'nothing', state: 'closed', dead: 'refused' };
const OPENED: Answer = { reply: 'ack', state: 'established' };

export const TABLE: Readonly<Record<string, readonly Rule[]>> = {
  // 3.10.7.1
  CLOSED: [
    { by: '3.10.7.1: RST', when: has('R'), answer: { reply: 'nothing', state: 'closed' } },
    { by: '3.10.7.1: ACK', when: has('A'), answer: { reply: 'reset', state: 'closed' } },
    { by: '3.10.7.1: no ACK', when: always, answer: { reply: 'refusal', state: 'closed' } },
  ],
  // 3.10.7.2
  LISTEN: [
    { by: '3.10.7.2 1st: RST', when: has('R'), answer: { reply: 'nothing', state: 'closed' } },
    { by: '3.10.7.2 2nd: ACK', when: has('A'), answer: { reply: 'reset', state: 'closed' } },
    {
      by: '3.10.7.2 3rd: SYN and FIN',
      when: all(has('S'), has('F')),
      answer: { reply: 'nothing', state: 'closed' },
      deviates: 'nobody opens so but scanners; every other stack drops it as well',
    },
    { by: '3.10.7.2 3rd: SYN', when: has('S'), answer: { reply: 'synAck', state: 'synReceived' } },
    { by: '3.10.7.2 4th', when: always, answer: { reply: 'nothing', state: 'closed' } },
  ],
  // 3.10.7.3; SND.UNA is ISS, so 'una' acknowledges nothing
  SYN_SENT: [
    { by: '3.10.7.3 1st: bad ACK, RST', when: all(badSynAck, has('R')), answer: UNTOUCHED },
    { by: '3.10.7.3 1st: bad ACK', when: badSynAck, answer: { ...UNTOUCHED, reply: 'reset' } },
    { by: '3.10.7.3 2nd: RST, ACK', when: all(has('R'), has('A')), answer: REFUSED },
    { by: '3.10.7.3 2nd: RST', when: has('R'), answer: UNTOUCHED },
    { by: '3.10.7.3 4th: SYN, ACK', when: all(has('S'), has('A')), answer: OPENED },
    { by: '3.10.7.3 4th: SYN', when: has('S'), answer: { reply: 'synAck', state: 'synReceived' } },
    { by: '3.10.7.3 5th', when: always, answer: UNTOUCHED },
  ],
  // 3.10.7.4
  SYN_RECEIVED: handshake(false),
  SYN_RECEIVED_ACTIVE: handshake(true),
  ESTABLISHED: [
    ...checks('established', RESET),
    badAck('established'),
    ...text('established', 'closeWait'),
  ],
  ESTABLISHED_NO_WINDOW: [
    ...checks('established', RESET),
    badAck('established'),
    ...text('established', 'closeWait'),
  ],
  FIN_WAIT_1: [
    repetition({ reply: 'ack', state: 'finWait2' }),
    ...checks('finWait1', RESET),
    badAck('finWait1'),
    ...only(finAcked, text('finWait2', 'timeWait')),
    ...text('finWait1', 'closing'),
  ],
  FIN_WAIT_1_CLOSED: [
    repetition({ reply: 'ack', state: 'finWait2' }),
    ...checks('finWait1', RESET),
    badAck('finWait1'),
    ...only(finAcked, textAfterClose('finWait2', 'timeWait')),
    ...textAfterClose('finWait1', 'closing'),
  ],
  FIN_WAIT_2: [...checks('finWait2', RESET), badAck('finWait2'), ...text('finWait2', 'timeWait')],
  FIN_WAIT_2_CLOSED: [
    ...checks('finWait2', RESET),
    badAck('finWait2'),
    ...textAfterClose('finWait2', 'timeWait'),
  ],
  CLOSE_WAIT: [
    ...checks('closeWait', RESET),
    badAck('closeWait'),
    ignoreText('closeWait'),
  ], // biome-ignore format: as the others
  CLOSING: [
    repetition({ reply: 'ack', state: 'timeWait', dead: 'closed' }),
    ...checks('closing', RESET),
    badAck('closing'),
    {
      by: '5th: our FIN is acknowledged',
      when: finAcked,
      answer: { reply: 'nothing', state: 'timeWait', dead: 'closed' },
    },
    ignoreText('closing'),
  ],
  LAST_ACK: [
    repetition({ reply: 'ack', state: 'closed', dead: 'closed' }),
    ...checks('lastAck', RESET),
    badAck('lastAck'),
    { by: '5th: our FIN is acknowledged', when: finAcked, answer: CLOSED },
    ignoreText('lastAck'),
  ],
  TIME_WAIT: [
    {
      by: 'RFC 6191 2; 3.6.1: a SYN that is newer opens anew',
      when: all(has('S'), lacks('R'), lacks('A'), lacks('F'), (c) => c.at > 0),
      answer: { reply: 'synAck', state: 'synReceived' },
    },
    ...checks('timeWait', { reply: 'nothing', state: 'timeWait' }).map((rule) =>
      rule.by.startsWith('2nd')
        ? { ...rule, deviates: 'RFC 1337 3 (fix F1): an old RST must not end TIME-WAIT' }
        : rule,
    ),
    badAck('timeWait'),
    ignoreText('timeWait'),
  ],
};
