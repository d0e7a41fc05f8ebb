/**
 * HalfSipHash against a byte-wise one for messages of any length, which in turn is held against the
 * authors' vectors (key 00 01 .. 07, message 00 01 .. n-1: vectors.h of the reference
 * implementation, CC0).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { halfSipHash, halfSipHash13 } from '../../src/arena/siphash.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from './property.ts';

/** HalfSipHash-2-4 with a 32-bit tag of the messages of 0 to 15 bytes. */
const VECTORS = [
  'a9359f5b', '27475ab8', 'fa62a603', '8afee704', '2a6e4689', 'c5fab669', '5863fc23', '8bcf63c5',
  'd0b8848f', 'f806e779', '94b07934', '08083050', '57f0872f', '77e663ff', 'd6fff87c', '74fe2b97',
]; // biome-ignore format: a table

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

function reference(key: Buffer, message: Buffer, blockRounds: number, finalRounds: number): number {
  const k0 = key.readInt32LE(0);
  const k1 = key.readInt32LE(4);
  const v = Int32Array.of(k0, k1, k0 ^ 0x6c796765, k1 ^ 0x74656462);
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v[0]! += v[1]!;
      v[1] = rotate(v[1]!, 5) ^ v[0]!;
      v[0] = rotate(v[0]!, 16);
      v[2]! += v[3]!;
      v[3] = rotate(v[3]!, 8) ^ v[2]!;
      v[0]! += v[3]!;
      v[3] = rotate(v[3]!, 7) ^ v[0]!;
      v[2]! += v[1]!;
      v[1] = rotate(v[1]!, 13) ^ v[2]!;
      v[2] = rotate(v[2]!, 16);
    }
  };
  const padded = Buffer.alloc((Math.floor(message.length / 4) + 1) * 4);
  message.copy(padded);
  padded[padded.length - 1] = message.length;
  for (let at = 0; at < padded.length; at += 4) {
    const m = padded.readInt32LE(at);
    v[3]! ^= m;
    rounds(blockRounds);
    v[0]! ^= m;
  }
  v[2]! ^= 0xff;
  rounds(finalRounds);
  return v[1]! ^ v[3]!;
}

test('reference_authorsVectors_match', () => {
  const bytes = Buffer.from([...Array(16).keys()]);
  VECTORS.forEach((hex, length) => {
    const tag = reference(bytes.subarray(0, 8), bytes.subarray(0, length), 2, 4);
    assert.equal(tag, Buffer.from(hex, 'hex').readInt32LE(0), `${length} bytes`);
  });
});

test('twelveBytes_authorsVector_matches', () => {
  const tag = halfSipHash(0x03020100, 0x07060504, 0x03020100, 0x07060504, 0x0b0a0908);
  assert.equal(tag, Buffer.from(VECTORS[12]!, 'hex').readInt32LE(0));
});

test('anyWords_bothVariants_asReference', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  holds(
    fc.property(fc.tuple(word, word, word, word, word), (words) => {
      const bytes = Buffer.alloc(20);
      words.forEach((w, i) => {
        bytes.writeInt32LE(w, i * 4);
      });
      const key = bytes.subarray(0, 8);
      const message = bytes.subarray(8);
      assert.equal(halfSipHash(...words), reference(key, message, 2, 4));
      assert.equal(halfSipHash13(...words), reference(key, message, 1, 3));
    }),
    2000,
  );
});

/**
 * Pearson's statistic over `buckets` of the low bits; its mean is buckets - 1, its deviation sqrt(2
 * (buckets - 1)).
 */
function chiSquare(hash: (i: number) => number, count: number, buckets: number): number {
  const seen = new Uint32Array(buckets);
  for (let i = 0; i < count; i++) seen[hash(i) & (buckets - 1)]!++;
  const expected = count / buckets;
  return seen.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
}

test('consecutivePortsAndAddresses_lowBits_areEvenlySpread', () => {
  const random = randomFrom(SEED);
  const buckets = 1024;
  const limit = buckets - 1 + 6 * Math.sqrt(2 * (buckets - 1));
  for (const hash of [halfSipHash, halfSipHash13]) {
    const secret0 = random() | 0;
    const secret1 = random() | 0;
    const ports = chiSquare(
      (i) => hash(secret0, secret1, 0x0a4d0002, 0x0a4d0001, (11211 << 16) | i),
      60_000,
      buckets,
    );
    const addresses = chiSquare(
      (i) => hash(secret0, secret1, 0x0a4d0002, i << 8, 80),
      60_000,
      buckets,
    );
    assert.ok(ports < limit, `ports: ${ports}`);
    assert.ok(addresses < limit, `addresses: ${addresses}`);
  }
});

test('oneBitOfInput_flipped_changesHalfOfTheBits', () => {
  const random = randomFrom(SEED);
  let flips = 0;
  const rounds = 160 * 100;
  for (let i = 0; i < rounds; i++) {
    const words: [number, number, number, number, number] = [
      random(),
      random(),
      random(),
      random(),
      random(),
    ];
    const before = halfSipHash13(...words);
    words[Math.floor((i % 160) / 32)]! ^= 1 << (i & 31);
    let changed = before ^ halfSipHash13(...words);
    for (; changed !== 0; changed &= changed - 1) flips++;
  }
  assert.ok(Math.abs(flips / rounds - 16) < 0.5, `${flips / rounds} bits of 32`);
});

test('hash_million_allocatesNothing', () => {
  let sum = 0;
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++)
      sum ^= halfSipHash(1, 2, i, 4, 5) ^ halfSipHash13(1, 2, i, 4, 5);
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation ${sum & 0}`);
});
