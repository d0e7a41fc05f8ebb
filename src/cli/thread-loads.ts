/**
 * What each elastic thread does now, from its counters at two moments.
 *
 * - `busy`: share of the time in iterations that had something to do.
 * - `queue`: frames that an iteration found at its NIC, in the mean of those that found any: what
 *   it took and what it had to leave. What other threads have handed on is not in it.
 * - `latency`: of batches, from their beginning to their doorbell; between the two moments, or, if
 *   there was none, since the service was started.
 * - `rest`: what it does without work.
 *
 * Called by stat.ts and top-screen.ts. Read first: dataplane/elastic-thread.ts.
 */
import type { ThreadStatistics } from '../control/record/statistics.ts';
import { type Latency, LatencyCells } from '../latency.ts';

export interface ThreadLoad {
  thread: number;
  /** Frames received since it started: whether all threads have their share. */
  rxFrames: number;
  /** Flows in any state, TIME-WAIT included. */
  flows: number;
  /** 0 to 1 */
  busy: number;
  queue: number;
  rest: Rest;
  latency: Latency;
}

/** asleep: nothing happened at all; full: there was always something to do. */
export type Rest = 'asleep' | 'sleeps' | 'naps' | 'spins' | 'full';

/** `before` and `after`: of each thread, `ms` apart. */
export function loadsOf(
  before: readonly ThreadStatistics[],
  after: readonly ThreadStatistics[],
  ms: number,
): ThreadLoad[] {
  return after.map(({ counts, latency }, thread) => {
    const then = before[thread];
    const more = (name: string): number => (counts[name] ?? 0) - (then?.counts[name] ?? 0);
    const batches = more('frameBatches');
    const queue = batches > 0 ? (more('rxFrames') + more('rxLeft')) / batches : 0;
    const busy = Math.min(Math.max(more('busyUs') / (1000 * ms), 0), 1);
    const since = latency.since(then?.latency ?? new LatencyCells());
    return {
      thread,
      rxFrames: counts['rxFrames'] ?? 0,
      flows: counts['tcpFlows'] ?? 0,
      busy: rounded(busy, 3),
      queue: rounded(queue, 1),
      rest: restOf(more),
      latency: (since.count > 0 ? since : latency).summary(),
    };
  });
}

function restOf(more: (name: string) => number): Rest {
  if (more('sleeps') > 0) return 'sleeps';
  if (more('naps') > 0) return 'naps';
  if (more('iterations') <= 0) return 'asleep';
  return more('idleIterations') > 0 ? 'spins' : 'full';
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** 'thread 0: 12 flows, 3 % busy (naps), queue 1.2, batches p50 9 us, p99 21 us, p99.9 40 us' */
export const describeLoad = ({ thread, flows, busy, queue, rest, latency }: ThreadLoad): string =>
  `thread ${thread}: ${flows} flows, ${Math.round(100 * busy)} % busy (${rest}), queue ${queue}` +
  (latency.batches === 0
    ? ''
    : `, batches p50 ${latency.p50Us} us, p99 ${latency.p99Us} us, p99.9 ${latency.p999Us} us`);
