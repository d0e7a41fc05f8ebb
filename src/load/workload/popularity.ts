/**
 * Which key is asked for: uniform, or Zipf (key i with a share proportional to 1 / (i + 1)^s).
 *
 * - Zipf draws by the alias method (Vose 1991): one draw is two random numbers and one comparison,
 *   whatever the number of keys. The table is made at start-up.
 * - Nothing is allocated per draw.
 */
import type { Random } from './random.ts';

export class Popularity {
  readonly #random: Random;
  readonly #count: number;
  /**
   * Zipf: share of column i that is key i's own, out of 2^31; the rest is its alias's. Empty:
   * uniform.
   */
  readonly #own: Int32Array;
  readonly #alias: Int32Array;

  /** `exponent` 0: uniform. */
  constructor(count: number, exponent: number, random: Random) {
    this.#random = random;
    this.#count = count;
    const isZipf = exponent > 0 && count > 1;
    this.#own = new Int32Array(isZipf ? count : 0);
    this.#alias = new Int32Array(isZipf ? count : 0);
    if (isZipf) this.#fill(exponent);
  }

  draw(): number {
    const column = this.#random.below(this.#count);
    if (this.#own.length === 0) return column;
    return this.#random.bits() >>> 1 < this.#own[column]! ? column : this.#alias[column]!;
  }

  #fill(exponent: number): void {
    const count = this.#count;
    const share = new Float64Array(count);
    let total = 0;
    for (let i = 0; i < count; i++) total += share[i] = (i + 1) ** -exponent;
    const poor: number[] = [];
    const rich: number[] = [];
    for (let i = 0; i < count; i++) {
      share[i] = (share[i]! * count) / total;
      (share[i]! < 1 ? poor : rich).push(i);
    }
    this.#own.fill(2 ** 31 - 1);
    while (poor.length > 0 && rich.length > 0) {
      const taker = poor.pop()!;
      const giver = rich.at(-1)!;
      this.#own[taker] = Math.round(share[taker]! * (2 ** 31 - 1));
      this.#alias[taker] = giver;
      share[giver] = share[giver]! - (1 - share[taker]!);
      if (share[giver]! < 1) poor.push(rich.pop()!);
    }
  }
}
