/**
 * What flows carry: at every position of a stream there is one right byte, known to whoever knows
 * the flow's ends.
 *
 * - Byte p of a flow is PATTERN[(key + p) mod PATTERN_BYTES], in both directions, so that an echo
 *   is right as well. `key` is a function of addresses and ports: applications and the observer
 *   need no word between them.
 * - The pattern lies twice in a row: any stretch of up to PATTERN_BYTES is contiguous and can be
 *   sent without a copy.
 */
import { Random } from './random.ts';

/**
 * A prime, and longer than any window a scenario opens by default: a shifted stream does not look
 * right.
 */
export const PATTERN_BYTES = 65_521;

export function makePattern(): Buffer {
  const pattern = Buffer.alloc(PATTERN_BYTES * 2);
  const random = new Random(0x1c);
  for (let i = 0; i < PATTERN_BYTES; i++) pattern[i] = random.word() & 0xff;
  pattern.copy(pattern, PATTERN_BYTES, 0, PATTERN_BYTES);
  return pattern;
}

/** Of the flow between two (host, port) pairs, in either order. */
export function keyOf(hostA: number, portA: number, hostB: number, portB: number): number {
  const a = hostA * 65_536 + portA;
  const b = hostB * 65_536 + portB;
  const low = Math.min(a, b);
  const high = Math.max(a, b);
  return (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 0;
}

/** Where in the pattern a stream's byte stands. */
export const patternIndex = (key: number, position: number): number =>
  (key + position) % PATTERN_BYTES;

/**
 * Compares `length` bytes at `offset` with the stream from `position` on: -1, or the index of the
 * first wrong one.
 */
export function firstWrong(
  pattern: Buffer,
  bytes: Buffer,
  offset: number,
  length: number,
  key: number,
  position: number,
): number {
  for (let done = 0; done < length; ) {
    const piece = Math.min(length - done, PATTERN_BYTES);
    const at = patternIndex(key, position + done);
    const from = offset + done;
    if (pattern.compare(bytes, from, from + piece, at, at + piece) !== 0) {
      for (let i = 0; i < piece; i++) if (bytes[from + i] !== pattern[at + i]) return done + i;
    }
    done += piece;
  }
  return -1;
}
