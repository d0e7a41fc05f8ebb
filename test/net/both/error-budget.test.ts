/** ICMP errors: nobody uses up another's, nobody can count what others had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESTINATION_BURST, ERROR_BURST, ErrorBudget } from '../../../src/net/both/error-budget.ts';
import { makeEnvironment, passTime } from '../harness.ts';

function make(secret0 = 1) {
  const wireKey = [secret0, 2, 3, 4] as const;
  const env = makeEnvironment({ config: { secret0, wireKey } });
  return { env, budget: new ErrorBudget(env) };
}

/** How many of `tries` errors to one destination may leave. */
function granted(budget: ErrorBudget, w0: number, tries: number, w1 = 0): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (budget.take(w0, w1)) count++;
  return count;
}

test('oneDestination_floods_othersHaveTheirs', () => {
  const { env, budget } = make();
  let others = 0;
  for (let ms = 0; ms < 1000; ms++) {
    granted(budget, 5, 100);
    if (ms % 100 === 0) others += granted(budget, 1000 + ms, 3);
    passTime(env, 1000);
  }
  assert.ok(others >= 28, `${others} of 30`);
});

test('oneDestination_overTime_aboutTenASecond', () => {
  const { env, budget } = make();
  let count = 0;
  for (let ms = 0; ms < 20_000; ms++) {
    count += granted(budget, 5, 2);
    passTime(env, 1000);
  }
  assert.ok(count > 140 && count < 290, `${count} in 20 s`);
});

test('allDestinations_atOnceAndOverTime_areBounded', () => {
  const { env, budget } = make();
  let count = 0;
  for (let w0 = 0; w0 < 5000; w0++) count += granted(budget, w0, 1);
  assert.ok(count >= ERROR_BURST / 2 && count < ERROR_BURST * 2, `${count} at once`);
  count = 0;
  for (let ms = 0; ms < 1000; ms++) {
    for (let i = 0; i < 5; i++) count += granted(budget, ms * 5 + i, 1);
    passTime(env, 1000);
  }
  assert.ok(count > 700 && count < 1400, `${count} a second`);
});

test('addressesOfOneNetwork64_shareABucket', () => {
  const { budget } = make();
  let count = 0;
  for (let i = 0; i < 200; i++) count += granted(budget, 0x20010db8, 1, 7);
  assert.ok(count < 3 * DESTINATION_BURST, `${count}`);
  assert.ok(granted(budget, 0x20010db8, 5, 8) >= 4, 'the next network has its own');
});

test('countOfOthers_isNotInOnesOwn', () => {
  // an observer exhausts everybody's bucket and counts, after 20 or no errors to somebody else
  const seen = [0, 20].map((between) =>
    Array.from({ length: 40 }, (_, round) => {
      const { budget } = make(round + 1 + between * 1000);
      granted(budget, 5, between); // at most ten leave, whatever is tried
      let count = 0;
      for (let w0 = 100; w0 < 400; w0++) count += granted(budget, w0, 1);
      return count;
    }),
  );
  const [none, some] = seen as [number[], number[]];
  const overlap = none.filter((count) => count <= Math.max(...some)).length;
  assert.ok(overlap >= 5, `${overlap} of 40 cannot be told apart`);
  assert.ok(new Set(none).size > 8, 'no two runs are alike');
});

test('clock_isSetBackOrWraps_bucketsAreFull', () => {
  const { env, budget } = make();
  granted(budget, 5, 100);
  env.clock.ms = (env.clock.ms - 5) | 0;
  assert.ok(granted(budget, 5, 1) === 1);
});
