/**
 * The meta protocol: what its newest versions answer (meta-oracle.test.ts has what an older one
 * does), in any fragmentation, with little room, and for peers that read nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeConnection } from './fake-ix.ts';
import { assertAllHome, assertSame, startKv } from './fixture.ts';

const K250 = 'k'.repeat(250);
const BIG = 'v'.repeat(3000);
const HUGE = 'h'.repeat(200_000);

/** Requests, each with its answer, in order on one connection. */
const CONVERSATION: readonly (readonly [request: string, answer: string])[] = [
  ['mn\r\n', 'MN\r\n'],
  ['mg none\r\n', 'EN\r\n'],
  ['mg none k O12 v\r\n', 'EN knone O12\r\n'],
  ['mg none q k\r\n', ''],
  ['ms a 3 T100 F7 c s k O1\r\nabc\r\n', 'HD c1 s3 ka O1\r\n'],
  ['mg a s t c f l h O2 k v\r\n', 'VA 3 s3 t100 c1 f7 l0 h0 O2 ka\r\nabc\r\n'],
  ['mg a h u\r\n', 'HD h1\r\n'],
  ['get a\r\n', 'VALUE a 7 3\r\nabc\r\nEND\r\n'],
  ['ms a 2 q\r\nxy\r\nmg a v\r\n', 'VA 2\r\nxy\r\n'],
  ['ms a 1 MA s c\r\nz\r\n', 'HD s3 c3\r\n'],
  ['ms a 1 MP s\r\nw\r\n', 'HD s4\r\n'],
  ['ms a 1 ME s c\r\nw\r\n', 'NS s1 c0\r\n'],
  ['ms none 1 MA\r\nw\r\n', 'NS\r\n'],
  ['ms viv 1 MA N30 s c\r\nw\r\nmg viv v t\r\n', 'HD s1 c5\r\nVA 1 t30\r\nw\r\n'],
  ['ms viv 1 MP N50\r\nx\r\nmg viv v t\r\n', 'HD\r\nVA 2 t30\r\nxw\r\n'],
  ['ms a 1 C99999 k\r\nq\r\nmg a v\r\n', 'EX ka\r\nVA 4\r\nwxyz\r\n'],
  ['ms a 4 E899\r\nwxyz\r\nms a 1 C899 c E900\r\nq\r\nmg a c\r\n', 'HD\r\nHD c900\r\nHD c900\r\n'],
  [
    'ms a 1 C899 I c E901\r\nr\r\nmg a v c\r\nmg a v\r\n',
    'HD c901\r\nVA 1 c901 X W\r\nr\r\nVA 1 Z X\r\nr\r\n',
  ],
  ['mg a v C901 k\r\nmg a v C900 k\r\n', 'HD ka Z X\r\nVA 1 ka Z X\r\nr\r\n'],
  ['md a I T20 E950 k O9\r\nmg a t c v\r\n', 'HD ka O9\r\nVA 1 t20 c950 X W\r\nr\r\n'],
  ['md a C5\r\nmd a x C950\r\nmg a v f t c\r\n', 'EX\r\nHD\r\nVA 0 f0 t-1 c950\r\n\r\n'],
  ['md a x F3 T10 E7\r\nmg a s f t c\r\n', 'HD\r\nHD s0 f3 t10 c7\r\n'],
  ['md a q\r\nmd a q\r\nmd a k\r\n', 'NF\r\nNF ka\r\n'],
  ['ma n\r\nma n N0 J13 v c E77\r\nma n v\r\n', 'NF\r\nVA 2 c77\r\n13\r\nVA 2\r\n14\r\n'],
  ['ma n MD D10 v k E78 c\r\nma n C5 k\r\nma n q v\r\n', 'VA 1 kn c78\r\n4\r\nEX kn\r\n'],
  ['ma n Mincr\r\n', 'CLIENT_ERROR invalid mode for ma M token\r\n'],
  ['ms b 1 MSet\r\n1\r\nms b 1 M\r\n', 'HD\r\nCLIENT_ERROR invalid mode for ms M token\r\n'],
  ['1\r\nmg b v\r\n', 'VA 1\r\n1\r\n'],
  ['ms b 1 F4294967296\r\nx\r\n', 'CLIENT_ERROR bad command line format\r\n'],
  ['ms AAEC 2 b k c\r\nhi\r\n', 'HD kAAEC b c17\r\n'],
  ['mg AAEC b k v\r\nmg AAEC k\r\n', 'VA 2 kAAEC b\r\nhi\r\nEN kAAEC\r\n'],
  ['mg DQo= b N30 k v\r\nmg DQo= b k\r\n', 'VA 0 kDQo= b W\r\n\r\nHD kDQo= b Z\r\n'],
  ['ms DQo= 1 b MA s\r\nx\r\nmg DQo= b k v\r\n', 'HD s1\r\nVA 1 kDQo= b\r\nx\r\n'],
  ['ma AA== b N0 J9\r\nma AA== b v\r\nmg AA== b k\r\n', 'HD\r\nVA 2\r\n10\r\nHD kAA== b\r\n'],
  ['md AAEC b k\r\n', 'HD kAAEC b\r\n'],
  ['mg\r\nmd\r\nma\r\nme\r\n', 'CLIENT_ERROR bad command line format\r\n'.repeat(4)],
  ['mx a\r\n', 'ERROR\r\n'],
  [`mg ${K250} N0 k v\r\n`, `VA 0 k${K250} W\r\n\r\n`],
  [`mg ${K250}k v\r\n`, 'CLIENT_ERROR bad command line format\r\n'],
  [`ms ${K250}k 9 T0\r\nflush_all\r\n`, 'CLIENT_ERROR bad command line format\r\n'],
  [`ms big 3000 k\r\n${BIG}\r\nmg big v s\r\n`, `HD kbig\r\nVA 3000 s3000\r\n${BIG}\r\n`],
  [`ms huge 200000 O5\r\n${HUGE}\r\nmg huge v O6\r\n`, `HD O5\r\nVA 200000 O6\r\n${HUGE}\r\n`],
  ['mg huge s c t\r\n', 'HD s200000 c24 t-1\r\n'],
  ['ms big 1048577 q\r\n', 'SERVER_ERROR object too large for cache\r\n'],
  [`${'x'.repeat(1_048_577)}\r\nmg big\r\nmn\r\n`, 'EN\r\nMN\r\n'],
];
const REQUESTS = CONVERSATION.map(([request]) => request).join('');
const ANSWERS = CONVERSATION.map(([, answer]) => answer).join('');
/** All of it but the large values. */
const SHORT = CONVERSATION.slice(0, -5)
  .map(([request]) => request)
  .join('');
const SHORT_ANSWERS = CONVERSATION.slice(0, -5)
  .map(([, answer]) => answer)
  .join('');

test('conversation_stepByStep_everyAnswer', () => {
  const kv = startKv(8);
  for (const [request, answer] of CONVERSATION) assertSame(kv.c.ask(request), answer, request);
  assertAllHome(kv);
});

test('conversation_cutAtEveryByte_sameAnswers', () => {
  const kv = startKv(4);
  const withoutCas = (answers: string): string => answers.replace(/ c\d+(?=[ \r])/g, ' c');
  for (let cut = 1; cut < SHORT.length; cut++) {
    kv.c.ask('flush_all\r\n');
    const c = kv.ix.connect();
    c.deliver(SHORT.slice(0, cut));
    c.deliver(SHORT.slice(cut));
    c.acknowledge();
    assertSame(withoutCas(c.output()), withoutCas(SHORT_ANSWERS), `cut at ${cut}`);
    c.die();
  }
  assertAllHome(kv);
});

test('conversation_inPiecesOfAnySize_sameAnswers', () => {
  for (const size of [1, 2, 3, 7, 61, 1460, 100_000]) {
    const kv = startKv(8);
    kv.c.deliverInPieces(REQUESTS, size);
    kv.c.acknowledge();
    assertSame(kv.c.output(), ANSWERS, `pieces of ${size}`);
    assertAllHome(kv);
  }
});

const drain = (c: FakeConnection, spans: number): string => {
  let answer = '';
  for (let n = 0; n < 100_000 && c.spansQueued > 0; n++) {
    c.acknowledge(spans);
    answer += c.output();
  }
  return answer;
};

test('conversation_fewSpans_everyAnswerComesOnceAndInOrder', () => {
  for (const roomFor of [1, 2, 3, 5]) {
    for (const size of [5, 61, 100_000]) {
      const kv = startKv(8, { roomFor });
      kv.c.isEager = false;
      const [requests, answers] = size > 100 ? [REQUESTS, ANSWERS] : [SHORT, SHORT_ANSWERS];
      let answer = '';
      for (let at = 0; at < requests.length; at += size) {
        kv.c.deliver(requests.slice(at, at + size));
        answer += drain(kv.c, 1);
      }
      assertSame(answer, answers, `${roomFor} spans, pieces of ${size}`);
      assertAllHome(kv);
    }
  }
});

test('peerReadsNothing_largeValue_waitsWithoutEffect', () => {
  const kv = startKv(4, { highWater: 1000 });
  kv.c.ask(`ms big 3000 T100\r\n${BIG}\r\nms a 1200\r\n${'a'.repeat(1200)}\r\n`);
  const c = kv.ix.connect();
  c.isEager = false;
  c.deliver('mg a v\r\nmg big v T5 R200\r\nmg big t\r\n');
  assert.ok(c.waiting > 0);
  assert.equal(kv.c.ask('mg big t\r\n'), 'HD t100\r\n', 'nothing has happened to it');
  const told = drain(c, 1);
  assertSame(told, `VA 1200\r\n${'a'.repeat(1200)}\r\nVA 3000 W\r\n${BIG}\r\nHD t5 Z\r\n`);
  assertAllHome(kv);
});

test('peerReadsNothing_shortAnswers_areTakenAndBounded', () => {
  const kv = startKv(4);
  kv.c.isEager = false;
  for (let n = 0; n < 40_000 && kv.c.waiting === 0; n++)
    kv.c.deliver('mg none O1 k\r\n'.repeat(200));
  assert.ok(kv.c.queuedBytes >= 2 ** 21 && kv.c.queuedBytes < 2 ** 21 + 1000);
  assertSame(drain(kv.c, 10_000).replaceAll('EN O1 knone\r\n', ''), '');
  assertAllHome(kv);
});

test('lastAccess_readsAndTouches_countFromThere', () => {
  const kv = startKv();
  kv.c.ask('ms a 1 T1000\r\nx\r\n');
  kv.ix.advance(5);
  assert.equal(kv.c.ask('mg a l h u\r\nmg a l h\r\n'), 'HD l5 h0\r\nHD l5 h0\r\n');
  kv.ix.advance(3);
  assert.equal(kv.c.ask('mg a l t h\r\n'), 'HD l3 t992 h1\r\n');
  kv.ix.advance(2);
  assert.match(kv.c.ask('me a\r\n'), /^ME a exp=990 la=2 cas=1 fetch=yes cls=\d+ size=\d+\r\n$/);
  assert.equal(kv.c.ask('mg a T0 t\r\nmg a T-1 v\r\nmg a\r\n'), 'HD t-1\r\nVA 1\r\nx\r\nEN\r\n');
  assertAllHome(kv);
});

test('ownCas_flush_isFlushedWhateverItsNumber', () => {
  const kv = startKv();
  for (const cas of ['0', '1', '73', '18446744073709551615']) {
    assert.equal(kv.c.ask(`ms a 1 E${cas} c\r\nx\r\n`), `HD c${cas}\r\n`);
    assert.equal(kv.c.ask('flush_all\r\nmg a\r\n'), 'OK\r\nEN\r\n');
    assert.equal(kv.c.ask(`ms b 1 E${cas}\r\nx\r\nmg b\r\n`), 'HD\r\nHD\r\n');
  }
  assertAllHome(kv);
});

test('thousandsOfFlushes_itemsBetweenThem_onlyTheNewestLive', () => {
  const kv = startKv();
  for (let n = 0; n < 5000; n++) {
    kv.c.ask(`set k${n % 3000} 0 0 1 noreply\r\nx\r\n`);
    assert.equal(kv.c.ask('flush_all\r\n'), 'OK\r\n');
    const old = `get k${n % 3000} k0 k${(n + 1) % 3000}\r\n`;
    assert.equal(
      kv.c.ask(`${old}set new 0 0 1\r\nx\r\nget new\r\n`),
      'END\r\nSTORED\r\nVALUE new 0 1\r\nx\r\nEND\r\n',
    );
  }
  assertAllHome(kv);
});

test('counters_metaCommands_areThoseOfTheClassicOnes', () => {
  const kv = startKv();
  kv.c.ask(
    'ms a 1\r\n5\r\nmg a v\r\nmg b\r\nmg a T9\r\nmg b T9\r\nma a\r\nma b\r\nma a MD\r\nma b M-\r\n',
  );
  kv.c.ask('me a\r\nms a 1 C1\r\n6\r\nms a 1 C4\r\n6\r\nmd b\r\nmd a\r\n');
  const expected = {
    cmd_set: 3, cmd_get: 2, get_hits: 1, get_misses: 1, cmd_touch: 2, touch_hits: 1,
    touch_misses: 1,
    incr_hits: 1, incr_misses: 1, decr_hits: 1, decr_misses: 1, cmd_meta: 1, cas_badval: 2,
    delete_hits: 1, delete_misses: 1,
  } as const; // biome-ignore format: a table
  for (const [name, value] of Object.entries(expected)) {
    assert.equal(kv.store.counts.get(name as keyof typeof expected), value, name);
  }
  assertAllHome(kv);
});
