import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../src/control/children/backoff.ts';

test('endsAtOnce_againAndAgain_delayDoublesUpToTenSeconds', () => {
  const backoff = new Backoff();
  const delays = Array.from({ length: 9 }, () => backoff.delayAfter(0));
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
});

test('hasRunForAWhile_ends_forgiven', () => {
  const backoff = new Backoff();
  for (let i = 0; i < 5; i++) backoff.delayAfter(0);
  assert.deepEqual([backoff.delayAfter(60_000), backoff.delayAfter(10)], [100, 200]);
});
