/**
 * How long to wait before something that ended is started again: at once, nearly, the first time,
 * then twice the last delay. What has run for a while is forgiven.
 *
 * Called by control/service/service.ts (dataplanes) and application-process.ts.
 */
const MIN_MS = 100;
const MAX_MS = 10_000;
const STEADY_MS = 30_000;

export class Backoff {
  #nextMs = MIN_MS;

  /** The delay after a life of `ranMs`. */
  delayAfter(ranMs: number): number {
    if (ranMs > STEADY_MS) this.#nextMs = MIN_MS;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(delayMs * 2, MAX_MS);
    return delayMs;
  }
}
