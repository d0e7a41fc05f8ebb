import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isNoisy, median, ratioOf, spreadOf } from '../../bench/harness/statistics.ts';
import { holds } from '../arena/property.ts';

const rates = fc.array(fc.double({ min: 1e-3, max: 1e9, noNaN: true }), {
  minLength: 1,
  maxLength: 30,
});

test('as_many_values_lie_below_the_median_as_above_it', () => {
  holds(
    fc.property(rates, (values) => {
      const middle = median(values);
      const below = values.filter((value) => value < middle).length;
      const above = values.filter((value) => value > middle).length;
      assert.ok(below <= values.length / 2 && above <= values.length / 2);
      const { min, max } = spreadOf(values);
      assert.ok(min <= middle && middle <= max);
    }),
  );
});

test('the_median_of_an_even_number_of_values_lies_between_the_middle_two', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([10, 9, 100]), 10);
});

test('a_ratio_is_taken_inside_each_round', () => {
  // Everything is half as fast in the second round: the ratio does not notice.
  assert.deepEqual(ratioOf([300, 150, 330], [100, 50, 110]), { median: 3, min: 3, max: 3 });
  assert.deepEqual(ratioOf([300, 100], [100, 100]), { median: 2, min: 1, max: 3 });
});

test('nothing_has_no_median_and_half_a_round_no_ratio', () => {
  assert.throws(() => median([]), RangeError);
  assert.throws(() => ratioOf([1, 2], [1]), RangeError);
});

test('a_spread_beyond_a_factor_of_one_and_a_half_is_noise', () => {
  assert.equal(isNoisy({ min: 2, median: 2.5, max: 3 }), false);
  assert.equal(isNoisy({ min: 2, median: 2.5, max: 3.01 }), true);
  assert.equal(isNoisy({ min: 2, median: 2.5, max: Number.NaN }), true);
});
