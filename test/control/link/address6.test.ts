import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSubnet } from '../../../src/control/link/address.ts';
import {
  hostAddress6For,
  ipv6Beside,
  ipv6ConfigFor,
  ipv6Matches,
  linkLocalFor,
  parseSubnet6,
} from '../../../src/control/link/address6.ts';
import { OptionError } from '../../../src/errors.ts';
import { bytesOfIpv6, formatIpv6, parseIpv6 } from '../../../src/wire/ipv6-text.ts';

const MAC = [2, 0, 0, 0, 0, 1];

test('subnet6_valid_hasAHostBesideIt', () => {
  for (const [text, host] of [
    ['fd77::2/64', 'fd77::1'],
    ['fd77::2', 'fd77::1'],
    ['fd77::1/64', 'fd77::2'],
    ['2001:db8:0:7::ffff/48', '2001:db8::1'],
    ['fd77::13/124', 'fd77::11'],
  ] as const) {
    assert.equal(formatIpv6(hostAddress6For(parseSubnet6(text))), host, text);
  }
});

test('subnet6_wrong_isRefused', () => {
  for (const text of [
    '',
    '10.77.0.2/24',
    'fd77::2/0',
    'fd77::2/128',
    'fd77::2/x',
    'fd77::2/64/64',
    'fd77::/64',
    '::1/64',
    '::/64',
    '::ffff:10.77.0.2/64',
    'ff02::1/64',
    'fe80::2/64',
    'fd77::2%eth0/64',
  ]) {
    assert.throws(() => parseSubnet6(text), OptionError, text);
  }
});

test('ipv6Beside_ourDefaultNetworkOnly', () => {
  const beside = (text: string): string => {
    const found = ipv6Beside(parseSubnet(text));
    return found ? `${formatIpv6(found.address)}/${found.prefixLength}` : 'none';
  };
  assert.equal(beside('10.77.0.2/24'), 'fd77::2/64');
  assert.equal(beside('10.77.3.200/16'), 'fd77::3:c8/64');
  assert.equal(beside('10.77.0.1/24'), 'none', "the host's own");
  assert.equal(beside('192.168.1.2/24'), 'none');
});

test('linkLocal_isOursAloneAndTheSameEveryTime', () => {
  const first = linkLocalFor(MAC, parseIpv6('fd77::2')!);
  assert.match(formatIpv6(first), /^fe80::/);
  assert.deepEqual(linkLocalFor(MAC, parseIpv6('fd77::2')!), first);
  assert.notDeepEqual(linkLocalFor(MAC, parseIpv6('fd77::3')!), first);
  assert.notDeepEqual(linkLocalFor([2, 0, 0, 0, 0, 2], parseIpv6('fd77::2')!), first);
  assert.equal(first[2]! & 0x0200_0000, 0, 'no EUI-64: the universal bit is not set');
});

test('config_sharedInterface_detectsDuplicatesAndLeavesGroupsToTheKernel', () => {
  const subnet = parseSubnet6('fd77::2/64');
  const config = ipv6ConfigFor(subnet, MAC, [0, 0, 0, 0], false, false);
  assert.equal(config.detectsDuplicates, true);
  const taken = ipv6Matches(config);
  assert.deepEqual(taken, [bytesOfIpv6(config.address), bytesOfIpv6(config.linkLocal)]);
});
