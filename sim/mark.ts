/**
 * What a congested router does to a packet whose sender knows ECN: CE instead of a drop.
 *
 * Called by network.ts. Read first: RFC 3168 5; RFC 1624 (the checksum).
 */
import { finish, sumShort } from '../src/wire/checksum.ts';
import { ECN_CE, IP_CHECKSUM, IP_HEADER_BYTES, IP_TOS } from '../src/wire/ipv4.ts';

const isIpv6 = (view: DataView, ip: number): boolean => view.getUint8(ip) >> 4 === 6;
/** Of the traffic class, in the second byte of an IPv6 header. */
const CE6 = ECN_CE << 4;

/** ECT(0) or ECT(1), or marked already. */
export const mayMark = (view: DataView, ip: number): boolean =>
  (view.getUint8(ip + IP_TOS) & (isIpv6(view, ip) ? CE6 : ECN_CE)) !== 0;

export function markCongestion(view: DataView, ip: number): void {
  if (isIpv6(view, ip)) {
    view.setUint8(ip + IP_TOS, view.getUint8(ip + IP_TOS) | CE6);
    return;
  }
  view.setUint8(ip + IP_TOS, view.getUint8(ip + IP_TOS) | ECN_CE);
  view.setUint16(ip + IP_CHECKSUM, 0);
  view.setUint16(ip + IP_CHECKSUM, finish(sumShort(view, ip, IP_HEADER_BYTES)), true);
}
