/**
 * The network of one instance: what it is made of, made and taken away.
 *
 * - `veth`: a pair of links; the first is the host's end (up, with the host's address), the second
 *   the dataplane's end (up, no address, silent for the kernel: frames of our address are taken off
 *   it by the XDP program).
 * - `tap`: one link, the host's end; the dataplane's end is a descriptor. Works inside a user
 *   namespace, too.
 * - `<ifname>`: an interface that is there already; nothing is made.
 * - Links are named ix0, ix1, ...: the first free ones. `makeNetwork` sweeps what dead instances
 *   left, refuses an address that somebody has, and records the instance before it makes the first
 *   link; all under one lock.
 *
 * Called by control/service/holdings.ts; the host's side of our own links is host-side.ts. Read
 * first: man 7 rtnetlink; Documentation/networking/tuntap.rst; ip-sysctl.rst (arp_ignore).
 */

import { closeSync, writeFileSync } from 'node:fs';
import { AddressInUseError, InterfaceError } from '../../errors.ts';
import { ETHERNET_MTU } from '../../limits.ts';
import { isAlive } from '../../native/process.ts';
import type { Ipv6Config } from '../../net/both/environment.ts';
import { readQueues } from '../../nic/privileged/interface.ts';
import { openTapDevice, randomMac } from '../../nic/privileged/tap.ts';
import { printable } from '../../printable.ts';
import { formatIpv6 } from '../../wire/ipv6-text.ts';
import {
  type Estate,
  forget,
  holderOf,
  holders,
  type Instance,
  record,
  withLock,
} from '../record/instances.ts';
import { sweep } from '../record/sweep.ts';
import { formatAddress, hostAddressFor, isWithin, type Subnet } from './address.ts';
import { ipv6ConfigFor, isSameAddress, type Subnet6 } from './address6.ts';
import { joinGroups } from './groups.ts';
import { distrust } from './host-end.ts';
import { giveHostAddresses } from './host-side.ts';
import { IFF_UP, type Link, Netlink, NetlinkError } from './netlink.ts';

const EEXIST = 17;

/** The dataplane's side of a network. */
export type Network = {
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
  /** tap: the device. */
  fd?: number;
  /** Takes away everything that was made, and forgets the instance. May be called twice. */
  remove(): void;
};

export interface NetworkPlan extends Subnet {
  nic: string;
  queues: number;
  /** Absent: no IPv6. */
  ip6?: Subnet6;
  slaac?: boolean;
}

/** `instance` is completed with the names of the links and recorded. */
export function makeNetwork(plan: NetworkPlan, instance: Instance): Network {
  return withLock(() => {
    const netlink = new Netlink();
    try {
      sweepLinks(netlink);
      refuseTakenAddress(netlink, plan);
      if (plan.nic === 'veth') return makeVeth(netlink, plan, instance);
      if (plan.nic === 'tap') return makeTap(netlink, plan, instance);
      return takeInterface(netlink, plan, instance);
    } finally {
      netlink.close();
    }
  });
}

/** The network that an orphan goes on with; `fd` is our copy of the device (tap). */
export function adoptNetwork(instance: Instance, network: Estate['network'], fd?: number): Network {
  const { hostName, hostIndex, ipv6, ...rest } = network;
  const leave = ipv6 && hostName === undefined ? joinFor(rest.ifindex, ipv6) : () => {};
  const forgetAll = removal(instance);
  return {
    ...rest,
    ...(hostName === undefined ? {} : { hostName }),
    ...(hostIndex === undefined ? {} : { hostIndex }),
    ...(ipv6 && { ipv6 }),
    ...(fd === undefined ? {} : { fd }),
    remove: () => {
      leave();
      forgetAll();
    },
  };
}

/** Takes away the links of an instance that has ended, and forgets it. */
export function removeNetwork(instance: Instance): void {
  withLock(removal(instance));
}

/** Its name now; undefined: it is gone. */
export function linkName(index: number): string | undefined {
  const netlink = new Netlink();
  const found = netlink.links().find((link) => link.index === index);
  netlink.close();
  return found?.name;
}

/** Removes links that dead instances left behind; returns their names. Call under `withLock`. */
export function sweepLinks(netlink: Netlink): string[] {
  return sweep((name, indexes) => removeLink(netlink, name, indexes));
}

/**
 * Only kinds that we make, and only under a number that it had, if that is known: the name may be
 * something else's by now.
 */
function removeLink(netlink: Netlink, name: string, indexes?: readonly number[]): boolean {
  const link = netlink.link(name);
  if (!link || (link.kind !== 'veth' && link.kind !== 'tun')) return false;
  if (indexes && !indexes.includes(link.index)) return false;
  netlink.deleteLink(link.index);
  return true;
}

function refuseHeld(text: string, { control, app, address }: Instance): never {
  if (isAlive(control)) {
    throw new AddressInUseError(`${text} is already served by ix pid ${control.pid}`);
  }
  const problem = `${text} is served by ${printable(app)}, whose control plane has died`;
  throw new AddressInUseError(problem, `stop it with: bin/ix stop ${address}`);
}

function refuseTakenAddress(netlink: Netlink, plan: NetworkPlan): void {
  const text = formatAddress(plan.address);
  const holder = holderOf(text);
  if (holder) refuseHeld(text, holder);
  const links = netlink.links();
  const nameOf = (index: number) => links.find((link) => link.index === index)?.name ?? `${index}`;
  const addresses = netlink.addresses();
  const same = addresses.find((entry) => entry.address === plan.address);
  if (same) {
    throw new AddressInUseError(`${text} is an address of this machine (${nameOf(same.index)})`);
  }
  refuseTakenAddress6(netlink, plan, nameOf);
  if (plan.nic !== 'veth' && plan.nic !== 'tap') return;
  const host = hostAddressFor(plan);
  // The host's own address on another instance's link is shared, not in the way.
  const clash = addresses.find(
    (entry) =>
      isWithin(plan.address, entry) &&
      !(entry.address === host && /^ix\d+$/.test(nameOf(entry.index))),
  );
  if (clash) {
    const whose = `${formatAddress(clash.address)}/${clash.prefixLength} on ${nameOf(clash.index)}`;
    throw new AddressInUseError(`${text} belongs to a network that is there already (${whose})`);
  }
}

function refuseTakenAddress6(
  netlink: Netlink,
  { ip6 }: NetworkPlan,
  nameOf: (index: number) => string,
): void {
  if (!ip6) return;
  const text = formatIpv6(ip6.address);
  const holder = holders().find((each) => each.address6 === text);
  if (holder) refuseHeld(text, holder);
  const same = netlink.addresses6().find((entry) => isSameAddress(entry.address, ip6.address));
  if (!same) return;
  throw new AddressInUseError(`${text} is an address of this machine (${nameOf(same.index)})`);
}

/** The first `count` names ix0, ix1, ... that no link has. */
function freeNames(netlink: Netlink, count: number): string[] {
  const taken = new Set(netlink.links().map((link) => link.name));
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) if (!taken.has(`ix${i}`)) names.push(`ix${i}`);
  return names;
}

function makeVeth(netlink: Netlink, plan: NetworkPlan, instance: Instance): Network {
  const [hostName, ifname] = freeNames(netlink, 2) as [string, string];
  instance.links = [hostName, ifname];
  record(instance);
  const remove = removal(instance);
  try {
    addVeth(netlink, hostName, ifname, plan.queues);
    const host = existing(netlink, hostName);
    const ours = existing(netlink, ifname);
    silence(ifname);
    guardHost(hostName);
    netlink.setUp(ours.index);
    netlink.setUp(host.index);
    const { mac, mtu } = ours;
    const ipv6 = privateIpv6(netlink, host.index, plan, mac);
    return {
      ...{ kind: 'link', ifname, ifindex: ours.index, mac, mtu, gateway: 0, hostName, remove },
      ...{ linkKind: ours.kind, hostIndex: host.index },
      ...(ipv6 && { ipv6 }),
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function addVeth(netlink: Netlink, hostName: string, ifname: string, queues: number): void {
  try {
    // The dataplane's end sends into the host's: a queue there for every queue here.
    netlink.addVeth({ name: hostName, queues }, { name: ifname, queues });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const remedy =
      error.errno === EEXIST
        ? 'another program makes links of these names; try again'
        : 'this kernel may lack veth: modprobe veth, or choose --nic tap';
    throw new InterfaceError(error.message, remedy);
  }
}

function makeTap(netlink: Netlink, plan: NetworkPlan, instance: Instance): Network {
  const [hostName] = freeNames(netlink, 1) as [string];
  instance.links = [hostName];
  record(instance);
  const fd = openTapDevice(hostName);
  const remove = removal(instance, fd);
  try {
    const { index } = existing(netlink, hostName);
    guardHost(hostName);
    netlink.setUp(index);
    // The interface's address is the kernel's end's; ours is another.
    const mac = [...randomMac()];
    const mtu = ETHERNET_MTU;
    const ipv6 = privateIpv6(netlink, index, plan, mac);
    return {
      ...(ipv6 && { ipv6 }),
      kind: 'tap',
      linkKind: 'tun',
      ifname: hostName,
      ifindex: index,
      mac,
      mtu,
      gateway: 0,
      hostName,
      hostIndex: index,
      fd,
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function takeInterface(netlink: Netlink, plan: NetworkPlan, instance: Instance): Network {
  const link = existing(netlink, plan.nic);
  const { name, index, mac, mtu } = link;
  if (mac.length !== 6 || name === 'lo') {
    throw new InterfaceError(`${name} is not an Ethernet interface`, 'choose another with --nic');
  }
  if ((link.flags & IFF_UP) === 0) {
    throw new InterfaceError(`${name} is down`, `try: ip link set ${name} up`);
  }
  checkQueues(name, plan.queues);
  record(instance);
  const gateway = netlink.gatewayOf(index);
  const { ip6 } = plan;
  const ipv6 = ip6 && ipv6ConfigFor(ip6, mac, netlink.gateway6Of(index), false, false);
  const leave = ipv6 ? joinFor(index, ipv6) : () => {};
  const forgetAll = removal(instance);
  const remove = (): void => {
    leave();
    forgetAll();
  };
  return {
    ...{ kind: 'link', ifname: name, ifindex: index, mac, mtu, gateway, remove },
    linkKind: link.kind,
    ...(ipv6 && { ipv6 }),
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

const joinFor = (ifindex: number, { address, linkLocal }: Ipv6Config): (() => void) =>
  joinGroups(ifindex, [address, linkLocal]);

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

function removal(instance: Instance, fd = -1): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    const netlink = new Netlink();
    for (const name of instance.links) removeLink(netlink, name, instance.link?.indexes);
    netlink.close();
    if (fd >= 0) closeSync(fd);
    forget(instance);
  };
}
