import assert from 'node:assert/strict';
import { closeSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { STATISTICS_BYTES } from '../../../src/child/config.ts';
import type { Instance } from '../../../src/control/record/instances.ts';
import {
  makeStatistics,
  readStatistics,
  readThreads,
  settleStatistics,
} from '../../../src/control/record/statistics.ts';
import { COUNTER, COUNTER_NAMES, LATENCY_CELL } from '../../../src/counters.ts';
import { LATENCY_CELLS } from '../../../src/latency.ts';
import { processName } from '../../../src/native/process.ts';

test('settle_diedWhileItsApplicationWasAway_nobodyIsAwayAndNothingElseChanges', () => {
  const statisticsFd = makeStatistics(2);
  const control = processName(process.pid);
  const users = [process.geteuid!()];
  const segment = { bytes: STATISTICS_BYTES, latency: LATENCY_CELL, cells: LATENCY_CELLS };
  const given = { control, users, statisticsFd, threads: 2, counters: COUNTER_NAMES, segment };
  const instance = given as unknown as Instance;
  const set = (thread: number, counter: number, value: number) =>
    writeSync(statisticsFd, Float64Array.of(value), 0, 8, thread * STATISTICS_BYTES + counter * 8);
  set(0, COUNTER.applicationLate, 7);
  set(0, COUNTER.applicationBack, 6);
  set(1, COUNTER.applicationLate, 2);
  set(1, COUNTER.applicationBack, 2);
  set(1, COUNTER.rxFrames, 40);
  set(1, COUNTER.tcpFlows, 5);
  set(1, LATENCY_CELL, 21);
  set(1, LATENCY_CELL + 1 + 7, 3);
  assert.deepEqual(
    readThreads(instance).map(({ counts }) => [counts['rxFrames'], counts['tcpFlows']]),
    [
      [0, 0],
      [40, 5],
    ],
  );
  settleStatistics(instance);
  const { applicationLate, applicationBack, rxFrames, tcpFlows } = readStatistics(instance);
  assert.deepEqual([applicationLate, applicationBack, rxFrames], [9, 9, 40]);
  assert.equal(tcpFlows, 0, 'what it had is gone');
  const latencies = readThreads(instance).map(({ latency }) => [latency.count, latency.sumUs]);
  assert.deepEqual(latencies, [
    [0, 0],
    [3, 21],
  ]);
  const elsewhere = { ...instance, segment: { ...segment, latency: 2 ** 40 } };
  assert.equal(readThreads(elsewhere)[1]!.latency.count, 0, 'beyond the segment is nothing');
  closeSync(statisticsFd);
});
