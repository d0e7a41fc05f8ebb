/**
 * `ix bench echo`: messages per second and round trips of an echo server, ours beside what a user
 * would run instead.
 *
 * - Contenders: ours; a C epoll server and Node's net on the kernel's TCP; and a bare AF_XDP
 *   reflector as the limit.
 * - Saturation: N connections with one message in flight each. Round trip: one connection, one
 *   message in flight.
 * - The same client for all: our dataplane client (src/load/closed/echo-client.ts) on the other
 *   core.
 *
 * Ratios, ours / theirs: vsLinuxEpoll; vsLinuxEpollOneCore (the kernel receives on the server's
 * core, too: harness/network.ts); vsNodeNet; vsLimit (messages against frames per second);
 * rttVsLinux and rttVsLinuxSpin (median round trips: below 1 is faster). Compare: the paper's Fig.
 * 3, OSDI'14 section 5.3.
 */
import { onLink, ours, runBench, theirs } from './harness/bench.ts';
import { measureLimit } from './harness/limit.ts';
import { echoRoundTrip, echoSaturation } from './harness/measure.ts';
import { type BenchOptions, parseBenchOptions } from './harness/options.ts';
import { onOneCore, peerNamed } from './harness/peers.ts';
import type { RatioPlan } from './harness/report.ts';
import type { Contender, Sample } from './harness/rounds.ts';

const RATIOS: readonly RatioPlan[] = [
  { name: 'vsLinuxEpoll', metric: 'messagesPerSecond', theirs: 'epoll' },
  { name: 'vsLinuxEpollOneCore', metric: 'messagesPerSecond', theirs: 'epollOneCore' },
  { name: 'vsNodeNet', metric: 'messagesPerSecond', theirs: 'nodeNet' },
  {
    name: 'vsLimit',
    metric: 'messagesPerSecond',
    theirs: 'limit',
    theirMetric: 'framesPerSecond',
  },
  { name: 'rttVsLinux', metric: 'rttNs', theirs: 'epoll' },
  { name: 'rttVsLinuxSpin', metric: 'rttNs', theirs: 'epollSpin' },
];

export default async function echo(args: string[]): Promise<void> {
  const options = parseBenchOptions('echo', 'echo servers, ours beside others', args);
  if (!options) return;
  const { connections, depth, size, seconds, idle, domain } = options;
  await runBench({
    name: 'echo',
    options,
    settings: { connections, depth, size, seconds, idle, domain },
    contenders: contendersFor(options),
    ratios: RATIOS,
  });
}

function contendersFor(options: BenchOptions): Contender[] {
  const { serverCpu: cpu, idle, domain } = options;
  const both = async (address: string): Promise<Sample> => ({
    ...(await echoSaturation(address, options)),
    ...(await echoRoundTrip(address, options)),
  });
  return [
    ours('ours, AF_XDP', { app: 'echo', cpu, idle, domain }, both),
    theirs(peerNamed('epoll'), cpu, both),
    theirs(onOneCore(peerNamed('epoll')), cpu, (address) => echoSaturation(address, options)),
    theirs(peerNamed('nodeNet'), cpu, both),
    theirs(peerNamed('epollSpin'), cpu, (address) => echoRoundTrip(address, options)),
    limit(options),
  ];
}

function limit({ size, seconds, serverCpu, clientCpu }: BenchOptions): Contender {
  const idle = { stop: async () => {} };
  const measure = async (): Promise<Sample> => ({
    ...(await measureLimit({
      seconds,
      bytes: Math.min(1514, Math.max(60, size)),
      serverCpu,
      clientCpu,
    })),
  });
  return {
    name: 'limit',
    title: 'limit: bare AF_XDP reflector',
    run: () => onLink('ours', async () => idle, measure),
  };
}
