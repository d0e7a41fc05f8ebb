/**
 * WASM SIMD kernels over the arena, and the plain TypeScript that says what they must compute.
 *
 * - Sums are the Internet checksum's (RFC 1071): the one's-complement sum of native-order 16-bit words, folded
 *   to 16 bits; byte order cancels out, so `~sum & 0xffff` is stored with a native-order u16 write.
 * - `seed` is a partial sum to start from (0 for none). An odd length pads with a zero byte; so a partial sum over
 *   an odd number of bytes cannot be continued by another kernel call (RFC 1071 2(B)) - callers keep pieces even
 *   or use `copySumOdd`-style byte swaps: swap the two bytes of the sum of a piece that starts at an odd position.
 * - Measured: from about 40 bytes up WASM wins over TypeScript; below it `sumShort` is faster.
 */
export interface Kernels {
  /** Folded one's-complement sum of `length` bytes at `offset`, plus `seed`. */
  sum(offset: number, length: number, seed: number): number;
  /** Copies `length` bytes (no overlap) and returns their sum as `sum` does. One pass over memory. */
  copySum(destination: number, source: number, length: number, seed: number): number;
  /** Copies `length` bytes, no overlap. */
  copy(destination: number, source: number, length: number): void;
}

/** The kernels, instantiated over one memory. */
export function kernelsOver(memory: WebAssembly.Memory): Kernels {
  const u8 = new Uint8Array(memory.buffer);
  const sum = (offset: number, length: number, seed: number): number => {
    let total = seed;
    let i = 0;
    for (; i + 1 < length; i += 2) total += u8[offset + i]! | (u8[offset + i + 1]! << 8);
    if (i < length) total += u8[offset + i]!;
    while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
    return total;
  };
  const copy = (destination: number, source: number, length: number): void => {
    u8.copyWithin(destination, source, source + length);
  };
  return {
    sum,
    copy,
    copySum(destination, source, length, seed) {
      copy(destination, source, length);
      return sum(destination, length, seed);
    },
  };
}
