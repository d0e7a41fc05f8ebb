/**
 * Which thread of a service has a flow, who brings its frames there, and the words for it.
 *
 * - A veth pair of our own is steered: the program at the host's end computes our hash.
 * - Everywhere else an interface spreads frames by a hash that we do not know. There the table is
 *   ours alone, and a thread that gets another's frame hands it on (net/both/owners.ts): right, at
 *   the price of a copy in and one out for each such frame. Where frames come to the queue that
 *   their flow was last sent by (tap, virtio_net) that is the first one of a flow.
 * - One thread has every flow: no table.
 *
 * Called by control/service/holdings.ts; shown by cli/stat.ts.
 */
import type { XdpMode } from '../../nic/drivers.ts';
import type { FlowGroupTable } from '../../nic/flow-groups.ts';
import {
  drawTable,
  type SpreadBy,
  type Steering,
  steerFlows,
} from '../../nic/privileged/steering.ts';
import { classify } from './classifier.ts';
import type { Network } from './network.ts';

export interface Steered {
  /** Absent: one thread. */
  readonly flows?: Flows;
  /** Absent: no program of ours. */
  readonly steering?: Steering;
  /** What to say of it. */
  readonly advice: readonly string[];
}

export interface Flows {
  readonly by: SpreadBy;
  readonly table: FlowGroupTable;
}

/** `mode`: of the XDP program on the link; absent: none is. */
export function steer(network: Network, threads: number, mode: XdpMode | undefined): Steered {
  if (threads === 1) return { advice: [] };
  const { hostName: ifname, hostIndex: ifindex } = network;
  if (ifname === undefined || ifindex === undefined || mode === undefined) {
    return { flows: flowsOf(undefined, threads)!, advice: [] };
  }
  try {
    const steering = steerFlows({ ifname, ifindex, mode, threads, classify });
    return { steering, flows: steering, advice: [] };
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    const advice = [`frames are not steered, threads hand most of them on to each other (${why})`];
    return { flows: flowsOf(undefined, threads)!, advice };
  }
}

/** What a service has whose control plane is another now: a drawn table is drawn again. */
export const flowsOf = (steering: Steering | undefined, threads: number): Flows | undefined =>
  steering ?? (threads === 1 ? undefined : { by: 'threads', table: drawTable(threads) });

/** How, and how many flow groups each thread has: for the record. */
export interface SteeringState {
  by: SpreadBy;
  groups: number[];
}

export function steeringStateOf({ by, table }: Flows, threads: number): SteeringState {
  const groups = new Array<number>(threads).fill(0);
  for (const thread of table.threads) groups[thread]! += 1;
  return { by, groups };
}

const WORDS: Record<SpreadBy, string> = {
  tcx: 'steered by tcx',
  clsact: 'steered by clsact',
  threads: 'handed on by the threads',
};

/** '128 flow groups (steered by tcx), by thread: 64 64' */
export function describeSteering({ by, groups }: SteeringState): string {
  const all = groups.reduce((sum, count) => sum + count, 0);
  return `${all} flow groups (${WORDS[by]}), by thread: ${groups.join(' ')}`;
}
