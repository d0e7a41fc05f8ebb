/**
 * Connections that keep memory and do nothing, in virtual time: who is ended, who is not, and that
 * the others are served. As libix does, the test lets a connection die that was reset.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeConnection } from './fake-ix.ts';
import { assertAllHome, type Fixture, startKv } from './fixture.ts';

const MIB = 2 ** 20;
const stores = (c: FakeConnection, key: string, bytes: number): string =>
  c.ask(`set ${key} 0 0 ${bytes}\r\n${'v'.repeat(bytes)}\r\n`);

/** Clients that ask for a large item each and do not read. */
const readers = (kv: Fixture, count: number, bytes: number): FakeConnection[] =>
  Array.from({ length: count }, (_, i) => {
    assert.equal(stores(kv.c, `r${i}`, bytes), 'STORED\r\n');
    const c = kv.ix.connect();
    c.isEager = false;
    c.deliver(`get r${i}\r\n`);
    return c;
  });
const bury = (kv: Fixture): number => {
  const dead = kv.ix.connections.filter((c) => c.isOpen && c.isAborted);
  for (const c of dead) c.die();
  return dead.length;
};
const run = (kv: Fixture, seconds: number): number => {
  let buried = 0;
  for (let n = 0; n < seconds; n++) {
    kv.ix.run(1);
    buried += bury(kv);
  }
  return buried;
};

test('seventyUnreadAnswersOfAMegabyte_othersStoreLargeValuesAfterSeconds', () => {
  const kv = startKv(64);
  readers(kv, 70, 850_000);
  assert.ok(kv.store.pinnedBytes > 56 * MIB);
  const buried = run(kv, 15);
  assert.ok(buried > 40 && buried < 60, `${buried} reset`);
  assert.equal(kv.store.counts.get('readers_dropped'), buried);
  assert.ok(kv.store.pinnedBytes <= 16 * MIB, `${kv.store.pinnedBytes} pinned`);
  for (let i = 0; i < 100; i++) assert.equal(stores(kv.c, `o${i}`, 1_000_000), 'STORED\r\n');
  assertAllHome(kv);
});

test('unreadAnswers_belowTheirShareOrGoingOn_areLeftAlone', () => {
  const kv = startKv(16);
  const few = readers(kv, 4, 900_000);
  assert.equal(run(kv, 100), 0, 'a quarter of the memory may be on its way');
  const many = readers(kv, 8, 900_000);
  for (let second = 0; second < 300; second++) {
    kv.ix.run(1);
    if (second % 9 === 0) for (const c of many) c.acknowledge(1);
    bury(kv);
  }
  assert.deepEqual(
    few.map((c) => c.isOpen),
    [false, false, false, false],
    'the stalled go first',
  );
  assert.ok(many.every((c) => c.isOpen));
  assert.ok(many.every((c) => c.queuedBytes < 900_000 - 30 * 16_000));
  assertAllHome(kv);
});

test('valueRefused_stalledReadersPinWhatIsThere_theyAreResetWhateverTheirShare', () => {
  const kv = startKv(1);
  readers(kv, 1, 200_000);
  kv.ix.run(20);
  assert.equal(stores(kv.c, 'big', 900_000), 'SERVER_ERROR out of memory storing object\r\n');
  assert.equal(run(kv, 1), 1);
  assert.equal(stores(kv.c, 'big', 900_000), 'STORED\r\n');
  assertAllHome(kv);
});

test('stalledUpload_othersAreEvicted_isGivenUp_elseItMayStandForDays', () => {
  const kv = startKv(4);
  const stalled = kv.ix.connect();
  stalled.deliver(`set s 0 0 900000\r\n${'x'.repeat(800_000)}`);
  kv.ix.run(3600 * 24);
  assert.equal(kv.store.counts.get('uploads'), 1);
  const going = kv.ix.connect();
  going.deliver(`set g 0 0 900000\r\n${'x'.repeat(800_000)}`);
  for (let i = 0; i < 60; i++) stores(kv.c, `k${i}`, 60_000);
  assert.ok(kv.store.counts.get('evictions') > 0);
  kv.ix.run(2);
  assert.equal(kv.store.counts.get('uploads_dropped'), 1);
  assert.equal(going.ask(`${'x'.repeat(100_000)}\r\n`), 'STORED\r\n');
  assert.equal(
    stalled.ask(`${'x'.repeat(100_000)}\r\nget s\r\n`),
    'SERVER_ERROR out of memory storing object\r\nEND\r\n',
  );
  assertAllHome(kv);
});

test('idleTimeout_silentConnections_areClosedAndCounted_othersNot', () => {
  const kv = startKv(4, { idleSeconds: 60 });
  stores(kv.c, 'a', 200_000);
  const silent = kv.ix.connect();
  const uploading = kv.ix.connect();
  uploading.deliver(`set u 0 0 900000\r\n${'x'.repeat(100_000)}`);
  const reading = kv.ix.connect();
  reading.isEager = false;
  reading.deliver('get a\r\n');
  const taking = kv.ix.connect();
  taking.isEager = false;
  taking.deliver('get a\r\n');
  for (let n = 0; n < 60; n++) {
    kv.ix.run(1);
    kv.c.ask('version\r\n');
    if (n % 20 === 0) taking.acknowledge(1);
  }
  assert.equal(kv.store.counts.get('idle_kicks'), 0, 'not before the time is over');
  kv.ix.run(2);
  assert.ok(silent.isClosing && !silent.isAborted, 'nothing is lost: FIN');
  assert.ok(uploading.isAborted && reading.isAborted, 'in the middle of something: RST');
  assert.equal(kv.store.counts.get('upload_bytes'), 0);
  assert.ok(!taking.isAborted && !kv.c.isClosing);
  assert.equal(kv.store.counts.get('idle_kicks'), 3);
  kv.ix.run(20);
  assert.equal(kv.store.counts.get('idle_kicks'), 3, 'once each');
  assert.match(kv.c.ask('stats settings\r\n'), /STAT idle_timeout 60\r\n/);
  assertAllHome(kv);
});

test('noIdleTimeout_silentForWeeks_staysOpen', () => {
  const kv = startKv(2);
  kv.ix.run(3600 * 24 * 30);
  assert.equal(kv.c.ask('version\r\n').slice(0, 7), 'VERSION');
  assertAllHome(kv);
});
