/**
 * The slowest requests of a run: when each was due, sent and answered, so that somebody can look
 * what happened meanwhile.
 *
 * - Keeps `count` of them; a request that is faster than all of these costs one comparison.
 * - Times are the recorder's, milliseconds; `list` adds what makes them CLOCK_MONOTONIC's, which
 *   other processes know.
 *
 * Called by recorder.ts.
 */
export interface SlowRequest {
  /** CLOCK_MONOTONIC, milliseconds. */
  dueMs: number;
  sentMs: number;
  answeredMs: number;
}

export class Worst {
  readonly #dueMs: Float64Array;
  readonly #sentMs: Float64Array;
  readonly #answeredMs: Float64Array;
  #count = 0;
  /** Place of the fastest that is kept; the next one that is slower takes it. */
  #fastest = 0;

  constructor(count: number) {
    this.#dueMs = new Float64Array(count);
    this.#sentMs = new Float64Array(count);
    this.#answeredMs = new Float64Array(count);
  }

  reset(): void {
    this.#count = 0;
    this.#fastest = 0;
  }

  /** Cells of times: due and sent at `slot`, now at 0 of `nowMs`. */
  offer(dueMs: Float64Array, sentMs: Float64Array, slot: number, nowMs: Float64Array): void {
    const size = this.#dueMs.length;
    let at = this.#count;
    if (at < size) this.#count++;
    else {
      at = this.#fastest;
      if (size === 0 || nowMs[0]! - dueMs[slot]! <= this.#answeredMs[at]! - this.#dueMs[at]!)
        return;
    }
    this.#dueMs[at] = dueMs[slot]!;
    this.#sentMs[at] = sentMs[slot]!;
    this.#answeredMs[at] = nowMs[0]!;
    if (this.#count === size) this.#findFastest();
  }

  #findFastest(): void {
    let best = 0;
    for (let i = 1; i < this.#count; i++) {
      const took = this.#answeredMs[i]! - this.#dueMs[i]!;
      if (took < this.#answeredMs[best]! - this.#dueMs[best]!) best = i;
    }
    this.#fastest = best;
  }

  /** Slowest first. `originMs`: CLOCK_MONOTONIC when the recorder's clock is 0. */
  list(originMs: number): SlowRequest[] {
    const all = Array.from({ length: this.#count }, (_, i) => ({
      dueMs: originMs + this.#dueMs[i]!,
      sentMs: originMs + this.#sentMs[i]!,
      answeredMs: originMs + this.#answeredMs[i]!,
    }));
    return all.sort((a, b) => b.answeredMs - b.dueMs - (a.answeredMs - a.dueMs));
  }
}
