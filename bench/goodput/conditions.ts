/**
 * The networks of `ix bench goodput`: loss x round trip x reordering, and what our box does to
 * frames in each.
 *
 * - One bottleneck a flow: RATE_MBITS with a drop-tail queue of one bandwidth-delay product (at
 *   least 64 KiB) in front, then loss, delay, reordering; the same both ways. At this rate neither
 *   stack is bound by the CPU of a small machine, so that TCP is what is compared.
 * - Reordering: one frame in a hundred is held back a millisecond, and about eight overtake it.
 * - The live box (box.ts) and the simulated one (simulated.ts) use the same `Path` with these
 *   options.
 */
import type { PathOptions } from '../../sim/path.ts';

export interface Conditions {
  /** Per cent of frames, independent. */
  loss: number;
  rttMs: number;
  reorders: boolean;
}

export const LOSSES = [0, 0.1, 1, 3, 5] as const;
export const ROUND_TRIPS_MS = [1, 20, 100] as const;
/** Run when they are asked for: a run takes sixteen seconds. */
export const LONG_ROUND_TRIPS_MS = [200, 300] as const;

export const RATE_MBITS = 100;
const RATE = RATE_MBITS / 8; // bytes per microsecond
const QUEUE_MIN_BYTES = 65_536;
const REORDER = 0.01;
const REORDER_US = 1000;

const cellsOf = (roundTrips: readonly number[]): readonly Conditions[] =>
  [false, true].flatMap((reorders) =>
    roundTrips.flatMap((rttMs) => LOSSES.map((loss) => ({ loss, rttMs, reorders }))),
  );

export const CELLS: readonly Conditions[] = cellsOf(ROUND_TRIPS_MS);
export const LONG_CELLS: readonly Conditions[] = cellsOf(LONG_ROUND_TRIPS_MS);

/** 'loss 0.1, rtt 20, reordering' */
export const nameOf = ({ loss, rttMs, reorders }: Conditions): string =>
  `loss ${loss}, rtt ${rttMs}${reorders ? ', reordering' : ''}`;

export const pathOptions = ({ loss, rttMs, reorders }: Conditions): PathOptions => ({
  rate: RATE,
  queueBytes: Math.max(QUEUE_MIN_BYTES, RATE * rttMs * 1000),
  delayUs: rttMs * 500,
  loss: loss / 100,
  ...(reorders ? { reorder: REORDER, reorderUs: REORDER_US } : {}),
});

/** Queues and the machine's own delays make a millisecond of round trip about three. */
const LIVE_ROUND_TRIP_MS = 3;

/**
 * What a good TCP gets here, roughly, Mbit/s: to choose how many flows run side by side. Square
 * root of the loss (Mathis et al., 1997), at most the bottleneck.
 */
export function expectedMbits({ loss, rttMs }: Conditions): number {
  if (loss === 0) return RATE_MBITS;
  const segments = 1.5 / Math.sqrt(loss / 100);
  const roundTripUs = Math.max(rttMs, LIVE_ROUND_TRIP_MS) * 1000;
  return Math.min(RATE_MBITS, (segments * 1448 * 8) / roundTripUs);
}

/**
 * `loss=0,1 rtt=20 reorder=off`: the cells that match every word, long ones if it names them.
 * Throws a sentence.
 */
export function selectCells(filter: string): Conditions[] {
  const words = filter.split(/\s+/).filter(Boolean);
  let cells = words.some((word) => word.startsWith('rtt='))
    ? [...CELLS, ...LONG_CELLS]
    : [...CELLS];
  for (const word of words) {
    const [name = '', list = ''] = word.split('=');
    const wanted = list.split(',');
    const read = {
      loss: (c: Conditions) => String(c.loss),
      rtt: (c: Conditions) => String(c.rttMs),
      reorder: (c: Conditions) => (c.reorders ? 'on' : 'off'),
    }[name];
    if (!read) throw new Error(`'${word}' is no condition: loss=, rtt= or reorder=on|off`);
    cells = cells.filter((cell) => wanted.includes(read(cell)));
  }
  if (cells.length === 0) throw new Error(`no cell is '${filter}'`);
  return cells;
}

export const STACKS = ['ours', 'linux'] as const;
export type StackName = (typeof STACKS)[number];

export interface Pairing {
  from: StackName;
  to: StackName;
}

export const PAIRINGS: readonly Pairing[] = STACKS.flatMap((from) =>
  STACKS.map((to) => ({ from, to })),
);
export const pairingName = ({ from, to }: Pairing): string => `${from}->${to}`;

/**
 * One flow of a run: its conditions, who sends, who receives, and the seed of what happens to it.
 */
export interface Lane extends Conditions, Pairing {
  seed: number;
}

/** The port of the receiver of lane `n` of a run. */
export const LANE_PORT = 6000;
/** Lanes that one run can have: a dataplane's listeners. */
export const LANES_MAX = 48;

/** The four endpoints: senders and receivers, ours and Linux's. Endpoint i has 10.79.0.(i + 1). */
export const ENDPOINTS = [
  { stack: 'ours', role: 'send' },
  { stack: 'ours', role: 'receive' },
  { stack: 'linux', role: 'send' },
  { stack: 'linux', role: 'receive' },
] as const;
export const ENDPOINT_BASE = 0x0a4f0001;
export const ENDPOINT_PREFIX = 24;

export const endpointIndex = (stack: StackName, role: 'send' | 'receive'): number =>
  ENDPOINTS.findIndex((each) => each.stack === stack && each.role === role);

/** What a receiver says of a lane when its time is over. */
export interface LaneResult {
  kind: 'lane';
  lane: number;
  bytes: number;
  ms: number;
  /** The longest time without a new byte for the application. */
  longestGapMs: number;
}

export const isLaneResult = (value: unknown): value is LaneResult =>
  (value as LaneResult | null)?.kind === 'lane';
