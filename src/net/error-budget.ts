/**
 * How many ICMP errors may leave: a token bucket, a token each millisecond, at most ERROR_BURST saved up.
 *
 * - Whoever makes us report errors, by whatever addresses, gets 1000 a second and a burst of 50 at most.
 *
 * Called by icmp.ts and icmpv6.ts, each with a budget of its own. Read first: RFC 1812 4.3.2.8; RFC 4443 2.4 (f).
 */
import type { Clock } from './environment.ts';

const ERROR_BURST = 50;

export class ErrorBudget {
  readonly #clock: Clock;
  #tokens = ERROR_BURST;
  #refilledMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#refilledMs = clock.ms | 0;
  }

  /** Whether one more may leave now. */
  take(): boolean {
    const elapsed = (this.#clock.ms - this.#refilledMs) | 0;
    this.#refilledMs = this.#clock.ms;
    // a clock that seems to run backwards has been away for more than 24 days
    const earned = elapsed < 0 || elapsed > ERROR_BURST ? ERROR_BURST : elapsed;
    this.#tokens = Math.min(ERROR_BURST, this.#tokens + earned) | 0;
    if (this.#tokens === 0) return false;
    this.#tokens = (this.#tokens - 1) | 0;
    return true;
  }
}
