/**
 * Rounds: every contender in turn, then all of them again (A B C A B C ...), so that whatever
 * changes on the machine during a benchmark falls on all of them alike.
 *
 * - A contender that is missing on this machine takes part in no round, and stands in the results
 *   as missing.
 * - One that fails (a lost connection, on a machine that others use) says so and is run once more,
 *   in the same round; the report names it. Failing again ends the benchmark, with both reasons: a
 *   result with a hole in it would be read as whole.
 * - Each run of a contender yields numbers by name ('messagesPerSecond', 'rttNs'); they are kept
 *   round by round.
 */
import { UserError } from '../../src/errors.ts';
import { type Spread, spreadOf } from './statistics.ts';

export type Sample = Record<string, number>;

export interface Contender {
  name: string;
  title: string;
  missing?: string | undefined;
  run(): Promise<Sample>;
}

/** Of one contender: every number's spread and its values by round; or what is missing. */
export type Result =
  | { title: string; missing: string }
  | { title: string; metrics: Record<string, Spread & { values: number[] }> };

export type Results = Record<string, Result>;

/** It failed twice in a row. */
export class RoundError extends UserError {
  override readonly exitCode = 1;
  constructor(first: string, second: string) {
    const remedy = 'try again when nothing else uses this machine';
    super('IX_BENCH_ROUND', `failed twice: ${first}; then: ${second}`, remedy);
  }
}

const reasonOf = (error: unknown): string => {
  if (error instanceof Error) return error.message.split('\n')[0]!;
  return String(error);
};

/** A measurement that may fail once; `repeats` hears why it did. Throws RoundError. */
export async function twice<T>(
  measure: () => Promise<T>,
  repeats: (why: string) => void,
): Promise<T> {
  let first: string;
  try {
    return await measure();
  } catch (error) {
    first = reasonOf(error);
  }
  repeats(first);
  try {
    return await measure();
  } catch (error) {
    throw new RoundError(first, reasonOf(error));
  }
}

/** `repeated` gets a line for every round that was run twice. */
export async function runRounds(
  contenders: readonly Contender[],
  rounds: number,
  progress: (line: string) => void,
  repeated: string[] = [],
): Promise<Results> {
  const sampleOf = ({ title, run }: Contender, round: number): Promise<Sample> =>
    twice(run, (why) => {
      progress(`round ${round} of ${rounds}: ${title}: failed: ${why}; once more`);
      repeated.push(`round ${round} of ${title} was repeated: ${why}`);
    });
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
  const present = contenders.filter(({ missing }) => missing === undefined);
  for (const { title, missing } of contenders)
    if (missing) progress(`${title}: missing: ${missing}`);
  for (let round = 1; round <= rounds; round++) {
    for (const contender of present) {
      const sample = await sampleOf(contender, round);
      samples.get(contender.name)!.push(sample);
      progress(`round ${round} of ${rounds}: ${contender.title}: ${describe(sample)}`);
    }
  }
  return Object.fromEntries(
    contenders.map(({ name, title, missing }): [string, Result] => [
      name,
      missing === undefined
        ? { title, metrics: summarise(samples.get(name)!) }
        : { title, missing },
    ]),
  );
}

/** A metric's values round by round, or undefined when that contender has none. */
export function valuesOf(results: Results, name: string, metric: string): number[] | undefined {
  const result = results[name];
  return result && 'metrics' in result ? result.metrics[metric]?.values : undefined;
}

/** Numbers of all rounds, by name. */
export function summarise(
  samples: readonly Sample[],
): Record<string, Spread & { values: number[] }> {
  const metrics = Object.keys(samples[0] ?? {});
  return Object.fromEntries(
    metrics.map((metric) => {
      const values = samples.map((sample) => sample[metric]!);
      return [metric, { ...spreadOf(values), values }];
    }),
  );
}

/** A number with its unit, as its name says it: '345,678 /s', '12.3 us'. */
export function formatMetric(name: string, value: number): string {
  if (name.endsWith('Ns')) return `${(value / 1000).toFixed(1)} us`;
  if (name.endsWith('Us')) return `${value.toFixed(1)} us`;
  if (name.endsWith('PerSecond')) return `${Math.round(value).toLocaleString('en')} /s`;
  if (name.endsWith('Ratio')) return `${(value * 100).toFixed(1)} %`;
  return Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(3);
}

const describe = (sample: Sample): string =>
  Object.entries(sample)
    .map(([name, value]) => `${name} ${formatMetric(name, value)}`)
    .join(', ');
