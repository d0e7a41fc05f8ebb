/**
 * What a flow has received beyond rcvNxt: runs, each a stretch without a gap, in a search tree.
 *
 * - A run is a chain of held frames, whose metadata (HELD) stands in held-table.ts. Its first
 *   frame's also has the run's last frame and its place in the tree: `oooHead` is the root. Runs
 *   never overlap and never touch.
 * - A peer makes as many runs as it likes, in any order, so what a segment costs must not depend on
 *   them: the tree is a treap, whose shape hangs on a secret and not on the order of arrival.
 *   Finding, adding and removing a run take some 2 ln(runs) steps; what is done for each frame is
 *   done once in its life. `steps` counts them under VERIFY.
 * - Runs of a few bytes are worth nothing: beyond TINY_RUNS a new one must have half a full
 *   segment, else it is dropped (tcpOutOfOrderTiny; RFC 2018 8 allows it). A small payload that
 *   touches a run is copied into its frame.
 *
 * Called by receive-queue.ts, sack-writer.ts. Read first: Seidel, Aragon, "Randomized search
 * trees".
 */
import { COUNTER, type Counters } from '../counters.ts';
import { FREE_FRAME, KEEP_FRAME } from '../net/both/environment.ts';
import { VERIFY } from '../verify.ts';
import { COMPACT_BYTES, COMPACT_FRAMES, TINY_RUNS } from './constants.ts';
import { HELD, type HeldTable } from './held-table.ts';
import { gt, leq, lt } from './seq.ts';
import { TCB } from './tcb.ts';

const C_TINY = COUNTER.tcpOutOfOrderTiny;
const C_DUPLICATE = COUNTER.tcpDuplicate;

export class OutOfOrder {
  /** VERIFY: runs and frames that were looked at. */
  steps = 0;
  readonly #i32: Int32Array;
  readonly #held: HeldTable;
  readonly #counters: Counters;
  readonly #secret: number;
  /** What #seek has found. */
  #at = 0;
  #behind = 0;

  constructor(i32: Int32Array, held: HeldTable, counters: Counters, secret: number) {
    this.#i32 = i32;
    this.#held = held;
    this.#counters = counters;
    this.#secret = secret | 0;
  }

  // --- runs, for SACK ---

  /** Sequence number behind a run. */
  endOf(run: number): number {
    const last = this.#i32[run + HELD.last]!;
    return (this.#i32[last + HELD.seq]! + this.#i32[last + HELD.length]!) | 0;
  }

  /** The last run that starts at or before `seq`, or 0. */
  before(row: number, seq: number): number {
    this.#seek(row, seq);
    return this.#at;
  }

  /** The first run that starts behind `seq`, or 0. */
  after(row: number, seq: number): number {
    this.#seek(row, seq);
    return this.#behind;
  }

  /** One way down the tree finds both. */
  #seek(row: number, seq: number): void {
    const i32 = this.#i32;
    let at = 0;
    let behind = 0;
    for (let run = i32[row + TCB.oooHead]!; run !== 0; ) {
      if (VERIFY) this.steps++;
      if (leq(i32[run + HELD.seq]!, seq)) {
        at = run;
        run = i32[run + HELD.right]!;
      } else {
        behind = run;
        run = i32[run + HELD.left]!;
      }
    }
    this.#at = at;
    this.#behind = behind;
  }

  /** The run that holds `seq`, or 0. */
  around(row: number, seq: number): number {
    const run = this.before(row, seq);
    return run !== 0 && gt(this.endOf(run), seq) ? run : 0;
  }

  // --- arrivals ---

  /** Payload beyond rcvNxt, for which there is room: KEEP_FRAME or FREE_FRAME. */
  insert(row: number, frame: number, data: number, length: number, seq: number): number {
    const i32 = this.#i32;
    const first = seq;
    const last = (seq + length) | 0;
    const before = this.before(row, seq);
    if (before !== 0) {
      const overlap = (this.endOf(before) - seq) | 0;
      if (overlap > 0) {
        data += overlap;
        length -= overlap;
        seq = (seq + overlap) | 0;
      }
    }
    if (length <= 0) {
      this.#counters.bump(C_DUPLICATE);
      this.duplicate(row, first, last);
      return FREE_FRAME;
    }
    const after = this.#coverBehind(row, seq, last);
    if (after !== 0 && lt(i32[after + HELD.seq]!, last))
      length = (i32[after + HELD.seq]! - seq) | 0;
    const joinsAfter = after !== 0 && i32[after + HELD.seq] === ((seq + length) | 0);
    if (before !== 0 && this.endOf(before) === seq) {
      const kept = this.#lengthen(row, before, frame, data, length, seq);
      if (joinsAfter) this.#join(row, before, after);
      return kept;
    }
    if (joinsAfter) return this.#prepend(row, after, frame, data, length, seq);
    if (i32[row + TCB.oooRuns]! >= TINY_RUNS && length << 1 < i32[row + TCB.rcvMss]!) {
      this.#counters.bump(C_TINY);
      return FREE_FRAME;
    }
    const run = this.#hold(row, frame, data, length, seq);
    i32[run + HELD.last] = run;
    this.#add(row, run);
    this.#latest(row, run);
    return KEEP_FRAME;
  }

  /** Frees the runs that [seq, end) covers whole; answers the first one behind them. */
  #coverBehind(row: number, seq: number, end: number): number {
    for (;;) {
      const run = this.after(row, seq);
      if (run === 0 || gt(this.endOf(run), end)) return run;
      this.#remove(row, run);
      this.#freeChain(row, run);
    }
  }

  /**
   * Behind a run's last byte: into its last frame if small and there is room, else a frame more.
   */
  #lengthen(
    row: number,
    run: number,
    frame: number,
    data: number,
    length: number,
    seq: number,
  ): number {
    const i32 = this.#i32;
    const last = i32[run + HELD.last]!;
    this.#latest(row, run);
    if (this.#isSmall(row, length) && this.#held.copyBehind(last, data, length)) return FREE_FRAME;
    const m = this.#hold(row, frame, data, length, seq);
    i32[last + HELD.next] = m;
    i32[run + HELD.last] = m;
    return KEEP_FRAME;
  }

  /** The same in front of a run's first byte. */
  #prepend(
    row: number,
    run: number,
    frame: number,
    data: number,
    length: number,
    seq: number,
  ): number {
    const i32 = this.#i32;
    if (this.#isSmall(row, length) && this.#held.copyBefore(run, data, length)) {
      i32[run + HELD.seq] = seq;
      this.#latest(row, run);
      return FREE_FRAME;
    }
    const wasLast = i32[row + TCB.oooLast] === run;
    this.#remove(row, run);
    const m = this.#hold(row, frame, data, length, seq);
    i32[m + HELD.next] = run;
    i32[m + HELD.last] = i32[run + HELD.last]!;
    i32[run + HELD.last] = 0;
    this.#add(row, m);
    if (wasLast) i32[row + TCB.oooLast] = m;
    else this.#latest(row, m);
    return KEEP_FRAME;
  }

  #isSmall(row: number, length: number): boolean {
    return length <= COMPACT_BYTES && this.#i32[row + TCB.rxFrames]! >= COMPACT_FRAMES;
  }

  /** Two runs have come to touch each other. */
  #join(row: number, before: number, after: number): void {
    const i32 = this.#i32;
    const wasLast = i32[row + TCB.oooLast] === after;
    this.#remove(row, after);
    i32[i32[before + HELD.last]! + HELD.next] = after;
    i32[before + HELD.last] = i32[after + HELD.last]!;
    i32[after + HELD.last] = 0;
    if (wasLast) i32[row + TCB.oooLast] = before;
  }

  /** A frame is held; it is in no chain yet. */
  #hold(row: number, frame: number, data: number, length: number, seq: number): number {
    const i32 = this.#i32;
    const m = this.#held.hold(row, frame, data, length);
    i32[m + HELD.seq] = seq;
    i32[row + TCB.oooFrames] = i32[row + TCB.oooFrames]! + 1;
    return m;
  }

  /** The latest arrival is in `run`; where the one before it went is remembered. */
  #latest(row: number, run: number): void {
    const i32 = this.#i32;
    const last = i32[row + TCB.oooLast]!;
    if (last === run) return;
    i32[row + TCB.oooLast] = run;
    if (last === 0) return;
    i32[row + TCB.sackRecent2] = i32[row + TCB.sackRecent1]!;
    i32[row + TCB.sackRecent1] = i32[last + HELD.seq]!;
  }

  /**
   * [start, end) has arrived before: the next acknowledgement says so (RFC 2883). What is held
   * around it counts as the latest arrival, so that its block comes first (RFC 2018 4).
   */
  duplicate(row: number, start: number, end: number): void {
    const run = this.around(row, start);
    if (run !== 0) this.#latest(row, run);
    this.#i32[row + TCB.dsackStart] = start;
    this.#i32[row + TCB.dsackEnd] = end;
  }

  // --- the end of a run ---

  /**
   * Takes out the first run that touches `next`: its first frame from there on, or 0; frees those
   * before.
   */
  take(row: number, next: number): number {
    const i32 = this.#i32;
    for (;;) {
      const run = this.#leftmost(row);
      if (run === 0 || gt(i32[run + HELD.seq]!, next)) return 0;
      this.#remove(row, run);
      let m = run;
      while (m !== 0 && leq((i32[m + HELD.seq]! + i32[m + HELD.length]!) | 0, next)) {
        m = this.#free(row, m);
      }
      if (m === 0) continue;
      const overlap = (next - i32[m + HELD.seq]!) | 0;
      if (overlap > 0) {
        i32[m + HELD.data] = i32[m + HELD.data]! + overlap;
        i32[m + HELD.length] = i32[m + HELD.length]! - overlap;
      }
      return m;
    }
  }

  #leftmost(row: number): number {
    const i32 = this.#i32;
    let run = i32[row + TCB.oooHead]!;
    while (run !== 0 && i32[run + HELD.left] !== 0) {
      if (VERIFY) this.steps++;
      run = i32[run + HELD.left]!;
    }
    return run;
  }

  /** A frame that `take` has answered leaves; the one behind it, or 0. */
  leave(row: number, m: number): number {
    if (VERIFY) this.steps++;
    const i32 = this.#i32;
    i32[row + TCB.oooFrames] = i32[row + TCB.oooFrames]! - 1;
    return i32[m + HELD.next]!;
  }

  /** Out-of-order data may be dropped at any time, even after SACK (RFC 2018 8). */
  drop(row: number): void {
    const i32 = this.#i32;
    for (let run = i32[row + TCB.oooHead]!; run !== 0; run = i32[row + TCB.oooHead]!) {
      this.#remove(row, run);
      this.#freeChain(row, run);
    }
  }

  #freeChain(row: number, run: number): void {
    for (let m = run; m !== 0; m = this.#free(row, m));
  }

  /** Consumes one frame of a run that is not in the tree; answers the next. */
  #free(row: number, m: number): number {
    const next = this.leave(row, m);
    this.#held.free(row, m);
    return next;
  }

  // --- the tree: keys are first sequence numbers, priorities a secret function of the place ---

  #priority(run: number): number {
    let x = Math.imul(run ^ this.#secret, 0x9e3779b1);
    x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
    return x ^ (x >>> 13);
  }

  #add(row: number, run: number): void {
    const i32 = this.#i32;
    const seq = i32[run + HELD.seq]!;
    const priority = this.#priority(run);
    let link = row + TCB.oooHead;
    let at = i32[link]!;
    while (at !== 0 && this.#priority(at) >= priority) {
      if (VERIFY) this.steps++;
      link = at + (lt(i32[at + HELD.seq]!, seq) ? HELD.right : HELD.left);
      at = i32[link]!;
    }
    i32[link] = run;
    // what stood there goes to both sides of the new run
    let left = run + HELD.left;
    let right = run + HELD.right;
    while (at !== 0) {
      if (VERIFY) this.steps++;
      if (lt(i32[at + HELD.seq]!, seq)) {
        i32[left] = at;
        left = at + HELD.right;
        at = i32[left]!;
      } else {
        i32[right] = at;
        right = at + HELD.left;
        at = i32[right]!;
      }
    }
    i32[left] = 0;
    i32[right] = 0;
    i32[row + TCB.oooRuns] = i32[row + TCB.oooRuns]! + 1;
  }

  #remove(row: number, run: number): void {
    const i32 = this.#i32;
    const seq = i32[run + HELD.seq]!;
    let link = row + TCB.oooHead;
    for (let at = i32[link]!; at !== run; at = i32[link]!) {
      if (VERIFY) this.steps++;
      link = at + (lt(i32[at + HELD.seq]!, seq) ? HELD.right : HELD.left);
    }
    let left = i32[run + HELD.left]!;
    let right = i32[run + HELD.right]!;
    while (left !== 0 && right !== 0) {
      if (VERIFY) this.steps++;
      if (this.#priority(left) >= this.#priority(right)) {
        i32[link] = left;
        link = left + HELD.right;
        left = i32[link]!;
      } else {
        i32[link] = right;
        link = right + HELD.left;
        right = i32[link]!;
      }
    }
    i32[link] = left !== 0 ? left : right;
    i32[row + TCB.oooRuns] = i32[row + TCB.oooRuns]! - 1;
    if (i32[row + TCB.oooLast] === run) i32[row + TCB.oooLast] = 0;
  }
}
