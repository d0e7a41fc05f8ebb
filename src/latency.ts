/**
 * Latencies of batches in log-linear buckets, as HdrHistogram's: which bucket a value is of, and
 * what buckets say.
 *
 * - Values are whole microseconds. Below 16 they are exact, above a bucket is a sixteenth of its
 *   value wide at most; what is longer than 16.7 s counts as that.
 * - In memory a histogram is LATENCY_CELLS float64 cells: the sum of all values first, then how
 *   many there were of each bucket. counters.ts has one behind its counters.
 * - A percentile is the highest value of its bucket: never flattering.
 *
 * `bucketOf` is called once a batch, the rest by who reads. Read first: HdrHistogram's README,
 * "Internal design".
 */

/** Bits of linear resolution inside each power of two. */
const LINEAR_BITS = 4;
const LINEAR = 1 << LINEAR_BITS;
/** Values have at most so many bits. */
const VALUE_BITS = 24;
const VALUE_MAX = 2 ** VALUE_BITS - 1;

export const LATENCY_BUCKETS = (VALUE_BITS - LINEAR_BITS + 1) * LINEAR;
export const LATENCY_CELLS: number = 1 + LATENCY_BUCKETS;

/** Bucket of an int32; below 0 it counts as 0. */
export function bucketOf(us: number): number {
  if (us < LINEAR) return Math.max(us, 0);
  const value = Math.min(us, VALUE_MAX);
  const shift = (31 - Math.clz32(value) - LINEAR_BITS) | 0;
  return ((shift << LINEAR_BITS) + (value >>> shift)) | 0;
}

/** Highest value of a bucket. */
export function highestOf(bucket: number): number {
  if (bucket < LINEAR) return bucket;
  const shift = (bucket >> LINEAR_BITS) - 1;
  return ((bucket & (LINEAR - 1)) + LINEAR + 1) * 2 ** shift - 1;
}

/** What the buckets of some time say, microseconds; all 0 when there was no batch. */
export interface Latency {
  batches: number;
  meanUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  p999Us: number;
  maxUs: number;
}

/** A copy of the cells of a histogram, or the difference of two. */
export class LatencyCells {
  readonly #cells: ArrayLike<number>;

  /** Whatever is no count (negative, infinite, missing) counts as 0. */
  constructor(cells: ArrayLike<number> = []) {
    this.#cells = Array.from({ length: LATENCY_CELLS }, (_, i) => {
      const cell = cells[i] ?? 0;
      return cell >= 0 && cell < Number.MAX_SAFE_INTEGER ? Math.floor(cell) : 0;
    });
  }

  get sumUs(): number {
    return this.#cells[0]!;
  }

  /** How many were of a bucket. */
  at(bucket: number): number {
    return this.#cells[1 + bucket]!;
  }

  get count(): number {
    let count = 0;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) count += this.at(bucket);
    return count;
  }

  /** How many took less than 2^bits microseconds. */
  below(bits: number): number {
    let count = 0;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      if (highestOf(bucket) < 2 ** bits) count += this.at(bucket);
    }
    return count;
  }

  /** What has come since `before`. */
  since(before: LatencyCells): LatencyCells {
    return new LatencyCells(Array.from(this.#cells, (cell, i) => cell - before.#cells[i]!));
  }

  plus(other: LatencyCells): LatencyCells {
    return new LatencyCells(Array.from(this.#cells, (cell, i) => cell + other.#cells[i]!));
  }

  /** At or below which `percent` of them lie. */
  percentile(percent: number): number {
    const { count } = this;
    if (count === 0) return 0;
    const rank = Math.min(count, Math.max(1, Math.ceil((percent * count) / 100)));
    let seen = 0;
    let bucket = 0;
    for (; bucket < LATENCY_BUCKETS - 1; bucket++) {
      seen += this.at(bucket);
      if (seen >= rank) break;
    }
    return highestOf(bucket);
  }

  summary(): Latency {
    const { count } = this;
    return {
      batches: count,
      meanUs: count === 0 ? 0 : Math.round(this.sumUs / count),
      p50Us: this.percentile(50),
      p90Us: this.percentile(90),
      p99Us: this.percentile(99),
      p999Us: this.percentile(99.9),
      maxUs: this.percentile(100),
    };
  }
}
