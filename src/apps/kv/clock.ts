/**
 * The store's clock: whole seconds, as memcached counts them.
 *
 * - `now` starts at 62 and grows by one a second, so that 1 is always in the past and 0 can mean
 *   "never".
 * - `update` is called with the batch's milliseconds after `run`: an int32 that wraps, so at least
 *   every 24 days.
 * - Wall-clock time is read at start only: later steps of the machine's clock do not expire items.
 *
 * Read first: memcached.c `realtime`, `process_started`.
 */

/** Exptimes up to this are seconds from now, larger ones are Unix time. */
export const RELATIVE_MAX = 60 * 60 * 24 * 30;
const START = 62;

export class StoreClock {
  now = START;
  #lastMs = 0;
  #isRunning = false;
  readonly #startUnixMs: number;
  /** Unix time of second 0. */
  readonly #epoch: number;

  constructor(unixMs: number) {
    this.#startUnixMs = unixMs;
    this.#epoch = Math.floor(unixMs / 1000) - START;
  }

  /**
   * Ties the clock to the batches' milliseconds; the first call counts. An application starts
   * before any batch.
   */
  run(nowMs: number, unixMs: number): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#lastMs = nowMs;
    this.now = START + Math.floor((unixMs - this.#startUnixMs) / 1000);
  }

  /** Moves to the batch's time. True when the second changed. */
  update(nowMs: number): boolean {
    const elapsed = (nowMs - this.#lastMs) | 0;
    if (elapsed < 1000) return false;
    const seconds = (elapsed / 1000) | 0;
    this.#lastMs = (this.#lastMs + seconds * 1000) | 0;
    this.now = (this.now + seconds) | 0;
    return true;
  }

  get uptime(): number {
    return this.now - START;
  }

  get unixTime(): number {
    return this.#epoch + this.now;
  }

  /**
   * A command's exptime (int32) as a second of this clock: 0 never, negative or past: 1, which is
   * always over.
   */
  expiry(exptime: number): number {
    if (exptime === 0) return 0;
    if (exptime < 0) return 1;
    if (exptime <= RELATIVE_MAX) return (exptime + this.now) | 0;
    const second = exptime - this.#epoch;
    return second <= 0 ? 1 : second | 0;
  }
}
