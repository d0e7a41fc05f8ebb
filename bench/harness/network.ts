/**
 * The network of a benchmark: a namespace without a name, and in it one veth pair per run.
 *
 * - `enterPrivateNetwork` moves this process's main thread, and so everything it starts afterwards,
 *   into a new network namespace. Nobody else sees it, and the kernel takes it away with all its
 *   links when the last process in it ends, however that happens. Nothing is left to sweep.
 * - A fresh pair for every run: nobody inherits a neighbour table, a queue or an XDP program from
 *   the run before.
 * - Kernel peers get an address on the server's end; our own server takes that end by AF_XDP. The
 *   client's end is always our client's.
 * - The kernel's defaults, with two exceptions, both because the other end is AF_XDP: no partial
 *   checksums and no frames above the MTU (both would need hardware or a kernel behind the wire to
 *   finish).
 * - A frame's receive processing runs where it was sent from. So the client's core does the kernel
 *   peers' receiving (netif_rx, half of that core's time), which is to their advantage.
 *   `steerReceive` sends it to the server's core, where a NIC with one queue would have it (RPS):
 *   then the kernel's server has one core, like ours.
 *
 * Read first: man 7 network_namespaces; drivers/net/veth.c.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { formatAddress, parseAddress } from '../../src/control/link/address.ts';
import { Netlink } from '../../src/control/link/netlink.ts';
import { UserError } from '../../src/errors.ts';
import { EPERM, SYS, SystemCallError, sys } from '../../src/native/sys.ts';
import { setOffloads } from '../../src/nic/privileged/interface.ts';

const CLONE_NEWNET = 0x40000000;

export const SERVER_LINK = 'ixserver';
export const CLIENT_LINK = 'ixclient';
export const PREFIX_LENGTH = 24;
const KERNEL_ADDRESS = parseAddress('10.78.0.2');
const OURS_ADDRESS = parseAddress('10.78.0.3');
export const CLIENT_ADDRESS = formatAddress(parseAddress('10.78.0.1'));

export interface BenchLink {
  /** Where the server of this run is reached. */
  readonly serverAddress: string;
  remove(): void;
}

/** Once per process. */
export function enterPrivateNetwork(): void {
  const result = sys.syscall(SYS.unshare, CLONE_NEWNET);
  if (result === -EPERM) {
    const remedy = 'run as root, or: sudo bin/ix bench ...';
    throw new UserError('IX_PRIVILEGE', 'not allowed to make a network namespace', remedy);
  }
  if (result < 0) throw new SystemCallError('unshare(CLONE_NEWNET)', -result);
  const netlink = new Netlink();
  const loopback = netlink.link('lo');
  if (loopback) netlink.setUp(loopback.index);
  netlink.close();
  for (const scope of ['all', 'default']) {
    try {
      // Neighbour discovery and multicast reports of the kernel are not part of any measurement.
      writeFileSync(`/proc/sys/net/ipv6/conf/${scope}/disable_ipv6`, '1');
    } catch {
      // A kernel without IPv6.
    }
  }
}

/** A pair of links, up; with an address of the kernel on the server's end, or without (ours). */
export function makeBenchLink(server: 'kernel' | 'ours'): BenchLink {
  const netlink = new Netlink();
  try {
    netlink.addVeth({ name: SERVER_LINK }, { name: CLIENT_LINK });
    const near = netlink.link(SERVER_LINK)!;
    const far = netlink.link(CLIENT_LINK)!;
    setOffloads(SERVER_LINK, false, ['txChecksum', 'tso', 'gso']);
    netlink.setUp(near.index);
    netlink.setUp(far.index);
    if (server === 'kernel') netlink.addAddress(near.index, KERNEL_ADDRESS, PREFIX_LENGTH);
  } finally {
    netlink.close();
  }
  return {
    serverAddress: formatAddress(server === 'kernel' ? KERNEL_ADDRESS : OURS_ADDRESS),
    remove: removeBenchLink,
  };
}

/**
 * What the server's link receives is the work of `cpu` from now on. Sysfs shows a namespace's links
 * to who mounts it there.
 */
export function steerReceive(cpu: number): void {
  const mask = (2 ** cpu).toString(16);
  const script = `mount -t sysfs ix /sys &&
  for queue in /sys/class/net/${SERVER_LINK}/queues/rx-*; do
    echo ${mask} >"$queue/rps_cpus" || exit 1
  done`;
  const { status, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', script], { encoding: 'utf8' });
  if (status === 0) return;
  const remedy = 'needs unshare and mount (util-linux) and a kernel with CONFIG_RPS';
  throw new UserError('IX_STEER', `receiving cannot be steered (${stderr?.trim()})`, remedy);
}

function removeBenchLink(): void {
  const netlink = new Netlink();
  const link = netlink.link(SERVER_LINK);
  if (link) netlink.deleteLink(link.index);
  netlink.close();
}
