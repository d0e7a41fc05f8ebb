/**
 * Fig. 4: many connections. Messages a second, and memory, over the number of open connections.
 *
 * - The paper: 64 B echo from 18 clients over 10 to 250,000 connections; IX peaks at 10x Linux and
 *   keeps 47 % of its own peak at 250,000 (cache misses: the state no longer fits).
 * - Ours: so many connections open in one process, 64 messages in flight, each on the connection
 *   whose turn it is, so that every state is cold when it is touched. The run counts only if every
 *   connection has answered. Each point has a fresh server.
 * - Differs: one client core, whose own state is as cold as the server's and whose share of the
 *   loss is in the figure; and 16 server ports, because one client address has 64,000. Linux'
 *   server is one process a port where the limit of open files cannot be raised.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onLink } from '../harness/bench.ts';
import { peerNamed, SERVER_PORTS, startPeer } from '../harness/peers.ts';
import type { Sample } from '../harness/rounds.ts';
import { runClient, startOurs } from '../harness/run.ts';
import { type Spread, spreadOf } from '../harness/statistics.ts';
import { echoPlan } from './clients.ts';
import { byLevel, type Context, type Experiment, type Outcome, type Series } from './experiment.ts';
import { type Line, metricAt, present, ratioOfMetrics, sweep } from './sweep.ts';

const MOST = 250_000;
const WINDOW = 64;
/** Those of the run, and a few for handshakes. */
const FLOWS = 250_500;
const FEW_FLOWS = 1024;
const OPEN_MS = 30_000;
const POLL_MS = 100;
const SETTLE_MS = 1000;
const KIB = 1024;
const MODULE = fileURLToPath(new URL('../apps/ports.ts', import.meta.url));

const fig4: Experiment = {
  name: 'fig4',
  title: 'Open connections: rate and memory (Fig. 4)',
  paper:
    '64 B echo over 10 to 250,000 connections from 18 client machines: the peak is 10x that of Linux; at 250,000 47 % of its own peak remains.',
  ours:
    'So many connections open in one process of one core, 64 messages in flight, in turn over ' +
    'all of them. Every connection must answer, or the point does not count. Memory: resident ' +
    'set of the whole dataplane process above that of the same server with room for 1024 ' +
    "connections and none open, per connection; Linux: growth of the kernel's slab.",
  differs:
    "One client core whose own connection state is as cold as the server's, and part of what is measured. 16 server ports, 16,000 connections each. A fresh server per point. Linux: one process a port where the limit of open files cannot be raised.",
  run,
};
export default fig4;

async function run(context: Context): Promise<Outcome> {
  const counts = byLevel(
    context,
    [10, 100, 1000, 10_000, 50_000, 100_000, MOST],
    [10, 100, 10_000, MOST],
    [100, MOST],
  );
  const rounds = byLevel(context, 2, 1, 1);
  const limited = { ...context, settings: { ...context.settings, rounds } };
  const series = await sweep(
    byLevel(context, true, true, false)
      ? [ours(limited, counts), linux(limited, counts)]
      : [ours(limited, counts)],
    limited,
  );
  const peak = peakOf(series, 'ours');
  const most = metricAt(series, 'ours', 'messagesPerSecond', MOST);
  const bytes = metricAt(series, 'ours', 'bytesPerConnection', MOST);
  const x = { label: 'open connections', log: true };
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
        title: 'Memory',
        kind: 'lines',
        x,
        y: { label: 'KiB a connection', metric: 'bytesPerConnection', scale: 1 / KIB },
      },
    ],
    ratios: present({
      connectionsVsPeak: most && peak ? spreadOf(most.values.map((v) => v / peak)) : undefined,
      connectionBytesVs1KiB: bytes && divided(bytes, KIB),
      connectionsVsLinux: ratioOfMetrics(
        most,
        metricAt(series, 'epoll', 'messagesPerSecond', MOST),
      ),
    }),
    notes: [
      ...byLevel(context, [], [], ['Left out of a quick run: Linux.']),
      ...series.flatMap((each) =>
        each.points
          .filter(({ x: count, metrics }) => count === MOST && metrics['answered'])
          .map(
            ({ metrics }) =>
              `${each.title}: ${metrics['answered']!.min} of ${MOST} connections answered, opened in ${metrics['openSeconds']!.median.toFixed(1)} s`,
          ),
      ),
    ],
  };
}

const divided = ({ median, min, max }: Spread, by: number): Spread => ({
  median: median / by,
  min: min / by,
  max: max / by,
});

function peakOf(series: readonly Series[], name: string): number | undefined {
  const found = series.find((each) => each.name === name);
  const rates = found?.points.map(({ metrics }) => metrics['messagesPerSecond']!.median) ?? [];
  return rates.length > 0 ? Math.max(...rates) : undefined;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** KiB by name of a file of /proc in the manner of meminfo. */
const kibOf = (file: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? 0);

const residentBytes = (pid: number): number => kibOf(`/proc/${pid}/status`, 'VmRSS') * KIB;
const slabBytes = (): number => kibOf('/proc/meminfo', 'Slab') * KIB;

/** The most that `read` says while `work` runs. */
async function mostWhile<T>(read: () => number, work: () => Promise<T>): Promise<[T, number]> {
  let most = 0;
  const look = () => {
    try {
      most = Math.max(most, read());
    } catch {
      // It has just ended; the run will say so.
    }
  };
  const timer = setInterval(look, POLL_MS);
  try {
    return [await work(), most];
  } finally {
    clearInterval(timer);
  }
}

async function manyEchoes(context: Context, host: string, connections: number): Promise<Sample> {
  const plan = echoPlan(
    context,
    host,
    { connections, window: WINDOW, openMs: OPEN_MS },
    'many-client',
  );
  const result = await runClient<{ answered: number; openSeconds: number }>({
    ...plan,
    flows: FLOWS,
  });
  const { p50Ns, p99Ns } = result.latency;
  const { messagesPerSecond, answered, openSeconds } = result;
  return { messagesPerSecond, p50Ns, p99Ns, answered, openSeconds };
}

function ours(context: Context, counts: readonly number[]): Line {
  const { serverCpu: cpu, idle } = context.settings;
  const settings = { ports: String(SERVER_PORTS) };
  const serve = async <T>(flows: number, use: (address: string, pid: number) => Promise<T>) => {
    let pid = 0;
    const start = async (address: string) => {
      const plan = { app: MODULE, settings, address, cpu, idle, flows, domain: 'inline' } as const;
      const server = await startOurs(plan);
      pid = server.pids![0]!;
      return server;
    };
    return await onLink('ours', start, (address) => use(address, pid));
  };
  return {
    name: 'ours',
    title: 'ours',
    round: async ({ point }) => {
      const idleBytes = await serve(FEW_FLOWS, async (_address, pid) => {
        await sleep(SETTLE_MS);
        return residentBytes(pid);
      });
      for (const count of counts) {
        await point(count, () =>
          serve(FLOWS, async (address, pid) => {
            const work = () => manyEchoes(context, address, count);
            const [sample, most] = await mostWhile(() => residentBytes(pid), work);
            const serverBytes = most - idleBytes;
            return count < MOST
              ? { ...sample, serverBytes }
              : { ...sample, serverBytes, bytesPerConnection: serverBytes / count };
          }),
        );
      }
    },
  };
}

function linux(context: Context, counts: readonly number[]): Line {
  const peer = peerNamed('epollPorts');
  return {
    name: 'epoll',
    title: peer.title,
    missing: peer.missing(),
    round: async ({ point }) => {
      for (const count of counts) {
        await point(count, () =>
          onLink(
            'kernel',
            (address) => startPeer(peer, address, context.settings.serverCpu),
            async (address) => {
              const before = slabBytes();
              const work = () => manyEchoes(context, address, count);
              const [sample, most] = await mostWhile(slabBytes, work);
              const serverBytes = most - before;
              return count < MOST
                ? { ...sample, serverBytes }
                : { ...sample, serverBytes, bytesPerConnection: serverBytes / count };
            },
          ),
        );
      }
    },
  };
}
