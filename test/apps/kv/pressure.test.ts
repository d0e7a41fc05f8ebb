/**
 * Slow readers, short spans, dying connections: nothing is lost, nothing is changed under a send,
 * nothing leaks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, assertSame, seeded, startKv } from './fixture.ts';

const VALUE = 'v'.repeat(100_000);

test('slowReader_manyLargeGets_inputWaitsUntilWritable', () => {
  const kv = startKv(4);
  kv.c.ask(`set a 0 0 ${VALUE.length}\r\n${VALUE}\r\n`);
  kv.c.isEager = false;
  kv.c.deliver('get a\r\n'.repeat(50));
  assert.ok(kv.c.queuedBytes < 262_144 + 100_100, 'stops at the high-water mark');
  assert.ok(kv.c.waiting > 0);
  let answer = '';
  for (let n = 0; n < 1000 && kv.c.queuedBytes > 0; n++) {
    kv.c.acknowledge(1);
    answer += kv.c.output();
  }
  assertSame(answer, `VALUE a 0 ${VALUE.length}\r\n${VALUE}\r\nEND\r\n`.repeat(50));
  assertAllHome(kv);
});

test('slowReader_multiGet_stopsBetweenKeysAndGoesOn', () => {
  const kv = startKv(4);
  kv.c.ask(`set a 0 0 ${VALUE.length}\r\n${VALUE}\r\n`);
  kv.c.isEager = false;
  kv.c.deliver(`get ${'a b '.repeat(40)}\r\nversion\r\n`);
  assert.ok(kv.c.queuedBytes < 262_144 + 100_100);
  let answer = '';
  while (kv.c.queuedBytes > 0) {
    kv.c.acknowledge(1);
    answer += kv.c.output();
  }
  const hit = `VALUE a 0 ${VALUE.length}\r\n${VALUE}\r\n`;
  assertSame(answer, `${hit.repeat(40)}END\r\nVERSION 1.6.18\r\n`);
  assertAllHome(kv);
});

test('fewSpans_everyKindOfAnswer_comesWhenThereIsRoom', () => {
  const requests =
    'set a 0 0 1\r\n1\r\nget a\r\nincr a 5\r\nget a b\r\nset n 0 0 2 noreply\r\n41\r\nincr n 1\r\ndelete a\r\nget a\r\n' +
    `bad\r\nset a 0 0 2\r\n123\r\nset b 0 0 3000000\r\n${'x'.repeat(3000)}`;
  const answers =
    'STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n6\r\nVALUE a 0 1\r\n6\r\nEND\r\n42\r\nDELETED\r\nEND\r\nERROR\r\n' +
    'CLIENT_ERROR bad data chunk\r\nERROR\r\nSERVER_ERROR object too large for cache\r\n';
  for (let room = 1; room <= 5; room++) {
    for (const size of [1, 7, 3000]) {
      const kv = startKv(2, { roomFor: room });
      kv.c.isEager = false;
      let answer = '';
      for (let at = 0; at < requests.length; at += size) {
        kv.c.deliver(requests.slice(at, at + size));
        if (at % 3 === 0) kv.c.acknowledge(1);
        answer += kv.c.output();
      }
      for (let n = 0; n < 100; n++) {
        kv.c.acknowledge(1);
        answer += kv.c.output();
      }
      assertSame(answer, answers, `room for ${room}, pieces of ${size}`);
      assertAllHome(kv);
    }
  }
});

test('fewSpans_longStats_goOnWhereTheyStopped', () => {
  const keys = Array.from({ length: 500 }, (_, i) => `k\xe9${i}`.padEnd(60, 'x'));
  const requests = 'stats settings\r\nstats cachedump 3 0\r\nversion\r\n';
  const fill = keys.map((key) => `set ${key} 0 0 1 noreply\r\n1\r\n`).join('');
  const answerOf = (roomFor: number): string => {
    const kv = startKv(2, { roomFor });
    kv.c.ask(fill);
    kv.c.isEager = false;
    let answer = '';
    kv.c.deliver(requests);
    for (let n = 0; n < 100; n++) {
      answer += kv.c.output();
      kv.c.acknowledge(1);
    }
    assert.ok(!kv.c.isAborted, `room for ${roomFor}`);
    assertAllHome(kv);
    return answer;
  };
  const expected = answerOf(1000);
  assert.equal(expected.split('ITEM ').length - 1, keys.length);
  assert.ok(expected.endsWith('END\r\nVERSION 1.6.18\r\n'));
  for (const room of [1, 2, 3]) assertSame(answerOf(room), expected, `room for ${room}`);
});

test('statsHalfSent_connectionDies_theNextOneStartsClean', () => {
  const kv = startKv(2, { roomFor: 1 });
  for (let i = 0; i < 200; i++) kv.c.ask(`set ${'k'.repeat(55)}${i} 0 0 1 noreply\r\n1\r\n`);
  kv.c.isEager = false;
  kv.c.deliver('stats cachedump 3 0\r\n');
  kv.c.die();
  const next = kv.ix.connect();
  assert.equal(next.id, kv.c.id, 'ids are reused');
  assert.equal(next.ask('version\r\n'), 'VERSION 1.6.18\r\n');
  assertAllHome(kv);
});

test('itemHalfSent_roomComesBack_goesOnWhereItStopped', () => {
  for (const bytes of [5000, 70_000, 200_000]) {
    const value = Array.from({ length: bytes }, (_, i) => 'abcdefghijk'[i % 11]).join('');
    const hit = (name: string, cas = ''): string =>
      `VALUE ${name} 0 ${bytes}${cas}\r\n${value}\r\n`;
    for (const roomFor of [1, 2, 5]) {
      const kv = startKv(4, { roomFor });
      kv.c.isEager = false;
      kv.c.deliver(
        `set a 0 0 ${bytes} noreply\r\n${value}\r\nset b 0 0 ${bytes} noreply\r\n${value}\r\n`,
      );
      kv.c.deliver('gets a\r\nget a b none b\r\ngets b a\r\nversion\r\n');
      let answer = '';
      for (let n = 0; n < 300; n++) {
        kv.c.acknowledge(1);
        answer += kv.c.output();
      }
      const expected = [
        `${hit('a', ' 1')}END\r\n`,
        `${hit('a')}${hit('b')}${hit('b')}END\r\n`,
        `${hit('b', ' 2')}${hit('a', ' 1')}END\r\n`,
        'VERSION 1.6.18\r\n',
      ].join('');
      assertSame(answer, expected, `${bytes} bytes, room for ${roomFor}`);
      assertAllHome(kv);
    }
  }
});

test('itemHalfSent_connectionDies_nothingLeaks', () => {
  for (const verb of ['get', 'gets']) {
    const kv = startKv(4, { roomFor: 2 });
    kv.c.ask(`set a 0 0 200000\r\n${'v'.repeat(200_000)}\r\n`);
    kv.c.isEager = false;
    kv.c.deliver(`${verb} a\r\n`);
    kv.ix.connect().ask('delete a\r\n');
    kv.c.die();
    assertAllHome(kv);
  }
});

test('itemBeingSent_replacedDeletedIncrementedFlushed_bytesStayAsTheyWere', () => {
  const kv = startKv();
  const other = kv.ix.connect();
  kv.c.isEager = false;
  const changes = [
    ['set k 0 0 2\r\n77\r\n', 'STORED\r\n'],
    ['incr k 1\r\n', '42\r\n'],
    ['decr k 40\r\n', '1\r\n'],
    ['append k 0 0 1\r\nx\r\n', 'STORED\r\n'],
    ['delete k\r\n', 'DELETED\r\n'],
    ['flush_all\r\n', 'OK\r\n'],
  ] as const;
  for (const [change, answer] of changes) {
    other.ask('set k 0 0 2\r\n41\r\n');
    kv.c.deliver('get k\r\n');
    assert.equal(other.ask(change), answer);
    other.ask(`set other 0 0 2\r\n${'99'}\r\n`); // would take the chunk if it were free
    kv.c.acknowledge();
    assert.equal(kv.c.output(), 'VALUE k 0 2\r\n41\r\nEND\r\n', change);
  }
  assertAllHome(kv);
});

test('decrWhileBeingSent_padsAsIfItWereNot', () => {
  const kv = startKv();
  kv.c.isEager = false;
  kv.c.deliver('set k 0 0 2\r\n10\r\nget k\r\ndecr k 1\r\nget k\r\n');
  kv.c.acknowledge();
  assert.equal(
    kv.c.output(),
    'STORED\r\nVALUE k 0 2\r\n10\r\nEND\r\n9\r\nVALUE k 0 2\r\n9 \r\nEND\r\n',
  );
  assertAllHome(kv);
});

test('connectionDiesInTheMiddle_atEveryByte_nothingLeaks', () => {
  const script =
    'set a 0 0 5\r\nhello\r\nget a b a\r\ncas a 0 0 3 1\r\nabc\r\ngets a\r\nappend a 0 0 2\r\nxy\r\nincr a 1\r\n';
  for (let cut = 0; cut <= script.length; cut++) {
    const kv = startKv(1, { mebibytes: 2 });
    kv.c.isEager = cut % 2 === 0;
    kv.c.deliver(script.slice(0, cut));
    kv.c.die();
    assert.equal(kv.stats.connections, 0);
    const next = kv.ix.connect();
    assert.equal(next.id, kv.c.id, 'ids are reused');
    assert.equal(next.ask('version\r\n'), 'VERSION 1.6.18\r\n', 'a new connection starts clean');
    assertAllHome(kv);
  }
});

test('manyConnections_randomInterleaving_eachSeesItsOwnAnswers', () => {
  const random = seeded('interleaving');
  const kv = startKv(8);
  const peers = Array.from({ length: 200 }, (_, i) => {
    const value = `${i}`.repeat(1 + (i % 50));
    const requests =
      `set k${i} ${i} 0 ${value.length}\r\n${value}\r\n` +
      `get k${i} none\r\nget k${i}\r\ndelete k${i}\r\nget k${i}\r\n`;
    const hit = `VALUE k${i} ${i} ${value.length}\r\n${value}\r\n`;
    const answers = `STORED\r\n${hit}END\r\n${hit}END\r\nDELETED\r\nEND\r\n`;
    const c = kv.ix.connect();
    c.isEager = i % 3 === 0;
    return { c, requests, answers, at: 0 };
  });
  const going = [...peers];
  while (going.length > 0) {
    const index = random.below(going.length);
    const peer = going[index]!;
    const size = 1 + random.below(30);
    peer.c.deliver(peer.requests.slice(peer.at, peer.at + size));
    peer.at += size;
    if (random.below(4) === 0) peer.c.acknowledge(1);
    if (peer.at >= peer.requests.length) going.splice(index, 1);
  }
  for (const peer of peers) {
    peer.c.acknowledge();
    assertSame(peer.c.output(), peer.answers);
  }
  assertAllHome(kv);
});
