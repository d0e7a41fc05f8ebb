/**
 * What kept an elastic thread from its loop: every time two iterations began further apart than a
 * threshold, with the reason as far as the thread itself can know it. For benchmarks that explain
 * their slowest requests; off unless asked for, and then one comparison an iteration.
 *
 * - A ring of STALL_WORDS integers each: when it began (us, modulo 2^32, CLOCK_MONOTONIC), how long
 *   it lasted, its reason, and what the iteration before had done.
 * - The reason comes from what getrusage(RUSAGE_THREAD) says more than at the end of the slice
 *   before: a thread that has not used the time was not on its core. It was switched out for
 *   somebody else (an involuntary switch), or the core itself was gone: an interrupt, the host.
 * - Collections are told by V8 afterwards, and are records of their own beside the stall that they
 *   explain.
 *
 * Called by runner.ts; read through ThreadState. Read first: man 2 getrusage.
 */
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { callNumber } from '../confine/seccomp-numbers.ts';
import { sys } from '../native/sys.ts';

export const STALL_WORDS = 4;
const RECORDS = 4096;
const RUSAGE_THREAD = 1;
/** 32-bit words of struct rusage: seconds and microseconds of both times, and three counts. */
const RUSAGE_WORDS = 36;
const [USER_S, USER_US, SYSTEM_S, SYSTEM_US] = [0, 2, 4, 6] as const;
const [MINOR_FAULTS, INVOLUNTARY] = [16, 34] as const;
/** Fewer page faults than this are not the reason of anything. */
const FAULTS_MANY = 16;

export const REASON = {
  /** On the core, and the iteration had nothing to do: V8 compiles or deoptimises, or a call. */
  runtime: 0,
  /** On the core, in an iteration that had work. */
  batch: 1,
  /** On the core, in Node's event loop. */
  eventLoop: 2,
  /** Switched out for somebody else. */
  preempted: 3,
  /** Not running, and not switched out: an interrupt, or the host has the core. */
  taken: 4,
  /** Woke later than it was to. */
  wokeLate: 5,
  /** On the core, while pages were fetched. */
  faults: 6,
  /** V8 collected garbage. */
  collected: 7,
} as const;

export class Stalls {
  readonly thresholdUs: number;
  readonly #ring = new Int32Array(RECORDS * STALL_WORDS);
  readonly #then = new Int32Array(RUSAGE_WORDS);
  readonly #now = new Int32Array(RUSAGE_WORDS);
  readonly #getrusage = callNumber('getrusage');
  #count = 0;
  #sinceUs = 0;
  #awayUs = 0;
  #observer: PerformanceObserver | undefined;

  constructor(thresholdUs: number) {
    this.thresholdUs = thresholdUs;
  }

  /** Garbage collections count from here on; `nowUs`: the clock of the thread. */
  observe(nowUs: number): void {
    const offsetUs = nowUs - performance.now() * 1000;
    this.#observer = new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) {
        this.#keep(offsetUs + startTime * 1000, duration * 1000, REASON.collected, 0);
      }
    });
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  close(): void {
    this.#observer?.disconnect();
  }

  /** A slice is over, or the first one after a sleep begins. */
  begin(us: number): void {
    sys.syscall(this.#getrusage, RUSAGE_THREAD, this.#then);
    this.#sinceUs = us;
    this.#awayUs = 0;
  }

  /** So long it slept because it wanted to. */
  napped(us: number): void {
    this.#awayUs = (this.#awayUs + us) | 0;
  }

  /** From an iteration at `startUs`, which did `work`, to the next one, around the loop or not. */
  note(startUs: number, endUs: number, work: number, isAround: boolean): void {
    sys.syscall(this.#getrusage, RUSAGE_THREAD, this.#now);
    const tookUs = (endUs - startUs) | 0;
    this.#keep(startUs, tookUs, this.#reason(endUs, tookUs, work, isAround), work);
    this.#then.set(this.#now);
    this.#sinceUs = endUs;
    this.#awayUs = 0;
  }

  wokeLate(dueUs: number, endUs: number): void {
    this.#keep(dueUs, (endUs - dueUs) | 0, REASON.wokeLate, 0);
  }

  #reason(endUs: number, tookUs: number, work: number, isAround: boolean): number {
    const [then, now] = [this.#then, this.#now];
    const passedUs = ((endUs - this.#sinceUs) | 0) - this.#awayUs;
    const missingUs = passedUs - (cpuUs(now) - cpuUs(then));
    if (missingUs * 2 >= tookUs) {
      return now[INVOLUNTARY]! !== then[INVOLUNTARY]! ? REASON.preempted : REASON.taken;
    }
    if (now[MINOR_FAULTS]! - then[MINOR_FAULTS]! >= FAULTS_MANY) return REASON.faults;
    if (isAround) return REASON.eventLoop;
    return work > 0 ? REASON.batch : REASON.runtime;
  }

  #keep(startUs: number, tookUs: number, reason: number, work: number): void {
    const at = (this.#count % RECORDS) * STALL_WORDS;
    const ring = this.#ring;
    [ring[at], ring[at + 1], ring[at + 2], ring[at + 3]] = [startUs, tookUs, reason, work];
    this.#count++;
  }

  /** The latest, oldest first, STALL_WORDS numbers each. */
  list(): number[] {
    const first = Math.max(0, this.#count - RECORDS);
    const all: number[] = [];
    for (let i = first; i < this.#count; i++) {
      const at = (i % RECORDS) * STALL_WORDS;
      all.push(...this.#ring.subarray(at, at + STALL_WORDS));
    }
    return all;
  }
}

const cpuUs = (usage: Int32Array): number =>
  (usage[USER_S]! + usage[SYSTEM_S]!) * 1e6 + usage[USER_US]! + usage[SYSTEM_US]!;
