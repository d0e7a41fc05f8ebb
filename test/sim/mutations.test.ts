/**
 * Bugs planted in the stack are found by the simulator: each day a few others of them (SEED
 * chooses), more where nothing may be left out. All of them take a quarter of an hour of two cores:
 * IX_MUTATIONS=1, or `node sim/mutate.ts`.
 */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { findMutation, mutated } from '../../sim/mutate.ts';
import { MUTATIONS } from '../../sim/mutations.ts';
import { Random } from '../../sim/random.ts';

const DAY = Math.floor(Date.now() / 86_400_000);
const SEED = Number(process.env['SEED'] ?? DAY);
const isComplete = process.env['IX_MUTATIONS'] === '1';
const SAMPLE = process.env['IX_REQUIRE_ALL'] === '1' ? 12 : 4;
const SEEDS_MAX = 1000;

test('mutations_atLeastTwenty_eachStandsInTheSource', () => {
  assert.ok(MUTATIONS.length >= 20);
  assert.equal(new Set(MUTATIONS.map((m) => m.name)).size, MUTATIONS.length);
  for (const mutation of MUTATIONS) mutated(mutation);
});

test('mutations_planted_areFound', { timeout: 1_200_000 }, async () => {
  const random = new Random(SEED);
  const order = MUTATIONS.map((mutation) => ({ mutation, key: random.word() }));
  order.sort((a, b) => a.key - b.key);
  const chosen = order.slice(0, isComplete ? MUTATIONS.length : SAMPLE);
  const missed: string[] = [];
  const work = async (): Promise<void> => {
    for (let next = chosen.pop(); next; next = chosen.pop()) {
      const found = await findMutation(next.mutation, SEEDS_MAX);
      if (!found) missed.push(next.mutation.name);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  assert.deepEqual(missed, [], `SEED=${SEED}`);
});
