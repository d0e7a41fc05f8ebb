/**
 * The SACK option of our acknowledgements, with data or alone: what has arrived beyond rcvNxt.
 *
 * - A duplicate that has just arrived is named once, first (DSACK). Then the block of the latest
 *   segment, those of the arrivals before it, and whatever else there is, from the left (RFC 2018
 *   4: the most recent first, and repeated, so that a lost acknowledgement loses nothing).
 * - A block is a run of the out-of-order tree. No more of them are looked at than can be written.
 *
 * Called by segment.ts. Read first: RFC 2018 3 and 4; RFC 2883 4.
 */
import { HELD } from './held-table.ts';
import { writeSackBlock, writeSackHead } from './options.ts';
import type { OutOfOrder } from './out-of-order.ts';
import { TCB } from './tcb.ts';

/** An option has room for four blocks at most. */
const BLOCKS_MAX = 4;

export class SackWriter {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #outOfOrder: OutOfOrder;
  /** Runs that are written. */
  readonly #written = new Int32Array(BLOCKS_MAX);
  #count = 0;
  /** Where the next block goes, and how many fit. */
  #at = 0;
  #room = 0;

  constructor(i32: Int32Array, view: DataView, outOfOrder: OutOfOrder) {
    this.#i32 = i32;
    this.#view = view;
    this.#outOfOrder = outOfOrder;
  }

  hasSomething(row: number): boolean {
    const i32 = this.#i32;
    return i32[row + TCB.oooHead] !== 0 || i32[row + TCB.dsackStart] !== i32[row + TCB.dsackEnd];
  }

  /** Writes at most `max` blocks at `at`. -> the option's bytes, a multiple of 4; 0: none. */
  write(row: number, at: number, max: number): number {
    const i32 = this.#i32;
    const runs = this.#outOfOrder;
    this.#at = at + 4;
    this.#room = Math.min(max, BLOCKS_MAX);
    this.#count = 0;
    const start = i32[row + TCB.dsackStart]!;
    const end = i32[row + TCB.dsackEnd]!;
    if (start !== end) {
      this.#block(start, end);
      i32[row + TCB.dsackStart] = end; // once
      // right behind the DSACK that names a part of it (RFC 2883 4, fourth rule)
      this.#run(runs.around(row, start));
    }
    this.#run(i32[row + TCB.oooLast]!);
    if (this.#count < i32[row + TCB.oooRuns]!) {
      this.#run(runs.around(row, i32[row + TCB.sackRecent1]!));
      this.#run(runs.around(row, i32[row + TCB.sackRecent2]!));
      this.#others(row);
    }
    const bytes = this.#at - at - 4;
    if (bytes === 0) return 0;
    writeSackHead(this.#view, at, this.#at);
    return bytes + 4;
  }

  /** From the left, while there is room. */
  #others(row: number): void {
    const runs = this.#outOfOrder;
    let behind = this.#i32[row + TCB.rcvNxt]!;
    while (this.#room > 0) {
      const run = runs.after(row, behind);
      if (run === 0) return;
      behind = this.#i32[run + HELD.seq]!;
      this.#run(run);
    }
  }

  /** A run's block, unless it is written already; 0: no run. */
  #run(run: number): void {
    if (run === 0 || this.#room === 0) return;
    for (let i = 0; i < this.#count; i++) if (this.#written[i] === run) return;
    this.#written[this.#count] = run;
    this.#count = (this.#count + 1) | 0;
    this.#block(this.#i32[run + HELD.seq]!, this.#outOfOrder.endOf(run));
  }

  #block(start: number, end: number): void {
    this.#at = writeSackBlock(this.#view, this.#at, start, end);
    this.#room = (this.#room - 1) | 0;
  }
}
