/**
 * The dataplane's IPv6 addresses: what the user gives, what follows from it, and the host's side of
 * it.
 *
 * - Beside 10.77.N.M stands fd77::N:M (fd77::2 beside 10.77.0.2), unless the user says otherwise;
 *   beside other IPv4 addresses nothing.
 * - The link-local address has an interface identifier of its own, made from the MAC address and
 *   the configured address: never the kernel's, whose interface it may be (RFC 7217's idea).
 */
import { createHash } from 'node:crypto';
import { OptionError } from '../../errors.ts';
import type { Ipv6Config } from '../../net/both/environment.ts';
import { bytesOfIpv6, formatIpv6, parseIpv6 } from '../../wire/ipv6-text.ts';
import type { Subnet } from './address.ts';

export interface Subnet6 {
  /** Four words. */
  address: number[];
  prefixLength: number;
}

/** 'A/N', or 'A' for A/64. Refuses what cannot be the address of a host. */
export function parseSubnet6(text: string): Subnet6 {
  const [addressText = '', lengthText = '64', ...more] = text.split('/');
  const address = parseIpv6(addressText);
  const prefixLength = /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : 0;
  if (!address || more.length > 0 || prefixLength < 1 || prefixLength > 127) {
    throw new OptionError(
      `'${text}' is not an IPv6 address with a prefix`,
      'write it like fd77::2/64',
    );
  }
  const [w0 = 0, w1 = 0, w2 = 0] = address;
  const isNobodys = (w0 | w1) === 0 && (w2 === 0 || w2 === 0xffff);
  const isLinkLocal = w0 >>> 22 === 0xfe80 >>> 6;
  if (
    w0 >>> 24 === 0xff ||
    isNobodys ||
    isLinkLocal ||
    isSameAddress(address, networkOf(address, prefixLength))
  ) {
    throw new OptionError(`${text} cannot be the address of a host`, 'choose another with --ip6');
  }
  return { address, prefixLength };
}

/** What stands beside an IPv4 address when the user says nothing. */
export function ipv6Beside({ address }: Subnet): Subnet6 | undefined {
  if (address >>> 16 !== ((10 << 8) | 77)) return undefined;
  const host = (((address >>> 8) & 255) << 16) | (address & 255);
  return host <= 1 ? undefined : { address: [0xfd77_0000 | 0, 0, 0, host], prefixLength: 64 };
}

function networkOf(address: readonly number[], prefixLength: number): number[] {
  return address.map((word, i) => {
    const bits = Math.min(32, Math.max(0, prefixLength - i * 32));
    return bits === 0 ? 0 : word & (-1 << (32 - bits));
  });
}

export const isSameAddress = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  [0, 1, 2, 3].every((i) => a[i] === b[i]);

/** The host's end: the first address of the network that is not the dataplane's. */
export function hostAddress6For({ address, prefixLength }: Subnet6): number[] {
  const first = networkOf(address, prefixLength);
  first[3] = first[3]! | 1;
  if (!isSameAddress(first, address)) return first;
  first[3] = first[3]! + 1;
  return first;
}

/** fe80:: and an identifier of our own. */
export function linkLocalFor(mac: readonly number[], address: readonly number[]): number[] {
  const digest = createHash('sha256')
    .update(Uint8Array.from(mac))
    .update(formatIpv6(address))
    .digest();
  // not an EUI-64, and never all zero: no router's anycast address (RFC 4291 2.6.1)
  return [0xfe80_0000 | 0, 0, digest.readInt32BE(0) & ~0x0200_0000, digest.readInt32BE(4) | 1];
}

/** What the XDP program takes of IPv6 on an interface shared with the kernel. */
export const ipv6Matches = ({ address, linkLocal }: Ipv6Config): Uint8Array[] => [
  bytesOfIpv6(address),
  bytesOfIpv6(linkLocal),
];

/** For the dataplane. `isPrivate`: nobody but the host is on the link. */
export function ipv6ConfigFor(
  subnet: Subnet6,
  mac: readonly number[],
  gateway: number[],
  isPrivate: boolean,
  slaac: boolean,
): Ipv6Config {
  return {
    ...subnet,
    gateway,
    linkLocal: linkLocalFor(mac, subnet.address),
    detectsDuplicates: !isPrivate,
    slaac,
  };
}
