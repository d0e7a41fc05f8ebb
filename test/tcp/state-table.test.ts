/**
 * Every state x every kind of segment, against the table in state-table.ts.
 *
 * - A flow is brought into its state by segments and calls as in life, gets one segment, and what
 *   it answers within 50 ms, the state it is in then, what the application was told and how far
 *   RCV.NXT has moved are compared.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import { STATE, TCB } from '../../src/tcp/tcb.ts';
import type { Host } from './host.ts';
import { type Fields, Peer, type Segment } from './peer.ts';
import {
  ACKS,
  type Ack,
  type Answer,
  beginOf,
  type Case,
  DATA,
  FLAGS,
  OPTIONS,
  type Options,
  POSITIONS,
  type Position,
  type Rule,
  TABLE,
} from './state-table.ts';

/** Bytes that the host has in flight, where its state allows any. */
const FLIGHT = 100;
const STATE_NAMES = Object.fromEntries(Object.entries(STATE).map(([name, value]) => [value, name]));
const DEAD_NAMES = Object.fromEntries(Object.entries(DEAD).map(([name, value]) => [value, name]));

const half = (p: Peer): void => {
  assert.equal(p.host.tcp.shutdown(p.handle), CODE.OK);
};
const full = (p: Peer): void => {
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
};

/** What the peer's SYN offers, so that it is agreed. */
const SYN: Fields = { mss: 1460 };
const SYN_WITH_OPTIONS: Fields = { mss: 1460, sack: true, ts: [1000, 0] };
const offers = new WeakMap<Peer, Fields>();
const synOf = (p: Peer): Fields => offers.get(p) ?? SYN;

/** Data has come and gone, so that old sequence numbers are old data. */
function established(p: Peer): void {
  p.open(synOf(p));
  p.send('PA', { data: new Uint8Array(50) });
  assert.equal(p.host.tcp.recvDone(p.handle, 50), CODE.OK);
  p.pass(50).replies();
}

/** The peer acknowledges all that was sent. */
function acknowledged(p: Peer): void {
  p.turn().replies();
  p.send('A').replies();
}

/** How a flow gets into each state. */
const WAYS: Record<string, (p: Peer) => void> = {
  CLOSED: (p) => void p.host.tcp.unlisten(p.host.tcp.listen(1, 0, p.port, 64, 0)),
  LISTEN: (p) => void p.host.tcp.listen(1, 0, p.port, 64, 0),
  SYN_SENT: (p) => connect(p),
  SYN_RECEIVED: (p) => {
    p.host.tcp.listen(1, 0, p.port, 64, 0);
    syn(p);
  },
  SYN_RECEIVED_ACTIVE: (p) => {
    connect(p);
    syn(p);
  },
  ESTABLISHED: (p) => {
    established(p);
    p.write(0, FLIGHT).replies();
  },
  ESTABLISHED_NO_WINDOW: (p) => {
    established(p);
    p.write(0, FLIGHT).replies();
    for (let room = numbersOf(p).window; room > 0; room = numbersOf(p).window) {
      p.deliver('A', { ack: 1, data: new Uint8Array(Math.min(room, 1460)) });
    }
    p.pass(50).replies();
  },
  FIN_WAIT_1: (p) => {
    established(p);
    p.write(0, FLIGHT);
    half(p);
    p.turn().replies();
  },
  FIN_WAIT_1_CLOSED: (p) => {
    established(p);
    p.write(0, FLIGHT);
    full(p);
    p.turn().replies();
  },
  FIN_WAIT_2: (p) => {
    established(p);
    half(p);
    acknowledged(p);
  },
  FIN_WAIT_2_CLOSED: (p) => {
    established(p);
    full(p);
    acknowledged(p);
  },
  CLOSE_WAIT: (p) => {
    established(p);
    p.send('FA').replies();
    p.write(0, FLIGHT).replies();
  },
  CLOSING: (p) => {
    established(p);
    p.write(0, FLIGHT);
    half(p);
    p.turn().replies();
    p.send('FA', { ack: 1 }).replies();
  },
  LAST_ACK: (p) => {
    established(p);
    p.send('FA').replies();
    p.write(0, FLIGHT);
    full(p);
    p.turn().replies();
  },
  TIME_WAIT: (p) => {
    established(p);
    full(p);
    p.turn().replies();
    p.send('FA').replies();
  },
};

function syn(p: Peer): void {
  p.send('S', synOf(p)).replies();
  p.stamps = synOf(p).ts !== undefined;
}

/** A connect whose SYN is out. */
function connect(p: Peer): void {
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  assert.ok(p.handle > 0, `connect: ${p.handle}`);
  p.turn().replies();
}

const STARTS: Record<string, string> = {
  CLOSED: 'closed', LISTEN: 'closed', SYN_SENT: 'synSent', SYN_RECEIVED: 'synReceived',
  SYN_RECEIVED_ACTIVE: 'synReceived', ESTABLISHED: 'established',
  ESTABLISHED_NO_WINDOW: 'established', FIN_WAIT_1: 'finWait1', FIN_WAIT_1_CLOSED: 'finWait1',
  FIN_WAIT_2: 'finWait2', FIN_WAIT_2_CLOSED: 'finWait2', CLOSE_WAIT: 'closeWait',
  CLOSING: 'closing', LAST_ACK: 'lastAck', TIME_WAIT: 'timeWait',
}; // biome-ignore format: a list

/**
 * Before a flow has sent anything, or where nothing is in flight, acknowledgements have fewer
 * kinds.
 */
function acksOf(state: string): readonly Ack[] {
  if (state === 'CLOSED' || state === 'LISTEN') return ['una', 'future'];
  if (state.startsWith('SYN')) return ['ancient', 'old', 'una', 'all', 'future'];
  if (state.startsWith('FIN_WAIT_2') || state === 'TIME_WAIT') {
    return ['ancient', 'old', 'all', 'future'];
  }
  if (state === 'ESTABLISHED_NO_WINDOW') return ['old', 'all', 'future']; // each costs 65 KB
  return ACKS;
}

/** Before a handshake nothing is agreed. */
function optionsOf(state: string): readonly Options[] {
  const isBefore = state === 'CLOSED' || state === 'LISTEN' || state === 'SYN_SENT';
  return isBefore ? ['none', 'added'] : OPTIONS;
}

/** The options of the one segment. */
function optionFields(kind: Options, n: Numbers): Fields {
  if (kind === 'missing') return { options: [] };
  if (kind !== 'added') return {};
  return { ts: [0x7000_0000, 12345], blocks: [[n.una, n.max]], mss: 100, scale: 3, sack: true };
}

function positionsOf(state: string): readonly Position[] {
  if (state === 'CLOSED' || state === 'LISTEN' || state === 'SYN_SENT') return ['next', 'beyond'];
  if (state === 'ESTABLISHED_NO_WINDOW') return ['before', 'next', 'beyond'];
  return POSITIONS;
}

function rowOf(p: Peer): number {
  const ports = (p.sourcePort << 16) | p.port;
  return p.host.tcp.flows.table.find(0x0a4d0001, ports, p.host.address);
}

/** The numbers of a flow, relative to the peer's and the host's SYN. */
interface Numbers {
  next: number;
  window: number;
  una: number;
  max: number;
  maxWnd: number;
  /** RCV.NXT means something already. */
  isOpen: boolean;
}

function numbersOf(p: Peer): Numbers {
  const row = rowOf(p);
  if (row < 0) return { next: 0, window: 1000, una: 1000, max: 1100, maxWnd: 1000, isOpen: false };
  const at = (field: keyof typeof TCB): number => p.host.env.arena.i32[row + TCB[field]]!;
  if (at('state') === STATE.synReceived) p.irs = at('iss');
  return {
    next: (at('rcvNxt') - p.iss) | 0,
    window: (at('rcvEdge') - at('rcvNxt')) | 0,
    una: (at('sndUna') - p.irs) | 0,
    max: (at('sndMax') - p.irs) | 0,
    maxWnd: at('maxWnd'),
    isOpen: at('state') !== STATE.synSent,
  };
}

function ackOf(kind: Ack | 'none', n: Numbers): number {
  const acks = {
    none: 0,
    ancient: n.una - n.maxWnd - 1,
    old: n.una - 1,
    una: n.una,
    part: n.una + FLIGHT / 2,
    all: n.max,
    future: n.max + 1,
  };
  return acks[kind];
}

/** Which of the table's replies a segment is; its text when it is none of them. */
function kindOf(s: Segment, n: Numbers, seq: number, ack: number): string {
  if (s.flags === 'A' && s.seq === n.max && s.length === 0) return 'ack';
  if (s.flags === 'SA') return 'synAck';
  if (s.flags === 'R' && s.seq === ack) return 'reset';
  if (s.flags === 'RA' && s.ack === n.next && s.seq === n.max) return 'abort';
  return `${s.flags} ${s.seq}(${s.length}) ack ${s.ack}, asked at ${seq}`;
}

/** What happened, in the table's words. */
function observe(p: Peer, c: Case, n: Numbers, options: Options): Answer {
  const seq = n.next + c.at;
  const ack = ackOf(c.ack, n);
  p.host.takeEvents();
  p.send(c.flags, { ...optionFields(options, n), seq, ack, data: new Uint8Array(c.data) }).pass(50);
  const size = c.data + (c.flags.includes('S') ? 1 : 0) + (c.flags.includes('F') ? 1 : 0);
  const kinds = p.replies().map((s) => {
    const isRefusal = s.flags === 'RA' && ((s.seq + p.irs) | 0) === 0 && s.ack === seq + size;
    return isRefusal ? 'refusal' : kindOf(s, n, seq, ack);
  });
  const dead = p.host.takeEvents().find(({ kind }) => kind === EVENT.dead);
  const row = rowOf(p);
  const { i32 } = p.host.env.arena;
  const moved = row < 0 ? 0 : ((i32[row + TCB.rcvNxt]! - p.iss) | 0) - n.next;
  const state = row < 0 ? 'closed' : STATE_NAMES[i32[row + TCB.state]!]!;
  return {
    reply: (kinds.length === 0 ? 'nothing' : kinds.join(' and ')) as Answer['reply'],
    state,
    ...(dead === undefined ? {} : { dead: DEAD_NAMES[dead.words[0]!] as 'closed' }),
    ...(moved === 0 || kinds.includes('synAck') || !n.isOpen ? {} : { taken: moved }),
  };
}

function expected(rules: readonly Rule[], c: Case): [Answer, Rule] {
  const rule = rules.find((candidate) => candidate.when(c));
  assert.ok(rule, `no rule for ${JSON.stringify(c)}`);
  const { taken = 0, ...rest } = typeof rule.answer === 'function' ? rule.answer(c) : rule.answer;
  return [taken === 0 ? rest : { ...rest, taken }, rule];
}

/** Ends whatever is left of a case: an RST where it must be heard. */
function end(p: Peer): void {
  const row = rowOf(p);
  const { i32 } = p.host.env.arena;
  if (row >= 0 && i32[row + TCB.state] === STATE.synSent) p.host.tcp.abort(p.handle);
  else if (row >= 0) p.send('R', { seq: (i32[row + TCB.rcvNxt]! - p.iss) | 0 });
  p.turn().turn();
  p.host.env.nic.takeSent();
  p.host.takeEvents();
}

let cases = 0;
const used = new Set<Rule>();

/** One segment against a flow of its own. -> what went otherwise, or ''. */
function one(p: Peer, state: string, options: Options, kind: Omit<Case, 'at' | 'window'>): string {
  p.host.tcp.unlisten(p.host.tcp.listen(1, 0, p.port, 64, 0));
  const isAgreed = options === 'agreed' || options === 'missing';
  offers.set(p, isAgreed ? SYN_WITH_OPTIONS : SYN);
  WAYS[state]!(p);
  const n = numbersOf(p);
  const row = rowOf(p);
  const start = row < 0 ? 'closed' : STATE_NAMES[p.host.env.arena.i32[row + TCB.state]!];
  assert.equal(start, STARTS[state], 'the way leads there');
  const c: Case = { ...kind, at: beginOf(kind.position, n.window), window: n.window };
  const [answer, rule] = expected(TABLE[state]!, c);
  used.add(rule);
  cases += 1;
  const seen = observe(p, c, n, options);
  end(p);
  const text = (a: Answer): string =>
    `${a.reply}, ${a.state}, took ${a.taken ?? 0}${a.dead ? `, dead: ${a.dead}` : ''}`;
  if (text(seen) === text(answer)) return '';
  const what = `<${c.flags}> ${c.position}, ack ${c.ack}, ${c.data} bytes, options ${options}`;
  return `${what}: ${text(seen)}; expected ${text(answer)} (${rule.by})`;
}

/** All segments with these flags. -> what went otherwise. */
function run(host: Host, state: string, flags: string, firstPort: number): string[] {
  const wrong: string[] = [];
  const kinds: readonly (Ack | 'none')[] = flags.includes('A') ? acksOf(state) : ['none'];
  let port = firstPort;
  for (const position of positionsOf(state)) {
    for (const ack of kinds) {
      for (const data of DATA) {
        for (const options of optionsOf(state)) {
          const p = new Peer({ host, sourcePort: port, signed: (port & 2) === 0 });
          port += 1;
          wrong.push(one(p, state, options, { flags, position, ack, data }));
        }
      }
    }
  }
  return wrong.filter((text) => text !== '');
}

for (const state of Object.keys(TABLE)) {
  test(`${state}_everySegment_answeredByTheRfc`, () => {
    const first = new Peer();
    const { host } = first;
    const wrong: string[] = [];
    let port = 2000;
    for (const flags of FLAGS) {
      wrong.push(...run(host, state, flags, port));
      port += 400;
    }
    host.close();
    assert.deepEqual(wrong, []);
  });
}

test('table_everyRule_isUsed', () => {
  assert.ok(cases > 45_000, `${cases} cases`);
  const texts = new Set([...used].map(({ by }) => by));
  const unused = Object.entries(TABLE).flatMap(([state, rules]) =>
    rules
      .filter(
        (rule) =>
          !texts.has(rule.by) ||
          (rule.deviates && !used.has(rule) && !rule.by.includes('needs no room')),
      )
      .map((rule) => `${state}: ${rule.by}`),
  );
  assert.deepEqual(unused, []);
});

after(() => console.log(`${cases} cases, ${used.size} rules`));
