/** What one thread is told of what another has received: which frames, how many, and when. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Arena } from '../../../src/arena/arena.ts';
import { Clock } from '../../../src/arena/clock.ts';
import { Frames } from '../../../src/arena/frames.ts';
import { Counters } from '../../../src/counters.ts';
import { BATCH_MAX, FRAME_BYTES, TRANSMIT_HEADROOM } from '../../../src/limits.ts';
import { Handover, makeHandover } from '../../../src/nic/around/handover.ts';
import { CONCERN, concernOf, Siblings } from '../../../src/nic/around/siblings.ts';
import type { Nic } from '../../../src/nic/nic.ts';
import { bytesPerOperation } from '../../arena/property.ts';

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const MACS = '02 00 00 00 00 02 02 00 00 00 00 01';
const ARP = `${MACS} 0806 0001 0800 06 04`;
const ADDRESSES = '020000000001 0a4d0001 020000000002 0a4d0002';
const ipv4 = (protocol: string, payload: string): Uint8Array =>
  bytes(`${MACS} 0800 45 00 0030 0000 0000 40 ${protocol} 0000 0a4d0001 0a4d0002 ${payload}`);
/** Too big, and the beginning of what was: its next header. */
const tooBig6 = (quoted: string): Uint8Array =>
  ipv6('3a', `02 00 0000 0000 0500 60000000 0008 ${quoted} ff`);
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
  receiveLent = (): number => 0;
  close(): void {}
}

/** One of two threads; `shared` is what both have. */
function makeThread(receiveFrames = 256, thread = 0, shared = makeHandover(2, false)) {
  const arena = new Arena(8 * 2 ** 20);
  const frames = new Frames(arena, receiveFrames, 64);
  const counters = new Counters(arena);
  const clock = new Clock();
  const given = new Given(arena, frames);
  const told: Uint8Array[] = [];
  const tell = (frame: Uint8Array): void => void told.push(frame);
  const handover = new Handover(shared, thread, arena);
  const nic = new Siblings(given, { arena, frames, clock, counters, handover, tell });
  /** Receives up to `max`; the frames' bytes, and they go home. */
  const receive = (max = BATCH_MAX): Uint8Array[] =>
    Array.from({ length: nic.receive(max) }, (_, i) => {
      const offset = nic.rxOffsets[i]!;
      const frame = arena.u8.slice(offset, offset + nic.rxLengths[i]!);
      frames.free(offset);
      return frame;
    });
  return { nic, given, told, receive, counters, clock, frames, arena };
}

describe('siblings', () => {
  const { none, link, path } = CONCERN;
  const cases: [string, Uint8Array, number][] = [
    ['arpReply', REPLY, link],
    ['arpRequest', bytes(`${ARP} 0001 ${ADDRESSES}`), none],
    ['arpShort', REPLY.subarray(0, 41), none],
    ['icmpUnreachable', ipv4('01', '03 04 0000 0000 0578'), none],
    ['icmpEcho', ipv4('01', '08 00 0000 0000 0000'), none],
    ['tcp', ipv4('06', '03 04 0000 0000 0578'), none],
    ['icmp6TooBigForADatagram', tooBig6('11'), path],
    ['icmp6TooBigForAnEcho', tooBig6('3a'), path],
    ['icmp6TooBigForASegment', tooBig6('06'), none],
    ['icmp6TooBigCutOff', ipv6('3a', '02 00 0000 0000 0500 60000000 0008'), none],
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
    const error = tooBig6('11');
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

  test('handedOn_comesBehindOurOwn_withAQuarterOfABatchForCertain', () => {
    const shared = makeHandover(2, false);
    const [giver, owner] = [makeThread(256, 0, shared), makeThread(256, 1, shared)];
    const frame = giver.frames.takeReceive() + 259;
    for (let i = 0; i < 8; i++) {
      giver.arena.u8[frame] = i;
      giver.nic.handOn(1, frame, 60 + i);
    }
    const segment = ipv4('06', '0000');
    for (let i = 0; i < 20; i++) owner.given.waiting.push(segment);
    const kinds = owner.receive(8).map((each) => (each.length >= 60 ? each[0] : 'own'));
    assert.deepEqual(kinds, ['own', 'own', 'own', 'own', 'own', 'own', 0, 1]);
    const batches = [owner.receive(1), owner.receive(1)].map(([each]) => each!.length >= 60);
    assert.deepEqual(batches.sort(), [false, true], 'of one place every other');
    assert.equal(owner.receive(64).length, 13 + 5);
    assert.equal(owner.counters.get('handedIn'), 8);
    assert.equal(giver.counters.get('handedOn'), 8);
    giver.frames.free(frame);
    for (const { frames } of [giver, owner]) assert.ok(frames.allHome());
  });

  test('handedOn_anyLengthAnywhereInItsFrame_isTheSameBytes', () => {
    const shared = makeHandover(2, false);
    const [giver, owner] = [makeThread(4, 0, shared), makeThread(4, 1, shared)];
    const frame = giver.frames.takeReceive();
    for (let i = 0; i < FRAME_BYTES; i++) giver.arena.u8[frame + i] = i * 7 + (i >> 8);
    for (const at of [0, 1, 2, 3, 258]) {
      for (const length of [14, 15, 60, 1513, FRAME_BYTES - at]) {
        if (at + length > FRAME_BYTES) continue;
        giver.nic.handOn(1, frame + at, length);
        const wanted = giver.arena.u8.slice(frame + at, frame + at + length);
        assert.deepEqual(owner.receive(), [wanted], `${length} at ${at}`);
      }
    }
    giver.frames.free(frame);
    assert.ok(owner.frames.allHome());
  });

  test('handedOn_noFrameFree_waits_andNobodySleepsMeanwhile', () => {
    const shared = makeHandover(2, false);
    const [giver, owner] = [makeThread(2, 0, shared), makeThread(2, 1, shared)];
    const frame = giver.frames.takeReceive();
    const [first, second] = [owner.frames.takeReceive(), owner.frames.takeReceive()];
    assert.equal(owner.nic.prepareSleep(), true);
    giver.nic.handOn(1, frame, 60);
    owner.nic.wake();
    assert.deepEqual(owner.receive(), []);
    assert.equal(owner.nic.prepareSleep(), false);
    owner.frames.free(first);
    owner.frames.free(second);
    assert.equal(owner.receive().length, 1);
    assert.equal(owner.nic.prepareSleep(), true);
    giver.frames.free(frame);
  });

  test('handedOn_allocatesNothing', () => {
    const shared = makeHandover(2, false);
    const [giver, owner] = [makeThread(64, 0, shared), makeThread(64, 1, shared)];
    const frame = giver.frames.takeReceive();
    const run = (count: number): void => {
      for (let i = 0; i < count; i++) {
        giver.nic.handOn(1, frame + 258, 1514);
        if (owner.nic.receive(64) === 1) owner.frames.free(owner.nic.rxOffsets[0]!);
      }
    };
    const bytes = bytesPerOperation(run, 20_000);
    assert.ok(owner.counters.get('handedIn') > 20_000);
    assert.ok(bytes < 1, `${bytes} bytes a frame`);
    giver.frames.free(frame);
  });
});
