/** RSS's hash against the vectors that Microsoft gives, and the table behind it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAPPED_V4 } from '../../src/gate/abi.ts';
import { flowThreadsOf, Toeplitz } from '../../src/nic/toeplitz.ts';
import { address } from '../net/harness.ts';
import { words6 } from '../net/packets6.ts';
import { keyFrom } from './flow-frames.ts';

const KEY = [
  ...Buffer.from(
    '6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa',
    'hex',
  ),
];
const TABLE = Array.from({ length: 128 }, (_, entry) => entry % 3);

/** Destination (ours) with its port, source with its port, the hash of all four. */
const VECTORS: [string, number, string, number, number][] = [
  ['161.142.100.80', 1766, '66.9.149.187', 2794, 0x51ccc178],
  ['65.69.140.83', 4739, '199.92.111.2', 14_230, 0xc626b0ea],
  ['12.22.207.184', 38_024, '24.19.198.95', 12_898, 0x5c2b394a],
  ['209.142.163.6', 2217, '38.27.205.30', 48_228, 0xafc7327f],
  ['202.188.127.2', 1303, '153.39.163.191', 44_251, 0x10e828a2],
  ['3ffe:2501:200:3::1', 1766, '3ffe:2501:200:1fff::7', 2794, 0x40207d3d],
  ['ff02::1', 4739, '3ffe:501:8::260:97ff:fe40:efab', 14_230, 0xdde51bbf],
  ['fe80::200:f8ff:fe21:67cf', 38_024, '3ffe:1900:4545:3:200:f8ff:fe21:67cf', 44_251, 0x02d1feef],
];

const wordsOf = (text: string): number[] => {
  if (!text.includes(':')) return [0, 0, MAPPED_V4, address(text)];
  return words6(
    text.includes('::') ? text : `${text.split(':').slice(0, 7).join(':')}::${text.split(':')[7]}`,
  );
};

test('vectors_ofMicrosoft_haveTheirHashesAndQueues', () => {
  const rss = new Toeplitz({ toeplitz: KEY, threads: TABLE });
  for (const [local, localPort, remote, remotePort, hash] of VECTORS) {
    rss.words.set([...wordsOf(remote), ...wordsOf(local)]);
    const sum = rss.sumOf(remotePort);
    assert.equal((rss.hashOf(sum, localPort) >>> 0).toString(16), hash.toString(16), remote);
    assert.equal(rss.threadOf(sum, localPort), TABLE[hash & 127]);
  }
});

test('keyLongerThanNeeded_isTheSameHash', () => {
  const long = new Toeplitz({
    toeplitz: [...KEY, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    threads: TABLE,
  });
  const [local, localPort, remote, remotePort, hash] = VECTORS[5]!;
  long.words.set([...wordsOf(remote), ...wordsOf(local)]);
  assert.equal(long.hashOf(long.sumOf(remotePort), localPort) >>> 0, hash);
});

test('tableOfEitherKind_getsItsHash', () => {
  assert.ok(flowThreadsOf({ toeplitz: KEY, threads: TABLE }) instanceof Toeplitz);
  const ours = flowThreadsOf({ key: keyFrom(1), threads: TABLE });
  assert.ok(!(ours instanceof Toeplitz));
});
