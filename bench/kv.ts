/**
 * `ix bench kv`: GETs per second of a memcached-compatible server, ours beside Debian's memcached with one thread.
 *
 * - 100,000 keys with values of 32 bytes; 95 % of the GETs ask for a stored one; N connections with one request in
 *   flight each. The same client for both: our dataplane client (src/load/kv-client.ts) on the other core.
 *
 * Ratio, ours / theirs: vsMemcached. Compare: OSDI'14 section 5.5.
 */
import type { LoadResult } from '../src/load/result.ts';
import { ours, progress, runBench, theirs } from './harness/bench.ts';
import { type BenchOptions, parseBenchOptions } from './harness/options.ts';
import { peerNamed } from './harness/peers.ts';
import type { Sample } from './harness/rounds.ts';
import { runClient } from './harness/run.ts';

const PORT = 11_211;
const KEYS = 100_000;
const HIT_RATIO = 0.95;
const MEMORY_MIB = 1024;

export default async function kv(args: string[]): Promise<void> {
  const options = parseBenchOptions(
    'kv',
    'memcached-compatible servers, ours beside memcached',
    args,
  );
  if (!options) return;
  const { connections, depth, seconds, serverCpu: cpu, idle } = options;
  const measure = (address: string) => saturation(address, options);
  await runBench({
    name: 'kv',
    options,
    settings: { connections, depth, seconds, keys: KEYS, hitRatio: HIT_RATIO, idle },
    contenders: [
      ours('ours, AF_XDP', { app: 'kv', cpu, idle, memory: MEMORY_MIB }, measure),
      theirs(peerNamed('memcached'), cpu, measure),
    ],
    ratios: [{ name: 'vsMemcached', metric: 'messagesPerSecond', theirs: 'memcached' }],
  });
}

async function saturation(host: string, options: BenchOptions): Promise<Sample> {
  const result = await runClient({
    module: 'kv-client',
    cpu: options.clientCpu,
    options: {
      host,
      port: PORT,
      connections: options.connections,
      depth: options.depth,
      keys: KEYS,
      hitRatio: HIT_RATIO,
      warmupMs: Math.round(options.warmupSeconds * 1000),
      durationMs: Math.round(options.seconds * 1000),
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
