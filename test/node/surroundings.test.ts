/** What a program sees of its network: our addresses, with and without a way to be asked. */
import assert from 'node:assert/strict';
import os from 'node:os';
import { after, test } from 'node:test';
import { netmask, surround } from '../../src/node/surroundings.ts';
import { Bed, SERVER, SERVER6 } from './bed.ts';
import { sleep } from './serving.ts';

const bed = new Bed({ isIpv6: true });
bed.start();
after(() => bed.close());

test('networkInterfaces_showWhatTheStackHasNow', async () => {
  const { ix } = bed.server;
  surround(() => [{ address: SERVER, prefixLength: 24 }, ...ix.addresses6]);
  for (let looks = 0; ix.addresses6.length === 0 && looks < 300; looks++) await sleep(10);
  const { lo, ix0 } = os.networkInterfaces();
  assert.deepEqual(
    lo?.map(({ address, internal }) => [address, internal]),
    [
      ['127.0.0.1', true],
      ['::1', true],
    ],
  );
  assert.deepEqual(
    ix0?.map(({ address, family, netmask: mask, internal }) => [address, family, mask, internal]),
    [
      [SERVER, 'IPv4', '255.255.255.0', false],
      [SERVER6, 'IPv6', 'ffff:ffff:ffff:ffff::', false],
    ],
  );
});

test('netmask_isAsPeopleWriteIt', () => {
  assert.equal(netmask(4, 20), '255.255.240.0');
  assert.equal(netmask(6, 128), 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff');
  assert.equal(netmask(6, 52), 'ffff:ffff:ffff:f000::');
});
