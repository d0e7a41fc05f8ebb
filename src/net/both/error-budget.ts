/**
 * How many ICMP errors may leave: token buckets, one for all and one for each destination.
 *
 * - Who makes us report errors uses up his own destination's tokens first: DESTINATION_BURST at
 *   once, ten a second. An IPv6 destination is a /64, because whoever has one address of it has
 *   all. All together: 1000 a second, 50 at once.
 * - What is taken is random, one on average. Else whoever sends datagrams in somebody's name and
 *   has errors for himself counts in them how many the other was sent: which of its ports are open
 *   (as with Linux's limit before CVE-2020-25705).
 * - Bounded: destinations share CELLS buckets by a keyed hash.
 *
 * Called by net/v4/icmp.ts and net/v6/icmpv6.ts, each with a budget of its own. Read first: RFC
 * 1812 4.3.2.8; RFC 4443 2.4 (f).
 */
import type { Clock } from '../../arena/clock.ts';
import { halfSipHash13, PURPOSE, Unpredictable } from '../../arena/siphash.ts';
import type { Environment } from './environment.ts';

/** Tokens at once and milliseconds for one more: of all together, then of one destination. */
export const ERROR_BURST = 50;
const ERROR_MS = 1;
export const DESTINATION_BURST = 10;
const DESTINATION_MS = 100;
/** 4 KiB. Who shares a bucket gets fewer errors, and loses nothing else. */
const CELLS = 512;

/** A bucket: tokens, and Clock.ms up to which they were earned. */
const BUCKET_SHIFT = 1;

export class ErrorBudget {
  readonly #clock: Clock;
  readonly #secret0: number;
  readonly #secret1: number;
  readonly #random: Unpredictable;
  /** The first is everybody's. */
  readonly #buckets = new Int32Array((CELLS + 1) << BUCKET_SHIFT);

  constructor({ clock, config }: Pick<Environment, 'clock' | 'config'>) {
    this.#clock = clock;
    this.#secret0 = config.secret0;
    this.#secret1 = ~config.secret1;
    this.#random = new Unpredictable(config.wireKey, PURPOSE.errors);
    for (let at = 0; at < this.#buckets.length; at += 2) {
      this.#buckets[at] = at === 0 ? ERROR_BURST : DESTINATION_BURST;
      this.#buckets[at + 1] = clock.ms;
    }
  }

  /** Whether one more may leave now, to the IPv4 address `w0`, or into the /64 of `w0` and `w1`. */
  take(w0: number, w1: number): boolean {
    const cell = halfSipHash13(this.#secret0, this.#secret1, w0, w1, 0) & (CELLS - 1);
    const own = (cell + 1) << BUCKET_SHIFT;
    const left = this.#refill(own, DESTINATION_MS, DESTINATION_BURST);
    const all = this.#refill(0, ERROR_MS, ERROR_BURST);
    if (left <= 0 || all <= 0) return false;
    const random = this.#random.next();
    // perhaps one too many, which is earned first
    this.#buckets[own] = left - ((random & 0xffff) % 3);
    this.#buckets[0] = all - ((random >>> 16) % 3);
    return true;
  }

  /** Tokens of a bucket now: one more every `everyMs`, at most `burst`. */
  #refill(at: number, everyMs: number, burst: number): number {
    const buckets = this.#buckets;
    const elapsed = (this.#clock.ms - buckets[at + 1]!) | 0;
    // a clock that seems to run backwards has been away for more than 24 days
    if (elapsed < 0 || elapsed >= burst * everyMs) {
      buckets[at + 1] = this.#clock.ms;
      buckets[at] = burst;
      return burst;
    }
    const earned = Math.floor(elapsed / everyMs);
    buckets[at + 1] = (buckets[at + 1]! + earned * everyMs) | 0;
    buckets[at] = Math.min(buckets[at]! + earned, burst);
    return buckets[at]!;
  }
}
