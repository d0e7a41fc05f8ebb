/**
 * The outcome of a benchmark: one object for programs, a table for people.
 *
 * - `ratios` is ours divided by theirs (round trips too: below 1 is faster). A ratio whose peer is
 *   missing is left out of `ratios`; the peer itself stands in `results` with what is missing.
 * - `warnings` say which ratio is too noisy to be claimed, and which misses its target.
 */
import type { Machine } from './machine.ts';
import { formatMetric, type Results, valuesOf } from './rounds.ts';
import { isNoisy, NOISY_FACTOR, ratioOf, type Spread } from './statistics.ts';

export interface BenchReport {
  bench: string;
  machine: Machine;
  rounds: number;
  /** Whatever else the run was told: connections, size, seconds. */
  settings: Record<string, number | string>;
  results: Results;
  ratios: Record<string, Spread>;
  warnings: string[];
}

/** Ours over theirs: contender and metric on both sides. */
export interface RatioPlan {
  name: string;
  metric: string;
  theirs: string;
  theirMetric?: string;
  /** Default: the contender `ours`. */
  mine?: string;
  /** Its target. */
  atMost?: number;
}

export function ratiosOf(results: Results, plans: readonly RatioPlan[]): Record<string, Spread> {
  const ratios: Record<string, Spread> = {};
  for (const { name, metric, theirs, theirMetric = metric, mine: who = 'ours' } of plans) {
    const mine = valuesOf(results, who, metric);
    const other = valuesOf(results, theirs, theirMetric);
    if (mine && other) ratios[name] = ratioOf(mine, other);
  }
  return ratios;
}

/** What makes a result less than a claim: rounds that disagree, and others on the machine. */
export function warningsOf(ratios: Record<string, Spread>, machine: Machine): string[] {
  const noisy = Object.entries(ratios).filter(([, spread]) => isNoisy(spread));
  const warnings = noisy.map(([name, { min, max }]) => {
    const range = `from ${min.toFixed(2)} to ${max.toFixed(2)} between rounds`;
    const what = `more than a factor of ${NOISY_FACTOR}: its median is no claim`;
    return `${name} varies ${range}, ${what}`;
  });
  if (machine.loadAverage > machine.cores / 2) {
    warnings.push(
      `others used this machine when the benchmark began (load average ${machine.loadAverage})`,
    );
  }
  return warnings;
}

export function targetsMissed(
  ratios: Record<string, Spread>,
  plans: readonly RatioPlan[],
): string[] {
  return plans.flatMap(({ name, atMost = Number.POSITIVE_INFINITY }) => {
    const ratio = ratios[name]?.median ?? 0;
    return ratio > atMost
      ? [`${name} is ${ratio.toFixed(2)}, its target is ${atMost} at most`]
      : [];
  });
}

const pad = (cells: readonly string[][]): string[] => {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  '),
  );
};

/** Median, and in brackets the least and the most of the rounds. */
export function formatReport(report: BenchReport): string {
  const { machine, results, ratios } = report;
  const metrics = new Set(
    Object.values(results).flatMap((r) => ('metrics' in r ? Object.keys(r.metrics) : [])),
  );
  const rows = Object.values(results).map((result) => [
    result.title,
    ...[...metrics].map((metric) => {
      const spread = 'metrics' in result ? result.metrics[metric] : undefined;
      return spread ? formatMetric(metric, spread.median) : '-';
    }),
  ]);
  const missing = Object.values(results).flatMap((r) =>
    'missing' in r ? [`missing: ${r.missing}`] : [],
  );
  const ratioRows = Object.entries(ratios).map(([name, { median, min, max }]) => [
    name,
    median.toFixed(2),
    `(${min.toFixed(2)} to ${max.toFixed(2)})`,
  ]);
  return [
    `${report.bench}: medians of ${report.rounds} rounds, ${describeSettings(report.settings)}`,
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`,
    '',
    ...pad([['', ...metrics], ...rows]),
    ...missing,
    '',
    ...(ratioRows.length > 0 ? pad([['ours / theirs', 'median', 'rounds'], ...ratioRows]) : []),
    ...report.warnings.map((warning) => `warning: ${warning}`),
  ].join('\n');
}

const describeSettings = (settings: Record<string, number | string>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

export function printReport(report: BenchReport, asJson: boolean): void {
  console.log(asJson ? JSON.stringify(report) : formatReport(report));
}
