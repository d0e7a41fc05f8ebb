/** IPv6 addresses as text: every way to write one, and the one way to print it. */
import assert from 'node:assert/strict';
import { SocketAddress } from 'node:net';
import { test } from 'node:test';
import { bytesOfIpv6, formatIpv6, parseIpv6, wordsOfIpv6 } from '../../src/wire/ipv6-text.ts';
import { randomFrom } from '../net/random.ts';

test('parse_everyForm_isTheSameAddress', () => {
  const words = [0x20010db8, 0, 0, 0x0a4d0002];
  for (const text of [
    '2001:db8::a4d:2',
    '2001:0db8:0:0:0:0:0a4d:0002',
    '2001:DB8::10.77.0.2',
    '2001:db8:0:0::10.77.0.2',
  ]) {
    assert.deepEqual(parseIpv6(text), words, text);
  }
  assert.deepEqual(parseIpv6('::'), [0, 0, 0, 0]);
  assert.deepEqual(parseIpv6('::1'), [0, 0, 0, 1]);
  assert.deepEqual(parseIpv6('1::'), [0x10000, 0, 0, 0]);
  assert.deepEqual(parseIpv6('::ffff:1.2.3.4'), [0, 0, 0xffff, 0x01020304]);
});

test('parse_anythingElse_isNone', () => {
  for (const text of [
    '',
    ':',
    ':::',
    '1',
    '1:2',
    'fd77::2::3',
    'fd77::g',
    '10.77.0.2',
    'fe80::1%eth0',
    'fd77::2/64',
    '1:2:3:4:5:6:7:8:9',
  ]) {
    assert.equal(parseIpv6(text), undefined, text);
  }
});

test('format_isRfc5952', () => {
  const cases: [string, string][] = [
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['FE80:0:0:0:0:0:0:1', 'fe80::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:a4d:2', '::ffff:10.77.0.2'],
  ];
  for (const [from, to] of cases) assert.equal(formatIpv6(parseIpv6(from)!), to);
});

test('any_randomAddress_asNodeWritesIt', (t) => {
  const random = randomFrom(t);
  for (let i = 0; i < 2000; i++) {
    const words = Array.from(
      { length: 4 },
      () => (random.below(3) === 0 ? 0 : random.next() & random.pick([-1, 0xffff, 0xff0000])) | 0,
    );
    const text = formatIpv6(words);
    assert.deepEqual(parseIpv6(text), words, text);
    const plain = words
      .flatMap((word) => [word >>> 16, word & 0xffff])
      .map((group) => group.toString(16));
    const node = new SocketAddress({ address: plain.join(':'), family: 'ipv6' }).address;
    if (!node.includes('.')) assert.equal(text, node);
    const bytes = bytesOfIpv6(words);
    assert.deepEqual(wordsOfIpv6(new DataView(bytes.buffer), 0), words);
  }
});
