/**
 * A flow's deadlines: several in the row, one timer in the wheel.
 *
 * - While a deadline is set the wheel is armed at it or earlier. So `set` arms only for an earlier
 *   one, and `clear` only drops a bit: an acknowledgement, which moves deadlines later, costs no
 *   wheel operation. The wheel fires at the old time, for nothing, and is armed anew.
 *
 * Called by whoever waits for something; `rearm` by expire.ts. Read first: arena/wheel.ts; the
 * paper's IX had one unified timer per control block as well.
 */
import type { Wheel } from '../arena/wheel.ts';
import { lt } from './seq.ts';
import { RARE, TCB, TIMER } from './tcb.ts';

const RARELY = TIMER.user | TIMER.mtu | TIMER.pace;

export class Timers {
  readonly #i32: Int32Array;
  readonly #wheel: Wheel;

  constructor(i32: Int32Array, wheel: Wheel) {
    this.#i32 = i32;
    this.#wheel = wheel;
  }

  /** Sets `timer`, whose deadline stands in `field`. */
  set(row: number, timer: number, field: number, deadlineUs: number): void {
    const i32 = this.#i32;
    const timers = i32[row + TCB.timers]! | timer;
    i32[row + field] = deadlineUs;
    if ((timers & TIMER.armed) !== 0 && !lt(deadlineUs, i32[row + TCB.armedAt]!)) {
      i32[row + TCB.timers] = timers;
      return;
    }
    i32[row + TCB.timers] = timers | TIMER.armed;
    i32[row + TCB.armedAt] = deadlineUs;
    this.#wheel.arm(i32[row + TCB.flow]!, deadlineUs);
  }

  clear(row: number, timer: number): void {
    this.#i32[row + TCB.timers] = this.#i32[row + TCB.timers]! & ~timer;
  }

  /** No deadline is left and the wheel forgets the flow. */
  cancel(row: number): void {
    const i32 = this.#i32;
    if ((i32[row + TCB.timers]! & TIMER.armed) !== 0) this.#wheel.cancel(i32[row + TCB.flow]!);
    i32[row + TCB.timers] = 0;
  }

  /** Whether `timer` is set and its deadline has come. */
  isDue(row: number, timer: number, field: number, nowUs: number): boolean {
    const i32 = this.#i32;
    return (i32[row + TCB.timers]! & timer) !== 0 && ((i32[row + field]! - nowUs) | 0) <= 0;
  }

  /** The wheel has fired and forgotten the flow: arms it at the earliest deadline that is left. */
  rearm(row: number, nowUs: number): void {
    const i32 = this.#i32;
    const timers = i32[row + TCB.timers]!;
    let wait = 0x7fffffff;
    wait = this.#sooner(row, TIMER.rto, TCB.rtoAt, nowUs, wait);
    wait = this.#sooner(row, TIMER.delack, TCB.delackAt, nowUs, wait);
    wait = this.#sooner(row, TIMER.persist, TCB.persistAt, nowUs, wait);
    wait = this.#sooner(row, TIMER.keep, TCB.keepAt, nowUs, wait);
    wait = this.#sooner(row, TIMER.long, TCB.longAt, nowUs, wait);
    if ((timers & RARELY) !== 0) {
      wait = this.#sooner(row, TIMER.user, RARE.userAt, nowUs, wait);
      wait = this.#sooner(row, TIMER.mtu, RARE.mtuAt, nowUs, wait);
      wait = this.#sooner(row, TIMER.pace, RARE.paceAt, nowUs, wait);
    }
    if (wait === 0x7fffffff) return;
    const at = (nowUs + wait) | 0;
    // a deadline that was set meanwhile has armed it: perhaps not the earliest of all
    if ((timers & TIMER.armed) !== 0 && !lt(at, i32[row + TCB.armedAt]!)) return;
    i32[row + TCB.timers] = timers | TIMER.armed;
    i32[row + TCB.armedAt] = at;
    this.#wheel.arm(i32[row + TCB.flow]!, at);
  }

  #sooner(row: number, timer: number, field: number, nowUs: number, wait: number): number {
    const i32 = this.#i32;
    if ((i32[row + TCB.timers]! & timer) === 0) return wait;
    const left = (i32[row + field]! - nowUs) | 0;
    return Math.min(left, wait);
  }
}
