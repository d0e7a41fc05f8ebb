/**
 * Clients that write all their requests before they read an answer (pymemcache's set_many of
 * 100,000 does): answered as by memcached, whose answers wait in the kernel's buffers; bounded.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeConnection } from './fake-ix.ts';
import { assertAllHome, assertSame, type Fixture, seeded, startKv } from './fixture.ts';

const HIGH_WATER = 262_144;
const UNREAD_MAX = 2 ** 21;
const KIB = 'v'.repeat(1024);

/** A peer that reads nothing sends requests until they wait; returns how many were taken. */
function sendUnread(c: FakeConnection, request: string, max: number): number {
  c.isEager = false;
  const several = Math.max(1, Math.floor(4000 / request.length));
  for (let n = 0; n < max; n += several) {
    c.deliver(request.repeat(several));
    if (c.waiting > 0) return n + several - Math.ceil(c.waiting / request.length);
  }
  return max;
}

function drain(c: FakeConnection): string {
  let answer = '';
  for (let n = 0; n < 100_000 && c.queuedBytes > 0; n++) {
    c.acknowledge(10_000);
    answer += c.output();
  }
  return answer;
}

test('sets_sixtyMegabytesWrittenBeforeOneAnswerIsRead_areStored', () => {
  const kv = startKv(8);
  const request = `set a 0 0 1024\r\n${KIB}\r\n`;
  assert.equal(sendUnread(kv.c, request, 60_000), 60_000);
  assertSame(drain(kv.c), 'STORED\r\n'.repeat(60_000));
  assertAllHome(kv);
});

test('shortAnswers_ofEveryKind_moreThanMemcachedsBuffersHold', () => {
  for (const [request, answer] of [
    ['delete none\r\n', 'NOT_FOUND\r\n'],
    ['touch small 0\r\n', 'TOUCHED\r\n'],
    ['incr n 0\r\n', '70000000000\r\n'],
    ['add small 0 0 1\r\nx\r\n', 'NOT_STORED\r\n'],
    ['nothing\r\n', 'ERROR\r\n'],
    ['version\r\n', 'VERSION 1.6.18\r\n'],
    ['get none\r\n', 'END\r\n'],
    ['get small\r\n', 'VALUE small 0 5\r\nvalue\r\nEND\r\n'],
  ] as const) {
    const kv = startKv(2);
    kv.c.ask('set small 0 0 5\r\nvalue\r\nset n 0 0 11\r\n70000000000\r\n');
    const taken = sendUnread(kv.c, request, 1_000_000);
    const bytes = taken * answer.length;
    assert.ok(bytes >= 1_500_000 && bytes <= UNREAD_MAX + 100, `${request}: ${bytes} bytes`);
    const waiting = Math.ceil(kv.c.waiting / request.length);
    assertSame(drain(kv.c), answer.repeat(taken + waiting), request);
    assertAllHome(kv);
  }
});

test('largeItems_notTaken_waitAtTheHighWaterMark', () => {
  for (const verb of ['get', 'gets']) {
    for (const size of [1100, 5000, 300_000]) {
      const kv = startKv(4);
      kv.c.ask(`set a 0 0 ${size}\r\n${'v'.repeat(size)}\r\n`);
      const taken = sendUnread(kv.c, `${verb} a\r\n`, 1000);
      assert.ok(kv.c.queuedBytes >= HIGH_WATER && kv.c.queuedBytes < HIGH_WATER + size + 100);
      assert.ok(taken < 300, `${taken}`);
      drain(kv.c);
      assert.equal(kv.c.waiting, 0);
      assertAllHome(kv);
    }
  }
});

test('smallItems_notTaken_arePinnedNoMoreThanToTheHighWaterMark', () => {
  const kv = startKv(2);
  kv.c.ask('set a 0 0 500\r\n'.concat('v'.repeat(500), '\r\n'));
  sendUnread(kv.c, 'get a\r\n', 2000);
  const pinned = kv.c.pinnedSpans;
  assert.ok(kv.c.queuedBytes > 4 * HIGH_WATER && pinned < HIGH_WATER / 500, `${pinned} spans`);
  drain(kv.c);
  assertAllHome(kv);
});

test('mixedRequests_randomFragmentsAndFewSpans_sameAnswers', () => {
  const random = seeded('unread');
  for (let round = 0; round < 4; round++) {
    const kv = startKv(8, round % 2 === 0 ? { roomFor: 1 + random.below(300) } : {});
    const { requests, answers } = conversation(random.below);
    kv.c.isEager = false;
    let answer = '';
    for (let at = 0; at < requests.length; ) {
      kv.c.deliver(requests.slice(at, (at += 1 + random.below(4000))));
      if (random.below(40) === 0) kv.c.acknowledge(1 + random.below(20));
      answer += kv.c.output();
    }
    assertSame(answer + drain(kv.c), answers, `round ${round}`);
    assertAllHome(kv);
  }
});

/** Requests of all kinds with long and short answers, and what is to be answered. */
function conversation(below: (n: number) => number): { requests: string; answers: string } {
  let requests = '';
  let answers = '';
  for (let n = 0; n < 300; n++) {
    const value = 'z'.repeat([5, 500, 1500, 30_000][Math.min(3, below(40) >> 3)]! + below(10));
    const hit = `VALUE a 0 ${value.length}\r\n${value}\r\n`;
    requests += `set a 0 0 ${value.length}\r\n${value}\r\n`;
    answers += 'STORED\r\n';
    const [request, answer] = (
      [
        ['get a\r\n', `${hit}END\r\n`],
        ['get a none a\r\n', `${hit}${hit}END\r\n`],
        ['touch a 0\r\n', 'TOUCHED\r\n'],
        ['nothing\r\n', 'ERROR\r\n'],
        ['delete none noreply\r\n', ''],
      ] as const
    )[below(5)]!;
    requests += request;
    answers += answer;
  }
  return { requests, answers };
}

test('connectionDies_withAnswersNotTaken_nothingIsHeld', () => {
  const kv: Fixture = startKv(2);
  kv.c.ask('set a 0 0 5\r\nvalue\r\n');
  sendUnread(kv.c, 'get a\r\n', 1_000_000);
  assert.ok(kv.c.queuedBytes > HIGH_WATER);
  kv.c.die();
  assert.equal(kv.ix.connect().ask('version\r\n'), 'VERSION 1.6.18\r\n');
  assertAllHome(kv);
});
