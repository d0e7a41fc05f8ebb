/**
 * `ix bench tails`: one run of a memcached workload against ours and against memcached, and what
 * its slowest requests waited for: the table "what the tail is made of".
 *
 * - `--trace-worst N` requests each are laid beside the stalls of the threads that are ours
 *   (paper/tail-causes.ts). Keeping stalls costs the threads a comparison an iteration and two
 *   system calls a slice: the rows say what happened, not what the percentiles would be without.
 * - Beside it what the machine counts of the same seconds: time that the host took (/proc/stat),
 *   soft interrupts of each kind (/proc/softirqs), segments sent again (/proc/net/snmp).
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { LoadResult } from '../src/load/result/result.ts';
import { exitsBySignal, progress } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, number, oneOf, policy, readOptions } from './harness/options.ts';
import { peerNamed } from './harness/peers.ts';
import { formatMetric } from './harness/rounds.ts';
import type { Server } from './harness/run.ts';
import type { Settings } from './paper/experiment.ts';
import {
  KV_NAMES,
  type KvName,
  loadKv,
  onKv,
  WARMUP_MS,
  WORKLOADS,
  type Workload,
} from './paper/kv-load.ts';
import { type Row, rowsOf, stallsOf } from './paper/tail-causes.ts';

interface Options {
  rate: number;
  seconds: number;
  workload: Workload;
  traceWorst: number;
  stallUs: number;
  idle: Settings['idle'];
  json: boolean;
}

interface Tail {
  title: string;
  messagesPerSecond: number;
  p50Ns: number;
  p99Ns: number;
  lagP99Ns: number;
  rows: Row[];
  counted: Record<string, number>;
}

export default async function tails(args: string[]): Promise<void> {
  const command = new Command('ix bench tails')
    .description('what the slowest requests of a run waited for; about 40 seconds')
    .option('--rate <count>', 'requests a second', number(1, 10_000_000, false), 20_000)
    .option('--seconds <time>', 'measured time', number(1, 600, false), 10)
    .option('--workload <name>', 'usr or etc', oneOf(WORKLOADS), 'usr')
    .option('--trace-worst <count>', 'slowest requests explained', number(1, 10_000, true), 100)
    .option('--stall-us <time>', 'shortest stall that is kept', number(20, 100_000, true), 100)
    .option('--idle <policy>', 'idle policy of our server', policy, 'adaptive')
    .option('--json', 'print one JSON object', false);
  if (!readOptions(command, args)) return;
  const options = command.opts<Options>();
  needTwoCores();
  const restore = exitsBySignal();
  try {
    enterPrivateNetwork();
    const machine = describeMachine();
    const found: Tail[] = [];
    for (const name of KV_NAMES) {
      progress(`tails: ${name}, about ${Math.round(options.seconds + 9)} s`);
      found.push(await tailOf(name, options));
    }
    console.log(options.json ? JSON.stringify({ bench: 'tails', machine, found }) : textOf(found));
  } finally {
    restore();
  }
}

async function tailOf(name: KvName, options: Options): Promise<Tail> {
  const settings: Settings = {
    ...{ level: 'full', rounds: 1, seconds: options.seconds, warmupSeconds: WARMUP_MS / 1000 },
    ...{ serverCpu: 1, clientCpu: 0, idle: options.idle },
  };
  let ofGenerator: readonly number[] = [];
  let ofServer: readonly number[] = [];
  const before = machineCounts();
  const measure = async (host: string, server: Server): Promise<LoadResult> => {
    const loaded = await loadKv(settings, options.workload, host, {
      ...{ rate: options.rate, fill: 'yes', warmupMs: WARMUP_MS, sleeps: 'yes' },
      ...{ durationMs: options.seconds * 1000, worst: options.traceWorst },
      stallUs: options.stallUs,
      onStalls: (stalls) => (ofGenerator = stalls),
    });
    ofServer = (await server.stalls?.()) ?? [];
    return loaded;
  };
  const result = await onKv(settings, name, measure, options.stallUs);
  const counted = difference(machineCounts(), before);
  return tailFrom(name === 'ours' ? 'ours, kv' : peerNamed(name).title, result, counted, [
    { who: 'server', stalls: stallsOf(ofServer) },
    { who: 'generator', stalls: stallsOf(ofGenerator) },
  ]);
}

const tailFrom = (
  title: string,
  { messagesPerSecond, latency, lag, worst = [] }: LoadResult,
  counted: Record<string, number>,
  whoStalls: Parameters<typeof rowsOf>[1],
): Tail => ({
  ...{ title, messagesPerSecond, p50Ns: latency.p50Ns, p99Ns: latency.p99Ns },
  ...{ lagP99Ns: lag?.p99Ns ?? 0, rows: rowsOf(worst, whoStalls), counted },
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

export function textOf(found: readonly Tail[]): string {
  return found
    .flatMap(({ title, messagesPerSecond, p50Ns, p99Ns, lagP99Ns, rows, counted }) => [
      `### ${title}: ${formatMetric('PerSecond', messagesPerSecond)}, p50 ` +
        `${formatMetric('Ns', p50Ns)}, p99 ${formatMetric('Ns', p99Ns)}, sent late p99 ` +
        formatMetric('Ns', lagP99Ns),
      '',
      '| requests | stalls | median us | longest us | whose thread | what it waited for |',
      '| --- | --- | --- | --- | --- | --- |',
      ...rows.map(({ count, stalls, medianUs, longestUs, who, what }) => {
        const numbers = [count, stalls, medianUs, longestUs].map((n) => n.toLocaleString('en'));
        return `| ${[...numbers, who || '-', what].join(' | ')} |`;
      }),
      '',
      `Counted meanwhile: ${Object.entries(counted)
        .map(([name, value]) => `${name} ${value.toLocaleString('en')}`)
        .join(', ')}.`,
      '',
    ])
    .join('\n');
}
