import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAddress,
  hostAddressFor,
  isWithin,
  parseAddress,
  parseSubnet,
} from '../../../src/control/link/address.ts';
import { OptionError } from '../../../src/errors.ts';

const seed = Number(process.env['SEED'] ?? Date.now() & 0x7fffffff);
console.log(`address: SEED=${seed}`);
const addresses = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

test('address_anyInt32_roundTripsThroughText', () => {
  fc.assert(
    fc.property(addresses, (address) =>
      assert.equal(parseAddress(formatAddress(address)), address),
    ),
    { seed },
  );
  assert.equal(parseAddress('10.77.0.2'), 0x0a4d0002);
});

test('subnet_valid_hostAddressIsInItAndDiffers', () => {
  fc.assert(
    fc.property(addresses, fc.integer({ min: 8, max: 30 }), (address, prefixLength) => {
      const text = `${formatAddress(address)}/${prefixLength}`;
      let subnet: ReturnType<typeof parseSubnet>;
      try {
        subnet = parseSubnet(text);
      } catch (error) {
        assert.ok(error instanceof OptionError);
        return;
      }
      const host = hostAddressFor(subnet);
      assert.notEqual(host, address);
      assert.ok(isWithin(host, subnet));
      parseSubnet(`${formatAddress(host)}/${prefixLength}`); // can be a host's, or this throws
    }),
    { seed },
  );
});

test('subnet_noPrefix_is24', () => {
  assert.deepEqual(parseSubnet('10.77.0.2'), { address: 0x0a4d0002, prefixLength: 24 });
  assert.equal(formatAddress(hostAddressFor(parseSubnet('10.77.0.1'))), '10.77.0.2');
});

for (const wrong of [
  '',
  'host',
  '10.77.0',
  '10.77.0.256',
  '10.77.0.2/',
  '10.77.0.2/31',
  '10.77.0.2/24/1',
  '10.77.0.0/24',
  '10.77.0.255/24',
  '127.0.0.2/8',
  '224.0.0.9/24',
  '0.0.0.1/8',
  ' 10.77.0.2',
]) {
  test(`subnet_'${wrong}'_refused`, () => {
    assert.throws(() => parseSubnet(wrong), OptionError);
  });
}
