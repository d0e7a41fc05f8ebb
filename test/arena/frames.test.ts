/**
 * Both pools of packet buffers against two sets of offsets: any order of taking and freeing,
 * exhaustion, and what VERIFY catches.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { FRAME_BYTES } from '../../src/limits.ts';
import { InvariantError, VERIFY } from '../../src/verify.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from './property.ts';

const needsVerify = VERIFY ? false : 'needs IX_VERIFY=1';
const POOL_MAX = 12;

const framesOf = (receive: number, transmit: number): Frames =>
  new Frames(new Arena(2 ** 20), receive, transmit);

/** What the pools mean: who holds what, in order of taking. */
class Model {
  readonly frames: Frames;
  readonly receive: number[] = [];
  readonly transmit: number[] = [];

  constructor(receive: number, transmit: number) {
    this.frames = framesOf(receive, transmit);
  }

  take(isReceive: boolean): void {
    const { frames } = this;
    const held = isReceive ? this.receive : this.transmit;
    const isEmpty = held.length === (isReceive ? frames.receiveCount : frames.transmitCount);
    const offset = isReceive ? frames.takeReceive() : frames.takeTransmit();
    if (isEmpty) {
      assert.equal(offset, -1);
      return;
    }
    assert.ok(!held.includes(offset), 'it belongs to somebody');
    assert.equal((offset - frames.base) % FRAME_BYTES, 0);
    assert.equal(frames.isReceive(offset), isReceive);
    const [first, end] = isReceive
      ? [frames.base, frames.transmitBase]
      : [frames.transmitBase, frames.end];
    assert.ok(offset >= first && offset + FRAME_BYTES <= end, `${offset} is in its pool`);
    held.push(offset);
  }

  /** By any offset inside it. */
  free(which: number, inside: number): void {
    const held = which % 2 === 0 ? this.receive : this.transmit;
    if (held.length === 0) return;
    const [offset] = held.splice(which % held.length, 1);
    this.frames.arena.u8.fill(which, offset, offset! + FRAME_BYTES);
    this.frames.free(offset! + inside);
  }

  assertCounts(): void {
    const { frames, receive, transmit } = this;
    assert.equal(frames.receiveFree, frames.receiveCount - receive.length);
    assert.equal(frames.transmitFree, frames.transmitCount - transmit.length);
    assert.equal(frames.allHome(), receive.length + transmit.length === 0);
    assert.equal(frames.allHome(receive.length), transmit.length === 0);
  }
}

const count = fc.integer({ min: 1, max: POOL_MAX });
const steps = fc.array(
  fc.oneof(
    fc.record({ take: fc.boolean() }),
    fc.record({
      free: fc.nat({ max: 200 }),
      inside: fc.integer({ min: 0, max: FRAME_BYTES - 1 }),
    }),
  ),
  { maxLength: 120 },
);

test('frames_takenAndFreedInAnyOrder_belongToOneAtATime', () => {
  holds(
    fc.property(count, count, steps, (receive, transmit, all) => {
      const model = new Model(receive, transmit);
      for (const step of all) {
        if ('take' in step) model.take(step.take);
        else model.free(step.free, step.inside);
        model.assertCounts();
      }
      for (const held of [model.receive, model.transmit]) {
        for (const offset of held.splice(0)) model.frames.free(offset);
      }
      assert.ok(model.frames.allHome());
    }),
  );
});

test('frames_exhausted_minusOneAndTheOtherPoolUntouched', () => {
  holds(
    fc.property(count, count, (receive, transmit) => {
      const frames = framesOf(receive, transmit);
      for (let i = 0; i < receive; i++) assert.ok(frames.takeReceive() >= 0);
      assert.equal(frames.takeReceive(), -1);
      assert.equal(frames.takeReceive(), -1);
      assert.equal(frames.transmitFree, transmit);
      for (let i = 0; i < transmit; i++) assert.ok(frames.takeTransmit() >= 0);
      assert.equal(frames.takeTransmit(), -1);
      assert.ok(!frames.allHome(receive));
    }),
    100,
  );
});

test('frames_freed_lastOneIsTakenFirst', () => {
  const frames = framesOf(8, 8);
  const [a, b] = [frames.takeReceive(), frames.takeReceive()];
  frames.free(b);
  frames.free(a);
  assert.equal(frames.takeReceive(), a, 'the warmest');
  assert.equal(frames.takeReceive(), b);
});

test('frames_indexOf_numbersBothPoolsWithoutGaps', () => {
  const frames = framesOf(3, 4);
  const indexes = new Set<number>();
  for (let i = 0; i < 3; i++) indexes.add(frames.indexOf(frames.takeReceive() + i));
  for (let i = 0; i < 4; i++) indexes.add(frames.indexOf(frames.takeTransmit() + FRAME_BYTES - 1));
  assert.deepEqual([...indexes].sort(), [0, 1, 2, 3, 4, 5, 6]);
  const { offset, bytes } = frames.receivePool;
  assert.deepEqual([offset, bytes], [frames.base, 3 * FRAME_BYTES]);
  assert.equal(frames.base % 65_536, 0, 'a memfd can be mapped over it');
});

test('verify_freed_isPoisoned', { skip: needsVerify }, () => {
  const frames = framesOf(2, 2);
  const offset = frames.takeTransmit();
  frames.arena.u8.fill(1, offset, offset + FRAME_BYTES);
  frames.free(offset);
  const bytes = frames.arena.u8.subarray(offset, offset + FRAME_BYTES);
  assert.ok(bytes.every((byte) => byte === 0xdd));
});

test('verify_freedTwice_isCaught', { skip: needsVerify }, () => {
  holds(
    fc.property(fc.boolean(), fc.nat({ max: FRAME_BYTES - 1 }), (isReceive, inside) => {
      const frames = framesOf(3, 3);
      const offset = isReceive ? frames.takeReceive() : frames.takeTransmit();
      frames.free(offset);
      assert.throws(() => frames.free(offset + inside), caught(/freed twice/));
    }),
    50,
  );
});

test('verify_writtenWhileFree_isCaughtWhenTaken', { skip: needsVerify }, () => {
  const frames = framesOf(2, 2);
  const offset = frames.takeReceive();
  frames.free(offset);
  frames.arena.u8[offset] = 1;
  assert.throws(() => frames.takeReceive(), caught(/a free frame was written to/));
});

test('verify_freedOutsideThePools_isCaught', { skip: needsVerify }, () => {
  const frames = framesOf(2, 2);
  for (const offset of [frames.base - 1, frames.end, frames.end + FRAME_BYTES]) {
    assert.throws(() => frames.free(offset), caught(/outside the pools/));
  }
});

const caught = (message: RegExp) => (error: unknown) =>
  error instanceof InvariantError && message.test(error.message);

test('frames_inUse_allocateNothing', () => {
  const frames = framesOf(64, 64);
  const random = randomFrom(SEED);
  const held = new Int32Array(64);
  const bytes = bytesPerOperation((n) => {
    for (let i = 0; i < n; i++) {
      const slot = random() & 63;
      if (held[slot] === 0) held[slot] = i & 1 ? frames.takeReceive() : frames.takeTransmit();
      else {
        frames.free(held[slot]!);
        held[slot] = 0;
      }
    }
  }, 100_000);
  assert.ok(bytes < 0.5, `${bytes} bytes an operation`);
});
