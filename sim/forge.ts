/**
 * What somebody sends in another host's name: an acknowledgement of nothing, from a port that
 * nobody has, to a listener.
 *
 * - All of it is right but its numbers. Whoever believes it (a SYN cookie that is not checked)
 *   makes a connection with nobody, which applications and the observer find.
 *
 * Called by network.ts. Read first: RFC 4987 3.6.
 */
import { finish, pseudoHeaderSum, sumShort } from '../src/wire/checksum.ts';
import { ETH_PAYLOAD, ETH_TYPE, ETH_TYPE_IPV4 } from '../src/wire/ethernet.ts';
import {
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_DONT_FRAGMENT,
  IP_FRAGMENT,
  IP_HEADER_BYTES,
  IP_ID,
  IP_LENGTH,
  IP_PAYLOAD,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  IP_VERSION_IHL,
  PROTOCOL_TCP,
} from '../src/wire/ipv4.ts';
import {
  ACK,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_HEADER_BYTES,
  TCP_SEQUENCE,
  TCP_URGENT,
} from '../src/wire/tcp.ts';
import { addressOf, macOf } from './address.ts';

export interface Forged {
  from: number;
  to: number;
  fromPort: number;
  toPort: number;
  seq: number;
  ack: number;
}

/** Writes the frame to `at`; returns its length. */
export function writeForged(view: DataView, u8: Uint8Array, at: number, f: Forged): number {
  u8.set(macOf(f.to), at);
  u8.set(macOf(f.from), at + 6);
  view.setUint16(at + ETH_TYPE, ETH_TYPE_IPV4);
  const ip = at + ETH_PAYLOAD;
  view.setUint16(ip + IP_VERSION_IHL, 0x4500);
  view.setUint16(ip + IP_LENGTH, IP_HEADER_BYTES + TCP_HEADER_BYTES);
  view.setUint16(ip + IP_ID, 0);
  view.setUint16(ip + IP_FRAGMENT, IP_DONT_FRAGMENT);
  view.setUint8(ip + IP_TTL, 64);
  view.setUint8(ip + IP_PROTOCOL, PROTOCOL_TCP);
  view.setUint16(ip + IP_CHECKSUM, 0);
  view.setInt32(ip + IP_SOURCE, addressOf(f.from));
  view.setInt32(ip + IP_DESTINATION, addressOf(f.to));
  view.setUint16(ip + IP_CHECKSUM, finish(sumShort(view, ip, IP_HEADER_BYTES)), true);
  const tcp = at + IP_PAYLOAD;
  view.setInt32(tcp, (f.fromPort << 16) | f.toPort);
  view.setInt32(tcp + TCP_SEQUENCE, f.seq);
  view.setInt32(tcp + TCP_ACK, f.ack);
  view.setInt32(tcp + TCP_DATA_OFFSET, (TCP_HEADER_BYTES << 26) | (ACK << 16) | 0xffff);
  view.setUint16(tcp + TCP_CHECKSUM, 0);
  view.setUint16(tcp + TCP_URGENT, 0);
  const seed = pseudoHeaderSum(addressOf(f.from), addressOf(f.to), PROTOCOL_TCP, TCP_HEADER_BYTES);
  view.setUint16(tcp + TCP_CHECKSUM, finish(sumShort(view, tcp, TCP_HEADER_BYTES, seed)), true);
  return IP_PAYLOAD + TCP_HEADER_BYTES;
}

/** Exchanges the last two words of a segment's payload, if it has as many: no sum changes. */
export function swapWords(view: DataView, at: number, length: number): void {
  const payload = at + IP_PAYLOAD + TCP_HEADER_BYTES + 20; // behind any options of ours
  const end = at + length - (length & 1); // every header is even
  if (view.getUint16(at + ETH_TYPE) !== ETH_TYPE_IPV4 || end - 4 < payload) return;
  const last = view.getUint16(end - 2);
  view.setUint16(end - 2, view.getUint16(end - 4));
  view.setUint16(end - 4, last);
}
