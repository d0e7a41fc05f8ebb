/**
 * Ports of our own used up: for a service with more connections (FLOWS) than there are ports to one
 * peer.
 */
import assert from 'node:assert/strict';
import { CODE } from '../../../src/gate/abi.ts';
import type { Case, Observed } from '../case.ts';
import { exhaust, many, silent } from './pools.ts';

export const FLOWS = 40_000;
const FLOOD_MS = 400;
/** A batch of 512 whole searches takes seconds; of one, some milliseconds on a machine at rest. */
const BATCH_MS = 600;

export const cases: Case[] = [
  {
    name: 'localPorts_toOnePeerUsedUp_searchesAreBounded',
    run: (gate, given) => {
      const [, refusal] = exhaust(gate, silent(given), FLOWS);
      const batch = many(...silent(given)());
      let longestMs = 0;
      for (let now = performance.now(), end = now + FLOOD_MS; now < end; ) {
        gate.calls(batch);
        const then = now;
        now = performance.now();
        longestMs = Math.max(longestMs, now - then);
      }
      return [refusal, longestMs < BATCH_MS ? 'bounded' : longestMs];
    },
    floods: true, // its own SYNs, again and again
    expects: [CODE.IN_USE, 'bounded'],
    check: (_: never, { counters }: Observed) => assert.ok(counters['tcpPortsUsedUp']! > 512),
  },
];
