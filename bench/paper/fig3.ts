/**
 * Fig. 3: echo. Messages a second over cores, over messages per connection, and over the size of
 * the message.
 *
 * - The paper: 24 client threads on 18 machines against one server, 10 and 4x10 GbE; a connection
 *   carries n messages of s bytes, one at a time, and ends with RST. At n = 1024 8.8x Linux and
 *   1.9x mTCP per socket; 10 GbE full with 3 cores.
 * - Ours: 64 connections, one message in flight each, one server core and one client core.
 * - Differs: one client core instead of 18 machines, so above a point the client is the limit, most
 *   of all for ours (the client is our own stack). No run over cores: `--threads` serves with as
 *   many, but each wants a generator's core beside it.
 */
import { availableParallelism } from 'node:os';
import { onLink } from '../harness/bench.ts';
import { measureLimit } from '../harness/limit.ts';
import { peerNamed } from '../harness/peers.ts';
import { echo } from './clients.ts';
import { byLevel, type Context, type Experiment, type Outcome } from './experiment.ts';
import {
  type Line,
  type Measure,
  metricAt,
  oursLine,
  peerLine,
  present,
  ratioOfMetrics,
  sweep,
} from './sweep.ts';

const CONNECTIONS = 64;
const FRAME_MIN = 60;
const FRAME_MAX = 1514;
/**
 * Ethernet, IP and TCP with timestamps around a message: what the reflector's frame must carry too.
 */
const HEADERS = 66;

const MESSAGES = { label: 'messages/s', metric: 'messagesPerSecond', scale: 1 };

const paper =
  'Echo of 64 B over n messages per connection, and of s bytes, from 18 client machines: 8.8x Linux and 1.9x mTCP at n = 1024; with 64 B 10 GbE is full at 3 cores, Linux needs 8.';
const ours =
  'The same with 64 connections, one message in flight each, one server core, one client core, over a veth pair.';

const NO_CORES =
  'Echo over cores is not measured: a server of two threads and generators for them take four ' +
  `cores, and each of them spins; here are ${availableParallelism()}.`;

export const fig3messages: Experiment = {
  name: 'fig3b',
  title: 'Echo: messages per connection (Fig. 3b)',
  paper,
  ours,
  differs:
    'One client core that is our own stack, instead of 18 machines: where ours is fast the client is the limit. A connection ends with RST, as in the paper.',
  run: async (context) => {
    const counts = byLevel(context, [1, 2, 8, 32, 128, 1024], [1, 8, 128, 1024], [1, 1024]);
    const measure: Measure = async (address, round) => {
      for (const messages of counts) {
        const options = { connections: CONNECTIONS, messages };
        await round.point(messages, () => echo(context, address, options, 'churn-client'));
      }
    };
    const series = await sweep(contenders(context, measure), context);
    return {
      series,
      charts: [
        {
          title: 'Echo, 64 B, 64 connections',
          kind: 'lines',
          x: { label: 'messages per connection', log: true },
          y: MESSAGES,
        },
      ],
      ratios: present({
        churn1VsLinux: ratioOfMetrics(
          metricAt(series, 'ours', 'messagesPerSecond', 1),
          metricAt(series, 'epoll', 'messagesPerSecond', 1),
        ),
        churn1024VsLinux: ratioOfMetrics(
          metricAt(series, 'ours', 'messagesPerSecond', 1024),
          metricAt(series, 'epoll', 'messagesPerSecond', 1024),
        ),
      }),
      notes: [NO_CORES],
    };
  },
};

export const fig3sizes: Experiment = {
  name: 'fig3c',
  title: 'Echo: message size (Fig. 3c)',
  paper,
  ours:
    `${ours} The bare reflector (AF_XDP, no stack) bounds what any stack could do here; its ` +
    'frames are as long as ours would be.',
  differs:
    'One client core that is our own stack. Also shown: the application in a process of its own (domain process), which is how IX itself runs applications.',
  run: sizes,
};

async function sizes(context: Context): Promise<Outcome> {
  const all = byLevel(context, [64, 256, 1024, 4096, 8192], [64, 1024, 8192], [64]);
  const { serverCpu: cpu, idle } = context.settings;
  const measure: Measure = async (address, round) => {
    for (const size of all) {
      await round.point(size, async () => {
        const sample = await echo(context, address, { connections: CONNECTIONS, size });
        return { ...sample, bitsPerSecond: sample['messagesPerSecond']! * size * 8 };
      });
    }
  };
  const process = { app: 'echo', cpu, idle, domain: 'process' } as const;
  const series = await sweep(
    [
      ...contenders(context, measure),
      oursLine('oursProcess', 'ours, domain process', process, measure),
      limit(context, all),
    ],
    context,
  );
  const at64 = (name: string, metric = 'messagesPerSecond') => metricAt(series, name, metric, 64);
  const mine = at64('ours');
  return {
    series,
    charts: [
      {
        title: 'Echo, 64 connections',
        kind: 'lines',
        x: { label: 'message size, bytes', log: true },
        y: MESSAGES,
      },
      {
        title: 'Goodput, each way',
        kind: 'lines',
        x: { label: 'message size, bytes', log: true },
        y: { label: 'Gbit/s', metric: 'bitsPerSecond', scale: 1e-9 },
      },
    ].map((chart) => ({ ...chart, kind: 'lines' as const })),
    ratios: present({
      vsLinuxEpoll: ratioOfMetrics(mine, at64('epoll')),
      vsNodeNet: ratioOfMetrics(mine, at64('nodeNet')),
      vsLimit: ratioOfMetrics(mine, at64('limit')),
      processVsInline: ratioOfMetrics(at64('oursProcess'), mine),
    }),
    notes: [],
  };
}

function contenders(context: Context, measure: Measure): Line[] {
  const { serverCpu: cpu, idle } = context.settings;
  return [
    oursLine('ours', 'ours', { app: 'echo', cpu, idle, domain: 'inline' }, measure),
    peerLine(peerNamed('epoll'), context, measure),
    peerLine(peerNamed('nodeNet'), context, measure),
  ];
}

function limit({ settings }: Context, sizes: readonly number[]): Line {
  const { seconds, serverCpu, clientCpu } = settings;
  const idle = { stop: async () => {} };
  return {
    name: 'limit',
    title: 'limit: bare reflector',
    round: async ({ point }) => {
      for (const size of sizes.filter((each) => each + HEADERS <= FRAME_MAX)) {
        const bytes = Math.max(FRAME_MIN, size + HEADERS);
        await point(size, async () => {
          const measure = () => measureLimit({ seconds, bytes, serverCpu, clientCpu });
          const { framesPerSecond } = await onLink('ours', async () => idle, measure);
          return { messagesPerSecond: framesPerSecond, bitsPerSecond: framesPerSecond * size * 8 };
        });
      }
    },
  };
}
