/**
 * CUBIC, with HyStart++ for slow start.
 *
 * - After a loss cwnd grows along a cubic function of time whose plateau is where the loss was,
 *   whatever the round trip; where NewReno would be faster it follows NewReno's estimate.
 * - Slow start ends before it overflows the path: when the round trip of one round is clearly
 *   longer than that of the round before, growth is a quarter for five rounds, then it is over.
 * - All bytes acknowledged count (why: congestion.ts), so RFC 9406's L is infinite here.
 * - What a loss does to the window is NewReno's, but for how much it falls (`decrease`).
 * - Sums are doubles in registers; what is kept is int32: times in ms, windows in bytes,
 *   `cubicRest` in 1/1024 bytes.
 * - Round-trip samples are the scoreboard's (rackRtt); without SACK slow start is the classic one.
 *
 * Called through Congestion. Read first: RFC 9438 4; RFC 9406 4.2.
 */
import type { Clock } from '../arena/clock.ts';
import { CWND_MAX, NewReno } from './congestion.ts';
import { geq } from './seq.ts';
import { TCB } from './tcb.ts';

/**
 * RFC 9438: C (5), in segments per s^3; the factor of decrease (4.6); the Reno-friendly increase
 * that goes with it (4.3).
 */
const C = 0.4;
const BETA = 0.7;
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/** RFC 9406 4.3. */
const ROUND_SAMPLES = 8;
const RTT_THRESHOLD_MIN_US = 4000;
const RTT_THRESHOLD_MAX_US = 16_000;
const CSS_GROWTH_SHIFT = 2;
const CSS_ROUNDS = 5;
/** Larger than any round trip: no sample yet. */
const NO_RTT = 0x7fffffff;
const REST = 1024;

export class Cubic extends NewReno {
  readonly #tcbs: Int32Array;
  readonly #clock: Clock;

  constructor(i32: Int32Array, clock: Clock) {
    super(i32);
    this.#tcbs = i32;
    this.#clock = clock;
  }

  override opened(row: number, hasLostSyns: boolean): void {
    super.opened(row, hasLostSyns);
    const i32 = this.#tcbs;
    i32[row + TCB.roundEnd] = i32[row + TCB.sndNxt]!;
    i32[row + TCB.roundMin] = i32[row + TCB.roundMinLast] = NO_RTT;
  }

  override acknowledged(row: number, bytes: number, flight: number): void {
    const i32 = this.#tcbs;
    const cwnd = i32[row + TCB.cwnd]!;
    if (flight << 1 < cwnd || cwnd >= CWND_MAX) {
      i32[row + TCB.cubicEpochMs] = 0; // time without use does not count (RFC 9438 5.8)
      return;
    }
    if (cwnd < i32[row + TCB.ssthresh]!) this.#slowStart(row, bytes, cwnd);
    else this.#avoid(row, bytes, cwnd);
  }

  // --- slow start ---

  #slowStart(row: number, bytes: number, cwnd: number): void {
    const i32 = this.#tcbs;
    const rtt = i32[row + TCB.rackRtt]!;
    if (rtt > 0) this.#round(row, rtt);
    const isConservative = i32[row + TCB.cssRounds]! > 0;
    const grown = cwnd + (isConservative ? bytes >> CSS_GROWTH_SHIFT : bytes);
    i32[row + TCB.cwnd] = Math.min(grown, Math.max(i32[row + TCB.ssthresh]!, cwnd), CWND_MAX);
  }

  /** One sample; a round ends when what was out at its start is acknowledged. */
  #round(row: number, rtt: number): void {
    const i32 = this.#tcbs;
    if (geq(i32[row + TCB.sndUna]!, i32[row + TCB.roundEnd]!)) this.#nextRound(row);
    if (rtt < i32[row + TCB.roundMin]!) i32[row + TCB.roundMin] = rtt;
    const samples = i32[row + TCB.roundSamples]! + 1;
    i32[row + TCB.roundSamples] = samples;
    if (samples < ROUND_SAMPLES) return;
    const least = i32[row + TCB.roundMin]!;
    const before = i32[row + TCB.roundMinLast]!;
    if (i32[row + TCB.cssRounds] !== 0) {
      if (least < i32[row + TCB.cssBase]!) i32[row + TCB.cssRounds] = 0; // it was only jitter
      return;
    }
    if (before === NO_RTT) return;
    const eighth = Math.max(before >> 3, RTT_THRESHOLD_MIN_US);
    if (least - Math.min(eighth, RTT_THRESHOLD_MAX_US) < before) return;
    i32[row + TCB.cssBase] = least;
    i32[row + TCB.cssRounds] = 1;
  }

  #nextRound(row: number): void {
    const i32 = this.#tcbs;
    i32[row + TCB.roundEnd] = i32[row + TCB.sndNxt]!;
    i32[row + TCB.roundMinLast] = i32[row + TCB.roundMin]!;
    i32[row + TCB.roundMin] = NO_RTT;
    i32[row + TCB.roundSamples] = 0;
    const rounds = i32[row + TCB.cssRounds]!;
    if (rounds === 0) return;
    i32[row + TCB.cssRounds] = rounds + 1;
    if (rounds < CSS_ROUNDS) return;
    i32[row + TCB.ssthresh] = i32[row + TCB.cwnd]!;
    i32[row + TCB.cssRounds] = 0;
  }

  // --- congestion avoidance ---

  #avoid(row: number, bytes: number, cwnd: number): void {
    const i32 = this.#tcbs;
    const mss = i32[row + TCB.mss]!;
    if (i32[row + TCB.cubicEpochMs] === 0) this.#startEpoch(row, cwnd, mss);
    const elapsed = (this.#clock.ms - i32[row + TCB.cubicEpochMs]!) | 0;
    const rttMs = i32[row + TCB.srtt]! / 8000;
    const t = (elapsed + rttMs - i32[row + TCB.cubicKMs]!) / 1000;
    let target = i32[row + TCB.cubicOrigin]! + C * t * t * t * mss;
    if (target > cwnd * 1.5) target = cwnd * 1.5;
    let growth = target > cwnd ? ((target - cwnd) * bytes) / cwnd : 0;
    const reno = this.#reno(row, bytes, cwnd, mss);
    if (reno > cwnd + growth) growth = reno - cwnd;
    if (growth > bytes) growth = bytes; // never faster than slow start
    const exact = growth + i32[row + TCB.cubicRest]! / REST;
    const whole = Math.floor(exact);
    i32[row + TCB.cubicRest] = (exact - whole) * REST;
    i32[row + TCB.cwnd] = cwnd + whole;
  }

  /** What NewReno with CUBIC's smaller decrease would have (RFC 9438 4.3), in bytes. */
  #reno(row: number, bytes: number, cwnd: number, mss: number): number {
    const i32 = this.#tcbs;
    const before = i32[row + TCB.cubicReno]!;
    // not cubicMax, which fast convergence lowers
    const alpha = before < i32[row + TCB.cubicPrior]! ? ALPHA : 1;
    const counted = i32[row + TCB.caBytes]! + bytes;
    const step = Math.floor((alpha * counted * mss) / cwnd);
    if (step < 8) {
      i32[row + TCB.caBytes] = counted; // too little to be counted in whole bytes
      return before;
    }
    i32[row + TCB.caBytes] = 0;
    const estimate = Math.min(before + step, CWND_MAX);
    i32[row + TCB.cubicReno] = estimate;
    return estimate;
  }

  #startEpoch(row: number, cwnd: number, mss: number): void {
    const i32 = this.#tcbs;
    const max = i32[row + TCB.cubicMax]!;
    const now = this.#clock.ms;
    i32[row + TCB.cubicEpochMs] = now === 0 ? 1 : now;
    i32[row + TCB.cubicReno] = cwnd;
    i32[row + TCB.caBytes] = i32[row + TCB.cubicRest] = 0;
    // no loss yet (RFC 9438 4.10), or a timeout (4.8)
    if (max === 0) i32[row + TCB.cubicMax] = cwnd;
    if (cwnd >= max) {
      i32[row + TCB.cubicKMs] = 0;
      i32[row + TCB.cubicOrigin] = cwnd;
    } else {
      i32[row + TCB.cubicKMs] = Math.cbrt((max - cwnd) / mss / C) * 1000;
      i32[row + TCB.cubicOrigin] = max;
    }
  }

  // --- losses ---

  /** RFC 9438 4.6 and 4.7 (fast convergence). */
  protected override decrease(row: number, flight: number): void {
    const i32 = this.#tcbs;
    const cwnd = i32[row + TCB.cwnd]!;
    const max = i32[row + TCB.cubicMax]!;
    i32[row + TCB.cubicMaxBefore] = max;
    i32[row + TCB.cubicPrior] = cwnd;
    i32[row + TCB.cubicMax] = cwnd < max ? (cwnd * (1 + BETA)) / 2 : cwnd;
    i32[row + TCB.ssthresh] = Math.max(flight * BETA, i32[row + TCB.mss]! << 1);
    i32[row + TCB.cubicEpochMs] = 0;
    i32[row + TCB.cssRounds] = 0;
  }

  override timedOut(row: number, flight: number, first: boolean): void {
    const i32 = this.#tcbs;
    super.timedOut(row, Math.min(flight, i32[row + TCB.cwnd]!), first);
    // what the path carried before says nothing now: a plateau of its own (RFC 9438 4.8)
    i32[row + TCB.cubicMax] = 0;
    i32[row + TCB.cubicEpochMs] = 0;
  }

  override undone(row: number): void {
    const i32 = this.#tcbs;
    i32[row + TCB.cubicMax] = i32[row + TCB.cubicMaxBefore]!;
    i32[row + TCB.cubicEpochMs] = 0;
  }

  override idle(row: number): void {
    super.idle(row);
    this.#tcbs[row + TCB.cubicEpochMs] = 0;
  }
}
