/**
 * IPv4 addresses between text and the big-endian int32 of the ABI. Set-up only: text is never on the hot path.
 */
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

export const formatAddress = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
