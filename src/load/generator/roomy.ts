/**
 * The connections that may take a request now: a set of small integers from which one is drawn at
 * random.
 *
 * - Members lie together at the front of an array, and each knows its place there. So whoever
 *   leaves is replaced by the last one, and add, remove and draw take constant time.
 * - Nothing is allocated after start-up.
 */
import type { Random } from '../workload/random.ts';

export class Roomy {
  readonly #random: Random;
  readonly #members: Int32Array;
  /** Where each member stands; -1: is none. */
  readonly #place: Int32Array;
  #count = 0;

  constructor(capacity: number, random: Random) {
    this.#random = random;
    this.#members = new Int32Array(capacity);
    this.#place = new Int32Array(capacity).fill(-1);
  }

  get count(): number {
    return this.#count;
  }

  add(k: number): void {
    if (this.#place[k]! >= 0) return;
    this.#place[k] = this.#count;
    this.#members[this.#count] = k;
    this.#count = (this.#count + 1) | 0;
  }

  remove(k: number): void {
    const place = this.#place[k]!;
    if (place < 0) return;
    this.#count = (this.#count - 1) | 0;
    const last = this.#members[this.#count]!;
    this.#members[place] = last;
    this.#place[last] = place;
    this.#place[k] = -1;
  }

  /** A member, all equally likely; only when there is one. */
  draw(): number {
    return this.#members[this.#random.below(this.#count)]!;
  }
}
