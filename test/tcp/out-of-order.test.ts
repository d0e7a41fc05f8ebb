/** What is held out of order: against a map of bytes, and at the same cost whatever is held. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FREE_FRAME, KEEP_FRAME } from '../../src/net/both/environment.ts';
import { TINY_RUNS } from '../../src/tcp/constants.ts';
import { Flows } from '../../src/tcp/flows.ts';
import { HELD } from '../../src/tcp/held-table.ts';
import { ReceiveQueue } from '../../src/tcp/receive-queue.ts';
import { SackWriter } from '../../src/tcp/sack-writer.ts';
import { TCB } from '../../src/tcp/tcb.ts';
import { verifyOutOfOrder } from '../../src/tcp/verify-flow.ts';
import { makeEnvironment } from '../net/harness.ts';
import { randomFrom } from '../net/random.ts';

const HEADERS = 258 + 54;
/** Just below the wrap. */
const NEXT = -5000 | 0;

/** A flow that receives, and nothing else of TCP. */
class Receiver {
  readonly env;
  readonly queue;
  readonly row: number;
  readonly flows;
  readonly writer;

  constructor(receiveFrames: number, mss = 1448) {
    this.env = makeEnvironment({ limits: { receiveFrames }, arenaMiB: 128 });
    this.flows = new Flows(this.env);
    this.queue = new ReceiveQueue(this.env);
    this.row = this.flows.take();
    const { i32 } = this.env.arena;
    i32[this.row + TCB.rcvNxt] = NEXT;
    i32[this.row + TCB.rcvEdge] = (NEXT + (1 << 29)) | 0;
    i32[this.row + TCB.rcvMss] = mss;
    this.writer = new SackWriter(i32, this.env.arena.view, this.queue.outOfOrder);
  }

  /** A byte of the stream. */
  byteAt(position: number): number {
    return Math.imul(position, 0x9e3779b1) >>> 24;
  }

  /** [start, start + length) of the stream arrives. */
  arrive(start: number, length: number): void {
    const { frames, arena } = this.env;
    const frame = frames.takeReceive();
    if (frame < 0) return;
    const data = frame + HEADERS;
    for (let i = 0; i < length; i++) arena.u8[data + i] = this.byteAt(start + i);
    const kept = this.queue.insert(this.row, frame, data, length, (NEXT + start) | 0);
    if (kept === FREE_FRAME) frames.free(frame);
    else assert.equal(kept, KEEP_FRAME);
  }

  /**
   * `length` bytes arrive in order: what they make readable is the stream's, and is read at once.
   * Answers its bytes.
   */
  advance(length: number): number {
    const { queue, row } = this;
    const { i32, u8 } = this.env.arena;
    i32[row + TCB.rcvNxt] = (i32[row + TCB.rcvNxt]! + length) | 0;
    let at = this.position;
    const moved = queue.drain(row);
    for (let m = queue.unread(row); m !== 0; m = queue.unread(row)) {
      for (let i = 0; i < i32[m + HELD.length]!; i++, at++) {
        assert.equal(u8[i32[m + HELD.data]! + i], this.byteAt(at));
      }
      queue.given(row, m);
    }
    assert.equal(at, this.position);
    queue.done(row, moved);
    return moved;
  }

  get position(): number {
    return (this.env.arena.i32[this.row + TCB.rcvNxt]! - NEXT) | 0;
  }

  field(name: keyof typeof TCB): number {
    return this.env.arena.i32[this.row + TCB[name]]!;
  }

  /** Every run as [start, end), from the left. */
  runs(): [number, number][] {
    const all: [number, number][] = [];
    const { outOfOrder } = this.queue;
    let behind = this.field('rcvNxt');
    for (;;) {
      const run = outOfOrder.after(this.row, behind);
      if (run === 0) return all;
      behind = this.env.arena.i32[run + HELD.seq]!;
      all.push([(behind - NEXT) | 0, (outOfOrder.endOf(run) - NEXT) | 0]);
    }
  }

  /** Blocks of the next acknowledgement. */
  blocks(max = 4): [number, number][] {
    const { view } = this.env.arena;
    const at = 4096 - 64;
    const bytes = this.writer.write(this.row, at, max);
    const count = bytes === 0 ? 0 : (view.getUint8(at + 3) - 2) >> 3;
    return Array.from({ length: count }, (_, i) => {
      const block = at + 4 + 8 * i;
      const edge = (offset: number): number => (view.getInt32(block + offset) - NEXT) | 0;
      return [edge(0), edge(4)];
    });
  }

  close(): void {
    this.queue.clear(this.row);
    assert.ok(this.env.frames.allHome());
    assert.equal(this.env.frames.held, 0);
  }
}

/** The stretches that a map of bytes has from `from` on. */
function stretches(has: Uint8Array, from: number): [number, number][] {
  const all: [number, number][] = [];
  for (let at = from; at < has.length; at++) {
    if (has[at] === 0) continue;
    const end = has.indexOf(0, at);
    all.push([at, end]);
    at = end;
  }
  return all;
}

test('any_arrivals_runsAreWhatAMapOfBytesSays', (t) => {
  const random = randomFrom(t);
  for (let round = 0; round < 40; round++) {
    const r = new Receiver(1024, 0);
    const has = new Uint8Array(20_000);
    const longest = random.pick([3, 40, 700]);
    const reach = random.pick([30, 1500, 9000]);
    for (let i = 0; i < 150 && r.position < 9000; i++) {
      if (random.below(30) === 0) {
        const bytes = 1 + random.below(longest);
        const start = r.position + bytes;
        const moved = r.advance(bytes);
        assert.equal(moved, Math.max(has.indexOf(0, start) - start, 0));
      } else {
        const start = r.position + 1 + random.below(reach);
        const length = 1 + random.below(longest);
        r.arrive(start, length);
        has.fill(1, start, start + length);
      }
      verifyOutOfOrder(r.env.arena.i32, r.row);
      const expected = stretches(has, r.position);
      assert.deepEqual(r.runs(), expected);
      const told = r.blocks(1 + random.below(4));
      for (const [from, end] of told) {
        const isRun = expected.some((run) => run[0] === from && run[1] === end);
        assert.ok(
          isRun || has.subarray(from, end).every((byte) => byte === 1),
          `${from} to ${end}`,
        );
      }
    }
    assert.equal(r.env.counters.get('tcpOutOfOrderDropped'), 0);
    r.close();
  }
});

/**
 * Steps of the most expensive arrival, and of its acknowledgement, of those that `arrivals` makes.
 */
function mostSteps(r: Receiver, arrivals: Iterable<[number, number]>): number {
  const { outOfOrder } = r.queue;
  let most = 0;
  for (const [start, length] of arrivals) {
    const before = outOfOrder.steps;
    r.arrive(start, length);
    r.blocks();
    most = Math.max(most, outOfOrder.steps - before);
  }
  return most;
}

/**
 * As a peer in anger would send them: at random, from the left, from the right, from both sides to
 * the middle.
 */
function orders(count: number, random: ReturnType<typeof randomFrom>): number[][] {
  const up = Array.from({ length: count }, (_, i) => i);
  const sides = up.map((i) => (i & 1 ? count - 1 - (i >> 1) : i >> 1));
  return [random.shuffle([...up]), up, [...up].reverse(), sides];
}

test('holesOfOneByte_manyThousands_fewAreHeldAndEachCostsTheSame', (t) => {
  const random = randomFrom(t);
  for (const order of orders(5500, random)) {
    const r = new Receiver(16_384);
    const most = mostSteps(
      r,
      order.map((i): [number, number] => [2 + 2 * i, 1]),
    );
    assert.equal(r.field('oooFrames'), TINY_RUNS);
    assert.equal(r.env.counters.get('tcpOutOfOrderTiny'), 5500 - TINY_RUNS);
    assert.ok(most < 150, `${most} steps`);
    r.close();
  }
});

test('holesBetweenFullSegments_thousands_allAreHeldAndEachCostsTheLogarithm', (t) => {
  const random = randomFrom(t);
  for (const order of orders(2500, random)) {
    const r = new Receiver(16_384);
    const most = mostSteps(
      r,
      order.map((i): [number, number] => [1448 + 2 * 1448 * i, 1448]),
    );
    assert.equal(r.field('oooRuns'), 2500, 'a lossy path loses nothing by it');
    // some ten walks of the tree, of at most thirty steps each
    assert.ok(most < 400, `${most} steps`);
    const filling = mostSteps(
      r,
      order.slice(1).map((i): [number, number] => [Math.max(2 * 1448 * i, 1448 * 2), 1448]),
    );
    assert.ok(filling < 500, `${filling} steps`);
    r.close();
  }
});

test('oneByteSegments_touchingARun_areCopiedIntoItsFrames', () => {
  const r = new Receiver(4096);
  for (let i = 0; i < 16; i++) r.arrive(10_000 + 2000 * i, 1448); // frames are few no more
  const before = r.field('rxFrames');
  for (let i = 0; i < 300; i++) r.arrive(10_000 + 1448 + i, 1);
  for (let i = 1; i <= 250; i++) r.arrive(10_000 - i, 1);
  assert.equal(r.field('rxFrames') - before <= 1, true);
  assert.deepEqual(r.runs()[0], [9750, 10_000 + 1448 + 300]);
  const moved = r.advance(9750);
  assert.equal(moved, 250 + 1448 + 300);
  r.close();
});

test('acknowledgement_manyRuns_latestFirstThenThoseBefore', () => {
  const r = new Receiver(1024);
  const at = (i: number): [number, number] => [3000 * i, 3000 * i + 1448];
  for (const i of [5, 2, 9, 7, 1]) r.arrive(3000 * i, 1448);
  assert.deepEqual(r.blocks(), [at(1), at(7), at(9), at(2)]);
  assert.deepEqual(r.blocks(2), [at(1), at(7)]);
  r.arrive(3000 * 9, 1448); // again: named first, then what is around it
  assert.deepEqual(r.blocks(), [at(9), at(9), at(1), at(7)]);
  assert.deepEqual(r.blocks(), [at(9), at(1), at(7), at(2)], 'a duplicate is named once');
  r.arrive(3000 * 9 + 1448, 1448);
  assert.deepEqual(r.blocks(1), [[27_000, 27_000 + 2 * 1448]]);
  r.close();
});
