/**
 * Whether the frames of a service are steered by flow groups, and the words for it.
 *
 * - Steered: a veth pair of our own with several threads. On an interface that was there before the
 *   NIC's own hash decides, a tap has one thread.
 * - A kernel that cannot is no reason not to serve: it spreads flows by a hash that we do not know,
 *   as it did before; a line says what does not work then.
 *
 * Called by control/service/holdings.ts; shown by cli/stat.ts.
 */
import type { XdpMode } from '../../nic/drivers.ts';
import { type SteeredBy, type Steering, steerFlows } from '../../nic/privileged/steering.ts';
import { classify } from './classifier.ts';
import type { Network } from './network.ts';

export interface Steered {
  /** Absent: not steered. */
  readonly steering?: Steering;
  /** What to say of it. */
  readonly advice: readonly string[];
}

/** `mode`: of the XDP program on the link; absent: none is. */
export function steer(network: Network, threads: number, mode: XdpMode | undefined): Steered {
  const { hostName: ifname, hostIndex: ifindex } = network;
  const isVeth = ifname !== undefined && ifindex !== undefined && mode !== undefined;
  if (!isVeth || threads === 1) return { advice: [] };
  try {
    const steering = steerFlows({ ifname, ifindex, mode, threads, classify });
    return { steering, advice: [] };
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    const what = 'connections that the application itself opens may get no answers';
    return { advice: [`${what}: flows are spread by the kernel (${why})`] };
  }
}

/** How, and how many flow groups each thread has: for the record. */
export interface SteeringState {
  by: SteeredBy;
  groups: number[];
}

export function steeringStateOf({ by, table }: Steering, threads: number): SteeringState {
  const groups = new Array<number>(threads).fill(0);
  for (const thread of table.threads) groups[thread]! += 1;
  return { by, groups };
}

/** '128 flow groups (tcx), by thread: 64 64' */
export function describeSteering({ by, groups }: SteeringState): string {
  const all = groups.reduce((sum, count) => sum + count, 0);
  return `${all} flow groups (${by}), by thread: ${groups.join(' ')}`;
}
