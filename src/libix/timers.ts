/**
 * Timers of an application: one `timer` event of the dataplane each.
 *
 * - A slot is another timer's only when its own has expired or was refused; its callback is
 *   forgotten then.
 *
 * Called by ix.ts.
 */
import { CALL } from '../gate/abi.ts';
import { callable, delay } from './arguments.ts';
import type { RawGate } from './raw.ts';
import { refuse } from './refusals.ts';
import type { Requests } from './requests.ts';

export class Timers {
  readonly #gate: RawGate;
  readonly #requests: Requests;
  readonly #callbacks: ((() => void) | undefined)[] = [];
  readonly #free: number[] = [];

  constructor(gate: RawGate, requests: Requests) {
    this.#gate = gate;
    this.#requests = requests;
  }

  start(delayUs: number, callback: () => void): void {
    delay('timer', delayUs);
    callable('timer', callback);
    const slot = this.#free.pop() ?? this.#callbacks.length;
    this.#callbacks[slot] = callback;
    const write = (): number => {
      const w = this.#gate.call(CALL.timer, slot + 1);
      if (w >= 0) this.#gate.i32[w + 2] = Math.ceil(delayUs);
      return w;
    };
    this.#requests.add(write, (result) => {
      if (result < 0) this.#forget(slot);
      refuse(`a timer of ${delayUs} us`, result);
    });
  }

  #forget(slot: number): void {
    this.#callbacks[slot] = undefined;
    this.#free.push(slot);
  }

  every(intervalUs: number, callback: () => void): void {
    callable('every', callback);
    const again = (): void => {
      this.start(intervalUs, again);
      callback();
    };
    this.start(intervalUs, again);
  }

  /** The timer of this cookie has expired. */
  expired(cookie: number): void {
    const callback = this.#callbacks[cookie - 1];
    if (callback === undefined) return;
    this.#forget(cookie - 1);
    callback();
  }
}
