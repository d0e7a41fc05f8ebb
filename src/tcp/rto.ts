/**
 * The retransmission timeout, from round-trip samples.
 *
 * - srtt is held in us << 3, rttvar in us << 2: the gains 1/8 and 1/4 are shifts (Jacobson 1988).
 * - The floor stands under the variance (srtt + max(4 rttvar, RTO_MIN_US)), as in Linux: under the
 *   sum, a long and steady path would have no room for an acknowledgement that its receiver delays.
 * - A sample is one timed segment a flight that was sent once (Karn), or an echoed timestamp.
 * - `backOff` doubles; the next valid sample computes the timeout anew (RFC 6298 5, its last note;
 *   Karn's second half).
 *
 * Called by acknowledge.ts, expire.ts, open.ts, output.ts. Read first: RFC 6298.
 */
import { RTO_INITIAL_US, RTO_MAX_US, RTO_MIN_US } from './constants.ts';
import { TCB } from './tcb.ts';

export function initRto(i32: Int32Array, row: number): void {
  i32[row + TCB.srtt] = 0;
  i32[row + TCB.rttvar] = 0;
  i32[row + TCB.rto] = RTO_INITIAL_US;
}

/** Takes a sample, microseconds (RFC 6298 2.2, 2.3). */
export function sampleRtt(i32: Int32Array, row: number, rttUs: number): void {
  if (rttUs < 0) return; // the timed segment is older than half the clock
  const rtt = rttUs < 1 ? 1 : Math.min(rttUs, RTO_MAX_US);
  let srtt = i32[row + TCB.srtt]!;
  let rttvar = i32[row + TCB.rttvar]!;
  if (srtt === 0) {
    srtt = rtt << 3;
    rttvar = rtt << 1;
  } else {
    const error = rtt - (srtt >> 3);
    srtt += error;
    rttvar += (error < 0 ? -error : error) - (rttvar >> 2);
  }
  i32[row + TCB.srtt] = Math.max(srtt, 1);
  i32[row + TCB.rttvar] = rttvar;
  const rto = (srtt >> 3) + Math.max(rttvar, RTO_MIN_US);
  i32[row + TCB.rto] = Math.min(rto, RTO_MAX_US);
}

/** Doubles the timeout (RFC 6298 5.5). */
export function backOff(i32: Int32Array, row: number): void {
  const rto = i32[row + TCB.rto]! << 1;
  i32[row + TCB.rto] = Math.min(rto, RTO_MAX_US);
}

/** A timeout doubled `times` times, without touching the flow's. */
export function backedOff(rto: number, times: number): number {
  while (times-- > 0 && rto < RTO_MAX_US) rto <<= 1;
  return Math.min(rto, RTO_MAX_US);
}
