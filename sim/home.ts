/**
 * What a host says of itself: at the end of a run that everything came back (flows, frames, timers,
 * what libix lent), and before it what it had to drop, which excuses what a flow did not achieve.
 */
import type { CounterName } from '../src/counters.ts';
import type { Host } from './host.ts';
import { Violation } from './violation.ts';

function sum(host: Host, names: readonly CounterName[]): number {
  return names.reduce((total, name) => total + host.env.counters.get(name), 0);
}

/** Frames that were dropped because their neighbour was not known yet. */
export const heldDropped = (host: Host): number =>
  sum(host, ['arpHeldReplaced', 'arpUnresolved', 'ndpHeldReplaced', 'ndpUnresolved']);

/** Frames and segments that the host had no room for. */
export const pressure = (host: Host): number =>
  host.nic.dropped +
  sum(host, ['tcpReceivePressure', 'tcpOutOfOrderDropped', 'tcpNoFrame', 'tcpNoSpan']);

/**
 * Whether a connection may rise from the dead: a segment that the network has doubled acknowledges
 * a SYN cookie again, and nothing is remembered that could tell (RFC 4987 3.6). Who then knocks is
 * refused.
 */
export const mayHaveGhosts = (host: Host): boolean => host.env.counters.get('tcpCookiesIn') > 0;

/** At the end of a run: no flow, no frame, no timer, nothing lent. */
export function checkHome(host: Host): void {
  const name = `host ${host.index + 1}`;
  const { stack, timers, ix } = host;
  const { frames } = host.env;
  host.nic.reclaim();
  stack.close();
  if (!stack.tcp.allHome()) throw new Violation(`${name}: flows or send spans leaked`);
  if (!frames.allHome(0)) {
    const receive = frames.receiveCount - frames.receiveFree;
    const transmit = frames.transmitCount - frames.transmitFree;
    throw new Violation(`${name}: frames leaked (receive ${receive}, transmit ${transmit})`);
  }
  if (timers.active > 0) throw new Violation(`${name}: application timers leaked`);
  if (ix && !ix.allHome()) throw new Violation(`${name}: libix lent something for ever`);
}
