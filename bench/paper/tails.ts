/**
 * What the tail is made of: runs of memcached's workloads against ours and against memcached, and
 * what their slowest requests waited for.
 *
 * - The paper has no such table. Ours: the load of whole.ts at its low rate; the `worst` slowest
 *   requests of each run are laid beside the stalls of the threads that are ours (tail-causes.ts),
 *   and all stalls of the measured time are summed.
 * - Keeping stalls costs the threads a comparison an iteration and two system calls a slice: the
 *   rows say what happened, not what the percentiles would be without.
 * - Beside it what the machine counts of the same seconds: time that the host took (/proc/stat),
 *   soft interrupts of each kind (/proc/softirqs), segments sent again (/proc/net/snmp).
 *
 * Called by bench/tails.ts and bench/paper.ts.
 */
import { readFileSync } from 'node:fs';
import type { LoadResult } from '../../src/load/result/result.ts';
import { peerNamed } from '../harness/peers.ts';
import { formatMetric } from '../harness/rounds.ts';
import type { Server } from '../harness/run.ts';
import type { Experiment, Settings, Table } from './experiment.ts';
import {
  KV_NAMES,
  type KvName,
  LOW_RATE,
  loadKv,
  onKv,
  WARMUP_MS,
  type Workload,
} from './kv-load.ts';
import { type Row, rowsOf, type StallRow, stallRowsOf, stallsOf } from './tail-causes.ts';

export interface TailPlan {
  workload: Workload;
  /** Requests a second. */
  rate: number;
  seconds: number;
  /** So many of the slowest requests are explained. */
  worst: number;
  /** The shortest stall that is kept. */
  stallUs: number;
}

export const TAIL_PLAN: Omit<TailPlan, 'workload'> = {
  ...{ rate: LOW_RATE, seconds: 10, worst: 100, stallUs: 100 },
};

export interface Tail {
  title: string;
  messagesPerSecond: number;
  p50Ns: number;
  p99Ns: number;
  lagP99Ns: number;
  /** Of the slowest requests. */
  rows: Row[];
  /** Of all stalls of the measured time. */
  stalls: StallRow[];
  counted: Record<string, number>;
}

const tails: Experiment = {
  name: 'tails',
  title: 'What the tail is made of',
  paper: 'Nothing of the kind.',
  ours:
    `The slowest ${TAIL_PLAN.worst} requests of runs of ${TAIL_PLAN.seconds} s at ${LOW_RATE}/s, ` +
    'each with what its thread was kept by: a percentile of a whole run is a share of its time, ' +
    'so below them stand all stalls of that time from ' +
    `${TAIL_PLAN.stallUs} us up. Requests that wait together share a stall.`,
  differs:
    "memcached's own stalls nobody keeps: beside it only the generator's, which is the same for both.",
  run: async ({ settings, deadlineMs, progress }) => {
    const tables: Table[] = [];
    for (const workload of ['usr', 'etc'] as const) {
      for (const name of KV_NAMES) {
        if (performance.now() > deadlineMs) continue;
        progress(`  ${workload}, ${name}`);
        const tail = await tailOf(settings, name, { ...TAIL_PLAN, workload });
        tables.push(...tablesOf(tail, `${workload.toUpperCase()}, `));
      }
    }
    return { series: [], charts: [], ratios: {}, notes: [], tables };
  },
};
export default tails;

export async function tailOf(
  settings: Settings,
  name: KvName,
  { workload, rate, seconds, worst, stallUs }: TailPlan,
): Promise<Tail> {
  let ofGenerator: readonly number[] = [];
  let ofServer: readonly number[] = [];
  const before = machineCounts();
  const measure = async (host: string, server: Server): Promise<LoadResult> => {
    const loaded = await loadKv(settings, workload, host, {
      ...{ rate, fill: 'yes', warmupMs: WARMUP_MS, sleeps: 'yes' },
      ...{ durationMs: seconds * 1000, worst, stallUs },
      onStalls: (stalls) => (ofGenerator = stalls),
    });
    ofServer = (await server.stalls?.()) ?? [];
    return loaded;
  };
  const result = await onKv(settings, name, measure, stallUs);
  const counted = difference(machineCounts(), before);
  return tailFrom(name === 'ours' ? 'ours, kv' : peerNamed(name).title, result, counted, [
    { who: 'server', stalls: stallsOf(ofServer) },
    { who: 'generator', stalls: stallsOf(ofGenerator) },
  ]);
}

const tailFrom = (
  title: string,
  { messagesPerSecond, latency, lag, worst = [], measuredMs = [0, 0] }: LoadResult,
  counted: Record<string, number>,
  whoStalls: Parameters<typeof rowsOf>[1],
): Tail => ({
  ...{ title, messagesPerSecond, p50Ns: latency.p50Ns, p99Ns: latency.p99Ns },
  ...{ lagP99Ns: lag?.p99Ns ?? 0, rows: rowsOf(worst, whoStalls), counted },
  stalls: stallRowsOf(measuredMs, whoStalls),
});

/** Of the whole machine: milliseconds that the host took, soft interrupts, segments sent again. */
function machineCounts(): Record<string, number> {
  const counts: Record<string, number> = {};
  const cpu = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.split(/\s+/);
  counts['stealMs'] = Number(cpu[8]) * 10;
  for (const line of readFileSync('/proc/softirqs', 'utf8').trim().split('\n').slice(1)) {
    const [kind = '', ...each] = line.trim().split(/\s+/);
    counts[`softirq ${kind.replace(':', '')}`] = each.reduce((sum, n) => sum + Number(n), 0);
  }
  const [names, values] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  counts['RetransSegs'] = Number(values?.[names?.indexOf('RetransSegs') ?? -1] ?? 0);
  return counts;
}

const difference = (after: Record<string, number>, before: Record<string, number>) =>
  Object.fromEntries(
    Object.entries(after)
      .map(([name, value]) => [name, value - (before[name] ?? 0)] as const)
      .filter(([, value]) => value > 0),
  );

const count = (n: number): string => n.toLocaleString('en');

export function tablesOf(tail: Tail, prefix = ''): Table[] {
  const { title, messagesPerSecond, p50Ns, p99Ns, lagP99Ns, rows, stalls, counted } = tail;
  const percentiles = Object.entries({ p50: p50Ns, p99: p99Ns, 'sent late p99': lagP99Ns });
  const said = percentiles.map(([name, ns]) => `${name} ${formatMetric('Ns', ns)}`).join(', ');
  const machine = Object.entries(counted).map(([name, value]) => `${name} ${count(value)}`);
  return [
    {
      title: `${prefix}${title}: ${formatMetric('PerSecond', messagesPerSecond)}, ${said}`,
      head: [
        'slowest',
        'stalls',
        'median us',
        'longest us',
        'whose thread',
        'what they waited for',
      ],
      rows: rows.map((row) => [
        ...[row.count, row.stalls, row.medianUs, row.longestUs].map(count),
        ...[row.who || '-', row.what],
      ]),
    },
    {
      title: `${prefix}${title}: all stalls; meanwhile ${machine.join(', ')}`,
      head: ['stalls', '% of the time', 'longest us', 'whose thread', 'what kept it'],
      rows: stalls.map((row) => [
        ...[count(row.count), (row.share * 100).toFixed(2), count(row.longestUs)],
        ...[row.who, row.what],
      ]),
    },
  ];
}
