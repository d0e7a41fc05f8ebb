/**
 * Calls whose result somebody waits for: listen, udp_bind, timer. Rare, so they may allocate.
 *
 * - A request is written at the end of a turn, or of a later one when the batch is full; its result
 *   comes with the next turn.
 * - What is refused while the application starts makes the start fail: `whenSettled` is told the
 *   first of it. Later the application is running, and it is reported like an exception of the
 *   application's.
 *
 * Called by ix.ts, udp.ts and timers.ts.
 */
import { CALL_RESULT } from '../gate/abi.ts';
import type { Faults } from './guard.ts';
import type { RawGate } from './raw.ts';
import { IxCallError } from './refusals.ts';

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
  readonly #settled: ((refused: IxCallError | undefined) => void)[] = [];
  readonly #faults: Faults;
  /** The first call back of `whenSettled` has been made. */
  #hasStarted = false;
  #refused: IxCallError | undefined;

  constructor(gate: RawGate, wake: () => void, faults: Faults) {
    this.#gate = gate;
    this.#wake = wake;
    this.#faults = faults;
  }

  #failed(error: unknown): void {
    if (this.#hasStarted || !(error instanceof IxCallError)) this.#faults.report(error);
    else this.#refused ??= error;
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
      try {
        request.settle(this.#gate.i32[this.#gate.callAt(index) + CALL_RESULT]!);
      } catch (error) {
        this.#failed(error);
      }
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

  /**
   * Calls back once, when everything asked so far has its answer; with what was refused meanwhile,
   * at the start.
   */
  whenSettled(callback: (refused: IxCallError | undefined) => void): void {
    this.#settled.push(callback);
    this.#wake();
  }

  /** The batch is submitted. */
  tellSettled(): void {
    if (this.#settled.length === 0 || this.isOpen) return;
    this.#hasStarted = true;
    for (const callback of this.#settled.splice(0)) this.#faults.guard(callback, this.#refused);
  }
}
