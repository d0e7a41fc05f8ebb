/**
 * Statistics over the rounds of a benchmark: medians and spread, never means.
 *
 * - A ratio is taken inside each round (ours and theirs ran within seconds of each other), then
 *   summarised.
 * - `isNoisy` says when the spread is too wide for the median to be a claim.
 */

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/**
 * Rounds that differ by more than this factor prove little: the same program varies by as much on a
 * busy machine.
 */
export const NOISY_FACTOR = 1.5;

/** Median of a non-empty list; of an even number of values, the mean of the middle two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing');
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Ours divided by theirs, round by round. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Spread {
  if (ours.length !== theirs.length)
    throw new RangeError('a ratio needs both sides of every round');
  return spreadOf(ours.map((value, round) => value / theirs[round]!));
}

export const isNoisy = ({ min, max }: Spread): boolean => !(max <= min * NOISY_FACTOR);
