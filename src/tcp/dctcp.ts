/**
 * DCTCP: the window falls in proportion to how much of the last round trip's data was marked.
 *
 * - For networks whose switches mark early (a shallow threshold), as data centres do; needs ECN.
 *   Losses are answered as NewReno does, and growth is NewReno's (RFC 8257 3.4, 3.5).
 * - The moving average of the marked share, alpha, is kept in 1/1024; it starts at 1, so that the
 *   first mark halves (3.3). Once a window it moves a sixteenth of the way.
 *
 * Called through Congestion. Read first: RFC 8257 3.3; Alizadeh et al., "Data Center TCP" (2010).
 */
import { NewReno } from './congestion.ts';
import { geq } from './seq.ts';
import { TCB } from './tcb.ts';

/**
 * In CUBIC's words of the row: the share, bytes acknowledged and marked in this window, its end.
 */
const ALPHA = TCB.cubicMax;
const ACKED = TCB.cubicMaxBefore;
const MARKED = TCB.cubicEpochMs;
const END = TCB.cubicKMs;

const ALPHA_BITS = 10;
/** g = 1/16. */
const GAIN_SHIFT = 4;

export class Dctcp extends NewReno {
  readonly #tcbs: Int32Array;

  constructor(i32: Int32Array) {
    super(i32);
    this.#tcbs = i32;
  }

  override opened(row: number, hasLostSyns: boolean): void {
    super.opened(row, hasLostSyns);
    const i32 = this.#tcbs;
    i32[row + ALPHA] = 1 << ALPHA_BITS;
    i32[row + ACKED] = i32[row + MARKED] = 0;
    i32[row + END] = i32[row + TCB.sndNxt]!;
  }

  override acknowledged(row: number, bytes: number, flight: number): void {
    const i32 = this.#tcbs;
    i32[row + ACKED] = i32[row + ACKED]! + bytes;
    if (geq(i32[row + TCB.sndUna]!, i32[row + END]!)) this.#nextWindow(row);
    super.acknowledged(row, bytes, flight);
  }

  /** These bytes are acknowledged as marked; `acknowledged` will count them with the others. */
  override marked(row: number, bytes: number): void {
    this.#tcbs[row + MARKED] = this.#tcbs[row + MARKED]! + bytes;
  }

  #nextWindow(row: number): void {
    const i32 = this.#tcbs;
    const acked = Math.max(i32[row + ACKED]!, 1);
    const marked = Math.min(i32[row + MARKED]!, acked);
    const alpha = i32[row + ALPHA]!;
    const share = (marked * (1 << ALPHA_BITS)) / acked;
    const step = (share - alpha) / (1 << GAIN_SHIFT);
    // it must get to both ends
    i32[row + ALPHA] = alpha + (step < 0 ? Math.floor(step) : Math.ceil(step));
    i32[row + ACKED] = i32[row + MARKED] = 0;
    i32[row + END] = i32[row + TCB.sndNxt]!;
  }

  /** RFC 8257 3.3, equation (2): by half of alpha. */
  override reduce(row: number, _flight: number): void {
    const i32 = this.#tcbs;
    const cwnd = i32[row + TCB.cwnd]!;
    const less = (cwnd * i32[row + ALPHA]!) / (2 << ALPHA_BITS);
    const window = Math.max(cwnd - Math.floor(less), i32[row + TCB.mss]! << 1);
    i32[row + TCB.cwnd] = i32[row + TCB.ssthresh] = window;
    i32[row + TCB.caBytes] = 0;
  }
}
