/**
 * The contenders of the guard. Each is measured once a round, whatever number of ratios it stands
 * in, and only if a ratio that is wanted needs it.
 *
 * Called by bench/guard.ts.
 */
import {
  CABLE_SERVER_ADDRESS,
  type CableServer,
  lwipMissing,
  lwipOnCable,
  onCable,
  oursOnCable,
} from '../harness/cable.ts';
import { type PeerName, peerNamed } from '../harness/peers.ts';
import type { Spread } from '../harness/statistics.ts';
import { ECHO_PORT, echo, echoPlan, kvGets } from '../paper/clients.ts';
import type { Context, Series } from '../paper/experiment.ts';
import {
  type Line,
  type Measure,
  metricAt,
  oursLine,
  peerLine,
  present,
  ratioOfMetrics,
} from '../paper/sweep.ts';

const X = 64;
const SATURATING = { connections: X };
const RATE = 'messagesPerSecond';

/** Ratio, metric, ours, theirs. */
const SIDES: readonly [string, string, string, string][] = [
  ['echoVsLinux', RATE, 'echo', 'epoll'],
  ['roundTripVsLinux', 'rttNs', 'echo', 'epoll'],
  ['kvVsMemcached', RATE, 'kv', 'memcached'],
  ['cableVsLwip', RATE, 'cable', 'lwip'],
  ['processVsInline', RATE, 'process', 'echo'],
];

/** The lines that these ratios need. */
export function linesFor(context: Context, names: readonly string[]): Line[] {
  const wanted = new Set(
    SIDES.filter(([name]) => names.includes(name)).flatMap(([, , mine, theirs]) => [mine, theirs]),
  );
  return all(context).filter(({ name }) => wanted.has(name));
}

export const measuredRatios = (
  series: readonly Series[],
  names: readonly string[],
): Record<string, Spread> =>
  present(
    Object.fromEntries(
      SIDES.filter(([name]) => names.includes(name)).map(([name, metric, mine, theirs]) => [
        name,
        ratioOfMetrics(metricAt(series, mine, metric, X), metricAt(series, theirs, metric, X)),
      ]),
    ),
  );

function all(context: Context): Line[] {
  const { serverCpu: cpu, idle } = context.settings;
  const echoes: Measure = (address, round) =>
    round.point(X, async () => {
      const saturated = await echo(context, address, SATURATING);
      const single = await echo(context, address, { connections: 1, clock: 'fine' });
      return { [RATE]: saturated[RATE]!, rttNs: single['p50Ns']! };
    });
  const rate: Measure = (address, round) =>
    round.point(X, () => echo(context, address, SATURATING));
  const gets: Measure = (address, round) =>
    round.point(X, () => kvGets(context, address, SATURATING));
  const theirs = (name: PeerName, measure: Measure) => peerLine(peerNamed(name), context, measure);
  return [
    oursLine('echo', 'echo, ours', { app: 'echo', cpu, idle, domain: 'inline' }, echoes),
    theirs('epoll', echoes),
    oursLine(
      'process',
      'echo, ours, domain process',
      { app: 'echo', cpu, idle, domain: 'process' },
      rate,
    ),
    oursLine('kv', 'kv, ours', { app: 'kv', cpu, idle, domain: 'inline', memory: 256 }, gets),
    theirs('memcached', gets),
    cable('cable', 'echo on the cable, ours', context, oursOnCable({ app: 'echo', cpu, idle })),
    {
      ...cable('lwip', 'echo on the cable, lwIP', context, lwipOnCable(cpu, ECHO_PORT)),
      missing: lwipMissing(),
    },
  ];
}

function cable(name: string, title: string, context: Context, server: CableServer): Line {
  return {
    name,
    title,
    round: ({ point }) =>
      point(X, async () => {
        const client = echoPlan(context, CABLE_SERVER_ADDRESS, SATURATING);
        return { [RATE]: (await onCable(server, client)).messagesPerSecond };
      }),
  };
}
