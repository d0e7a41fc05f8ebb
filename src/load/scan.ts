/**
 * Several load points: one after the other over given rates, or as many as it takes to find the
 * highest rate within an objective.
 *
 * - Keys are stored by the first point only.
 * - A rate meets an objective when the percentile is within it, everything that was due was
 *   answered, and the rate of answers is the offered one (within KEPT): a percentile of what a
 *   server did not turn away would flatter it.
 * - The search asks a closed loop for the most that can be had, and then bisects below it.
 */
import { OptionError } from '../errors.ts';
import type { GeneratorSettings } from './generator/options.ts';
import { Histogram } from './result/histogram.ts';
import type { LoadResult } from './result/result.ts';
import type { RunLoad } from './together.ts';

/** Share of the offered rate that must be answered within the measured time. */
const KEPT = 0.97;
/** The bracket is narrowed to this share of the rate. */
const PRECISION = 0.02;
/** Ends a search whose answers contradict each other: halving to PRECISION takes fewer. */
const POINTS_MAX = 12;

export interface Objective {
  percent: number;
  limitNs: number;
}

export type OnPoint = (result: LoadResult) => void;

const UNITS_NS: Record<string, number> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** 'p99:500us' */
export function parseObjective(text: string): Objective {
  const [, percent, limit, unit] =
    /^p(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)(ns|us|ms|s)$/.exec(text) ?? [];
  const objective = { percent: Number(percent), limitNs: Number(limit) * UNITS_NS[unit ?? '']! };
  if (!(objective.percent > 0 && objective.percent < 100 && objective.limitNs > 0)) {
    throw new OptionError(`'${text}' is not an objective`, 'write it like p99:500us');
  }
  return objective;
}

/** '10000:100000:10000' (from, to, step), or rates with commas. */
export function parseRates(text: string): number[] {
  const [from = 0, to = 0, step = 0] = text.split(':').map(Number);
  const count = Math.floor((to - from) / step) + 1;
  const isRange = text.split(':').length === 3 && count >= 1 && count <= 1000;
  const rates = isRange
    ? Array.from({ length: count }, (_, i) => from + i * step)
    : text.split(',').map(Number);
  if (rates.every((rate) => rate > 0)) return rates;
  throw new OptionError(`'${text}' are no rates`, 'write FROM:TO:STEP or rates with commas');
}

export const percentileNs = ({ histogram }: LoadResult, percent: number): number =>
  Histogram.from(histogram).percentile(percent) * histogram.unitNs;

export function meets(result: LoadResult, { percent, limitNs }: Objective): boolean {
  const offered = result.offeredPerSecond ?? 0;
  const isKept = result.stalled === 0 && result.messagesPerSecond >= offered * KEPT;
  return isKept && percentileNs(result, percent) <= limitNs;
}

/** One point a rate. */
export async function scanRates(
  run: RunLoad,
  settings: GeneratorSettings,
  rates: readonly number[],
  onPoint: OnPoint = () => {},
): Promise<LoadResult[]> {
  const results: LoadResult[] = [];
  let fill = settings.fill;
  for (const rate of rates) {
    const result = await run({ ...settings, rate, ...(fill === undefined ? {} : { fill }) });
    fill = 'no';
    results.push(result);
    onPoint(result);
  }
  return results;
}

export interface Found {
  objective: Objective;
  /** The closed loop's messages per second: the search was below it. */
  peakPerSecond: number;
  /** Undefined: no rate that was tried meets it. */
  best: LoadResult | undefined;
  /** In the order in which they were tried, the closed loop first. */
  points: LoadResult[];
}

export async function searchRate(
  run: RunLoad,
  settings: GeneratorSettings,
  objective: Objective,
  onPoint: OnPoint = () => {},
): Promise<Found> {
  const points: LoadResult[] = [];
  const measure = async (rate: number, fill: GeneratorSettings['fill']): Promise<LoadResult> => {
    const result = await run({ ...settings, rate, ...(fill === undefined ? {} : { fill }) });
    points.push(result);
    onPoint(result);
    return result;
  };
  const peakPerSecond = (await measure(0, settings.fill)).messagesPerSecond;
  let low = 0;
  let high = peakPerSecond;
  let best: LoadResult | undefined;
  while (points.length <= POINTS_MAX && high - low > high * PRECISION && high >= 1) {
    const rate = best === undefined && points.length === 1 ? high * 0.75 : (low + high) / 2;
    const result = await measure(Math.round(rate), 'no');
    if (meets(result, objective)) {
      best = result;
      low = rate;
    } else high = rate;
  }
  return { objective, peakPerSecond, best, points };
}
