/** More connections than there are control blocks for: who is one too many is told so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, startKv } from './fixture.ts';

const TOO_MANY = 'ERROR Too many open connections\r\n';

test('flowsOf40_connectionsAboveTheLimit_errorAndClosedAndCounted', () => {
  const kv = startKv(2, { flows: 40 });
  const served = [kv.c];
  while (served.length < 38) served.push(kv.ix.connect());
  for (const c of served) assert.equal(c.ask('version\r\n'), 'VERSION 1.6.18\r\n');
  const refused = kv.ix.connect();
  refused.acknowledge();
  assert.equal(refused.output(), TOO_MANY);
  assert.ok(refused.isClosing);
  refused.deliver('flush_all\r\n');
  refused.die();
  const told = kv.c.ask('stats\r\n');
  for (const row of [
    ['max_connections', 38],
    ['curr_connections', 38],
    ['total_connections', 38],
    ['rejected_connections', 1],
    ['cmd_flush', 0],
  ]) {
    assert.ok(told.includes(`STAT ${row.join(' ')}\r\n`), row.join(' '));
  }
  assert.match(kv.c.ask('stats settings\r\n'), /STAT maxconns 38\r\n/);
  served[1]!.die();
  const next = kv.ix.connect();
  assert.equal(next.ask('version\r\n'), 'VERSION 1.6.18\r\n', 'a place is free again');
  assertAllHome(kv);
});

test('anyNumberOfFlows_someAreKept_atLeastOneIsServed', () => {
  for (const [flows, served] of [
    [1, 1],
    [2, 1],
    [15, 14],
    [16, 15],
    [1024, 960],
    [16_384, 16_320],
  ] as const) {
    const kv = startKv(1, { flows });
    assert.match(kv.c.ask('stats\r\n'), new RegExp(`STAT max_connections ${served}\r\n`));
    assertAllHome(kv);
  }
});

test('refusedConnection_noRoomForTheError_resetAndNotCountedTwice', () => {
  const kv = startKv(1, { flows: 1, roomFor: 0 });
  const refused = kv.ix.connect();
  assert.ok(refused.isAborted, 'it says nothing, so nobody would ever close it');
  refused.die();
  assert.equal(kv.stats.connections, 1);
  assertAllHome(kv);
});
