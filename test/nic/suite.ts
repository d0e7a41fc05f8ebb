/**
 * What every driver must do: one suite for AF_XDP, TAP and cable, with two ends of one link.
 *
 * - Frames carry a sequence number and bytes that follow from it; frames of the kernel's own
 *   (neighbour discovery) that stray onto a link are let go.
 * - Every test ends with all frames in their pools, before and after `close`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapStatistics } from 'node:v8';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { BATCH_MAX, TRANSMIT_HEADROOM } from '../../src/limits.ts';
import { POLLIN, sys } from '../../src/native/sys.ts';
import type { Nic } from '../../src/nic/nic.ts';

export const RING = 512;
const RECEIVE_FRAMES = 2048;
const TRANSMIT_FRAMES = 1024;
const ETHERTYPE_EXPERIMENT = 0x88b5;
/** Ethernet header, sequence number, pattern. */
const SEQUENCE = 14;
const PATTERN = 18;
const WAIT_MS = 2000;
/** What a scenario returns that has closed both ends. */
const CLOSED = 'closed';
/** Of the allocation test. */
const WINDOWS = 60;
const TURNS = 2000;

export interface End {
  nic: Nic;
  frames: Frames;
  counters: Counters;
  arena: Arena;
}

export interface Driver {
  name: string;
  /** Why it cannot be tested here. */
  skip: string | false;
  /** Makes both ends, of pools and counters that are given. RING entries. */
  connect(a: Omit<End, 'nic'>, b: Omit<End, 'nic'>): { a: Nic; b: Nic; remove(): void };
  /**
   * One thread serves both ends: frames transmitted without a kick that this driver must still
   * hold.
   */
  capacity: number;
  /** Bytes a frame that it may allocate on average: for tools that write files. */
  allocates?: number;
}

/** Two ends in one arena, which becomes the bound one. */
export function makeEnds(): { arena: Arena; a: Omit<End, 'nic'>; b: Omit<End, 'nic'> } {
  const arena = new Arena(24 * 2 ** 20);
  arena.bindNative();
  const end = (name: string): Omit<End, 'nic'> => ({
    arena,
    counters: new Counters(arena, `${name} counters`),
    frames: new Frames(arena, RECEIVE_FRAMES, TRANSMIT_FRAMES),
  });
  return { arena, a: end('a'), b: end('b') };
}

const byteOf = (sequence: number, i: number): number => (sequence * 31 + i * 7) & 0xff;

/** A frame of the transmit pool with this content; -1 when the pool is empty. */
export function buildFrame(end: End, sequence: number, length: number): number {
  const frame = end.frames.takeTransmit();
  if (frame < 0) return -1;
  const { u8, view } = end.arena;
  const offset = frame + TRANSMIT_HEADROOM;
  u8.fill(0xff, offset, offset + 6);
  for (let k = 0; k < 6; k++) u8[offset + 6 + k] = end.nic.mac[k]!;
  view.setUint16(offset + 12, ETHERTYPE_EXPERIMENT);
  view.setUint32(offset + SEQUENCE, sequence);
  for (let i = PATTERN; i < length; i++) u8[offset + i] = byteOf(sequence, i);
  return offset;
}

/** Sequence number of a frame of ours, -1 for a stranger's; fails on a damaged one. */
export function checkFrame(end: End, offset: number, length: number): number {
  const { u8, view } = end.arena;
  if (view.getUint16(offset + 12) !== ETHERTYPE_EXPERIMENT) return -1;
  const sequence = view.getUint32(offset + SEQUENCE);
  for (let i = PATTERN; i < length; i++) {
    if (u8[offset + i] !== byteOf(sequence, i)) assert.fail(`frame ${sequence}: byte ${i} differs`);
  }
  return sequence;
}

/** Transmits and kicks; takes frames back first, as the loop does. */
export function send(end: End, sequence: number, length: number): void {
  end.nic.reclaim();
  const offset = buildFrame(end, sequence, length);
  assert.ok(offset >= 0, 'a transmit frame is free');
  end.nic.transmit(offset, length);
  end.nic.kick();
}

/**
 * [sequence, length] of each frame of ours that comes until there are `count`, or none has come for
 * so long: how fast they are taken is the machine's matter.
 */
export function collect(end: End, count: number, waitMs = WAIT_MS): [number, number][] {
  const got: [number, number][] = [];
  let until = performance.now() + waitMs;
  while (got.length < count && performance.now() < until) {
    end.nic.reclaim();
    const received = end.nic.receive(BATCH_MAX);
    assert.ok(received <= BATCH_MAX);
    for (let i = 0; i < received; i++) {
      const offset = end.nic.rxOffsets[i]!;
      const sequence = checkFrame(end, offset, end.nic.rxLengths[i]!);
      if (sequence >= 0) got.push([sequence, end.nic.rxLengths[i]!]);
      end.frames.free(offset);
    }
    end.nic.kick();
    if (received > 0) until = performance.now() + waitMs;
  }
  return got;
}

/** Until all frames are in their pools; then it says so. */
export function settle(end: End): void {
  const until = performance.now() + WAIT_MS;
  do {
    end.nic.kick();
    collect(end, 1, 1);
  } while (!end.frames.allHome(end.nic.receiveLent()) && performance.now() < until);
  assert.ok(end.frames.allHome(end.nic.receiveLent()), `${end.nic.name}: all frames home`);
}

export function nicSuite(driver: Driver): void {
  const scenario = (name: string, body: (a: End, b: End) => unknown): void => {
    test(`${driver.name}: ${name}`, { skip: driver.skip }, () => {
      const ends = makeEnds();
      const nics = driver.connect(ends.a, ends.b);
      const a: End = { ...ends.a, nic: nics.a };
      const b: End = { ...ends.b, nic: nics.b };
      try {
        if (body(a, b) !== CLOSED) {
          settle(a);
          settle(b);
        }
      } finally {
        a.nic.close();
        b.nic.close();
        nics.remove();
      }
      assert.ok(a.frames.allHome() && b.frames.allHome(), 'all frames home after close');
    });
  };

  scenario('frames of every size cross unharmed in order, both ways', (a, b) => {
    const sizes = [
      60, 61, 62, 63, 64, 65, 127, 128, 129, 255, 256, 511, 1023, 1024, 1500, 1513, 1514,
    ];
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const expected: [number, number][] = [];
      const got: [number, number][] = [];
      for (let sequence = 0; sequence < 4 * sizes.length; sequence++) {
        const length = sizes[(sequence * 5) % sizes.length]!;
        expected.push([sequence, length]);
        send(from, sequence, length);
        if (sequence % 8 === 7) got.push(...collect(to, expected.length - got.length));
      }
      got.push(...collect(to, expected.length - got.length));
      assert.deepEqual(got, expected);
      assert.equal(from.counters.get('txFull'), 0);
      assert.equal(to.counters.get('rxTooLong') + to.counters.get('rxShort'), 0);
    }
  });

  scenario('batch of 64 with one kick arrives whole', (a, b) => {
    for (let round = 0; round < 20; round++) {
      a.nic.reclaim();
      for (let i = 0; i < BATCH_MAX; i++) a.nic.transmit(buildFrame(a, round * 64 + i, 64), 64);
      a.nic.kick();
      const got = collect(b, BATCH_MAX);
      assert.deepEqual(
        got.map(([sequence]) => sequence - round * 64),
        [...Array(BATCH_MAX).keys()],
      );
    }
    assert.ok(a.counters.get('txFrames') >= 20 * BATCH_MAX);
    assert.ok(a.counters.get('txBytes') >= 20 * BATCH_MAX * 64);
    assert.ok(b.counters.get('rxFrames') >= 20 * BATCH_MAX);
  });

  scenario('transmit without kick sends nothing, kick sends it', (a, b) => {
    a.nic.transmit(buildFrame(a, 1, 60), 60);
    assert.equal(collect(b, 1, 20).length, 0);
    a.nic.kick();
    assert.equal(collect(b, 1).length, 1);
    const kicks = a.counters.get('kicks');
    a.nic.kick();
    assert.equal(
      a.counters.get('kicks'),
      kicks,
      'a kick with nothing to send makes no system call',
    );
  });

  scenario('receive never takes more than it is asked for', (a, b) => {
    for (let i = 0; i < 100; i++) a.nic.transmit(buildFrame(a, i, 60), 60);
    a.nic.kick();
    let next = 0;
    const until = performance.now() + WAIT_MS;
    for (let max = 1; next < 100 && performance.now() < until; max = (max % 70) + 1) {
      b.nic.reclaim();
      const count = b.nic.receive(max);
      assert.ok(count <= max && count <= BATCH_MAX);
      for (let i = 0; i < count; i++) {
        const sequence = checkFrame(b, b.nic.rxOffsets[i]!, b.nic.rxLengths[i]!);
        if (sequence >= 0) assert.equal(sequence, next++);
        b.frames.free(b.nic.rxOffsets[i]!);
      }
    }
    assert.equal(next, 100);
  });

  scenario('full ring drops the newest, counts and frees', (a, b) => {
    const surplus = 100;
    for (let i = 0; i < driver.capacity + surplus; i++) a.nic.transmit(buildFrame(a, i, 60), 60);
    assert.equal(a.counters.get('txFull'), surplus);
    a.nic.kick();
    const got = collect(b, driver.capacity, 300).map(([sequence]) => sequence);
    assert.ok(got.length >= Math.min(driver.capacity, BATCH_MAX), 'the others arrive');
    assert.ok(
      got.every((sequence) => sequence < driver.capacity),
      'the newest were dropped',
    );
    settle(a);
    send(a, 7777, 60);
    assert.ok(
      collect(b, 1).some(([sequence]) => sequence === 7777),
      'and the link still works',
    );
  });

  scenario('received frames sent back from the receive pool come home', (a, b) => {
    for (let round = 0; round < 100; round++) {
      send(a, round, 100);
      const until = performance.now() + WAIT_MS;
      for (let reflected = 0; reflected === 0 && performance.now() < until; ) {
        b.nic.reclaim();
        const count = b.nic.receive(BATCH_MAX);
        for (let i = 0; i < count; i++) {
          if (checkFrame(b, b.nic.rxOffsets[i]!, b.nic.rxLengths[i]!) >= 0) reflected++;
          b.nic.transmit(b.nic.rxOffsets[i]!, b.nic.rxLengths[i]!);
        }
        b.nic.kick();
      }
      assert.deepEqual(collect(a, 1), [[round, 100]]);
    }
  });

  scenario('empty receive pool loses frames, counts, and recovers', (a, b) => {
    const taken: number[] = [];
    for (let frame = b.frames.takeReceive(); frame >= 0; frame = b.frames.takeReceive())
      taken.push(frame);
    // What is lent is used up, then nothing can be lent.
    let arrived = 0;
    for (let i = 0; i < 3 * RING; i++) {
      send(a, i, 60);
      b.nic.reclaim();
      const count = b.nic.receive(BATCH_MAX);
      for (let k = 0; k < count; k++) taken.push(b.nic.rxOffsets[k]!);
      arrived += count;
    }
    assert.ok(arrived < 3 * RING);
    assert.ok(b.counters.get('rxNoFrame') > 0);
    for (const frame of taken) b.frames.free(frame);
    collect(b, 3 * RING, 50); // what the kernel kept meanwhile
    send(a, 4242, 60);
    assert.deepEqual(collect(b, 1), [[4242, 60]]);
  });

  scenario('close with frames on their way takes them home', (a, b) => {
    for (let i = 0; i < 50; i++) a.nic.transmit(buildFrame(a, i, 60), 60);
    a.nic.kick();
    for (let i = 0; i < 50; i++) a.nic.transmit(buildFrame(a, i, 60), 60);
    a.nic.close();
    b.nic.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
    a.nic.close(); // again: nothing
    return CLOSED;
  });

  scenario('idle receiver sleeps on its descriptors until a frame comes', (a, b) => {
    const poll = a.arena.carve('poll', 8, 8) >> 2;
    const wait = (timeoutUs: number): number => {
      a.arena.i32[poll] = b.nic.fds[0]!;
      a.arena.i32[poll + 1] = POLLIN;
      return sys.wait(poll << 2, 1, timeoutUs);
    };
    for (let round = 0; round < 20; round++) {
      settle(b);
      assert.equal(b.nic.prepareSleep?.() ?? true, true);
      send(a, round, 60);
      assert.equal(wait(1_000_000), 1, 'woken');
      b.nic.wake?.();
      assert.deepEqual(collect(b, 1), [[round, 60]]);
    }
    settle(b);
    assert.equal(b.nic.prepareSleep?.() ?? true, true);
    assert.equal(wait(20_000), 0, 'nothing comes: sleeps on');
    b.nic.wake?.();
  });

  scenario('frames that come before sleep are not slept through', (a, b) => {
    send(a, 1, 60);
    const until = performance.now() + WAIT_MS;
    const poll = a.arena.carve('poll', 8, 8) >> 2;
    let seen = false;
    while (!seen && performance.now() < until) {
      if (b.nic.prepareSleep?.() === false) {
        seen = true;
        break;
      }
      a.arena.i32[poll] = b.nic.fds[0]!;
      a.arena.i32[poll + 1] = POLLIN;
      seen = sys.wait(poll << 2, 1, 0) === 1;
    }
    assert.ok(seen);
    assert.equal(collect(b, 1).length, 1);
  });

  scenario('nothing is allocated per frame', (a, b) => {
    let sequence = 0;
    const turn = (): void => {
      a.nic.reclaim();
      for (let i = 0; i < 32; i++) {
        const frame = a.frames.takeTransmit();
        if (frame < 0) break;
        a.arena.u16[(frame + TRANSMIT_HEADROOM + 12) >> 1] = 0xb588;
        a.arena.i32[(frame + TRANSMIT_HEADROOM + 14) >> 2] = sequence++;
        a.nic.transmit(frame + TRANSMIT_HEADROOM, 64);
      }
      a.nic.kick();
      b.nic.reclaim();
      for (let n = 0; n < 4; n++) {
        const count = b.nic.receive(BATCH_MAX);
        for (let i = 0; i < count; i++) b.nic.transmit(b.nic.rxOffsets[i]!, b.nic.rxLengths[i]!);
      }
      b.nic.kick();
      for (let n = 0; n < 4; n++) {
        const count = a.nic.receive(BATCH_MAX);
        for (let i = 0; i < count; i++) a.frames.free(a.nic.rxOffsets[i]!);
      }
    };
    // Code not optimised yet boxes numbers; an allocation per frame would show in every window.
    const limit = driver.allocates ?? 0.01;
    let least = Number.POSITIVE_INFINITY;
    for (let window = 0; window < WINDOWS && least > limit; window++) {
      const before = getHeapStatistics().total_allocated_bytes;
      const framesBefore = a.counters.get('rxFrames');
      for (let i = 0; i < TURNS; i++) turn();
      const bytes = getHeapStatistics().total_allocated_bytes - before;
      const moved = a.counters.get('rxFrames') - framesBefore;
      assert.ok(moved > TURNS * 16, `${moved} frames went both ways`);
      least = Math.min(least, bytes / moved);
    }
    assert.ok(least <= limit, `${least} bytes a frame in the best of ${WINDOWS} windows`);
  });
}
