/**
 * What a router says when a packet that must not be fragmented does not fit the next link: ICMP
 * "too big".
 *
 * Called by network.ts. Read first: RFC 1191 4; RFC 792.
 */
import { finish, pseudoHeaderSum, sumShort } from '../src/wire/checksum.ts';
import {
  ETH_PAYLOAD,
  ETH_TYPE,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
  setMac,
} from '../src/wire/ethernet.ts';
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_NEXT_HOP_MTU,
  ICMP_QUOTE,
  ICMP_REST,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
  UNREACHABLE_TOO_BIG,
} from '../src/wire/icmp.ts';
import { ICMP6_CHECKSUM, ICMP6_QUOTE, ICMP6_REST, ICMP6_TOO_BIG } from '../src/wire/icmpv6.ts';
import { IP_HEADER_BYTES, IP_PAYLOAD, IP_SOURCE, PROTOCOL_ICMP } from '../src/wire/ipv4.ts';
import {
  IP6_DESTINATION,
  IP6_HEADER_BYTES,
  IP6_LENGTH,
  IP6_PAYLOAD,
  IP6_SOURCE,
  PROTOCOL_ICMP6,
} from '../src/wire/ipv6.ts';
import { ROUTER_ADDRESS, ROUTER_ADDRESS6 } from './address.ts';
import { writeIpv4Header } from './ipv4-header.ts';

/** An IP header without options, and eight bytes behind it. */
const QUOTED_BYTES = IP_HEADER_BYTES + 8;
const ROUTER_MAC_HIGH = 0x026978ff;

/** Writes the message about the frame at `frame` to `at`; returns its length. */
export function writeTooBig(
  view: DataView,
  u8: Uint8Array,
  at: number,
  frame: number,
  mtu: number,
): number {
  u8.copyWithin(at, frame + 6, frame + 12);
  setMac(view, at + 6, ROUTER_MAC_HIGH, 1);
  view.setUint16(at + ETH_TYPE, ETH_TYPE_IPV4);
  const icmp = at + IP_PAYLOAD;
  const icmpBytes = ICMP_QUOTE + QUOTED_BYTES;
  writeIpv4Header(view, at + ETH_PAYLOAD, {
    protocol: PROTOCOL_ICMP,
    source: ROUTER_ADDRESS,
    destination: view.getInt32(frame + ETH_PAYLOAD + IP_SOURCE),
    fragment: 0,
    payloadBytes: icmpBytes,
  });
  view.setUint8(icmp + ICMP_TYPE, ICMP_UNREACHABLE);
  view.setUint8(icmp + ICMP_CODE, UNREACHABLE_TOO_BIG);
  view.setUint16(icmp + ICMP_CHECKSUM, 0);
  view.setUint16(icmp + ICMP_REST, 0);
  view.setUint16(icmp + ICMP_NEXT_HOP_MTU, mtu);
  u8.copyWithin(icmp + ICMP_QUOTE, frame + ETH_PAYLOAD, frame + ETH_PAYLOAD + QUOTED_BYTES);
  view.setUint16(icmp + ICMP_CHECKSUM, finish(sumShort(view, icmp, icmpBytes)), true);
  return IP_PAYLOAD + icmpBytes;
}

/**
 * The same about an IPv6 packet (RFC 4443 3.2), which quotes all headers and the sequence number.
 */
export function writeTooBig6(
  view: DataView,
  u8: Uint8Array,
  at: number,
  frame: number,
  mtu: number,
): number {
  u8.copyWithin(at, frame + 6, frame + 12);
  setMac(view, at + 6, ROUTER_MAC_HIGH, 1);
  view.setUint16(at + ETH_TYPE, ETH_TYPE_IPV6);
  const ip = at + ETH_PAYLOAD;
  const icmp = at + IP6_PAYLOAD;
  const quoted = IP6_HEADER_BYTES + 8;
  const bytes = ICMP6_QUOTE + quoted;
  view.setInt32(ip, 0x6000_0000);
  view.setInt32(ip + IP6_LENGTH, (bytes << 16) | (PROTOCOL_ICMP6 << 8) | 64);
  ROUTER_ADDRESS6.forEach((word, i) => {
    view.setInt32(ip + IP6_SOURCE + 4 * i, word);
  });
  const sender = frame + ETH_PAYLOAD + IP6_SOURCE;
  u8.copyWithin(ip + IP6_DESTINATION, sender, sender + 16);
  view.setInt32(icmp, ICMP6_TOO_BIG << 24);
  view.setInt32(icmp + ICMP6_REST, mtu);
  u8.copyWithin(icmp + ICMP6_QUOTE, frame + ETH_PAYLOAD, frame + ETH_PAYLOAD + quoted);
  const seed = pseudoHeaderSum(0, 0, PROTOCOL_ICMP6, bytes);
  const sum = sumShort(view, icmp, bytes, sumShort(view, ip + IP6_SOURCE, 32, seed));
  view.setUint16(icmp + ICMP6_CHECKSUM, finish(sum), true);
  return IP6_PAYLOAD + bytes;
}
