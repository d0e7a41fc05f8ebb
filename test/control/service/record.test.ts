/** What a service notes as its dataplane comes and goes, when the record cannot be written. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Instance } from '../../../src/control/record/instances.ts';
import { makeStatistics } from '../../../src/control/record/statistics.ts';
import { noteChild, noteEnd } from '../../../src/control/service/holdings.ts';

test('dataplaneStartsAndEnds_recordCannotBeWritten_isSaidAndNoReasonToEnd', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ix-record-'));
  const notADirectory = join(directory, 'file');
  writeFileSync(notADirectory, '');
  const before = process.env['IX_STATE_DIR'];
  process.env['IX_STATE_DIR'] = notADirectory;
  const statisticsFd = makeStatistics(1);
  const said = t.mock.method(console, 'error', () => {});
  const instance = { address: '10.77.0.2', threads: 1, statisticsFd, ports: [7] };
  const noted = instance as unknown as Instance;
  try {
    const child = { pid: process.pid, channel: undefined, outputs: [], confined: undefined };
    noteChild(noted, 'dataplane', child as unknown as Parameters<typeof noteChild>[2]);
    assert.equal(noted.dataplane?.pid, process.pid);
    noteEnd(noted);
    assert.equal(noted.dataplane, undefined);
    assert.deepEqual(noted.ports, []);
    assert.equal(said.mock.callCount(), 2);
    assert.match(`${said.mock.calls[1]?.arguments}`, /its record is not up to date/);
  } finally {
    closeSync(statisticsFd);
    rmSync(directory, { recursive: true });
    if (before === undefined) delete process.env['IX_STATE_DIR'];
    else process.env['IX_STATE_DIR'] = before;
  }
});
