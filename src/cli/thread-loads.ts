/**
 * What each elastic thread does now, from its counters at two moments.
 *
 * - `busy`: share of the time in iterations that had something to do.
 * - `queue`: frames that an iteration found at its NIC, in the mean of those that found any: what
 *   it took and what it had to leave. What other threads have handed on is not in it.
 *
 * Called by stat.ts. Read first: dataplane/elastic-thread.ts.
 */

type Counts = Record<string, number>;

export interface ThreadLoad {
  thread: number;
  /** Flows in any state, TIME-WAIT included. */
  flows: number;
  /** 0 to 1 */
  busy: number;
  queue: number;
}

/** `before` and `after`: of each thread, `ms` apart. */
export function loadsOf(before: Counts[], after: Counts[], ms: number): ThreadLoad[] {
  return after.map((now, thread) => {
    const more = (name: string): number => (now[name] ?? 0) - (before[thread]?.[name] ?? 0);
    const batches = more('frameBatches');
    const queue = batches > 0 ? (more('rxFrames') + more('rxLeft')) / batches : 0;
    const busy = Math.min(Math.max(more('busyUs') / (1000 * ms), 0), 1);
    return {
      thread,
      flows: now['tcpFlows'] ?? 0,
      busy: rounded(busy, 3),
      queue: rounded(queue, 1),
    };
  });
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** 'thread 0: 12 flows, 3 % busy, queue 1.2' */
export const describeLoad = ({ thread, flows, busy, queue }: ThreadLoad): string =>
  `thread ${thread}: ${flows} flows, ${Math.round(100 * busy)} % busy, queue ${queue}`;
