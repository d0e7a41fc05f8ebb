/**
 * Group membership on an interface that we share with the kernel: the NIC's filter must let through
 * what is sent to the solicited-node groups of the dataplane's addresses, and switches must forward
 * it.
 *
 * - The kernel joins on our behalf: it sets the filter, and reports to MLD as long as the socket is
 *   open.
 *
 * Called by links.ts. Read first: man 7 ipv6 (IPV6_ADD_MEMBERSHIP).
 */
import { must, SYS, sys } from '../../native/sys.ts';
import { solicitedNode } from '../../nic/privileged/xdp-program.ts';
import { bytesOfIpv6 } from '../../wire/ipv6-text.ts';

const AF_INET6 = 10;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const IPPROTO_IPV6 = 41;
const IPV6_ADD_MEMBERSHIP = 20;

/** Joins the groups of these addresses; the answer leaves them. */
export function joinGroups(ifindex: number, addresses: readonly (readonly number[])[]): () => void {
  const fd = must(sys.syscall(SYS.socket, AF_INET6, SOCK_DGRAM_CLOEXEC, 0), 'socket(AF_INET6)');
  for (const address of addresses) {
    const request = new Uint8Array(20); // struct ipv6_mreq
    request.set(solicitedNode(bytesOfIpv6(address)));
    new DataView(request.buffer).setUint32(16, ifindex, true);
    const what = `joining the group of an IPv6 address on interface ${ifindex}`;
    must(sys.syscall(SYS.setsockopt, fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, request, 20), what);
  }
  return () => sys.syscall(SYS.close, fd);
}
