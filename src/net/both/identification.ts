/**
 * Identifications of datagrams and fragments, which nobody can foretell or count from outside.
 *
 * - Counted ones tell how many were sent to others, and to guess one is to be able to mix a
 *   fragment into somebody's datagram (RFC 7739 3). So both kinds are random.
 * - IPv6's are 32 random bits (RFC 7739 5.2): one meets a thousand under way once in four million.
 * - IPv4's have 16 bits, of which none may come again soon (RFC 6864 4.3): they are drawn from all
 *   65,536 in a ring by their last use, at random from the older half: none within 32,767 others.
 * - Segments do not come here: what must not be fragmented has 0 (RFC 6864 4.1).
 *
 * Called by net/v4/ipv4.ts and net/v6/ipv6.ts. Read first: RFC 7739; RFC 6864 4.
 */
import { PURPOSE, Unpredictable, type WireKey } from '../../arena/siphash.ts';

const IDS = 65_536;
const OLD = IDS >> 1;

export class Identifications {
  readonly #random: Unpredictable;
  readonly #ring = new Uint16Array(IDS);
  /** Where the oldest stands. */
  #oldest = 0;

  constructor(key: WireKey) {
    const random = new Unpredictable(key, PURPOSE.identification);
    const ring = this.#ring;
    this.#random = random;
    for (let i = 1; i < IDS; i++) {
      const other = (random.next() >>> 0) % (i + 1);
      ring[i] = ring[other]!;
      ring[other] = i;
    }
  }

  /** For a datagram that routers may fragment: 16 bits. */
  next16(): number {
    const ring = this.#ring;
    const oldest = this.#oldest;
    const chosen = (oldest + (this.#random.next() & (OLD - 1))) & (IDS - 1);
    const id = ring[chosen]!;
    ring[chosen] = ring[oldest]!;
    ring[oldest] = id; // the youngest now
    this.#oldest = (oldest + 1) & (IDS - 1);
    return id;
  }

  /** For the fragments of a packet. */
  next32(): number {
    return this.#random.next();
  }
}
