/**
 * A histogram of latencies: log-linear buckets over int32 values, as HdrHistogram's.
 *
 * - `record` takes an int32 >= 0 in units of `unitNs` nanoseconds (1000: microseconds) and
 *   allocates nothing. Negative values count as 0; nothing is ever out of range.
 * - Values below 128 are exact; above, a bucket is at most 1/128 of its value wide.
 * - A percentile is the highest value of its bucket (never flattering), but not above the greatest
 *   value seen.
 * - Histograms of equal units merge; `toJSON` / `from` carry them between processes.
 *
 * Called by the load generators, per message. Read first: HdrHistogram's README, "Internal design".
 */

/** Bits of linear resolution inside each power of two. */
const LINEAR_BITS = 7;
const LINEAR = 1 << LINEAR_BITS;
/** 128 exact values + 24 octaves of 128 buckets: up to 2^31 - 1. */
const BUCKETS = (31 - LINEAR_BITS + 1) * LINEAR;

/** Bucket of an int32 value >= 0. */
export function bucketOf(value: number): number {
  if (value < LINEAR) return value;
  const shift = 31 - Math.clz32(value) - LINEAR_BITS;
  return ((shift << LINEAR_BITS) + (value >>> shift)) | 0;
}

/** Highest value of a bucket. */
export function highestOf(bucket: number): number {
  if (bucket < LINEAR) return bucket;
  const shift = (bucket >> LINEAR_BITS) - 1;
  return ((bucket & (LINEAR - 1)) + LINEAR + 1) * 2 ** shift - 1;
}

export interface HistogramData {
  unitNs: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  /** Pairs: bucket, count. */
  buckets: number[];
}

/** Nanoseconds, for people and JSON. */
export interface LatencySummary {
  count: number;
  meanNs: number;
  minNs: number;
  p50Ns: number;
  p90Ns: number;
  p99Ns: number;
  p999Ns: number;
  p9999Ns: number;
  maxNs: number;
}

export class Histogram {
  readonly unitNs: number;
  readonly #counts = new Float64Array(BUCKETS);
  /** [count, sum, min, max]: numbers that leave int32, so not fields. */
  readonly #totals = new Float64Array([0, 0, Number.POSITIVE_INFINITY, 0]);

  constructor(unitNs = 1) {
    this.unitNs = unitNs;
  }

  get count(): number {
    return this.#totals[0]!;
  }

  record(value: number): void {
    if (value < 0) value = 0;
    const bucket = bucketOf(value);
    const counts = this.#counts;
    const totals = this.#totals;
    counts[bucket] = counts[bucket]! + 1;
    totals[0] = totals[0]! + 1;
    totals[1] = totals[1]! + value;
    if (value < totals[2]!) totals[2] = value;
    if (value > totals[3]!) totals[3] = value;
  }

  /**
   * Value, in units, at or below which `percent` (0..100) of the recorded values lie; 0 when there
   * are none.
   */
  percentile(percent: number): number {
    const total = this.count;
    if (total === 0) return 0;
    const rank = Math.min(total, Math.max(1, Math.ceil((percent / 100) * total)));
    let seen = 0;
    let bucket = 0;
    for (; bucket < BUCKETS - 1; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= rank) break;
    }
    return Math.min(highestOf(bucket), this.#totals[3]!);
  }

  reset(): void {
    this.#counts.fill(0);
    this.#totals.set([0, 0, Number.POSITIVE_INFINITY, 0]);
  }

  merge(other: Histogram): void {
    if (other.unitNs !== this.unitNs)
      throw new RangeError('histograms of different units do not merge');
    for (let i = 0; i < BUCKETS; i++) this.#counts[i] = this.#counts[i]! + other.#counts[i]!;
    const [mine, theirs] = [this.#totals, other.#totals];
    mine.set([
      mine[0]! + theirs[0]!,
      mine[1]! + theirs[1]!,
      Math.min(mine[2]!, theirs[2]!),
      Math.max(mine[3]!, theirs[3]!),
    ]);
  }

  summary(): LatencySummary {
    const [count, sum, min, max] = this.#totals as unknown as [number, number, number, number];
    const at = (percent: number) => this.percentile(percent) * this.unitNs;
    return {
      count,
      meanNs: count === 0 ? 0 : Math.round((sum / count) * this.unitNs),
      minNs: count === 0 ? 0 : min * this.unitNs,
      p50Ns: at(50),
      p90Ns: at(90),
      p99Ns: at(99),
      p999Ns: at(99.9),
      p9999Ns: at(99.99),
      maxNs: max * this.unitNs,
    };
  }

  toJSON(): HistogramData {
    const [count, sum, min, max] = this.#totals as unknown as [number, number, number, number];
    const buckets: number[] = [];
    this.#counts.forEach((n, bucket) => {
      if (n > 0) buckets.push(bucket, n);
    });
    return { unitNs: this.unitNs, count, sum, min: count === 0 ? 0 : min, max, buckets };
  }

  static from(data: HistogramData): Histogram {
    const histogram = new Histogram(data.unitNs);
    for (let i = 0; i + 1 < data.buckets.length; i += 2) {
      const bucket = data.buckets[i]!;
      if (!Number.isInteger(bucket) || bucket < 0 || bucket >= BUCKETS) {
        throw new RangeError(`histogram: bucket ${bucket} does not exist`);
      }
      histogram.#counts[bucket] = data.buckets[i + 1]!;
    }
    const min = data.count === 0 ? Number.POSITIVE_INFINITY : data.min;
    histogram.#totals.set([data.count, data.sum, min, data.max]);
    return histogram;
  }
}
