/**
 * The one timer of data in flight: retransmission timeout, tail loss probe, or RACK's patience.
 *
 * - A flow without SACK has only the timeout. It is not moved by sending, and starts anew with
 *   every acknowledgement of new data (RFC 6298 5).
 * - With SACK, while nothing is known to be missing, a probe comes first: 2 round trips after the
 *   last transmission or acknowledgement, later when an acknowledgement may be delayed, never later
 *   than the timeout would (RFC 8985 7.2). One probe a flight; then the timeout.
 *
 * Called by output.ts, acknowledge.ts, recovery.ts. Read first: RFC 6298 5; RFC 8985 7.2, 8.
 */
import type { Clock } from '../arena/clock.ts';
import type { Environment } from '../net/both/environment.ts';
import { LATE_ACK_US, PROBE_MARGIN_US } from './constants.ts';
import { FLAG, TCB, TIMER, WAIT } from './tcb.ts';
import type { Timers } from './timers.ts';

/** A probe is for a flow with SACK about which nothing is known yet. */
const PROBE_MASK = FLAG.sack | FLAG.disorder | FLAG.recovery | FLAG.loss | FLAG.tail | FLAG.tailDue;

export class LossTimer {
  readonly #i32: Int32Array;
  readonly #clock: Clock;
  readonly #timers: Timers;

  constructor(env: Environment, timers: Timers) {
    this.#i32 = env.arena.i32;
    this.#clock = env.clock;
    this.#timers = timers;
  }

  /** Something was sent. */
  sent(row: number): void {
    const i32 = this.#i32;
    const isSet = (i32[row + TCB.timers]! & TIMER.rto) !== 0;
    if (isSet && i32[row + TCB.waitsFor] !== WAIT.probe) return;
    this.restart(row);
  }

  /** New data was acknowledged and more is in flight; or it starts. */
  restart(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const srtt = i32[row + TCB.srtt]!;
    let wait = i32[row + TCB.rto]!;
    let kind: number = WAIT.timeout;
    if ((flags & PROBE_MASK) === FLAG.sack && srtt !== 0 && i32[row + TCB.runHead] !== 0) {
      const flight = (i32[row + TCB.sndNxt]! - i32[row + TCB.sndUna]!) | 0;
      const isShort = flight < i32[row + TCB.mss]! << 1;
      const patience = (srtt >> 2) + (isShort ? LATE_ACK_US : PROBE_MARGIN_US);
      if (patience < wait) wait = patience;
      kind = WAIT.probe;
    }
    i32[row + TCB.waitsFor] = kind;
    this.#timers.set(row, TIMER.rto, TCB.rtoAt, (this.#clock.us + wait) | 0);
  }

  /** What is not yet lost will be after `us`, unless it turns up (RFC 8985 6.2, step 5). */
  waitForReordering(row: number, us: number): void {
    this.#i32[row + TCB.waitsFor] = WAIT.reordering;
    this.#timers.set(row, TIMER.rto, TCB.rtoAt, (this.#clock.us + us) | 0);
  }
}
