/**
 * What the slowest requests of a run waited for: each is laid beside the stalls of the generator's
 * thread and, where the server is ours, of the server's (dataplane/stalls.ts).
 *
 * - The reason of a request is the stall that covers the most of its time. Where stalls cover less
 *   than a quarter of it, one that ended shortly before (BACKLOG_US) is the reason: what it held up
 *   was being worked off. Otherwise no stall was seen: wake-ups, a peer's core, the queue itself.
 * - V8 tells of a collection as of something of its own: the stall that it makes the most of is
 *   named after it.
 * - What a thread of the host's own uses of a core counts as ours, where the host does not say what
 *   it takes (no steal in /proc/stat): a core that is taken then looks like a slow runtime.
 * - Beside the slowest requests stand all stalls of the measured time: a percentile of a whole run
 *   is a share of its time.
 * - Times are integers modulo 2^32 us, of CLOCK_MONOTONIC, as the dataplane has them.
 *
 * Called by tails.ts.
 */
import { REASON, STALL_WORDS } from '../../src/dataplane/stalls.ts';
import type { SlowRequest } from '../../src/load/result/worst.ts';

const BACKLOG_US = 20_000;
const ENOUGH = 0.25;

export const WORDS: Record<number, string> = {
  [REASON.runtime]:
    'on its core, nothing to do: V8 compiles or deoptimises, a call, a host that does not tell',
  [REASON.batch]: 'a long batch, on its core',
  [REASON.eventLoop]: "a visit to Node's event loop",
  [REASON.preempted]: 'switched out: somebody else had its core',
  [REASON.taken]: 'core taken without a switch: an interrupt, or the host',
  [REASON.wokeLate]: 'woke later than it was to',
  [REASON.faults]: 'page faults',
  [REASON.collected]: 'V8 collected garbage',
};
export const UNSEEN = 'no stall seen: wake-ups, the queue, the peer';

export interface Stall {
  startUs: number;
  tookUs: number;
  reason: number;
}

export function stallsOf(words: readonly number[]): Stall[] {
  const stalls: Stall[] = [];
  for (let i = 0; i + STALL_WORDS <= words.length; i += STALL_WORDS) {
    stalls.push({ startUs: words[i]!, tookUs: words[i + 1]!, reason: words[i + 2]! });
  }
  const isCollection = ({ reason }: Stall): boolean => reason === REASON.collected;
  const collections = stalls.filter(isCollection);
  const isMostly = (stall: Stall, each: Stall): boolean =>
    coveredUs(each, stall.startUs, stall.tookUs) * 2 > stall.tookUs;
  return stalls.flatMap((stall) => {
    if (isCollection(stall)) return [];
    const isCollected = collections.some((each) => isMostly(stall, each));
    return isCollected ? { ...stall, reason: REASON.collected } : stall;
  });
}

/** So much of `tookUs` from `startUs` on lies in the stall; below 0: none, so far apart. */
function coveredUs(stall: Stall, startUs: number, tookUs: number): number {
  const from = (stall.startUs - startUs) | 0;
  return Math.min(from + stall.tookUs, tookUs) - Math.max(from, 0);
}

export interface Cause {
  who: 'generator' | 'server' | '';
  what: string;
  /** It was over before the request was due. */
  isBacklog: boolean;
  /** Names the stall: requests that wait together have the same. */
  startUs: number;
}

/** `whoStalls`: of each thread, in the order in which they are believed. */
export function causeOf(
  { dueMs, answeredMs }: SlowRequest,
  whoStalls: readonly { who: 'generator' | 'server'; stalls: readonly Stall[] }[],
): Cause {
  const dueUs = Math.round(dueMs * 1000);
  const tookUs = (answeredMs - dueMs) * 1000;
  let best: { who: Cause['who']; stall: Stall; us: number } | undefined;
  let before: { who: Cause['who']; stall: Stall } | undefined;
  for (const { who, stalls } of whoStalls) {
    for (const stall of stalls) {
      const us = coveredUs(stall, dueUs, tookUs);
      if (us > (best?.us ?? 0)) best = { who, stall, us };
      const to = ((stall.startUs - dueUs) | 0) + stall.tookUs;
      const isJustBefore = to <= 0 && to > -BACKLOG_US;
      if (isJustBefore && stall.tookUs > (before?.stall.tookUs ?? 0)) before = { who, stall };
    }
  }
  if (best && best.us >= tookUs * ENOUGH) {
    const { reason, startUs } = best.stall;
    return { who: best.who, what: WORDS[reason] ?? '?', isBacklog: false, startUs };
  }
  if (before) {
    const { reason, startUs } = before.stall;
    return { who: before.who, what: WORDS[reason] ?? '?', isBacklog: true, startUs };
  }
  return { who: '', what: UNSEEN, isBacklog: false, startUs: 0 };
}

export interface Row {
  who: string;
  what: string;
  count: number;
  /** How many stalls these requests waited for; 0: none was seen. */
  stalls: number;
  medianUs: number;
  longestUs: number;
}

/** What the tail is made of: the most frequent reason first. */
export function rowsOf(
  worst: readonly SlowRequest[],
  whoStalls: Parameters<typeof causeOf>[1],
): Row[] {
  const explained = worst.map((request) => ({ request, cause: causeOf(request, whoStalls) }));
  const groups = Map.groupBy(explained, ({ cause: { who, what, isBacklog } }) => {
    return `${who}\t${isBacklog ? `worked off after: ${what}` : what}`;
  });
  return [...groups]
    .map(([key, members]) => {
      const [who = '', what = ''] = key.split('\t');
      const took = members.map(({ request: r }) => (r.answeredMs - r.dueMs) * 1000);
      took.sort((a, b) => a - b);
      const medianUs = Math.round(took[took.length >> 1]!);
      const longestUs = Math.round(took.at(-1)!);
      const stalls = who === '' ? 0 : new Set(members.map(({ cause }) => cause.startUs)).size;
      return { who, what, count: took.length, stalls, medianUs, longestUs };
    })
    .sort((a, b) => b.count - a.count);
}

export interface StallRow {
  who: string;
  what: string;
  count: number;
  /** Together, of the measured time: 0 to 1. */
  share: number;
  longestUs: number;
}

/** All stalls that lie in the measured time, by thread and reason: the largest share first. */
export function stallRowsOf(
  [fromMs, toMs]: readonly [number, number],
  whoStalls: Parameters<typeof causeOf>[1],
): StallRow[] {
  const startUs = Math.round(fromMs * 1000) | 0;
  const tookUs = (toMs - fromMs) * 1000;
  const all = whoStalls.flatMap(({ who, stalls }) =>
    stalls.map((stall) => ({ who, ...stall, us: coveredUs(stall, startUs, tookUs) })),
  );
  const groups = Map.groupBy(
    all.filter(({ us }) => us > 0),
    ({ who, reason }) => `${who}\t${WORDS[reason] ?? '?'}`,
  );
  return [...groups]
    .map(([key, members]) => {
      const [who = '', what = ''] = key.split('\t');
      const share = members.reduce((sum, { us }) => sum + us, 0) / tookUs;
      const longestUs = Math.max(...members.map((each) => each.tookUs));
      return { who, what, count: members.length, share, longestUs };
    })
    .sort((a, b) => b.share - a.share);
}
