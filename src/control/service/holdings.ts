/**
 * What a service holds across the lives of its dataplanes: its record, its links, its counters, the
 * XDP program, the program that steers its frames.
 *
 * - `makeHoldings` makes them, `adoptHoldings` takes them over from a control plane that has died:
 *   out of the record, and copies of the descriptors out of the dataplane that has kept them. If
 *   either throws, nothing is left (made) or nothing was touched (adopted).
 * - `release` is synchronous, may be called at any time and twice: it takes away everything, record
 *   included.
 * - The record always says what an adopter needs to know now: each life notes its processes as it
 *   starts them, and its estate when it serves.
 *
 * Called by service.ts; a life (life.ts) is lived on them.
 */
import { closeSync } from 'node:fs';
import { type SharedDescriptors, STATISTICS_BYTES } from '../../child/config.ts';
import type { Confined } from '../../confine/confine.ts';
import { COUNTER_NAMES, LATENCY_CELL } from '../../counters.ts';
import { LATENCY_CELLS } from '../../latency.ts';
import { networkNamespace, processName } from '../../native/process.ts';
import { Attachment, attachXdp } from '../../nic/privileged/attach.ts';
import { readInterface, setOffloads } from '../../nic/privileged/interface.ts';
import { adoptSteering, type Steering } from '../../nic/privileged/steering.ts';
import { formatIpv6 } from '../../wire/ipv6-text.ts';
import type { Inherited } from '../children/child.ts';
import type { Attached } from '../children/launch.ts';
import { formatAddress } from '../link/address.ts';
import { ipv6Matches } from '../link/address6.ts';
import { adviceFor } from '../link/advice.ts';
import type { HostSide } from '../link/host-side.ts';
import type { NetworkPlan } from '../link/links.ts';
import { adoptNetwork, linkName, makeNetwork, type Network } from '../link/network.ts';
import { type Flows, flowsOf, steer, steeringStateOf } from '../link/steering.ts';
import { xdpWords } from '../link/xdp-words.ts';
import { type Held, openProcess, takeDescriptor } from '../record/descriptors.ts';
import {
  type ChildRecord,
  type Estate,
  type Instance,
  record,
  recordOrSay,
  usersOf,
} from '../record/instances.ts';
import { ourselves } from '../record/state.ts';
import { makeStatistics, settleStatistics } from '../record/statistics.ts';
import type { NetworkPart } from '../wish/plan.ts';
import { Undo } from './undo.ts';

/** A child as the record wants to know it. */
interface Noted {
  readonly pid: number;
  readonly channel: Held;
  readonly outputs: readonly string[];
  readonly confined: Confined | undefined;
}

export interface Holdings {
  readonly instance: Instance;
  readonly network: Network;
  /** Absent for a tap. */
  readonly attachment: Attachment | undefined;
  /** Absent: nobody steers its frames, or not we. */
  readonly steering: Steering | undefined;
  /** Which thread has which flow; absent: there is one. */
  readonly flows: Flows | undefined;
  readonly statisticsFd: number;
  /** What the host's end of a link of our own is given. */
  readonly hostSide: HostSide;
  /**
   * Lines to say when it serves: what should be switched off on an interface that was there before.
   */
  readonly advice: readonly string[];
  release(): void;
}

/** `name`: of the application, for the record. */
export function makeHoldings(name: string, plan: NetworkPart): Holdings {
  const undo = new Undo();
  try {
    const statisticsFd = makeStatistics(plan.queues);
    undo.push(() => closeSync(statisticsFd));
    const instance = describe(name, plan, statisticsFd);
    const network = makeNetwork(plan, instance);
    if (network.ipv6) instance.address6 = formatIpv6(network.ipv6.address);
    undo.push(network.remove);
    instance.link = linkOf(network);
    const hostSide = hostSideOf(plan, network);
    // Frames of the host must come with whole checksums and no longer than the MTU.
    if (network.hostName !== undefined) setOffloads(network.hostName, false);
    const attachment = network.fds === undefined ? attach(network, plan) : undefined;
    if (attachment) undo.push(() => attachment.detach());
    const { steering, flows, advice: unsteered } = steer(network, plan.queues, attachment?.mode);
    if (steering) undo.push(() => steering.close());
    if (flows) instance.steering = steeringStateOf(flows, plan.queues);
    const { changes = [] } = network;
    const advice = [...adviceOn(network, attachment), ...unsteered, ...changes];
    const release = (): void => undo.run();
    const held = { instance, network, attachment, steering, flows, statisticsFd, hostSide };
    return { ...held, advice, release };
  } catch (error) {
    undo.run();
    throw error;
  }
}

/** IPv6 that could not be had is not asked for again. */
const hostSideOf = ({ address, prefixLength, ip6 }: NetworkPlan, { ipv6 }: Network): HostSide => ({
  ...{ address, prefixLength },
  ...(ip6 && ipv6 && { ip6 }),
});

const linkOf = ({ ifname, ifindex, hostIndex }: Network): NonNullable<Instance['link']> => ({
  name: ifname,
  indexes: [...new Set([hostIndex ?? ifindex, ifindex])],
  state: 'up',
});

const adviceOn = (
  { ifname, linkKind, hostName }: Network,
  attachment: Attachment | undefined,
): string[] =>
  attachment && hostName === undefined ? adviceFor(ifname, linkKind, attachment.mode) : [];

function attach(network: Network, plan: NetworkPart): Attachment {
  const { ifname } = network;
  return attachXdp({
    ...{ ifname, ipv4: [plan.address], explain: xdpWords },
    ...plan.attach,
    ...(network.ipv6 && { ipv6: ipv6Matches(network.ipv6) }),
    // Nobody else is behind a link of our own: the stack sees all of it, as over a tap.
    ...(network.hostName !== undefined && { everything: true }),
  });
}

function describe(
  name: string,
  { nic, address, queues }: NetworkPart,
  statisticsFd: number,
): Instance {
  const control = processName(process.pid);
  if (!control) throw new Error('/proc is not mounted');
  return {
    control,
    users: [ourselves()],
    namespace: networkNamespace(),
    address: formatAddress(address),
    app: name,
    ports: [],
    nic,
    links: [],
    statisticsFd,
    counters: [...COUNTER_NAMES],
    segment: { bytes: STATISTICS_BYTES, latency: LATENCY_CELL, cells: LATENCY_CELLS },
    threads: queues,
  };
}

export interface Adopted extends Holdings {
  readonly estate: Estate;
  /** One a thread; empty in domain inline. */
  readonly shared: SharedDescriptors[];
}

/** `instance` is an orphan that was claimed (adopt.ts). */
export function adoptHoldings(instance: Instance, plan: NetworkPart): Adopted {
  const { dataplane, estate } = instance;
  if (!dataplane || !estate) throw new Error('claimed, so it has both');
  const taken = new Undo();
  const pidfd = openProcess(dataplane, usersOf(instance));
  const take = (held: Held): number => {
    const fd = takeDescriptor(pidfd, held);
    taken.push(() => closeSync(fd));
    return fd;
  };
  try {
    const statisticsFd = take(estate.statistics);
    const { devices, xdp } = estate;
    const fds = devices?.map(take);
    const shared = (estate.shared ?? []).map((each) => eachOf(each, take));
    const maps = xdp && { map: take(xdp.map), link: take(xdp.link) };
    const steering = estate.steering && takeSteering(estate.steering, take);
    const ifname = linkName(estate.network.ifindex);
    if (ifname === undefined) throw new Error(`its interface ${estate.network.ifname} is gone`);
    const attachment =
      xdp &&
      maps &&
      new Attachment(readInterface(ifname), xdp.mode, xdp.fallback, maps.map, maps.link);
    const network = adoptNetwork(instance, estate.network, fds);
    const hostSide = hostSideOf(plan, network);
    instance.statisticsFd = statisticsFd;
    record(instance);
    const release = (): void => {
      network.remove();
      taken.run();
    };
    const advice = adviceOn(network, attachment);
    const flows = flowsOf(network, steering, plan.queues);
    const held = { instance, network, attachment, steering, flows, statisticsFd, hostSide };
    return { ...held, advice, estate, shared, release };
  } catch (error) {
    taken.run();
    throw error;
  } finally {
    closeSync(pidfd);
  }
}

function takeSteering(
  { by, map, link }: NonNullable<Estate['steering']>,
  take: (held: Held) => number,
): Steering {
  return adoptSteering(by, take(map), link && take(link));
}

type OfShared<T> = Record<keyof SharedDescriptors, T>;

const eachOf = <From, To>(all: OfShared<From>, to: (one: From) => To): OfShared<To> => ({
  receivePool: to(all.receivePool),
  events: to(all.events),
  calls: to(all.calls),
  memory: to(all.memory),
  wake: to(all.wake),
  bell: to(all.bell),
  theirWake: to(all.theirWake),
  theirBell: to(all.theirBell),
});

/**
 * Who its children may be from now on, beside those of before: they are noted before they have
 * become who they will be.
 */
export function noteUsers(instance: Instance, users: readonly (number | undefined)[]): void {
  const known = users.filter((user) => user !== undefined);
  instance.users = [...new Set([...instance.users, ...known])];
}

export function noteChild(
  instance: Instance,
  role: 'dataplane' | 'application',
  { pid, channel, outputs, confined }: Noted,
): void {
  const name = processName(pid);
  if (!name) return; // dead already: its end is reported
  const child: ChildRecord = { ...name, channel, outputs: [...outputs] };
  if (confined) child.confined = confined;
  instance[role] = child;
  recordOrSay(instance);
}

/** A dataplane has ended: nothing to adopt until the next one serves. Whatever fails is said. */
export function noteEnd(instance: Instance): void {
  settleStatistics(instance);
  const ended = ['dataplane', 'application', 'estate', 'tables'] as const;
  for (const gone of ended) delete instance[gone];
  instance.ports = [];
  recordOrSay(instance);
}

/** What must be open in the dataplane, too, so that it is there when we are not. */
export function keepOpen({ attachment, steering }: Holdings, inherited: Inherited): void {
  const held = [attachment?.mapFd, attachment?.linkFd, steering?.mapFd, steering?.linkFd];
  for (const fd of held) if (fd !== undefined) inherited.pass(fd);
}

/** What the dataplane holds, by the numbers that `inherited` gave it. */
export function estateOf(
  { network, attachment, steering, statisticsFd }: Holdings,
  wish: string,
  inherited: Inherited,
  shared: readonly SharedDescriptors[] | undefined,
  attached: Attached,
): Estate {
  const { kind, linkKind, ifname, ifindex, mac, mtu, gateway } = network;
  const { hostName, hostIndex, ipv6, fds } = network;
  const held = (ours: number): Held => inherited.held(ours);
  const xdp = attachment && {
    mode: attachment.mode,
    fallback: attachment.fallback,
    map: held(attachment.mapFd),
    link: held(attachment.linkFd),
  };
  const steered = steering && {
    by: steering.by,
    map: held(steering.mapFd),
    ...(steering.linkFd !== undefined && { link: held(steering.linkFd) }),
  };
  return {
    wish,
    network: {
      kind,
      linkKind,
      ifname,
      ifindex,
      mac,
      mtu,
      gateway,
      ...(hostName && { hostName }),
      ...(hostIndex !== undefined && { hostIndex }),
      ...(ipv6 && { ipv6 }),
    },
    statistics: held(statisticsFd),
    ...(fds && { devices: fds.map(held) }),
    ...(xdp && { xdp }),
    ...(steered && { steering: steered }),
    ...(shared && { shared: shared.map((each) => eachOf(each, held)) }),
    ...{ layouts: attached.layouts, flows: attached.flows, driver: attached.nic },
  };
}
