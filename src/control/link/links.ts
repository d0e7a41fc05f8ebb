/**
 * Links: those that we make for a dataplane, and one that is there already.
 *
 * - `veth`: a pair; the first is the host's end (up, with the host's address), the second the
 *   dataplane's end (up, no address, silent for the kernel: frames of our address are taken off it
 *   by the XDP program).
 * - `tap`: one link, the host's end; the dataplane's end is a descriptor a queue. Works inside a
 *   user namespace, too.
 * - `<ifname>`: an interface that is there already; nothing is made.
 * - The names come from the caller, who has written them down: whatever ends us, they are found
 *   again. What throws has taken away what it made, and nothing that it did not make.
 *
 * Called by network.ts; the host's side of our own links is host-side.ts. Read first: man 7
 * rtnetlink; Documentation/networking/tuntap.rst; ip-sysctl.rst (arp_ignore).
 */
import { closeSync, writeFileSync } from 'node:fs';
import { InterfaceError } from '../../errors.ts';
import { ETHERNET_MTU } from '../../limits.ts';
import type { Ipv6Config } from '../../net/both/environment.ts';
import { readQueues } from '../../nic/privileged/interface.ts';
import { queueBefore } from '../../nic/privileged/steering.ts';
import { openTapQueues, randomMac } from '../../nic/privileged/tap.ts';
import { hostAddressFor } from './address.ts';
import { ipv6ConfigFor } from './address6.ts';
import { joinGroups } from './groups.ts';
import { distrust } from './host-end.ts';
import { giveHostAddresses, type HostSide } from './host-side.ts';
import { IFF_UP, type Link, type Netlink, NetlinkError } from './netlink.ts';
import type { AttachMode } from './xdp.ts';

const EEXIST = 17;

export interface NetworkPlan extends HostSide {
  nic: string;
  queues: number;
  slaac?: boolean;
  /** Absent: the host's link is all there is. */
  outbound?: 'nat';
  attach?: AttachMode;
}

/** The dataplane's side of a link. */
export type Ends = {
  kind: 'link' | 'tap';
  /** The interface that the dataplane drives, or (tap) whose other end it has. */
  ifname: string;
  ifindex: number;
  mac: number[];
  mtu: number;
  /** Big-endian integer as int32; 0: none. */
  gateway: number;
  /** Absent: no IPv6 there. */
  ipv6?: Ipv6Config;
  /** Netlink's name of its kind ('veth', 'tun'); empty for hardware. */
  linkKind: string;
  /** The host's end; absent for an interface that was there already. */
  hostName?: string;
  hostIndex?: number;
  /** tap: the device, a descriptor a queue. */
  fds?: number[];
  /** Gives back what we have of it but the links: memberships, the device. To be called once. */
  leave(): void;
};

/** How many links are made for `nic`. */
export function linksFor(nic: string): number {
  if (nic === 'veth') return 2;
  return nic === 'tap' ? 1 : 0;
}

/** `names`: as many as `linksFor` says, the host's first. */
export function makeLinks(netlink: Netlink, plan: NetworkPlan, names: readonly string[]): Ends {
  const [hostName = '', ifname = ''] = names;
  if (plan.nic === 'veth') return makeVeth(netlink, plan, hostName, ifname);
  if (plan.nic === 'tap') return makeTap(netlink, plan, hostName);
  return takeInterface(netlink, plan);
}

/**
 * Only kinds that we make, and only under a number that it had, if that is known: the name may be
 * something else's by now.
 */
export function removeLink(netlink: Netlink, name: string, indexes?: readonly number[]): boolean {
  const link = netlink.link(name);
  if (!link || (link.kind !== 'veth' && link.kind !== 'tun')) return false;
  if (indexes && !indexes.includes(link.index)) return false;
  netlink.deleteLink(link.index);
  return true;
}

/** The first `count` names ix0, ix1, ... that no link has. */
export function freeNames(netlink: Netlink, count: number): string[] {
  const taken = new Set(netlink.links().map((link) => link.name));
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) if (!taken.has(`ix${i}`)) names.push(`ix${i}`);
  return names;
}

function makeVeth(netlink: Netlink, plan: NetworkPlan, hostName: string, ifname: string): Ends {
  addVeth(netlink, hostName, ifname, plan);
  try {
    const host = existing(netlink, hostName);
    const ours = existing(netlink, ifname);
    silence(ifname);
    guardHost(hostName);
    netlink.setUp(ours.index);
    netlink.setUp(host.index);
    const { mac, mtu } = ours;
    const ipv6 = privateIpv6(netlink, host.index, plan, mac);
    return {
      ...{ kind: 'link', ifname, ifindex: ours.index, mac, mtu, hostName },
      gateway: hostGateway(plan),
      ...{ linkKind: ours.kind, hostIndex: host.index },
      ...(ipv6 && { ipv6 }),
      leave: () => {},
    };
  } catch (error) {
    removeLink(netlink, hostName);
    throw error;
  }
}

function addVeth(
  netlink: Netlink,
  hostName: string,
  ifname: string,
  { queues, attach }: NetworkPlan,
): void {
  const before = queues === 1 ? 0 : queueBefore(attach?.mode);
  try {
    // The dataplane's end sends into the host's: a queue there for every queue here.
    const host = { name: hostName, queues, transmitQueues: queues + before };
    netlink.addVeth(host, { name: ifname, queues });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const remedy =
      error.errno === EEXIST
        ? 'another program makes links of these names; try again'
        : 'this kernel may lack veth: modprobe veth, or choose --nic tap';
    throw new InterfaceError(error.message, remedy);
  }
}

function makeTap(netlink: Netlink, plan: NetworkPlan, hostName: string): Ends {
  const fds = openTapQueues(hostName, plan.queues);
  const leave = (): void => fds.forEach(closeSync); // the link goes with its last descriptor
  try {
    const { index } = existing(netlink, hostName);
    guardHost(hostName);
    netlink.setUp(index);
    // The interface's address is the kernel's end's; ours is another.
    const mac = [...randomMac()];
    const ipv6 = privateIpv6(netlink, index, plan, mac);
    return {
      ...{ kind: 'tap', linkKind: 'tun', ifname: hostName, ifindex: index, mac },
      ...{ mtu: ETHERNET_MTU, hostName, hostIndex: index, fds, leave },
      gateway: hostGateway(plan),
      ...(ipv6 && { ipv6 }),
    };
  } catch (error) {
    leave();
    throw error;
  }
}

/** The host, if it forwards (outbound.ts). */
const hostGateway = (plan: NetworkPlan): number =>
  plan.outbound === undefined ? 0 : hostAddressFor(plan);

function takeInterface(netlink: Netlink, { nic, queues, ip6 }: NetworkPlan): Ends {
  const { name, index, mac, mtu, flags, kind } = existing(netlink, nic);
  if (mac.length !== 6 || name === 'lo') {
    throw new InterfaceError(`${name} is not an Ethernet interface`, 'choose another with --nic');
  }
  if ((flags & IFF_UP) === 0) {
    throw new InterfaceError(`${name} is down`, `try: ip link set ${name} up`);
  }
  checkQueues(name, queues);
  const gateway = netlink.gatewayOf(index);
  const ipv6 = ip6 && ipv6ConfigFor(ip6, mac, netlink.gateway6Of(index), false, false);
  return {
    ...{ kind: 'link', linkKind: kind, ifname: name, ifindex: index, mac, mtu, gateway },
    ...(ipv6 && { ipv6 }),
    leave: joinFor(index, ipv6),
  };
}

/**
 * What arrives on a queue that no thread has goes to the kernel, which would reset the connection.
 */
function checkQueues(name: string, threads: number): void {
  const queues = readQueues(name);
  if (queues === undefined || queues === threads) return;
  throw new InterfaceError(
    `${name} has ${queues} queues, for as many threads, not ${threads}`,
    `try --threads ${queues}, or: ethtool -L ${name} combined ${threads}`,
  );
}

/** On an interface that we share with the kernel; the answer leaves the groups again. */
export function joinFor(ifindex: number, ipv6: Ipv6Config | undefined): () => void {
  return ipv6 ? joinGroups(ifindex, [ipv6.address, ipv6.linkLocal]) : () => {};
}

function existing(netlink: Netlink, name: string): Link {
  const links = netlink.links();
  const found = links.find((link) => link.name === name);
  if (found) return found;
  const names = links.map((link) => link.name).filter((other) => other !== 'lo');
  throw new InterfaceError(
    `there is no interface ${name}`,
    `choose --nic veth, tap, cable${names.length > 0 ? ` or one of: ${names.join(', ')}` : ''}`,
  );
}

/** The kernel keeps its own neighbour discovery and addresses off the dataplane's end. */
function silence(ifname: string): void {
  const settings = {
    [`ipv6/conf/${ifname}/disable_ipv6`]: '1',
    [`ipv4/conf/${ifname}/arp_ignore`]: '8',
  };
  for (const [name, value] of Object.entries(settings)) {
    try {
      writeFileSync(`/proc/sys/net/${name}`, value);
    } catch {
      // A kernel without IPv6, or a read-only /proc/sys: a few frames more to drop.
    }
  }
}

function guardHost(hostName: string): void {
  const left = distrust(hostName);
  if (left.length === 0) return;
  console.error(
    `ix: ${hostName} believes what comes from the dataplane (${left.join(', ')} not set)`,
  );
}

/**
 * The host's side of a link of our own, and the dataplane's IPv6 there; undefined: none was asked
 * for, or can be had.
 */
function privateIpv6(
  netlink: Netlink,
  index: number,
  plan: NetworkPlan,
  mac: readonly number[],
): Ipv6Config | undefined {
  const { ip6, slaac = false } = plan;
  const error = giveHostAddresses(netlink, index, plan);
  if (error) console.error(`ix: no IPv6 (${error.message})`);
  if (!ip6 || error) return undefined;
  return ipv6ConfigFor(ip6, mac, [0, 0, 0, 0], true, slaac);
}
