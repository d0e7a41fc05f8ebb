/**
 * What a message costs the whole of a server in JavaScript: 64 bytes in, 64 bytes out, 32
 * connections a batch.
 *
 * The time of the sources and of the bundle is printed, never asserted beyond an order of
 * magnitude: machines differ.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { built } from '../../src/built.ts';
import { INLINING_FLAGS } from '../../src/control/children/node-flags.ts';

const child = fileURLToPath(new URL('cost-child.ts', import.meta.url));

for (const [what, file] of [
  ['sources', child],
  ['bundle', built(child)],
] as const) {
  test(`echo_${what}_everyMessageAnswered`, (t) => {
    const run = spawnSync(process.execPath, [...INLINING_FLAGS, file], {
      env: { ...process.env, IX_VERIFY: '0' },
      encoding: 'utf8',
      timeout: 120_000,
    });
    assert.equal(run.status, 0, run.stderr);
    const { ns, answered } = JSON.parse(run.stdout);
    t.diagnostic(`${ns} ns for a message through the whole server`);
    assert.equal(answered, 1);
    assert.ok(ns < 20_000);
  });
}
