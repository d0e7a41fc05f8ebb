/**
 * Initial sequence numbers and timestamp offsets: a clock plus a keyed hash of the connection.
 *
 * - An observer of one connection learns nothing of another's numbers; the same four-tuple gets
 *   increasing ones, so that a peer in TIME-WAIT takes a new SYN (RFC 9293 3.4.1, 3.10.7.4).
 * - The clock ticks every 64 ns, as Linux's does, and wraps in 275 s: more than two MSL (240 s, RFC
 *   9293 3.4.2). RFC 6528's 4 us would be outrun by a stream of 250 kB/s, and an old duplicate of
 *   it could complete the handshake of the next connection; this clock by one of 15.6 MB/s, and
 *   timestamps guard beyond that (RFC 7323 5).
 *
 * Called by open.ts and syn-cookies.ts. Read first: RFC 6528; RFC 7323 5.4.
 */
import { PURPOSE, SipHash, type WireKey } from '../arena/siphash.ts';
import type { IpLayer } from './segment.ts';

/** Ticks of 64 ns. */
export const TICKS_PER_MS = 15_625;
/** Ticks of so many milliseconds still fit in 31 bits. */
const SINCE_MAX_MS = 1000;

/** What an outsider cannot know of a connection: both halves of one hash. */
export class ConnectionHash {
  /** F(four-tuple, secret): ISN = M + F. `initialSequence` and SequenceClock have M. */
  sequence = 0;
  /** What is added to the millisecond clock in this four-tuple's timestamps. */
  stamp = 0;
  readonly #hash: SipHash;
  readonly #ip: Pick<IpLayer, 'describe'>;

  constructor(key: WireKey, ip: Pick<IpLayer, 'describe'>) {
    this.#hash = new SipHash(key);
    this.#ip = ip;
  }

  of(remote: number, ports: number, local: number): void {
    const hash = this.#hash;
    const { words } = hash;
    words[0] = PURPOSE.connection;
    words[1] = ports;
    words[2] = local;
    words[3] = 0;
    this.#ip.describe(remote, 4, words);
    this.sequence = hash.hash(8);
    this.stamp = hash.high;
  }
}

/** ISN = M + F(four-tuple, secret), but for SequenceClock's part of M. `ms` is the clock's. */
export const initialSequence = (ms: number, hash: ConnectionHash): number =>
  (Math.imul(ms, TICKS_PER_MS) + hash.sequence) | 0;

/**
 * The part of the clock below a millisecond, in ticks. It never gives the same time twice: what is
 * opened anew within one iteration, even under the same four-tuple, begins later than what was
 * there before (RFC 9293 3.4.1).
 */
export class SequenceClock {
  #ms = 0;
  /** Clock.us when this millisecond was first seen: the two clocks wrap at different times. */
  #us = 0;
  #last = 0;

  fraction(ms: number, us: number): number {
    if (ms !== this.#ms) {
      // what was given beyond the end of a millisecond belongs to those that follow
      this.#last = Math.max(-1, this.#last - this.#since(ms));
      this.#ms = ms;
      this.#us = us;
    }
    const passedUs = Math.min((us - this.#us) | 0, 999);
    const now = (passedUs * 125) >> 3;
    this.#last = Math.max(now, this.#last + 1);
    return this.#last;
  }

  /** Ticks from the millisecond seen last to `ms`; many when the clock was set back. */
  #since(ms: number): number {
    const passed = (ms - this.#ms) | 0;
    return passed < 0 || passed > SINCE_MAX_MS ? 1 << 24 : passed * TICKS_PER_MS;
  }
}
