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
import { IP_DONT_FRAGMENT, IP_PAYLOAD, PROTOCOL_TCP } from '../src/wire/ipv4.ts';
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
import { writeIpv4Header } from './ipv4-header.ts';

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
  writeIpv4Header(view, at + ETH_PAYLOAD, {
    protocol: PROTOCOL_TCP,
    source: addressOf(f.from),
    destination: addressOf(f.to),
    fragment: IP_DONT_FRAGMENT,
    payloadBytes: TCP_HEADER_BYTES,
  });
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
