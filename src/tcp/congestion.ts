/**
 * Congestion control: the interface, and NewReno (CUBIC is in cubic.ts, DCTCP in dctcp.ts).
 *
 * - Others decide what happened (new data acknowledged, third duplicate, partial acknowledgement,
 *   ...); the algorithm moves cwnd and ssthresh. It never looks at queues or timers.
 * - Bytes, not acknowledgements, are counted (RFC 3465), without its limit L = 2: peers that batch,
 *   like ourselves, acknowledge many segments at once, and slow start would crawl.
 * - cwnd grows only while the flow uses it (RFC 7661's concern, Linux's rule of half).
 *
 * Called by acknowledge.ts, recovery.ts, expire.ts, output.ts, ecn.ts, open.ts. See RFC 5681.
 */
import { INITIAL_WINDOW_SEGMENTS } from './constants.ts';
import { TCB } from './tcb.ts';

/**
 * `row` is the flow; sizes are bytes. `flight` is what was not acknowledged before the event; for
 * `acknowledged`, the most of it in this window.
 */
export interface Congestion {
  /** The handshake is complete; `hasLostSyns`: after several timeouts, no chance (RFC 6928 2). */
  opened(row: number, hasLostSyns: boolean): void;
  /** New data was acknowledged, outside recovery. */
  acknowledged(row: number, bytes: number, flight: number): void;
  /** Recovery begins; with SACK the caller then sets cwnd itself (PRR). */
  enterRecovery(row: number, flight: number): void;
  /** A further duplicate: a segment has left the network. */
  duplicate(row: number): void;
  /** New data was acknowledged, but not all that was out when recovery began. */
  partial(row: number, bytes: number): void;
  /** All of it: recovery ends. `flight` is what is still out. */
  leaveRecovery(row: number, flight: number): void;
  /** The retransmission timer fired, for the `first` time for this segment. */
  timedOut(row: number, flight: number, first: boolean): void;
  /**
   * `bytes` of what is being acknowledged met congestion (ECN); `acknowledged` counts them, too.
   */
  marked(row: number, bytes: number): void;
  /** A mark is to be answered as a loss is, once a window: nothing is missing. */
  reduce(row: number, flight: number): void;
  /** The last loss was none: cwnd and ssthresh have been restored. */
  undone(row: number): void;
  /** Nothing was sent for longer than the retransmission timeout (RFC 5681 4.1). */
  idle(row: number): void;
}

/** So that cwnd + flight stays an int32. */
export const CWND_MAX: number = 1 << 29;
export const SSTHRESH_INITIAL: number = CWND_MAX;

export class NewReno implements Congestion {
  readonly #i32: Int32Array;

  constructor(i32: Int32Array) {
    this.#i32 = i32;
  }

  opened(row: number, hasLostSyns: boolean): void {
    const i32 = this.#i32;
    const mss = i32[row + TCB.mss]!;
    i32[row + TCB.cwnd] = hasLostSyns ? mss : mss * INITIAL_WINDOW_SEGMENTS;
    i32[row + TCB.ssthresh] = SSTHRESH_INITIAL;
  }

  acknowledged(row: number, bytes: number, flight: number): void {
    const i32 = this.#i32;
    const cwnd = i32[row + TCB.cwnd]!;
    if (flight << 1 < cwnd || cwnd >= CWND_MAX) return;
    const mss = i32[row + TCB.mss]!;
    const ssthresh = i32[row + TCB.ssthresh]!;
    if (cwnd < ssthresh) {
      const grown = cwnd + bytes;
      i32[row + TCB.cwnd] = Math.min(grown, ssthresh);
      return;
    }
    const counted = i32[row + TCB.caBytes]! + bytes;
    if (counted < cwnd) i32[row + TCB.caBytes] = counted;
    else {
      i32[row + TCB.caBytes] = counted - cwnd;
      i32[row + TCB.cwnd] = cwnd + mss;
    }
  }

  enterRecovery(row: number, flight: number): void {
    const i32 = this.#i32;
    this.decrease(row, flight);
    i32[row + TCB.cwnd] = i32[row + TCB.ssthresh]! + 3 * i32[row + TCB.mss]!;
  }

  duplicate(row: number): void {
    const i32 = this.#i32;
    const cwnd = i32[row + TCB.cwnd]!;
    if (cwnd < CWND_MAX) i32[row + TCB.cwnd] = cwnd + i32[row + TCB.mss]!;
  }

  partial(row: number, bytes: number): void {
    const i32 = this.#i32;
    const mss = i32[row + TCB.mss]!;
    const cwnd = i32[row + TCB.cwnd]! - bytes + (bytes >= mss ? mss : 0);
    i32[row + TCB.cwnd] = Math.max(cwnd, mss);
  }

  leaveRecovery(row: number, flight: number): void {
    const i32 = this.#i32;
    const mss = i32[row + TCB.mss]!;
    const ssthresh = i32[row + TCB.ssthresh]!;
    const atLeast = Math.max(flight, mss) + mss;
    i32[row + TCB.cwnd] = Math.min(ssthresh, atLeast); // no burst (RFC 6582 3.2, step 3, option 1)
    i32[row + TCB.caBytes] = 0;
  }

  timedOut(row: number, flight: number, first: boolean): void {
    const i32 = this.#i32;
    if (first) this.decrease(row, flight);
    i32[row + TCB.cwnd] = i32[row + TCB.mss]!;
    i32[row + TCB.caBytes] = 0;
  }

  idle(row: number): void {
    const i32 = this.#i32;
    const initial = i32[row + TCB.mss]! * INITIAL_WINDOW_SEGMENTS;
    if (i32[row + TCB.cwnd]! > initial) i32[row + TCB.cwnd] = initial;
  }

  undone(_row: number): void {}

  marked(_row: number, _bytes: number): void {}

  reduce(row: number, flight: number): void {
    const i32 = this.#i32;
    this.decrease(row, Math.min(flight, i32[row + TCB.cwnd]!));
    i32[row + TCB.cwnd] = i32[row + TCB.ssthresh]!;
  }

  /** ssthresh falls: RFC 5681 equation (4). */
  protected decrease(row: number, flight: number): void {
    const i32 = this.#i32;
    const floor = i32[row + TCB.mss]! << 1;
    const half = flight >> 1;
    i32[row + TCB.ssthresh] = Math.max(half, floor);
    i32[row + TCB.caBytes] = 0;
  }
}
