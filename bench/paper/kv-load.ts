/**
 * The load of figure 5, whoever judges it (fig5.ts by quiet windows, whole.ts by whole runs): who
 * serves, and one point of one generator against it.
 *
 * - The same for all contenders: 64 connections of at most DEPTH requests in flight, 20,000
 *   records, our generator on the client's core, timed from when a request was due.
 */
import { runPoint } from '../../src/load/point/point.ts';
import type { LoadResult } from '../../src/load/result/result.ts';
import { onLink } from '../harness/bench.ts';
import { CLIENT_ADDRESS, CLIENT_LINK, PREFIX_LENGTH } from '../harness/network.ts';
import { peerNamed, startPeer } from '../harness/peers.ts';
import { type Server, startOurs } from '../harness/run.ts';
import { KV_PORT } from './clients.ts';
import type { Settings } from './experiment.ts';

export const WORKLOADS = ['etc', 'usr'] as const;
export type Workload = (typeof WORKLOADS)[number];

export const OBJECTIVE_NS = 500_000;
export const DEPTH = 4;
export const LOW_RATE = 20_000;
/** V8 goes on compiling for seconds: server and generator are new. */
export const WARMUP_MS = 5000;
const CONNECTIONS = 64;
const MEMORY_MIB = 1024;
/** Of the warm-up: the rest lets the queues that it left behind drain. */
const RUSH_SHARE = 0.7;
const SENT_SHARE = 0.97;

/** Our server. */
export const kvPlan = ({ serverCpu: cpu, idle }: Settings) =>
  ({ app: 'kv', cpu, idle, memory: MEMORY_MIB, domain: 'inline' }) as const;

export const KV_NAMES = ['ours', 'memcached'] as const;
export type KvName = (typeof KV_NAMES)[number];

/**
 * One of the two on a link of its own, measured while it runs. `stallUs`: our server keeps its
 * stalls from so many microseconds up.
 */
export const onKv = <T>(
  settings: Settings,
  name: KvName,
  measure: (host: string, server: Server) => Promise<T>,
  stallUs?: number,
): Promise<T> => {
  let server: Server;
  const start = async (address: string): Promise<Server> => {
    server =
      name === 'ours'
        ? await startOurs({
            ...{ ...kvPlan(settings), address },
            ...(stallUs === undefined ? {} : { stalls: stallUs }),
          })
        : await startPeer(peerNamed(name), address, settings.serverCpu);
    return server;
  };
  return onLink(name === 'ours' ? 'ours' : 'kernel', start, (host) => measure(host, server));
};

export interface KvPoint {
  /** Requests a second; 0: closed loop. */
  rate: number;
  /** Stores the records first. */
  fill: 'yes' | 'no';
  warmupMs: number;
  durationMs: number;
  windows?: number;
  /** The generator sleeps while nothing is due. */
  sleeps?: 'yes' | 'no';
  /** So many of the slowest requests are told one by one. */
  worst?: number;
  /** Stalls of the generator's thread, from so many microseconds up. */
  stallUs?: number;
  onStalls?: (stalls: readonly number[]) => void;
}

export const loadKv = (
  settings: Settings,
  workload: Workload,
  host: string,
  { rate, warmupMs, stallUs, onStalls, ...point }: KvPoint,
): Promise<LoadResult> =>
  runPoint({
    ...(onStalls && { onStalls }),
    settings: {
      ...{ host, port: KV_PORT, workload, connections: CONNECTIONS, depth: DEPTH },
      ...{ rate: Math.max(0, Math.round(rate)), records: 20_000, warmupMs },
      ...(rate > 0 ? { rushMs: Math.round(warmupMs * RUSH_SHARE) } : {}),
      ...point,
    },
    carrier: {
      via: 'dataplane',
      nic: CLIENT_LINK,
      ip: `${CLIENT_ADDRESS}/${PREFIX_LENGTH}`,
      cpu: settings.clientCpu,
      xdp: 'generic',
      ...(stallUs === undefined ? {} : { stallUs }),
    },
  });

/** A run that did not send what was due has not kept an objective. */
export const hasSent = ({ messagesPerSecond, offeredPerSecond = 0 }: LoadResult): boolean =>
  messagesPerSecond >= offeredPerSecond * SENT_SHARE;
