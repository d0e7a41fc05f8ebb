/**
 * The IPv4 header of a packet that no simulated host has made: without options or an ID, as who
 * forges one or a router would send it.
 *
 * Called by forge.ts and too-big.ts. Read first: RFC 791 3.1.
 */
import { finish, sumShort } from '../src/wire/checksum.ts';
import {
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER_BYTES,
  IP_ID,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  IP_TTL_DEFAULT,
  IP_VERSION_IHL,
} from '../src/wire/ipv4.ts';

export interface Ipv4Header {
  protocol: number;
  source: number;
  destination: number;
  /** Flags and offset. */
  fragment: number;
  /** Bytes behind the header. */
  payloadBytes: number;
}

export function writeIpv4Header(view: DataView, ip: number, header: Ipv4Header): void {
  view.setUint16(ip + IP_VERSION_IHL, 0x4500);
  view.setUint16(ip + IP_LENGTH, IP_HEADER_BYTES + header.payloadBytes);
  view.setUint16(ip + IP_ID, 0);
  view.setUint16(ip + IP_FRAGMENT, header.fragment);
  view.setUint8(ip + IP_TTL, IP_TTL_DEFAULT);
  view.setUint8(ip + IP_PROTOCOL, header.protocol);
  view.setUint16(ip + IP_CHECKSUM, 0);
  view.setInt32(ip + IP_SOURCE, header.source);
  view.setInt32(ip + IP_DESTINATION, header.destination);
  view.setUint16(ip + IP_CHECKSUM, finish(sumShort(view, ip, IP_HEADER_BYTES)), true);
}
