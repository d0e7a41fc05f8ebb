/**
 * Every kind of frame on every queue reaches the thread that has its flow, and no other: whole ones
 * and fragments, behind tags and extension headers, and in what ICMP errors quote.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { randomFrom, SEED } from '../../arena/property.ts';
import type { Flow } from '../../nic/flow-frames.ts';
import * as v4 from '../packets.ts';
import * as v6 from '../packets6.ts';
import { PORT, Threads } from './threads.ts';

const THREADS = 3;
const QUEUES = [0, 1, 2] as const;
const FLOWS = 8;
const SYN = 2;
const RST = 4;
const TCP = 6;
const UDP = 17;

const half = (value: number): number[] => [(value >> 8) & 255, value & 255];

/** A flow with both ends as text, and the same as the hash wants it. */
interface Case extends Flow {
  readonly source: string;
  readonly is6: boolean;
}

function caseOf(next: () => number, is6: boolean): Case {
  const low = 0x100 + (next() % 0x7e00);
  const source = is6 ? `fd77::${low.toString(16)}` : `10.77.${low >> 8}.${low & 255}`;
  const bytes = (text: string): Uint8Array =>
    Uint8Array.from(is6 ? v6.bytes6(text) : text.split('.').map(Number));
  const local = is6 ? v6.OURS6 : v4.OURS;
  const remotePort = 1024 + (next() % 60_000);
  const ends = { remote: bytes(source), local: bytes(local) };
  return { ...ends, remotePort, localPort: PORT, source, is6 };
}

/** Ports are the flow's; `rest` is what follows them, with the checksum at `checksumAt` of all. */
function transport(flow: Case, protocol: number, rest: number[], checksumAt: number): Uint8Array {
  const bytes = Uint8Array.from([...half(flow.remotePort), ...half(flow.localPort), ...rest]);
  const { source } = flow;
  const v4Sum = (): number =>
    v4.checksum([...flow.remote, ...flow.local, 0, protocol, ...half(bytes.length), ...bytes]);
  const sum = flow.is6 ? v6.checksum6(bytes, protocol, source, v6.OURS6) : v4Sum();
  bytes.set(half(sum || 0xffff), checksumAt);
  return bytes;
}

const segment = (flow: Case, flags: number): Uint8Array =>
  transport(flow, TCP, [0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x40, 0, 0, 0, 0, 0], 16);

const datagram = (flow: Case, data: readonly number[]): Uint8Array =>
  transport(flow, UDP, [...half(8 + data.length), 0, 0, ...data], 6);

function packetFrame(flow: Case, protocol: number, payload: Uint8Array): Uint8Array {
  const { source } = flow;
  return flow.is6
    ? v6.ip6Frame(payload, { source, next: protocol })
    : v4.ipFrame(payload, { source, protocol });
}

function tagged(frame: Uint8Array): Uint8Array {
  return Uint8Array.from([...frame.slice(0, 12), 0x81, 0, 0x60, 0, ...frame.slice(12)]);
}

/** From anybody: of what we have sent to the flow's remote end, nothing reached it. */
function errorFrame(flow: Case): Uint8Array {
  const ports = [...half(flow.localPort), ...half(flow.remotePort), 0, 0, 0, 1, 0, 0, 0, 0];
  if (!flow.is6) {
    const quoted = { source: v4.OURS, destination: flow.source, protocol: TCP };
    const message = v4.icmp(3, 1, 0, v4.ipv4(ports, quoted));
    return v4.ipFrame(message, { protocol: 1, source: '10.77.0.1' });
  }
  const quoted = { source: v6.OURS6, destination: flow.source, next: TCP };
  return v6.icmp6Frame(1, 0, [0, 0, 0, 0, ...v6.ipv6(ports, quoted)]);
}

/** Two pieces of a datagram that an MTU of its own made. */
function pieces(flow: Case, protocol: number, payload: Uint8Array, id: number): Uint8Array[] {
  const { source } = flow;
  const mtu = (flow.is6 ? 48 : 20) + ((payload.length >> 1) & ~7) + 8;
  return flow.is6
    ? v6.fragments6(payload, protocol, id, mtu, { source })
    : v4.fragments(payload, { source, protocol, id: id & 0xffff }, mtu);
}

/** Kinds that are one frame. */
const WHOLE: [string, (flow: Case) => Uint8Array][] = [
  ['syn', (flow) => packetFrame(flow, TCP, segment(flow, SYN))],
  ['datagram', (flow) => packetFrame(flow, UDP, datagram(flow, [1, 2, 3]))],
  ['taggedSyn', (flow) => tagged(packetFrame(flow, TCP, segment(flow, SYN)))],
  ['icmpError', errorFrame],
];

const BEHIND: [string, (flow: Case) => Uint8Array][] = [
  [
    'synBehindOptions',
    (flow) =>
      v4.ipFrame(segment(flow, SYN), {
        ...{ source: flow.source, protocol: TCP, options: [1, 1, 1, 0] },
      }),
  ],
];

const BEHIND6: [string, (flow: Case) => Uint8Array][] = [
  [
    'synBehindExtensionHeaders',
    (flow) => {
      const headers = [...v6.extension(60, []), ...v6.extension(TCP, [])];
      const packet = [...headers, ...segment(flow, SYN)];
      return v6.ip6Frame(packet, { source: flow.source, next: 0 });
    },
  ],
];

/** `arrive` is told the flow and gives it to the threads; then it is its owner's alone. */
function everyOwner(
  is6: boolean,
  rounds: number,
  arrive: (threads: Threads, flow: Case, round: number) => void,
) {
  const threads = new Threads(THREADS, SEED);
  const next = randomFrom(SEED);
  const expected = QUEUES.map(() => 0);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < FLOWS; i++) {
      const flow = caseOf(next, is6);
      expected[threads.ownerOf(flow)]! += 1;
      arrive(threads, flow, round);
      threads.settle();
      assert.deepEqual(threads.outcomes(), expected, `round ${round}, ${flow.source}`);
    }
  }
  assert.ok(Math.min(...expected) > 0, 'every thread has some');
  assert.equal(threads.counted('handedDropped'), 0);
  assert.equal(threads.counted('handedOn'), threads.counted('handedIn'));
  return threads;
}

describe('owners', () => {
  for (const is6 of [false, true]) {
    const version = is6 ? 'ipv6' : 'ipv4';
    for (const [name, frameOf] of [...WHOLE, ...(is6 ? BEHIND6 : BEHIND)]) {
      test(`${version}_${name}OnEveryQueue_reachesItsThread`, () => {
        const threads = everyOwner(is6, THREADS, (all, flow, queue) => {
          all.arrive(queue, frameOf(flow));
        });
        const away = threads.counted('handedOn');
        assert.ok(away > FLOWS && away < 3 * FLOWS, `${away} came to the wrong one`);
        assert.equal(threads.counted('tcpNoFlow') + threads.counted('udpNoPort'), 0);
        threads.close();
      });
    }

    for (const [name, protocol, make] of [
      ['syn', TCP, (flow: Case) => segment(flow, SYN)],
      ['datagram', UDP, (flow: Case) => datagram(flow, Array<number>(1400).fill(7))],
    ] as const) {
      test(`${version}_fragmentsOf_${name}_onAnyTwoQueues_reachItsThread`, () => {
        let id = 1;
        const threads = everyOwner(is6, THREADS ** 2, (all, flow, round) => {
          const [first, last] = pieces(flow, protocol, make(flow), id++ * 0x10001);
          all.arrive(round % THREADS, first!);
          all.arrive(Math.floor(round / THREADS), last!);
        });
        assert.equal(threads.counted('ipReassembled'), THREADS ** 2 * FLOWS);
        threads.close();
      });
    }

    test(`${version}_segmentOfNobody_isRefusedByItsThreadOnly`, () => {
      const threads = new Threads(THREADS, SEED);
      const next = randomFrom(SEED);
      const refused = QUEUES.map(() => 0);
      for (let i = 0; i < 24; i++) {
        const flow = { ...caseOf(next, is6), localPort: PORT + 1 };
        refused[threads.ownerOf(flow)]! += 1;
        threads.arrive(i % THREADS, packetFrame(flow, TCP, segment(flow, RST)));
        threads.settle();
      }
      assert.deepEqual(
        threads.all.map(({ env }) => env.counters.get('tcpNoFlow')),
        refused,
      );
      threads.close();
    });
  }

  test('datagramPortThatOneThreadHasPicked_answersReachItFromEveryQueue', () => {
    const threads = new Threads(THREADS, SEED);
    const next = randomFrom(SEED);
    for (const [index, { stack }] of threads.all.entries()) {
      const handle = stack.udp.bind(0, 0, 40 + index);
      const port = stack.udp.portOf(handle);
      assert.equal(port % THREADS, index, 'no two threads pick the same');
      for (const queue of QUEUES) {
        for (let i = 0; i < FLOWS; i++) {
          const flow = { ...caseOf(next, false), localPort: port };
          threads.arrive(queue, packetFrame(flow, UDP, datagram(flow, [1])));
        }
        threads.settle();
      }
    }
    for (const [index, { heard }] of threads.all.entries()) {
      assert.deepEqual(heard, Array(THREADS * FLOWS).fill(40 + index));
    }
    assert.equal(threads.counted('udpNoPort'), 0);
    threads.close();
  });

  test('datagramPortOfNobody_isRefusedOnceAndGoesNoFurther', () => {
    const threads = new Threads(THREADS, SEED);
    const next = randomFrom(SEED);
    for (const port of [9, 50_000, 50_001, 50_002]) {
      for (const queue of QUEUES) {
        const flow = { ...caseOf(next, false), localPort: port };
        threads.arrive(queue, packetFrame(flow, UDP, datagram(flow, [1])));
      }
    }
    threads.settle();
    assert.equal(threads.counted('udpNoPort'), 4 * THREADS);
    threads.close();
  });

  test('tooLongForAFrame_datagramIsDeliveredWhereItWasPutTogether', () => {
    const threads = new Threads(THREADS, SEED);
    const flow = caseOf(randomFrom(SEED), false);
    const whole = datagram(flow, Array<number>(4000).fill(7));
    const { source } = flow;
    for (const frame of v4.fragments(whole, { source, protocol: UDP, id: 77 })) {
      threads.arrive(0, frame);
    }
    threads.settle();
    assert.equal(
      threads.outcomes().reduce((sum, count) => sum + count),
      1,
    );
    threads.close();
  });

  test('ownerWithoutRoom_dropsAreCountedWhereTheyCame_andItGoesOn', () => {
    const threads = new Threads(2, SEED);
    const next = randomFrom(SEED);
    const [giver, owner] = threads.all;
    let given = 0;
    while (given < 400) {
      const flow = caseOf(next, false);
      if (threads.ownerOf(flow) !== 1) continue;
      given += 1;
      threads.arrive(0, packetFrame(flow, UDP, datagram(flow, [1])));
      const { siblings, stack } = giver!;
      siblings.receive(1);
      stack.receive(siblings.rxOffsets[0]!, siblings.rxLengths[0]!);
    }
    const dropped = giver!.env.counters.get('handedDropped');
    assert.equal(dropped, 400 - 256);
    threads.settle();
    assert.equal(owner!.env.counters.get('handedIn'), 256);
    assert.equal(owner!.heard.length, 256);
    threads.close();
  });

  test('oneThread_nothingIsAsked', () => {
    const threads = new Threads(1, SEED);
    const flow = caseOf(randomFrom(SEED), false);
    threads.arrive(0, packetFrame(flow, TCP, segment(flow, SYN)));
    threads.settle();
    assert.deepEqual(threads.outcomes(), [1]);
    assert.equal(threads.counted('handedOn'), 0);
    threads.close();
  });
});
