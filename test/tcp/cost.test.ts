/**
 * What a request and its reply cost: 64 bytes in, header-predicted; 64 bytes out with the
 * acknowledgement on them.
 *
 * - Nothing is allocated in steady state: an object per request would be 16 bytes and more, what
 *   the compiler allocates while it is at work is a fraction of one. VERIFY is off: the child runs
 *   by itself.
 * - The time is printed, never asserted beyond an order of magnitude: machines differ.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const child = fileURLToPath(new URL('cost-child.ts', import.meta.url));

test('established_requestAndReply_nothingAllocated', (t) => {
  const run = spawnSync(process.execPath, [child], {
    env: { ...process.env, IX_VERIFY: '0' },
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(run.status, 0, run.stderr);
  const { bytesPerRequest, ns, predicted } = JSON.parse(run.stdout);
  t.diagnostic(
    `${ns.toFixed(0)} ns for a request and its reply, TCP and IP and the driver's copy included`,
  );
  assert.ok(bytesPerRequest < 2, `${bytesPerRequest} bytes allocated per request`);
  assert.ok(predicted > 0.999, `${predicted} of the requests were header-predicted`);
  assert.ok(ns < 20_000);
});
