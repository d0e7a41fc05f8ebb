/**
 * The protocol under every fragmentation, and its answers. Expected answers are memcached 1.6.18's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, assertSame, seeded, startKv } from './fixture.ts';

const SCRIPT = [
  ['set a 5 0 3\r\nabc\r\n', 'STORED\r\n'],
  ['get a\r\n', 'VALUE a 5 3\r\nabc\r\nEND\r\n'],
  ['get a nope a\r\n', 'VALUE a 5 3\r\nabc\r\nVALUE a 5 3\r\nabc\r\nEND\r\n'],
  ['add a 0 0 1\r\nx\r\n', 'NOT_STORED\r\n'],
  ['add b 4294967295 0 0\r\n\r\n', 'STORED\r\n'],
  ['get b a\r\n', 'VALUE b 4294967295 0\r\n\r\nVALUE a 5 3\r\nabc\r\nEND\r\n'],
  ['append a 9 9 2\r\nde\r\n', 'STORED\r\n'],
  ['prepend a 9 9 1\r\n_\r\n', 'STORED\r\n'],
  ['get a\r\n', 'VALUE a 5 6\r\n_abcde\r\nEND\r\n'],
  ['replace nope 0 0 1\r\nx\r\n', 'NOT_STORED\r\n'],
  ['replace a 7 0 4\r\n\r\n\r\n\r\n', 'STORED\r\n'],
  ['get a\r\n', 'VALUE a 7 4\r\n\r\n\r\n\r\nEND\r\n'],
  ['set n 0 0 2\r\n10\r\n', 'STORED\r\n'],
  ['decr n 1\r\n', '9\r\n'],
  ['get n\r\n', 'VALUE n 0 2\r\n9 \r\nEND\r\n'],
  ['incr n 18446744073709551615\r\n', '8\r\n'],
  ['set quiet 0 0 1 noreply\r\nq\r\n', ''],
  ['delete quiet noreply\r\n', ''],
  ['get quiet\r\n', 'END\r\n'],
  ['touch a 100\r\n', 'TOUCHED\r\n'],
  ['gat 0 a\r\n', 'VALUE a 7 4\r\n\r\n\r\n\r\nEND\r\n'],
  [
    `set big 0 0 2000000\r\n${'x'.repeat(2_000_000)}\r\n`,
    'SERVER_ERROR object too large for cache\r\n',
  ],
  ['set a 0 0 3\r\nabcd\r\n', 'CLIENT_ERROR bad data chunk\r\nERROR\r\n'],
  ['foo\r\n', 'ERROR\r\n'],
  ['delete a\r\n', 'DELETED\r\n'],
  ['flush_all\r\n', 'OK\r\n'],
  ['get a b n\r\n', 'END\r\n'],
  ['verbosity 1\r\n', 'OK\r\n'],
  ['version\r\n', 'VERSION 1.6.18\r\n'],
] as const;
const SMALL = SCRIPT.filter(([request]) => request.length < 10_000);

test('script_requestByRequest_answersAsMemcached', () => {
  const kv = startKv();
  for (const [request, answer] of SCRIPT) assert.equal(kv.c.ask(request), answer, request);
  assertAllHome(kv);
});

test('script_inOneStretch_answersAsMemcached', () => {
  const kv = startKv();
  kv.c.isEager = false;
  kv.c.deliver(SMALL.map(([request]) => request).join(''));
  kv.c.acknowledge();
  assertSame(kv.c.output(), SMALL.map(([, answer]) => answer).join(''));
  assertAllHome(kv);
});

test('script_splitAtEveryByte_answersTheSame', () => {
  const requests = SMALL.map(([request]) => request).join('');
  const answers = SMALL.map(([, answer]) => answer).join('');
  for (let cut = 1; cut < requests.length; cut++) {
    const kv = startKv(1, { mebibytes: 2 });
    kv.c.deliver(requests.slice(0, cut));
    kv.c.deliver(requests.slice(cut));
    assertSame(kv.c.output(), answers, `cut at ${cut}`);
    assertAllHome(kv);
  }
});

test('script_inPiecesOfEverySize_answersTheSame', () => {
  const requests = SCRIPT.map(([request]) => request).join('');
  const answers = SCRIPT.map(([, answer]) => answer).join('');
  for (const size of [1, 2, 3, 5, 7, 11, 64, 1460, 8191]) {
    const kv = startKv();
    const large = requests.indexOf('xxxxx');
    kv.c.deliverInPieces(requests.slice(0, large), size);
    kv.c.deliverInPieces(requests.slice(large, large + 2_000_000), Math.max(size, 1000));
    kv.c.deliverInPieces(requests.slice(large + 2_000_000), size);
    assertSame(kv.c.output(), answers, `pieces of ${size}`);
    assertAllHome(kv);
  }
});

test('script_randomFragments_answersTheSame', () => {
  const random = seeded('random fragments');
  const requests = SCRIPT.map(([request]) => request).join('');
  const answers = SCRIPT.map(([, answer]) => answer).join('');
  for (let round = 0; round < 20; round++) {
    const kv = startKv();
    kv.c.isEager = round % 2 === 0;
    for (let at = 0; at < requests.length; ) {
      const size = 1 + random.below(random.below(4) === 0 ? 8000 : 40);
      const inLarge = requests.startsWith('x'.repeat(5000), at);
      kv.c.deliver(requests.slice(at, (at += inLarge ? 4000 : size)));
      if (random.below(3) === 0) kv.c.acknowledge(random.below(5));
    }
    kv.c.acknowledge();
    assertSame(kv.c.output(), answers, `round ${round}`);
    assertAllHome(kv);
  }
});

test('pipeline_64RequestsInOneStretch_answeredInOrder', () => {
  const kv = startKv();
  kv.c.isEager = false;
  let requests = '';
  let answers = '';
  for (let i = 0; i < 64; i++) {
    requests += `set k${i} ${i} 0 ${`${i}`.length}\r\n${i}\r\n`;
    answers += 'STORED\r\n';
  }
  for (let i = 0; i < 64; i++) {
    requests += `get k${i}\r\n`;
    answers += `VALUE k${i} ${i} ${`${i}`.length}\r\n${i}\r\nEND\r\n`;
  }
  kv.c.deliver(requests);
  kv.c.acknowledge();
  assertSame(kv.c.output(), answers);
  assertAllHome(kv);
});

test('get_lineOf64KiB_isConsumedKeyByKey', () => {
  const kv = startKv(16); // keys of many sizes: each class has its own page
  const keys: string[] = [];
  let expected = '';
  for (let i = 0; keys.join(' ').length < 65_536; i++) {
    const key = `key-${i}-${'p'.repeat(i % 200)}`;
    keys.push(key);
    if (i % 3 === 0) {
      assert.equal(kv.c.ask(`set ${key} 0 0 4\r\ndata\r\n`), 'STORED\r\n');
      expected += `VALUE ${key} 0 4\r\ndata\r\n`;
    }
  }
  for (const verb of ['get', 'gat 0']) {
    for (const size of [1, 100, 1460, 4000]) {
      kv.c.deliverInPieces(`${verb} ${keys.join(' ')}\r\n`, size);
      assertSame(kv.c.output(), `${expected}END\r\n`, `${verb} in pieces of ${size}`);
    }
  }
  assertAllHome(kv);
});

test('line_tooLongAndNotAGet_closesAsMemcachedDoes', () => {
  for (const line of ['x'.repeat(2049), `set ${'a '.repeat(1100)}`, ' '.repeat(2049)]) {
    const kv = startKv();
    kv.c.deliver(line);
    assertSame(kv.c.output(), '');
    assert.ok(kv.c.isClosing);
    assertAllHome(kv);
  }
});

test('get_keyTooLong_refusesTheWholeLine', () => {
  const kv = startKv();
  kv.c.ask('set a 0 0 1\r\n1\r\n');
  const long = 'k'.repeat(251);
  assert.equal(
    kv.c.ask(`get a ${long} a\r\nget a\r\n`).split('\r\n')[0],
    'CLIENT_ERROR bad command line format',
  );
  const endless = `get ${'k'.repeat(3000)}`;
  kv.c.deliver(endless);
  assert.equal(
    kv.c.ask(' a\r\nget a\r\n'),
    'CLIENT_ERROR bad command line format\r\nVALUE a 0 1\r\n1\r\nEND\r\n',
  );
  const max = 'm'.repeat(250);
  assert.equal(kv.c.ask(`set ${max} 0 0 1\r\n1\r\n`), 'STORED\r\n');
  assert.equal(kv.c.ask(`get ${max}\r\n`), `VALUE ${max} 0 1\r\n1\r\nEND\r\n`);
  assertAllHome(kv);
});

test('value_largest_isStoredAndSentWhole', () => {
  const kv = startKv(3);
  const value = Buffer.alloc(1_048_516, 'abcdefghijk').toString('latin1');
  assert.equal(kv.c.ask(`set a 0 0 ${value.length}\r\n${value}\r\n`), 'STORED\r\n');
  assertSame(kv.c.ask('get a\r\n'), `VALUE a 0 ${value.length}\r\n${value}\r\nEND\r\n`);
  kv.c.deliverInPieces(`set a 0 0 ${value.length}\r\n${value}\r\n`, 1460);
  assertSame(kv.c.output(), 'STORED\r\n');
  const header = kv.c.ask('gets a\r\n').slice(0, 40);
  assert.match(header, new RegExp(`^VALUE a 0 ${value.length} \\d+\r\n`));
  const more = `set a 0 0 ${value.length + 1}\r\n${value}x\r\n`;
  assert.equal(kv.c.ask(more), 'SERVER_ERROR object too large for cache\r\n');
  assert.equal(kv.c.ask('get a\r\n'), 'END\r\n', 'a failed set leaves no stale value');
  assertAllHome(kv);
});

test('cas_changesWithEveryStore_andIsChecked', () => {
  const kv = startKv();
  const casOf = (key: string): string =>
    /VALUE \S+ \d+ \d+ (\d+)/.exec(kv.c.ask(`gets ${key}\r\n`))![1]!;
  kv.c.ask('set a 0 0 1\r\n1\r\n');
  const first = casOf('a');
  assert.equal(casOf('a'), first);
  assert.equal(kv.c.ask(`cas a 0 0 1 ${first}\r\n2\r\n`), 'STORED\r\n');
  assert.notEqual(casOf('a'), first);
  assert.equal(kv.c.ask(`cas a 0 0 1 ${first}\r\n3\r\n`), 'EXISTS\r\n');
  assert.equal(kv.c.ask(`cas b 0 0 1 ${first}\r\n3\r\n`), 'NOT_FOUND\r\n');
  const second = casOf('a');
  kv.c.ask('incr a 1\r\n');
  assert.notEqual(casOf('a'), second, 'incr in place gives a new cas');
  const third = casOf('a');
  kv.c.ask('touch a 0\r\n');
  assert.equal(casOf('a'), third, 'touch does not');
  assertAllHome(kv);
});

test('quit_dropsWhatFollows', () => {
  const kv = startKv();
  assert.equal(kv.c.ask('version\r\nquit\r\nversion\r\n'), 'VERSION 1.6.18\r\n');
  assert.ok(kv.c.isClosing);
  assertAllHome(kv);
});
