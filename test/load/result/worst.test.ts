/** The slowest requests are kept, whatever order they come in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worst } from '../../../src/load/result/worst.ts';
import { randomFrom, SEED } from '../../arena/property.ts';

test('requests_anyOrder_theSlowestAreKept_slowestFirst', () => {
  const random = randomFrom(SEED);
  const worst = new Worst(10);
  const [due, sent, now] = [new Float64Array(4), new Float64Array(4), new Float64Array(1)];
  const all: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const slot = i % 4;
    due[slot] = i;
    sent[slot] = i + 0.25;
    now[0] = i + (random() % 100_000) / 1000;
    all.push(now[0] - i);
    worst.offer(due, sent, slot, now);
  }
  const kept = worst.list(5000);
  all.sort((a, b) => b - a);
  assert.deepEqual(
    kept.map(({ dueMs, answeredMs }) => (answeredMs - dueMs).toFixed(6)),
    all.slice(0, 10).map((took) => took.toFixed(6)),
  );
  assert.ok(kept.every(({ dueMs, sentMs }) => Math.abs(sentMs - dueMs - 0.25) < 1e-6));
  assert.ok(kept.every(({ dueMs }) => dueMs >= 5000));
  worst.reset();
  assert.deepEqual(worst.list(0), []);
});
