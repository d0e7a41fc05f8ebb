/**
 * Calls whose result somebody waits for: listen, udp_bind, timer. Rare, so they may allocate.
 *
 * - A request is written at the end of a turn, or of a later one when the batch is full; its result comes with the next turn.
 * - `settle` may throw: the application hears of a port in use by an exception out of its turn.
 *
 * Called by ix.ts, udp.ts and timers.ts.
 */
import { CALL_RESULT, CODE } from '../abi.ts';
import type { RawGate } from './raw.ts';

export class IxCallError extends Error {
  readonly code = 'IX_CALL';
}

const CODE_NAMES = Object.fromEntries(Object.entries(CODE).map(([name, value]) => [value, name]));

/** Throws what a call that was refused means to the application. */
export function refuse(what: string, result: number): void {
  if (result < 0) throw new IxCallError(`${what}: ${CODE_NAMES[result]}`);
}

interface Request {
  /** Writes the call; below 0: the batch is full. */
  write(): number;
  settle(result: number): void;
}

export class Requests {
  readonly #gate: RawGate;
  readonly #wake: () => void;
  #waiting: Request[] = [];
  /** At the gate, by call index. */
  #asked: { index: number; request: Request }[] = [];
  readonly #settled: (() => void)[] = [];

  constructor(gate: RawGate, wake: () => void) {
    this.#gate = gate;
    this.#wake = wake;
  }

  add(write: () => number, settle: (result: number) => void = () => {}): void {
    this.#waiting.push({ write, settle });
    this.#wake();
  }

  /** Some wait for room in a batch. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Some are waiting, or have no answer yet. */
  get isOpen(): boolean {
    return this.#waiting.length > 0 || this.#asked.length > 0;
  }

  /** Hands the results of the last batch to those who asked. */
  settle(): void {
    if (this.#asked.length === 0) return;
    const asked = this.#asked;
    this.#asked = [];
    for (const { index, request } of asked) {
      request.settle(this.#gate.i32[this.#gate.callAt(index) + CALL_RESULT]!);
    }
  }

  /** Into this batch, as far as it holds them. */
  write(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) {
      const index = this.#gate.callCount;
      if (request.write() >= 0) this.#asked.push({ index, request });
      else this.#waiting.push(request);
    }
  }

  /** Calls back once, when everything asked so far has its answer. */
  whenSettled(callback: () => void): void {
    this.#settled.push(callback);
    this.#wake();
  }

  /** The batch is submitted. */
  tellSettled(): void {
    if (this.#settled.length === 0 || this.isOpen) return;
    for (const callback of this.#settled.splice(0)) callback();
  }
}
