/**
 * Names of the simulated hosts: host i has 10.77.0.(i + 1) and 02:69:78:00:00:(i + 1), all on one
 * link.
 *
 * - In a run over IPv6 it has fd77::a4d:(i + 1): the last word of an address says whose it is in
 *   both protocols.
 */
import type { WireKey } from '../src/arena/siphash.ts';
import type { Ipv6Config } from '../src/net/both/environment.ts';

export const ADDRESS_BASE = 0x0a4d0001;
export const HOSTS_MAX = 8;
/** Whoever drops a packet that is too big says so from here. */
export const ROUTER_ADDRESS = 0x0a4d00fe;
export const PREFIX_LENGTH = 24;

export const addressOf = (host: number): number => ADDRESS_BASE + host;

const NETWORK6 = 0xfd77_0000 | 0;
const LINK6 = 0xfe80_0000 | 0;

/** Four words. */
export const address6Of = (host: number): number[] => [NETWORK6, 0, 0, addressOf(host)];
export const ROUTER_ADDRESS6: readonly number[] = [NETWORK6, 0, 0, ROUTER_ADDRESS];

export const ipv6ConfigOf = (host: number): Ipv6Config => ({
  address: address6Of(host),
  prefixLength: 64,
  gateway: [0, 0, 0, 0],
  linkLocal: [LINK6, 0, 0, addressOf(host)],
  detectsDuplicates: false,
  slaac: false,
});

/**
 * Of a host's two secret words four, which is enough here: who has few secrets is repeated from
 * few.
 */
export const wireKeyOf = (secret0: number, secret1: number): WireKey => [
  secret0,
  secret1,
  ~secret1,
  secret0 ^ secret1,
];

/** The host that has an address, or -1; of an IPv6 address the last word is asked for. */
export function hostOf(address: number): number {
  const host = address - ADDRESS_BASE;
  return host >= 0 && host < HOSTS_MAX ? host : -1;
}

export const macOf = (host: number): Uint8Array =>
  Uint8Array.from([0x02, 0x69, 0x78, 0, 0, host + 1]);

/** First four bytes of every host's MAC address, and of its last two for host 0. */
export const MAC_HIGH = 0x02697800;
export const MAC_LOW_BASE = 1;
