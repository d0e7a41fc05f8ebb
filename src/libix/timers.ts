/**
 * Timers of an application: one `timer` event of the dataplane each.
 *
 * - A slot is another timer's only when the dataplane will not name it again: its event has come,
 *   it was refused, or it was cancelled. Its callback is forgotten as soon as it cannot come.
 * - Cancelled is cancelled: the callback is never called afterwards, also when its event is on the
 *   way already.
 *
 * Called by ix.ts.
 */
import { CALL, CODE } from '../gate/abi.ts';
import type { Timer } from './application.ts';
import { callable, delay } from './arguments.ts';
import type { RawGate } from './raw.ts';
import { refuse } from './refusals.ts';
import type { Requests } from './requests.ts';

const nothing = (): void => {};

class OneTimer implements Timer {
  readonly #timers: Timers;
  readonly slot: number;
  /** 0 until the dataplane has answered, and when it is over. */
  handle = 0;
  callback: () => void;

  constructor(timers: Timers, slot: number, callback: () => void) {
    this.#timers = timers;
    this.slot = slot;
    this.callback = callback;
  }

  get isCancelled(): boolean {
    return this.callback === nothing;
  }

  cancel(): void {
    if (this.isCancelled) return;
    this.callback = nothing;
    if (this.handle !== 0) this.#timers.cancel(this); // else when it has one
  }
}

/** One timer after the other. */
class Repeated implements Timer {
  /** The one that is running now. */
  current: Timer | undefined;

  cancel(): void {
    this.current?.cancel();
    this.current = undefined;
  }
}

export class Timers {
  readonly #gate: RawGate;
  readonly #requests: Requests;
  readonly #slots: (OneTimer | undefined)[] = [];
  readonly #free: number[] = [];

  constructor(gate: RawGate, requests: Requests) {
    this.#gate = gate;
    this.#requests = requests;
  }

  start(delayUs: number, callback: () => void): Timer {
    delay('timer', delayUs);
    callable('timer', callback);
    const slot = this.#free.pop() ?? this.#slots.length;
    const timer = new OneTimer(this, slot, callback);
    this.#slots[slot] = timer;
    const write = (): number => {
      const w = this.#gate.call(CALL.timer, slot + 1);
      if (w >= 0) this.#gate.i32[w + 2] = Math.ceil(delayUs);
      return w;
    };
    this.#requests.add(write, (result) => {
      if (result < 0) this.#forget(timer);
      refuse(`a timer of ${delayUs} us`, result);
      timer.handle = result;
      if (timer.isCancelled) this.cancel(timer);
    });
    return timer;
  }

  /** Its event has not come: it comes, or the dataplane says that none will. */
  cancel(timer: OneTimer): void {
    const write = (): number => this.#gate.call(CALL.timer_cancel, timer.handle);
    this.#requests.add(write, (result) => {
      if (result === CODE.OK) this.#forget(timer);
      else if (result === CODE.QUOTA && timer.handle !== 0) this.cancel(timer);
    });
  }

  #forget(timer: OneTimer): void {
    timer.handle = 0;
    timer.callback = nothing;
    this.#slots[timer.slot] = undefined;
    this.#free.push(timer.slot);
  }

  every(intervalUs: number, callback: () => void): Timer {
    callable('every', callback);
    const repeated = new Repeated();
    const again = (): void => {
      repeated.current = this.start(intervalUs, again);
      callback();
    };
    repeated.current = this.start(intervalUs, again);
    return repeated;
  }

  /** The timer of this cookie has expired. */
  expired(cookie: number): void {
    const timer = this.#slots[cookie - 1];
    if (timer === undefined) return;
    const { callback } = timer;
    this.#forget(timer);
    callback();
  }
}
