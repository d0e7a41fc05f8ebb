/**
 * Fig. 2: NetPIPE. One-way latency and bandwidth between two hosts over the size of the message.
 *
 * - The paper: NetPIPE's TCP module on both hosts, IX to IX, Linux to Linux, mTCP to mTCP, 10 GbE;
 *   5.7 us one way for 64 bytes against 24 us; half of the bandwidth at 20 KB against 385 KB.
 * - Ours: the same exchange, ours to ours and Linux to Linux (peers/netpipe.c, the kernel's TCP on
 *   both ends, in two namespaces), over a veth pair; and our client against Linux, which shows one
 *   end of it.
 * - Differs: no wire and no NIC. A veth carries a frame in about a microsecond, has no rate, and
 *   hands Linux's 64 KB segments over whole (its offloads are on between two kernels; ours sends
 *   frames of 1514 bytes). So bandwidth is what the cores do.
 */
import { fileURLToPath } from 'node:url';
import { Netlink } from '../../src/control/link/netlink.ts';
import { UserError } from '../../src/errors.ts';
import { setOffloads } from '../../src/nic/privileged/interface.ts';
import { compilePeer } from '../harness/compile.ts';
import { CLIENT_ADDRESS, CLIENT_LINK, makeBenchLink, SERVER_LINK } from '../harness/network.ts';
import { peerNamed, startPeer } from '../harness/peers.ts';
import { startPinned } from '../harness/process.ts';
import { runClient } from '../harness/run.ts';
import { type Spread, spreadOf } from '../harness/statistics.ts';
import type { NetpipeSize } from '../load/netpipe-client.ts';
import { ECHO_PORT } from './clients.ts';
import { byLevel, type Context, type Experiment, type Outcome, type Series } from './experiment.ts';
import {
  type Line,
  metricAt,
  oursLine,
  peerLine,
  present,
  type Round,
  ratioOfMetrics,
  sweep,
} from './sweep.ts';

const KIB = 1024;
const FULL = [64, 256, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].map((n, i) =>
  i < 2 ? n : n * KIB,
);
const SHORT = [64, 256, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB];
const PID_MS = 5000;
const MODULE = fileURLToPath(new URL('../apps/netpipe.ts', import.meta.url));

const fig2: Experiment = {
  name: 'fig2',
  title: 'NetPIPE: latency and bandwidth over message size (Fig. 2)',
  paper:
    'NetPIPE over TCP between two hosts on 10 GbE: 5.7 us one way for 64 B on IX, 24 us on Linux; half of 10 Gb/s at 20 KB messages on IX, 385 KB on Linux.',
  ours:
    "NetPIPE's exchange over a veth pair, one connection: ours to ours, Linux to Linux (C, " +
    'blocking sockets, two namespaces), and our client to Linux.',
  differs:
    "No wire and no NIC. Between two kernels the veth's offloads are on, so Linux sends segments of up to 64 KB that are never cut; ours sends 1514-byte frames. Bandwidth is what the two cores can do, not a link's.",
  run,
};
export default fig2;

async function run(context: Context): Promise<Outcome> {
  const sizes = byLevel(context, FULL, SHORT, [64, 16 * KIB, 256 * KIB]);
  const { serverCpu: cpu, idle } = context.settings;
  const measure = (address: string, round: Round) => withOurClient(context, address, sizes, round);
  const series = await sweep(
    [
      oursLine('ours', 'ours to ours', { app: MODULE, cpu, idle, domain: 'inline' }, measure),
      linuxToLinux(context, sizes),
      {
        ...peerLine(peerNamed('netpipe'), context, measure),
        name: 'ourClient',
        title: 'ours to Linux',
      },
    ],
    context,
  );
  const bandwidth = { label: 'Gbit/s', metric: 'bitsPerSecond', scale: 1e-9 };
  const size = { label: 'message size, bytes', log: true };
  return {
    series,
    charts: [
      { title: 'Bandwidth', kind: 'lines', x: size, y: bandwidth },
      {
        title: 'One-way latency',
        kind: 'lines',
        x: size,
        y: { label: 'us', metric: 'oneWayNs', scale: 1e-3, log: true },
      },
    ],
    ratios: present({
      netpipeVsLinux: ratioOfMetrics(
        metricAt(series, 'ours', 'oneWayNs', 64),
        metricAt(series, 'linux', 'oneWayNs', 64),
      ),
      halfBandwidthSizeVsLinux: halfSizeRatio(series),
      peakBandwidthVsLinux: peakRatio(series),
    }),
    notes: series.flatMap(describeHalf),
  };
}

const sampleOf = ({ size, rttNs }: { size: number; rttNs: number }) => ({
  oneWayNs: rttNs / 2,
  bitsPerSecond: (size * 8) / (rttNs / 2e9),
});

async function withOurClient(
  context: Context,
  host: string,
  sizes: readonly number[],
  round: Round,
): Promise<void> {
  const msPerSize = msOf(context);
  const options = {
    host,
    port: ECHO_PORT,
    sizes: sizes.join(' '),
    msPerSize,
    durationMs: sizes.length * msPerSize,
  };
  const result = await runClient<{ sizes: NetpipeSize[] }>({
    module: 'netpipe-client',
    cpu: context.settings.clientCpu,
    options,
  });
  for (const each of result.sizes) round.add(each.size, sampleOf(each));
}

const msOf = ({ settings }: Context): number => Math.round(settings.seconds * 150);

/**
 * Server and client on the kernel's TCP, each in a namespace: the client's end of the link moves to
 * the client.
 */
function linuxToLinux(context: Context, sizes: readonly number[]): Line {
  const peer = peerNamed('netpipe');
  const { serverCpu, clientCpu } = context.settings;
  const round = async ({ add }: Round): Promise<void> => {
    const link = makeBenchLink('kernel');
    try {
      setOffloads(SERVER_LINK, true, ['txChecksum', 'tso', 'gso']);
      const server = await startPeer(peer, link.serverAddress, serverCpu);
      const words = [String(ECHO_PORT), String(msOf(context)), ...sizes.map(String)];
      const client = startPinned(clientCpu, [
        compilePeer('netpipe'),
        ...['measure', '--link', CLIENT_LINK, CLIENT_ADDRESS, link.serverAddress, ...words],
      ]);
      try {
        await moveClientLink(client);
        const { exitCode, output, errors } = await client.ended;
        if (exitCode !== 0)
          throw new UserError('IX_NETPIPE', `netpipe: ${errors.trim().split('\n').at(-1)}`, '');
        for (const each of JSON.parse(output) as NetpipeSize[]) add(each.size, sampleOf(each));
      } finally {
        await client.stop();
        await server.stop();
      }
    } finally {
      link.remove();
    }
  };
  return { name: 'linux', title: 'Linux to Linux', missing: peer.missing(), round };
}

async function moveClientLink(client: ReturnType<typeof startPinned>): Promise<void> {
  const pid = Number((await client.complains(/pid (\d+)/, PID_MS))?.[1]);
  if (!pid) throw new UserError('IX_NETPIPE', 'the NetPIPE client does not start', '');
  const netlink = new Netlink();
  try {
    netlink.moveTo(netlink.link(CLIENT_LINK)!.index, pid);
  } finally {
    netlink.close();
  }
}

/** The size at which half of the peak is reached, between the measured ones (log-linear). */
function halfSizeOf({ points }: Series): number | undefined {
  const rates = points.map(({ x, metrics }) => [x, metrics['bitsPerSecond']!.median] as const);
  const half = Math.max(...rates.map(([, rate]) => rate)) / 2;
  const at = rates.findIndex(([, rate]) => rate >= half);
  if (at <= 0) return rates[0]?.[0];
  const [x0, y0] = rates[at - 1]!;
  const [x1, y1] = rates[at]!;
  return x0 * (x1 / x0) ** ((half - y0) / (y1 - y0));
}

const peakOf = ({ points }: Series): number =>
  Math.max(...points.map(({ metrics }) => metrics['bitsPerSecond']!.median));

const pairOf = (series: readonly Series[]): [Series, Series] | undefined => {
  const [ours, linux] = ['ours', 'linux'].map((name) => series.find((each) => each.name === name));
  return ours?.points.length && linux?.points.length ? [ours, linux] : undefined;
};

function halfSizeRatio(series: readonly Series[]): Spread | undefined {
  const pair = pairOf(series);
  return pair && spreadOf([halfSizeOf(pair[0])! / halfSizeOf(pair[1])!]);
}

function peakRatio(series: readonly Series[]): Spread | undefined {
  const pair = pairOf(series);
  return pair && spreadOf([peakOf(pair[0]) / peakOf(pair[1])]);
}

function describeHalf(series: Series): string[] {
  const half = series.points.length > 0 ? halfSizeOf(series) : undefined;
  if (half === undefined) return [];
  const peak = (peakOf(series) / 1e9).toFixed(1);
  return [
    `${series.title}: peak ${peak} Gbit/s, half of it at messages of ${(half / KIB).toFixed(1)} KiB`,
  ];
}
