/**
 * The whole run as one object: what is written as JSON, and what the page and the summary are made
 * from.
 */
import type { Machine } from '../harness/machine.ts';
import { isNoisy, NOISY_FACTOR, type Spread } from '../harness/statistics.ts';
import type { Experiment, Outcome, Settings } from './experiment.ts';
import { TARGETS, type Target, type Verdict, verdictOf } from './targets.ts';

/** An experiment's texts, and its outcome or why there is none. */
export type Finding = Pick<Experiment, 'title' | 'paper' | 'ours' | 'differs'> & {
  seconds: number;
  error?: string;
  /** Of another run than the rest of the report: its day and machine. */
  run?: string;
} & Outcome;

export interface PaperReport {
  bench: 'paper';
  machine: Machine;
  rounds: number;
  settings: Settings;
  /** Day of the run, ISO 8601. */
  date: string;
  seconds: number;
  results: Record<string, Finding>;
  ratios: Record<string, Spread>;
  /** `voidWhy`: this run must not claim it, whatever it measured. */
  targets: (Target & { verdict: Verdict; voidWhy?: string })[];
  warnings: string[];
}

export function summarise(
  machine: Machine,
  settings: Settings,
  results: Record<string, Finding>,
  seconds: number,
): PaperReport {
  const ratios = Object.assign({}, ...Object.values(results).map((each) => each.ratios)) as Record<
    string,
    Spread
  >;
  const voids: Record<string, string> = Object.assign(
    {},
    ...Object.values(results).map((each) => each.voids),
  );
  return {
    ...{ bench: 'paper', machine, rounds: settings.rounds, settings, results, ratios, seconds },
    date: new Date().toISOString().slice(0, 10),
    targets: TARGETS.map((target) => {
      const voidWhy = voids[target.ratio];
      if (voidWhy !== undefined) return { ...target, verdict: 'void', voidWhy };
      return { ...target, verdict: verdictOf(target, ratios) };
    }),
    warnings: warningsOf(machine, settings, results, ratios),
  };
}

/** `fresh` found some things anew: these stand in for what `before` says of the same. */
export function mergedInto(before: PaperReport, fresh: PaperReport): PaperReport {
  const { date, machine, settings } = fresh;
  const isShared = machine.loadAverage > machine.cores / 2;
  const others = isShared ? `; others used it (load average ${machine.loadAverage})` : '';
  const run = `${date}, ${settings.level} run, ${describeMachine(fresh)}${others}`;
  const found = Object.entries(fresh.results).map(([name, each]) => [name, { ...each, run }]);
  const results = { ...before.results, ...Object.fromEntries(found) };
  const merged = summarise(before.machine, before.settings, results, before.seconds);
  return { ...merged, date: before.date };
}

function warningsOf(
  machine: Machine,
  settings: Settings,
  results: Record<string, Finding>,
  ratios: Record<string, Spread>,
): string[] {
  const warnings: string[] = [];
  if (machine.loadAverage > machine.cores / 2) {
    warnings.push(
      `others used this machine when the run began (load average ${machine.loadAverage}): nothing here is a claim`,
    );
  }
  if (settings.level !== 'full') {
    warnings.push(
      `a ${settings.level} run: few rounds of ${settings.seconds} s, for a look and no more`,
    );
  }
  for (const [name, spread] of Object.entries(ratios)) {
    if (!isNoisy(spread)) continue;
    warnings.push(
      `${name} varies from ${spread.min.toFixed(2)} to ${spread.max.toFixed(2)} between rounds, more than a factor of ${NOISY_FACTOR}: its median is no claim`,
    );
  }
  for (const [name, { error, series }] of Object.entries(results)) {
    if (error !== undefined) warnings.push(`${name} failed: ${error}`);
    for (const { title, missing, failures } of series) {
      if (missing !== undefined) warnings.push(`${name}: ${title}: missing: ${missing}`);
      for (const failure of failures) warnings.push(`${name}: ${title}: ${failure}`);
    }
  }
  return warnings;
}

export const describeMachine = ({ machine, settings }: PaperReport): string =>
  `${machine.cpu}, ${machine.cores} cores${machine.virtual ? ' of a virtual machine' : ''}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}; server on core ${settings.serverCpu}, client on core ${settings.clientCpu}, idle policy ${settings.idle}`;

export const formatSpread = ({ median, min, max }: Spread): string =>
  `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
