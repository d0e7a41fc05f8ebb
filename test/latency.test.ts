/** Buckets of latencies: none is lost, none flatters, and what lies comes out as counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from '../src/arena/arena.ts';
import { COUNTERS_BYTES, Counters, LATENCY_CELL } from '../src/counters.ts';
import {
  bucketOf,
  highestOf,
  LATENCY_BUCKETS,
  LATENCY_CELLS,
  LatencyCells,
} from '../src/latency.ts';

test('everyValue_isInTheBucketThatEndsAtOrAboveIt_aSixteenthWide', () => {
  let last = -1;
  for (let us = 0; us < 2 ** 24; us += us < 5000 ? 1 : 977) {
    const bucket = bucketOf(us);
    assert.ok(bucket >= last && bucket < LATENCY_BUCKETS);
    last = bucket;
    const high = highestOf(bucket);
    assert.ok(high >= us && high - us <= us / 16, `${us}: ${high}`);
    if (bucket > 0) assert.ok(highestOf(bucket - 1) < us);
  }
});

test('valuesOutOfRange_countAsTheLeastOrTheMost', () => {
  assert.deepEqual([bucketOf(-1), bucketOf(-(2 ** 31))], [0, 0]);
  assert.deepEqual([bucketOf(2 ** 24), bucketOf(2 ** 31 - 1)], Array(2).fill(LATENCY_BUCKETS - 1));
  assert.equal(highestOf(LATENCY_BUCKETS - 1), 2 ** 24 - 1);
});

test('counters_latencies_areBehindThem_andTakeWholePages', () => {
  const counters = new Counters(new Arena(1 << 20));
  for (const us of [3, 3, 100, -5]) counters.took(us);
  const at = counters.base + LATENCY_CELL;
  const cells = new LatencyCells(counters.f64.subarray(at, at + LATENCY_CELLS));
  assert.deepEqual([cells.count, cells.sumUs, cells.at(3), cells.at(0)], [4, 106, 2, 1]);
  assert.equal(Object.values(counters.snapshot()).filter((count) => count !== 0).length, 0);
  assert.equal(COUNTERS_BYTES % 4096, 0);
  assert.ok((LATENCY_CELL + LATENCY_CELLS) * 8 <= COUNTERS_BYTES);
});

test('percentiles_areTheEndsOfTheirBuckets_ofWhatCameSince', () => {
  const cells = new Float64Array(LATENCY_CELLS);
  const add = (us: number, times: number): void => {
    cells[0]! += us * times;
    cells[1 + bucketOf(us)]! += times;
  };
  add(5, 90);
  const before = new LatencyCells(cells);
  add(10, 900);
  add(1000, 99);
  add(50_000, 1);
  const now = new LatencyCells(cells).since(before).summary();
  const { batches, p50Us, p90Us, p99Us, p999Us, maxUs, meanUs } = now;
  assert.deepEqual([batches, p50Us, p90Us, meanUs], [1000, 10, 10, 158]);
  assert.deepEqual([p99Us, p999Us], [1023, 1023]);
  assert.ok(maxUs >= 50_000 && maxUs < 53_200);
  assert.deepEqual(new LatencyCells().summary(), { ...now, ...zero });
  assert.equal(new LatencyCells(cells).below(4), 990);
  assert.equal(new LatencyCells(cells).below(24), 1090);
  assert.equal(before.plus(before).count, 180);
});

const zero = { batches: 0, meanUs: 0, p50Us: 0, p90Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 };

test('cellsThatLie_countAsNone', () => {
  const lies = [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e300, 2.5];
  const cells = new LatencyCells(lies);
  assert.deepEqual([cells.sumUs, cells.count, cells.at(3)], [0, 2, 2]);
});
