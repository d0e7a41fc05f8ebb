/**
 * The user timeout: how long an application lets data, or a SYN, go unacknowledged.
 *
 * - Counted from the first transmission of what is not acknowledged, or from the first probe of a
 *   closed window, to the millisecond; progress of any kind ends it. It takes the place of the
 *   fixed number of retries (RFC 9293 3.8.3: R2 must be configurable), so it may be longer than
 *   that as well as shorter.
 * - Looked at when the first timeout or probe of a standstill comes, and from then on by a timer of
 *   its own: flows that get on pay nothing. A timeout shorter than the first retransmission timeout
 *   is noticed only then.
 * - Local: the option of RFC 5482 is neither sent nor heard.
 *
 * Called by expire.ts. Read first: RFC 9293 3.8.3, 3.9.1, 3.10.8; RFC 5482 3.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import { WAIT_MAX_MS } from './constants.ts';
import type { Flows } from './flows.ts';
import { FLAG, RARE, TCB, TIMER } from './tcb.ts';
import type { Timers } from './timers.ts';

const C_USER_TIMEOUTS = COUNTER.tcpUserTimeouts;

export class UserTimeout {
  readonly #i32: Int32Array;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #timers: Timers;

  constructor(env: Environment, flows: Flows, timers: Timers) {
    this.#i32 = flows.i32;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#timers = timers;
  }

  /** 0: none. What is out already counts from now on. */
  set(row: number, ms: number): void {
    const i32 = this.#i32;
    this.#timers.clear(row, TIMER.user);
    i32[row + RARE.userMs] = ms;
    const isWaiting = i32[row + TCB.sndMax] !== i32[row + TCB.sndUna] || i32[row + TCB.srtt] === 0;
    if (ms > 0 && isWaiting) this.stuck(row, 0);
  }

  /** Whether retries are counted in time. An orphan has nobody who would wait. */
  rules(row: number): boolean {
    const i32 = this.#i32;
    return i32[row + RARE.userMs] !== 0 && (i32[row + TCB.flags]! & FLAG.noReader) === 0;
  }

  /**
   * Nothing goes on at sndUna, and has not for `ms`. For the same data again: it goes on counting.
   */
  stuck(row: number, ms: number): void {
    const i32 = this.#i32;
    if (i32[row + RARE.userMs] === 0) return;
    const una = i32[row + TCB.sndUna]!;
    if ((i32[row + TCB.timers]! & TIMER.user) !== 0 && i32[row + RARE.userUna] === una) return;
    i32[row + RARE.userUna] = una;
    i32[row + RARE.userSinceMs] = (this.#clock.ms - ms) | 0;
    this.#wait(row);
  }

  /** Milliseconds that are left are waited for in pieces that the wheel takes. */
  #wait(row: number): void {
    const i32 = this.#i32;
    const passed = (this.#clock.ms - i32[row + RARE.userSinceMs]!) | 0;
    const left = Math.min(Math.max(i32[row + RARE.userMs]! - passed, 0), WAIT_MAX_MS);
    this.#timers.set(row, TIMER.user, RARE.userAt, (this.#clock.us + left * 1000) | 0);
  }

  /** The timer is due: whether the connection is over. */
  isOver(row: number): boolean {
    const i32 = this.#i32;
    this.#timers.clear(row, TIMER.user);
    const una = i32[row + TCB.sndUna]!;
    if (una !== i32[row + RARE.userUna]) return false;
    if (una === i32[row + TCB.sndMax] && i32[row + TCB.probes] === 0) return false;
    const passed = (this.#clock.ms - i32[row + RARE.userSinceMs]!) | 0;
    if (passed < i32[row + RARE.userMs]!) {
      this.#wait(row);
      return false;
    }
    this.#counters.bump(C_USER_TIMEOUTS);
    return true;
  }
}
