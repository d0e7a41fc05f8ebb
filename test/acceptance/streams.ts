/**
 * The streams of bench/peers/bulk.c and src/apps/bulk.ts, made once more: for tests that compare
 * bytes.
 */
import { crc32 } from 'node:zlib';

/** The first `length` bytes of the stream of `seed`: xorshift32 words, little-endian. */
export function seeded(seed: number, length: number): Buffer {
  const words = new Int32Array(Math.ceil(length / 4));
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return Buffer.from(words.buffer, 0, length);
}

/** CRC-32 in eight hexadecimal digits. */
export const crcOf = (bytes: Buffer): string => crc32(bytes).toString(16).padStart(8, '0');
