/**
 * What a program asks of the machine about its network, answered as it is on this stack.
 *
 * - `os.networkInterfaces` shows our addresses; the kernel's own interfaces are hidden from a
 *   confined process, and asking for them throws.
 *
 * Called by program.ts.
 */
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import type { OwnAddress } from '../libix/index.ts';

const LOOPBACK: readonly OwnAddress[] = [
  { address: '127.0.0.1', prefixLength: 8 },
  { address: '::1', prefixLength: 128 },
];
const NO_MAC = '00:00:00:00:00:00';
/** Bits of a group of an address's text. */
const GROUP_BITS = { 4: 8, 6: 16 } as const;

/** 24 -> '255.255.255.0', 64 -> 'ffff:ffff:ffff:ffff::'. */
export function netmask(family: 4 | 6, prefixLength: number): string {
  const bits = GROUP_BITS[family];
  const groups = Array.from({ length: family === 4 ? 4 : 8 }, (_v, i) => {
    const ones = Math.min(bits, Math.max(0, prefixLength - i * bits));
    return (2 ** bits - 2 ** (bits - ones)) >>> 0;
  });
  if (family === 4) return groups.join('.');
  const text = groups.map((group) => group.toString(16)).join(':');
  return text.replace(/(?:^|:)0(?::0)*$/, '::').replace(':::', '::');
}

function infoOf({ address, prefixLength }: OwnAddress, internal: boolean): os.NetworkInterfaceInfo {
  const cidr = `${address}/${prefixLength}`;
  const common = { address, mac: NO_MAC, internal, cidr };
  return address.includes(':')
    ? { ...common, family: 'IPv6', netmask: netmask(6, prefixLength), scopeid: 0 }
    : { ...common, family: 'IPv4', netmask: netmask(4, prefixLength) };
}

/** `addresses`: ours, as they are now. */
export function surround(addresses: () => readonly OwnAddress[]): void {
  os.networkInterfaces = () => ({
    lo: LOOPBACK.map((each) => infoOf(each, true)),
    ix0: addresses().map((each) => infoOf(each, false)),
  });
  syncBuiltinESMExports();
}
