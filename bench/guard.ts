/**
 * `ix bench guard`: has this version become slower than the one before? Ratios, never absolute
 * times, against the committed ones (guard.json).
 *
 * - Measured in turn, round by round: echo and its round trip against C on Linux, kv against
 *   memcached, echo on the cable against lwIP, domain process against inline.
 * - A loss is real when every round is worse than the worst committed round by more than the
 *   tolerance, and is so again when it is measured once more: noise must not fail it. On another
 *   machine than the committed one the tolerance is wider.
 * - A round begins when the cores are idle. When they never are, or a peer is missing, the ratio is
 *   undecided and fails nothing.
 * - Exit code 1 for a loss. `--short` takes about two minutes; `--update` writes guard.json from
 *   five rounds.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { UserError } from '../src/errors.ts';
import { type Judged, judge, type Kept, RATIOS } from './guard/judge.ts';
import { linesFor, measuredRatios } from './guard/lines.ts';
import { exitsBySignal, progress } from './harness/bench.ts';
import { describeMachine, idleShare } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, readOptions } from './harness/options.ts';
import type { Spread } from './harness/statistics.ts';
import type { Context, Settings } from './paper/experiment.ts';
import { formatSpread } from './paper/report.ts';
import { sweep } from './paper/sweep.ts';

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

interface Options {
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
    enterPrivateNetwork();
    const rounds = options.update ? 5 : options.short ? 3 : 5;
    const settings: Settings = {
      ...{ level: 'short', rounds, seconds: 0.5, warmupSeconds: WARM_UP_SECONDS },
      ...{ serverCpu: 1, clientCpu: 0, idle: 'adaptive' },
    };
    const first = await measure(
      settings,
      RATIOS.map(({ name }) => name),
    );
    if (options.update) return keep({ machine, ratios: first });
    let judged = judge(first, kept, machine);
    const lost = judged.filter(({ verdict }) => verdict === 'lost').map(({ name }) => name);
    if (lost.length > 0) {
      progress(`once more: ${lost.join(', ')}`);
      const again = await measure(settings, lost);
      judged = judge({ ...first, ...better(first, again) }, kept, machine);
    }
    say(judged, options.json, machine);
    if (judged.some(({ verdict }) => verdict === 'lost')) process.exitCode = 1;
  } finally {
    restore();
  }
}

async function measure(
  settings: Settings,
  names: readonly string[],
): Promise<Record<string, Spread>> {
  const context: Context = { settings, deadlineMs: Number.POSITIVE_INFINITY, progress };
  const lines = linesFor(context, names).map((line) => ({
    ...line,
    round: async (round: Parameters<typeof line.round>[0]) => {
      if (await untilIdle()) await line.round(round);
      else progress(`${line.title}: not this round, others use this machine`);
    },
  }));
  return measuredRatios(await sweep(lines, context), names);
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

function say(judged: readonly Judged[], asJson: boolean, machine: Kept['machine']): void {
  if (asJson) return console.log(JSON.stringify({ bench: 'guard', machine, ratios: judged }));
  for (const { name, verdict, now, before } of judged) {
    const [is, was] = [now, before].map((spread) => (spread ? formatSpread(spread) : '-'));
    console.log(`${verdict.padEnd(10)} ${name.padEnd(20)} ${is} now, ${was} before`);
  }
}

/** undefined: help was asked for and printed. */
function parse(args: string[]): Options | undefined {
  const command = new Command('ix bench guard')
    .description('compares this version with the one before, by ratios')
    .option('--short', 'three rounds, about two minutes', false)
    .option('--update', 'write guard.json from five rounds', false)
    .option('--json', 'print one JSON object', false);
  return readOptions(command, args) ? command.opts() : undefined;
}
