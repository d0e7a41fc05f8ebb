/**
 * lwIP: the stack that IX started from, against ours, both at the end of a cable.
 *
 * - The paper: IX' dataplane is lwIP, changed for multi-core; it is not compared with lwIP itself.
 * - Ours: Debian's lwIP (C, raw API, one thread; peers/echo-lwip.c) and our stack behind the same
 *   shared-memory rings, the same client at the other end, polling; echo of 64 B.
 * - Differs: nothing of the paper's; it is what the question "TypeScript against C" needs. Where
 *   both servers are faster than the client (our stack, one core), the ratio is near 1 and says
 *   only that both kept up with it.
 */
import {
  CABLE_SERVER_ADDRESS,
  type CableServer,
  lwipMissing,
  lwipOnCable,
  onCable,
  oursOnCable,
} from '../harness/cable.ts';
import { ECHO_PORT, echoPlan } from './clients.ts';
import { byLevel, type Context, type Experiment } from './experiment.ts';
import { type Line, metricAt, present, ratioOfMetrics, sweep } from './sweep.ts';

const COMPARED = 64;

const lwip: Experiment = {
  name: 'lwip',
  title: 'A stack in C at the same place: lwIP on the cable',
  paper: "IX' dataplane is built from lwIP; the paper does not measure lwIP itself.",
  ours:
    "Debian's lwIP (C, raw API, one thread, MSS 1460, 64 KiB windows) and our stack behind the " +
    'same rings of a shared-memory cable; one core each for server and client; echo of 64 B, one ' +
    'message in flight per connection.',
  differs:
    'Our client is the limit where the server is faster than it: a ratio near 1 says then that both kept up with it, and lwIP had time left (it polls without rest, so it cannot be said how much).',
  run: async (context) => {
    const counts = byLevel(context, [1, 8, 64, 256, 1024], [1, 64, 256], [64]);
    const { serverCpu: cpu, idle } = context.settings;
    const series = await sweep(
      [
        line('ours', 'ours', context, counts, oursOnCable({ app: 'echo', cpu, idle })),
        {
          ...line('lwip', 'lwIP', context, counts, lwipOnCable(cpu, ECHO_PORT)),
          missing: lwipMissing(),
        },
      ],
      context,
    );
    const at = (name: string) => metricAt(series, name, 'messagesPerSecond', COMPARED);
    const x = { label: 'connections', log: true };
    return {
      series,
      charts: [
        {
          title: 'Echo, 64 B',
          kind: 'lines',
          x,
          y: { label: 'messages/s', metric: 'messagesPerSecond' },
        },
        {
          title: 'Round trip, median',
          kind: 'lines',
          x,
          y: { label: 'us', metric: 'p50Ns', scale: 1e-3, log: true },
        },
      ],
      ratios: present({ vsLwip: ratioOfMetrics(at('ours'), at('lwip')) }),
      notes: [],
    };
  },
};
export default lwip;

function line(
  name: string,
  title: string,
  context: Context,
  counts: readonly number[],
  server: CableServer,
): Line {
  return {
    name,
    title,
    round: async ({ point }) => {
      for (const connections of counts) {
        await point(connections, async () => {
          const client = echoPlan(context, CABLE_SERVER_ADDRESS, { connections });
          const { messagesPerSecond, latency } = await onCable(server, client);
          return { messagesPerSecond, p50Ns: latency.p50Ns, p99Ns: latency.p99Ns };
        });
      }
    },
  };
}
