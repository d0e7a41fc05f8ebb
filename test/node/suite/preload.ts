/**
 * What is loaded before one of Node's own tests (`--import`), so that it runs over our layer in a
 * process of its own, unconfined. IX_SUITE_ARM says how:
 *
 * - `loopback`: as in the product, what the program says to itself stays in the thread.
 * - `stacks`: it goes through two stacks, as frames (through.ts).
 *
 * Called by main.ts.
 */

import type { Ix } from '../../../src/libix/index.ts';
import type { Carrier } from '../../../src/node/conduit.ts';
import { ENETUNREACH } from '../../../src/node/errno.ts';
import { install } from '../../../src/node/install.ts';
import { Loopback } from '../../../src/node/loopback.ts';
import { Network } from '../../../src/node/network.ts';
import { surround } from '../../../src/node/surroundings.ts';
import { Bed, SERVER, SERVER6, WAIT_MAX_US } from '../bed.ts';
import { Through } from './through.ts';

const ADDRESSES = [
  { address: SERVER, prefixLength: 24 },
  { address: SERVER6, prefixLength: 64 },
];

const WARM_UP_MAX_MS = 10_000;

/** There is nothing beyond this thread. */
const NOWHERE: Carrier = {
  listen: () => ({ isUp: true, close: () => {} }),
  connect: () => ENETUNREACH,
};

async function carrier(): Promise<Carrier> {
  if (process.env['IX_SUITE_ARM'] === 'loopback') return new Loopback();
  const bed = new Bed({ isIpv6: true, holds: false, lookMaxUs: 2 * WAIT_MAX_US });
  bed.start();
  await warmUp(bed.client.ix);
  return new Through(bed);
}

/** Both ends know each other's link addresses then: what is on its way to a stranger waits. */
async function warmUp(ix: Ix): Promise<void> {
  const held = setInterval(() => {}, WARM_UP_MAX_MS);
  for (const address of [SERVER, SERVER6]) {
    await new Promise<void>((closed) => {
      ix.connect(address, 1, { received: (_c, _offset, length) => length, closed: () => closed() });
    });
  }
  clearInterval(held);
}

const addresses = ADDRESSES.map(({ address }) => address);
install(new Network({ outer: NOWHERE, loopback: await carrier(), addresses }));
surround(() => ADDRESSES);
