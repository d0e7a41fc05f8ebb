/**
 * How experiments measure: lines (contenders) in turn, round after round (A B C A B C ...), each
 * with all its points while its server runs.
 *
 * - A point that fails is measured once more; failing again it is left out of later rounds of that
 *   line, and a line whose server does not start as well. Both are noted. Nothing that fails ends
 *   the experiment.
 * - After the deadline nothing new begins: what has been measured counts, and the series says what
 *   is not there.
 */
import { onLink } from '../harness/bench.ts';
import { type Peer, startPeer } from '../harness/peers.ts';
import { formatMetric, type Sample, twice } from '../harness/rounds.ts';
import { type OursPlan, startOurs } from '../harness/run.ts';
import { ratioOf, type Spread, spreadOf } from '../harness/statistics.ts';
import type { Context, Metric, Series } from './experiment.ts';

/** What a line does its measuring with, in one round. */
export interface Round {
  /** Measures one point, unless it failed before or there is no time left. */
  point(x: number, measure: () => Promise<Sample>): Promise<void>;
  add(x: number, sample: Sample): void;
}

export interface Line {
  name: string;
  title: string;
  missing?: string | undefined;
  round(round: Round): Promise<void>;
}

export type Measure = (address: string, round: Round) => Promise<void>;

export const oursLine = (
  name: string,
  title: string,
  plan: Omit<OursPlan, 'address'>,
  measure: Measure,
): Line => ({
  name,
  title,
  round: (round) =>
    onLink(
      'ours',
      (address) => startOurs({ ...plan, address }),
      (address) => measure(address, round),
    ),
});

export const peerLine = (peer: Peer, { settings }: Context, measure: Measure): Line => ({
  name: peer.name,
  title: peer.title,
  missing: peer.missing(),
  round: (round) =>
    onLink(
      'kernel',
      (address) => startPeer(peer, address, settings.serverCpu),
      (address) => measure(address, round),
    ),
});

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message.split('\n')[0]! : String(error);

class Recorder {
  readonly series: Series;
  readonly #context: Context;
  readonly #failed = new Set<number>();
  isBroken = false;
  #round = 0;

  constructor({ name, title, missing }: Line, context: Context) {
    this.#context = context;
    this.series = { name, title, ...(missing ? { missing } : {}), failures: [], points: [] };
  }

  get isLate(): boolean {
    return performance.now() > this.#context.deadlineMs;
  }

  async run(line: Line, number: number): Promise<void> {
    this.#round = number;
    const add = (x: number, sample: Sample) => this.#add(x, sample);
    const point = async (x: number, measure: () => Promise<Sample>) => {
      if (this.#failed.has(x)) return;
      if (this.isLate) {
        this.#failed.add(x);
        return this.failed(`at ${x}: no time left in round ${number}`);
      }
      try {
        add(
          x,
          await twice(measure, (why) =>
            this.failed(`at ${x}: repeated in round ${number}: ${why}`),
          ),
        );
      } catch (error) {
        this.#failed.add(x);
        this.failed(`at ${x}: ${messageOf(error)}`);
      }
    };
    try {
      await line.round({ add, point });
    } catch (error) {
      this.isBroken = true;
      this.failed(messageOf(error));
    }
  }

  failed(text: string): void {
    this.series.failures.push(text);
    this.#context.progress(`${this.series.title}: FAILED: ${text}`);
  }

  #add(x: number, sample: Sample): void {
    addSample(this.series, x, sample, this.#round);
    const text = Object.entries(sample).map(
      ([name, value]) => `${name} ${formatMetric(name, value)}`,
    );
    this.#context.progress(`  ${this.series.title}, ${x}: ${text.join(', ')}`);
  }
}

/** One more value of each number at x, of the round. */
export function addSample({ points }: Series, x: number, sample: Sample, round: number): void {
  let point = points.find((each) => each.x === x);
  if (point === undefined) {
    point = { x, metrics: {} };
    points.push(point);
    points.sort((a, b) => a.x - b.x);
  }
  for (const [name, value] of Object.entries(sample)) {
    const before = point.metrics[name];
    const values = [...(before?.values ?? []), value];
    const rounds = [...(before?.rounds ?? []), round];
    point.metrics[name] = { ...spreadOf(values), values, rounds };
  }
}

export async function sweep(lines: readonly Line[], context: Context): Promise<Series[]> {
  const recorders = lines.map((line) => new Recorder(line, context));
  for (const { title, missing } of lines) {
    if (missing) context.progress(`${title}: missing: ${missing}`);
  }
  const { rounds } = context.settings;
  for (let number = 1; number <= rounds; number++) {
    for (const [i, line] of lines.entries()) {
      const recorder = recorders[i]!;
      if (line.missing !== undefined || recorder.isBroken) continue;
      if (recorder.isLate) recorder.failed(`no time left in round ${number} of ${rounds}`);
      else {
        context.progress(`round ${number} of ${rounds}: ${line.title}`);
        await recorder.run(line, number);
      }
    }
  }
  return recorders.map(({ series }) => series);
}

export const metricAt = (
  series: readonly Series[],
  name: string,
  metric: string,
  x: number,
): Metric | undefined =>
  series.find((each) => each.name === name)?.points.find((point) => point.x === x)?.metrics[metric];

/** Ours over theirs, round by round; undefined when no round has both. */
export function ratioOfMetrics(
  mine: Metric | undefined,
  theirs: Metric | undefined,
): Spread | undefined {
  if (!mine || !theirs) return undefined;
  const shared = mine.rounds.filter((round) => theirs.rounds.includes(round));
  if (shared.length === 0) return undefined;
  const at = (metric: Metric) =>
    shared.map((round) => metric.values[metric.rounds.indexOf(round)]!);
  return ratioOf(at(mine), at(theirs));
}

/** Those of the ratios that there are; a rate that was never reached (0) makes none. */
export const present = (ratios: Record<string, Spread | undefined>): Record<string, Spread> =>
  Object.fromEntries(
    Object.entries(ratios).filter(
      (entry): entry is [string, Spread] =>
        entry[1] !== undefined && Number.isFinite(entry[1].min) && Number.isFinite(entry[1].max),
    ),
  );
