/**
 * What a load application reports: the contract between a client inside a dataplane and whoever
 * started it.
 *
 * - Exactly one report ends a run: `load` (a measurement) or `load-failed` (one sentence).
 * - Plain JSON: it travels from the dataplane's process to the benchmark's.
 */
import type { HistogramData, LatencySummary } from './histogram.ts';
import type { SlowRequest } from './worst.ts';

/**
 * What a recorder measured. The first two are of every run, the others of an open loop, `naive` is
 * for tests.
 */
export interface LatencyRecord {
  /** From when a request was due; in a closed loop it is due when it is sent. */
  latency: LatencySummary;
  histogram: HistogramData;
  /** From when it was sent. */
  service?: LatencySummary;
  serviceHistogram?: HistogramData;
  /**
   * From when it was due until it was sent: how far the generator, or a full connection, was
   * behind.
   */
  lag?: LatencySummary;
  lagHistogram?: HistogramData;
  /** `latency` of each window of the measured time. */
  windows?: LatencySummary[];
  /** The slowest requests, slowest first. */
  worst?: SlowRequest[];
  /** With them: begin and end of the measured time, CLOCK_MONOTONIC, milliseconds. */
  measuredMs?: [number, number];
  /** Percentiles by sorting the first latencies of the run, nanoseconds. */
  naive?: Record<string, number>;
}

export interface LoadResult extends LatencyRecord {
  kind: 'load';
  /** Exchanges completed and verified inside the measured time. */
  messages: number;
  seconds: number;
  messagesPerSecond: number;
  connections: number;
  depth: number;
  /** Open loop: requests due per second, and how their times are distributed. */
  offeredPerSecond?: number;
  arrival?: string;
  /** JavaScript heap that the client allocated per message, bytes. */
  heapBytesPerMessage: number;
  /** Exchanges that were given up: without an answer when the run ended. */
  stalled: number;
  /** Connections that were opened anew. */
  reopened?: number;
  /** Echo: bytes of one message. */
  size?: number;
  /** kv: replies with and without a value, and stored keys that the server no longer had. */
  hits?: number;
  misses?: number;
  lost?: number;
  sets?: number;
}

/** Now and then while a generator runs. */
export interface LoadProgress {
  kind: 'load-progress';
  phase: 'storing' | 'warming' | 'measuring' | 'draining';
  /** Requests in all, so far. */
  sent: number;
  answered: number;
  /** Of the measured time, so far. */
  p50Ns: number;
  p99Ns: number;
}

export interface LoadFailure {
  kind: 'load-failed';
  message: string;
}

export type LoadReport = LoadResult | LoadFailure;

export const isLoadProgress = (value: unknown): value is LoadProgress =>
  (value as { kind?: unknown } | null)?.kind === 'load-progress';

/** Whether a report of an application ends a load run. */
export function isLoadReport(value: unknown): value is LoadReport {
  const kind = (value as { kind?: unknown } | null)?.kind;
  return kind === 'load' || kind === 'load-failed';
}
