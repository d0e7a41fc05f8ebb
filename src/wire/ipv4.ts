/**
 * IPv4: where the fields of the header stand, and what can be asked of it with one or two loads.
 *
 * - `ip` is the arena offset of the header; accessors do not check lengths: net/ipv4-input.ts does,
 *   once, at the border.
 * - Addresses are big-endian integers as int32 (10.77.0.2 is 0x0a4d0002).
 * - A header's sum is plain TypeScript: 20 bytes are too few for a kernel.
 *
 * Read first: RFC 791 3.1; RFC 1122 3.2.1.
 */
import { fold } from './checksum.ts';
import { ETH_HEADER_BYTES } from './ethernet.ts';

export const IP_VERSION_IHL = 0;
export const IP_TOS = IP_VERSION_IHL + 1;
export const IP_LENGTH = IP_TOS + 1;
export const IP_ID = IP_LENGTH + 2;
export const IP_FRAGMENT = IP_ID + 2;
export const IP_TTL = IP_FRAGMENT + 2;
export const IP_PROTOCOL = IP_TTL + 1;
export const IP_CHECKSUM = IP_PROTOCOL + 1;
export const IP_SOURCE = IP_CHECKSUM + 2;
export const IP_DESTINATION = IP_SOURCE + 4;
export const IP_OPTIONS = IP_DESTINATION + 4;
export const IP_HEADER_BYTES = IP_OPTIONS;
export const IP_DATAGRAM_BYTES_MAX = 65_535;

/** Where an outgoing frame's transport header stands: after Ethernet's and 20 bytes of IPv4. */
export const IP_PAYLOAD = ETH_HEADER_BYTES + IP_HEADER_BYTES;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

export const IP_DONT_FRAGMENT = 0x4000;
export const IP_MORE_FRAGMENTS = 0x2000;
/** The offset part of IP_FRAGMENT, in units of 8 bytes. */
export const IP_OFFSET_MASK = 0x1fff;

export const IP_TTL_DEFAULT = 64;

/** The two ECN bits of the type of service (RFC 3168 5). */
export const ECN_ECT0 = 2;
export const ECN_CE = 3;

/** Whether an IP header, of either version, says that a router was congested. */
export function isMarked(u8: Uint8Array, ip: number): boolean {
  // IPv6: bits 4 and 5 of the second byte
  const bits = u8[ip]! >> 4 === 4 ? u8[ip + 1]! : u8[ip + 1]! >> 4;
  return (bits & ECN_CE) === ECN_CE;
}

/** Options (RFC 791 3.1): the copied flag, class and number as one byte. */
export const IP_OPTION_END = 0;
export const IP_OPTION_NOP = 1;
export const IP_OPTION_LOOSE_ROUTE = 131;
export const IP_OPTION_STRICT_ROUTE = 137;

/** Folded sum over a 20-byte header: 0xffff when its checksum is right. */
export function headerSum20(view: DataView, ip: number): number {
  const a = view.getInt32(ip, true);
  const b = view.getInt32(ip + 4, true);
  const c = view.getInt32(ip + 8, true);
  const d = view.getInt32(ip + 12, true);
  const e = view.getInt32(ip + 16, true);
  return fold(
    (a & 0xffff) +
      (a >>> 16) +
      (b & 0xffff) +
      (b >>> 16) +
      (c & 0xffff) +
      (c >>> 16) +
      (d & 0xffff) +
      (d >>> 16) +
      (e & 0xffff) +
      (e >>> 16),
  );
}

/** Length of the header, bytes. */
export const headerBytes = (view: DataView, ip: number): number =>
  (view.getUint8(ip + IP_VERSION_IHL) & 15) << 2;

/** The network mask of a prefix length, as int32. */
export const maskOf = (prefixLength: number): number =>
  prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) | 0;

/** What can never be a host's own address: 0/8, 127/8, 224/4 and 240/4 (RFC 1122 3.2.1.3). */
export function isNeverHost(address: number): boolean {
  const network = address >>> 24;
  return network === 0 || network === 127 || network >= 224;
}
