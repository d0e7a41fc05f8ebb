/**
 * Keyed hashes of a few 32-bit words, such as a connection's addresses and ports.
 *
 * - `SipHash` is SipHash-2-4 with its key of 128 bits, for what leaves the machine and is computed
 *   once a connection or datagram: initial sequence numbers, SYN cookies, timestamps, ports,
 *   identifications. Each use has a number of its own in the message (PURPOSE), so that none says
 *   anything of another.
 * - `halfSipHash13` is HalfSipHash-1-3, for bucket numbers, which no one sees and every packet
 *   needs: who does not know the two secret words can neither predict a bucket nor aim many flows
 *   at one. Its key of 64 bits is enough for that and nothing else (as the kernel's hsiphash).
 * - A message is a row of words, each least significant byte first; int32 in, int32 out.
 * - The words of HalfSipHash move up as in a shift register instead of being chosen by number, and
 *   its round stands twice: shared code with a number of rounds takes 19 ns instead of 11.
 *
 * Read first: Aumasson and Bernstein, "SipHash: a fast short-input PRF";
 * Documentation/security/siphash.rst in the kernel.
 */

/** What a hash is for: the first word of its message. */
export const PURPOSE = {
  connection: 1,
  cookie: 2,
  port: 3,
  portStride: 4,
  udpPort: 5,
  identification: 6,
  errors: 7,
} as const;

/** Four random words. */
export type WireKey = readonly [number, number, number, number];

/** Words of the longest message. */
const MESSAGE_WORDS = 8;

export class SipHash {
  /** The message is put here. */
  readonly words = new Int32Array(MESSAGE_WORDS);
  /** Upper half of the last tag. */
  high = 0;
  readonly #key: Int32Array;

  constructor(key: WireKey) {
    this.#key = Int32Array.from(key);
  }

  /**
   * Lower half of the tag of the first `count` words, an even number. A 64-bit number is two int32,
   * l and h; a sum carries the top bit of what both have, or one has and the sum has not.
   */
  hash(count: number): number {
    const key = this.#key;
    const words = this.words;
    let l0 = key[0]! ^ 0x70736575;
    let h0 = key[1]! ^ 0x736f6d65;
    let l1 = key[2]! ^ 0x6e646f6d;
    let h1 = key[3]! ^ 0x646f7261;
    let l2 = key[0]! ^ 0x6e657261;
    let h2 = key[1]! ^ 0x6c796765;
    let l3 = key[2]! ^ 0x79746573;
    let h3 = key[3]! ^ 0x74656462;
    // blocks of two words, the one with the length, and the end
    for (let at = 0; at <= count + 2; at += 2) {
      const isEnd = at > count;
      const low = at < count ? words[at]! : 0;
      const high = at < count ? words[at + 1]! : isEnd ? 0 : count << 26;
      l3 ^= low;
      h3 ^= high;
      if (isEnd) l2 ^= 0xff;
      for (let round = isEnd ? 4 : 2; round !== 0; round--) {
        let a = (l0 + l1) | 0;
        h0 = (h0 + h1 + (((l0 & l1) | ((l0 | l1) & ~a)) >>> 31)) | 0;
        let b = ((l1 << 13) | (h1 >>> 19)) ^ a;
        h1 = ((h1 << 13) | (l1 >>> 19)) ^ h0;
        l1 = b;
        l0 = h0;
        h0 = a;
        a = (l2 + l3) | 0;
        h2 = (h2 + h3 + (((l2 & l3) | ((l2 | l3) & ~a)) >>> 31)) | 0;
        l2 = a;
        b = ((l3 << 16) | (h3 >>> 16)) ^ l2;
        h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2;
        l3 = b;
        a = (l0 + l3) | 0;
        h0 = (h0 + h3 + (((l0 & l3) | ((l0 | l3) & ~a)) >>> 31)) | 0;
        l0 = a;
        b = ((l3 << 21) | (h3 >>> 11)) ^ l0;
        h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0;
        l3 = b;
        a = (l2 + l1) | 0;
        h2 = (h2 + h1 + (((l2 & l1) | ((l2 | l1) & ~a)) >>> 31)) | 0;
        b = ((l1 << 17) | (h1 >>> 15)) ^ a;
        h1 = ((h1 << 17) | (l1 >>> 15)) ^ h2;
        l1 = b;
        l2 = h2;
        h2 = a;
      }
      l0 ^= low;
      h0 ^= high;
    }
    this.high = h0 ^ h1 ^ h2 ^ h3;
    return l0 ^ l1 ^ l2 ^ l3;
  }
}

/** Numbers that nobody else can know, for one purpose: both halves of the hashes of 1, 2, 3, ... */
export class Unpredictable {
  readonly #hash: SipHash;
  readonly #purpose: number;
  #count = 0;
  #hasHigh = false;

  constructor(key: WireKey, purpose: number) {
    this.#hash = new SipHash(key);
    this.#purpose = purpose;
  }

  /** 32 bits, as int32. */
  next(): number {
    this.#hasHigh = !this.#hasHigh;
    const hash = this.#hash;
    if (!this.#hasHigh) return hash.high;
    this.#count = (this.#count + 1) | 0;
    hash.words[0] = this.#purpose;
    hash.words[1] = this.#count;
    return hash.hash(2);
  }
}

/** Three words and the last block. */
const BLOCKS = 4;
/** The last block of a message: its length in the high byte; no bytes are left over. */
const LENGTH_BLOCK = 12 << 24;

/** HalfSipHash-1-3 of three words. */
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
