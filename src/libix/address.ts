/**
 * Addresses between text and the words of the ABI. Set-up only: text is never on the hot path.
 *
 * - An IPv4 address is one big-endian integer, as int32; where both protocols are possible an
 *   address is four words, an IPv4 address the last of them behind 0, 0, 0xffff.
 */
import { MAPPED_V4 } from '../gate/abi.ts';
import { formatIpv4, parseIpv4 } from '../wire/ipv4-text.ts';
import { formatIpv6, parseIpv6 } from '../wire/ipv6-text.ts';

export class AddressError extends Error {
  readonly code = 'IX_ADDRESS';
}

/** '10.77.0.2' -> 0x0a4d0002. */
export function parseAddress(text: string): number {
  const address = parseIpv4(text);
  if (address !== undefined) return address;
  throw new AddressError(`'${text}' is not an IPv4 address; write four numbers, as in 10.77.0.2`);
}

/** '10.77.0.2' or 'fd77::2' as four words. */
export function parseWords(text: string): number[] {
  if (!text.includes(':')) return mapped(parseAddress(text));
  const words = parseIpv6(text);
  if (words) return words;
  throw new AddressError(`'${text}' is not an IPv6 address; write it like fd77::2`);
}

/** An IPv4 address as four words. */
export const mapped = (address: number): number[] => [0, 0, MAPPED_V4, address];

/** Four words as people write them. */
export const formatWords = (words: ArrayLike<number>): string =>
  formatIpv6(words).replace(/^::ffff:(?=\d+\.)/, '');

export const formatAddress = formatIpv4;
