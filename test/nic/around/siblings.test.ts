/** What one thread is told of what another has received: which frames, how many, and when. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Arena } from '../../../src/arena/arena.ts';
import { Clock } from '../../../src/arena/clock.ts';
import { Frames } from '../../../src/arena/frames.ts';
import { Counters } from '../../../src/counters.ts';
import { BATCH_MAX, TRANSMIT_HEADROOM } from '../../../src/limits.ts';
import { CONCERN, concernOf, Siblings } from '../../../src/nic/around/siblings.ts';
import type { Nic } from '../../../src/nic/nic.ts';

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const MACS = '02 00 00 00 00 02 02 00 00 00 00 01';
const ARP = `${MACS} 0806 0001 0800 06 04`;
const ADDRESSES = '020000000001 0a4d0001 020000000002 0a4d0002';
const ipv4 = (protocol: string, payload: string, header = '45', options = ''): Uint8Array =>
  bytes(
    `${MACS} 0800 ${header} 00 0030 0000 0000 40 ${protocol} 0000 0a4d0001 0a4d0002 ${options} ${payload}`,
  );
const ipv6 = (next: string, payload: string, hops = 'ff'): Uint8Array =>
  bytes(`${MACS} 86dd 60000000 0008 ${next} ${hops} ${'00'.repeat(32)} ${payload}`);

const REPLY = bytes(`${ARP} 0002 ${ADDRESSES}`);

/** A driver whose frames a test gives. */
class Given implements Nic {
  readonly name = 'given';
  readonly mac = new Uint8Array(6);
  readonly mtu = 1500;
  readonly fds: readonly number[] = [];
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);
  readonly waiting: Uint8Array[] = [];
  readonly #arena: Arena;
  readonly #frames: Frames;

  constructor(arena: Arena, frames: Frames) {
    this.#arena = arena;
    this.#frames = frames;
  }

  receive(max: number): number {
    let count = 0;
    for (; count < max && this.waiting.length > 0; count++) {
      const frame = this.waiting.shift()!;
      const offset = this.#frames.takeReceive() + TRANSMIT_HEADROOM;
      this.#arena.u8.set(frame, offset);
      this.rxOffsets[count] = offset;
      this.rxLengths[count] = frame.length;
    }
    return count;
  }

  transmit(): void {}
  kick(): void {}
  reclaim(): void {}
  framesLent = (): number => 0;
  close(): void {}
}

function makeThread(receiveFrames = 256) {
  const arena = new Arena(8 * 2 ** 20);
  const frames = new Frames(arena, receiveFrames, 64);
  const counters = new Counters(arena);
  const clock = new Clock();
  const given = new Given(arena, frames);
  const told: Uint8Array[] = [];
  const tell = (frame: Uint8Array): void => void told.push(frame);
  const nic = new Siblings(given, { arena, frames, clock, counters, tell });
  /** Receives up to `max`; the frames' bytes, and they go home. */
  const receive = (max = BATCH_MAX): Uint8Array[] =>
    Array.from({ length: nic.receive(max) }, (_, i) => {
      const offset = nic.rxOffsets[i]!;
      const frame = arena.u8.slice(offset, offset + nic.rxLengths[i]!);
      frames.free(offset);
      return frame;
    });
  return { nic, given, told, receive, counters, clock, frames };
}

describe('siblings', () => {
  const { none, link, path } = CONCERN;
  const cases: [string, Uint8Array, number][] = [
    ['arpReply', REPLY, link],
    ['arpRequest', bytes(`${ARP} 0001 ${ADDRESSES}`), none],
    ['arpShort', REPLY.subarray(0, 41), none],
    ['icmpUnreachable', ipv4('01', '03 04 0000 0000 0578'), path],
    ['icmpTimeExceeded', ipv4('01', '0b 00 0000 0000 0000'), path],
    ['icmpEcho', ipv4('01', '08 00 0000 0000 0000'), none],
    ['icmpBehindOptions', ipv4('01', '03 04 0000 0000 0578', '46', '01010101'), path],
    ['icmpCutOffBehindItsHeader', ipv4('01', ''), none],
    ['tcp', ipv4('06', '03 04 0000 0000 0578'), none],
    ['ipv4Short', ipv4('01', '03').subarray(0, 33), none],
    ['icmp6TooBig', ipv6('3a', '02 00 0000 0000 0500'), path],
    ['neighbourAdvertisement', ipv6('3a', '88 00 0000 6000 0000'), link],
    ['routerAdvertisement', ipv6('3a', '86 00 0000 4000 0000'), link],
    ['neighbourSolicitation', ipv6('3a', '87 00 0000 0000 0000'), none],
    ['neighbourAdvertisementOfFarAway', ipv6('3a', '88 00 0000 6000 0000', 'fe'), none],
    ['routerAdvertisementOfFarAway', ipv6('3a', '86 00 0000 4000 0000', '40'), none],
    ['echo6', ipv6('3a', '80 00 0000 0000 0000'), none],
    ['tcp6', ipv6('06', '88 00 0000 6000 0000'), none],
    ['ipv6Short', ipv6('3a', ''), none],
    ['otherType', bytes(`${MACS} 88b5 0002`), none],
    ['nothing', new Uint8Array(0), none],
  ];
  for (const [name, frame, concern] of cases) {
    test(`concernOf_${name}_${Object.keys(CONCERN)[concern]}`, () => {
      const memory = new Uint8Array(2048).fill(0xff);
      memory.set(frame, 64);
      assert.equal(concernOf(memory, 64, frame.length), concern);
    });
  }

  test('received_concernsAllThreads_toldAndKept', () => {
    const { given, told, receive, counters, frames } = makeThread();
    const segment = ipv4('06', '0000');
    given.waiting.push(segment, REPLY, segment);
    assert.deepEqual(receive(), [segment, REPLY, segment]);
    assert.deepEqual(told, [REPLY]);
    assert.equal(counters.get('siblingsTold'), 1);
    assert.ok(frames.allHome());
  });

  test('heard_comesBehindOurOwn_untilTheBatchIsFull', () => {
    const { nic, given, told, receive, counters } = makeThread();
    const segment = ipv4('06', '0000');
    given.waiting.push(segment, segment);
    for (let i = 0; i < 3; i++) nic.hear(REPLY);
    assert.equal(nic.prepareSleep(), false);
    assert.deepEqual(receive(4), [segment, segment, REPLY, REPLY]);
    assert.deepEqual(receive(4), [REPLY]);
    assert.equal(nic.prepareSleep(), true);
    assert.deepEqual(told, [], 'what was heard is told to nobody');
    assert.equal(counters.get('siblingsHeard'), 3);
  });

  test('heard_noFrameFree_waits', () => {
    const { nic, frames, receive } = makeThread(2);
    const [first, second] = [frames.takeReceive(), frames.takeReceive()];
    nic.hear(REPLY);
    assert.deepEqual(receive(), []);
    frames.free(first);
    frames.free(second);
    assert.deepEqual(receive(), [REPLY]);
  });

  test('flood_boundedAndCounted', () => {
    const { nic, given, told, receive, counters, clock } = makeThread();
    const flood = (): void => {
      for (let i = 0; i < 100; i++) given.waiting.push(REPLY);
      while (receive().length > 0);
    };
    flood();
    assert.equal(told.length, 64);
    assert.equal(counters.get('siblingsLimited'), 36);
    clock.ms = 100;
    flood();
    assert.equal(told.length, 128);
    for (let i = 0; i < 300; i++) nic.hear(REPLY);
    assert.equal(counters.get('siblingsLimited'), 72 + 44);
    nic.hear(new Uint8Array(4000));
    assert.equal(counters.get('siblingsLimited'), 72 + 45, 'longer than a buffer');
  });

  test('floodOfIcmpErrors_whatNeighboursSay_isStillToldAndHeard', () => {
    const { nic, given, told, receive } = makeThread();
    const error = ipv4('01', '03 04 0000 0000 0578');
    for (let i = 0; i < 200; i++) given.waiting.push(error);
    given.waiting.push(REPLY);
    while (receive().length > 0);
    assert.deepEqual(told.at(-1), REPLY);
    for (let i = 0; i < 300; i++) nic.hear(error);
    nic.hear(REPLY);
    const heard: Uint8Array[] = [];
    for (let batch = receive(); batch.length > 0; batch = receive()) heard.push(...batch);
    assert.deepEqual(heard.at(-1), REPLY);
    nic.hear(error);
    assert.deepEqual(receive(), [error], 'there is room again');
  });

  test('floodOfItsOwnQueue_whatWasHeard_hasAPlaceInEveryBatch', () => {
    const { nic, given, receive } = makeThread();
    const segment = ipv4('06', '0000');
    for (const max of [BATCH_MAX, 2]) {
      for (let i = 0; i < 2 * max; i++) given.waiting.push(segment);
      nic.hear(REPLY);
      const batch = receive(max);
      assert.equal(batch.length, max);
      assert.deepEqual(batch.at(-1), REPLY);
      while (receive().length > 0);
    }
  });
});
