/**
 * The table of `ix bench goodput`: figures by cell and pairing, their ratios, what counts as a
 * failure, and the forms in which it is kept (snapshot.json) and shown (Markdown in
 * docs/goodput.md).
 *
 * - A figure is the median over the seeds, with least and most. A ratio is taken seed by seed (both
 *   flows of a seed meet the same losses) over the sums of bytes: one lucky seed of a heavy tail
 *   must not decide.
 * - A flow stalls when its receiver hears nothing new for longer than `stallMs` of its round trip.
 */
import type { Machine } from '../harness/machine.ts';
import { type Spread, spreadOf } from '../harness/statistics.ts';
import { type Conditions, nameOf, PAIRINGS, pairingName } from './conditions.ts';

/**
 * Linux's retransmission timeout begins at a round trip and 200 ms, and doubles: five lost in a
 * row, and more is a defect.
 */
export const stallMs = (rttMs: number): number => 31 * (rttMs + 200) + 300;

export interface Figure extends Spread {
  /** Mbit/s by seed. */
  values: number[];
  longestGapMs: number;
}

export interface CellFigures extends Conditions {
  ms: number;
  /** By pairing, 'ours->linux'. */
  figures: Record<string, Figure>;
}

export interface Snapshot {
  machine: Machine;
  cells: CellFigures[];
}

export const figureOf = (values: number[], longestGapMs: number): Figure => ({
  ...spreadOf(values),
  values,
  longestGapMs,
});

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/**
 * Our sender beside Linux's, towards both receivers together: all seeds' goodput of one over the
 * other's.
 */
export function senderRatio({ figures }: CellFigures): number {
  const of = (from: string): number =>
    sum(PAIRINGS.flatMap((p) => (p.from === from ? figures[pairingName(p)]!.values : [])));
  return of('ours') / of('linux');
}

/**
 * Cells that were measured again replace what was known of them; the order is that of the
 * conditions.
 */
export function merge(old: readonly CellFigures[], fresh: readonly CellFigures[]): CellFigures[] {
  const cells = new Map([...old, ...fresh].map((cell) => [nameOf(cell), cell]));
  return [...cells.values()].sort(
    (a, b) => Number(a.reorders) - Number(b.reorders) || a.rttMs - b.rttMs || a.loss - b.loss,
  );
}

/** One sentence for each cell that misses the target; none: all is well. */
export function problemsOf(cells: readonly CellFigures[], tolerance = 0.9): string[] {
  return cells.flatMap((cell) => {
    const ratio = senderRatio(cell);
    const slow =
      ratio < tolerance ? [`${nameOf(cell)}: ours sends ${ratio.toFixed(2)} x Linux`] : [];
    const stalled = Object.entries(cell.figures)
      .filter(([, { longestGapMs }]) => longestGapMs > stallMs(cell.rttMs))
      .map(([name, { longestGapMs }]) => `${nameOf(cell)}: ${name} stood still ${longestGapMs} ms`);
    return [...slow, ...stalled];
  });
}

const short = (mbits: number): string => mbits.toFixed(mbits < 10 ? 2 : 1);

const rowOf = (cell: CellFigures): string[] => [
  `${cell.loss} %`,
  `${cell.rttMs} ms`,
  cell.reorders ? 'on' : 'off',
  ...PAIRINGS.map((pairing) => {
    const { median, min, max } = cell.figures[pairingName(pairing)]!;
    return `${short(median)} (${short(min)}-${short(max)})`;
  }),
  senderRatio(cell).toFixed(2),
];

const HEAD = [
  'loss',
  'round trip',
  'reordering',
  ...PAIRINGS.map(({ from, to }) => `${from} to ${to}`),
  'ours / Linux as sender',
];

export const tableOf = (cells: readonly CellFigures[]): string[][] => [HEAD, ...cells.map(rowOf)];

export function markdownOf(cells: readonly CellFigures[]): string {
  const [head, ...rows] = tableOf(cells).map((row) => `| ${row.join(' | ')} |`);
  return [head, `|${'---|'.repeat(HEAD.length)}`, ...rows].join('\n');
}
