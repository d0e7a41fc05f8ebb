/**
 * `ix bench base REF`: this working tree against another commit of the project, in one interleaved
 * run.
 *
 * - Two machines, or two hours of one, differ by more than most changes are worth; two builds that
 *   take turns on one machine do not: 10 % can be seen, which ratios of another day do not show.
 * - harness/base.ts starts each server by its own `bin/ix`; client and link are the working tree's.
 *   What is measured, and the names of the ratios: base/kinds.ts.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { OptionError } from '../src/errors.ts';
import { baseLine, KINDS, type Kind, measuredAgainstBase } from './base/kinds.ts';
import { commitOf, prepareBase } from './harness/base.ts';
import { exitsBySignal, progress } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, number, readOptions } from './harness/options.ts';
import { isNoisy, type Spread } from './harness/statistics.ts';
import type { Context } from './paper/experiment.ts';
import { formatSpread } from './paper/report.ts';
import { sweep } from './paper/sweep.ts';

const WARM_UP_SECONDS = 1.5;

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
  const lines = options.only.map((kind) => baseLine(kind, context, tree));
  const series = await sweep(lines, context);
  return {
    ...{ bench: 'base', machine, base: commit, rounds: options.rounds },
    ratios: measuredAgainstBase(series, options.only),
    failures: series.flatMap(({ title, failures }) => failures.map((each) => `${title}: ${each}`)),
  };
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
