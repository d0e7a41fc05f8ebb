/**
 * The one source of chance of a run: mulberry32, so that a seed is a whole run.
 *
 * - `fork(salt)` gives a stream of its own: what one part draws does not move what another part
 *   draws, so a change of one part keeps the rest of a seed's run recognisable.
 *
 * Used by everything in sim/.
 */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed ^ 0x5bd1e995, 0x2545f491) | 0;
  }

  fork(salt: number): Random {
    return new Random(Math.imul(this.#state ^ salt, 0x85ebca6b) ^ (salt << 7));
  }

  /** 32 bits, as int32. */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return t ^ (t >>> 14);
  }

  /** 0 <= fraction < 1 */
  fraction(): number {
    return (this.word() >>> 0) / 0x1_0000_0000;
  }

  /** 0 <= integer < bound */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  /** first <= integer <= last */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** Every order of magnitude between first and last alike. */
  magnitude(first: number, last: number): number {
    return Math.round(first * (last / first) ** this.fraction());
  }
}
