/**
 * What an experiment of the paper is to the rest of `ix bench paper`, and what it leaves behind.
 *
 * - An experiment is a file here: its head comment, and its `paper`, `ours`, `differs`, say what
 *   the paper did, what we do, and what is not the same. The report prints them beside the plot.
 * - Its outcome is series of points. A point has an x and metrics; a metric has every round's
 *   value, their median and spread. Charts only say which metric goes on which axis: every number
 *   drawn is one of these.
 * - What could not be measured stands in the series, as `missing` (not on this machine) or
 *   `failures`.
 */
import type { Spread } from '../harness/statistics.ts';

export const LEVELS = ['full', 'short', 'quick'] as const;
export type Level = (typeof LEVELS)[number];

export interface Settings {
  level: Level;
  rounds: number;
  /** Measured time of one point. */
  seconds: number;
  warmupSeconds: number;
  serverCpu: number;
  clientCpu: number;
  /** Idle policy of our servers. */
  idle: 'spin' | 'adaptive' | 'sleep';
  /** Points of the search by whole runs after the first; absent: as the level says (whole.ts). */
  points?: number;
}

export interface Context {
  settings: Settings;
  /** performance.now() after which no new measurement begins. */
  deadlineMs: number;
  progress(line: string): void;
}

export interface Metric extends Spread {
  values: number[];
  /** The round of each value, from 1. */
  rounds: number[];
}

export interface Point {
  x: number;
  metrics: Record<string, Metric>;
}

export interface Series {
  name: string;
  title: string;
  missing?: string;
  failures: string[];
  points: Point[];
}

export interface Axis {
  label: string;
  /** Absent: the point's x. */
  metric?: string;
  log?: boolean;
  /** What a value is multiplied by, for the axis' unit. */
  scale?: number;
}

export interface Chart {
  title: string;
  kind: 'lines' | 'bars';
  x: Axis;
  y: Axis;
  /** Names of the series drawn; default: all. */
  only?: readonly string[];
  /** bars: what each x is called. */
  names?: Record<number, string>;
}

/** What is no curve. */
export interface Table {
  title: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

export interface Outcome {
  series: Series[];
  charts: Chart[];
  /** Ours over theirs. */
  ratios: Record<string, Spread>;
  /** Ratios that this run must not claim, and why. */
  voids?: Record<string, string>;
  /** What a reader must know of this run. */
  notes: string[];
  tables?: Table[];
}

export interface Experiment {
  name: string;
  title: string;
  paper: string;
  ours: string;
  differs: string;
  run(context: Context): Promise<Outcome>;
}

/** One of three values, by the level of the run. */
export const byLevel = <T>({ settings }: Context, full: T, short: T, quick: T): T =>
  ({ full, short, quick })[settings.level];
