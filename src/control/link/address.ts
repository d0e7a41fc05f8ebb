/**
 * IPv4 addresses as people write them, and as the stack has them: big-endian integers as int32.
 *
 * - Text becomes a number here or is an `OptionError`; no text reaches a dataplane.
 */
import { OptionError } from '../../errors.ts';
import { formatIpv4, parseIpv4 } from '../../wire/ipv4-text.ts';

export interface Subnet {
  address: number;
  prefixLength: number;
}

export function parseAddress(text: string): number {
  const address = parseIpv4(text);
  if (address !== undefined) return address;
  throw new OptionError(`'${text}' is not an IPv4 address`, 'write it like 10.77.0.2');
}

export const formatAddress = formatIpv4;

/** 'A/N', or 'A' for A/24. Refuses what cannot be the address of a host. */
export function parseSubnet(text: string): Subnet {
  const [addressText = '', lengthText = '24', ...more] = text.split('/');
  const address = parseAddress(addressText);
  const prefixLength = /^\d{1,2}$/.test(lengthText) ? Number(lengthText) : 33;
  if (more.length > 0 || prefixLength < 1 || prefixLength > 30) {
    throw new OptionError(
      `'${text}' is not an address with a prefix`,
      'write it like 10.77.0.2/24',
    );
  }
  const host = address & ~maskOf(prefixLength);
  const first = address >>> 24;
  if (
    host === 0 ||
    host === ~maskOf(prefixLength) ||
    first === 0 ||
    first === 127 ||
    first >= 224
  ) {
    throw new OptionError(`${text} cannot be the address of a host`, 'choose another with --ip');
  }
  return { address, prefixLength };
}

export const maskOf = (prefixLength: number): number =>
  prefixLength === 0 ? 0 : -(2 ** (32 - prefixLength)) | 0;

export function isWithin(address: number, subnet: Subnet): boolean {
  const mask = maskOf(subnet.prefixLength);
  return (address & mask) === (subnet.address & mask);
}

/** The address of everybody in a network. */
export const broadcastOf = ({ address, prefixLength }: Subnet): number =>
  address | ~maskOf(prefixLength);

/** The host's end of a dataplane's network: the first address in it that is not the dataplane's. */
export function hostAddressFor({ address, prefixLength }: Subnet): number {
  const network = address & maskOf(prefixLength);
  return address === network + 1 ? network + 2 : network + 1;
}
