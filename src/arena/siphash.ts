/**
 * HalfSipHash: a keyed 32-bit hash of three 32-bit words, such as a connection's addresses and
 * ports.
 *
 * - Who does not know the two secret words can neither predict a bucket nor aim many flows at one.
 * - The message is the twelve bytes of w0, w1, w2, each least significant byte first.
 * - `halfSipHash` is HalfSipHash-2-4, for what a peer may see (an initial sequence number).
 *   `halfSipHash13` is HalfSipHash-1-3, for bucket numbers, which no one sees: the kernel makes the
 *   same choice (hsiphash).
 * - Both are int32 in, int32 out; nothing is allocated.
 * - The round stands here four times on purpose: with shared code and the number of rounds an
 *   argument, 1-3 takes 19 ns instead of 11. For the same reason the words move up as in a shift
 *   register instead of being chosen by number.
 *
 * Called by table.ts and TCP. Read first: Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF"; Documentation/security/siphash.rst in the kernel.
 */

/** Three words and the last block. */
const BLOCKS = 4;
/** The last block of a message: its length in the high byte; no bytes are left over. */
const LENGTH_BLOCK = 12 << 24;

/** HalfSipHash-2-4. */
export function halfSipHash(
  secret0: number,
  secret1: number,
  w0: number,
  w1: number,
  w2: number,
): number {
  let v0 = secret0 | 0;
  let v1 = secret1 | 0;
  let v2 = secret0 ^ 0x6c796765;
  let v3 = secret1 ^ 0x74656462;
  let block = w0 | 0;
  let next = w1 | 0;
  let afterNext = w2 | 0;
  for (let left = BLOCKS; left !== 0; left--) {
    v3 ^= block;
    for (let round = 2; round !== 0; round--) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    v0 ^= block;
    block = next;
    next = afterNext;
    afterNext = LENGTH_BLOCK;
  }
  v2 ^= 0xff;
  for (let round = 4; round !== 0; round--) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  return v1 ^ v3;
}

/** HalfSipHash-1-3. */
export function halfSipHash13(
  secret0: number,
  secret1: number,
  w0: number,
  w1: number,
  w2: number,
): number {
  let v0 = secret0 | 0;
  let v1 = secret1 | 0;
  let v2 = secret0 ^ 0x6c796765;
  let v3 = secret1 ^ 0x74656462;
  let block = w0 | 0;
  let next = w1 | 0;
  let afterNext = w2 | 0;
  for (let left = BLOCKS; left !== 0; left--) {
    v3 ^= block;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= block;
    block = next;
    next = afterNext;
    afterNext = LENGTH_BLOCK;
  }
  v2 ^= 0xff;
  for (let round = 3; round !== 0; round--) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  return v1 ^ v3;
}
