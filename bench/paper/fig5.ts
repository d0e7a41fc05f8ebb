/**
 * Fig. 5 and Table 2: memcached under the workloads ETC and USR, latency against throughput, and
 * the highest rate with a 99th percentile of at most 500 us.
 *
 * - The paper: mutilate, 23 client machines for load and one that measures, memcached 1.4.18 on IX
 *   and on Linux, 6 or 8 cores: 3.6x (USR) and 2.8x (ETC) the throughput of Linux within the
 *   objective, half the tail at low load.
 * - Ours: our kv, Debian's memcached (one thread) and a Node store on the kernel's TCP, one server
 *   core; our generator (src/load) on the other core, open loop, Poisson-like arrivals of the
 *   workload, timed from when a request was due.
 * - Differs: our store is not memcached itself; one client core makes all of the load, and where it
 *   falls behind that counts against the server.
 *
 * The objective is searched by halving. A virtual machine takes cores away for whole milliseconds,
 * which above 1 % of the time is a 99th percentile of milliseconds, whoever serves. So how often it
 * does is measured beside it (hiccups.c), and a run is cut into WINDOWS, of which the quietest
 * quarter judges, for everybody. By the whole run, as in the paper, stands beside it (wholeP99Ns,
 * sloWholePerSecond).
 */
import type { LoadResult } from '../../src/load/result/result.ts';
import { peerNamed } from '../harness/peers.ts';
import type { Sample } from '../harness/rounds.ts';
import { byLevel, type Context, type Experiment, type Outcome } from './experiment.ts';
import { describeHiccups, hiccupsOf } from './hiccups.ts';
import {
  DEPTH,
  hasSent,
  kvPlan,
  LOW_RATE,
  loadKv,
  OBJECTIVE_NS,
  type Workload,
} from './kv-load.ts';
import {
  type Measure,
  metricAt,
  oursLine,
  peerLine,
  present,
  type Round,
  ratioOfMetrics,
  sweep,
} from './sweep.ts';

/**
 * Of the measured time; a run at a rate is measured longer than others, because most of its windows
 * may be disturbed.
 */
const WINDOWS = 16;
const LONGER = 2;
/**
 * Its warm-up is longer as well: every run is a new generator, and one that V8 still compiles for
 * is what would be measured.
 */
const WARMER = 2;
const HICCUPS_MS = 3000;
/** Points that are no rates of the curve. */
const LOW = 0;
const CLOSED = 1000;
const SLO = 500;

const experiment = (workload: Workload, factor: string, values: string): Experiment => ({
  name: `fig5${workload}`,
  title: `memcached, ${workload.toUpperCase()}: latency against throughput (Fig. 5, Table 2)`,
  paper:
    `memcached on IX and on Linux under mutilate's ${workload.toUpperCase()} (${values}): ` +
    `${factor} the throughput with p99 <= 500 us, and half the tail at low load.`,
  ours:
    'kv, memcached -t 1 and a Node store, one server core; open loop, 64 connections of at most ' +
    `${DEPTH} requests in flight, timed from when a request was due; 20,000 records. The highest ` +
    `rate within the objective is found by halving. A run is cut into ${WINDOWS} windows, and ` +
    'its 99th percentile is one that a quarter of them keep, for everybody ("whole": by the ' +
    'whole run).',
  differs:
    'Our store is not memcached itself. All load comes from one core; where that core falls behind, it counts against the server.',
  run: (context) => run(context, workload),
});

export const fig5etc = experiment(
  'etc',
  '2.8x',
  'keys of 36 B, values of 195 B on average, 3 % SETs',
);
export const fig5usr = experiment('usr', '3.6x', 'keys of 19 B, values of 2 B, 0.2 % SETs');

async function run(context: Context, workload: Workload): Promise<Outcome> {
  const limited = { ...context, settings: { ...context.settings, rounds: 1 } };
  const measure: Measure = (address, round) => curve(limited, workload, address, round);
  const plan = kvPlan(context.settings);
  const { level } = context.settings;
  const hiccups =
    level === 'quick' ? [] : [describeHiccups([await hiccupsOf(context.settings, HICCUPS_MS)])];
  const series = await sweep(
    [
      oursLine('ours', 'ours, kv', plan, measure),
      peerLine(peerNamed('memcached'), limited, measure),
      ...(level === 'quick' ? [] : [peerLine(peerNamed('nodeKv'), limited, measure)]),
      ...(level === 'full' && workload === 'usr'
        ? [oursLine('oursProcess', 'ours, domain process', { ...plan, domain: 'process' }, measure)]
        : []),
    ],
    limited,
  );
  const ratio = (mine: string, theirs: string, metric: string, x: number) =>
    ratioOfMetrics(metricAt(series, mine, metric, x), metricAt(series, theirs, metric, x));
  const name = workload === 'etc' ? 'Etc' : 'Usr';
  const rate = { label: 'requests/s', metric: 'messagesPerSecond' };
  return {
    series,
    charts: [
      {
        title: '99th percentile',
        kind: 'lines',
        x: rate,
        y: { label: 'us', metric: 'p99Ns', scale: 1e-3, log: true },
      },
      {
        title: 'Median',
        kind: 'lines',
        x: rate,
        y: { label: 'us', metric: 'p50Ns', scale: 1e-3, log: true },
      },
    ],
    ratios: present({
      [`sloVsMemcached${name}`]: ratio('ours', 'memcached', 'sloPerSecond', SLO),
      [`sloVsNode${name}`]: ratio('ours', 'nodeKv', 'sloPerSecond', SLO),
      [`lowP99VsMemcached${name}`]: ratio('ours', 'memcached', 'lowP99Ns', LOW),
      [`sloProcessVsInline${name}`]: ratio('oursProcess', 'ours', 'sloPerSecond', SLO),
    }),
    notes: [
      ...hiccups,
      ...(level === 'quick' ? ['Left out of a quick run: the Node store.'] : []),
      ...series.flatMap(({ title, points }) => {
        const slo = points.find(({ x }) => x === SLO)?.metrics['sloPerSecond'];
        const rate = slo && Math.round(slo.median).toLocaleString('en');
        return rate ? [`${title}: ${rate} requests/s with p99 <= 500 us`] : [];
      }),
    ],
  };
}

/** Percent of the closed loop's rate: the points of the curve. */
const percentsOf = (context: Context): number[] =>
  byLevel(context, [20, 40, 60, 80], [30, 60, 85], []);

async function curve(
  context: Context,
  workload: Workload,
  host: string,
  { point, add }: Round,
): Promise<void> {
  const at = (rate: number, fill: 'yes' | 'no') => load(context, workload, host, rate, fill);
  // Stores the records, and says what the server can do at all.
  const closed = await at(0, 'yes');
  add(CLOSED, { closedPerSecond: closed.messagesPerSecond });
  await point(LOW, async () => {
    const result = await at(LOW_RATE, 'no');
    const { p50Ns, p99Ns } = result.latency;
    return { lowP50Ns: p50Ns, lowP99Ns: quietP99(result), lowWholeP99Ns: p99Ns };
  });
  const kept: Kept = { best: 0, bestWhole: 0, worst: closed.messagesPerSecond * 1.1 };
  for (const percent of percentsOf(context)) {
    await point(percent, async () => {
      const result = await at((closed.messagesPerSecond * percent) / 100, 'no');
      note(kept, result);
      return sampleOf(result);
    });
  }
  await point(SLO, async () => {
    const steps = byLevel(context, 4, 4, 5);
    for (let i = 0; i < steps; i++) {
      const rate = (kept.best + kept.worst) / 2;
      note(kept, await at(rate, 'no'));
    }
    return { sloPerSecond: kept.best, sloWholePerSecond: kept.bestWhole };
  });
}

/** The highest rate known to keep the objective, and the lowest above it known not to. */
interface Kept {
  best: number;
  /** By the whole run. */
  bestWhole: number;
  worst: number;
}

function note(kept: Kept, result: LoadResult): void {
  const { messagesPerSecond, offeredPerSecond = 0 } = result;
  const sent = hasSent(result);
  if (sent && result.latency.p99Ns <= OBJECTIVE_NS) {
    kept.bestWhole = Math.max(kept.bestWhole, messagesPerSecond);
  }
  if (sent && quietP99(result) <= OBJECTIVE_NS) {
    kept.best = Math.max(kept.best, messagesPerSecond);
  } else if (offeredPerSecond > kept.best) {
    kept.worst = Math.min(kept.worst, offeredPerSecond);
  }
}

/** 99th percentile, ns, that a quarter of the windows keep. */
function quietP99({ windows = [] }: LoadResult): number {
  const sorted = windows.map(({ p99Ns }) => p99Ns).sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length / 4) - 1] ?? Number.POSITIVE_INFINITY;
}

const sampleOf = (result: LoadResult): Sample => ({
  messagesPerSecond: result.messagesPerSecond,
  p50Ns: result.latency.p50Ns,
  p99Ns: quietP99(result),
  wholeP99Ns: result.latency.p99Ns,
  ...(result.lag === undefined ? {} : { lagP99Ns: result.lag.p99Ns }),
  ...(result.service === undefined ? {} : { serviceP99Ns: result.service.p99Ns }),
});

const load = (
  { settings }: Context,
  workload: Workload,
  host: string,
  rate: number,
  fill: 'yes' | 'no',
): Promise<LoadResult> => {
  const isOpen = rate > 0;
  const { warmupSeconds, seconds } = settings;
  return loadKv(settings, workload, host, {
    ...{ rate, fill, windows: WINDOWS },
    warmupMs: Math.round(warmupSeconds * (isOpen ? WARMER : 1) * 1000),
    durationMs: Math.round(seconds * (isOpen ? LONGER : 1) * 1000),
  });
};
