/**
 * SipHash-2-4 against a byte-wise one in BigInt, HalfSipHash-1-3 against a byte-wise one in int32;
 * both of these are held against the authors' vectors (vectors.h of the reference implementation,
 * CC0): key 00 01 .., message 00 01 .. n-1.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { halfSipHash13, SipHash, type WireKey } from '../../src/arena/siphash.ts';
import { bytesPerOperation, holds, randomFrom, SEED } from './property.ts';

/** SipHash-2-4 with a 64-bit tag of the messages of 0 to 16 bytes. */
const VECTORS = [
  '310e0edd47db6f72', 'fd67dc93c539f874', '5a4fa9d909806c0d', '2d7efbd796666785',
  'b7877127e09427cf', '8da699cd64557618', 'cee3fe586e46c9cb', '37d1018bf50002ab',
  '6224939a79f5f593', 'b0e4a90bdf82009e', 'f3b9dd94c5bb5d7a', 'a7ad6b22462fb3f4',
  'fbe50e86bc8f1e75', '903d84c02756ea14', 'eef27a8e90ca23f7', 'e545be4961ca29a1',
  'db9bc2577fcc2a3f',
]; // biome-ignore format: a table

/** HalfSipHash-2-4 with a 32-bit tag of the messages of 0 to 15 bytes. */
const HALF_VECTORS = [
  'a9359f5b', '27475ab8', 'fa62a603', '8afee704', '2a6e4689', 'c5fab669', '5863fc23', '8bcf63c5',
  'd0b8848f', 'f806e779', '94b07934', '08083050', '57f0872f', '77e663ff', 'd6fff87c', '74fe2b97',
]; // biome-ignore format: a table

const MASK = 2n ** 64n - 1n;
const turn = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (64n - by))) & MASK;

function reference(key: Buffer, message: Buffer): bigint {
  const [k0, k1] = [key.readBigUInt64LE(0), key.readBigUInt64LE(8)];
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) & MASK;
      v2 = (v2 + v3) & MASK;
      v1 = turn(v1, 13n) ^ v0;
      v3 = turn(v3, 16n) ^ v2;
      v0 = turn(v0, 32n);
      v2 = (v2 + v1) & MASK;
      v0 = (v0 + v3) & MASK;
      v1 = turn(v1, 17n) ^ v2;
      v3 = turn(v3, 21n) ^ v0;
      v2 = turn(v2, 32n);
    }
  };
  const padded = Buffer.alloc((Math.floor(message.length / 8) + 1) * 8);
  message.copy(padded);
  padded[padded.length - 1] = message.length;
  for (let at = 0; at < padded.length; at += 8) {
    const m = padded.readBigUInt64LE(at);
    v3 ^= m;
    rounds(2);
    v0 ^= m;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

/** Byte 0 up. */
const counting = (length: number): Buffer => Buffer.from([...Array(length).keys()]);

const sipHashOf = (key: Buffer): SipHash =>
  new SipHash([0, 4, 8, 12].map((at) => key.readInt32LE(at)) as unknown as WireKey);

/** The 64 bits of a message of whole pairs of words. */
function tag(hash: SipHash, message: Buffer): bigint {
  for (let at = 0; at < message.length; at += 4) hash.words[at / 4] = message.readInt32LE(at);
  const low = hash.hash(message.length / 4) >>> 0;
  return (BigInt(hash.high >>> 0) << 32n) | BigInt(low);
}

test('reference_authorsVectors_match', () => {
  VECTORS.forEach((hex, length) => {
    const expected = Buffer.from(hex, 'hex').readBigUInt64LE(0);
    assert.equal(reference(counting(16), counting(length)), expected, `${length} bytes`);
  });
});

test('wholeBlocks_authorsVectors_match', () => {
  const hash = sipHashOf(counting(16));
  for (const length of [0, 8, 16]) {
    const expected = Buffer.from(VECTORS[length]!, 'hex').readBigUInt64LE(0);
    assert.equal(tag(hash, counting(length)), expected, `${length} bytes`);
  }
});

test('anyKeyAndMessage_sipHash_asReference', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const message = fc.constantFrom(0, 8, 16, 24, 32).chain(bytes);
  holds(
    fc.property(bytes(16), message, (key, text) => {
      const [k, m] = [Buffer.from(key), Buffer.from(text)];
      assert.equal(tag(sipHashOf(k), m), reference(k, m));
    }),
    2000,
  );
});

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

function halfReference(
  key: Buffer,
  message: Buffer,
  blockRounds: number,
  finalRounds: number,
): number {
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

test('halfReference_authorsVectors_match', () => {
  const bytes = Buffer.from([...Array(16).keys()]);
  HALF_VECTORS.forEach((hex, length) => {
    const tag = halfReference(bytes.subarray(0, 8), bytes.subarray(0, length), 2, 4);
    assert.equal(tag, Buffer.from(hex, 'hex').readInt32LE(0), `${length} bytes`);
  });
});

test('anyWords_halfSipHash_asReference', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  holds(
    fc.property(fc.tuple(word, word, word, word, word), (words) => {
      const bytes = Buffer.alloc(20);
      words.forEach((w, i) => {
        bytes.writeInt32LE(w, i * 4);
      });
      const key = bytes.subarray(0, 8);
      const message = bytes.subarray(8);
      assert.equal(halfSipHash13(...words), halfReference(key, message, 1, 3));
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
  const sip = new SipHash([random(), random(), random(), random()]);
  const whole = (_0: number, _1: number, ...words: number[]): number => {
    sip.words.set(words);
    return sip.hash(4);
  };
  for (const hash of [whole, halfSipHash13]) {
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
  const sip = new SipHash([1, 2, 3, 4]);
  const bytes = bytesPerOperation((count) => {
    for (let i = 0; i < count; i++) {
      sip.words[0] = i;
      sum ^= sip.hash(8) ^ halfSipHash13(1, 2, i, 4, 5);
    }
  });
  assert.ok(bytes < 0.1, `${bytes} bytes per operation ${sum & 0}`);
});
