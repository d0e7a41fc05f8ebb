/** What is read as an IPv4 address, what is not, and that what is printed is read again. */
import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { test } from 'node:test';
import { formatIpv4, parseIpv4 } from '../../src/wire/ipv4-text.ts';
import { randomFrom } from '../net/random.ts';

test('anyAddress_printedAndRead_isTheSame', (t) => {
  const random = randomFrom(t);
  const edges = [0, -1, 0x7fffffff, -0x80000000, 0x0a4d0002];
  for (const word of [...edges, ...Array.from({ length: 500 }, () => random.next() | 0)]) {
    const text = formatIpv4(word);
    assert.ok(isIPv4(text), text);
    assert.equal(parseIpv4(text), word);
  }
  assert.equal(formatIpv4(0x0a4d0002), '10.77.0.2');
});

test('parse_whatIsNoAddress_isUndefined', () => {
  for (const text of [
    ...['', '10.77.0', '10.77.0.2.1', '10.77.0.256', '10.77.0.-2', '10.77.0.2/24', ' 10.77.0.2'],
    ...['10.77.0.2\n', '0x0a.77.0.2', '10.77..2', '1e1.7.0.2', '1000.0.0.1', 'fd77::2'],
  ]) {
    assert.equal(parseIpv4(text), undefined, JSON.stringify(text));
  }
});
