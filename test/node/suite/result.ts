/**
 * What came of Node's own tests, kept as FOLDER/results/KEY/ARM/NAME.json, and the table.
 *
 * - KEY is the commit and a checksum of what is changed on top of it; plain Node has a KEY of its
 *   own, since nothing of ours is in it.
 *
 * Called by main.ts.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DEVIATIONS } from './deviations.ts';
import type { Chosen } from './selection.ts';

export type Verdict = 'pass' | 'fail' | 'skipped' | 'timeout';

export interface Outcome {
  readonly verdict: Verdict;
  readonly ms: number;
  /** How often it was run: a failure is tried again. */
  readonly tries: number;
  /** Of a failure: the end of what it said. */
  readonly said: string;
}

export class Outcomes {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #path(key: string, arm: string, name: string): string {
    return join(this.#folder, 'results', key, arm, `${name}.json`);
  }

  get(key: string, arm: string, name: string): Outcome | undefined {
    try {
      return JSON.parse(readFileSync(this.#path(key, arm, name), 'utf8'));
    } catch {
      return undefined;
    }
  }

  put(key: string, arm: string, name: string, outcome: Outcome): void {
    const path = this.#path(key, arm, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify(outcome, null, 1));
  }
}

export interface Row {
  readonly test: Chosen;
  /** By arm. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

export const isGood = (outcome: Outcome | undefined): boolean =>
  outcome?.verdict === 'pass' || outcome?.verdict === 'skipped';

/** Whether an arm of ours failed where plain Node passes. */
export const deviates = ({ outcomes }: Row): boolean =>
  outcomes.get('plain')?.verdict === 'pass' &&
  [...outcomes.values()].some((each) => each.verdict !== 'pass');

export const reasonOf = ({ test }: Row): string => DEVIATIONS[test.name] ?? '';

const line = (cells: readonly unknown[]): string =>
  `| ${cells.map((cell) => `${cell}`.replaceAll('|', '/').replaceAll('\n', ' ')).join(' | ')} |\n`;

const rule = (cells: readonly unknown[]): string => line(cells.map(() => '---'));

/** Of each kind: how many there are, are left out, pass plain, and pass in each arm. */
function counts(rows: readonly Row[], arms: readonly string[]): string {
  const ours = arms.filter((arm) => arm !== 'plain');
  const head = ['tests', 'all', 'left out', 'not on plain Node', 'pass on plain Node', ...ours];
  const kinds = [...new Set(rows.map(({ test }) => test.kind))];
  return [line(head), rule(head), ...kinds.map((kind) => line(countsOf(kind, rows, ours)))].join(
    '',
  );
}

function countsOf(kind: string, rows: readonly Row[], ours: readonly string[]): unknown[] {
  const own = rows.filter(({ test }) => test.kind === kind);
  const run = own.filter(({ test }) => test.leftOut === '');
  const plain = run.filter(({ outcomes }) => outcomes.get('plain')?.verdict === 'pass');
  const passing = (arm: string): number =>
    plain.filter(({ outcomes }) => outcomes.get(arm)?.verdict === 'pass').length;
  const sums = [own.length, own.length - run.length, run.length - plain.length, plain.length];
  return [kind, ...sums, ...ours.map(passing)];
}

/** Reasons, with how many and whose. */
function grouped(rows: readonly Row[], groupOf: (row: Row) => string): string {
  const groups = Map.groupBy(rows, groupOf);
  const head = ['reason', 'tests', 'which'];
  const nameOf = ({ test }: Row): string => test.name.replace(/^.*\/test-|\.m?js$/g, '');
  const lines = [...groups].map(([reason, own]) =>
    line([reason, own.length, own.map(nameOf).join(', ')]),
  );
  return [line(head), rule(head), ...lines].join('');
}

/** In Markdown. */
export function table(rows: readonly Row[], arms: readonly string[]): string {
  const run = rows.filter(({ test }) => test.leftOut === '');
  const bad = run.filter(({ outcomes }) => outcomes.get('plain')?.verdict !== 'pass');
  const verdicts = ({ outcomes }: Row): string =>
    arms.map((arm) => `${arm} ${outcomes.get(arm)?.verdict ?? '-'}`).join(', ');
  return [
    counts(rows, arms),
    '\nWhere we deviate:\n\n',
    grouped(run.filter(deviates), (row) => `${reasonOf(row) || 'not known'} (${verdicts(row)})`),
    '\nNot on plain Node:\n\n',
    grouped(bad, ({ outcomes }) => outcomes.get('plain')?.verdict ?? 'not run'),
    '\nLeft out:\n\n',
    grouped(
      rows.filter(({ test }) => test.leftOut !== ''),
      ({ test }) => test.leftOut,
    ),
  ].join('');
}
