/**
 * Get lines of any length from clients that write all before they read: answered as by memcached,
 * which reads the line first; bounded for each and for all.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeConnection } from './fake-ix.ts';
import { assertAllHome, assertSame, type Fixture, seeded, startKv } from './fixture.ts';

const KIB = 'v'.repeat(1024);
const HIGH_WATER = 262_144;
const TOO_MUCH = 'SERVER_ERROR out of memory reading request\r\n';

/** Stores one value of 1 KiB under `count` names; returns the names. */
function fill(kv: Fixture, count: number, value = KIB): string[] {
  const keys = Array.from({ length: count }, (_, i) => `key${i}`.padEnd(10, '_'));
  for (const key of keys) kv.c.deliver(`set ${key} 0 0 ${value.length} noreply\r\n${value}\r\n`);
  kv.c.acknowledge();
  return keys;
}

const hit = (key: string, value = KIB): string => `VALUE ${key} 0 ${value.length}\r\n${value}\r\n`;

/** Reads slowly, to the end. */
function drain(c: FakeConnection, spans = 50): string {
  let answer = '';
  for (let n = 0; n < 100_000 && c.queuedBytes > 0; n++) {
    c.acknowledge(spans);
    answer += c.output();
  }
  return answer;
}

test('longGet_clientWritesAllBeforeItReads_isReadToItsEndAndAnswered', () => {
  const kv = startKv(16);
  const names = fill(kv, 4000);
  const keys = Array.from({ length: 40_000 }, (_, i) => names[(i * 7) % names.length]!);
  const line = `get ${keys.join(' ')}\r\nversion\r\n`;
  assert.ok(line.length > 400_000);
  kv.c.isEager = false;
  kv.c.deliverInPieces(line, 1448);
  assert.ok(kv.c.queuedBytes < HIGH_WATER + 2000, 'no more is queued than for anybody');
  assert.ok(kv.c.waiting < 2 * 1448, `${kv.c.waiting} bytes not read`);
  assert.ok(!kv.held.allHome());
  assertSame(drain(kv.c), `${keys.map((key) => hit(key)).join('')}END\r\nVERSION 1.6.18\r\n`);
  assert.ok(kv.held.allHome());
  assert.equal(kv.c.waiting, 0);
  assertAllHome(kv);
});

test('longGet_everyVerbAndEnd_sameAnswerWhetherHeldOrNot', () => {
  const kv = startKv(8);
  const names = fill(kv, 200);
  const keys = Array.from({ length: 600 }, (_, i) =>
    i % 5 === 0 ? `missing${i}` : names[(i * 3) % names.length]!,
  );
  const text = keys.join('  ');
  const long = 'k'.repeat(251);
  const casOf = (answer: string): string => answer.replace(/^(VALUE \S+ 0 \d+) \d+/gm, '$1 CAS');
  const after = 'get key1______ nothing\r\n';
  for (const verb of ['get', 'gets', 'gat 0', 'gats 100']) {
    for (const end of [
      '\r\n',
      '\n',
      ' \r\n',
      '    \n',
      ' missing\r\n',
      ` ${long} a\r\n`,
      '\0 x\r\n',
      ' \0\r\n',
      ` ${long}`,
      ` ${'x'.repeat(3000)}\r\n`,
    ]) {
      const line = `${verb} ${text}${end}`;
      const whole = end.includes('\n') ? line + after : `${line}\r\n${after}`;
      kv.c.isEager = true;
      kv.c.deliverInPieces(whole, 700);
      const expected = casOf(kv.c.output());
      assert.ok(kv.held.allHome());
      for (const [size, spans] of [
        [700, 3],
        [4000, 1],
        [1448, 1000],
      ] as const) {
        kv.c.isEager = false;
        kv.c.deliverInPieces(whole, size);
        assertSame(casOf(drain(kv.c, spans)), expected, JSON.stringify([verb, end.slice(0, 9)]));
        assert.equal(kv.c.waiting, 0);
      }
    }
  }
  assertAllHome(kv);
});

test('longGets_randomFragmentsAndReading_sameAnswers', () => {
  const random = seeded('long gets');
  for (let round = 0; round < 6; round++) {
    const kv = startKv(8, round % 3 === 0 ? { roomFor: 1 + random.below(40) } : {});
    kv.c.isEager = true;
    const value = 'v'.repeat([3, 1024, 5000][round % 3]!);
    const names = fill(kv, 100, value);
    let requests = '';
    let answers = '';
    for (let line = 0; line < 4; line++) {
      const count = [1, 30, 400, 900][random.below(4)]!;
      const keys = Array.from({ length: count }, () => names[random.below(110)] ?? 'missing');
      requests += `get ${keys.join(' ')}\r\n`;
      answers += `${keys.map((key) => (key === 'missing' ? '' : hit(key, value))).join('')}END\r\n`;
      const body = 'z'.repeat(random.below(3000));
      requests += `set other 0 0 ${body.length}\r\n${body}\r\n`;
      answers += 'STORED\r\n';
    }
    kv.c.isEager = false;
    let answer = '';
    for (let at = 0; at < requests.length; ) {
      kv.c.deliver(requests.slice(at, (at += 1 + random.below(4000))));
      if (random.below(3) === 0) kv.c.acknowledge(1 + random.below(20));
      answer += kv.c.output();
    }
    answer += drain(kv.c, 1 + random.below(30));
    assertSame(answer, answers, `round ${round}`);
    assertAllHome(kv);
  }
});

test('setBehindAnswersNotTaken_valueComesInPieces_isReadToItsEnd', () => {
  const kv = startKv(8);
  const [key] = fill(kv, 1, 'v'.repeat(200_000)) as [string];
  const body = 'b'.repeat(900_000);
  kv.c.isEager = false;
  kv.c.deliver(`get ${key}\r\nset other 0 0 ${body.length}\r\n${body.slice(0, 10)}`);
  kv.c.deliver(`${body.slice(10, 1000)}`);
  assert.ok(kv.c.midRequest);
  kv.c.deliverInPieces(`${body.slice(1000)}\r\nget ${key}\r\nget ${key}\r\n`, 4000);
  assert.equal(kv.c.midRequest, false, 'a large answer waits, and what follows with it');
  const answer = drain(kv.c);
  const value = hit(key, 'v'.repeat(200_000));
  assertSame(answer, `${value}END\r\nSTORED\r\n${value}END\r\n${value}END\r\n`);
  assertAllHome(kv);
});

/**
 * Sends keys that are hits without ever taking an answer, until it is closed; returns the bytes it
 * sent.
 */
function flood(c: FakeConnection, key: string, max: number): number {
  c.isEager = false;
  c.deliver('get ');
  const piece = `${key} `.repeat(400);
  let sent = 0;
  while (sent < max && !c.isClosing && !c.isAborted) {
    c.deliver(piece);
    sent += piece.length;
  }
  return sent;
}

test('endlessGet_aboveItsLimit_errorAndClosedAndCounted', () => {
  const kv = startKv(64, { mebibytes: 80 });
  const [key] = fill(kv, 1) as [string];
  const hostile = kv.ix.connect();
  const sent = flood(hostile, key, 2 ** 24);
  assert.ok(sent > 4_150_000 && sent < 4_300_000, `${sent} bytes`);
  assert.ok(hostile.queuedBytes < HIGH_WATER + 2000);
  assert.ok(kv.held.allHome(), 'what it held is back at once');
  assert.equal(kv.store.counts.get('long_lines_refused'), 1);
  hostile.acknowledgeQuietly();
  assert.ok(hostile.output().endsWith(`${hit(key)}${TOO_MUCH}`));
  assertAllHome(kv);
});

test('endlessGets_ofMany_othersGoOnAndHaveTheirShare', () => {
  const kv = startKv(64, { mebibytes: 80 });
  const [key] = fill(kv, 1) as [string];
  const hostile = Array.from({ length: 40 }, () => kv.ix.connect());
  for (const c of hostile) flood(c, key, 3 * 2 ** 20);
  assert.ok(kv.store.counts.get('long_lines_refused') > 30);
  const other = kv.ix.connect();
  assert.equal(other.ask(`get ${key}\r\n`), `${hit(key)}END\r\n`);
  const keys = Array.from({ length: 3000 }, () => key);
  other.isEager = false;
  other.deliverInPieces(`get ${keys.join(' ')}\r\n`, 1448);
  assertSame(drain(other), `${hit(key).repeat(3000)}END\r\n`, 'a line of 33 KB has room');
  assertAllHome(kv);
});

test('endlessBlanks_whileBlocked_areDroppedNotScannedAgain', () => {
  const kv = startKv(8);
  const [key] = fill(kv, 1) as [string];
  kv.c.isEager = false;
  kv.c.deliver(`get ${`${key} `.repeat(1000)}`);
  for (let n = 0; n < 100; n++) kv.c.deliver(' '.repeat(4000));
  let answer = '';
  for (let n = 0; n < 20; n++) {
    kv.c.acknowledge();
    answer += kv.c.output();
    kv.c.deliver(' ');
  }
  kv.c.deliver('\r\n');
  answer += drain(kv.c);
  assertSame(answer, `${hit(key).repeat(1000)}END\r\n`);
  assert.ok(kv.held.allHome());
  assertAllHome(kv);
});

test('connectionDies_withKeysHeld_theyComeBack', () => {
  const kv = startKv(8);
  const [key] = fill(kv, 1) as [string];
  flood(kv.c, key, 500_000);
  assert.ok(!kv.held.allHome());
  kv.c.die();
  assert.ok(kv.held.allHome());
  const next = kv.ix.connect();
  assert.equal(next.ask('version\r\n'), 'VERSION 1.6.18\r\n');
  assertAllHome(kv);
});
