/**
 * IPv6: where the fields of the header stand, and what an address says about itself.
 *
 * - `ip` is the arena offset of the header; accessors do not check lengths: net/ipv6-input.ts does,
 *   once, at the border.
 * - An address is four words, big-endian integers as int32, in the order of the wire.
 * - There is no header checksum: what protects the addresses is the pseudo-header of the protocol
 *   above, so everything over IPv6 has a checksum, UDP too.
 *
 * Read first: RFC 8200 3 and 4; RFC 4291 2.
 */
import { addWords, fold } from './checksum.ts';
import { ETH_HEADER_BYTES } from './ethernet.ts';

/** Version, traffic class and flow label. */
export const IP6_VERSION = 0;
export const IP6_LENGTH = IP6_VERSION + 4;
export const IP6_NEXT_HEADER = IP6_LENGTH + 2;
export const IP6_HOP_LIMIT = IP6_NEXT_HEADER + 1;
export const IP6_SOURCE = IP6_HOP_LIMIT + 1;
export const IP6_DESTINATION = IP6_SOURCE + 16;
export const IP6_HEADER_BYTES = IP6_DESTINATION + 16;
export const IP6_ADDRESS_BYTES = 16;
/** Longest payload that the length field can say. */
export const IP6_PAYLOAD_BYTES_MAX = 65_535;
/** Every link carries so much (RFC 8200 5). */
export const IP6_MTU_MIN = 1280;

/** Where an outgoing frame's transport header stands: after Ethernet's and 40 bytes of IPv6. */
export const IP6_PAYLOAD = ETH_HEADER_BYTES + IP6_HEADER_BYTES;

export const IP6_HOP_LIMIT_DEFAULT = 64;
/** Of neighbour discovery: nobody off the link can have sent it (RFC 4861 3.1). */
export const IP6_HOP_LIMIT_LINK = 255;

/** Next headers that are IPv6's own (RFC 8200 4); TCP and UDP are as in IPv4. */
export const HEADER_HOP_BY_HOP = 0;
export const HEADER_ROUTING = 43;
export const HEADER_FRAGMENT = 44;
export const HEADER_NONE = 59;
export const HEADER_DESTINATION = 60;
export const PROTOCOL_ICMP6 = 58;

/** Fragment header (RFC 8200 4.5): next header, reserved, offset and flags, identification. */
export const FRAGMENT_OFFSET = 2;
export const FRAGMENT_ID = 4;
export const FRAGMENT_HEADER_BYTES = 8;
/** The offset is in units of 8 bytes, at bit 3: masked, it is in bytes. */
export const FRAGMENT_OFFSET_MASK = 0xfff8;
export const FRAGMENT_MORE = 1;

/** A solicited-node group but for its last 24 bits: ff02::1:ff00:0/104 (RFC 4291 2.7.1). */
export const SOLICITED_0 = 0xff02_0000 | 0;
export const SOLICITED_2 = 1;
export const SOLICITED_3 = 0xff00_0000 | 0;

/** Prefix ff00::/8. */
export const isMulticast = (word0: number): boolean => word0 >>> 24 === 0xff;
/** Prefix fe80::/10. */
export const isLinkLocal = (word0: number): boolean => word0 >>> 22 === 0xfe80 >>> 6;
/** ff02::1, ff02::2, ...: a well-known group of this link. */
export const isLinkGroup = (w0: number, w1: number, w2: number, w3: number, id: number): boolean =>
  w0 === SOLICITED_0 && w1 === 0 && w2 === 0 && w3 === id;
export const ALL_NODES = 1;
export const ALL_ROUTERS = 2;
export const ALL_MLD2_ROUTERS = 0x16;

export const isUnspecified = (view: DataView, at: number): boolean =>
  (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) ===
  0;

/**
 * What can never be a peer's own address: multicast; ::, ::1 and the rest of ::/96; IPv4-mapped
 * ones, which at the ABI are IPv4: one peer would have two names (RFC 4291 2.5.5, RFC 4942 2.2).
 */
export const isNeverHost6 = (w0: number, w1: number, w2: number): boolean =>
  w0 >>> 24 === 0xff || ((w0 | w1) === 0 && (w2 === 0 || w2 === 0xffff));

/** An address folded to 16 bits, big-endian: `pseudoHeaderSum` takes it like one of IPv4. */
export const addressSum = (w0: number, w1: number, w2: number, w3: number): number =>
  fold(addWords(addWords(0, w0, w1), w2, w3));

/** Whether the first `bits` of two addresses, words from `a` and `b` on, are the same. */
export function isSamePrefix(i32: Int32Array, a: number, b: number, bits: number): boolean {
  let left = bits;
  for (let word = 0; left > 0; word++, left -= 32) {
    const mask = left >= 32 ? -1 : -1 << (32 - left);
    if (((i32[a + word]! ^ i32[b + word]!) & mask) !== 0) return false;
  }
  return true;
}
