/** Results of load points that nobody measured, for tests of what is made of them. */
import { Histogram } from '../../src/load/result/histogram.ts';
import type { LoadResult } from '../../src/load/result/result.ts';

/** `latenciesNs`: multiples of 100. */
export function resultOf(
  latenciesNs: readonly number[],
  more: Partial<LoadResult> = {},
): LoadResult {
  const histogram = new Histogram(100);
  for (const ns of latenciesNs) histogram.record(ns / 100);
  return {
    ...{ kind: 'load', messages: latenciesNs.length, seconds: 1, connections: 2, depth: 1 },
    messagesPerSecond: latenciesNs.length,
    latency: histogram.summary(),
    histogram: histogram.toJSON(),
    ...{ heapBytesPerMessage: 0, stalled: 0 },
    ...more,
  };
}
