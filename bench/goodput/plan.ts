/**
 * What `ix bench goodput` runs when: how long a cell's flows take, how many seeds it gets, and
 * which flows run side by side.
 *
 * Called by bench/goodput.ts. Read first: conditions.ts.
 */
import {
  type Conditions,
  expectedMbits,
  LANES_MAX,
  type Lane,
  PAIRINGS,
  type Pairing,
} from './conditions.ts';

export interface Plan {
  cells: Conditions[];
  /** Of a cell with loss. */
  seeds: number;
  /** The first of them. */
  first: number;
  /** Of one flow; undefined: as its round trip asks. */
  seconds: number | undefined;
}

/** Round trips from here on, ms, take more time. */
const LONG_MS = 100;
/**
 * What all flows of one run may come to: two cores do it without being the bottleneck. (With 400,
 * all four pairings of a cell without loss at once, ours got 76 Mbit/s of 20 ms where alone it gets
 * 93.)
 */
const RUN_MBITS = 250;
/** Pairings that run side by side: each stack sends once and receives once. */
const SIDE_BY_SIDE: readonly (readonly Pairing[])[] = [
  PAIRINGS.filter(({ from, to }) => from === to),
  PAIRINGS.filter(({ from, to }) => from !== to),
];

/** A long path has few round trips in its time and so few losses: more time, and more seeds. */
export const msOf = ({ rttMs }: Conditions, { seconds }: Pick<Plan, 'seconds'>): number =>
  (seconds ?? (rttMs > LONG_MS ? 16 : rttMs === LONG_MS ? 8 : 4)) * 1000;

/** Without loss all seeds are alike. */
function seedsOf(cell: Conditions, { seeds }: Plan): number {
  if (cell.loss === 0) return Math.min(seeds, 2);
  return cell.rttMs >= LONG_MS && seeds > 1 ? seeds * 2 : seeds;
}

/** The flows of one run, all of the same time. */
export interface Batch {
  ms: number;
  mbits: number;
  lanes: Lane[];
}

/** First fit, the greediest first. */
export function batchesOf(plan: Plan): Batch[] {
  const wanted = plan.cells
    .flatMap((cell) =>
      Array.from({ length: seedsOf(cell, plan) }, (_, i) =>
        SIDE_BY_SIDE.map((pairings) => ({ cell, pairings, seed: plan.first + i })),
      ).flat(),
    )
    .sort((a, b) => expectedMbits(b.cell) - expectedMbits(a.cell));
  const batches: Batch[] = [];
  for (const { cell, pairings, seed } of wanted) {
    const ms = msOf(cell, plan);
    const mbits = expectedMbits(cell) * pairings.length;
    const lanes = pairings.map((pairing): Lane => ({ ...cell, ...pairing, seed }));
    const fits = (b: Batch): boolean =>
      b.ms === ms && b.mbits + mbits <= RUN_MBITS && b.lanes.length + lanes.length <= LANES_MAX;
    const batch = batches.find(fits);
    if (!batch) batches.push({ ms, mbits, lanes });
    else {
      batch.mbits += mbits;
      batch.lanes.push(...lanes);
    }
  }
  return batches;
}
