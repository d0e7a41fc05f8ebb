/**
 * Addresses between text and the words of the ABI. Set-up only: text is never on the hot path.
 *
 * - An IPv4 address is one big-endian integer, as int32; where both protocols are possible an address is four words, an
 *   IPv4 address the last of them behind 0, 0, 0xffff.
 */
import { MAPPED_V4 } from '../abi.ts';
import { formatIpv6, parseIpv6 } from '../wire/ipv6-text.ts';

export class AddressError extends Error {
  readonly code = 'IX_ADDRESS';
}

/** '10.77.0.2' -> 0x0a4d0002. */
export function parseAddress(text: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const bytes = parts?.slice(1).map(Number) ?? [];
  if (bytes.length !== 4 || bytes.some((b) => b > 255)) {
    throw new AddressError(`'${text}' is not an IPv4 address; write four numbers, as in 10.77.0.2`);
  }
  return (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
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

export const formatAddress = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
