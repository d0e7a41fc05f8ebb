/**
 * `ix bench tails`: one run of a memcached workload against ours and against memcached, and what
 * its slowest requests waited for (paper/tails.ts).
 *
 * - `bench paper --only tails` has the same as a section of docs/RESULTS.md.
 */
import { Command } from 'commander';
import { exitsBySignal, progress } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, number, oneOf, policy, readOptions } from './harness/options.ts';
import type { Settings } from './paper/experiment.ts';
import { KV_NAMES, type KvName, WARMUP_MS, WORKLOADS, type Workload } from './paper/kv-load.ts';
import { tableLines } from './paper/markdown.ts';
import { TAIL_PLAN, type Tail, tablesOf, tailOf } from './paper/tails.ts';

interface Options {
  rate: number;
  seconds: number;
  workload: Workload;
  traceWorst: number;
  stallUs: number;
  idle: Settings['idle'];
  only?: KvName;
  json: boolean;
}

export default async function tails(args: string[]): Promise<void> {
  const { rate, seconds, worst, stallUs } = TAIL_PLAN;
  const command = new Command('ix bench tails')
    .description('what the slowest requests of a run waited for; about 40 seconds')
    .option('--rate <count>', 'requests a second', number(1, 10_000_000, false), rate)
    .option('--seconds <time>', 'measured time', number(1, 600, false), seconds)
    .option('--workload <name>', 'usr or etc', oneOf(WORKLOADS), 'usr')
    .option('--trace-worst <count>', 'slowest requests explained', number(1, 10_000, true), worst)
    .option('--stall-us <time>', 'shortest stall that is kept', number(20, 100_000, true), stallUs)
    .option('--idle <policy>', 'idle policy of our server', policy, 'adaptive')
    .option('--only <name>', 'one of the two: ours or memcached', oneOf(KV_NAMES))
    .option('--json', 'print one JSON object', false);
  if (!readOptions(command, args)) return;
  const options = command.opts<Options>();
  needTwoCores();
  const restore = exitsBySignal();
  try {
    enterPrivateNetwork();
    const machine = describeMachine();
    const found: Tail[] = [];
    for (const name of options.only ? [options.only] : KV_NAMES) {
      progress(`tails: ${name}, about ${Math.round(options.seconds + 9)} s`);
      found.push(await tailOf(settingsOf(options), name, planOf(options)));
    }
    console.log(options.json ? JSON.stringify({ bench: 'tails', machine, found }) : textOf(found));
  } finally {
    restore();
  }
}

const settingsOf = ({ seconds, idle }: Options): Settings => ({
  ...{ level: 'full', rounds: 1, seconds, warmupSeconds: WARMUP_MS / 1000 },
  ...{ serverCpu: 1, clientCpu: 0, idle },
});

const planOf = ({ rate, seconds, workload, traceWorst: worst, stallUs }: Options) => ({
  ...{ rate, seconds, workload, worst, stallUs },
});

const textOf = (found: readonly Tail[]): string =>
  found.flatMap((tail) => tablesOf(tail).flatMap((each) => ['', ...tableLines(each)])).join('\n');
