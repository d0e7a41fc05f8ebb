/**
 * What checks of answers are made of: bytes compared where they lie, a word at a time, in any
 * alignment.
 *
 * - The bytes sent are pseudo-random, so that a piece of an answer that comes from another place
 *   has other ends: its first and its last word are enough.
 * - Nothing is allocated.
 */

/**
 * Whether `length` >= 4 bytes are equal, four at a time; the last four may overlap those before.
 */
export function areEqual(view: DataView, one: number, other: number, length: number): boolean {
  const last = length - 4;
  for (let i = 0; i < last; i += 4) {
    if (view.getInt32(one + i, true) !== view.getInt32(other + i, true)) return false;
  }
  return view.getInt32(one + last, true) === view.getInt32(other + last, true);
}

/**
 * Whether the first and the last word of two pieces are equal; of fewer than four bytes, all of
 * them.
 */
export function endsAreEqual(view: DataView, one: number, other: number, length: number): boolean {
  if (length >= 4) {
    const last = length - 4;
    return (
      view.getInt32(one, true) === view.getInt32(other, true) &&
      view.getInt32(one + last, true) === view.getInt32(other + last, true)
    );
  }
  for (let i = 0; i < length; i++) {
    if (view.getUint8(one + i) !== view.getUint8(other + i)) return false;
  }
  return true;
}

/** Pseudo-random bytes (xorshift32), so that bytes from another place do not match. */
export function fillRandom(u8: Uint8Array, offset: number, length: number): void {
  let x = 0x9e3779b9 | 0;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    u8[offset + i] = x & 0xff;
  }
}
