/** The one machine under both protocols: the same events lead to the same questions and frames. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CounterName } from '../../../src/counters.ts';
import { MAPPED_V4 } from '../../../src/gate/abi.ts';
import type { NeighbourCache } from '../../../src/net/both/neighbour-cache.ts';
import { Fixture } from '../fixture.ts';
import { address } from '../harness.ts';
import { arp, EVERYBODY, HOST, OUR_MAC, parseEthernet } from '../packets.ts';
import {
  advertisement,
  groupMac,
  HOST6,
  ipv6Choices,
  macOption,
  parseIcmp6,
  solicited6,
  words6,
} from '../packets6.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';

interface Protocol {
  name: string;
  /** The neighbour's address, as an application says it. */
  words: number[];
  /** Longer than a confirmation holds, and shorter. */
  reachableMs: number;
  freshMs: number;
  delayMs: number;
  counters: { unresolved: CounterName; heldReplaced: CounterName };
  cacheOf(f: Fixture): NeighbourCache;
  /** It answers our question. */
  answer(mac: string): Uint8Array;
  /** It tells everybody where it is now. */
  announcement(mac: string): Uint8Array;
  isQuestion(frame: Uint8Array): boolean;
  /** Where a question for everybody goes. */
  everybody: string;
}

const PROTOCOLS: readonly Protocol[] = [
  {
    name: 'arp',
    words: [0, 0, MAPPED_V4, address(HOST)],
    reachableMs: 60_100,
    freshMs: 59_900,
    delayMs: 0,
    counters: { unresolved: 'arpUnresolved', heldReplaced: 'arpHeldReplaced' },
    cacheOf: (f) => f.stack.arp.neighbours,
    answer: (senderMac) => arp({ operation: 2, senderMac, targetMac: OUR_MAC }, { to: OUR_MAC }),
    announcement: (senderMac) => arp({ senderMac, target: HOST }),
    isQuestion: (frame) => parseEthernet(frame).type === 0x0806,
    everybody: EVERYBODY,
  },
  {
    name: 'ndp',
    words: words6(HOST6),
    // of the harness's secret: (128 + 0x67) / 256 of 30 s
    reachableMs: 27_200,
    freshMs: 26_900,
    delayMs: 5000,
    counters: { unresolved: 'ndpUnresolved', heldReplaced: 'ndpHeldReplaced' },
    cacheOf: (f) => f.stack.discovery.ndp.neighbours,
    answer: (mac) => advertisement(HOST6, 0x60, {}, macOption(2, mac)),
    announcement: (mac) => advertisement(HOST6, 0x20, {}, macOption(2, mac)),
    isQuestion: (frame) => frame[20] === 58 && parseIcmp6(frame).icmpType === 135,
    everybody: groupMac(solicited6(HOST6)),
  },
];

/** One neighbour and what happens to it; each event says what was sent meanwhile, in letters. */
class Neighbour {
  readonly f = new Fixture(ipv6Choices());
  readonly #protocol: Protocol;
  readonly #address: number;

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
    const [w0, w1, w2, w3] = protocol.words as [number, number, number, number];
    this.#address = this.f.stack.ip.peerOf(w0, w1, w2, w3);
  }

  /** A frame wants to go there. */
  use(): void {
    const { udp } = this.f.stack;
    const socket = udp.bind(0, 0, 1);
    udp.send(socket, 0, 16, this.#address, 9);
    udp.close(socket);
  }

  /** A stale neighbour is used, and has had the time to confirm itself. */
  useLate(): void {
    this.use();
    this.grace();
  }

  grace(): void {
    if (this.#protocol.delayMs > 0) this.pass(this.#protocol.delayMs + 1);
  }

  answerA = (): void => this.f.deliver(this.#protocol.answer(A));
  answerB = (): void => this.f.deliver(this.#protocol.answer(B));
  announceA = (): void => this.f.deliver(this.#protocol.announcement(A));

  announceB(): void {
    this.f.deliver(this.#protocol.announcement(B));
    this.grace();
  }

  doubt(): void {
    const { ip } = this.f.stack;
    ip.doubt(this.#address, ip.neighbourFor(this.#address));
  }

  second = (): void => this.pass(1001);
  fresh = (): void => this.pass(this.#protocol.freshMs);
  aWhile = (): void => this.pass(this.#protocol.reachableMs);
  fiveMinutes = (): void => this.pass(300_100);

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 50) this.f.pass(Math.min(left, 50));
  }

  /** `ask` to everybody, `probe` and `data` to A or B; probes first. */
  sent(): string {
    const { isQuestion, everybody } = this.#protocol;
    const names: Record<string, string> = { [A]: 'A', [B]: 'B' };
    const kinds = this.f.sent().map((frame) => {
      const { to } = parseEthernet(frame);
      if (!isQuestion(frame)) return `data ${names[to] ?? to}`;
      return to === everybody ? 'ask' : `probe ${names[to] ?? to}`;
    });
    return kinds.sort().reverse().join(', ');
  }

  /** 1 as long as it has an entry. */
  get entries(): number {
    return this.#protocol.cacheOf(this.f).count;
  }
}

type Event =
  | 'use'
  | 'useLate'
  | 'answerA'
  | 'answerB'
  | 'announceA'
  | 'announceB'
  | 'doubt'
  | 'second'
  | 'fresh'
  | 'aWhile'
  | 'fiveMinutes';

interface Course {
  name: string;
  events: [Event, string][];
  /** At the end: whether it is still known, how often TCP was told, frames lost. */
  isKnown: boolean;
  failed?: number;
  unresolved?: number;
  heldReplaced?: number;
}

/** Asked and answered. */
const MET: [Event, string][] = [
  ['use', 'ask'],
  ['answerA', 'data A'],
];
const STALE: [Event, string][] = [...MET, ['aWhile', '']];
const PROBED: [Event, string][] = [...STALE, ['useLate', 'probe A, data A']];
const times = (count: number, text: string): string => Array(count).fill(text).join(', ');

const COURSES: readonly Course[] = [
  {
    name: 'incomplete_answer_sendsWhatWasHeld',
    events: [
      ['use', 'ask'],
      ['use', ''],
      ['answerA', 'data A, data A'],
      ['use', 'data A'],
    ],
    isKnown: true,
  },
  {
    name: 'incomplete_moreThanEightFrames_holdsTheNewest',
    events: [['use', 'ask'], ...Array(9).fill(['use', '']), ['answerA', times(8, 'data A')]],
    isKnown: true,
    heldReplaced: 2,
  },
  {
    name: 'incomplete_noAnswer_asksThreeTimesAndFailsOnce',
    events: [
      ['use', 'ask'],
      ['second', 'ask'],
      ['second', 'ask'],
      ['second', ''],
      ['second', ''],
    ],
    isKnown: false,
    failed: 1,
    unresolved: 1,
  },
  {
    name: 'failed_use_asksAnew',
    events: [
      ['use', 'ask'],
      ['second', 'ask'],
      ['second', 'ask'],
      ['second', ''],
      ['use', 'ask'],
      ['answerB', 'data B'],
    ],
    isKnown: true,
    failed: 1,
    unresolved: 1,
  },
  {
    name: 'incomplete_announcement_isUsedButProvesNothing',
    events: [
      ['use', 'ask'],
      ['announceB', 'probe B, data B'],
      ['answerB', ''],
      ['use', 'data B'],
      ['second', ''],
    ],
    isKnown: true,
  },
  {
    name: 'unknown_answerOrAnnouncement_isNotLearnt',
    events: [
      ['answerA', ''],
      ['announceA', ''],
    ],
    isKnown: false,
  },
  {
    name: 'reachable_fresh_asksNobody',
    events: [...MET, ['fresh', ''], ['useLate', 'data A']],
    isKnown: true,
  },
  {
    name: 'reachable_answer_countsAnew',
    events: [...MET, ['fresh', ''], ['answerA', ''], ['fresh', ''], ['use', 'data A']],
    isKnown: true,
  },
  {
    name: 'reachable_announcementOfTheSame_doesNotCountAnew',
    events: [
      ...MET,
      ['fresh', ''],
      ['announceA', ''],
      ['second', ''],
      ['useLate', 'probe A, data A'],
    ],
    isKnown: true,
  },
  {
    name: 'reachable_announcementOfAnother_isUsedAndProbed',
    events: [...MET, ['announceB', ''], ['useLate', 'probe B, data B']],
    isKnown: true,
  },
  {
    name: 'reachable_answerOfAnother_isBelieved',
    events: [...MET, ['answerB', ''], ['useLate', 'data B']],
    isKnown: true,
  },
  {
    name: 'reachable_doubtedAtOnce_isNotProbed',
    events: [...MET, ['doubt', ''], ['useLate', 'data A']],
    isKnown: true,
  },
  {
    name: 'reachable_doubtedLater_isProbed',
    events: [...MET, ['second', ''], ['doubt', ''], ['doubt', ''], ['useLate', 'probe A, data A']],
    isKnown: true,
  },
  {
    name: 'stale_used_isProbedAndNothingWaits',
    events: [...PROBED, ['use', 'data A'], ['answerA', ''], ['second', ''], ['use', 'data A']],
    isKnown: true,
  },
  {
    name: 'stale_doubted_staysStale',
    events: [...STALE, ['doubt', ''], ['useLate', 'probe A, data A']],
    isKnown: true,
  },
  {
    name: 'stale_unused_isForgottenUnasked',
    events: [...STALE, ['fiveMinutes', '']],
    isKnown: false,
  },
  {
    name: 'probe_answerOfAnother_isBelieved',
    events: [...PROBED, ['answerB', ''], ['second', ''], ['use', 'data B']],
    isKnown: true,
  },
  {
    name: 'probe_noAnswer_isForgotten_andFlowsFindOutThemselves',
    events: [
      ...PROBED,
      ['second', 'probe A'],
      ['second', 'probe A'],
      ['second', ''],
      ['use', 'ask'],
      ['answerB', 'data B'],
    ],
    isKnown: true,
  },
];

for (const protocol of PROTOCOLS) {
  for (const course of COURSES) {
    test(`${protocol.name}_${course.name}`, () => {
      const neighbour = new Neighbour(protocol);
      const happened = course.events.map(([event]): [Event, string] => {
        neighbour[event]();
        return [event, neighbour.sent()];
      });
      assert.deepEqual(happened, course.events);
      const { f } = neighbour;
      const counted = f.counted();
      assert.deepEqual(
        {
          isKnown: neighbour.entries === 1,
          failed: f.tcp.failed.length,
          unresolved: counted[protocol.counters.unresolved] ?? 0,
          heldReplaced: counted[protocol.counters.heldReplaced] ?? 0,
        },
        {
          isKnown: course.isKnown,
          failed: course.failed ?? 0,
          unresolved: course.unresolved ?? 0,
          heldReplaced: course.heldReplaced ?? 0,
        },
      );
      f.close();
    });
  }
}
