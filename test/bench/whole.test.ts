/** The objective by whole runs on a made-up service: what is run, told, kept and claimed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeMachine } from '../../bench/harness/machine.ts';
import type { Context, Settings } from '../../bench/paper/experiment.ts';
import type { KvName } from '../../bench/paper/kv-load.ts';
import { summaryOf } from '../../bench/paper/markdown.ts';
import { summarise } from '../../bench/paper/report.ts';
import { metricAt } from '../../bench/paper/sweep.ts';
import { outcomeOf } from '../../bench/paper/whole.ts';
import { WholeRuns } from '../../bench/paper/whole-runs.ts';
import { resultOf } from '../load/fake-result.ts';

const SETTINGS: Settings = {
  ...{ level: 'full', rounds: 3, seconds: 1, warmupSeconds: 0 },
  ...{ serverCpu: 1, clientCpu: 0, idle: 'adaptive' },
};
const quiet = { share: 0.001, longestNs: 1_500_000 };

/** p99 of a queue: 50 us at rest, without bounds where its capacity is. */
const p99Of = (rate: number, capacity: number): number =>
  rate >= capacity ? 1e9 : Math.round(500 / (1 - rate / capacity)) * 100;

/** `p99Ns` says what a contender's n-th run at a rate has. */
async function search(
  p99Ns: (name: KvName, rate: number) => number,
  deadlineMs = Number.POSITIVE_INFINITY,
) {
  const said: string[] = [];
  const context: Context = {
    ...{ settings: SETTINGS, deadlineMs },
    progress: (line) => said.push(line),
  };
  let looks = 0;
  const whole = new WholeRuns(
    context,
    { runs: 5, seconds: 10, halvings: 6 },
    {
      load: async (name, rate, seconds) => {
        if (rate === 0) return resultOf([100_000], { messagesPerSecond: 600_000 });
        assert.equal(seconds, 10);
        const result = resultOf([p99Ns(name, rate)]);
        return { ...result, messagesPerSecond: rate * 0.99, offeredPerSecond: rate };
      },
      hiccups: async () => {
        looks++;
        return { server: quiet, client: quiet };
      },
    },
  );
  const brackets = await whole.search();
  return { outcome: outcomeOf('usr', whole.series, brackets, whole.looks), said, looks, brackets };
}

const CAPACITY = { ours: 400_000, memcached: 100_000 };

test('search_queuesOfKnownCapacity_findsWhereTheirTailReachesTheObjective', async () => {
  const { outcome, looks, brackets } = await search((name, rate) => p99Of(rate, CAPACITY[name]));
  // 50 us / (1 - rate / capacity) = 500 us at nine tenths.
  for (const name of ['ours', 'memcached'] as const) {
    const { holds, fails } = brackets[name]!;
    assert.ok(holds <= 0.9 * CAPACITY[name] && 0.9 * CAPACITY[name] <= fails, `${holds} ${fails}`);
    assert.ok(fails / holds < 1.06);
  }
  const slo = outcome.ratios['sloWholeVsMemcachedUsr']!;
  assert.ok(slo.min <= 4 && 4 <= slo.max && slo.min > 3.7 && slo.max < 4.3, JSON.stringify(slo));
  const low = outcome.ratios['lowWholeP99VsMemcachedUsr']!;
  assert.ok(Math.abs(low.median - 526 / 625) < 0.01, JSON.stringify(low));
  assert.equal(outcome.voids, undefined);
  assert.equal(looks, 7, 'the machine is looked at before every point');
  assert.match(outcome.notes[0]!, /worst of 7 looks.*0\.10 %.*longest 1\.5 ms/);
  assert.match(outcome.notes[1]!, /^ours, kv: [\d,]+ \/s within the objective/);
});

test('search_everyRun_isKeptAndTold', async () => {
  const { outcome, said } = await search((name, rate) => p99Of(rate, CAPACITY[name]));
  assert.match(said[0]!, /7 points of 5 runs of 10 s each for 2 contenders: 14 to 21 minutes/);
  assert.equal(metricAt(outcome.series, 'ours', 'wholeP99Ns', 20_000)!.values.length, 5);
  assert.deepEqual(metricAt(outcome.series, 'ours', 'wholeP99Ns', 20_000)!.rounds, [1, 2, 3, 4, 5]);
  const runs = said.filter((line) => /point \d of 7, run \d of 5: \w+ at .* \/s: p99/.test(line));
  const values = outcome.series.flatMap(({ points }) =>
    points.map(({ metrics }) => metrics['wholeP99Ns']!.values.length),
  );
  assert.equal(
    runs.length,
    values.reduce((a, b) => a + b),
  );
  assert.match(runs[0]!, /ours at 20,000 \/s: p99 52\.\d us, holds; at most 21 min left/);
});

test('search_twoBadRunsOfFive_changeNothing', async () => {
  const runs = new Map<string, number>();
  const unlucky = (name: KvName, rate: number): number => {
    const run = runs.get(`${name} ${rate}`) ?? 0;
    runs.set(`${name} ${rate}`, run + 1);
    return run < 2 ? 4e6 : p99Of(rate, CAPACITY[name]);
  };
  const { outcome } = await search(unlucky);
  const slo = outcome.ratios['sloWholeVsMemcachedUsr']!;
  assert.ok(slo.min <= 4 && 4 <= slo.max, JSON.stringify(slo));
});

test('memcachedBeyondTheObjectiveAtTheLowRate_isVoid_andNothingIsClaimed', async () => {
  const { outcome, said } = await search((name) => (name === 'memcached' ? 930_000 : 80_000));
  assert.equal(said.filter((line) => /point/.test(line)).length, 1 + 10);
  assert.ok(!('sloWholeVsMemcachedUsr' in outcome.ratios));
  assert.ok('lowWholeP99VsMemcachedUsr' in outcome.ratios, 'what was measured is said');
  assert.match(outcome.voids!['sloWholeVsMemcachedUsr']!, /memcached itself has p99 9\d\d\.\d us/);
  const texts = { title: 't', paper: 'p', ours: 'o', differs: 'd', seconds: 1 };
  const report = summarise(describeMachine(), SETTINGS, { slousr: { ...texts, ...outcome } }, 60);
  const target = report.targets.find(({ ratio }) => ratio === 'sloWholeVsMemcachedUsr')!;
  assert.equal(target.verdict, 'void');
  assert.match(summaryOf(report), /\| - \| void: memcached itself has p99 9\d\d/);
});

test('oursBeyondTheObjectiveAtTheLowRate_isNought_notVoid', async () => {
  const { outcome } = await search((name, rate) =>
    name === 'ours' ? 920_000 : p99Of(rate, CAPACITY.memcached),
  );
  assert.equal(outcome.ratios['sloWholeVsMemcachedUsr']!.median, 0);
  assert.equal(outcome.voids, undefined);
  assert.match(outcome.notes[1]!, /no rate within the objective/);
});

test('run_failsOnce_isRepeated_failsTwice_hasNotHeld', async () => {
  let failures = 1;
  const once = await search((name, rate) => {
    if (failures-- > 0) throw new Error('connection 0 ended');
    return p99Of(rate, CAPACITY[name]);
  });
  assert.deepEqual(once.outcome.series[0]!.failures, ['at 20000: again: connection 0 ended']);
  assert.ok(once.brackets['ours']!.holds > 300_000);
  const never = await search((name, rate) => {
    if (name === 'ours' && rate > 100_000) throw new Error('no answer');
    return p99Of(rate, CAPACITY[name]);
  });
  assert.ok(never.brackets['ours']!.fails > 100_000 && never.brackets['ours']!.holds <= 100_000);
});

test('deadlinePassed_afterTheLowRate_leavesTheRestAndSaysSo', async () => {
  const { outcome, brackets } = await search((name, rate) => p99Of(rate, CAPACITY[name]), 0);
  assert.deepEqual(brackets['ours'], { holds: 20_000, fails: 660_000 });
  assert.match(outcome.series[0]!.failures[0]!, /no time left for point 2/);
  assert.equal(metricAt(outcome.series, 'ours', 'keptRatio', 20_000)!.median, 1);
});
