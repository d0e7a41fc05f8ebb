/**
 * Values on their way in: memory is taken as they arrive, a client that stops in the middle takes
 * nothing from others, and wherever an upload ends nothing leaks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeConnection } from './fake-ix.ts';
import { assertAllHome, assertSame, type Fixture, startKv } from './fixture.ts';

const MIB = 2 ** 20;
const NO_MEMORY = 'SERVER_ERROR out of memory storing object\r\n';

const stores = (c: FakeConnection, key: string, bytes: number): string =>
  c.ask(`set ${key} 0 0 ${bytes}\r\n${'v'.repeat(bytes)}\r\n`);
const fill = (kv: Fixture, count: number, bytes: number): void => {
  for (let i = 0; i < count; i++) assert.equal(stores(kv.c, `full${i}`, bytes), 'STORED\r\n');
};
const uploaders = (kv: Fixture, count: number, announced: number, sent: number): FakeConnection[] =>
  Array.from({ length: count }, (_, i) => {
    const c = kv.ix.connect();
    c.deliver(`set up${i} 0 0 ${announced}\r\n`);
    if (sent > 0) c.deliverInPieces('u'.repeat(sent), 8000);
    return c;
  });

test('fullCache_64ClientsAnnounceAMegabyteAndSendNothing_nothingIsEvictedOrRefused', () => {
  const kv = startKv(64);
  fill(kv, 30_000, 1000); // half of it
  uploaders(kv, 64, 1_000_000, 0);
  assert.equal(kv.store.counts.get('evictions'), 0);
  assert.equal(kv.store.counts.get('curr_items'), 30_000);
  assert.ok(kv.store.counts.get('upload_bytes') <= 64 * 16_384);
  for (const bytes of [1, 1000, 50_000, 200_000, 1_000_000]) {
    assert.equal(stores(kv.c, `other${bytes}`, bytes), 'STORED\r\n');
  }
  assertAllHome(kv);
});

test('anyCache_thousandsOfAnnouncements_holdNoMoreThanTheirShare', () => {
  for (const announced of [60_000, 1_000_000]) {
    const kv = startKv(16);
    uploaders(kv, 3000, announced, 0);
    assert.ok(kv.store.counts.get('upload_bytes') <= 8 * MIB, `${announced} announced`);
    fill(kv, 100, 60_000);
    assert.equal(kv.store.counts.get('evictions'), 0, 'half of the memory is for what is stored');
    assertAllHome(kv);
  }
});

test('seventyStalledInTheMiddleOfAMegabyte_othersStoreLargeValues', () => {
  const kv = startKv(64);
  const stalled = uploaders(kv, 70, 1_000_000, 900_000);
  for (let i = 0; i < 100; i++) assert.equal(stores(kv.c, `o${i}`, 1_000_000), 'STORED\r\n');
  // As many are in progress as their share holds: the last ones. The others are told in the end.
  const kept = kv.store.counts.get('uploads');
  assert.equal(kept, Math.floor((32 * MIB) / (56 * 16_384)));
  assert.equal(kv.store.counts.get('uploads_dropped'), 70 - kept);
  stalled.forEach((c, i) => {
    const answer = c.ask(`${'u'.repeat(100_000)}\r\nversion\r\n`);
    const expected = i < 70 - kept ? NO_MEMORY : 'STORED\r\n';
    assertSame(answer, `${expected}VERSION 1.6.18\r\n`, `upload ${i}`);
  });
  assert.equal(kv.store.counts.get('upload_bytes'), 0);
  assertAllHome(kv);
});

test('uploadGivenUp_keyHasAnOldValue_itIsGone_noreplyStaysQuiet', () => {
  const kv = startKv(2);
  stores(kv.c, 'old', 10);
  const quiet = kv.ix.connect();
  quiet.deliver(`set old 0 0 900000 noreply\r\n${'x'.repeat(500_000)}`);
  const other = kv.ix.connect();
  other.deliverInPieces(`set b 0 0 900000\r\n${'y'.repeat(899_999)}`, 5000);
  assert.equal(kv.store.counts.get('uploads_dropped'), 1);
  assert.equal(kv.c.ask('get old\r\n'), 'END\r\n', 'a failed set leaves no stale value');
  assert.equal(quiet.ask(`${'x'.repeat(400_000)}\r\nversion\r\n`), 'VERSION 1.6.18\r\n');
  assert.equal(other.ask('y\r\n'), 'STORED\r\n', 'whoever goes on is not dropped');
  assertAllHome(kv);
});

test('memoryFullOfUnreadAnswers_uploadInTheMiddle_isRefusedAndSwallowed', () => {
  const kv = startKv(2);
  for (let i = 0; i < 5; i++) {
    assert.equal(stores(kv.c, `k${i}`, 300_000), 'STORED\r\n');
    const reader = kv.ix.connect();
    reader.isEager = false;
    reader.deliver(`get k${i}\r\n`);
  }
  kv.c.deliverInPieces(`set big 0 0 900000\r\n${'x'.repeat(900_000)}\r\nget k0\r\n`, 3000);
  kv.c.acknowledge();
  assert.ok(kv.c.output().startsWith(`${NO_MEMORY}VALUE k0 0 300000\r\n`));
  assertAllHome(kv);
});

test('chainedUpload_abortedAnywhere_nothingLeaks', () => {
  const bytes = 70_000;
  const script = `set a 0 0 ${bytes}\r\n${'v'.repeat(bytes)}\r\n`;
  const borders = [22, 16_300, 16_364 * 2, 16_364 * 3, 16_364 * 4, script.length];
  const near = borders.flatMap((at) => Array.from({ length: 120 }, (_, i) => at - 60 + i));
  const cuts = [...near, ...Array.from({ length: 200 }, (_, i) => i * 351)];
  const kv = startKv(2);
  for (const cut of cuts.filter((at) => at >= 0 && at <= script.length)) {
    for (const size of [1460, 8192, 100_000]) {
      const c = kv.ix.connect();
      c.deliverInPieces(script.slice(0, cut), size);
      c.die();
      assert.equal(kv.store.counts.get('uploads'), 0, `cut at ${cut}`);
      assert.equal(kv.store.counts.get('upload_bytes'), 0);
      if (cut < script.length) assert.ok(kv.store.slabs.allHome(), `cut at ${cut}`);
      else assert.equal(kv.c.ask('delete a\r\n'), 'DELETED\r\n');
    }
  }
  assertAllHome(kv);
});

test('chainedValues_everyLengthAroundAPiece_comeBackAsTheyWere', () => {
  const kv = startKv(4);
  const text = Array.from({ length: 20_000 }, (_, i) => `${i};`).join('');
  for (let pieces = 4; pieces <= 6; pieces++) {
    for (let off = -40; off < 330; off += off < -20 || off > 280 ? 1 : 7) {
      const value = text.slice(0, pieces * 16_364 + off);
      const whole = `VALUE k 5 ${value.length}\r\n${value}\r\nEND\r\n`;
      kv.c.deliverInPieces(`set k 5 0 ${value.length} noreply\r\n${value}\r\n`, 8000);
      assertSame(kv.c.ask('get k\r\n'), whole, `${value.length} bytes`);
      assert.equal(
        kv.c.ask(`append k 0 0 2\r\n>>\r\nprepend k 0 0 2\r\n<<\r\n`),
        'STORED\r\nSTORED\r\n',
      );
      const longer = `VALUE k 5 ${value.length + 4}\r\n<<${value}>>\r\nEND\r\n`;
      assertSame(kv.c.ask('get k\r\n'), longer);
      assert.equal(
        kv.c.ask(`set k 0 0 ${value.length}\r\n${value}xx`),
        'CLIENT_ERROR bad data chunk\r\n',
      );
      assertSame(kv.c.ask('gat 0 k\r\n'), longer, 'a bad chunk leaves the old value');
    }
  }
  assertAllHome(kv);
});

test('valuesOf530kB_in64MiB_asManyAsMemcachedKeeps', () => {
  const kv = startKv(64);
  for (let i = 0; i < 200; i++) assert.equal(stores(kv.c, `k${i}`, 530_000), 'STORED\r\n');
  const kept = kv.store.counts.get('curr_items');
  assert.ok(kept >= 124, `${kept} kept`);
  assert.equal(kv.store.counts.get('evictions'), 200 - kept);
  for (let i = 200 - kept; i < 200; i++) {
    assert.ok(kv.c.ask(`get k${i}\r\n`).startsWith(`VALUE k${i} 0 530000\r\nvvv`), `k${i}`);
  }
  assertAllHome(kv);
});

test('largestValue_aloneInTwoMebibytes_isStoredInPiecesAndReplaced', () => {
  const kv = startKv(2);
  for (let round = 0; round < 5; round++) {
    kv.c.deliverInPieces(`set k 0 0 1048516\r\n${`${round}`.repeat(1_048_516)}\r\n`, 1460);
    assert.equal(kv.c.output(), 'STORED\r\n');
  }
  assert.equal(kv.c.ask('get k\r\n').length, 1_048_516 + 'VALUE k 0 1048516\r\n\r\nEND\r\n'.length);
  assertAllHome(kv);
});
