/**
 * `ix bench guard`: has this version become slower than the one before? Ratios, never absolute
 * times.
 *
 * - Measured in turn, round by round: echo, kv and round trip in both domains against the same of
 *   the base commit (`base` of guard.json, or `--base`); and echo and its round trip against C on
 *   Linux, kv against memcached, echo on the cable against lwIP, domain process against inline,
 *   each compared with its committed ratio.
 * - What a loss is: guard/judge.ts. It has to show again when it is measured once more: noise must
 *   not fail this. Only the base sees a loss of a tenth: it ran on this machine in this hour, and a
 *   committed ratio did not.
 * - A round begins when the cores are idle. When they never are, a peer is missing, or the clone is
 *   too shallow to have the base, the ratio is undecided and fails nothing.
 * - Exit code 1 for a loss. `--short` takes about four minutes; `--update` writes guard.json from
 *   five rounds, with this commit as the next base.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { UserError } from '../src/errors.ts';
import { baseLine, KINDS, measuredAgainstBase, ratiosOf } from './base/kinds.ts';
import {
  BASE_RATIOS,
  type Judged,
  judge,
  judgeAgainstBase,
  type Kept,
  RATIOS,
} from './guard/judge.ts';
import { linesFor, measuredRatios } from './guard/lines.ts';
import { commitOf, prepareBase } from './harness/base.ts';
import { exitsBySignal, progress } from './harness/bench.ts';
import { describeMachine, idleShare } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, readOptions } from './harness/options.ts';
import type { Spread } from './harness/statistics.ts';
import type { Context, Settings } from './paper/experiment.ts';
import { formatSpread } from './paper/report.ts';
import { type Round, sweep } from './paper/sweep.ts';

const KEPT = new URL('./guard.json', import.meta.url);
/** The machine is ours when so much of its time is idle. */
const IDLE_MIN = 0.7;
/**
 * V8 compiles meanwhile, on cores that both spin: with a quarter of a second echo on the cable made
 * 30,000 instead of 500,000 messages a second on a slow machine, and what was compared was
 * compilation.
 */
const WARM_UP_SECONDS = 1.5;
const LOOK_MS = 300;
const WAIT_MS = 5000;

const NAMES = RATIOS.map(({ name }) => name);
const BASE_NAMES = BASE_RATIOS.map(({ name }) => name);

interface Options {
  base?: string;
  short: boolean;
  update: boolean;
  json: boolean;
}

export default async function guard(args: string[]): Promise<void> {
  const options = parse(args);
  if (!options) return;
  needTwoCores();
  const machine = describeMachine();
  const kept = JSON.parse(readFileSync(KEPT, 'utf8')) as Kept;
  const restore = exitsBySignal();
  try {
    const commit = options.base ?? kept.base;
    const tree = options.update ? undefined : baseTree(commit);
    enterPrivateNetwork();
    const rounds = options.short ? 3 : 5;
    const settings: Settings = {
      ...{ level: 'short', rounds, seconds: 0.5, warmupSeconds: WARM_UP_SECONDS },
      ...{ serverCpu: 1, clientCpu: 0, idle: 'adaptive' },
    };
    const first = await measure(settings, [...NAMES, ...BASE_NAMES], tree);
    if (options.update) return keep({ machine, base: commitOf('HEAD'), ratios: first });
    const verdicts = (measured: Record<string, Spread>): Judged[] => [
      ...judgeAgainstBase(measured),
      ...judge(measured, kept, machine),
    ];
    let judged = verdicts(first);
    const lost = judged.filter(({ verdict }) => verdict === 'lost').map(({ name }) => name);
    if (lost.length > 0) {
      progress(`once more: ${lost.join(', ')}`);
      const again = await measure(settings, lost, tree);
      judged = verdicts({ ...first, ...better(first, again) });
    }
    say(judged, options.json, { machine, base: commit });
    if (judged.some(({ verdict }) => verdict === 'lost')) process.exitCode = 1;
  } finally {
    restore();
  }
}

/** The base commit, ready to serve; undefined, and said why, where it cannot be had. */
function baseTree(ref: string): string | undefined {
  try {
    return prepareBase(commitOf(ref), progress);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    progress(`without the base: ${error.message}`);
    return undefined;
  }
}

/** The ratios that are named, of those that this machine and this clone can measure. */
async function measure(
  settings: Settings,
  names: readonly string[],
  tree: string | undefined,
): Promise<Record<string, Spread>> {
  const context: Context = { settings, deadlineMs: Number.POSITIVE_INFINITY, progress };
  const kinds = KINDS.filter((kind) => ratiosOf(kind).some(({ name }) => names.includes(name)));
  const ofBase = tree === undefined ? [] : kinds.map((kind) => baseLine(kind, context, tree));
  const lines = [...ofBase, ...linesFor(context, names)].map((line) => ({
    ...line,
    round: async (round: Round) => {
      if (await untilIdle()) await line.round(round);
      else progress(`${line.title}: not this round, others use this machine`);
    },
  }));
  const series = await sweep(lines, context);
  return { ...measuredAgainstBase(series, kinds), ...measuredRatios(series, names) };
}

async function untilIdle(): Promise<boolean> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const idle = await idleShare(LOOK_MS);
    if (idle >= IDLE_MIN) return true;
    if (performance.now() > deadline) return false;
    await sleep(LOOK_MS);
  }
}

/** Both runs together: a loss counts when neither run is without it. */
function better(
  first: Record<string, Spread>,
  again: Record<string, Spread>,
): Record<string, Spread> {
  return Object.fromEntries(
    Object.entries(again).map(([name, { median, min, max }]) => {
      const before = first[name]!;
      return [name, { median, min: Math.min(min, before.min), max: Math.max(max, before.max) }];
    }),
  );
}

function keep(kept: Kept): void {
  const missing = RATIOS.filter(({ name }) => kept.ratios[name] === undefined);
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ');
    throw new UserError('IX_GUARD', `not measured: ${names}`, 'repeat it when the machine is idle');
  }
  writeFileSync(KEPT, `${JSON.stringify(kept, null, 2)}\n`);
  for (const [name, spread] of Object.entries(kept.ratios)) {
    console.log(`${name.padEnd(20)} ${formatSpread(spread)}`);
  }
}

interface Where {
  machine: Kept['machine'];
  base: string;
}

function say(judged: readonly Judged[], asJson: boolean, where: Where): void {
  if (asJson) return console.log(JSON.stringify({ bench: 'guard', ...where, ratios: judged }));
  for (const { name, verdict, now, before } of judged) {
    const is = now ? formatSpread(now) : '-';
    const was = name.endsWith('VsBase')
      ? `of ${where.base.slice(0, 12)}`
      : `now, ${before ? formatSpread(before) : '-'} before`;
    console.log(`${verdict.padEnd(10)} ${name.padEnd(20)} ${is} ${was}`);
  }
}

/** undefined: help was asked for and printed. */
function parse(args: string[]): Options | undefined {
  const command = new Command('ix bench guard')
    .description('compares this version with the one before, by ratios')
    .option('--base <ref>', 'the commit to compare with (default: that of guard.json)')
    .option('--short', 'three rounds, about four minutes', false)
    .option('--update', 'write guard.json from five rounds, this commit as base', false)
    .option('--json', 'print one JSON object', false);
  return readOptions(command, args) ? command.opts() : undefined;
}
