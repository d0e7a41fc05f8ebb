/**
 * Runs an elastic thread inside Node's event loop, so that asynchronous code of an inline
 * application (timers, promises, files) goes on between batches, and so that an idle thread costs
 * nothing.
 *
 * - Busy: iterations back to back for a slice of SLICE_US, then once around the event loop (about 1
 *   us).
 * - Idle: policy `spin` never sleeps; `adaptive` spins SPIN_US after the last work, then sleeps;
 *   `sleep` sleeps at once.
 * - Asleep: the event loop itself waits, for a frame (the NIC's descriptors, unless what is behind
 *   them is gone), a timer of the wheel, or the application's own asynchronous work.
 */
import type { Wheel } from '../arena/wheel.ts';
import type { IdlePolicy } from '../child/config.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Doorbell } from '../domain/domain.ts';
import { must, sys, type Watch } from '../native/sys.ts';
import type { Nic } from '../nic/nic.ts';
import type { ElasticThread } from './elastic-thread.ts';

const SLICE_US = 4000;
const SPIN_US = 200;
/**
 * A wheel timer nearer than this is waited for awake: the event loop's own timers count
 * milliseconds.
 */
const NEAR_US = 1500;
const SLEEP_MAX_US = 60_000_000;
const C_SLEEPS = COUNTER.sleeps;

export interface RunnerParts {
  readonly thread: ElasticThread;
  readonly nic: Nic;
  readonly wheel: Wheel;
  readonly counters: Counters;
  readonly policy: IdlePolicy;
  readonly doorbell?: Doorbell;
  /** A broken invariant: the thread has stopped. */
  failed(error: unknown): void;
}

function watchOf(fd: number, callback: () => void): Watch {
  const watch = sys.watch(fd, callback);
  if (typeof watch === 'number') must(watch, `watch descriptor ${fd}`);
  return watch as Watch;
}

function arm(watches: readonly Watch[], on: boolean): void {
  for (const watch of watches) sys.armWatch(watch, on);
}

export class Runner {
  readonly #parts: RunnerParts;
  readonly #spinUs: number;
  readonly #nicWatches: Watch[];
  readonly #bellWatches: Watch[] = [];
  readonly #slice = () => this.#run();
  #isScheduled = false;
  #isAsleep = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#spinUs = parts.policy === 'sleep' ? 0 : SPIN_US;
    this.#nicWatches = parts.nic.fds.map((fd) => watchOf(fd, () => this.wake()));
    const { doorbell } = parts;
    if (doorbell) {
      const rung = (): void => {
        doorbell.drain();
        this.wake();
      };
      this.#bellWatches.push(watchOf(doorbell.fd, rung));
    }
  }

  start(): void {
    this.#schedule();
  }

  stop(): void {
    this.#isStopped = true;
    this.#rouse();
  }

  /** Something outside the loop needs a turn soon. */
  wake(): void {
    this.#rouse();
    if (!this.#isStopped) this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#slice);
  }

  #run(): void {
    this.#isScheduled = false;
    if (this.#isStopped) return;
    try {
      const isBusy = this.#spinSlice();
      if (this.#isStopped) return;
      if (isBusy) this.#schedule();
      else this.#sleep();
    } catch (error) {
      this.#isStopped = true;
      this.#parts.failed(error);
    }
  }

  /** True: the slice is over; false: idle long enough to sleep. */
  #spinSlice(): boolean {
    const thread = this.#parts.thread;
    const start = thread.readClock();
    let lastWork = start;
    const maySleep = this.#parts.policy !== 'spin';
    for (;;) {
      const isIdle = thread.turn() === 0;
      const now = thread.us;
      if (!isIdle) lastWork = now;
      else if (maySleep && ((now - lastWork) | 0) >= this.#spinUs) return false;
      if (((now - start) | 0) >= SLICE_US || this.#isStopped) return true;
    }
  }

  #sleep(): void {
    const dueUs = this.#parts.wheel.untilNext(this.#parts.thread.us, SLEEP_MAX_US);
    if (dueUs < NEAR_US || this.#parts.nic.prepareSleep?.() === false) return this.#schedule();
    this.#isAsleep = true;
    this.#parts.counters.bump(C_SLEEPS);
    if (this.#parts.nic.isGone?.() !== true) arm(this.#nicWatches, true);
    arm(this.#bellWatches, true);
    this.#timer = setTimeout(() => this.wake(), Math.floor(dueUs / 1000));
  }

  #rouse(): void {
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    clearTimeout(this.#timer);
    arm(this.#nicWatches, false);
    arm(this.#bellWatches, false);
    this.#parts.nic.wake?.();
  }
}
