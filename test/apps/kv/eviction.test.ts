/** What stays and what goes when memory is full. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, type Fixture, type Random, seeded, startKv } from './fixture.ts';

const fill = (kv: Fixture, from: number, to: number, bytes: number, exptime = 0): void => {
  const value = 'x'.repeat(bytes);
  for (let i = from; i < to; i++) {
    assert.equal(kv.c.ask(`set key${i} 0 ${exptime} ${bytes}\r\n${value}\r\n`), 'STORED\r\n');
  }
};
const has = (kv: Fixture, i: number): boolean => kv.c.ask(`get key${i}\r\n`) !== 'END\r\n';

test('fullClass_newItems_evictTheOldestFirst', () => {
  const kv = startKv(1);
  const perPage = 1024 * 9; // more than fit
  fill(kv, 0, perPage, 100);
  const kept = kv.store.counts.get('curr_items');
  assert.ok(kept > 4000 && kept < perPage, `${kept} kept`);
  assert.equal(kv.store.counts.get('evictions'), perPage - kept);
  assert.equal(kv.store.counts.get('evicted_unfetched'), perPage - kept);
  assert.equal(has(kv, perPage - kept - 1), false);
  assert.equal(has(kv, perPage - kept), true);
  assert.equal(has(kv, perPage - 1), true);
  assertAllHome(kv);
});

test('fullClass_hitItems_getASecondChance', () => {
  const kv = startKv(1);
  fill(kv, 0, 1000, 100);
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 50; i++) assert.ok(has(kv, i), `key${i} in round ${round}`);
    fill(kv, 1000 + round * 2000, 3000 + round * 2000, 100);
  }
  assert.ok(kv.store.counts.get('evictions') > 20_000);
  assertAllHome(kv);
});

/** The policy in ten lines, on an array: tail first, a hit item goes round once. */
test('randomUse_evictsWhatTheModelEvicts', () => {
  const random = seeded('eviction model');
  // Sixteen whole items a page; or four of thirteen chunks.
  for (const [bytes, capacity] of [
    [65_000, 16],
    [200_000, 4],
  ] as const)
    evictAsModel(random, bytes, capacity);
});

function evictAsModel(random: Random, bytes: number, capacity: number): void {
  const kv = startKv(1);
  const value = 'v'.repeat(bytes);
  let list: { key: number; isHit: boolean }[] = []; // most recent first
  for (let step = 0; step < 3000; step++) {
    const key = random.below(capacity * 4);
    const entry = list.find((e) => e.key === key);
    if (random.below(3) > 0) {
      const answer = kv.c.ask(`get ${key}\r\n`);
      assert.equal(answer !== 'END\r\n', entry !== undefined, `step ${step}`);
      if (entry) entry.isHit = true;
      continue;
    }
    // A set needs a new chunk before the old one is given back.
    while (list.length >= capacity) {
      const tail = list.pop()!;
      if (!tail.isHit) break;
      tail.isHit = false;
      list.unshift(tail);
    }
    kv.c.ask(`set ${key} 0 0 ${bytes}\r\n${value}\r\n`);
    list = list.filter((e) => e.key !== key);
    list.unshift({ key, isHit: false });
  }
  assert.ok(kv.store.counts.get('evictions') > 100);
  assertAllHome(kv);
}

test('otherClassOwnsAllPages_newClass_takesAPage', () => {
  const kv = startKv(3);
  fill(kv, 0, 40_000, 50);
  assert.equal(kv.store.slabs.freePages, 0);
  fill(kv, 50_000, 50_100, 5000);
  assert.ok(has(kv, 50_099));
  assert.equal(kv.store.counts.get('slabs_moved'), 1);
  fill(kv, 60_000, 60_001, 900_000);
  assert.ok(has(kv, 60_000), 'an item as large as a page finds one');
  assertAllHome(kv);
});

test('oldClassIdle_otherClassThrashing_pagesMoveOverTime', () => {
  const kv = startKv(8);
  fill(kv, 0, 40_000, 100);
  fill(kv, 100_000, 100_500, 2000);
  const before = kv.store.counts.get('slabs_moved');
  for (let second = 0; second < 60; second++) {
    kv.ix.advance(1);
    fill(kv, 200_000 + second * 1000, 201_000 + second * 1000, 2000);
  }
  assert.ok(
    kv.store.counts.get('slabs_moved') - before >= 3,
    'pages go where the evictions are young',
  );
  assertAllHome(kv);
});

test('everythingBeingSent_newItem_outOfMemory', () => {
  const kv = startKv(1);
  kv.c.isEager = false;
  const bytes = 200_000;
  const store = (key: string): string => {
    const peer = kv.ix.connect();
    const answer = peer.ask(`set ${key} 0 0 ${bytes}\r\n${'v'.repeat(bytes)}\r\n`);
    peer.die();
    return answer;
  };
  for (let i = 0; i < 4; i++) {
    assert.equal(store(`k${i}`), 'STORED\r\n');
    const reader = kv.ix.connect();
    reader.isEager = false;
    reader.deliver(`get k${i}\r\n`);
  }
  assert.equal(store('more'), 'SERVER_ERROR out of memory storing object\r\n');
  assert.equal(
    kv.ix.connect().ask('add x 0 0 1\r\n1\r\n'),
    'SERVER_ERROR out of memory storing object\r\n',
  );
  assert.equal(store('k0'), 'SERVER_ERROR out of memory storing object\r\n');
  const last = kv.ix.connect();
  assert.equal(last.ask('get k0\r\n'), 'END\r\n', 'a failed set leaves no stale value');
  assert.ok(kv.store.counts.get('store_no_memory') >= 3);
  kv.ix.acknowledgeAll();
  assert.equal(store('more'), 'STORED\r\n', 'once the readers have it there is room again');
  assertAllHome(kv);
});

test('expiredItemsAtTheTail_areReclaimedNotEvicted', () => {
  const kv = startKv(1);
  fill(kv, 0, 9000, 100, 10);
  const evicted = kv.store.counts.get('evictions');
  kv.ix.advance(11);
  fill(kv, 10_000, 13_000, 100);
  assert.equal(kv.store.counts.get('evictions'), evicted);
  assert.ok(kv.store.counts.get('reclaimed') >= 2900);
  assert.ok(kv.store.counts.get('expired_unfetched') >= 2900);
  assertAllHome(kv);
});
