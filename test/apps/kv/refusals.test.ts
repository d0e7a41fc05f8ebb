/**
 * Values are data: whatever is wrong with the line before them, and whatever protocol their client
 * speaks. Each value here is a command that would be seen.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllHome, seeded, startKv } from './fixture.ts';

const VALUE = 'flush_all';
const LONG = 'k'.repeat(251);
const BAD_FORMAT = 'CLIENT_ERROR bad command line format\r\n';
const WITNESS = 'set witness 0 0 1\r\n1\r\n';

const VERBS = ['set', 'add', 'replace', 'append', 'prepend'];
/** Lines that say how long their value is although they are refused, and the answer. */
const READABLE: readonly [line: string, answer: string][] = [
  ...VERBS.flatMap((verb): [string, string][] => [
    [`${verb} ${LONG} 0 0 9`, BAD_FORMAT],
    [`${verb} ${LONG} 0 0 9 noreply`, ''],
    [`${verb} a x 0 9`, BAD_FORMAT],
    [`${verb} a -1x 0 9`, BAD_FORMAT],
    [`${verb} a 0 never 9`, BAD_FORMAT],
    [`${verb} a 0 x 9 noreply`, ''],
  ]),
  [`cas ${LONG} 0 0 9 1`, BAD_FORMAT],
  [`cas ${LONG} 0 0 9 1 noreply`, ''],
  ['cas a 0 0 9 x', BAD_FORMAT],
  [`ms ${LONG} 9 T0 F5`, BAD_FORMAT],
  ['ms a 9 T0 c MS I q O1 k b', 'CLIENT_ERROR error decoding key\r\n'],
  ['ms a 9 T0 q T0', 'CLIENT_ERROR duplicate flag\r\n'],
  ['ms a 9 T0 MX q', 'CLIENT_ERROR invalid mode for ms M token\r\n'],
  ['ms a 9 noreply', 'CLIENT_ERROR invalid flag\r\n'],
  [`ms a 9 q O${'x'.repeat(32)}`, 'CLIENT_ERROR opaque token too long\r\n'],
];
/** Lines that do not. */
const UNREADABLE: readonly [line: string, answer: string][] = [
  ...VERBS.flatMap((verb): [string, string][] => [
    [verb, 'ERROR\r\n'],
    [`${verb} a 0 0`, 'ERROR\r\n'],
    [`${verb} a 0 0 9 noreply more`, 'ERROR\r\n'],
    [`${verb}  0 0 9`, 'ERROR\r\n'], // an empty key
    [`${verb}  0 0 9 noreply`, ''],
    [`${verb} my key 0 0 9`, BAD_FORMAT], // a blank in a key
    [`${verb} my key 0 0 9 noreply`, 'ERROR\r\n'],
    [`${verb} a 0 0 0 9`, BAD_FORMAT], // the key is "a 0"
    [`${verb} ${LONG} 0 0 9 x`, BAD_FORMAT],
    [`${verb} a 0 0 x`, BAD_FORMAT],
    [`${verb} a 0 0 -9`, BAD_FORMAT],
    [`${verb} a 0 0 9x`, BAD_FORMAT],
    [`${verb} a 0 0 2147483646`, BAD_FORMAT],
    [`${verb} a 0 0 4294967305`, BAD_FORMAT], // 9 in its low half
    [`${verb} a 0 0 -4294967287`, BAD_FORMAT],
    [`${verb} a 0 0 18446744073709551625`, BAD_FORMAT],
  ]),
  ['cas a 0 0 9', 'ERROR\r\n'],
  ['cas a 0 0 0 9 99', BAD_FORMAT],
  ['cas  0 0 9 99', 'ERROR\r\n'],
  ['cas  0 0 9 99 noreply', ''],
  ['ms', BAD_FORMAT],
  ['ms a', BAD_FORMAT],
  ['ms a S9', BAD_FORMAT],
  ['ms a 9x', BAD_FORMAT],
  ['ms a -9', BAD_FORMAT],
  ['ms  9 T0', BAD_FORMAT],
  ['ms my 2 9', 'CLIENT_ERROR invalid flag\r\n'],
];

test('refusedLine_lengthReadable_blockIsSwallowed', () => {
  const kv = startKv(1);
  kv.c.ask(WITNESS);
  let swallowed = 0;
  for (const [line, answer] of READABLE) {
    for (const size of [1, 5, 1000]) {
      const c = kv.ix.connect();
      c.deliverInPieces(`${line}\r\n${VALUE}\r\nget witness\r\n`, size);
      assert.equal(c.output(), `${answer}VALUE witness 0 1\r\n1\r\nEND\r\n`, line);
      assert.equal(kv.store.counts.get('blocks_swallowed'), ++swallowed);
      assert.equal(kv.store.counts.get('cmd_flush'), 0);
      c.die();
    }
  }
  assertAllHome(kv);
});

test('refusedLine_lengthNotReadable_errorAndClosed', () => {
  const kv = startKv(1);
  kv.c.ask(WITNESS);
  let closed = 0;
  for (const [line, answer] of UNREADABLE) {
    for (const size of [1, 5, 1000]) {
      const c = kv.ix.connect();
      c.deliverInPieces(`${line}\r\n${VALUE}\r\nget witness\r\n`, size);
      assert.equal(c.output(), answer, line);
      assert.ok(c.isClosing, line);
      assert.equal(kv.store.counts.get('blocks_unreadable'), ++closed);
      c.die();
      assert.equal(kv.c.ask('get witness\r\n'), 'VALUE witness 0 1\r\n1\r\nEND\r\n', line);
    }
  }
  assertAllHome(kv);
});

test('refusedLine_noRoomForTheError_closesWhenItIsOut', () => {
  const kv = startKv(1, { roomFor: 1 });
  for (const [line, answer] of UNREADABLE.filter(([, text]) => text !== '')) {
    const c = kv.ix.connect();
    c.isEager = false;
    c.deliver(`version\r\n${line}\r\n${VALUE}\r\n`);
    assert.ok(!c.isClosing, 'the error has not been said');
    for (let n = 0; n < 3; n++) c.acknowledge(1);
    assert.equal(c.output(), `VERSION 1.6.18\r\n${answer}`, line);
    assert.ok(c.isClosing);
    assert.equal(kv.store.counts.get('cmd_flush'), 0);
    c.die();
  }
  assertAllHome(kv);
});

/** A request of the binary protocol. */
const binary = (opcode: number, key: string, extras: Buffer, value: string): Buffer => {
  const head = Buffer.alloc(24);
  head[0] = 0x80;
  head[1] = opcode;
  head.writeUInt16BE(key.length, 2);
  head[4] = extras.length;
  head.writeUInt32BE(extras.length + key.length + value.length, 8);
  return Buffer.concat([head, extras, Buffer.from(key), Buffer.from(value)]);
};

test('binaryRequest_anyFragmentation_connectionEndsAtItsFirstByte', () => {
  const requests = [
    binary(1, 'a', Buffer.alloc(8), '\nflush_all\r\n'),
    binary(0x0a, '', Buffer.alloc(0), ''),
    binary(0, 'a\r\nflush_all\r\n', Buffer.alloc(0), ''),
  ];
  for (const request of requests) {
    for (const before of ['', 'version\r\n', 'set a 0 0 1\r\n1\r\n']) {
      for (const size of [1, 24, 1000]) {
        const kv = startKv(1);
        kv.c.ask(WITNESS + before);
        kv.c.deliver(request.subarray(0, size));
        assert.ok(kv.c.isAborted, 'at once');
        kv.c.deliver(request.subarray(size));
        assert.equal(kv.c.output(), '');
        assert.equal(kv.store.counts.get('binary_refused'), 1);
        assert.equal(kv.store.counts.get('cmd_flush'), 0);
        const other = kv.ix.connect();
        assert.equal(other.ask('get witness\r\n'), 'VALUE witness 0 1\r\n1\r\nEND\r\n');
        assert.match(other.ask('stats\r\n'), /STAT binary_refused 1\r\n/);
        assertAllHome(kv);
      }
    }
  }
});

test('value_beginningLikeABinaryRequest_isAValue', () => {
  const kv = startKv();
  assert.equal(kv.c.ask('set a 0 0 2\r\n\x80\x01\r\n'), 'STORED\r\n');
  assert.equal(kv.c.ask('get a\r\n'), 'VALUE a 0 2\r\n\x80\x01\r\nEND\r\n');
  assert.equal(kv.c.ask('get \x80\r\n'), 'END\r\n');
  assertAllHome(kv);
});

test('randomClient_anyKeyFlagsAndExptime_noValueIsRun', () => {
  const random = seeded('random clients');
  const pick = (list: readonly string[]): string => list[random.below(list.length)]!;
  const keys = ['a', '', 'a b', '1 2', 'a 0', 'a 0 0', '1 2 3', ' ', LONG, 'noreply', 'a noreply'];
  keys.push('a\0b', '9', 'a\tb', '\xff', `${LONG} 0`, 'k'.repeat(1500));
  const kv = startKv(1);
  kv.c.ask(WITNESS);
  let goes = 0;
  for (let round = 0; round < 5000; round++) {
    const c = kv.ix.connect();
    const value = pick([
      'flush_all',
      'flush_all\r\nflush_all',
      '\r\nflush_all',
      'a\nflush_all noreply',
    ]);
    const verb = pick([...VERBS, 'cas', 'ms']);
    const numbers = ['0', '5', '-1', '', 'x', '1.5', '4294967296', '9'.repeat(30)];
    const middle = verb === 'ms' ? '' : `${pick(numbers)} ${pick(numbers)} `;
    const cas = verb === 'cas' ? ` ${1 + random.below(99)}` : '';
    const quiet = pick(['', ' noreply']);
    const line = `${verb} ${pick(keys)} ${middle}${value.length}${cas}${quiet}`;
    c.deliverInPieces(`${line}\r\n${value}\r\n`, 1 + random.below(60));
    assert.equal(kv.store.counts.get('cmd_flush'), 0, JSON.stringify(`${line}\r\n${value}`));
    if (!c.isClosing) {
      goes++;
      const answer = c.ask('get witness\r\n');
      assert.ok(answer.endsWith('VALUE witness 0 1\r\n1\r\nEND\r\n'), JSON.stringify(line));
    }
    c.die();
  }
  assert.ok(goes > 500 && goes < 4500, `${goes} went on`);
  assertAllHome(kv);
});
