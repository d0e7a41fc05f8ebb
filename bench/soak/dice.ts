/**
 * Chance in the soak: mulberry32, integers only, nothing allocated, so that drawing costs a
 * full-rate source next to nothing. The seed is printed and can be given again.
 */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 31 random bits (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 1;
  }

  /** 32 random bits. */
  word(): number {
    return (this.next() << 1) ^ this.next();
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return this.next() % n;
  }

  /** True once in n. */
  once(n: number): boolean {
    return this.next() % n === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}
