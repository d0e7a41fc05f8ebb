/**
 * Who is who in the soak: strangers are addresses and ports that the frame source plays, on the
 * client's link.
 *
 * - Every second stranger speaks IPv6, the others IPv4; the well-behaved client speaks IPv4.
 */
import { parseAddress } from '../../src/control/link/address.ts';
import { CLIENT_ADDRESS } from '../harness/network.ts';

export const CLIENT = parseAddress(CLIENT_ADDRESS);
/** 10.78.0.64 and up. */
export const STRANGERS_FIRST = parseAddress('10.78.0.64');
export const STRANGERS = 8;
export const PORT_FIRST = 20_000;
/** Ports of each stranger: so many connections it can have. */
export const PORTS = 512;
export const TUPLES = STRANGERS * PORTS;
export const SERVED_PORT = 11_211;

export const addressOf = (tuple: number): number => STRANGERS_FIRST + Math.floor(tuple / PORTS);
export const portOf = (tuple: number): number => PORT_FIRST + (tuple % PORTS);

export type Words = readonly [number, number, number, number];
/** fd78::3, and fd78::40 and up. */
export const SERVER6: Words = [0xfd78_0000 | 0, 0, 0, 3];
const STRANGERS6: readonly Words[] = Array.from({ length: STRANGERS }, (_, stranger) => {
  return [0xfd78_0000 | 0, 0, 0, 0x40 + stranger] as const;
});
export const stranger6Of = (tuple: number): Words => STRANGERS6[Math.floor(tuple / PORTS)]!;
export const isIpv6 = (tuple: number): boolean => (Math.floor(tuple / PORTS) & 1) === 1;
export const strangers6 = (): number[][] => STRANGERS6.map((words) => [...words]);

/** The tuple of an IPv6 stranger, by the last word of its address, and a port; or -1. */
export const tupleOf6 = (lastWord: number, port: number): number =>
  tupleOf(STRANGERS_FIRST + lastWord - 0x40, port);

/** The tuple of a stranger's address and port, or -1. */
export function tupleOf(address: number, port: number): number {
  const stranger = address - STRANGERS_FIRST;
  const index = port - PORT_FIRST;
  if (stranger < 0 || stranger >= STRANGERS || index < 0 || index >= PORTS) return -1;
  return stranger * PORTS + index;
}
