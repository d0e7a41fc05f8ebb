/** What a link's flags mean, which of two links is the worse, and what is said of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, type Incident } from '../../../src/control/children/incidents.ts';
import { stateOf, worstOf } from '../../../src/control/link/watch.ts';

const UP = 1;
const LOWER_UP = 0x10000;

test('flags_upAndCarrier_makeTheState', () => {
  assert.equal(stateOf({ flags: UP | LOWER_UP }), 'up');
  assert.equal(stateOf({ flags: UP }), 'no carrier');
  assert.equal(stateOf({ flags: LOWER_UP }), 'down');
  assert.equal(stateOf({ flags: 0 }), 'down');
  assert.equal(stateOf(undefined), 'gone');
});

test('twoLinks_theWorseOneIsTheReason_theFirstOfEquals', () => {
  assert.deepEqual(
    worstOf([
      ['host', 'down'],
      ['ours', 'no carrier'],
    ]),
    ['host', 'down'],
  );
  assert.deepEqual(
    worstOf([
      ['host', 'no carrier'],
      ['ours', 'down'],
    ]),
    ['ours', 'down'],
  );
  assert.deepEqual(
    worstOf([
      ['host', 'gone'],
      ['ours', 'gone'],
    ]),
    ['host', 'gone'],
  );
  assert.deepEqual(
    worstOf([
      ['host', 'up'],
      ['ours', 'up'],
    ]),
    ['host', 'up'],
  );
});

test('incidents_ofLinks_nameLinkServiceAndRemedy', () => {
  const named = { application: 'kv', address: '10.77.0.2', interface: 'ix1' };
  const link = { ...named, event: 'link', seconds: 3.25, isMoved: false } as const;
  const said: [Incident, string][] = [
    [{ ...link, state: 'down' }, 'down, nothing is received or sent until it is up again'],
    [{ ...link, state: 'no carrier' }, 'no carrier, its other end is down or unplugged'],
    [{ ...link, state: 'up' }, 'up again after 3.3 s'],
    [{ ...link, state: 'gone' }, 'removed'],
    [{ ...link, state: 'gone', isMoved: true }, 'moved to another network namespace'],
    [{ ...named, event: 'link-renamed', was: 'eth0' }, 'was eth0 until now'],
    [
      { ...named, event: 'checksums', refused: 7 },
      '7 packets came with a checksum left to hardware that is not there, and were dropped; where they are sent: ethtool -K INTERFACE tx off',
    ],
  ];
  for (const [incident, text] of said) {
    assert.equal(describe(incident), `link ix1 of kv at 10.77.0.2: ${text}`);
  }
});
