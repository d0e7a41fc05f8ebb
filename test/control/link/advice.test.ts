/**
 * Checksums left to hardware on a link that is not known for them are told once, whichever thread
 * saw them.
 */
import assert from 'node:assert/strict';
import { closeSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { STATISTICS_BYTES } from '../../../src/child/config.ts';
import {
  handsOverPartialChecksums,
  PartialChecksumWatch,
} from '../../../src/control/link/advice.ts';
import { makeStatistics } from '../../../src/control/record/statistics.ts';
import { COUNTER } from '../../../src/counters.ts';

test('partialChecksums_refusedByAnyThread_toldOnce', () => {
  const fd = makeStatistics(2);
  const told: number[] = [];
  const watch = new PartialChecksumWatch(fd, 2, (refused) => told.push(refused));
  watch.start();
  watch.look();
  assert.deepEqual(told, []);
  const at = STATISTICS_BYTES + COUNTER.partialChecksumsRefused * 8;
  writeSync(fd, Float64Array.of(3), 0, 8, at);
  watch.look();
  assert.deepEqual(told, [3]);
  watch.look();
  assert.deepEqual(told, [3], 'once is enough');
  closeSync(fd);
});

test('kinds_hardwareTapAndUnknown_areNotKnownForThem', () => {
  assert.ok(handsOverPartialChecksums('veth'));
  for (const kind of ['', 'tun', 'bond', 'vlan', 'wireguard']) {
    assert.equal(handsOverPartialChecksums(kind), false, kind);
  }
});
