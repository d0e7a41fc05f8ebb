/**
 * Table 2 by whole runs: the highest rate of memcached's workloads with a 99th percentile of at
 * most 500 us, no windows, and the whole-run percentile at a low rate.
 *
 * The paper reports the 99th percentile of whole runs, and so do those who quote it. Ours: the load
 * of fig5.ts, but a point is 5 runs of 10 s, ours and memcached's in turn, and holds when the
 * median run holds (halving.ts). Each run has a server and a generator that have just been started
 * and warmed up, so that no run is the heir of another.
 *
 * - The generator sleeps while nothing is due, against everybody: one that spins leaves no core but
 *   the server's to whoever else has something to do. How late it wakes is in every latency.
 * - Void where memcached itself does not keep the objective at the low rate in its median run: such
 *   a machine takes its cores away too often for anybody to be judged by whole runs.
 * - How much it takes is measured before every point (hiccups.c), and stands beside the figures.
 * - It takes long, so it says before it begins for how long at most, and at each run how it went.
 */
import { peerNamed } from '../harness/peers.ts';
import { formatMetric } from '../harness/rounds.ts';
import type { Context, Experiment, Level, Outcome, Series, Settings } from './experiment.ts';
import { type Bracket, ratioOfBrackets } from './halving.ts';
import { describeHiccups, type HiccupsOfBoth, hiccupsOf } from './hiccups.ts';
import { DEPTH, type KvName, LOW_RATE, loadKv, onKv, WARMUP_MS, type Workload } from './kv-load.ts';
import { metricAt, present, ratioOfMetrics } from './sweep.ts';
import { type Service, type WholePlan, WholeRuns } from './whole-runs.ts';

const PLAN: Record<Level, WholePlan> = {
  full: { runs: 5, seconds: 10, halvings: 6 },
  short: { runs: 5, seconds: 10, halvings: 4 },
  quick: { runs: 3, seconds: 1, halvings: 2 },
};
const HICCUPS_MS = 2000;

const experiment = (workload: Workload, paper: string): Experiment => ({
  name: `slo${workload}`,
  title: `memcached, ${workload.toUpperCase()}: the objective by whole runs (Table 2)`,
  paper,
  ours:
    'As in figure 5, open loop, 64 connections of at most ' +
    `${DEPTH} requests in flight, timed from when a request was due. ${PLAN.full.runs} runs of ` +
    `${PLAN.full.seconds} s a point, in turn, server and generator started anew for each; a point ` +
    'holds when the median run has p99 <= 500 us, no windows. Found by halving.',
  differs:
    'Our store is not memcached itself. All load comes from one core; where that core falls behind, it counts against the server.',
  run: (context) => run(context, workload),
});

export const sloUsr = experiment('usr', '3.6x the throughput of Linux within p99 <= 500 us.');
export const sloEtc = experiment('etc', '2.8x the throughput of Linux within p99 <= 500 us.');

async function run({ settings, ...rest }: Context, workload: Workload): Promise<Outcome> {
  const plan = PLAN[settings.level];
  const halvings = settings.points ?? plan.halvings;
  const service = serviceOf(settings, workload);
  const whole = new WholeRuns({ settings, ...rest }, { ...plan, halvings }, service);
  const missing = peerNamed('memcached').missing();
  if (missing !== undefined) {
    whole.series[1]!.missing = missing;
    return outcomeOf(workload, whole.series, {}, []);
  }
  const brackets = await whole.search();
  return outcomeOf(workload, whole.series, brackets, whole.looks);
}

/** Server and generator on a link of their own, for each run. */
const serviceOf = (settings: Settings, workload: Workload): Service => ({
  hiccups: () => hiccupsOf(settings, HICCUPS_MS),
  load: (name, rate, seconds) => {
    const times = { warmupMs: WARMUP_MS, durationMs: seconds * 1000 };
    const point = { rate, fill: 'yes', sleeps: rate > 0 ? 'yes' : 'no', ...times } as const;
    return onKv(settings, name, (host) => loadKv(settings, workload, host, point));
  },
});

/** What the runs say; who has no bracket was not measured. */
export function outcomeOf(
  workload: Workload,
  series: Series[],
  brackets: Record<string, Bracket>,
  looks: readonly HiccupsOfBoth[],
): Outcome {
  const name = workload === 'etc' ? 'Etc' : 'Usr';
  const low = (who: KvName) => metricAt(series, who, 'wholeP99Ns', LOW_RATE);
  const slo = `sloWholeVsMemcached${name}`;
  const { ours, memcached } = brackets;
  const ratio = ours && memcached ? ratioOfBrackets(ours, memcached) : undefined;
  const lowRatio = ratioOfMetrics(low('ours'), low('memcached'));
  const theirs = formatMetric('Ns', low('memcached')?.median ?? 0);
  const isVoid = memcached?.holds === 0;
  const reason = `memcached itself has p99 ${theirs} at ${LOW_RATE}/s here`;
  return {
    series,
    charts: [
      {
        title: '99th percentile of whole runs',
        kind: 'lines',
        x: { label: 'requests/s', log: true },
        y: { label: 'us', metric: 'wholeP99Ns', scale: 1e-3, log: true },
      },
    ],
    ratios: present({ [slo]: ratio, [`lowWholeP99VsMemcached${name}`]: lowRatio }),
    ...(isVoid ? { voids: { [slo]: reason } } : {}),
    notes: [
      ...(looks.length > 0 ? [describeHiccups(looks)] : []),
      ...series.flatMap(({ name, title }) => {
        const bracket = brackets[name];
        return bracket && !isVoid ? [`${title}: ${describeBracket(bracket)}`] : [];
      }),
    ],
  };
}

function describeBracket({ holds, fails }: Bracket): string {
  const [kept, lost] = [holds, fails].map((rate) => formatMetric('PerSecond', rate));
  if (holds === 0) return `no rate within the objective was found; ${lost} is not`;
  return `${kept} within the objective, ${lost} not any more`;
}
