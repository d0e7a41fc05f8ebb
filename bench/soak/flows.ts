/**
 * The strangers' connections: what a frame source must remember to be more than noise, and no more.
 *
 * - One row a tuple (addresses.ts). `next` is our next sequence number, `expected` the server's;
 *   both as the server has last said, so that a conversation goes on however much of it was spoilt.
 */
import { TUPLES } from './addresses.ts';
import type { Dice } from './dice.ts';

export const CLOSED = 0;
export const SYN_SENT = 1;
export const OPEN = 2;

export class Flows {
  readonly state = new Uint8Array(TUPLES);
  readonly next = new Int32Array(TUPLES);
  readonly expected = new Int32Array(TUPLES);
  /** Open ones, dense, so that one can be picked. */
  readonly #open = new Int32Array(TUPLES);
  readonly #place = new Int32Array(TUPLES);
  #openCount = 0;

  get openCount(): number {
    return this.#openCount;
  }

  /** An open tuple, or -1. */
  pickOpen(dice: Dice): number {
    return this.#openCount === 0 ? -1 : this.#open[dice.below(this.#openCount)]!;
  }

  set(tuple: number, state: number): void {
    const was = this.state[tuple];
    this.state[tuple] = state;
    if (was !== OPEN && state === OPEN) {
      this.#place[tuple] = this.#openCount;
      this.#open[this.#openCount++] = tuple;
    } else if (was === OPEN && state !== OPEN) {
      const last = this.#open[--this.#openCount]!;
      const place = this.#place[tuple]!;
      this.#open[place] = last;
      this.#place[last] = place;
    }
  }
}
