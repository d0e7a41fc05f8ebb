/**
 * Initial sequence numbers and timestamp offsets: a clock plus a keyed hash of the connection.
 *
 * - An observer of one connection learns nothing of another's numbers; the same four-tuple gets increasing ones, so
 *   that a new incarnation's SYN is taken by a peer in TIME-WAIT (RFC 9293 3.4.1, 3.10.7.4).
 * - The clock ticks every 4 us, 250 to a millisecond: it wraps in 4.55 hours.
 *
 * Called by listen and connect. Read first: RFC 6528; RFC 7323 5.4.
 */
import { halfSipHash } from '../arena/siphash.ts';
import type { NetConfig } from '../net/environment.ts';

/** ISN = M + F(four-tuple, secret). `ms` is the clock's. */
export function initialSequence(
  config: NetConfig,
  ms: number,
  remote: number,
  ports: number,
  local: number,
): number {
  const hash = halfSipHash(config.secret0, config.secret1, remote, ports, local);
  return (Math.imul(ms, 250) + hash) | 0;
}

/** What is added to the millisecond clock in this four-tuple's timestamps. */
export function timestampOffset(
  config: NetConfig,
  remote: number,
  ports: number,
  local: number,
): number {
  return halfSipHash(~config.secret0, ~config.secret1, remote, ports, local);
}
