/**
 * Scans and searches against a model of a server: M/M/1 with a known capacity.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CSV_HEADER, csvRow, formatNs, rowOf, TABLE_HEADER } from '../../src/load/format.ts';
import type { GeneratorSettings } from '../../src/load/generator/options.ts';
import { meets, parseObjective, parseRates, scanRates, searchRate } from '../../src/load/scan.ts';
import { resultOf } from './fake-result.ts';

const TARGET = { host: '10.0.0.1', port: 11_211 };
const CAPACITY = 100_000;

/**
 * Latency of an M/M/1 queue is exponential with mean 1 / (capacity - rate); above capacity it never
 * answers all.
 */
function model(asked: GeneratorSettings[] = []) {
  return async (settings: GeneratorSettings) => {
    asked.push(settings);
    const rate = Number(settings.rate);
    if (rate === 0) return resultOf([1000], { messagesPerSecond: CAPACITY });
    const isOver = rate >= CAPACITY;
    const meanNs = isOver ? 1e9 : 1e9 / (CAPACITY - rate);
    const latencies = Array.from(
      { length: 1000 },
      (_, i) => -Math.log(1 - (i + 0.5) / 1000) * meanNs,
    );
    const whole = latencies.map((ns) => Math.round(ns / 100) * 100);
    const answered = isOver ? CAPACITY : rate;
    return resultOf(whole, { offeredPerSecond: rate, messagesPerSecond: answered });
  };
}

test('search_finds_the_highest_rate_within_the_objective', async () => {
  const asked: GeneratorSettings[] = [];
  const objective = parseObjective('p99:500us');
  const found = await searchRate(model(asked), { ...TARGET }, objective);
  // p99 = ln(100) / (capacity - rate) = 500 us at 90,790/s.
  const exact = CAPACITY - Math.log(100) / 500e-6;
  const rate = found.best!.offeredPerSecond!;
  assert.ok(rate <= exact * 1.01 && rate >= exact * 0.97, `${rate}, exact ${exact}`);
  assert.equal(found.peakPerSecond, CAPACITY);
  assert.equal(found.points.length, asked.length);
  assert.ok(asked.length <= 13);
  assert.deepEqual(
    asked.map(({ fill }) => fill),
    [undefined, ...Array(asked.length - 1).fill('no')],
  );
});

test('search_without_a_rate_that_meets_it_says_so', async () => {
  const found = await searchRate(model(), { ...TARGET }, parseObjective('p50:1ns'));
  assert.equal(found.best, undefined);
});

test('a_rate_that_is_not_kept_or_leaves_requests_unanswered_meets_no_objective', () => {
  const objective = parseObjective('p99:1ms');
  const offered = { offeredPerSecond: 1000, messagesPerSecond: 1000 };
  assert.ok(meets(resultOf([1000], offered), objective));
  assert.ok(!meets(resultOf([1000], { ...offered, messagesPerSecond: 900 }), objective));
  assert.ok(!meets(resultOf([1000], { ...offered, stalled: 1 }), objective));
  assert.ok(!meets(resultOf([2_000_000], offered), objective));
});

test('scan_measures_every_rate_and_stores_the_keys_once', async () => {
  const asked: GeneratorSettings[] = [];
  const seen: number[] = [];
  const rates = parseRates('10000:30000:10000');
  const results = await scanRates(model(asked), { ...TARGET }, rates, (r) =>
    seen.push(r.offeredPerSecond!),
  );
  assert.deepEqual(seen, [10_000, 20_000, 30_000]);
  assert.equal(results.length, 3);
  assert.deepEqual(
    asked.map(({ fill }) => fill),
    [undefined, 'no', 'no'],
  );
});

test('objectives_and_rates_are_read_and_others_refused', () => {
  assert.deepEqual(parseObjective('p99.9:1.5ms'), { percent: 99.9, limitNs: 1_500_000 });
  assert.deepEqual(parseRates('5,10'), [5, 10]);
  for (const text of ['', 'p99', 'p0:1us', 'p100:1us', 'p99:0us', '99:1us', 'p99:5']) {
    assert.throws(() => parseObjective(text), /write it like p99:500us/, text);
  }
  for (const text of ['', 'x', '0', '5,', '10:1:1', '1:10:0', '1:2', '5,-1']) {
    assert.throws(() => parseRates(text), /write FROM:TO:STEP/, text);
  }
});

test('tables_and_csv_have_a_cell_for_every_column', () => {
  const result = resultOf([1000, 2_000_000], { offeredPerSecond: 5 });
  assert.equal(rowOf(result).length, TABLE_HEADER.length);
  const [names, values] = [CSV_HEADER, csvRow(result)].map((line) => line.split(','));
  assert.equal(names!.length, values!.length);
  const cell = (name: string) => values![names!.indexOf(name)];
  assert.deepEqual([cell('offeredPerSecond'), cell('p50Ns'), cell('hits')], ['5', '1000', '']);
  assert.deepEqual([1500, 150_000, 15_000_000, 15_000_000_000].map(formatNs), [
    '1.5 us',
    '150 us',
    '15 ms',
    '15 s',
  ]);
});
