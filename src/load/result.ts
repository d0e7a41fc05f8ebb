/**
 * What a load application reports: the contract between a client inside a dataplane and whoever started it.
 *
 * - Exactly one report ends a run: `load` (a measurement) or `load-failed` (one sentence).
 * - Plain JSON: it travels from the dataplane's process to the benchmark's.
 */
import type { HistogramData, LatencySummary } from './histogram.ts';

export interface LoadResult {
  kind: 'load';
  /** Exchanges completed and verified inside the measured time. */
  messages: number;
  seconds: number;
  messagesPerSecond: number;
  connections: number;
  depth: number;
  latency: LatencySummary;
  histogram: HistogramData;
  /** JavaScript heap that the client allocated per message, bytes. */
  heapBytesPerMessage: number;
  /** Exchanges that had waited longer than half a second when the measurement ended. */
  stalled: number;
  /** Echo: bytes of one message. */
  size?: number;
  /** kv: replies with and without a value, and stored keys that the server no longer had. */
  hits?: number;
  misses?: number;
  lost?: number;
}

export interface LoadFailure {
  kind: 'load-failed';
  message: string;
}

export type LoadReport = LoadResult | LoadFailure;

/** Whether a report of an application ends a load run. */
export function isLoadReport(value: unknown): value is LoadReport {
  const kind = (value as { kind?: unknown } | null)?.kind;
  return kind === 'load' || kind === 'load-failed';
}
