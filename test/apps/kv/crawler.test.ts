/**
 * Memory of what is dead comes back: for the same size, for another size, and in the accounts. All
 * in virtual time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertAllHome, assertSame, type Fixture, startKv } from './fixture.ts';

const put = (kv: Fixture, key: string, bytes: number, exptime = 0): void => {
  const answer = kv.c.ask(`set ${key} 0 ${exptime} ${bytes}\r\n${'x'.repeat(bytes)}\r\n`);
  assert.equal(answer, 'STORED\r\n', key);
};
const fill = (kv: Fixture, name: string, count: number, bytes: number, exptime = 0): void => {
  for (let i = 0; i < count; i++) put(kv, `${name}${i}`, bytes, exptime);
};
const hits = (kv: Fixture, name: string, count: number): number => {
  let found = 0;
  for (let i = 0; i < count; i++) if (kv.c.ask(`get ${name}${i}\r\n`) !== 'END\r\n') found++;
  return found;
};

const deaths: [string, (kv: Fixture) => void][] = [
  ['flushed', (kv) => kv.c.ask('flush_all\r\n')],
  ['expired', (kv) => kv.ix.advance(11)],
];
for (const [name, die] of deaths) {
  test(`storeFullOfSmallItems_${name}_largerWorkingSetFitsAtOnce`, () => {
    for (const [small, large, count] of [
      [100, 2000, 1200],
      [2000, 100, 12_000],
      [100, 300_000, 9],
      [300_000, 2000, 1200],
    ] as const) {
      const kv = startKv(4);
      fill(kv, 'old', 4 * Math.floor(1_040_000 / (small + 60)), small, 10);
      assert.equal(kv.store.slabs.freePages, 0);
      const before = kv.store.counts.get('evictions');
      die(kv);
      fill(kv, 'new', count, large);
      assert.equal(kv.store.counts.get('evictions'), before, `${small} to ${large}`);
      assert.equal(hits(kv, 'new', count), count, 'all is cached at the first attempt');
      assertAllHome(kv);
    }
  });

  test(`storeFullOfItems_${name}AndUntouched_accountsFallWithinASecond`, () => {
    const kv = startKv(8);
    fill(kv, 'old', 40_000, 100, 10);
    put(kv, 'stays', 10);
    const count = kv.store.counts.get('curr_items');
    die(kv);
    if (name === 'flushed') put(kv, 'stays', 10);
    kv.ix.run(1.2);
    assert.equal(kv.store.counts.get('curr_items'), 1, `of ${count}`);
    assert.equal(kv.store.counts.get('bytes'), 44 + 'VALUE stays 0 10\r\n\r\nEND\r\n'.length + 10);
    assert.ok(kv.store.slabs.freePages >= 7);
    assertAllHome(kv);
  });
}

test('everySecondItemExpires_otherSize_takesTheirMemoryAndEvictsNobody', () => {
  const kv = startKv(8);
  for (let i = 0; i < 44_000; i++)
    put(kv, `${i % 2 === 0 ? 'dies' : 'lives'}${i >> 1}`, 100, i % 2 === 0 ? 10 : 0);
  assert.equal(kv.store.slabs.freePages, 0);
  assert.equal(kv.store.counts.get('evictions'), 0);
  kv.ix.advance(11);
  kv.ix.run(1.5);
  assert.equal(kv.store.counts.get('curr_items'), 22_000);
  fill(kv, 'new', 1000, 2000);
  assert.equal(kv.store.counts.get('evictions'), 0);
  assert.equal(hits(kv, 'new', 1000), 1000);
  assert.equal(hits(kv, 'lives', 22_000), 22_000, 'items that moved are found');
  assertAllHome(kv);
});

test('largeItemsDeletedHereAndThere_pagesMoveWithoutEviction_valuesStayWhole', () => {
  const kv = startKv(8);
  const value = (i: number): string => `${i},`.repeat(75_000).slice(0, 150_000);
  for (let i = 0; i < 51; i++)
    assert.equal(kv.c.ask(`set k${i} 0 0 150000\r\n${value(i)}\r\n`), 'STORED\r\n');
  for (let i = 0; i < 51; i += 3) kv.c.ask(`delete k${i}\r\n`);
  fill(kv, 'new', 1000, 1000);
  assert.equal(kv.store.counts.get('evictions'), 0);
  for (let i = 0; i < 51; i++) {
    const answer = i % 3 === 0 ? 'END\r\n' : `VALUE k${i} 0 150000\r\n${value(i)}\r\nEND\r\n`;
    assertSame(kv.c.ask(`get k${i}\r\n`), answer, `k${i}`);
  }
  assertAllHome(kv);
});

test('crawl_anyStore_isBoundedInEveryStepAndRestsWhenDone', () => {
  const kv = startKv(8);
  fill(kv, 'old', 40_000, 100, 10);
  kv.ix.advance(11);
  kv.c.ask('version\r\n');
  let steps = 0;
  for (let before = 40_000; kv.store.crawler.step(); steps++) {
    const left = kv.store.counts.get('curr_items');
    assert.ok(before - left <= 4096, `${before - left} in one step`);
    before = left;
  }
  assert.ok(steps >= 9 && steps <= 12, `${steps} steps for 40,000 items`);
  assert.equal(kv.store.crawler.look(), false);
  assertAllHome(kv);
});

test('mixedLifetimes_daysOfSeconds_isNotCrawledAllDay', () => {
  const kv = startKv(8);
  for (let i = 0; i < 36_000; i++) put(kv, `k${i}`, 100, i % 100 === 0 ? 1 + i / 100 : 0);
  kv.ix.run(360);
  const checked = kv.store.counts.get('crawler_items_checked');
  assert.equal(
    kv.store.counts.get('curr_items') <= 36_000 - 200,
    true,
    'most of the dead are gone',
  );
  assert.ok(checked < 36_000 * 12, `${checked} visits in 360 seconds`);
  assertAllHome(kv);
});

test('touchedAndReferencedItems_crawled_liveAsLongAsTheyShould', () => {
  const kv = startKv(2);
  const reader = kv.ix.connect();
  reader.isEager = false;
  for (const key of ['read', 'touched', 'got', 'forever', 'plain']) put(kv, key, 50, 10);
  kv.c.ask('touch touched 100\r\ngat 100 got\r\ntouch forever 0\r\n');
  reader.deliver('get read\r\n');
  kv.ix.run(13);
  assert.equal(kv.store.counts.get('curr_items'), 4, 'only the plain one is gone');
  reader.acknowledge();
  assert.equal(reader.output().length, 'VALUE read 0 50\r\n\r\nEND\r\n'.length + 50);
  kv.ix.run(64);
  assert.equal(kv.store.counts.get('curr_items'), 3, 'nobody reads it any more');
  kv.ix.run(120);
  assert.equal(kv.store.counts.get('curr_items'), 1);
  kv.c.ask('flush_all\r\n');
  kv.ix.run(2);
  assert.equal(kv.store.counts.get('curr_items'), 0);
  assertAllHome(kv);
});

test('randomSizesLifetimesAndReaders_underPressure_whatIsFoundIsRight', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  console.log(`# crawler: SEED=${seed}`);
  const size = fc.oneof(fc.nat(3000), fc.integer({ min: 30_000, max: 70_000 }), fc.nat(400_000));
  const step = fc.record({
    kind: fc.constantFrom(
      'set',
      'set',
      'set',
      'get',
      'read',
      'ack',
      'upload',
      'die',
      'delete',
      'wait',
      'flush',
    ),
    key: fc.nat(40),
    size,
    exptime: fc.constantFrom(0, 0, 1, 3, 20),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 30, maxLength: 120 }), (steps) => {
      const kv = startKv(3);
      const values = new Map<number, string>();
      const held: Fixture['c'][] = [];
      for (const [n, { kind, key, size: bytes, exptime }] of steps.entries()) {
        const value = `${n};`.repeat(bytes).slice(0, bytes);
        const line = `set ${key} 0 ${exptime} ${bytes}\r\n${value}`;
        if (kind === 'set') {
          const answer = kv.c.ask(`${line}\r\n`);
          if (answer === 'STORED\r\n') values.set(key, value);
          else values.delete(key);
        } else if (kind === 'get') {
          const answer = kv.c.ask(`get ${key}\r\n`);
          const known = values.get(key);
          if (answer !== 'END\r\n')
            assertSame(answer, `VALUE ${key} 0 ${known?.length}\r\n${known}\r\nEND\r\n`);
        } else if (kind === 'read') {
          const reader = kv.ix.connect();
          reader.isEager = false;
          reader.deliver(`get ${key}\r\n`);
          held.push(reader);
        } else if (kind === 'upload') {
          const writer = kv.ix.connect();
          writer.deliver(line.slice(0, bytes >> 1));
          held.push(writer);
        } else if (kind === 'ack') held[key % (held.length || 1)]?.acknowledge();
        else if (kind === 'die') held.splice(key % (held.length || 1), 1)[0]?.die();
        else if (kind === 'delete') kv.c.ask(`delete ${key}\r\n`);
        else if (kind === 'wait') kv.ix.run(exptime / 2);
        else if (key < 5) kv.c.ask('flush_all\r\n');
      }
      for (const [key, value] of values) {
        const answer = kv.c.ask(`get ${key}\r\n`);
        if (answer !== 'END\r\n')
          assertSame(answer, `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`);
      }
      assertAllHome(kv);
    }),
    { seed, numRuns: Number(process.env['IX_RUNS'] ?? 60) },
  );
});

test('storeExpired_timerRefused_stepsOnceASecond_andOftenAgainOnceOneIsGranted', () => {
  const kv = startKv(8, { hasTimers: false });
  const items = (): number => kv.store.counts.get('curr_items');
  fill(kv, 'old', 40_000, 100, 10);
  kv.ix.run(14.5);
  const left = items();
  assert.ok(left < 40_000 && left > 20_000, `${left} items`);
  kv.ix.run(12);
  assert.equal(items(), 0);
  kv.ix.hasTimers = true;
  fill(kv, 'again', 40_000, 100, 10);
  kv.ix.run(12.5);
  assert.equal(items(), 0);
  assertAllHome(kv);
});
