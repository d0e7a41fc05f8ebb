/** What the drivers' suite itself promises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Nic } from '../../src/nic/nic.ts';
import { buildFrame, collect, makeEnds } from './suite.ts';

test('frames_taken more slowly than the wait_all collected, then silence ends it', () => {
  const { a } = makeEnds();
  let sent = 0;
  const slow = {
    mac: new Uint8Array(6),
    rxOffsets: [0],
    rxLengths: [60],
    reclaim() {},
    kick() {},
    receive() {
      const until = performance.now() + 5;
      while (performance.now() < until);
      if (sent === 10) return 0;
      slow.rxOffsets[0] = buildFrame({ ...a, nic: slow as unknown as Nic }, sent++, 60);
      return 1;
    },
  };
  const got = collect({ ...a, nic: slow as unknown as Nic }, Number.POSITIVE_INFINITY, 20);
  assert.deepEqual(
    got.map(([sequence]) => sequence),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  assert.ok(a.frames.allHome());
});
