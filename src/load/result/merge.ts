/**
 * One result of several generators that ran together.
 *
 * - Rates and counts are summed. Percentiles cannot be: they are those of the merged histograms,
 *   which is why every result carries its own.
 * - What is of one generator only (windows, single latencies) is left out.
 */
import { Histogram, type HistogramData, type LatencySummary } from './histogram.ts';
import type { LoadResult } from './result.ts';

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function merged(data: readonly HistogramData[]): {
  summary: LatencySummary;
  histogram: HistogramData;
} {
  const [first, ...others] = data.map((each) => Histogram.from(each));
  for (const other of others) first!.merge(other);
  return { summary: first!.summary(), histogram: first!.toJSON() };
}

/** Of at least one result; all of the same kind of run. */
export function mergeResults(results: readonly LoadResult[]): LoadResult {
  const [first, ...others] = results;
  if (first === undefined) throw new RangeError('there is no result to merge');
  if (others.length === 0) return first;
  const total = (name: keyof LoadResult): number =>
    sum(results.map((r) => (r[name] ?? 0) as number));
  const totals = (...names: (keyof LoadResult)[]): Partial<LoadResult> =>
    Object.fromEntries(
      names.filter((name) => first[name] !== undefined).map((name) => [name, total(name)]),
    );
  const latency = merged(results.map((r) => r.histogram));
  const messages = total('messages');
  const heapBytes = sum(results.map((r) => r.heapBytesPerMessage * r.messages));
  const { naive: _, windows: __, ...rest } = first;
  return {
    ...rest,
    ...totals('messages', 'messagesPerSecond', 'connections', 'offeredPerSecond', 'stalled'),
    ...totals('reopened', 'hits', 'misses', 'lost', 'sets'),
    latency: latency.summary,
    histogram: latency.histogram,
    ...optional('service', 'serviceHistogram', results),
    ...optional('lag', 'lagHistogram', results),
    heapBytesPerMessage: messages === 0 ? 0 : heapBytes / messages,
  };
}

function optional(
  name: 'service' | 'lag',
  histogramName: 'serviceHistogram' | 'lagHistogram',
  results: readonly LoadResult[],
): Partial<LoadResult> {
  const data = results.flatMap((r) => r[histogramName] ?? []);
  if (data.length < results.length) return {};
  const { summary, histogram } = merged(data);
  return { [name]: summary, [histogramName]: histogram };
}
