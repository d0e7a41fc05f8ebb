/**
 * The SACK option of our acknowledgements, with data or alone: what has arrived beyond rcvNxt.
 *
 * - A duplicate that has just arrived is named once, first (DSACK). Then the block of the latest segment, those of the
 *   arrivals before it, and whatever else there is, from the left (RFC 2018 4: the most recent first, and repeated, so
 *   that a lost acknowledgement loses nothing).
 * - A block is what lies without a gap in the out-of-order queue. `hasSomething` says whether there is any to write.
 *
 * Called by segment.ts. Read first: RFC 2018 3 and 4; RFC 2883 4.
 */
import { writeSackBlock, writeSackHead } from './options.ts';
import { HELD } from './receive-queue.ts';
import { gt, leq } from './seq.ts';
import { TCB } from './tcb.ts';

/** Blocks are told apart by whose arrival they hold: the latest, the two before it, somebody else's. */
const OTHERS = 3;
/** The block around a duplicate comes right behind the DSACK that names it (RFC 2883 4, fourth rule). */
const AROUND_DUPLICATE = -1;

export class SackWriter {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  /** Where the next block goes, and how many fit. */
  #at = 0;
  #room = 0;
  /** A DSACK stands in front, and where its duplicate begins. */
  #hasDuplicate = false;
  #duplicate = 0;

  constructor(i32: Int32Array, view: DataView) {
    this.#i32 = i32;
    this.#view = view;
  }

  hasSomething(row: number): boolean {
    const i32 = this.#i32;
    return i32[row + TCB.oooHead] !== 0 || i32[row + TCB.dsackStart] !== i32[row + TCB.dsackEnd];
  }

  /** Writes at most `max` blocks at `at`. Returns the option's bytes, padded to a multiple of 4; 0: none. */
  write(row: number, at: number, max: number): number {
    const i32 = this.#i32;
    this.#at = at + 4;
    this.#room = max;
    const start = i32[row + TCB.dsackStart]!;
    const end = i32[row + TCB.dsackEnd]!;
    this.#hasDuplicate = start !== end;
    if (start !== end) {
      this.#duplicate = start;
      this.#block(start, end);
      i32[row + TCB.dsackStart] = end; // once
    }
    const latest = i32[row + TCB.oooLast]!;
    let rank = latest === 0 ? 1 : 0;
    if (this.#hasDuplicate) rank = AROUND_DUPLICATE;
    for (; rank <= OTHERS && this.#room > 0; rank++) {
      if (this.#rank(row, rank)) break;
    }
    const bytes = this.#at - at - 4;
    if (bytes === 0) return 0;
    writeSackHead(this.#view, at, this.#at);
    return bytes + 4;
  }

  /** The blocks of one rank. True: there is only one block, and it has been written. */
  #rank(row: number, rank: number): boolean {
    const i32 = this.#i32;
    let blocks = 0;
    let written = 0;
    for (let m = i32[row + TCB.oooHead]!; m !== 0 && this.#room > 0; blocks++) {
      const start = i32[m + HELD.seq]!;
      let end = start;
      while (m !== 0 && i32[m + HELD.seq] === end) {
        end = (end + i32[m + HELD.length]!) | 0;
        m = i32[m + HELD.next]!;
      }
      if (this.#rankOf(row, start, end) !== rank) continue;
      this.#block(start, end);
      written++;
    }
    return blocks === 1 && written === 1;
  }

  #rankOf(row: number, start: number, end: number): number {
    const i32 = this.#i32;
    if (this.#hasDuplicate && isIn(this.#duplicate, start, end)) return AROUND_DUPLICATE;
    const latest = i32[row + TCB.oooLast]!;
    if (latest !== 0 && isIn(i32[latest + HELD.seq]!, start, end)) return 0;
    if (isIn(i32[row + TCB.sackRecent1]!, start, end)) return 1;
    return isIn(i32[row + TCB.sackRecent2]!, start, end) ? 2 : OTHERS;
  }

  #block(start: number, end: number): void {
    this.#at = writeSackBlock(this.#view, this.#at, start, end);
    this.#room = (this.#room - 1) | 0;
  }
}

const isIn = (seq: number, start: number, end: number): boolean => leq(start, seq) && gt(end, seq);
