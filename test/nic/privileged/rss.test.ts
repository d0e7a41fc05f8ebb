/**
 * What a NIC says of RSS: by answers as the kernel gives them, whole, refused, and with every thing
 * in it that we cannot compute with.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ethtool, isRefused, type Rss, readRss } from '../../../src/nic/privileged/rss.ts';
import type { Struct } from '../../../src/nic/struct.ts';

const GRXFH = 0x29;
const GRSSH = 0x46;
const KEY = Array.from({ length: 40 }, (_, i) => i + 1);
const FOUR_TUPLE = 0xf0;

/** As virtio_net with rss=on, or a NIC. */
const NIC = {
  key: KEY,
  indir: Array.from({ length: 128 }, (_, i) => i % 2),
  hfunc: 1,
  transform: 0,
  /** By ethtool's number of the kind of flow. */
  fields: { 1: FOUR_TUPLE, 2: FOUR_TUPLE, 5: FOUR_TUPLE, 6: FOUR_TUPLE } as Record<number, number>,
};

/** The kernel's side (net/ethtool/ioctl.c `ethtool_get_rxfh`, `ethtool_get_rxnfc`). */
function kernelOf(nic: typeof NIC): Ethtool {
  return (structure: Struct): void => {
    const command = structure.readU32(0);
    if (command === GRXFH) {
      const fields = nic.fields[structure.readU32(4)];
      if (fields === undefined) throw new Error('EOPNOTSUPP');
      structure.u64(8, fields);
      return;
    }
    assert.equal(command, GRSSH);
    const [entries, bytes] = [structure.readU32(8), structure.readU32(12)];
    structure.u32(8, nic.indir.length).u32(12, nic.key.length);
    structure.bytes[16] = nic.hfunc;
    structure.bytes[17] = nic.transform;
    if (entries === 0) return;
    if (entries !== nic.indir.length || bytes !== nic.key.length) throw new Error('EINVAL');
    for (const [i, queue] of nic.indir.entries()) structure.u32(24 + 4 * i, queue);
    structure.bytes.set(nic.key, 24 + 4 * entries);
  };
}

const read = (change: Partial<typeof NIC>, threads = 2): Rss | string =>
  readRss('eth0', threads, kernelOf({ ...NIC, ...change }));

test('rss_toeplitzOfTheFourTuple_isKeyAndTable', () => {
  const table = { toeplitz: KEY, threads: NIC.indir };
  assert.deepEqual(read({}), { table, datagrams: '' });
  const i40e = {
    key: [...KEY, ...KEY].slice(0, 52),
    indir: [...NIC.indir, ...NIC.indir, ...NIC.indir, ...NIC.indir],
  };
  const rss = read(i40e);
  assert.ok(!isRefused(rss));
  assert.deepEqual([rss.table.toeplitz.length, rss.table.threads.length], [52, 512]);
});

test('rss_datagramsByAddressesOnly_isSaidWithTheRemedy', () => {
  const rss = read({ fields: { ...NIC.fields, 2: 0x30 } });
  assert.ok(!isRefused(rss));
  assert.equal(rss.datagrams, 'ethtool -N eth0 rx-flow-hash udp4 sdfn');
});

test('rss_whatCannotBeComputed_isOneSentence', () => {
  const cases: [Partial<typeof NIC>, RegExp][] = [
    [{ key: [] }, /does not tell its RSS key/],
    [{ indir: [] }, /does not tell its RSS key/],
    [{ hfunc: 2 }, /not Toeplitz; ethtool -X eth0 hfunc toeplitz$/],
    [{ hfunc: 4 }, /not Toeplitz/],
    [{ transform: 1 }, /symmetric; ethtool -X eth0 xfrm none$/],
    [{ indir: [0, 1, 0] }, /3 entries/],
    [{ key: KEY.slice(0, 16) }, /16 bytes/],
    [{ indir: [0, 1, 2, 3] }, /queues above 1; ethtool -X eth0 equal 2$/],
    [
      { fields: { ...NIC.fields, 1: 0x30 } },
      /tcp4 by addresses and ports; ethtool -N eth0 rx-flow-hash tcp4 sdfn$/,
    ],
    [{ fields: { ...NIC.fields, 5: 0x30 } }, /tcp6/],
    [{ fields: {} }, /tcp4/],
  ];
  for (const [change, sentence] of cases) {
    const said = read(change);
    assert.ok(isRefused(said));
    assert.match(said, sentence);
  }
  const refused = readRss('eth0', 2, () => {
    throw new Error('EOPNOTSUPP');
  });
  assert.match(`${refused}`, /does not tell/);
});
