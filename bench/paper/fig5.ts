/**
 * Fig. 5 and Table 2: memcached under the workloads ETC and USR, latency against throughput, and the highest rate with a
 * 99th percentile of at most 500 us.
 *
 * The paper: mutilate, 23 client machines for load and one that measures, memcached 1.4.18 on IX and on Linux, 6 or 8 cores:
 * 3.6x (USR) and 2.8x (ETC) the throughput of Linux within the objective, half the tail at low load.
 * Ours: our kv, Debian's memcached (one thread) and a Node store on the kernel's TCP, one server core; our generator
 * (src/load) on the other core, open loop, Poisson-like arrivals of the workload, timed from when a request was due.
 * Differs: our store is not memcached itself; one client core makes all of the load, and where it falls behind that counts
 * against the server (requests are timed from when they were due). The objective is searched by halving.
 */
import { runPoint } from '../../src/load/point.ts';
import type { LoadResult } from '../../src/load/result.ts';
import { CLIENT_ADDRESS, CLIENT_LINK, PREFIX_LENGTH } from '../harness/network.ts';
import { peerNamed } from '../harness/peers.ts';
import type { Sample } from '../harness/rounds.ts';
import { KV_PORT } from './clients.ts';
import { byLevel, type Context, type Experiment, type Outcome } from './experiment.ts';
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

const OBJECTIVE_NS = 500_000;
const CONNECTIONS = 64;
const DEPTH = 4;
const MEMORY_MIB = 1024;
const LOW_RATE = 20_000;
/** Points that are no rates of the curve. */
const LOW = 0;
const CLOSED = 1000;
const SLO = 500;

type Workload = 'etc' | 'usr';

const experiment = (workload: Workload, factor: string, values: string): Experiment => ({
  name: `fig5${workload}`,
  title: `memcached, ${workload.toUpperCase()}: latency against throughput (Fig. 5, Table 2)`,
  paper: `memcached on IX and on Linux under mutilate's ${workload.toUpperCase()} (${values}): ${factor} the throughput with p99 <= 500 us, and half the tail at low load.`,
  ours: `kv, memcached -t 1 and a Node store, one server core; open loop, 64 connections of at most ${DEPTH} requests in flight, timed from when a request was due; 20,000 records. The highest rate within the objective is found by halving.`,
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
  const { serverCpu: cpu, idle } = context.settings;
  const rounds = byLevel(context, 2, 1, 1);
  const limited = { ...context, settings: { ...context.settings, rounds } };
  const measure: Measure = (address, round) => curve(limited, workload, address, round);
  const plan = { app: 'kv', cpu, idle, memory: MEMORY_MIB, domain: 'inline' } as const;
  const { level } = context.settings;
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
    notes: series.flatMap(({ title, points }) => {
      const slo = points.find(({ x }) => x === SLO)?.metrics['sloPerSecond'];
      return slo
        ? [`${title}: ${Math.round(slo.median).toLocaleString('en')} requests/s with p99 <= 500 us`]
        : [];
    }),
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
    const { p50Ns, p99Ns } = (await at(LOW_RATE, 'no')).latency;
    return { lowP50Ns: p50Ns, lowP99Ns: p99Ns };
  });
  const kept: Kept = { best: 0, worst: closed.messagesPerSecond * 1.1 };
  for (const percent of percentsOf(context)) {
    await point(percent, async () => {
      const result = await at((closed.messagesPerSecond * percent) / 100, 'no');
      note(kept, result);
      return sampleOf(result);
    });
  }
  await point(SLO, async () => {
    const steps = byLevel(context, 4, 4, 5);
    for (let i = 0; i < steps; i++) note(kept, await at((kept.best + kept.worst) / 2, 'no'));
    return { sloPerSecond: kept.best };
  });
}

/** The highest rate known to keep the objective, and the lowest above it known not to. */
interface Kept {
  best: number;
  worst: number;
}

/** A run that did not send what was due has not kept it either. */
function note(kept: Kept, { latency, messagesPerSecond, offeredPerSecond = 0 }: LoadResult): void {
  const isKept = latency.p99Ns <= OBJECTIVE_NS && messagesPerSecond >= offeredPerSecond * 0.97;
  if (isKept) kept.best = Math.max(kept.best, messagesPerSecond);
  else if (offeredPerSecond > kept.best) kept.worst = Math.min(kept.worst, offeredPerSecond);
}

const sampleOf = ({ latency, messagesPerSecond, lag, service }: LoadResult): Sample => ({
  messagesPerSecond,
  p50Ns: latency.p50Ns,
  p99Ns: latency.p99Ns,
  ...(lag === undefined ? {} : { lagP99Ns: lag.p99Ns }),
  ...(service === undefined ? {} : { serviceP99Ns: service.p99Ns }),
});

const load = (
  { settings }: Context,
  workload: Workload,
  host: string,
  rate: number,
  fill: 'yes' | 'no',
): Promise<LoadResult> =>
  runPoint({
    settings: {
      ...{ host, port: KV_PORT, workload, connections: CONNECTIONS, depth: DEPTH, fill },
      ...{ rate: Math.max(0, Math.round(rate)), records: 20_000 },
      warmupMs: Math.round(settings.warmupSeconds * 1000),
      durationMs: Math.round(settings.seconds * 1000),
    },
    carrier: {
      via: 'dataplane',
      nic: CLIENT_LINK,
      ip: `${CLIENT_ADDRESS}/${PREFIX_LENGTH}`,
      cpu: settings.clientCpu,
      xdp: 'generic',
    },
  });
