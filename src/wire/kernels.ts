/**
 * WASM SIMD kernels over the arena: the interface, and how they get there.
 *
 * - Sums are the Internet checksum's (RFC 1071): the one's-complement sum of native-order 16-bit
 *   words, folded to 16 bits; byte order cancels out, so `~sum & 0xffff` is stored with a
 *   native-order u16 write.
 * - `seed` is a partial sum to start from, as uint32 (0 for none). An odd length pads with a zero
 *   byte, so callers keep pieces even, or exchange the two bytes of the sum of a piece that starts
 *   at an odd position (`swap`, checksum.ts; RFC 1071 2(A), 2(B)).
 * - Any alignment; sums of 0 to 1 MiB. An access past the arena traps; nothing else is checked.
 * - The code is wasm/kernels.wat, its meaning wasm/oracle.ts. Compiled once per environment.
 * - Measured: sum 5.3 ns at 20 bytes, 6.4 at 64, 38 at 1460; copySum 6.5, 7.3, 42. `sumShort`
 *   (checksum.ts) wins for a 20-byte header and loses from about 32 bytes up; `copyWithin` costs 25
 *   ns before it copies anything.
 */
import { readFileSync } from 'node:fs';

export interface Kernels {
  /** Folded one's-complement sum of `length` bytes at `offset`, plus `seed`. */
  sum(offset: number, length: number, seed: number): number;
  /**
   * Copies `length` bytes (no overlap) and returns their sum as `sum` does. One pass: each byte is
   * loaded once, so the sum is that of the copy even while someone else writes to the source.
   */
  copySum(destination: number, source: number, length: number, seed: number): number;
  /** Copies `length` bytes, no overlap. */
  copy(destination: number, source: number, length: number): void;
}

const compiled = new WebAssembly.Module(
  readFileSync(new URL('../../wasm/kernels.wasm', import.meta.url)),
);

/** The kernels, instantiated over one memory: shared, of at most 2 GiB. */
export function kernelsOver(memory: WebAssembly.Memory): Kernels {
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  return {
    sum: exports['sum'] as Kernels['sum'],
    copySum: exports['copySum'] as Kernels['copySum'],
    copy: exports['copy'] as Kernels['copy'],
  };
}
