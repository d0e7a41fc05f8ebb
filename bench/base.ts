/**
 * `ix bench base REF`: this working tree against another commit of the project, in one interleaved
 * run.
 *
 * - Two machines, or two hours of one, differ by more than most changes are worth; two builds that
 *   take turns on one machine do not. What 10 % is can be seen so (the guard's committed ratios
 *   cannot).
 * - Both servers are started by their own `bin/ix` (harness/base.ts); client and link are the
 *   working tree's. Who comes first changes from round to round.
 * - Ratios, ours / base: `echoVsBase`, `kvVsBase`, `echoProcessVsBase`, `kvProcessVsBase` (messages
 *   a second with 64 connections, above 1 is faster), `rttVsBase`, `rttProcessVsBase` (one message
 *   in flight, below 1 is faster).
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { OptionError } from '../src/errors.ts';
import { commitOf, prepareBase, startTree, WORKING_TREE } from './harness/base.ts';
import { exitsBySignal, onLink, progress } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, number, readOptions } from './harness/options.ts';
import { isNoisy, type Spread } from './harness/statistics.ts';
import { echo, kvGets } from './paper/clients.ts';
import type { Context } from './paper/experiment.ts';
import { formatSpread } from './paper/report.ts';
import { type Line, metricAt, present, type Round, ratioOfMetrics, sweep } from './paper/sweep.ts';

const CONNECTIONS = { connections: 64 };
const RATE = 'messagesPerSecond';
const X = 64;
const WARM_UP_SECONDS = 1.5;

const KINDS = ['echo', 'kv', 'echoProcess', 'kvProcess'] as const;
type Kind = (typeof KINDS)[number];

interface Options {
  json: boolean;
  rounds: number;
  seconds: number;
  only: readonly Kind[];
}

export interface BaseReport {
  bench: 'base';
  machine: ReturnType<typeof describeMachine>;
  base: string;
  rounds: number;
  ratios: Record<string, Spread>;
  failures: string[];
}

export default async function base(args: string[]): Promise<void> {
  const command = commandFor();
  if (!readOptions(command, args)) return;
  const [ref] = command.args;
  if (ref === undefined) {
    throw new OptionError('a commit to compare with is missing', 'ix bench base daf304b');
  }
  const options = command.opts<Options>();
  needTwoCores();
  const commit = commitOf(ref);
  const restore = exitsBySignal();
  try {
    const tree = prepareBase(commit, progress);
    enterPrivateNetwork();
    say(await compare(options, commit, tree), options.json);
  } finally {
    restore();
  }
}

async function compare(options: Options, commit: string, tree: string): Promise<BaseReport> {
  const context: Context = {
    settings: {
      ...{ level: 'short', rounds: options.rounds, seconds: options.seconds },
      ...{ warmupSeconds: WARM_UP_SECONDS, serverCpu: 1, clientCpu: 0, idle: 'adaptive' },
    },
    deadlineMs: Number.POSITIVE_INFINITY,
    progress,
  };
  const machine = describeMachine();
  const lines = options.only.map((kind) => inTurn(kind, context, tree));
  const series = await sweep(lines, context);
  const ratios = options.only.flatMap((kind): [string, Spread | undefined][] => {
    const ratio = (metric: string): Spread | undefined =>
      ratioOfMetrics(
        metricAt(series, kind, metric, X),
        metricAt(series, kind, `base ${metric}`, X),
      );
    const isEcho = kind.startsWith('echo');
    const roundTrip = kind.replace('echo', 'rtt');
    return [
      [`${kind}VsBase`, ratio(RATE)],
      ...(isEcho ? [[`${roundTrip}VsBase`, ratio('rttNs')] as [string, Spread | undefined]] : []),
    ];
  });
  return {
    ...{ bench: 'base', machine, base: commit, rounds: options.rounds },
    ratios: present(Object.fromEntries(ratios)),
    failures: series.flatMap(({ title, failures }) => failures.map((each) => `${title}: ${each}`)),
  };
}

/**
 * One kind of server, of both trees, in one round: the one that was second comes first in the next.
 */
function inTurn(kind: Kind, context: Context, tree: string): Line {
  let round = 0;
  return {
    name: kind,
    title: kind,
    round: async ({ point }: Round) => {
      const arms = [
        { tree: WORKING_TREE, prefix: '' },
        { tree, prefix: 'base ' },
      ];
      if (round++ % 2 === 1) arms.reverse();
      await point(X, async () => {
        const sample: Record<string, number> = {};
        for (const arm of arms) {
          const measured = await serveAndMeasure(kind, context, arm.tree);
          for (const [name, value] of Object.entries(measured)) sample[arm.prefix + name] = value;
        }
        return sample;
      });
    },
  };
}

function serveAndMeasure(
  kind: Kind,
  context: Context,
  tree: string,
): Promise<Record<string, number>> {
  const app = kind.startsWith('kv') ? 'kv' : 'echo';
  const domain = kind.endsWith('Process') ? 'process' : 'inline';
  const { serverCpu: cpu, idle } = context.settings;
  return onLink(
    'ours',
    (address) => startTree(tree, { app, address, cpu, idle, domain }),
    async (address): Promise<Record<string, number>> => {
      if (app === 'kv') return { [RATE]: (await kvGets(context, address, CONNECTIONS))[RATE]! };
      const saturated = await echo(context, address, CONNECTIONS);
      const single = await echo(context, address, { connections: 1, clock: 'fine' });
      return { [RATE]: saturated[RATE]!, rttNs: single['p50Ns']! };
    },
  );
}

function say(report: BaseReport, asJson: boolean): void {
  if (asJson) return console.log(JSON.stringify(report));
  console.log(`this tree against ${report.base.slice(0, 12)}, ${report.rounds} rounds`);
  for (const [name, spread] of Object.entries(report.ratios)) {
    const note = isNoisy(spread) ? '  (the rounds differ too much for a claim)' : '';
    console.log(`${name.padEnd(20)} ${formatSpread(spread)}${note}`);
  }
  for (const failure of report.failures) console.log(`failed: ${failure}`);
}

function commandFor(): Command {
  const kinds = (text: string): readonly Kind[] => {
    const chosen = text.split(',');
    const found = KINDS.filter((kind) => chosen.includes(kind));
    if (found.length === chosen.length) return found;
    throw new InvalidArgumentError(`takes some of ${KINDS.join(',')}.`);
  };
  return new Command('ix bench base')
    .argument('[ref]', 'commit to compare with')
    .description('compares this tree with another commit of the project, in turn')
    .option('--json', 'print one JSON object', false)
    .option('--rounds <count>', 'rounds', number(1, 100, true), 5)
    .option('--seconds <time>', 'measured time of one run', number(0.1, 100, false), 0.7)
    .addOption(
      new Option('--only <kinds>', `some of ${KINDS.join(',')}`)
        .argParser(kinds)
        .default(KINDS, 'all'),
    );
}
