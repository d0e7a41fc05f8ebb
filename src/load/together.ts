/**
 * Several generators as one: connections and rate divided among them, begun at the same moment,
 * results merged.
 *
 * - A `Member` runs one generator somewhere: in a process here (`localMember`), or on another
 *   machine (agent.ts).
 * - The first member stores the keys, for all of them; then they open their connections, and begin
 *   `prepareMs` after they were told. Each takes that time from its own clock: the machines' clocks
 *   need not agree.
 */
import { OptionError } from '../errors.ts';
import type { GeneratorSettings } from './generator/options.ts';
import { type Carrier, type LoadPlan, runPoint } from './point/point.ts';
import { mergeResults } from './result/merge.ts';
import type { LoadResult } from './result/result.ts';

export interface Member {
  /** For messages. */
  readonly name: string;
  /** `startInMs`: from now until the warm-up begins; undefined: as soon as it is ready. */
  run(
    settings: GeneratorSettings,
    startInMs: number | undefined,
    signal?: AbortSignal,
  ): Promise<LoadResult>;
}

/** Runs a load as its settings say, on however many generators. */
export type RunLoad = (settings: GeneratorSettings) => Promise<LoadResult>;

export const localMember = (carrier: Carrier, onProgress?: LoadPlan['onProgress']): Member => ({
  name: 'this machine',
  run: (settings, startInMs, signal) => {
    const startAtMs = startInMs === undefined ? 0 : Date.now() + startInMs;
    return runPoint({ settings: { ...settings, startAtMs }, carrier, onProgress, signal });
  },
});

/** The i-th of `count` nearly equal parts of a whole number. */
const part = (whole: number, count: number, i: number): number =>
  Math.floor((whole * (i + 1)) / count) - Math.floor((whole * i) / count);

/** What each of `count` generators does of a whole load. */
export function divide(settings: GeneratorSettings, count: number): GeneratorSettings[] {
  const connections = Number(settings.connections ?? 16);
  if (connections < count) {
    throw new OptionError(
      `${count} generators cannot share ${connections} connections`,
      `give at least ${count} with --connections`,
    );
  }
  const rate = Number(settings.rate ?? 0);
  return Array.from({ length: count }, (_, index) => ({
    ...settings,
    connections: part(connections, count, index),
    rate: rate / count,
    index,
  }));
}

export function together(members: readonly Member[], prepareMs: number): RunLoad {
  const [first, ...others] = members;
  if (first === undefined) throw new RangeError('a load needs a generator');
  if (others.length === 0) return (settings) => first.run(settings, undefined);
  return async (settings) => {
    const shares = divide(settings, members.length);
    const stores = settings.protocol !== 'echo' && settings.fill !== 'no';
    if (stores) {
      const stored = await first.run({ ...shares[0], fill: 'only', rate: 0 }, undefined);
      if (settings.fill === 'only') return stored;
    }
    const running = members.map(async (member, i) => {
      try {
        return await member.run({ ...shares[i], fill: 'no' }, prepareMs);
      } catch (error) {
        (error as Error).message = `${member.name}: ${(error as Error).message}`;
        throw error;
      }
    });
    // All of them end before one failure is told: none must be left running.
    const ends = await Promise.allSettled(running);
    const failure = ends.find((end) => end.status === 'rejected');
    if (failure) throw failure.reason;
    return mergeResults(ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : [])));
  };
}
