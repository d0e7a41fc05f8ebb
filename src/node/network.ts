/**
 * The network as the program of this thread sees it: its own addresses, its ports, and who carries
 * which connection.
 *
 * - Loopback addresses, and our own as seen by ourselves, are carried within the thread; everything
 *   else by libix.
 * - A listener on no address in particular hears both.
 *
 * Called by handle.ts. Made by program.ts, and by tests.
 */

import { Closing } from './closing.ts';
import type { Above, BindWish, Carrier, Conduit, Endpoint, Knocked, Listening } from './conduit.ts';
import { EADDRNOTAVAIL } from './errno.ts';
import { Keeper } from './keeper.ts';
import { type Bound, isAny, Ports } from './ports.ts';
import { Slab } from './slab.ts';

export interface NetworkParts {
  /** Carries what is not here. */
  readonly outer: Carrier;
  readonly loopback: Carrier;
  /** Ours, as text. */
  readonly addresses: readonly string[];
  /** Those of ours that loopback carries; absent: all. */
  readonly selves?: readonly string[];
}

export const isLoopback = (address: string): boolean =>
  address === '::1' || /^(?:::ffff:)?127\./.test(address);

export class Network {
  readonly slab = new Slab();
  readonly keeper = new Keeper();
  readonly closing = new Closing();
  readonly #parts: NetworkParts;
  readonly #ports = new Ports();

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  /** Whether there is IPv6 beyond this thread. */
  get hasIpv6(): boolean {
    return this.#parts.addresses.some((each) => each.includes(':'));
  }

  #isOurs(address: string): boolean {
    return this.#parts.addresses.includes(address);
  }

  /** EADDRNOTAVAIL, EADDRINUSE. */
  bind(wish: BindWish): Bound | number {
    const { address } = wish;
    const isKnown = isAny(address) || isLoopback(address) || this.#isOurs(address);
    return isKnown ? this.#ports.bind(wish) : EADDRNOTAVAIL;
  }

  unbind(bound: Bound): void {
    this.#ports.unbind(bound);
  }

  listen(at: Bound, backlog: number, knocked: Knocked): Listening {
    const { outer, loopback } = this.#parts;
    const listenings = [loopback.listen(at, backlog, knocked)];
    if (!isLoopback(at.address)) listenings.push(outer.listen(at, backlog, knocked));
    return {
      isUp: listenings.every(({ isUp }) => isUp),
      close: () => listenings.forEach((each) => void each.close()),
    };
  }

  connect(to: Endpoint, bound: Bound | undefined, above: Above): Conduit | number {
    const { outer, loopback, addresses, selves = addresses } = this.#parts;
    const isHere = isLoopback(to.address) || selves.includes(to.address);
    const isNamed = bound !== undefined && !isAny(bound.address);
    const localAddress = isNamed ? bound.address : undefined;
    return (isHere ? loopback : outer).connect(to, bound?.port ?? 0, above, localAddress);
  }
}
