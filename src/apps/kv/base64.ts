/**
 * Base64 (RFC 4648, section 4) from memory to memory, for keys of the meta protocol.
 *
 * - Decoding is as lax as memcached's: bytes of no meaning are skipped, unused bits are ignored,
 *   and what follows the first padded block is left; but the meaningful bytes are a multiple of
 *   four.
 */
const LETTERS = Uint8Array.from(
  Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'),
);
const PAD = 61;
const NONE = 255;
const VALUES = new Uint8Array(256).fill(NONE);
LETTERS.forEach((letter, value) => {
  VALUES[letter] = value;
});
VALUES[PAD] = 0;

/** Decodes to `to`; returns how many bytes that were, 0: it cannot be read. */
export function decodeBase64(u8: Uint8Array, from: number, length: number, to: number): number {
  const end = from + length;
  let count = 0;
  for (let at = from; at < end; at++) if (VALUES[u8[at]!] !== NONE) count++;
  if ((count & 3) !== 0) return 0;
  let block = 0;
  let inBlock = 0;
  let padding = 0;
  let out = to;
  for (let at = from; at < end && padding === 0; at++) {
    const value = VALUES[u8[at]!]!;
    if (value === NONE) continue;
    block = (block << 6) | value;
    inBlock++;
    if (inBlock < 4) continue;
    padding = paddingOf(u8, at);
    if (padding > 2) return 0;
    u8[out] = block >> 16;
    if (padding < 2) u8[out + 1] = block >> 8;
    if (padding < 1) u8[out + 2] = block;
    out += 3 - padding;
    block = 0;
    inBlock = 0;
  }
  return out - to;
}

/** Pads among the last four meaningful bytes up to `at`. */
function paddingOf(u8: Uint8Array, at: number): number {
  let pads = 0;
  for (let seen = 0; seen < 4; at--) {
    if (VALUES[u8[at]!] === NONE) continue;
    if (u8[at] === PAD) pads++;
    seen++;
  }
  return pads;
}

/** Encodes to `to`; returns how many bytes that were: four for each three, begun or whole. */
export function encodeBase64(u8: Uint8Array, from: number, length: number, to: number): number {
  let out = to;
  for (let done = 0; done < length; done += 3, out += 4) {
    const left = length - done;
    const at = from + done;
    const block =
      (u8[at]! << 16) | ((left > 1 ? u8[at + 1]! : 0) << 8) | (left > 2 ? u8[at + 2]! : 0);
    u8[out] = LETTERS[block >> 18]!;
    u8[out + 1] = LETTERS[(block >> 12) & 63]!;
    u8[out + 2] = left > 1 ? LETTERS[(block >> 6) & 63]! : PAD;
    u8[out + 3] = left > 2 ? LETTERS[block & 63]! : PAD;
  }
  return out - to;
}
