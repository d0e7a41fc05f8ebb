/**
 * `ix bench paper`: the evaluation of the IX paper (OSDI'14, section 5) on this machine, ours
 * beside what a user would pick instead, in one run, with a report.
 *
 * - Every experiment is a file of bench/paper that says what the paper did, what ours does and what
 *   differs. One that fails is reported, the others go on; each has a share of the time and begins
 *   nothing new after it.
 * - Writes report.html (one page, readable offline), results.json and RESULTS.md to `--out`;
 *   `--publish` writes the last two to docs, with `--only X` X's section of them. Progress goes to
 *   standard error; `--json` prints the object of results.json.
 * - Full about 60 minutes, `--short` about 30, of which the objective by whole runs (`--only slo`)
 *   takes 35 and 20; `--quick` below one (the figures with a target only, and not that).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { OptionError } from '../src/errors.ts';
import { exitsBySignal, progress } from './harness/bench.ts';
import { describeMachine } from './harness/machine.ts';
import { enterPrivateNetwork } from './harness/network.ts';
import { needTwoCores, number, readOptions } from './harness/options.ts';
import type { Experiment, Level, Settings } from './paper/experiment.ts';
import fig2 from './paper/fig2.ts';
import { fig3messages, fig3sizes } from './paper/fig3.ts';
import fig4 from './paper/fig4.ts';
import { fig5etc, fig5usr } from './paper/fig5.ts';
import fig6 from './paper/fig6.ts';
import { pageOf } from './paper/html.ts';
import lwip from './paper/lwip.ts';
import { summaryOf } from './paper/markdown.ts';
import {
  type Finding,
  formatSpread,
  mergedInto,
  type PaperReport,
  summarise,
} from './paper/report.ts';
import shares from './paper/shares.ts';
import stages from './paper/stages.ts';
import tails from './paper/tails.ts';
import { sloEtc, sloUsr } from './paper/whole.ts';

/** In the paper's order; seconds that each may take, by level. */
const PLAN: readonly { experiment: Experiment; budget: Record<Level, number> }[] = [
  { experiment: fig2, budget: { full: 95, short: 40, quick: 15 } },
  { experiment: fig3messages, budget: { full: 210, short: 70, quick: 15 } },
  { experiment: fig3sizes, budget: { full: 240, short: 90, quick: 15 } },
  { experiment: fig4, budget: { full: 240, short: 80, quick: 20 } },
  { experiment: fig5usr, budget: { full: 400, short: 180, quick: 20 } },
  { experiment: fig5etc, budget: { full: 300, short: 180, quick: 20 } },
  { experiment: sloUsr, budget: { full: 1300, short: 1000, quick: 90 } },
  { experiment: sloEtc, budget: { full: 1300, short: 1000, quick: 90 } },
  { experiment: tails, budget: { full: 90, short: 90, quick: 90 } },
  { experiment: fig6, budget: { full: 185, short: 65, quick: 15 } },
  { experiment: lwip, budget: { full: 95, short: 40, quick: 10 } },
  { experiment: shares, budget: { full: 70, short: 50, quick: 30 } },
  { experiment: stages, budget: { full: 30, short: 25, quick: 15 } },
];
/** What `--quick` runs: the ratios that are promised of this benchmark. */
const QUICK = ['fig4', 'fig5usr', 'fig5etc', 'fig6', 'lwip'];

/**
 * V8 compiles in the warm-up, on cores that both spin: on a slow machine a quarter of a second is
 * not enough (guard.ts).
 */
const LEVEL: Record<Level, Pick<Settings, 'rounds' | 'seconds' | 'warmupSeconds'>> = {
  full: { rounds: 3, seconds: 0.8, warmupSeconds: 1.5 },
  short: { rounds: 2, seconds: 0.5, warmupSeconds: 1 },
  quick: { rounds: 1, seconds: 0.3, warmupSeconds: 0.2 },
};

interface Options {
  settings: Settings;
  chosen: typeof PLAN;
  out: string;
  publish: boolean;
  json: boolean;
}

export default async function paper(args: string[]): Promise<void> {
  const options = parse(args);
  if (!options) return;
  needTwoCores();
  const machine = describeMachine();
  const restore = exitsBySignal();
  try {
    enterPrivateNetwork();
    const start = performance.now();
    const results: Record<string, Finding> = {};
    for (const { experiment, budget } of options.chosen) {
      results[experiment.name] = await find(experiment, budget, options.settings);
      const seconds = (performance.now() - start) / 1000;
      // After each, so that what was measured is there even if the rest is not.
      write(options, summarise(machine, options.settings, results, seconds));
    }
    const seconds = (performance.now() - start) / 1000;
    const report = summarise(machine, options.settings, results, seconds);
    if (options.publish) publish(options.chosen === PLAN, report);
    console.log(options.json ? JSON.stringify(report) : textOf(report, options.out));
    if (Object.values(results).some(({ error }) => error !== undefined)) process.exitCode = 1;
  } finally {
    restore();
  }
}

async function find(
  experiment: Experiment,
  budget: Record<Level, number>,
  settings: Settings,
): Promise<Finding> {
  const { name, title, paper, ours, differs } = experiment;
  progress(`${name}: ${title}`);
  const start = performance.now();
  const texts = { title, paper, ours, differs };
  const seconds = () => Math.round((performance.now() - start) / 1000);
  try {
    const deadlineMs = start + budget[settings.level] * 1000;
    const outcome = await experiment.run({ settings, deadlineMs, progress });
    return { ...texts, seconds: seconds(), ...outcome };
  } catch (error) {
    const message = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    progress(`${name}: FAILED: ${message}`);
    const nothing = { series: [], charts: [], ratios: {}, notes: [] };
    return { ...texts, seconds: seconds(), error: message, ...nothing };
  }
}

function write({ out }: Options, report: PaperReport): void {
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'results.json'), `${JSON.stringify(report)}\n`);
  writeFileSync(join(out, 'report.html'), pageOf(report));
  writeFileSync(join(out, 'RESULTS.md'), summaryOf(report));
}

function publish(all: boolean, found: PaperReport): void {
  const docs = fileURLToPath(new URL('../docs/', import.meta.url));
  const before = (): PaperReport => JSON.parse(readFileSync(join(docs, 'results.json'), 'utf8'));
  const report = all ? found : mergedInto(before(), found);
  writeFileSync(join(docs, 'results.json'), `${JSON.stringify(report)}\n`);
  writeFileSync(join(docs, 'RESULTS.md'), summaryOf(report));
}

function textOf(report: PaperReport, out: string): string {
  const lines = report.targets.map(({ what, bound, value, ratio, verdict, voidWhy }) => {
    const spread = report.ratios[ratio];
    const measured = spread ? formatSpread(spread) : '-';
    const wanted = `${bound} ${value}`.padEnd(14);
    const why = voidWhy === undefined ? '' : `: ${voidWhy}`;
    return `  ${verdict.padEnd(13)} ${measured.padEnd(24)} ${wanted} ${what}${why}`;
  });
  return [
    `paper: ${Object.keys(report.results).length} experiments in ${Math.round(report.seconds)} s`,
    ...lines,
    ...report.warnings.map((warning) => `warning: ${warning}`),
    `report: ${join(out, 'report.html')}`,
  ].join('\n');
}

const DEFAULT_OUT = fileURLToPath(new URL('../build/paper', import.meta.url));

function parse(args: readonly string[]): Options | undefined {
  const names = PLAN.map(({ experiment }) => experiment.name);
  const command = new Command('ix bench paper')
    .description("the paper's evaluation, ours beside what a user would pick instead")
    .option('--short', 'about half an hour', false)
    .option('--quick', 'less than a minute: the figures with a target only', false)
    .option('--only <names>', `experiments, separated by commas: ${names.join(', ')}`)
    .option(
      '--points <count>',
      'slousr, sloetc: halvings of the search (default: 6, short: 4)',
      number(0, 20, true),
    )
    .option('--out <directory>', 'where report.html, results.json and RESULTS.md go', DEFAULT_OUT)
    .option(
      '--publish',
      'also write docs/RESULTS.md and docs/results.json; with --only, its sections of them',
      false,
    )
    .option('--json', 'print one JSON object', false);
  if (!readOptions(command, args)) return undefined;
  const given = command.opts<{
    short: boolean;
    quick: boolean;
    only?: string;
    points?: number;
    out: string;
    publish: boolean;
    json: boolean;
  }>();
  const { points } = given;
  const level = given.quick ? 'quick' : given.short ? 'short' : 'full';
  return {
    ...given,
    settings: {
      ...{ level, ...LEVEL[level], serverCpu: 1, clientCpu: 0, idle: 'adaptive' },
      ...(points === undefined ? {} : { points }),
    },
    chosen: choose(given.only ?? (level === 'quick' ? QUICK.join(',') : undefined)),
  };
}

/** By the beginnings of their names: `fig3` is all of figure 3. */
function choose(only: string | undefined): typeof PLAN {
  if (only === undefined) return PLAN;
  const words = only.split(',').map((word) => word.trim());
  const isMeant = (name: string) => words.some((word) => word !== '' && name.startsWith(word));
  const chosen = PLAN.filter(({ experiment }) => isMeant(experiment.name));
  if (chosen.length > 0) return chosen;
  const names = PLAN.map(({ experiment }) => experiment.name).join(', ');
  throw new OptionError(`--only ${only} is no experiment`, `there are: ${names}`);
}
