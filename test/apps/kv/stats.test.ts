/** stats and its relatives: names as memcached's, numbers that are true. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, type Fixture, startKv } from './fixture.ts';
import { Memcached } from './memcached.ts';

const rows = (answer: string): Map<string, string> => {
  assert.ok(answer.endsWith('END\r\n'), answer.slice(-50));
  const lines = answer.split('\r\n').slice(0, -2);
  return new Map(lines.map((line) => /^STAT (\S+) (.*)$/.exec(line)!.slice(1) as [string, string]));
};
const stats = (kv: Fixture, name = ''): Map<string, string> => rows(kv.c.ask(`stats${name}\r\n`));

test('stats_afterKnownRequests_countsThem', () => {
  const kv = startKv(4);
  const other = kv.ix.connect();
  kv.c.ask('set a 0 0 1\r\n1\r\nset b 0 1 1\r\nx\r\nget a b none\r\ngets a\r\n');
  kv.c.ask('incr a 1\r\ndecr a 1\r\nincr none 1\r\ndecr none 1\r\ndelete none\r\n');
  kv.c.ask(
    'cas a 0 0 1 999\r\n1\r\ncas none 0 0 1 1\r\n1\r\ntouch a 0\r\ntouch none 0\r\ngat 0 a\r\n',
  );
  kv.ix.advance(2);
  kv.c.ask(
    `get b\r\nset big 0 0 2000000\r\n${'x'.repeat(2_000_000)}\r\ndelete a\r\nset c 0 0 4\r\nabcd\r\n`,
  );
  other.die();
  const told = stats(kv);
  const expected = {
    curr_connections: 1, total_connections: 2,
    cmd_get: 5, get_hits: 3, get_misses: 2, get_expired: 1, cmd_set: 5,
    cmd_touch: 3, touch_hits: 2, touch_misses: 1,
    incr_hits: 1, incr_misses: 1, decr_hits: 1, decr_misses: 1,
    delete_hits: 1, delete_misses: 1, cas_badval: 1, cas_misses: 1, cas_hits: 0,
    store_too_large: 1, curr_items: 1, total_items: 3, evictions: 0,
    uptime: 2, limit_maxbytes: 4 * 2 ** 20, threads: 1, pointer_size: 64,
  }; // biome-ignore format: a table
  for (const [name, value] of Object.entries(expected))
    assert.equal(told.get(name), `${value}`, name);
  assert.equal(Number(told.get('pid')), kv.ix.pid);
  assert.ok(Math.abs(Number(told.get('time')) - Date.now() / 1000 - 2) < 3);
  assert.equal(Number(told.get('bytes')), 44 + 'VALUE c 0 4\r\nabcd\r\nEND\r\n'.length);
  assert.ok(Number(told.get('bytes_read')) > 2_000_000);
  assert.equal(kv.c.ask('stats reset\r\n'), 'RESET\r\n');
  const reset = stats(kv);
  assert.equal(reset.get('cmd_get'), '0');
  assert.equal(reset.get('curr_items'), '1');
  assertAllHome(kv);
});

test('statsOfClasses_someItems_showChunksAndAges', () => {
  const kv = startKv(4);
  kv.c.ask('set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nget a\r\n');
  kv.ix.advance(3);
  const slabs = stats(kv, ' slabs');
  assert.equal(slabs.get('1:chunk_size'), '96');
  assert.equal(slabs.get('1:used_chunks'), '2');
  assert.equal(slabs.get('1:get_hits'), '1');
  assert.equal(slabs.get('1:cmd_set'), '2');
  assert.equal(slabs.get('active_slabs'), '1');
  const items = stats(kv, ' items');
  assert.equal(items.get('items:1:number'), '2');
  assert.equal(items.get('items:1:age'), '3');
  assert.equal(stats(kv, ' settings').get('item_size_max'), '1048576');
  assert.equal(stats(kv, ' sizes').get('sizes_status'), 'disabled');
  assert.equal(kv.c.ask('stats cachedump 1 1\r\n'), 'ITEM b [1 b; 0 s]\r\nEND\r\n');
  assert.equal(
    kv.c.ask('stats cachedump 1 0\r\n'),
    'ITEM b [1 b; 0 s]\r\nITEM a [1 b; 0 s]\r\nEND\r\n',
  );
  assert.equal(kv.c.ask('stats cachedump 100 0\r\n'), 'CLIENT_ERROR Illegal slab id\r\n');
  assert.equal(kv.c.ask('stats cachedump\r\n'), 'CLIENT_ERROR bad command line\r\n');
  assert.equal(kv.c.ask('stats detail\r\n'), 'CLIENT_ERROR usage: stats detail on|off|dump\r\n');
  assert.equal(kv.c.ask('stats nonsense\r\n'), 'ERROR\r\n');
  assertAllHome(kv);
});

test('statNames_ofMemcached_exceptItsOwnMachinery', {
  skip: Memcached.missing() ?? false,
}, async (t) => {
  const oracle = await Memcached.start();
  t.after(() => oracle.stop());
  const kv = startKv();
  const machinery =
    /^(libevent|connection_structures|response_obj|read_buf|reserved_fds|slab_reassign_|lru_|log_|unexpected_napi|round_robin|crawler_|moves_to|hits_to|number_|age_|items:\d+:(number_|age_|crawler_|moves_to|hits_to|mem_))/;
  for (const name of ['', ' items', ' slabs']) {
    const peer = await oracle.connect();
    await peer.ask('set a 0 0 1\r\n1\r\n', (answer) => answer === 'STORED\r\n');
    const before = peer.received.length;
    await peer.ask(`stats${name}\r\n`, (answer) => answer.endsWith('END\r\n'));
    const theirs = rows(peer.received.slice(before));
    await peer.finish();
    kv.c.ask('set a 0 0 1\r\n1\r\n');
    const ours = stats(kv, name);
    for (const key of theirs.keys())
      assert.ok(ours.has(key) || machinery.test(key), `stats${name}: no ${key}`);
  }
  assertAllHome(kv);
});

test('statValues_whatMemcachedGivesAsNumber_isOneHere', {
  skip: Memcached.missing() ?? false,
}, async (t) => {
  const oracle = await Memcached.start();
  t.after(() => oracle.stop());
  const kv = startKv();
  const shape = (value: string): string =>
    value.replace(/\d+/g, '9').replace(/^(yes|no)$/, 'yes|no');
  // No libevent here; and what hashes, what speaks and how large a page is are ours to say.
  const own = /^(hash_algorithm|binding_protocol)$/;
  for (const name of ['', ' settings', ' items', ' slabs']) {
    const peer = await oracle.connect();
    await peer.ask('set a 0 0 1\r\n1\r\n', (answer) => answer === 'STORED\r\n');
    const before = peer.received.length;
    await peer.ask(`stats${name}\r\n`, (answer) => answer.endsWith('END\r\n'));
    const theirs = rows(peer.received.slice(before));
    await peer.finish();
    kv.c.ask('set a 0 0 1\r\n1\r\n');
    for (const [key, value] of stats(kv, name)) {
      const other = theirs.get(key);
      if (other === undefined || own.test(key)) continue;
      assert.equal(shape(value), shape(other), `stats${name}: ${key} ${value}, theirs ${other}`);
    }
  }
  assertAllHome(kv);
});
