/** The rule of whom an application may speak to first, and the memory of whom it may answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRanges } from '../../../src/control/wish/ranges.ts';
import { Egress } from '../../../src/net/both/egress.ts';
import { parseIpv4 } from '../../../src/wire/ipv4-text.ts';
import { parseIpv6 } from '../../../src/wire/ipv6-text.ts';

const words = (text: string): Int32Array => {
  const v4 = parseIpv4(text);
  return Int32Array.from(v4 === undefined ? parseIpv6(text)! : [0, 0, 0xffff, v4]);
};
const ruleOf = (text: string): Egress => {
  const ranges = parseRanges(text);
  assert.ok(ranges !== 'any');
  return new Egress(ranges, 0x5eed);
};

const CASES: [rule: string, allowed: string[], denied: string[]][] = [
  ['none', [], ['10.77.0.1', '0.0.0.0', '::', '::1', 'fd77::1', '255.255.255.255']],
  ['0.0.0.0/0', ['10.77.0.1', '255.255.255.255'], ['::', 'fd77::1', '::10.77.0.1']],
  ['::/0', ['::', 'fd77::1', '10.77.0.1'], []],
  ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255'], ['9.255.255.255', '11.0.0.0', 'fd00::']],
  ['10.1.2.3/8', ['10.0.0.0'], ['11.1.2.3']],
  ['192.0.2.7', ['192.0.2.7'], ['192.0.2.6', '192.0.2.8', '::7']],
  ['128.0.0.0/1', ['128.0.0.0', '255.0.0.1'], ['127.255.255.255']],
  ['fd00::/8', ['fd00::', 'fdff::1'], ['fc00::', 'fe00::', '10.0.0.1']],
  ['fd77::/65', ['fd77::7fff:0:0:0'], ['fd77::8000:0:0:0']],
  ['fd77::1', ['fd77::1'], ['fd77::', 'fd77::2']],
  ['10.0.0.0/31,fd77::/127', ['10.0.0.1', 'fd77::1'], ['10.0.0.2', 'fd77::2']],
];

for (const [rule, allowed, denied] of CASES) {
  test(`rule_${rule}_allowsWhatIsInItAndNothingElse`, () => {
    const egress = ruleOf(rule);
    for (const text of allowed) assert.ok(egress.allows(words(text), 0), text);
    for (const text of denied) assert.equal(egress.allows(words(text), 0), false, text);
  });
}

test('rule_words_thatAreNone_areRefused', () => {
  const wrong = ['', 'all', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.0/8/8', '10.0.0.0/'];
  for (const text of [
    ...wrong,
    '10.0.0.0/8,',
    'none,any',
    '10.0.0.0/-1',
    Array(65).fill('::').join(),
  ]) {
    assert.throws(() => parseRanges(text), { code: 'IX_OPTION' }, text);
  }
  assert.equal(parseRanges('any'), 'any');
});

test('heard_exactlyThatPeerAndPorts_mayBeAnswered', () => {
  const egress = ruleOf('none');
  const ports = (53 << 16) | 4000;
  const peer = words('10.77.0.1');
  assert.equal(egress.answers(peer, 0, ports), false);
  egress.heard(0, 0, 0xffff, peer[3]!, ports);
  assert.ok(egress.answers(peer, 0, ports));
  for (const other of ['10.77.0.2', '::10.77.0.1', 'fd77::1']) {
    assert.equal(egress.answers(words(other), 0, ports), false, other);
  }
  for (const wrong of [(53 << 16) | 4001, (54 << 16) | 4000, 0, -1]) {
    assert.equal(egress.answers(peer, 0, wrong), false);
  }
});

test('heard_aBatchOfStrangersMeanwhile_isStillAnswered', () => {
  const egress = ruleOf('none');
  const ports = (53 << 16) | 4000;
  for (let round = 0; round < 500; round++) {
    const peer = words(`10.78.${round >> 8}.${round & 255}`);
    for (let i = 0; i < 3; i++) egress.heard(0, 0, 0xffff, peer[3]!, ports); // it keeps asking
    for (let i = 0; i < 64; i++) egress.heard(0xfd770000 | 0, round, i, round * i, (53 << 16) | i);
    assert.ok(egress.answers(peer, 0, ports), `${round}`);
  }
});
