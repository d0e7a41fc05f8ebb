/**
 * What the benchmarks measure: our client against whatever serves at `host`.
 *
 * - Saturation: N connections with `depth` messages in flight each. Round trip: one connection, one
 *   message in flight.
 * - The same client for all: our dataplane client (src/load) on the other core.
 */
import type { LoadResult } from '../../src/load/result/result.ts';
import { progress } from './bench.ts';
import type { BenchOptions } from './options.ts';
import type { Sample } from './rounds.ts';
import { runClient } from './run.ts';

const ECHO_PORT = 7;
const KV_PORT = 11_211;
export const KEYS = 100_000;
export const HIT_RATIO = 0.95;

export async function echoSaturation(host: string, options: BenchOptions): Promise<Sample> {
  const { connections, depth } = options;
  const result = await echoClient(host, options, { connections, depth, clock: 'batch' });
  return { messagesPerSecond: result.messagesPerSecond, p99Ns: result.latency.p99Ns };
}

export async function echoRoundTrip(host: string, options: BenchOptions): Promise<Sample> {
  const result = await echoClient(host, options, { connections: 1, depth: 1, clock: 'fine' });
  return { rttNs: result.latency.p50Ns, rttP99Ns: result.latency.p99Ns };
}

function echoClient(host: string, options: BenchOptions, more: Record<string, string | number>) {
  return runClient({
    module: 'echo-client',
    cpu: options.clientCpu,
    options: { host, port: ECHO_PORT, size: options.size, ...times(options), ...more },
  });
}

export async function kvSaturation(host: string, options: BenchOptions): Promise<Sample> {
  const { connections, depth } = options;
  const result = await runClient({
    module: 'kv-client',
    cpu: options.clientCpu,
    options: {
      ...{ host, port: KV_PORT, connections, depth, keys: KEYS, hitRatio: HIT_RATIO },
      ...times(options),
    },
  });
  if (result.lost) progress(`${host}: ${result.lost} stored keys were gone`);
  return {
    messagesPerSecond: result.messagesPerSecond,
    p99Ns: result.latency.p99Ns,
    hitRatio: hitRatioOf(result),
  };
}

const hitRatioOf = ({ hits = 0, misses = 0 }: LoadResult): number => hits / (hits + misses);

const times = ({ warmupSeconds, seconds }: BenchOptions) => ({
  warmupMs: Math.round(warmupSeconds * 1000),
  durationMs: Math.round(seconds * 1000),
});
