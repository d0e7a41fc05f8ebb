/**
 * The host's side of a link of our own: its addresses, and the routes to ours.
 *
 * - The first instance of a network gives the host an address in it. Further ones share that
 *   address, and get a route to their own address that is more specific than the network's.
 * - Gives what is missing and leaves what is there, so it also mends: the kernel drops IPv6
 *   addresses and all routes of a link that goes down, and gives back only some of them when it is
 *   up again.
 *
 * Called by links.ts, and by control/service/link-care.ts when a link is up again. Read first:
 * ip-sysctl.rst, keep_addr_on_down.
 */
import { hostAddressFor, type Subnet } from './address.ts';
import { hostAddress6For, isSameAddress, type Subnet6 } from './address6.ts';
import { type Netlink, NetlinkError, unlessThere } from './netlink.ts';

export interface HostSide extends Subnet {
  /** Absent: no IPv6. */
  ip6?: Subnet6;
}

const BITS = 32;
const BITS_6 = 128;

/** What cannot be had of IPv6 is returned: a kernel without it is no reason not to serve. */
export function giveHostAddresses(
  netlink: Netlink,
  index: number,
  side: HostSide,
): NetlinkError | undefined {
  const host = hostAddressFor(side);
  const holders = netlink.addresses().filter((entry) => entry.address === host);
  const isShared = holders.some((each) => each.index !== index && each.prefixLength < BITS);
  if (!holders.some((each) => each.index === index)) {
    netlink.addAddress(index, host, isShared ? BITS : side.prefixLength);
  }
  if (isShared) unlessThere(() => netlink.addHostRoute(index, side.address, host));
  try {
    if (side.ip6) giveIpv6(netlink, index, side.ip6);
  } catch (error) {
    if (error instanceof NetlinkError) return error;
    throw error;
  }
  return undefined;
}

function giveIpv6(netlink: Netlink, index: number, ip6: Subnet6): void {
  const host = hostAddress6For(ip6);
  const holders = netlink.addresses6().filter((entry) => isSameAddress(entry.address, host));
  const isShared = holders.some((each) => each.index !== index && each.prefixLength < BITS_6);
  if (!holders.some((each) => each.index === index)) {
    netlink.addAddress(index, host, isShared ? BITS_6 : ip6.prefixLength);
  }
  if (isShared) unlessThere(() => netlink.addHostRoute(index, ip6.address, host));
}
