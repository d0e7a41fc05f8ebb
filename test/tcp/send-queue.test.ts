/** The send queue's fairness: peers that never read do not stop the answers to others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitsFor, type Quotas } from '../../src/limits.ts';
import { SPANS_ALWAYS } from '../../src/tcp/constants.ts';
import { Flows } from '../../src/tcp/flows.ts';
import { SendQueue } from '../../src/tcp/send-queue.ts';
import { TCB } from '../../src/tcp/tcb.ts';
import { makeEnvironment } from '../net/harness.ts';

const MIB = 2 ** 20;
const FLOWS = 2600;

function make(quotas: Partial<Quotas> = {}, sendSpans = 16_384) {
  const limits = { ...limitsFor({ flows: FLOWS, quotas }), sendSpans };
  const env = makeEnvironment({ limits, arenaMiB: 256 });
  const flows = new Flows(env);
  const queue = new SendQueue(env);
  const open = (): number => flows.take();
  const end = (rows: number[]): void => {
    for (const row of rows) queue.clear(row);
    assert.ok(queue.allHome());
  };
  return { env, queue, open, end };
}

test('noQuota_2400PeersThatDoNotReadAMebibyte_oldAndNewFlowsGetAll', () => {
  const { env, queue, open, end } = make();
  const old = open();
  assert.equal(queue.append(old, 0, 100), 100);
  queue.release(old, 100);
  const stuck = Array.from({ length: 2400 }, open);
  for (const row of stuck) assert.equal(queue.append(row, 4096, MIB), MIB);
  const fresh = open();
  for (const row of [old, fresh]) {
    assert.equal(queue.append(row, 8192, MIB), MIB);
    assert.equal(queue.room(row), 3 * MIB);
  }
  assert.equal(env.counters.get('quotaUnackedBytes'), 0);
  end([...stuck, old, fresh]);
});

test('quota_2400PeersThatDoNotReadAMebibyte_oldAndNewFlowsGetTheirShare', () => {
  const quota = 64 * MIB;
  const { env, queue, open, end } = make({ unackedBytes: quota });
  const share = Math.floor(quota / 2 / FLOWS);
  const old = open();
  assert.equal(queue.append(old, 0, 100), 100);
  queue.release(old, 100);
  const stuck = Array.from({ length: 2400 }, open);
  let sum = 0;
  for (const row of stuck) {
    const taken = queue.append(row, 4096, MIB);
    assert.ok(taken >= share);
    sum += taken;
  }
  assert.ok(sum <= quota);
  const fresh = open();
  for (let round = 0; round < 50; round++) {
    for (const row of [old, fresh]) {
      const taken = queue.append(row, 8192, share);
      assert.equal(taken, share, 'whatever others hold');
      queue.release(row, taken);
    }
  }
  assert.ok(env.counters.get('quotaUnackedBytes') > 2000);
  end([...stuck, old, fresh]);
});

test('quotaBelowAByteAFlow_everyFlowGetsOne', () => {
  const { queue, open, end } = make({ unackedBytes: 4096 });
  const rows = Array.from({ length: FLOWS }, open);
  for (const row of rows) assert.ok(queue.append(row, 4096, 1000) >= 1);
  end(rows);
});

test('spansUsedUpByStuckPeers_everyOtherFlowHasOne', () => {
  const { env, queue, open, end } = make({}, 4096);
  const stuck = Array.from({ length: 1000 }, open);
  for (const row of stuck) {
    // as answers of many small values: no two lie next to each other
    for (let i = 0; i < 5000 && queue.append(row, 4096 + 64 * i, 10) > 0; i++);
  }
  assert.ok(env.counters.get('tcpNoSpan') > 0);
  assert.ok(env.arena.i32[stuck[0]! + TCB.txSpans]! >= SPANS_ALWAYS);
  const others = Array.from({ length: FLOWS - 1000 }, open);
  for (const row of others) assert.equal(queue.append(row, 4096, 10), 10);
  for (let round = 0; round < 10; round++) {
    for (const row of others) {
      queue.release(row, 10);
      assert.equal(queue.append(row, 8192 + 64 * round, 10), 10);
    }
  }
  end([...stuck, ...others]);
});
