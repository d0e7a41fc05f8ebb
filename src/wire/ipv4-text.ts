/**
 * IPv4 addresses as people write them, and as the stack has them: one big-endian word as int32.
 *
 * - Four decimal numbers and nothing else: no octal, hexadecimal or fewer parts (RFC 6943 3.1.1).
 * - Allocates: for set-up, messages and traces, never for service.
 */

/** '10.77.0.2' -> 0x0a4d0002; undefined when `text` is no IPv4 address. */
export function parseIpv4(text: string): number | undefined {
  const bytes = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (!bytes || bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((address, byte) => (address << 8) | byte, 0);
}

export const formatIpv4 = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
