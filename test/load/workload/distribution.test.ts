/**
 * The workloads' distributions against their moments and quantiles: those that follow from the
 * parameters, and the figures that mutilate's authors give for ETC (value mean 195 B, p50 39, p99
 * 1903; key mean 36).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arrivals } from '../../../src/load/workload/arrivals.ts';
import { parseDistribution, sizeFrom } from '../../../src/load/workload/distribution.ts';
import { Popularity } from '../../../src/load/workload/popularity.ts';
import { Random } from '../../../src/load/workload/random.ts';
import { ETC_GAP_SHAPE, WORKLOADS } from '../../../src/load/workload/workload.ts';
import { SEED } from '../../arena/property.ts';

const DRAWS = 1_000_000;

const draw = (text: string, min = 0, max = 1e6): Float64Array => {
  const sample = parseDistribution(text);
  const random = new Random(SEED);
  return Float64Array.from({ length: DRAWS }, () => sizeFrom(sample, random, min, max)).sort();
};
const mean = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;
const quantile = (sorted: Float64Array, p: number): number => sorted[Math.floor(p * DRAWS)]!;
const isNear = (value: number, expected: number, share: number, what: string): void =>
  assert.ok(Math.abs(value / expected - 1) <= share, `${what}: ${value}, expected ${expected}`);

/** Lanczos is more than is needed: Stirling's series, shifted. */
function gamma(x: number): number {
  let shift = 1;
  for (; x < 10; x++) shift *= x;
  const series = 1 + 1 / (12 * x) + 1 / (288 * x * x) - 139 / (51_840 * x ** 3);
  return (Math.sqrt((2 * Math.PI) / x) * (x / Math.E) ** x * series) / shift;
}

test('etc_values_have_the_mean_the_median_and_the_tail_that_were_published', () => {
  const values = draw(WORKLOADS.etc.valueSize);
  isNear(mean(values), 195, 0.02, 'mean');
  isNear(quantile(values, 0.5), 39, 0.05, 'p50');
  isNear(quantile(values, 0.99), 1903, 0.03, 'p99');
});

test('etc_values_have_the_shares_of_small_sizes_that_were_published', () => {
  const values = draw(WORKLOADS.etc.valueSize);
  const shareOf = (size: number) => values.filter((v) => v === size).length / DRAWS;
  // Five standard deviations of a share of a million draws.
  const shares = { 0: 0.00536, 2: 0.1782, 3: 0.09239, 5: 0.0274, 11: 0.08989, 14: 0.0198 };
  for (const [size, share] of Object.entries(shares)) {
    const spread = 5 * Math.sqrt((share * (1 - share)) / DRAWS);
    assert.ok(Math.abs(shareOf(Number(size)) - share) <= spread, `size ${size}`);
  }
});

test('etc_keys_have_the_moments_of_their_extreme_value_distribution', () => {
  const keys = draw(WORKLOADS.etc.keySize, 1, 250);
  const [location, scale, shape] = [30.7984, 8.20449, 0.078688];
  const expected = location + (scale * (gamma(1 - shape) - 1)) / shape;
  isNear(mean(keys), expected - 0.5, 0.01, 'mean of whole bytes');
  isNear(mean(keys), 36, 0.02, 'published mean');
  for (const p of [0.1, 0.5, 0.9, 0.99]) {
    const exact = location + (scale * ((-Math.log(p)) ** -shape - 1)) / shape;
    assert.ok(Math.abs(quantile(keys, p) - exact) <= 1.5, `p${p}`);
  }
});

test('usr_and_fixed_are_what_they_say', () => {
  assert.deepEqual(new Set(draw(WORKLOADS.usr.keySize)), new Set([19]));
  assert.deepEqual(new Set(draw(WORKLOADS.usr.valueSize)), new Set([2]));
  assert.deepEqual(new Set(draw('fixed:200')), new Set([200]));
  assert.deepEqual([WORKLOADS.etc.update, WORKLOADS.usr.update], ['0.033', '0.002']);
});

test('uniform_normal_and_exponential_have_their_moments', () => {
  const deviation = (values: Float64Array): number => {
    const m = mean(values);
    return Math.sqrt(mean(values.map((x) => (x - m) ** 2)));
  };
  const cases: [string, number, number][] = [
    ['uniform:1000,3000', 2000, 2000 / Math.sqrt(12)],
    ['normal:5000,300', 5000, 300],
    ['exponential:2000', 2000, 2000],
  ];
  for (const [text, m, d] of cases) {
    isNear(mean(draw(text)), m, 0.01, `mean of ${text}`);
    isNear(deviation(draw(text)), d, 0.01, `deviation of ${text}`);
  }
});

test('gaps_between_arrivals_have_the_rate_and_the_variation_of_their_kind', () => {
  // Squared coefficients of variation: of a generalized Pareto distribution 1 / (1 - 2 shape).
  const kinds = { poisson: 1, pareto: 1 / (1 - 2 * ETC_GAP_SHAPE), fixed: 0 } as const;
  for (const [kind, variation] of Object.entries(kinds)) {
    const arrivals = new Arrivals(kind as keyof typeof kinds, 250_000, new Random(SEED));
    arrivals.start(5);
    let [before, sum, squares] = [5, 0, 0];
    for (let i = 0; i < DRAWS; i++, arrivals.advance()) {
      const gap = arrivals.nextMs[0]! - before;
      before = arrivals.nextMs[0]!;
      sum += gap;
      squares += gap * gap;
    }
    isNear(sum / DRAWS, 1000 / 250_000, 0.01, `mean gap of ${kind}`);
    const got = (squares * DRAWS) / (sum * sum) - 1;
    assert.ok(Math.abs(got - variation) <= 0.05, `variation of ${kind}: ${got}`);
  }
});

test('zipf_keys_have_shares_that_fall_with_their_rank', () => {
  const count = 1000;
  for (const exponent of [0, 0.99, 1.5]) {
    const popularity = new Popularity(count, exponent, new Random(SEED));
    const hits = new Float64Array(count);
    for (let i = 0; i < DRAWS; i++) hits[popularity.draw()]!++;
    const weight = (i: number) => (i + 1) ** -exponent;
    let total = 0;
    for (let i = 0; i < count; i++) total += weight(i);
    for (const key of [0, 1, 9, 99, 999]) {
      const p = weight(key) / total;
      const spread = 5 * Math.sqrt((p * (1 - p)) / DRAWS);
      assert.ok(Math.abs(hits[key]! / DRAWS - p) <= spread, `key ${key}, exponent ${exponent}`);
    }
  }
});

test('random_numbers_are_within_their_bounds_and_repeat_with_their_seed', () => {
  const [one, same, other] = [new Random(7), new Random(7), new Random(8)];
  let differences = 0;
  for (let i = 0; i < 1000; i++) {
    const unit = one.unit();
    assert.ok(unit > 0 && unit < 1);
    assert.equal(same.unit(), unit);
    if (other.unit() !== unit) differences++;
    const below = one.below(3);
    assert.ok(below >= 0 && below < 3);
    same.below(3);
  }
  assert.ok(differences > 990);
});

test('a_distribution_that_cannot_be_read_is_refused_with_the_forms_there_are', () => {
  for (const text of ['', 'x', 'gev:1,2', 'pareto:1,2,x', 'zeta:3', 'discrete:1=.5', 'fixed:']) {
    assert.throws(() => parseDistribution(text), /is not a distribution .*write N {2}fixed:N/);
  }
});
