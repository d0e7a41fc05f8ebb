/**
 * What `ix top` draws: one line a thread, and below the reasons of what was dropped.
 *
 * - Pure: two readings of every service in, lines out, each at most `columns` wide. What comes from
 *   a service is numbers, and names that `printable` has been over.
 * - 80 columns are enough; more are only used for the reasons.
 *
 * Called by top.ts.
 */
import { type Instance, isOrphan } from '../control/record/instances.ts';
import type { ThreadStatistics } from '../control/record/statistics.ts';
import { DROPS, meaningOf } from '../explain/explain.ts';
import { printable } from '../printable.ts';
import { loadsOf, type ThreadLoad } from './thread-loads.ts';

/** A service at one moment. */
export interface Reading {
  readonly instance: Instance;
  readonly threads: readonly ThreadStatistics[];
}

/** A thread between two moments; rates are per second. */
export interface Row extends ThreadLoad {
  readonly instance: Instance;
  readonly name: string;
  readonly rxRate: number;
  readonly txRate: number;
  readonly openRate: number;
  readonly dropRate: number;
}

export interface Reason {
  readonly counter: string;
  readonly rate: number;
  readonly total: number;
}

/** By what rows may be sorted, greatest first; 'name': as services come. */
export const SORTS = ['name', 'busy', 'rx', 'tx', 'queue', 'flows', 'p99', 'drops'] as const;
export type Sort = (typeof SORTS)[number];

const KEYS: Record<Sort, (row: Row) => number> = {
  name: () => 0,
  busy: ({ busy }) => busy,
  rx: ({ rxRate }) => rxRate,
  tx: ({ txRate }) => txRate,
  queue: ({ queue }) => queue,
  flows: ({ flows }) => flows,
  p99: ({ latency }) => latency.p99Us,
  drops: ({ dropRate }) => dropRate,
};

/** Most reasons that are shown. */
const REASONS_MAX = 6;

/** Of a service, `seconds` apart; absent before: it was not there. */
export function rowsOf(before: Reading | undefined, now: Reading, seconds: number): Row[] {
  const { instance } = now;
  const name = `${printable(instance.app)}@${instance.address}`;
  return loadsOf(before?.threads ?? now.threads, now.threads, seconds * 1000).map((load) => {
    const { thread } = load;
    const rate = (counter: string): number => rateOf(before, now, counter, seconds, thread);
    return {
      ...load,
      ...{ instance, name, rxRate: rate('rxFrames'), txRate: rate('txFrames') },
      openRate: rate('tcpAccepted') + rate('tcpOpened'),
      dropRate: DROPS.reduce((sum, counter) => sum + rate(counter), 0),
    };
  });
}

function rateOf(
  before: Reading | undefined,
  now: Reading,
  counter: string,
  seconds: number,
  thread: number,
): number {
  const then = before?.threads[thread]?.counts[counter];
  if (then === undefined) return 0;
  const rate = ((now.threads[thread]?.counts[counter] ?? 0) - then) / seconds;
  return rate > 0 && rate < Number.POSITIVE_INFINITY ? rate : 0;
}

export function sorted(rows: readonly Row[], by: Sort): Row[] {
  return [...rows].sort((a, b) => KEYS[by](b) - KEYS[by](a));
}

/** Drops of a service: what grows now first, then what has ever been. */
export function reasonsOf(before: Reading | undefined, now: Reading, seconds: number): Reason[] {
  const reasons = DROPS.map((counter): Reason => {
    const total = now.threads.reduce((sum, { counts }) => sum + (counts[counter] ?? 0), 0);
    const rates = now.threads.map((_, thread) => rateOf(before, now, counter, seconds, thread));
    return { counter, rate: rates.reduce((sum, rate) => sum + rate, 0), total };
  });
  return reasons
    .filter(({ total }) => total > 0)
    .sort((a, b) => b.rate - a.rate || b.total - a.total)
    .slice(0, REASONS_MAX);
}

/** A count in at most five characters: 999, 12.3k, 4.56M. */
export function short(value: number): string {
  const rounded = Math.round(value);
  if (!(rounded < 1e12)) return 'many';
  if (rounded < 1000) return `${rounded}`;
  const power = rounded < 999_500 ? 1 : rounded < 999_500_000 ? 2 : 3;
  const part = rounded / 1000 ** power;
  const digits = part < 9.995 ? 2 : part < 99.95 ? 1 : 0;
  return `${part.toFixed(digits)}${['', 'k', 'M', 'G'][power]}`;
}

/** Microseconds in at most five characters: 999u, 12.3m, 4.56s. */
export function shortTime(us: number): string {
  if (us < 1000) return `${us}u`;
  const [part, unit] = us < 1_000_000 ? [us / 1000, 'm'] : [us / 1_000_000, 's'];
  return `${part.toFixed(part < 9.995 ? 2 : part < 99.95 ? 1 : 0)}${unit}`;
}

const NAME_WIDTH = 20;
/** One line: what stands in each column. */
const columnsOf = (name: string, thread: string, rest: string, numbers: string[]): string =>
  [name.padEnd(NAME_WIDTH), thread.padStart(2), rest.padEnd(6)]
    .concat(numbers.map((text, i) => text.padStart(NUMBER_WIDTHS[i]!)))
    .join(' ');

const NUMBER_WIDTHS = [5, 6, 5, 5, 5, 5, 5, 6];
const NUMBERS = ['BUSY', 'QUEUE', 'RX/s', 'TX/s', 'FLOWS', 'P50', 'P99', 'DROP/s'];
const HEADER = columnsOf('SERVICE', 'TH', 'STATE', NUMBERS);

function line(row: Row): string {
  const { name, thread, rest, busy, queue, rxRate, txRate, flows, latency, dropRate } = row;
  const time = (us: number): string => (latency.batches > 0 ? shortTime(us) : '-');
  return columnsOf(fit(name, NAME_WIDTH), `${thread}`, isOrphan(row.instance) ? 'orphan' : rest, [
    `${Math.round(100 * busy)}%`,
    short(queue),
    ...[rxRate, txRate, flows].map(short),
    ...[latency.p50Us, latency.p99Us].map(time),
    short(dropRate),
  ]);
}

/** The end of a name is its address, and tells more. */
const fit = (name: string, width: number): string =>
  name.length <= width ? name : `~${name.slice(1 - width)}`;

const cut = (text: string, columns: number): string => text.slice(0, columns);

export interface View {
  readonly rows: readonly Row[];
  readonly sort: Sort;
  /** Which row is picked. */
  readonly picked: number;
  /** Of the picked row's service. */
  readonly reasons: readonly Reason[];
  readonly columns: number;
  /** Most lines; Infinity: all. */
  readonly lines: number;
  /** The last line, and how often it is drawn again. */
  readonly footer: string;
}

/** The whole screen, top line first; a picked row begins the part below. */
export function screenOf(view: View): string[] {
  const { rows, picked, columns, lines, footer } = view;
  const services = new Set(rows.map(({ name }) => name)).size;
  const open = rows.reduce((sum, { flows }) => sum + flows, 0);
  const opened = rows.reduce((sum, { openRate }) => sum + openRate, 0);
  const title =
    `ix top: ${services} services, ${rows.length} threads, ${short(open)} connections ` +
    `(${short(opened)} new/s), by ${view.sort}`;
  const below = reasonLines(view);
  const room = Math.max(lines - below.length - 3, 1);
  const first = Math.min(Math.max(picked - room + 1, 0), Math.max(rows.length - room, 0));
  const shown = rows.slice(first, first + room).map(line);
  const all = [title, HEADER, ...shown, ...below, footer];
  return all.slice(0, lines).map((text) => cut(text, columns));
}

/** Where the picked row is on the screen, from 0. */
export function pickedLine({ rows, picked, lines, ...view }: View): number {
  const room = Math.max(lines - reasonLines({ rows, picked, lines, ...view }).length - 3, 1);
  const first = Math.min(Math.max(picked - room + 1, 0), Math.max(rows.length - room, 0));
  return 2 + picked - first;
}

function reasonLines({ rows, picked, reasons }: View): string[] {
  const name = rows[picked]?.name;
  if (name === undefined) return [];
  if (reasons.length === 0) return ['', `${name}: nothing dropped`];
  const lines = reasons.map(({ counter, rate, total }) => {
    const means = meaningOf(counter)?.[1] ?? '';
    const often = `${short(rate).padStart(5)}/s ${short(total).padStart(5)}`;
    return `  ${counter.padEnd(20)} ${often} ${means}`;
  });
  return ['', `${name} dropped (bin/ix explain says what to do):`, ...lines];
}
