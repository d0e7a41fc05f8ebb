/**
 * Random numbers of the load generators: xoshiro128** (Blackman and Vigna 2018), seeded by
 * splitmix32.
 *
 * - The same seed gives the same run. Period 2^128 - 1; passes BigCrush, which xorshift32 does not.
 * - Nothing is allocated: four int32 words of state.
 *
 * Used at start-up (keys, values) and once or twice per request (arrival, key).
 */
const UNIT = 2 ** -32;

export class Random {
  readonly #s = new Int32Array(4);

  constructor(seed: number) {
    let x = seed | 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) | 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#s[i] = z ^ (z >>> 16);
    }
  }

  /** 32 random bits as int32. */
  bits(): number {
    const s = this.#s;
    const s1 = s[1]!;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    s[2] = s[2]! ^ s[0]!;
    s[3] = s[3]! ^ s1;
    s[1] = s1 ^ s[2]!;
    s[0] = s[0]! ^ s[3]!;
    s[2] = s[2]! ^ (s1 << 9);
    const s3 = s[3]!;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result | 0;
  }

  /** Uniform over (0, 1): neither end, so that its logarithm and its powers are finite. */
  unit(): number {
    return ((this.bits() >>> 0) + 0.5) * UNIT;
  }

  /** Uniform over 0..n-1, n <= 2^31: bias below n / 2^32. */
  below(n: number): number {
    return ((this.bits() >>> 0) * UNIT * n) | 0;
  }
}
