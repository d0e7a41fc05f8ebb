/**
 * The elastic thread: one core, one NIC queue, one instance of the stack; runs every packet to
 * completion.
 *
 * One iteration (`turn`), in this order, with the time read once:
 *   1. completed transmits come back, fresh receive frames are lent;
 *   2. timers;
 *   3. at most B received frames, each through the whole stack (never waiting to fill a batch);
 *   4. event conditions to the application, which consumes all of them and leaves its next batch;
 *   5. that batch of system calls, results in place;
 *   6. everything queued goes out with one doorbell.
 *
 * This is the paper's cycle (section 4.2) entered at another point: a reply leaves in the iteration
 * that received its request, and the acknowledgement of the request rides on it.
 *
 * - All state belongs to this thread. Queues build up at the NIC edge only.
 * - How long a batch took, from its beginning to its doorbell, is counted at the beginning of the
 *   next one, by the same reading of the clock; what an application came back for later counts from
 *   when it was entered. Between two slices (runner.ts) it holds a round of the event loop.
 * - Nothing here allocates; the only exception that can leave `turn` is a broken invariant of our
 *   own.
 *
 * Called by runner.ts. Read first: OSDI'14 section 3; docs/ARCHITECTURE.md "One request".
 */
import type { Arena } from '../arena/arena.ts';
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Domain } from '../domain/domain.ts';
import type { EventSink } from '../gate/arrays.ts';
import { BATCH_MAX } from '../limits.ts';
import { sys } from '../native/sys.ts';
import type { Nic } from '../nic/nic.ts';
import type { Gate } from './gate.ts';
import type { Stack } from './stack.ts';
import type { ApplicationTimers } from './timers.ts';

const C_ITERATIONS = COUNTER.iterations;
const C_IDLE = COUNTER.idleIterations;
const C_BUSY_US = COUNTER.busyUs;
const C_FLOWS = COUNTER.tcpFlows;
const C_BATCHES = COUNTER.batches;
const C_FRAME_BATCHES = COUNTER.frameBatches;
const C_EVENTS = COUNTER.events;
const C_LATE = COUNTER.applicationLate;
const C_BACK = COUNTER.applicationBack;

export interface ElasticThreadParts {
  readonly arena: Arena;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly nic: Nic;
  readonly stack: Stack;
  readonly sink: EventSink;
  readonly gate: Gate;
  readonly timers: ApplicationTimers;
  readonly domain: Domain;
  /** Sets the time of the batch; default: the kernel's monotonic clock. */
  readonly readTime?: (clock: Clock) => void;
  /** B: most frames of one iteration, 1..BATCH_MAX; default: what pays on this NIC. */
  readonly batchMax?: number;
}

/** Reads CLOCK_MONOTONIC; the native call writes two words of the (bound) arena. */
function monotonicClock(arena: Arena): (clock: Clock) => void {
  const offset = arena.carve('clock', 64, 64);
  const i32 = arena.i32;
  const w = offset >> 2;
  return (clock) => {
    sys.clock(offset);
    clock.us = i32[w]!;
    clock.ms = i32[w + 1]!;
  };
}

export class ElasticThread {
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #nic: Nic;
  readonly #stack: Stack;
  readonly #sink: EventSink;
  readonly #gate: Gate;
  readonly #timers: ApplicationTimers;
  readonly #domain: Domain;
  readonly #batchMax: number;
  /** The application has both arrays and has not come back. */
  #isAway = false;
  /** Since when, and whether that is too long. */
  #awaySinceUs = 0;
  #isLate = false;
  readonly #readTime: (clock: Clock) => void;
  /** Time of the last iteration, and whether it had something to do. */
  #turnUs = 0;
  #wasBusy = false;
  /** When the batch began that is not answered yet: with an application away, some turns ago. */
  #batchUs = 0;

  constructor(parts: ElasticThreadParts) {
    this.#counters = parts.counters;
    this.#clock = parts.clock;
    this.#nic = parts.nic;
    this.#stack = parts.stack;
    this.#sink = parts.sink;
    this.#gate = parts.gate;
    this.#timers = parts.timers;
    this.#domain = parts.domain;
    this.#batchMax = parts.batchMax ?? parts.nic.batchMax ?? BATCH_MAX;
    this.#readTime = parts.readTime ?? monotonicClock(parts.arena);
    this.readClock();
  }

  /** Time of the last batch, microseconds modulo 2^32. */
  get us(): number {
    return this.#clock.us;
  }

  /** Sets the batch's time; returns microseconds. */
  readClock(): number {
    this.#readTime(this.#clock);
    return this.#clock.us;
  }

  /** One iteration. Returns 0 when there was nothing to do and nothing is left to do. */
  turn(): number {
    const now = this.readClock();
    if (this.#wasBusy) {
      this.#counters.add(C_BUSY_US, (now - this.#turnUs) | 0);
      if (!this.#isAway) this.#counters.took((now - this.#batchUs) | 0);
    }
    this.#turnUs = now;
    if (!this.#isAway) this.#batchUs = now;
    this.#wasBusy = this.#iterate();
    return this.#wasBusy ? 1 : 0;
  }

  /** True: there was something to do, or is still. */
  #iterate(): boolean {
    const nic = this.#nic;
    const stack = this.#stack;
    nic.reclaim();
    stack.advance();
    const frames = this.#receive(nic, stack);
    const done = this.#application();
    stack.flush();
    nic.kick();
    this.#counters.bump(C_ITERATIONS);
    if (frames > 0) this.#counters.bump(C_FRAME_BATCHES);
    this.#counters.set(C_FLOWS, stack.tcp.openFlows);
    if (frames > 0 || done > 0 || stack.hasPending()) return true;
    this.#counters.bump(C_IDLE);
    return false;
  }

  /** The application is gone: drops every event that is still to be told, and sends what is due. */
  drain(): void {
    this.#back();
    do {
      this.#sink.clear();
      this.#timers.emit(this.#sink);
      this.#stack.emit(this.#sink);
    } while (this.#sink.count > 0);
    this.#stack.flush();
    this.#nic.kick();
  }

  /**
   * Step 3. Where entering the application is dear, what has come meanwhile is taken along: with 64
   * connections 5 % more messages in domain process, 10 % with 128. Inline it makes no difference.
   */
  #receive(nic: Nic, stack: Stack): number {
    let frames = 0;
    for (;;) {
      const more = nic.receive((this.#batchMax - frames) | 0);
      for (let i = 0; i < more; i++) stack.receive(nic.rxOffsets[i]!, nic.rxLengths[i]!);
      frames = (frames + more) | 0;
      if (more === 0 || frames >= this.#batchMax || !this.#domain.isApart) return frames;
    }
  }

  /** Steps 4 and 5. Returns events + calls; an application that has not come back is left alone. */
  #application(): number {
    if (this.#isAway) {
      const done = this.#lookBack();
      // What it has asked for since may have rung the same bell: another iteration looks.
      return this.#isAway ? done : done | 1;
    }
    const sink = this.#sink;
    this.#timers.emit(sink);
    this.#stack.emit(sink);
    if (sink.count === 0 && !this.#gate.wantsTurn()) return 0;
    sink.publish(this.#clock.us, this.#clock.ms);
    if (this.#domain.enter()) return this.#takeBack();
    this.#isAway = true;
    this.#awaySinceUs = this.#clock.us;
    return this.#lookBack() | 1;
  }

  /**
   * The application has the arrays: takes its calls if it is back. 0: it is late, and is waited for
   * asleep.
   */
  #lookBack(): number {
    const domain = this.#domain;
    if (domain.isBack()) return this.#takeBack();
    if (this.#isLate) return 0;
    if (((this.#clock.us - this.#awaySinceUs) | 0) < domain.patienceUs) return 1;
    if (domain.goOn()) return this.#takeBack();
    this.#isLate = true;
    this.#counters.bump(C_LATE);
    return 0;
  }

  /** The arrays are the dataplane's. */
  #back(): void {
    this.#isAway = false;
    if (!this.#isLate) return;
    this.#isLate = false;
    this.#counters.bump(C_BACK);
  }

  #takeBack(): number {
    const events = this.#sink.count;
    this.#back();
    this.#sink.clear();
    const calls = this.#gate.execute();
    this.#counters.add(C_EVENTS, events);
    this.#counters.bump(C_BATCHES);
    return (events + calls) | 0;
  }
}
