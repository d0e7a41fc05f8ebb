import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bucketOf, Histogram, highestOf } from '../../../src/load/result/histogram.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from '../../arena/property.ts';

const INT32_MAX = 2 ** 31 - 1;
/** Small, middling and huge values alike. */
const latency = fc.oneof(
  fc.nat(300),
  fc.nat(1_000_000),
  fc.nat(INT32_MAX),
  fc.constantFrom(0, 127, 128, 255, 256, INT32_MAX),
);
const latencies = fc.array(latency, { minLength: 1, maxLength: 400 });
const percent = fc.double({ min: 0, max: 100, noNaN: true });

/** What the histogram must agree with: keeps everything. */
function naivePercentile(values: readonly number[], p: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length, Math.max(1, Math.ceil((p / 100) * sorted.length))) - 1]!;
}

const filled = (values: readonly number[], unitNs = 1): Histogram => {
  const histogram = new Histogram(unitNs);
  for (const value of values) histogram.record(value);
  return histogram;
};

test('buckets_follow_each_other_without_a_gap', () => {
  for (let bucket = 0; bucket < 3199; bucket++) {
    assert.equal(bucketOf(highestOf(bucket)), bucket);
    assert.equal(bucketOf(highestOf(bucket) + 1), bucket + 1);
  }
  assert.equal(highestOf(3199), INT32_MAX);
});

test('a_value_lies_at_most_one_part_in_128_below_the_highest_of_its_bucket', () => {
  holds(
    fc.property(latency, (value) => {
      const highest = highestOf(bucketOf(value));
      assert.ok(highest >= value && highest - value <= value / 128);
    }),
  );
});

test('percentiles_agree_with_a_recorder_that_keeps_everything', () => {
  holds(
    fc.property(latencies, percent, (values, p) => {
      const exact = naivePercentile(values, p);
      const got = filled(values).percentile(p);
      assert.ok(got >= exact && got <= exact * (1 + 1 / 128), `${got} for ${exact}`);
    }),
  );
});

test('totals_are_exact_and_percentiles_never_fall', () => {
  holds(
    fc.property(latencies, (values) => {
      const summary = filled(values, 1000).summary();
      assert.equal(summary.count, values.length);
      assert.equal(summary.minNs, Math.min(...values) * 1000);
      assert.equal(summary.maxNs, Math.max(...values) * 1000);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      assert.ok(Math.abs(summary.meanNs - mean * 1000) <= 1);
      const steps = [summary.p50Ns, summary.p90Ns, summary.p99Ns, summary.p999Ns, summary.p9999Ns];
      assert.deepEqual(
        steps,
        steps.toSorted((a, b) => a - b),
      );
      assert.ok(summary.p9999Ns <= summary.maxNs);
    }),
  );
});

test('merged_histograms_equal_one_that_recorded_both', () => {
  holds(
    fc.property(latencies, latencies, (one, other) => {
      const merged = filled(one);
      merged.merge(filled(other));
      assert.deepEqual(merged.toJSON(), filled([...one, ...other]).toJSON());
    }),
  );
});

test('a_histogram_survives_JSON', () => {
  holds(
    fc.property(latencies, (values) => {
      const histogram = filled(values, 100);
      const copy = Histogram.from(JSON.parse(JSON.stringify(histogram)));
      assert.deepEqual(copy.toJSON(), histogram.toJSON());
      assert.deepEqual(copy.summary(), histogram.summary());
    }),
  );
});

test('an_empty_histogram_says_zero_and_merges_without_a_trace', () => {
  const empty = Histogram.from(JSON.parse(JSON.stringify(new Histogram())));
  assert.deepEqual(new Set(Object.values(empty.summary())), new Set([0]));
  const histogram = filled([5, 6]);
  histogram.merge(empty);
  assert.deepEqual(histogram.toJSON(), filled([5, 6]).toJSON());
  histogram.reset();
  assert.deepEqual(histogram.toJSON(), new Histogram().toJSON());
});

test('negative_values_count_as_zero_and_other_units_do_not_merge', () => {
  assert.equal(filled([-5]).summary().maxNs, 0);
  assert.throws(() => new Histogram(1).merge(new Histogram(1000)), RangeError);
  assert.throws(
    () => Histogram.from({ ...new Histogram().toJSON(), buckets: [3200, 1] }),
    RangeError,
  );
});

test('recording_allocates_nothing', () => {
  const histogram = new Histogram();
  const random = randomFrom(SEED);
  const values = Int32Array.from({ length: 4096 }, () => random() & INT32_MAX);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) histogram.record(values[i & 4095]!);
  }, 4_000_000);
  assert.ok(bytes < 0.1, `${bytes} bytes a value`);
});
