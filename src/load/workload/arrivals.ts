/**
 * When requests are due in an open loop, whatever the server does.
 *
 * - One process per generator, its requests spread over the connections: at a server, arrivals from
 *   many clients are one stream, and that is what was fitted at Facebook (Atikoglu et al.,
 *   SIGMETRICS 2012, section 5).
 * - `poisson`: exponential gaps. `pareto`: generalized Pareto gaps of the ETC pool's shape.
 *   `fixed`: equal gaps. All rescaled to the rate that was asked for.
 * - The next arrival is drawn when the last one has been taken: a generator that is late owes no
 *   memory, only time, and the time is in every latency.
 * - Nothing is allocated per arrival: the time stands in a cell.
 */
import type { Random } from './random.ts';
import { ETC_GAP_SHAPE } from './workload.ts';

export const ARRIVALS = ['poisson', 'pareto', 'fixed'] as const;
export type ArrivalKind = (typeof ARRIVALS)[number];

const POISSON = 0;
const PARETO = 1;

export class Arrivals {
  /** [0]: when the next request is due, milliseconds. */
  readonly nextMs = new Float64Array(1);
  readonly #random: Random;
  readonly #kind: number;
  /** Mean gap, milliseconds; pareto: the scale that gives it. */
  readonly #gapMs: number;

  constructor(kind: ArrivalKind, ratePerSecond: number, random: Random) {
    const mean = 1000 / ratePerSecond;
    this.#random = random;
    this.#kind = ARRIVALS.indexOf(kind);
    // The mean of a generalized Pareto distribution at location 0 is scale / (1 - shape).
    this.#gapMs = kind === 'pareto' ? mean * (1 - ETC_GAP_SHAPE) : mean;
  }

  start(atMs: number): void {
    this.nextMs[0] = atMs;
    this.advance();
  }

  /** The next one is due at cell 0 of `nowMs` already. */
  hurry(nowMs: Float64Array): void {
    this.nextMs[0] = nowMs[0]!;
  }

  advance(): void {
    const next = this.nextMs;
    const gap = this.#gapMs;
    if (this.#kind === POISSON) {
      next[0] = next[0]! - gap * Math.log(this.#random.unit());
    } else if (this.#kind === PARETO) {
      const stretch = this.#random.unit() ** -ETC_GAP_SHAPE - 1;
      next[0] = next[0]! + (gap * stretch) / ETC_GAP_SHAPE;
    } else {
      next[0] = next[0]! + gap;
    }
  }
}
