/**
 * What IP and ICMP ask of TCP, the lower side of src/tcp/tcp.ts: so net/ can stand below it.
 *
 * - Addresses are big-endian int32, or tokens of IPv6 addresses (net/v6/destinations.ts), ports
 *   0..65535, offsets arena bytes.
 * - Errors come in the words of IPv4's ICMP, whoever sent them (net/v6/icmpv6.ts).
 */
import type { EventSink } from '../../gate/arrays.ts';

export interface TcpLayer {
  /**
   * One segment to our unicast address; the IP header is valid, the TCP header not yet looked at.
   * `frame` is the Ethernet header, `bytes` TCP header and payload. -> FREE_FRAME, KEEP_FRAME.
   */
  input(
    frame: number,
    ip: number,
    segment: number,
    bytes: number,
    source: number,
    destination: number,
  ): number;
  /** An ICMP error about a segment that may be ours: `sequence` is to be checked (RFC 5927 4.1). */
  icmpError(
    type: number,
    code: number,
    localAddress: number,
    localPort: number,
    remoteAddress: number,
    remotePort: number,
    sequence: number,
    mtu: number,
  ): void;
  /** ARP, or neighbour discovery if `isIpv6`, has given up on a neighbour that never answered. */
  neighbourFailed(neighbour: number, isIpv6: boolean): void;
  expire(flow: number): void;
  flush(): void;
  emit(sink: EventSink): void;
}
