/**
 * The binary protocol in pieces, with little room, and where it does not belong
 * (binary-oracle.test.ts compares its answers with memcached's).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, assertSame, startKv } from './fixture.ts';

const HUGE = 'h'.repeat(100_000);

const packet = (magic: number, opcode: number, third: number, body: readonly Buffer[]): Buffer => {
  const [extras, key, value] = body;
  const head = Buffer.alloc(24);
  head[0] = magic;
  head[1] = opcode;
  head.writeUInt16BE(key!.length, 2);
  head[4] = extras!.length;
  head.writeUInt16BE(third, 6);
  head.writeUInt32BE(extras!.length + key!.length + value!.length, 8);
  head.writeUInt32BE(0xdeadbeef, 12);
  return Buffer.concat([head, ...body]);
};
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const NONE = Buffer.alloc(0);
const ask = (opcode: number, key = '', extras: Buffer = NONE, value = ''): string =>
  packet(0x80, opcode, 0, [extras, bytes(key), bytes(value)]).toString('latin1');
/** With a cas of 0: `hideCas` makes all of them so. */
const tell = (opcode: number, status = 0, value = '', extras: Buffer = NONE, key = ''): string =>
  packet(0x81, opcode, status, [extras, bytes(key), bytes(value)]).toString('latin1');
function hideCas(answers: string): string {
  const all = bytes(answers);
  for (let at = 0; at + 24 <= all.length; at += 24 + all.readUInt32BE(at + 8))
    all.fill(0, at + 16, at + 24);
  return all.toString('latin1');
}
const zeros = Buffer.alloc(8);
const FLAGS = Buffer.alloc(4);

/** Quiet and loud ones, with empty, small and (the last ones) large values. */
const SHORT: readonly (readonly [request: string, answer: string])[] = [
  [ask(1, 'a', zeros, 'abc'), tell(1)],
  [ask(17, 'b', zeros, 'q\r\n'), ''],
  [ask(1, 'e', zeros), tell(1)],
  [ask(12, 'b'), tell(12, 0, 'q\r\n', FLAGS, 'b')],
  [ask(9, 'none'), ''],
  [ask(9, 'e'), tell(9, 0, '', FLAGS)],
  [ask(18, 'a', zeros, 'x'), tell(18, 2, 'Data exists for key.')],
  [ask(14, 'a', NONE, 'd') + ask(25, 'a', NONE, 'e'), tell(14)],
  [ask(0, 'a'), tell(0, 0, 'abcde', FLAGS)],
  [ask(200, 'k', zeros, 'flush'), tell(200, 0x81, 'Unknown command')],
  [ask(32), tell(32, 0x81, 'Unknown command')],
  [ask(4, 'none'), tell(4, 1, 'Not found')],
  [ask(11), tell(11, 0, '1.6.18')],
  [ask(10), tell(10)],
];
const LARGE: readonly (readonly [request: string, answer: string])[] = [
  [ask(1, 'huge', zeros, HUGE), tell(1)],
  [ask(0, 'huge'), tell(0, 0, HUGE, FLAGS)],
  [ask(1, 'a', zeros, 'v'.repeat(1_048_577)), tell(1, 3, 'Too large.')],
  [ask(0, 'a'), tell(0, 1, 'Not found')],
  [ask(7), tell(7)],
];
const requestsOf = (list: typeof SHORT): string => list.map(([request]) => request).join('');
const answersOf = (list: typeof SHORT): string => list.map(([, answer]) => answer).join('');

test('conversation_cutAtEveryByte_sameAnswers', () => {
  const kv = startKv(4);
  const requests = requestsOf(SHORT);
  for (let cut = 1; cut < requests.length; cut++) {
    kv.c.ask('flush_all\r\n');
    const c = kv.ix.connect();
    c.deliver(bytes(requests.slice(0, cut)));
    c.deliver(bytes(requests.slice(cut)));
    c.acknowledge();
    assertSame(hideCas(c.output()), answersOf(SHORT), `cut at ${cut}`);
    c.die();
  }
  assertAllHome(kv);
});

test('largeValues_piecesAndFewSpans_sameAnswers', () => {
  for (const roomFor of [1, 3, Number.POSITIVE_INFINITY]) {
    for (const size of [1000, 2_000_000]) {
      const kv = startKv(8, { roomFor });
      const all = [...SHORT, ...LARGE];
      const requests = requestsOf(all);
      kv.c.isEager = false;
      let answer = '';
      for (let at = 0; at < requests.length; at += size) {
        kv.c.deliver(requests.slice(at, at + size));
        while (kv.c.spansQueued > 0) kv.c.acknowledge(1);
        answer += kv.c.output();
      }
      assertSame(hideCas(answer), answersOf(all), `${roomFor} spans, pieces of ${size}`);
      assert.ok(kv.c.isClosing);
      assertAllHome(kv);
    }
  }
});

test('uploadsStopped_connectionDies_nothingStays', () => {
  const kv = startKv(4);
  for (const sent of [24, 30, 40, 60_000, 90_000]) {
    const c = kv.ix.connect();
    c.deliver(ask(1, 'huge', zeros, HUGE).slice(0, sent));
    c.die();
  }
  assertAllHome(kv);
});

test('otherProtocol_afterTheFirstByte_endsTheConnection', () => {
  const kv = startKv();
  const c = kv.ix.connect();
  c.deliver(`${ask(10)}version\r\n`);
  c.acknowledge();
  assert.equal(c.output(), tell(10));
  assert.ok(c.isClosing);
  c.die();
  const ascii = kv.ix.connect();
  ascii.ask('version\r\n');
  ascii.deliver(ask(1, 'a', zeros, '\nflush_all\r\n'));
  assert.ok(ascii.isAborted);
  assert.equal(kv.store.counts.get('binary_refused'), 1);
  assertAllHome(kv);
});

test('stats_general_namesAndValuesAndAnEmptyEnd', () => {
  const kv = startKv();
  const answer = kv.c.ask(ask(16)) || '';
  assert.ok(answer.includes('curr_items0') && answer.endsWith(tell(16)), 'names, values, the end');
  assert.equal(kv.c.ask(ask(16, 'nothing')), tell(16, 1, 'Not found'));
  assertAllHome(kv);
});
