/**
 * Looks at an application from outside, through the counters of its dataplane: is it back from its
 * batch, has it run into a quota?
 *
 * - Costs the dataplane nothing, and cannot be told anything by the application: it cannot write
 *   the counters.
 * - `applicationLate` is counted when the dataplane goes on without the application,
 *   `applicationBack` when that is over. A thread whose two differ, and stay as they are, has an
 *   application that hangs.
 * - A quota is reported when it first refuses something, then at most every QUOTA_REPORT_MS.
 *
 * Called by control/service/life.ts. Read first: src/domain/process.ts (the watchdog).
 */
import { readSync } from 'node:fs';
import { STATISTICS_BYTES } from '../../child/config.ts';
import { COUNTER, type CounterName } from '../../counters.ts';
import { QUOTA_NAMES, type Quotas } from '../../limits.ts';

const LOOK_MS = 500;
/** An application that is away for so long is reported. */
export const HANG_REPORT_MS = 1000;
const QUOTA_REPORT_MS = 10_000;

/** The counter of a quota: 'quotaFlows' of 'flows'. */
const counterOf = (quota: keyof Quotas): CounterName =>
  `quota${quota.charAt(0).toUpperCase()}${quota.slice(1)}` as CounterName;

export interface WatchParts {
  readonly statisticsFd: number;
  readonly threads: number;
  /** How long an application may be away from one thread; 0: for ever. */
  readonly hangMs: number;
  /** It has been away for so long: once a hang. */
  hanging(ms: number): void;
  /** It has been away for `hangMs`: once a hang. */
  hung(ms: number): void;
  quota(quota: keyof Quotas, refused: number): void;
}

interface Thread {
  /** `applicationLate` when it was last looked at, and since when it has been that. */
  late: number;
  sinceMs: number;
  isReported: boolean;
  isHung: boolean;
}

export class ApplicationWatch {
  readonly #parts: WatchParts;
  readonly #cells: Float64Array;
  readonly #threads: Thread[];
  /** By quota: refusals reported, and when. */
  readonly #reported = new Map<keyof Quotas, { count: number; atMs: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#cells = new Float64Array((STATISTICS_BYTES * parts.threads) >> 3);
    this.#threads = Array.from({ length: parts.threads }, () => {
      return { late: 0, sinceMs: 0, isReported: false, isHung: false };
    });
  }

  start(): void {
    const { hangMs } = this.#parts;
    const everyMs = hangMs > 0 ? Math.min(LOOK_MS, hangMs / 4) : LOOK_MS;
    this.#timer = setInterval(() => this.look(performance.now()), everyMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One look at all counters. */
  look(nowMs: number): void {
    readSync(this.#parts.statisticsFd, this.#cells, 0, this.#cells.byteLength, 0);
    for (const [thread, state] of this.#threads.entries()) this.#thread(thread, state, nowMs);
    for (const quota of QUOTA_NAMES) this.#quota(quota, nowMs);
  }

  #count(thread: number, counter: CounterName): number {
    return this.#cells[((thread * STATISTICS_BYTES) >> 3) + COUNTER[counter]]!;
  }

  #thread(thread: number, state: Thread, nowMs: number): void {
    const late = this.#count(thread, 'applicationLate');
    const isAway = late !== this.#count(thread, 'applicationBack');
    if (!isAway || late !== state.late) {
      Object.assign(state, { late, sinceMs: nowMs, isReported: false, isHung: false });
      return;
    }
    const awayMs = nowMs - state.sinceMs;
    const { hangMs } = this.#parts;
    if (hangMs > 0 && awayMs >= hangMs && !state.isHung) {
      state.isHung = state.isReported = true;
      this.#parts.hung(awayMs);
    } else if (awayMs >= HANG_REPORT_MS && !state.isReported) {
      state.isReported = true;
      this.#parts.hanging(awayMs);
    }
  }

  #quota(quota: keyof Quotas, nowMs: number): void {
    let count = 0;
    const counter = counterOf(quota);
    for (let thread = 0; thread < this.#parts.threads; thread++) {
      count += this.#count(thread, counter);
    }
    const before = this.#reported.get(quota);
    const isNew = count > (before?.count ?? 0);
    if (!isNew || (before && nowMs - before.atMs < QUOTA_REPORT_MS)) return;
    this.#reported.set(quota, { count, atMs: nowMs });
    this.#parts.quota(quota, count - (before?.count ?? 0));
  }
}
