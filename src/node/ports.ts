/**
 * Which addresses and ports of ours the program has bound, so that `listen` and `bind` can answer
 * at once, as the kernel's do; libix answers in a later turn.
 *
 * - An address that is none in particular (0.0.0.0, ::) is in the way of every other of its family;
 *   :: of IPv4's too, unless it is IPv6's only.
 * - Ports are picked in the same order on every thread, so that `listen(0)` is the same port on
 *   all of them.
 *
 * Called by network.ts.
 */
import type { BindWish } from './conduit.ts';
import { EADDRINUSE } from './errno.ts';

export type Bound = BindWish;

/** RFC 6335: dynamic ports. */
const PICKED_MIN = 49_152;
const PICKED_MAX = 65_535;

export const isAny = (address: string): boolean => address === '0.0.0.0' || address === '::';

/** Whether who has bound `a` hears what is for the address of `b`, or the other way. */
function overlap(a: BindWish, b: BindWish): boolean {
  if (a.address === b.address) return true;
  const hears = (wide: BindWish, one: BindWish): boolean =>
    isAny(wide.address) && (wide.family === one.family || (wide.family === 6 && !wide.isOnly6));
  return hears(a, b) || hears(b, a);
}

export class Ports {
  readonly #bound = new Map<number, Bound[]>();
  #next = PICKED_MIN;

  #conflicts(wish: BindWish): boolean {
    const others = this.#bound.get(wish.port) ?? [];
    return others.some((other) => overlap(wish, other) && !(wish.isReused && other.isReused));
  }

  /** Port 0: one that is free. EADDRINUSE. */
  bind(wish: BindWish): Bound | number {
    const bound = wish.port === 0 ? this.#pick(wish) : wish;
    if (bound === undefined || this.#conflicts(bound)) return EADDRINUSE;
    const others = this.#bound.get(bound.port);
    if (others === undefined) this.#bound.set(bound.port, [bound]);
    else others.push(bound);
    return bound;
  }

  #pick(wish: BindWish): BindWish | undefined {
    for (let tries = PICKED_MIN; tries <= PICKED_MAX; tries++) {
      const port = this.#next;
      this.#next = port === PICKED_MAX ? PICKED_MIN : port + 1;
      if (!this.#conflicts({ ...wish, port })) return { ...wish, port };
    }
    return undefined;
  }

  unbind(bound: Bound): void {
    const others = this.#bound.get(bound.port);
    const at = others?.indexOf(bound) ?? -1;
    if (at < 0) return;
    others!.splice(at, 1);
    if (others!.length === 0) this.#bound.delete(bound.port);
  }
}
