/**
 * Who is who in the soak: strangers are addresses and ports that the frame source plays, on the client's link.
 */

import { parseAddress } from '../../src/control/address.ts';
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

/** The tuple of a stranger's address and port, or -1. */
export function tupleOf(address: number, port: number): number {
  const stranger = address - STRANGERS_FIRST;
  const index = port - PORT_FIRST;
  if (stranger < 0 || stranger >= STRANGERS || index < 0 || index >= PORTS) return -1;
  return stranger * PORTS + index;
}
