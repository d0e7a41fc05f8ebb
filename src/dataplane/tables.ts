/**
 * Where the tables of a thread are that may be looked at from outside: bytes from its counters,
 * which the reader finds by itself (control/record/memory.ts).
 *
 * Called by worker.ts, before the process locks itself down.
 */
import type { Tables } from '../child/config.ts';
import type { Counters } from '../counters.ts';
import type { Stack } from './stack.ts';

export function tablesOf(counters: Counters, { ip, tcp }: Stack): Tables {
  const { flows } = tcp;
  const { addresses, destinations } = ip.v6;
  const from = (word: number): number => word * 4 - counters.base * 8;
  return {
    flows: from(flows.base),
    flowCount: flows.count,
    retransmits: from(flows.retransmits),
    destinations: from(destinations.wordsOf(0)),
    destinationCount: destinations.count,
    addresses: from(addresses.at(0)),
  };
}
