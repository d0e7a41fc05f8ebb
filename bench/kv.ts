/**
 * `ix bench kv`: GETs per second of a memcached-compatible server, ours beside Debian's memcached
 * with one thread.
 *
 * - 100,000 keys with values of 32 bytes; 95 % of the GETs ask for a stored one; N connections with
 *   one request in flight each. The same client for both: our dataplane client
 *   (src/load/closed/kv-client.ts) on the other core.
 *
 * Ratios, ours / theirs: vsMemcached; vsMemcachedOneCore (the kernel receives on the server's core,
 * too: harness/network.ts). Compare: OSDI'14 section 5.5.
 */
import { ours, runBench, theirs } from './harness/bench.ts';
import { HIT_RATIO, KEYS, kvSaturation } from './harness/measure.ts';
import { parseBenchOptions } from './harness/options.ts';
import { onOneCore, peerNamed } from './harness/peers.ts';

const MEMORY_MIB = 1024;

export default async function kv(args: string[]): Promise<void> {
  const options = parseBenchOptions(
    'kv',
    'memcached-compatible servers, ours beside memcached',
    args,
  );
  if (!options) return;
  const { connections, depth, seconds, serverCpu: cpu, idle, domain } = options;
  const measure = (address: string) => kvSaturation(address, options);
  await runBench({
    name: 'kv',
    options,
    settings: { connections, depth, seconds, keys: KEYS, hitRatio: HIT_RATIO, idle, domain },
    contenders: [
      ours('ours, AF_XDP', { app: 'kv', cpu, idle, domain, memory: MEMORY_MIB }, measure),
      theirs(peerNamed('memcached'), cpu, measure),
      theirs(onOneCore(peerNamed('memcached')), cpu, measure),
    ],
    ratios: [
      { name: 'vsMemcached', metric: 'messagesPerSecond', theirs: 'memcached' },
      { name: 'vsMemcachedOneCore', metric: 'messagesPerSecond', theirs: 'memcachedOneCore' },
    ],
  });
}
