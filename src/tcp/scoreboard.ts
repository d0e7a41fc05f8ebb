/**
 * The sender's scoreboard: what is in flight, when it left, and what SACK has said of it.
 *
 * - Flight is a list of *runs*: stretches of sequence numbers that left at the same time and share
 *   a fate. The clock stands still within an iteration, so all that a flush sends of one flow is
 *   one run; SACK blocks and retransmissions split runs, what is acknowledged so melts together.
 * - The runs of a flow cover exactly [sndUna, sndNxt). Only flows with SACK have any.
 * - Runs come from one pool. A flow's first run is always there; when more are scarce the last one
 *   takes what is sent and SACK blocks that would need a split wait. Both only make recovery
 *   slower, never wrong (RFC 2018 8).
 * - The pipe of RFC 6675 is flight - sacked - lost: what is sent again is not lost any more.
 * - Walks begin where the last one of the same flow ended, if they can: a recovery costs a step for
 *   each run, not a walk for each retransmission. `steps` counts them under VERIFY.
 * - Each segment that is delivered, by either kind of acknowledgement, is RACK's business too:
 *   rackAt/rackEnd/rackRtt are kept here, where each is seen once (RFC 8985 6.2, steps 1 to 3).
 *
 * Called by acknowledge.ts, recovery.ts, output.ts, teardown.ts. Read first: RFC 2018; RFC 2883;
 * RFC 6675 3-4; RFC 8985 6.2.
 */
import type { Clock } from '../arena/clock.ts';
import { FreeList } from '../arena/list.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import { VERIFY } from '../verify.ts';
import { MIN_RTT_MS, RUNS_MAX } from './constants.ts';
import { geq, gt, leq, lt } from './seq.ts';
import { FLAG, TCB } from './tcb.ts';

/** Words of a run, found by the index of its first; 0 means none. */
export const RUN = { start: 0, end: 1, at: 2, bits: 3, next: 4 } as const;
const RUN_SHIFT = 3;
/** A run is selectively acknowledged; lost and not sent again; sent more than once. */
export const SACKED = 1;
export const LOST = 2;
export const RESENT = 4;

const C_FULL = COUNTER.tcpScoreboardFull;

export class Scoreboard {
  /** Of the acknowledgement under way: bytes newly delivered; were some sent once, some again. */
  delivered = 0;
  hasOriginal = false;
  hasResent = false;
  /** Bytes that a DSACK of it names, 0: none. */
  duplicated = 0;
  /** VERIFY: runs that were looked at. */
  steps = 0;
  /** A run before the last one that was marked, and whose; 0: none. */
  #marked = 0;
  #markedRow = 0;
  /** The first lost run, and whose: no run before it is lost. 0: not known. */
  #firstLost = 0;
  #firstLostRow = 0;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #base: number;
  readonly #free: FreeList;
  readonly #reserve: number;

  constructor(env: Environment) {
    const { arena, limits } = env;
    const count = limits.flows + limits.sendSpans;
    this.#i32 = arena.i32;
    this.#view = arena.view;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#base = arena.carve('runs in flight', count << (RUN_SHIFT + 2), 64) >> 2;
    this.#free = new FreeList(arena, 'free runs', count);
    this.#reserve = limits.flows;
  }

  allHome(): boolean {
    return this.#free.allHome();
  }

  #take(row: number): number {
    const i32 = this.#i32;
    const held = i32[row + TCB.runs]!;
    if (held > 0 && this.#free.free <= this.#reserve) return this.#refuse();
    if (held >= RUNS_MAX) {
      const flight = (i32[row + TCB.sndMax]! - i32[row + TCB.sndUna]!) | 0;
      if ((held - RUNS_MAX) * i32[row + TCB.mss]! >= flight) return this.#refuse();
    }
    i32[row + TCB.runs] = held + 1;
    return this.#base + (this.#free.take() << RUN_SHIFT);
  }

  /** No run is free: the flow goes on with some that hold more than was sent or said at once. */
  #refuse(): number {
    this.#counters.bump(C_FULL);
    return 0;
  }

  #give(row: number, run: number): void {
    const i32 = this.#i32;
    if (run === this.#marked) this.#marked = 0;
    if (run === this.#firstLost) this.#firstLost = 0;
    i32[row + TCB.runs] = i32[row + TCB.runs]! - 1;
    this.#free.give((run - this.#base) >> RUN_SHIFT);
  }

  /** New data, [start, end), leaves now. */
  sent(row: number, start: number, end: number): void {
    const i32 = this.#i32;
    const now = this.#clock.us;
    const tail = i32[row + TCB.runTail]!;
    if (tail !== 0 && i32[tail + RUN.at] === now && i32[tail + RUN.bits] === 0) {
      i32[tail + RUN.end] = end;
      return;
    }
    const run = this.#take(row);
    if (run === 0) {
      this.#account(row, tail, RESENT);
      i32[tail + RUN.end] = end;
      i32[tail + RUN.at] = now;
      return;
    }
    i32[run + RUN.start] = start;
    i32[run + RUN.end] = end;
    i32[run + RUN.at] = now;
    i32[run + RUN.bits] = 0;
    i32[run + RUN.next] = 0;
    if (tail === 0) {
      i32[row + TCB.runHead] = run;
      // nothing left before it: old times, perhaps of another half of the clock, are void
      i32[row + TCB.rackAt] = now;
      i32[row + TCB.rackEnd] = i32[row + TCB.fack] = start;
    } else i32[tail + RUN.next] = run;
    i32[row + TCB.runTail] = run;
  }

  /** Gives a run other bits, keeping of its old ones RESENT, and the sums with it. */
  #account(row: number, run: number, bits: number): void {
    const i32 = this.#i32;
    const old = i32[run + RUN.bits]!;
    const length = (i32[run + RUN.end]! - i32[run + RUN.start]!) | 0;
    const sacked = (bits & SACKED) - (old & SACKED);
    const lost = ((bits & LOST) - (old & LOST)) >> 1;
    i32[row + TCB.sacked] = i32[row + TCB.sacked]! + sacked * length;
    i32[row + TCB.lost] = i32[row + TCB.lost]! + lost * length;
    i32[run + RUN.bits] = bits | (old & RESENT);
  }

  // --- acknowledgements ---

  /** An acknowledgement begins. */
  begin(): void {
    this.delivered = 0;
    this.hasOriginal = false;
    this.hasResent = false;
    this.duplicated = 0;
  }

  /** Everything before `ack` is acknowledged. */
  release(row: number, ack: number): void {
    const i32 = this.#i32;
    let run = i32[row + TCB.runHead]!;
    while (run !== 0 && lt(i32[run + RUN.start]!, ack)) {
      const start = i32[run + RUN.start]!;
      let end = i32[run + RUN.end]!;
      const isWhole = leq(end, ack);
      if (!isWhole) end = ack;
      const bits = i32[run + RUN.bits]!;
      const length = (end - start) | 0;
      if ((bits & SACKED) !== 0) i32[row + TCB.sacked] = i32[row + TCB.sacked]! - length;
      else {
        if ((bits & LOST) !== 0) i32[row + TCB.lost] = i32[row + TCB.lost]! - length;
        this.#deliver(row, i32[run + RUN.at]!, end, bits, length);
      }
      if (!isWhole) {
        i32[run + RUN.start] = ack;
        break;
      }
      const next = i32[run + RUN.next]!;
      this.#give(row, run);
      run = next;
    }
    i32[row + TCB.runHead] = run;
    if (run === 0) i32[row + TCB.runTail] = 0;
  }

  /** RFC 8985 6.2: the latest of what was delivered, and whether it came out of order. */
  #deliver(row: number, at: number, end: number, bits: number, length: number): void {
    const i32 = this.#i32;
    this.delivered = (this.delivered + length) | 0;
    const rtt = (this.#clock.us - at) | 0;
    if ((bits & RESENT) !== 0) {
      this.hasResent = true;
      if (rtt < i32[row + TCB.minRtt]!) return; // of the first transmission, which was only late
    } else {
      this.hasOriginal = true;
      if (lt(end, i32[row + TCB.fack]!)) {
        i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.reorders;
      }
      this.#sampleMin(row, rtt);
    }
    if (gt(end, i32[row + TCB.fack]!)) i32[row + TCB.fack] = end;
    const later = (at - i32[row + TCB.rackAt]!) | 0;
    if (later < 0 || (later === 0 && !gt(end, i32[row + TCB.rackEnd]!))) return;
    i32[row + TCB.rackAt] = at;
    i32[row + TCB.rackEnd] = end;
    i32[row + TCB.rackRtt] = rtt;
  }

  /** The smallest of the last seconds: paths change. */
  #sampleMin(row: number, rtt: number): void {
    const i32 = this.#i32;
    const least = i32[row + TCB.minRtt]!;
    const isOld = ((this.#clock.ms - i32[row + TCB.minRttMs]!) | 0) > MIN_RTT_MS;
    if (least !== 0 && rtt > least && !isOld) return;
    i32[row + TCB.minRtt] = Math.max(rtt, 1);
    i32[row + TCB.minRttMs] = this.#clock.ms;
  }

  /**
   * The SACK option's `count` blocks at `at`, on an acknowledgement of `ack`, which `release` has
   * seen. A first block that lies before `ack` or inside the second one is a DSACK (RFC 2883 4);
   * others must lie in flight.
   */
  sack(row: number, ack: number, at: number, count: number): void {
    const i32 = this.#i32;
    const view = this.#view;
    const una = i32[row + TCB.sndUna]!;
    const next = i32[row + TCB.sndNxt]!;
    for (let i = 0; i < count; i++) {
      const block = at + (i << 3);
      const start = view.getInt32(block);
      const end = view.getInt32(block + 4);
      const length = (end - start) | 0;
      if (length <= 0 || gt(end, next)) continue;
      if (i === 0) {
        const isInSecond =
          count > 1 && geq(start, view.getInt32(block + 8)) && leq(end, view.getInt32(block + 12));
        if (leq(end, ack) || isInSecond) {
          this.duplicated = length;
          continue;
        }
      }
      if (geq(start, una)) this.#mark(row, start, end);
    }
  }

  /** [start, end) is selectively acknowledged. */
  #mark(row: number, start: number, end: number): void {
    const i32 = this.#i32;
    if (this.#markedRow !== row) this.#marked = 0;
    const hint = this.#marked;
    const isHint = hint !== 0 && leq(i32[hint + RUN.start]!, start);
    let before = 0;
    this.#markedRow = row;
    for (let run = isHint ? hint : i32[row + TCB.runHead]!; run !== 0; run = i32[run + RUN.next]!) {
      if (VERIFY) this.steps++;
      if (geq(i32[run + RUN.start]!, end)) return;
      if (before !== 0 && leq(i32[before + RUN.end]!, start)) this.#marked = before;
      if (gt(i32[run + RUN.end]!, start)) run = this.#markRun(row, before, run, start, end);
      before = run;
    }
  }

  /** The part of a run in [start, end), unless it is known already. -> the run to go on behind. */
  #markRun(row: number, before: number, run: number, start: number, end: number): number {
    const i32 = this.#i32;
    if ((i32[run + RUN.bits]! & SACKED) !== 0) return this.#melt(row, before, run);
    if (lt(i32[run + RUN.start]!, start)) {
      const rest = this.split(row, run, start);
      if (rest === 0) return run;
      before = run;
      run = rest;
    }
    if (gt(i32[run + RUN.end]!, end) && this.split(row, run, end) === 0) return run;
    const last = i32[run + RUN.end]!;
    const length = (last - i32[run + RUN.start]!) | 0;
    this.#deliver(row, i32[run + RUN.at]!, last, i32[run + RUN.bits]!, length);
    this.#account(row, run, SACKED);
    return this.#melt(row, before, run);
  }

  /** A selectively acknowledged run behind another one lengthens that. -> the run that is left. */
  #melt(row: number, before: number, run: number): number {
    const i32 = this.#i32;
    if (before === 0 || (i32[before + RUN.bits]! & SACKED) === 0) return run;
    i32[before + RUN.end] = i32[run + RUN.end]!;
    i32[before + RUN.next] = i32[run + RUN.next]!;
    if (i32[row + TCB.runTail] === run) i32[row + TCB.runTail] = before;
    this.#give(row, run);
    return before;
  }

  // --- losses and retransmissions ---

  /** Cuts a run at `at`, inside it. Returns the second part, or 0 when no run is free. */
  split(row: number, run: number, at: number): number {
    const i32 = this.#i32;
    const rest = this.#take(row);
    if (rest === 0) return 0;
    i32[rest + RUN.start] = at;
    i32[rest + RUN.end] = i32[run + RUN.end]!;
    i32[rest + RUN.at] = i32[run + RUN.at]!;
    i32[rest + RUN.bits] = i32[run + RUN.bits]!;
    i32[rest + RUN.next] = i32[run + RUN.next]!;
    i32[run + RUN.end] = at;
    i32[run + RUN.next] = rest;
    if (i32[row + TCB.runTail] === run) i32[row + TCB.runTail] = rest;
    return rest;
  }

  /** A run is lost. */
  lose(row: number, run: number): void {
    this.#firstLost = 0;
    this.#account(row, run, LOST);
  }

  /**
   * Everything that is not selectively acknowledged is lost. When the first run is, the peer has
   * dropped what it had (RFC 2018 8): nothing that it said counts any more.
   */
  loseAll(row: number): void {
    const i32 = this.#i32;
    this.#firstLost = 0;
    const head = i32[row + TCB.runHead]!;
    const hasReneged = head !== 0 && (i32[head + RUN.bits]! & SACKED) !== 0;
    for (let run = head; run !== 0; run = i32[run + RUN.next]!) {
      if (hasReneged || (i32[run + RUN.bits]! & SACKED) === 0) this.#account(row, run, LOST);
    }
  }

  /** Nothing is lost after all. */
  loseNone(row: number): void {
    const i32 = this.#i32;
    for (let run = i32[row + TCB.runHead]!; run !== 0; run = i32[run + RUN.next]!) {
      if ((i32[run + RUN.bits]! & LOST) !== 0) this.#account(row, run, 0);
    }
  }

  /** The first lost run, or 0. */
  firstLost(row: number): number {
    const i32 = this.#i32;
    if (i32[row + TCB.lost] === 0) return 0;
    let run = this.#firstLostRow === row ? this.#firstLost : 0;
    if (run === 0) run = i32[row + TCB.runHead]!;
    while (run !== 0 && (i32[run + RUN.bits]! & LOST) === 0) {
      if (VERIFY) this.steps++;
      run = i32[run + RUN.next]!;
    }
    this.#firstLost = run;
    this.#firstLostRow = row;
    return run;
  }

  /** The first `length` sequence numbers of a run leave again, now. */
  resent(row: number, run: number, length: number): void {
    const i32 = this.#i32;
    const end = (i32[run + RUN.start]! + length) | 0;
    // else the whole run counts as sent
    if (lt(end, i32[run + RUN.end]!)) this.split(row, run, end);
    this.#account(row, run, RESENT);
    i32[run + RUN.at] = this.#clock.us;
  }

  /** The last run, cut so that it has at most `length` sequence numbers. */
  last(row: number, length: number): number {
    const i32 = this.#i32;
    const tail = i32[row + TCB.runTail]!;
    const from = (i32[tail + RUN.end]! - length) | 0;
    if (!gt(from, i32[tail + RUN.start]!)) return tail;
    const rest = this.split(row, tail, from);
    return rest === 0 ? tail : rest;
  }

  /** The flow is over. */
  clear(row: number): void {
    const i32 = this.#i32;
    for (let run = i32[row + TCB.runHead]!; run !== 0; ) {
      const next = i32[run + RUN.next]!;
      this.#give(row, run);
      run = next;
    }
    i32[row + TCB.runHead] = i32[row + TCB.runTail] = 0;
    i32[row + TCB.sacked] = i32[row + TCB.lost] = 0;
  }
}
