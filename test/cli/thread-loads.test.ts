import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeLoad, loadsOf } from '../../src/cli/thread-loads.ts';
import type { ThreadStatistics } from '../../src/control/record/statistics.ts';
import { bucketOf, LATENCY_CELLS, LatencyCells } from '../../src/latency.ts';

/** With batches that took so many microseconds. */
function stats(counts: Record<string, number>, batches: number[] = []): ThreadStatistics {
  const cells = new Float64Array(LATENCY_CELLS);
  for (const us of batches) {
    cells[0]! += us;
    cells[1 + bucketOf(us)]! += 1;
  }
  return { counts, latency: new LatencyCells(cells) };
}

const AT_FIRST = { tcpFlows: 3, busyUs: 1_000_000, rxFrames: 500, rxLeft: 10, frameBatches: 100 };
const NONE = new LatencyCells().summary();

test('loads_ofTwoMoments_areEachThreadsOwn', () => {
  const idle = stats({ tcpFlows: 1, busyUs: 7, rxFrames: 5, rxLeft: 0, frameBatches: 5 });
  const counts = { tcpFlows: 12, busyUs: 1_030_000, rxFrames: 620, rxLeft: 30, frameBatches: 110 };
  const busy = stats({ ...counts, iterations: 9, idleIterations: 2 }, [5, 7]);
  const [first, second] = loadsOf([stats(AT_FIRST, [5]), idle], [busy, idle], 100);
  const { latency, ...rest } = first!;
  assert.deepEqual(rest, {
    thread: 0,
    rxFrames: 620,
    flows: 12,
    busy: 0.3,
    queue: 14,
    rest: 'spins',
  });
  assert.deepEqual([latency.batches, latency.p50Us], [1, 7], 'what came between');
  const { latency: none, ...others } = second!;
  assert.deepEqual(others, { thread: 1, rxFrames: 5, flows: 1, busy: 0, queue: 0, rest: 'asleep' });
  assert.deepEqual(none, NONE);
  assert.equal(
    describeLoad(first!),
    'thread 0: 12 flows, 30 % busy (spins), queue 14, batches p50 7 us, p99 7 us, p99.9 7 us',
  );
  assert.equal(describeLoad(second!), 'thread 1: 1 flows, 0 % busy (asleep), queue 0');
});

test('latency_noBatchBetween_isThatSinceTheStart', () => {
  const same = stats({}, [1000]);
  const [load] = loadsOf([same], [same], 100);
  assert.deepEqual([load!.latency.batches, load!.latency.p50Us], [1, 1023]);
});

test('rest_isWhatAThreadDoesWithoutWork', () => {
  const rest = (counts: Record<string, number>): string =>
    loadsOf([stats({})], [stats(counts)], 100)[0]!.rest;
  assert.equal(rest({}), 'asleep');
  assert.equal(rest({ iterations: 5, sleeps: 1, naps: 3 }), 'sleeps');
  assert.equal(rest({ iterations: 5, naps: 3, idleIterations: 3 }), 'naps');
  assert.equal(rest({ iterations: 5, idleIterations: 3 }), 'spins');
  assert.equal(rest({ iterations: 5 }), 'full');
});

test('loads_nothingKnownOrMoreThanTime_areBounded', () => {
  const none = loadsOf([], [stats({})], 100);
  assert.deepEqual(none, [
    { thread: 0, rxFrames: 0, flows: 0, busy: 0, queue: 0, rest: 'asleep', latency: NONE },
  ]);
  const [over] = loadsOf([stats({ busyUs: 0 })], [stats({ busyUs: 9e9 })], 100);
  const [back] = loadsOf([stats({ busyUs: 9 })], [stats({ busyUs: 0 })], 100);
  assert.deepEqual([over!.busy, back!.busy], [1, 0]);
});
