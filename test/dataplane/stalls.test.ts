/** What a thread says of why it was not in its loop: one that spins, sleeps and collects. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { REASON, STALL_WORDS, Stalls } from '../../src/dataplane/stalls.ts';

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n) | 0;
const last = (stalls: Stalls): number[] => stalls.list().slice(-STALL_WORDS);

/** Uses the core for `us` of its own time, which is counted in steps, and of the clock. */
function spin(us: number): void {
  const used = (): number => process.threadCpuUsage().user + process.threadCpuUsage().system;
  const [from, start] = [used(), nowUs()];
  while (used() - from < us || nowUs() - start < us);
}

const sleep = (ms: number): void =>
  void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test('timeOnTheCore_isABatch_theRuntime_orTheEventLoop', () => {
  // Others may have the core meanwhile: one of many tries is undisturbed.
  const seen = (work: number, isAround: boolean, reason: number): boolean => {
    for (let i = 0; i < 50; i++) {
      const stalls = new Stalls(100);
      stalls.begin(nowUs());
      const start = nowUs();
      spin(300);
      stalls.note(start, nowUs(), work, isAround);
      const [at, took, what, did] = last(stalls);
      if (what !== reason) continue;
      assert.ok(at === start && took! >= 300 && did === work);
      return true;
    }
    return false;
  };
  assert.ok(seen(5, false, REASON.batch));
  assert.ok(seen(0, false, REASON.runtime));
  assert.ok(seen(5, true, REASON.eventLoop));
});

test('timeOffTheCore_isTaken_unlessItWasANap', () => {
  const stalls = new Stalls(100);
  stalls.begin(nowUs());
  let start = nowUs();
  sleep(20);
  stalls.note(start, nowUs(), 0, false);
  const off = [REASON.taken, REASON.preempted] as number[];
  assert.ok(off.includes(last(stalls)[2]!), 'it gave its core away by itself, which is no switch');
  start = nowUs();
  stalls.begin(start);
  sleep(20);
  const woke = nowUs();
  stalls.napped((woke - start) | 0);
  spin(3000);
  stalls.note(woke, nowUs(), 1, false);
  assert.equal(last(stalls)[3], 1);
});

test('collections_areRecordsOfTheirOwn_onTheThreadsClock', async () => {
  const stalls = new Stalls(100);
  stalls.observe(nowUs());
  const before = nowUs();
  let garbage: unknown[] = [];
  for (let i = 0; i < 200 && stalls.list().length === 0; i++) {
    for (let k = 0; k < 20_000; k++) garbage.push({ k });
    garbage = [];
    await pause(1);
  }
  stalls.close();
  const [at, , what] = stalls.list();
  assert.equal(what, REASON.collected);
  assert.ok(((at! - before) | 0) > -1000 && ((nowUs() - at!) | 0) >= 0);
});

test('moreThanItKeeps_theLatestAreThere_oldestFirst', () => {
  const stalls = new Stalls(100);
  for (let i = 0; i < 5000; i++) stalls.wokeLate(i, i + 200);
  const list = stalls.list();
  assert.equal(list.length, 4096 * STALL_WORDS);
  assert.deepEqual(list.slice(0, 4), [5000 - 4096, 200, REASON.wokeLate, 0]);
  assert.equal(list.at(-STALL_WORDS), 4999);
});
