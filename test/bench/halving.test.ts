/** The search for a rate that holds: known curves, noise, and who cannot hold any. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Bracket,
  middleOf,
  ratioOfBrackets,
  runsOf,
  type Search,
  searchTogether,
} from '../../bench/paper/halving.ts';
import { Random } from '../../src/load/workload/random.ts';

const LOW = 20_000;

/** Contenders that hold up to a rate of their own; `mood` may change a run's mind. */
async function search(
  holdUpTo: Record<string, number>,
  more: Partial<Search> = {},
  mood: (holds: boolean, run: number) => boolean = (holds) => holds,
) {
  const order: { name: string; rate: number; point: number }[] = [];
  const contenders = Object.keys(holdUpTo).map((name) => ({ name, limit: 700_000 }));
  const brackets = await searchTogether(contenders, {
    ...{ lowRate: LOW, runs: 5, halvings: 6, reference: 'theirs', mayGoOn: () => true },
    measure: async (name, rate, point) => {
      order.push({ name, rate, point });
      return mood(rate <= holdUpTo[name]!, order.length);
    },
    ...more,
  });
  return { brackets, order };
}

const isAround = ({ holds, fails }: Bracket, rate: number): void =>
  assert.ok(holds <= rate && rate < fails, `${rate} is within ${holds} and ${fails}`);

test('search_knownCurves_bracketsEachRateByTheSameShare', async () => {
  const { brackets } = await search({ ours: 312_345, theirs: 52_000 });
  isAround(brackets['ours']!, 312_345);
  isAround(brackets['theirs']!, 52_000);
  const share = (700_000 / LOW) ** (1 / 2 ** 6);
  for (const { holds, fails } of Object.values(brackets)) {
    assert.ok(Math.abs(fails / holds / share - 1) < 0.001, `${fails / holds}`);
  }
});

test('search_contenders_runInTurn_allRunsAtTheLowRate', async () => {
  const { order } = await search({ ours: 100_000, theirs: 50_000 }, { halvings: 1 });
  const low = order.filter(({ point }) => point === 1);
  assert.equal(low.map(({ name }) => name).join(' '), 'ours theirs '.repeat(5).trim());
  assert.ok(low.every(({ rate }) => rate === LOW));
  const second = order.filter(({ point }) => point === 2);
  assert.equal(second.map(({ name }) => name).join(' '), 'ours theirs '.repeat(3).trim());
});

test('point_anyRunsOfFive_isWhatTheirMedianIs_andEndsWhenThatIsDecided', async () => {
  for (let pattern = 0; pattern < 32; pattern++) {
    const runs = Array.from({ length: 5 }, (_, i) => ((pattern >> i) & 1) === 1);
    let count = 0;
    const brackets = await searchTogether([{ name: 'a', limit: 80_000 }], {
      ...{ lowRate: LOW, runs: 5, halvings: 1, reference: 'a', mayGoOn: () => true },
      measure: async (_name, _rate, point) => (point === 1 ? true : runs[count++]!),
    });
    const held = runs.filter(Boolean).length;
    assert.deepEqual(brackets['a'], {
      holds: held >= 3 ? 40_000 : LOW,
      fails: held >= 3 ? 80_000 : 40_000,
    });
    const [good, bad] = [true, false].map((kind) => runs.slice(0, count).filter((x) => x === kind));
    assert.equal(Math.max(good!.length, bad!.length), 3, 'no run after the decision');
  }
});

test('search_oneRunInFiveLies_findsTheRate', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 30) + 1);
  console.log(`SEED=${seed}`);
  const random = new Random(seed);
  const found: number[] = [];
  for (let i = 0; i < 60; i++) {
    const { brackets } = await search({ ours: 312_345, theirs: 52_000 }, {}, (holds) =>
      random.unit() < 0.2 ? !holds : holds,
    );
    found.push(middleOf(brackets['ours']!));
  }
  found.sort((a, b) => a - b);
  const within = found.filter((rate) => rate > 312_345 / 1.1 && rate < 312_345 * 1.1);
  // A median of five lies once in 17 times: seven of them are all true two times of three.
  assert.ok(within.length >= 20, `${within.length} of 60: ${found.map(Math.round)}`);
  const middle = found[30]!;
  assert.ok(middle > 312_345 / 1.2 && middle < 312_345 * 1.2, `${middle}`);
});

test('low_referenceDoesNotHold_nobodyIsSearched', async () => {
  const { brackets, order } = await search({ ours: 400_000, theirs: 10_000 });
  assert.equal(order.length, 10);
  assert.deepEqual(brackets['theirs'], { holds: 0, fails: LOW });
  assert.equal(brackets['ours']!.holds, LOW);
  assert.equal(ratioOfBrackets(brackets['ours']!, brackets['theirs']!), undefined);
});

test('low_oursDoesNotHold_isNought_andTheOtherIsSearched', async () => {
  const { brackets, order } = await search({ ours: 10_000, theirs: 52_000 });
  assert.deepEqual(brackets['ours'], { holds: 0, fails: LOW });
  isAround(brackets['theirs']!, 52_000);
  assert.ok(order.every(({ name, point }) => name === 'theirs' || point === 1));
  const ratio = ratioOfBrackets(brackets['ours']!, brackets['theirs']!)!;
  assert.deepEqual([ratio.median, ratio.min], [0, 0]);
  assert.ok(ratio.max < 0.5);
});

test('ratio_ofBrackets_spansWhatTheyLeaveOpen', () => {
  const ratio = ratioOfBrackets({ holds: 300, fails: 330 }, { holds: 100, fails: 110 });
  assert.deepEqual(ratio, { median: 3, min: 300 / 110, max: 3.3 });
});

test('search_noTimeLeft_leavesTheBracketsAsTheyAre', async () => {
  const mayGoOn = (point: number) => point < 3;
  const { brackets, order } = await search({ ours: 312_345, theirs: 52_000 }, { mayGoOn });
  assert.equal(Math.max(...order.map(({ point }) => point)), 2);
  isAround(brackets['ours']!, 312_345);
});

test('runs_ofASearch_areCountedBeforeItBegins', () => {
  assert.deepEqual(runsOf({ runs: 5, halvings: 4 }, 2), { most: 50, least: 34 });
});
