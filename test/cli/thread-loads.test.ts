import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeLoad, loadsOf } from '../../src/cli/thread-loads.ts';

const AT_FIRST = { tcpFlows: 3, busyUs: 1_000_000, rxFrames: 500, rxLeft: 10, frameBatches: 100 };

test('loads_ofTwoMoments_areEachThreadsOwn', () => {
  const idle = { tcpFlows: 1, busyUs: 7, rxFrames: 5, rxLeft: 0, frameBatches: 5 };
  const busy = { tcpFlows: 12, busyUs: 1_030_000, rxFrames: 620, rxLeft: 30, frameBatches: 110 };
  const [first, second] = loadsOf([AT_FIRST, idle], [busy, idle], 100);
  assert.deepEqual(first, { thread: 0, flows: 12, busy: 0.3, queue: 14 });
  assert.deepEqual(second, { thread: 1, flows: 1, busy: 0, queue: 0 });
  assert.equal(describeLoad(first!), 'thread 0: 12 flows, 30 % busy, queue 14');
});

test('loads_nothingKnownOrMoreThanTime_areBounded', () => {
  const none = loadsOf([], [{}], 100);
  assert.deepEqual(none, [{ thread: 0, flows: 0, busy: 0, queue: 0 }]);
  const [over] = loadsOf([{ busyUs: 0 }], [{ busyUs: 9e9 }], 100);
  const [back] = loadsOf([{ busyUs: 9 }], [{ busyUs: 0 }], 100);
  assert.deepEqual([over!.busy, back!.busy], [1, 0]);
});
