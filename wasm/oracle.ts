/**
 * The kernels in plain TypeScript: what kernels.wat must compute, for tests to compare with.
 *
 * Read first: src/wire/kernels.ts, the contract.
 */
import type { Kernels } from '../src/wire/kernels.ts';

export function oracleOver(memory: WebAssembly.Memory): Kernels {
  const u8 = new Uint8Array(memory.buffer);
  const sum = (offset: number, length: number, seed: number): number => {
    let total = seed >>> 0;
    let i = 0;
    for (; i + 1 < length; i += 2) total += u8[offset + i]! + u8[offset + i + 1]! * 256;
    if (i < length) total += u8[offset + i]!;
    while (total > 0xffff) total = (total % 65_536) + Math.floor(total / 65_536);
    return total;
  };
  const copy = (destination: number, source: number, length: number): void => {
    for (let i = 0; i < length; i++) u8[destination + i] = u8[source + i]!;
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
