/**
 * Runs an elastic thread inside Node's event loop, so that asynchronous code of an inline
 * application (timers, promises, files) goes on between batches, and so that an idle thread costs
 * nothing.
 *
 * - Busy: iterations back to back for a slice of SLICE_US, then once around the event loop (about 1
 *   us).
 * - An application that yields gets its event loop after each iteration that did something.
 * - Idle, policy `spin`: never sleeps. `sleep`: asleep at once. `adaptive`: spins, then naps, and
 *   is asleep SLEEP_AFTER_US after the last work.
 * - How long it spins is learned: no longer than waking up takes (SPIN_US), and where lulls are
 *   longer than that as a rule, hardly at all (SPIN_LITTLE_US), because then it is in vain. Who
 *   spins all the time is who the kernel takes the core from, for milliseconds, when anybody else
 *   has something to do; who sleeps in between is not in the way.
 * - A nap is one system call inside the slice (nap.ts), ended by a frame, the bell, the event loop,
 *   or the next timer of the wheel. The loop was gone around less than ROUND_US before it.
 * - An application that wants a turn in every iteration and says for how long it does not
 *   (`restUs`) is napped for, under every policy: it knows when it is due.
 * - Asleep: the event loop itself waits, for a frame (the NIC's descriptors, unless what is behind
 *   them is gone), a timer of the wheel, or the application's own asynchronous work.
 */
import type { Wheel } from '../arena/wheel.ts';
import type { IdlePolicy } from '../child/config.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Doorbell } from '../domain/domain.ts';
import { must, type Rounds, sys, type Watch } from '../native/sys.ts';
import type { Nic } from '../nic/nic.ts';
import type { ElasticThread } from './elastic-thread.ts';
import { BY_BELL, BY_LOOP, type Nap } from './nap.ts';
import type { Stalls } from './stalls.ts';

const SLICE_US = 4000;
/** About what a nap and waking up from it take: 20 to 60 us in a virtual machine. */
const SPIN_US = 50;
/** So soon comes what belongs to the work before: the acknowledgement, the next request. */
const SPIN_LITTLE_US = 10;
const SLEEP_AFTER_US = 1000;
/** The event loop was gone around so lately before a nap: a round takes 2 us. */
const ROUND_US = 1000;
/** A shorter one takes longer than it lasts. */
const NAP_MIN_US = 10;
/** A lull counts for so much at most, and for an eighth of what is known of them. */
const LULL_MAX_US = 1000;
const LULL_SHIFT = 3;
/**
 * A wheel timer nearer than this is not slept for, but spun or napped: the event loop's own timers
 * count milliseconds.
 */
const NEAR_US = 1500;
const SLEEP_MAX_US = 60_000_000;
const C_SLEEPS = COUNTER.sleeps;
const C_NAPS = COUNTER.naps;

/** What an iteration without work is followed by. */
const GO_ON = 0;
const SLICE_OVER = 1;
const ASLEEP = 2;

export interface RunnerParts {
  readonly thread: ElasticThread;
  readonly nic: Nic;
  readonly wheel: Wheel;
  readonly counters: Counters;
  readonly policy: IdlePolicy;
  readonly doorbell?: Doorbell;
  readonly nap: Pick<Nap, 'take' | 'ended' | 'lateUs'>;
  /** Keeps what the loop was kept from; absent: nobody asks. */
  readonly stalls?: Stalls | undefined;
  /** As a side says it (domain/domain.ts); absent: -1. */
  readonly restUs?: (() => number) | undefined;
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
  /** Idle for so long: it goes to sleep. */
  readonly #sleepAfterUs: number;
  /** Iterations further apart are stalls. */
  readonly #stallUs: number;
  readonly #nicWatches: Watch[];
  readonly #bellWatches: Watch[] = [];
  /** In no async context of the application's, whoever has woken us. */
  readonly #rounds: Rounds = sys.rounds(() => this.#run());
  /** Around the event loop after each iteration that did something. */
  yields = false;
  /** A slice comes in each round of the event loop. */
  #isScheduled = false;
  #isAsleep = false;
  #wasAsleep = true;
  /** Since its slice began: it does not sleep before another turn. */
  #isWoken = false;
  #isStopped = false;
  #lastWorkUs = 0;
  /** When the last iteration or nap was over with, for stalls; and what that iteration did. */
  #turnUs = 0;
  #work = 0;
  /** There was an iteration without work since. */
  #isLull = false;
  /** When this slice began, and so the event loop was last gone around. */
  #sliceUs = 0;
  /** What a lull lasts, in eighths of a microsecond. */
  #lull8 = 0;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#sleepAfterUs = parts.policy === 'sleep' ? 0 : SLEEP_AFTER_US;
    this.#stallUs = parts.stalls?.thresholdUs ?? SLEEP_MAX_US;
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
    this.#rouse();
    this.#end();
  }

  /** Something outside the loop needs a turn soon. */
  wake(): void {
    this.#isWoken = true;
    this.#rouse();
    if (!this.#isStopped) this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    sys.armRounds(this.#rounds, 0);
  }

  #end(): void {
    this.#isStopped = true;
    this.#isScheduled = false;
    sys.armRounds(this.#rounds, -1);
  }

  #run(): void {
    if (this.#isStopped) return;
    if (this.#isAsleep) return this.wake(); // a timer is due
    this.#isWoken = false;
    try {
      const isBusy = this.#spinSlice();
      this.#parts.stalls?.begin(this.#parts.thread.us);
      if (!isBusy && !this.#isWoken && !this.#isStopped) this.#sleep();
    } catch (error) {
      this.#end();
      this.#parts.failed(error);
    }
  }

  /** True: the slice is over; false: idle long enough to sleep. */
  #spinSlice(): boolean {
    const thread = this.#parts.thread;
    const start = thread.readClock();
    this.#sliceUs = start;
    if (this.#wasAsleep) {
      this.#wasAsleep = false;
      this.#lastWorkUs = this.#turnUs = start;
      this.#parts.stalls?.begin(start);
    }
    let isAround = true;
    for (;;) {
      const work = thread.turn();
      const now = thread.us;
      if (((now - this.#turnUs) | 0) > this.#stallUs) this.#stalled(now, isAround);
      this.#turnUs = now;
      this.#work = work;
      isAround = false;
      if (work === 0) {
        const left = (SLICE_US - ((now - start) | 0)) | 0;
        const what = this.#idle(now, left);
        if (what !== GO_ON) return what === SLICE_OVER;
      } else {
        this.#worked(now);
        if (this.yields) return true;
      }
      if (((now - start) | 0) >= SLICE_US || this.#isStopped) return true;
    }
  }

  /** The iteration before was too long ago. */
  #stalled(now: number, isAround: boolean): void {
    this.#parts.stalls?.note(this.#turnUs, now, this.#work, isAround);
  }

  #worked(now: number): void {
    if (this.#isLull) {
      const lull = Math.min(LULL_MAX_US, (now - this.#lastWorkUs) | 0) | 0;
      this.#lull8 = (this.#lull8 + lull - (this.#lull8 >> LULL_SHIFT)) | 0;
    }
    this.#lastWorkUs = now;
    this.#isLull = false;
  }

  /** After an iteration without work; `left` of the slice. */
  #idle(now: number, left: number): number {
    const { restUs, policy, wheel } = this.#parts;
    const rest = restUs === undefined ? -1 : restUs();
    if (rest >= 0) return this.#nap(Math.min(rest, left), now);
    if (policy === 'spin') return GO_ON;
    this.#isLull = true;
    const idle = (now - this.#lastWorkUs) | 0;
    if (idle >= this.#sleepAfterUs) {
      const due = wheel.untilNext(now, NEAR_US);
      return due === NEAR_US ? ASLEEP : this.#napOnceRound(Math.min(due, left), now);
    }
    const spin = this.#lull8 >> LULL_SHIFT > SPIN_US ? SPIN_LITTLE_US : SPIN_US;
    if (idle < spin) return GO_ON;
    return this.#napOnceRound(Math.min(left, this.#sleepAfterUs - idle), now);
  }

  /** What became the event loop's business since it was gone around does not end a nap. */
  #napOnceRound(us: number, now: number): number {
    return ((now - this.#sliceUs) | 0) < ROUND_US ? this.#nap(us, now) : SLICE_OVER;
  }

  /** Naps for at most `us`, or spins if that is not worth it. */
  #nap(us: number, now: number): number {
    const { nic, nap, thread, wheel, counters } = this.#parts;
    const until = wheel.untilNext(now, us) - nap.lateUs;
    if (until < NAP_MIN_US || nic.isGone?.() === true) return GO_ON;
    if (nic.prepareSleep?.() === false) return GO_ON;
    counters.bump(C_NAPS);
    const by = nap.take(until);
    nic.wake?.();
    this.#turnUs = thread.readClock();
    const took = (this.#turnUs - now) | 0;
    if (by === 0) nap.ended(until, took);
    this.#parts.stalls?.napped(took);
    if (took - until > this.#stallUs) this.#parts.stalls?.wokeLate(now + until, this.#turnUs);
    if (by & BY_BELL) this.#parts.doorbell?.drain();
    return by & BY_LOOP ? SLICE_OVER : GO_ON;
  }

  #sleep(): void {
    const dueUs = this.#parts.wheel.untilNext(this.#parts.thread.us, SLEEP_MAX_US);
    if (dueUs < NEAR_US || this.#parts.nic.prepareSleep?.() === false) return;
    this.#isAsleep = true;
    this.#isScheduled = false;
    this.#parts.counters.bump(C_SLEEPS);
    if (this.#parts.nic.isGone?.() !== true) arm(this.#nicWatches, true);
    arm(this.#bellWatches, true);
    sys.armRounds(this.#rounds, Math.floor(dueUs / 1000));
  }

  #rouse(): void {
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    this.#wasAsleep = true;
    arm(this.#nicWatches, false);
    arm(this.#bellWatches, false);
    this.#parts.nic.wake?.();
  }
}
