/**
 * Fig. 6: the batch bound B.
 *
 * - The paper: memcached (USR) with B = 1, 2, 8, 16, 64: 29 % more throughput at B = 16 than at B =
 *   1, nothing above; no difference of the tail at low load, because a batch is never waited for.
 * - Ours: kv, GETs of 32 byte values, one server core; saturation with 256 connections, low load
 *   with 4; 95 % hits.
 * - Differs: closed loop at both loads (the tail at low load is that of 4 connections with one
 *   request in flight); the client has one core and B = 64.
 */
import { CABLE_SERVER_ADDRESS, onCable, oursOnCable } from '../harness/cable.ts';
import { echoPlan, kvGets } from './clients.ts';
import { byLevel, type Context, type Experiment, type Outcome } from './experiment.ts';
import { type Line, metricAt, oursLine, present, ratioOfMetrics, sweep } from './sweep.ts';

const SATURATING = { connections: 256, depth: 1 };
const LOW = { connections: 4, depth: 1, clock: 'fine' };

const fig6: Experiment = {
  name: 'fig6',
  title: 'The batch bound B (Fig. 6)',
  paper:
    'memcached, USR, B = 1, 2, 8, 16, 64 at most a batch: +29 % throughput from B = 1 to B = 16, flat above; the tail at low load does not change.',
  ours:
    'kv, GETs of 32-byte values (95 % hits): saturation with 256 connections, low load with 4 ' +
    'connections, one request in flight each; and echo at the end of a cable, where no kernel ' +
    'takes its share.',
  differs: 'Closed loops. The client is one core of our own stack with B = 64.',
  run,
};
export default fig6;

async function run(context: Context): Promise<Outcome> {
  const bounds = byLevel(context, [1, 2, 8, 16, 64], [1, 2, 8, 16, 64], [1, 16]);
  const series = await sweep([kv(context, bounds), onTheCable(context, bounds)], context);
  const at = (name: string, metric: string, bound: number) => metricAt(series, name, metric, bound);
  const ratio = (name: string, metric: string) =>
    ratioOfMetrics(at(name, metric, 16), at(name, metric, 1));
  const x = { label: 'B, most frames of an iteration', log: true };
  return {
    series,
    charts: [
      {
        title: 'Saturation',
        kind: 'lines',
        x,
        y: { label: 'requests/s', metric: 'messagesPerSecond' },
      },
      {
        title: '99th percentile at low load',
        kind: 'lines',
        x,
        y: { label: 'us', metric: 'lowP99Ns', scale: 1e-3 },
        only: ['kv'],
      },
    ],
    ratios: present({
      batch16Vs1: ratio('kv', 'messagesPerSecond'),
      batch16Vs1LowTail: ratio('kv', 'lowP99Ns'),
      batch16Vs1Cable: ratio('cable', 'messagesPerSecond'),
    }),
    notes: [],
  };
}

/** A server per bound: in turn B = 1, 2, ... in every round. */
function kv(context: Context, bounds: readonly number[]): Line {
  const { serverCpu: cpu, idle } = context.settings;
  return {
    name: 'kv',
    title: 'kv over veth',
    round: async (round) => {
      for (const batch of bounds) {
        const plan = { app: 'kv', cpu, idle, batch, memory: 64, domain: 'inline' } as const;
        const line = oursLine('kv', 'kv', plan, (address) =>
          round.point(batch, async () => {
            const saturated = await kvGets(context, address, SATURATING);
            const low = await kvGets(context, address, LOW);
            return { ...saturated, lowP50Ns: low['p50Ns']!, lowP99Ns: low['p99Ns']! };
          }),
        );
        await line.round(round);
      }
    },
  };
}

function onTheCable(context: Context, bounds: readonly number[]): Line {
  const { serverCpu: cpu, idle } = context.settings;
  return {
    name: 'cable',
    title: 'echo on the cable',
    round: async ({ point }) => {
      for (const batch of bounds) {
        await point(batch, async () => {
          const server = oursOnCable({ app: 'echo', cpu, idle, batch });
          const client = echoPlan(context, CABLE_SERVER_ADDRESS, SATURATING);
          const { messagesPerSecond } = await onCable(server, client);
          return { messagesPerSecond };
        });
      }
    },
  };
}
