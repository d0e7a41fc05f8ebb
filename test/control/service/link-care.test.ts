/** What a service does when a link changes and something else is wrong as well. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Incident } from '../../../src/control/children/incidents.ts';
import { makeStatistics } from '../../../src/control/record/statistics.ts';
import type { Holdings } from '../../../src/control/service/holdings.ts';
import { LinkCare } from '../../../src/control/service/link-care.ts';

/** No link has this number. */
const NO_LINK = 0x7ffffff0;

test('linkGone_recordCannotBeWritten_serviceIsToldAllTheSame', { timeout: 20_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ix-care-'));
  const notADirectory = join(directory, 'file');
  writeFileSync(notADirectory, '');
  const before = process.env['IX_STATE_DIR'];
  process.env['IX_STATE_DIR'] = notADirectory;
  const statisticsFd = makeStatistics(1);
  const said = t.mock.method(console, 'error', () => {});
  const told: Incident[] = [];
  const gone = Promise.withResolvers<string>();
  const care = new LinkCare({
    holdings: {
      network: { ifname: 'ix7', ifindex: NO_LINK },
      instance: { address: '10.77.0.2', threads: 1, links: ['ix7'] },
      statisticsFd,
    } as unknown as Holdings,
    application: 'kv',
    incident: (incident) => told.push(incident),
    wake: () => {},
    gone: gone.resolve,
  });
  try {
    assert.equal(await gone.promise, 'ix7 was removed');
    assert.deepEqual(
      told.map(({ event }) => event),
      ['link'],
    );
    assert.match(`${said.mock.calls[0]?.arguments}`, /its record is not up to date/);
  } finally {
    care.close();
    closeSync(statisticsFd);
    rmSync(directory, { recursive: true });
    if (before === undefined) delete process.env['IX_STATE_DIR'];
    else process.env['IX_STATE_DIR'] = before;
  }
});
