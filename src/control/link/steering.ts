/**
 * Which thread of a service has a flow, who brings its frames there, and the words for it.
 *
 * - A veth pair of our own is steered: the program at the host's end computes our hash.
 * - A NIC has a table of its own, and a hash that we compute as it does, if it tells both
 *   (nic/privileged/rss.ts).
 * - Everywhere else frames are spread by a hash that we do not know. There the table is ours alone,
 *   and a thread that gets another's frame hands it on (net/both/owners.ts): right, at the price of
 *   a copy in and one out for each such frame; a line says so, with the remedy. Where frames come
 *   to the queue that their flow was last sent by (tap, virtio_net) that is the first of a flow.
 * - One thread has every flow: no table.
 *
 * Called by control/service/holdings.ts; shown by cli/stat.ts.
 */
import type { XdpMode } from '../../nic/drivers.ts';
import { isRefused, readRss } from '../../nic/privileged/rss.ts';
import {
  drawTable,
  type SpreadBy,
  type Steering,
  steerFlows,
} from '../../nic/privileged/steering.ts';
import type { FlowTable } from '../../nic/toeplitz.ts';
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
  readonly table: FlowTable;
}

/** `mode`: of the XDP program on the link; absent: none is. */
export function steer(network: Network, threads: number, mode: XdpMode | undefined): Steered {
  if (threads === 1) return { advice: [] };
  const { hostName: ifname, hostIndex: ifindex } = network;
  if (ifname === undefined) return spreadByNic(network.ifname, threads);
  if (ifindex === undefined || mode === undefined) {
    return { flows: drawn(threads), advice: [] };
  }
  try {
    const steering = steerFlows({ ifname, ifindex, mode, threads, classify });
    return { steering, flows: steering, advice: [] };
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    return { flows: drawn(threads), advice: [`${HANDED_ON} (frames are not steered: ${why})`] };
  }
}

const HANDED_ON = 'threads hand most frames on to each other';

const drawn = (threads: number): Flows => ({ by: 'threads', table: drawTable(threads) });

function spreadByNic(ifname: string, threads: number): Steered {
  const rss = readRss(ifname, threads);
  if (isRefused(rss)) {
    return { flows: drawn(threads), advice: [`${HANDED_ON} (${ifname}: ${rss})`] };
  }
  const { table, datagrams } = rss;
  const advice = datagrams === '' ? [] : [`threads hand datagrams on to each other; ${datagrams}`];
  return { flows: { by: 'rss', table }, advice };
}

/**
 * For the next dataplane of a service whose control plane is another now: a NIC is asked again, a
 * table that was drawn is drawn again.
 */
export function flowsOf(
  network: Network,
  steering: Steering | undefined,
  threads: number,
): Flows | undefined {
  if (steering !== undefined || threads === 1) return steering;
  return network.hostName === undefined
    ? spreadByNic(network.ifname, threads).flows
    : drawn(threads);
}

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
  rss: "spread by the NIC's table",
  threads: 'handed on by the threads',
};

/** '128 flow groups (steered by tcx), by thread: 64 64' */
export function describeSteering({ by, groups }: SteeringState): string {
  const all = groups.reduce((sum, count) => sum + count, 0);
  return `${all} flow groups (${WORDS[by]}), by thread: ${groups.join(' ')}`;
}
