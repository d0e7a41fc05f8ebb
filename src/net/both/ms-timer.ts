/**
 * One timer of the wheel for many deadlines in milliseconds, armed for the earliest that was named.
 *
 * - `armFor` never moves the timer later. Who handles its expiry names what is still to come again.
 *
 * Called by neighbour discovery. Read first: arena/wheel.ts.
 */
import type { Clock } from '../../arena/clock.ts';
import type { Wheel } from '../../arena/wheel.ts';

export class MsTimer {
  readonly #wheel: Wheel;
  readonly #clock: Clock;
  readonly #timer: number;
  /** Clock.ms for which the wheel is armed. */
  #armedMs = 0;

  constructor(wheel: Wheel, clock: Clock, timer: number) {
    this.#wheel = wheel;
    this.#clock = clock;
    this.#timer = timer;
  }

  armFor(deadlineMs: number): void {
    if (this.#wheel.isArmed(this.#timer) && ((deadlineMs - this.#armedMs) | 0) >= 0) return;
    this.#armedMs = deadlineMs;
    // the wheel counts microseconds: what is further away than it can say is named again on the way
    const delayMs = Math.min(Math.max(0, (deadlineMs - this.#clock.ms) | 0), 1_000_000);
    this.#wheel.arm(this.#timer, (this.#clock.us + delayMs * 1000) | 0);
  }

  cancel(): void {
    this.#wheel.cancel(this.#timer);
  }
}
