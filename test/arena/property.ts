/** What property tests share: a seed, printed, from SEED; how many bytes an operation allocates. */
import { getHeapStatistics } from 'node:v8';
import fc from 'fast-check';

/** Run a failing test again with `SEED=<printed number>`. */
export const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
console.log(`SEED=${SEED}`);

export function holds<T extends [unknown, ...unknown[]]>(
  property: fc.IPropertyWithHooks<T>,
  runs = 300,
): void {
  fc.assert(property, { seed: SEED, numRuns: runs });
}

/**
 * A pseudo-random uint32 generator for tests that need more numbers than fast-check should make
 * (mulberry32).
 */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const ROUNDS = 15;

/**
 * Bytes allocated for each of `count` operations of `run(count)`, after warm-up.
 *
 * V8's counter charges the rest of the current allocation buffer, up to a page of 256 KiB, to
 * whoever reads it: an empty stretch reads as 100 to 200 KB. So each round is measured against an
 * empty one right after it. Now and then V8 allocates half a megabyte of its own, spread over three
 * or four rounds, however many operations they have; an allocation of `run` is in every round. So
 * the median of many rounds tells the two apart.
 */
export function bytesPerOperation(run: (count: number) => void, count = 1_000_000): number {
  run(count);
  run(count);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = bytesOf(run, count);
    rounds.push(bytes - bytesOf(run, 0));
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]! / count;
}

function bytesOf(run: (count: number) => void, count: number): number {
  const before = allocated();
  run(count);
  return allocated() - before;
}

const allocated = (): number =>
  (getHeapStatistics() as unknown as { total_allocated_bytes: number }).total_allocated_bytes;
