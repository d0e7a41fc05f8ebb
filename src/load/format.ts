/**
 * Results of load points as people read them (a table) and as CSV; as JSON a result is itself.
 *
 * - What a result says of the generator, and not of the server, is a warning beside it: requests
 *   that left late, or were never answered.
 * - All runs have the same CSV columns, so that their files can be joined; what a closed loop does
 *   not have is an empty field.
 */
import type { LoadProgress, LoadResult } from './result/result.ts';
import { percentileNs } from './scan.ts';

const PERCENTS = [50, 90, 99, 99.9, 99.99] as const;

/** Nanoseconds in a unit that people read. */
export function formatNs(ns: number): string {
  if (ns < 10_000) return `${(ns / 1000).toFixed(1)} us`;
  if (ns < 10_000_000) return `${Math.round(ns / 1000)} us`;
  return ns < 10_000_000_000 ? `${Math.round(ns / 1e6)} ms` : `${Math.round(ns / 1e9)} s`;
}

const rate = (perSecond: number): string => Math.round(perSecond).toLocaleString('en');

export const TABLE_HEADER = [
  'offered/s',
  'answered/s',
  'mean',
  ...PERCENTS.map((percent) => `p${percent}`),
  'max',
];

/** One line of the table; columns are `width` characters wide. */
export const formatRow = (cells: readonly string[], width = 11): string =>
  cells.map((cell) => cell.padStart(width)).join('');

export const rowOf = (result: LoadResult): string[] => [
  result.offeredPerSecond === undefined ? 'closed' : rate(result.offeredPerSecond),
  rate(result.messagesPerSecond),
  formatNs(result.latency.meanNs),
  ...PERCENTS.map((percent) => formatNs(percentileNs(result, percent))),
  formatNs(result.latency.maxNs),
];

/** What a single result says beyond its row. */
export function detailsOf(result: LoadResult): string[] {
  const { service, lag, hits, misses, sets, lost, stalled, reopened } = result;
  const lines: string[] = [];
  if (service && lag) {
    lines.push(
      `from sending: p50 ${formatNs(service.p50Ns)}, p99 ${formatNs(service.p99Ns)}; ` +
        `sent late by: p50 ${formatNs(lag.p50Ns)}, p99 ${formatNs(lag.p99Ns)}`,
    );
  }
  if (hits !== undefined) lines.push(`${hits} hits, ${misses} misses, ${sets} sets`);
  if (reopened !== undefined) lines.push(`${reopened} connections opened anew`);
  if (lost) lines.push(`warning: ${lost} stored keys were gone: the server has too little memory`);
  if (stalled > 0) lines.push(`warning: ${stalled} requests were never answered`);
  return lines;
}

/** What makes a result less than a claim. */
export function warningsOf({ lag, latency }: LoadResult): string[] {
  if (!lag || lag.p50Ns <= 50_000 || lag.p50Ns <= latency.p50Ns / 2) return [];
  return [
    `warning: half of the requests left ${formatNs(lag.p50Ns)} late or more: the generator, or too few ` +
      'connections, could not keep up; its percentiles are still from when requests were due',
  ];
}

export const formatProgress = (p: LoadProgress, perSecond: number): string =>
  p.phase === 'measuring'
    ? `${p.phase}: ${rate(perSecond)}/s, p50 ${formatNs(p.p50Ns)}, p99 ${formatNs(p.p99Ns)}`
    : `${p.phase}: ${rate(perSecond)}/s`;

const CSV_COLUMNS: readonly [string, (r: LoadResult) => number | string][] = [
  ['offeredPerSecond', (r) => r.offeredPerSecond ?? ''],
  ['messagesPerSecond', (r) => r.messagesPerSecond],
  ['messages', (r) => r.messages],
  ['seconds', (r) => r.seconds],
  ['connections', (r) => r.connections],
  ['depth', (r) => r.depth],
  ['arrival', (r) => r.arrival ?? 'closed'],
  ['meanNs', (r) => r.latency.meanNs],
  ['minNs', (r) => r.latency.minNs],
  ['p50Ns', (r) => r.latency.p50Ns],
  ['p90Ns', (r) => r.latency.p90Ns],
  ['p99Ns', (r) => r.latency.p99Ns],
  ['p999Ns', (r) => r.latency.p999Ns],
  ['p9999Ns', (r) => r.latency.p9999Ns],
  ['maxNs', (r) => r.latency.maxNs],
  ['serviceP50Ns', (r) => r.service?.p50Ns ?? ''],
  ['serviceP99Ns', (r) => r.service?.p99Ns ?? ''],
  ['lagP50Ns', (r) => r.lag?.p50Ns ?? ''],
  ['lagP99Ns', (r) => r.lag?.p99Ns ?? ''],
  ['stalled', (r) => r.stalled],
  ['hits', (r) => r.hits ?? ''],
  ['misses', (r) => r.misses ?? ''],
  ['sets', (r) => r.sets ?? ''],
  ['lost', (r) => r.lost ?? ''],
];

export const CSV_HEADER = CSV_COLUMNS.map(([name]) => name).join(',');
export const csvRow = (result: LoadResult): string =>
  CSV_COLUMNS.map(([, value]) => value(result)).join(',');
