/**
 * Timers of an application: one `timer` event of the dataplane each.
 *
 * Called by ix.ts.
 */
import { CALL } from '../abi.ts';
import type { RawGate } from './raw.ts';
import { type Requests, refuse } from './requests.ts';

export class Timers {
  readonly #gate: RawGate;
  readonly #requests: Requests;
  readonly #callbacks: (() => void)[] = [];
  readonly #free: number[] = [];

  constructor(gate: RawGate, requests: Requests) {
    this.#gate = gate;
    this.#requests = requests;
  }

  start(delayUs: number, callback: () => void): void {
    const slot = this.#free.pop() ?? this.#callbacks.length;
    this.#callbacks[slot] = callback;
    const write = (): number => {
      const w = this.#gate.call(CALL.timer, slot + 1);
      if (w >= 0) this.#gate.i32[w + 2] = delayUs;
      return w;
    };
    this.#requests.add(write, (result) => {
      if (result < 0) this.#free.push(slot);
      refuse(`a timer of ${delayUs} us`, result);
    });
  }

  every(intervalUs: number, callback: () => void): void {
    const again = (): void => {
      this.start(intervalUs, again);
      callback();
    };
    this.start(intervalUs, again);
  }

  /** The timer of this cookie has expired. */
  expired(cookie: number): void {
    const callback = this.#callbacks[cookie - 1];
    this.#free.push(cookie - 1);
    callback?.();
  }
}
