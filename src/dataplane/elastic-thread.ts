/**
 * The elastic thread: one core, one NIC queue, one instance of the stack; runs every packet to completion.
 *
 * One iteration (`turn`), in this order, with the time read once:
 *   1. completed transmits come back, fresh receive frames are lent;
 *   2. timers;
 *   3. at most B received frames, each through the whole stack (never waiting to fill a batch);
 *   4. event conditions to the application, which consumes all of them and leaves its next batch;
 *   5. that batch of system calls, results in place;
 *   6. everything queued goes out with one doorbell.
 *
 * This is the paper's cycle (section 4.2) entered at another point: a reply leaves in the iteration that received
 * its request, and the acknowledgement of the request rides on it.
 *
 * - All state belongs to this thread. Queues build up at the NIC edge only.
 * - Nothing here allocates; the only exception that can leave `turn` is a broken invariant of our own.
 *
 * Called by runner.ts. Read first: OSDI'14 section 3; docs/ARCHITECTURE.md "One request".
 */
import type { Arena } from '../arena/arena.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { BATCH_MAX } from '../limits.ts';
import { sys } from '../native/sys.ts';
import type { Clock } from '../net/environment.ts';
import type { Stack } from '../net/stack.ts';
import type { Nic } from '../nic/nic.ts';
import type { EventSink } from './events.ts';
import type { Gate } from './gate.ts';
import type { ApplicationTimers } from './timers.ts';

const C_ITERATIONS = COUNTER.iterations;
const C_IDLE = COUNTER.idleIterations;
const C_BATCHES = COUNTER.batches;
const C_FRAME_BATCHES = COUNTER.frameBatches;
const C_EVENTS = COUNTER.events;

/** Whoever runs the application's turn: the inline domain, or the hand-over to its process. */
export interface Domain {
  /** The application consumes the published events and leaves its calls. */
  enter(): void;
}

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
  /** B: most frames of one iteration, 1..BATCH_MAX. */
  readonly batchMax?: number;
}

export class ElasticThread {
  readonly #i32: Int32Array;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #nic: Nic;
  readonly #stack: Stack;
  readonly #sink: EventSink;
  readonly #gate: Gate;
  readonly #timers: ApplicationTimers;
  readonly #domain: Domain;
  readonly #batchMax: number;
  /** Where the native clock writes its two words. */
  readonly #clockOffset: number;

  constructor(parts: ElasticThreadParts) {
    this.#i32 = parts.arena.i32;
    this.#counters = parts.counters;
    this.#clock = parts.clock;
    this.#nic = parts.nic;
    this.#stack = parts.stack;
    this.#sink = parts.sink;
    this.#gate = parts.gate;
    this.#timers = parts.timers;
    this.#domain = parts.domain;
    this.#batchMax = parts.batchMax ?? BATCH_MAX;
    this.#clockOffset = parts.arena.carve('clock', 64, 64);
    this.readClock();
  }

  /** Time of the last batch, microseconds modulo 2^32. */
  get us(): number {
    return this.#clock.us;
  }

  /** Sets the batch's time; returns microseconds. */
  readClock(): number {
    sys.clock(this.#clockOffset);
    const w = this.#clockOffset >> 2;
    this.#clock.us = this.#i32[w]!;
    this.#clock.ms = this.#i32[w + 1]!;
    return this.#clock.us;
  }

  /** One iteration. Returns how much there was to do: frames + events + calls (0: idle). */
  turn(): number {
    this.readClock();
    const nic = this.#nic;
    const stack = this.#stack;
    nic.reclaim();
    stack.advance();
    const frames = nic.receive(this.#batchMax);
    for (let i = 0; i < frames; i++) stack.receive(nic.rxOffsets[i]!, nic.rxLengths[i]!);
    this.#timers.emit(this.#sink);
    stack.emit(this.#sink);
    const events = this.#sink.count;
    let calls = 0;
    if (events > 0 || this.#gate.wantsTurn()) {
      this.#sink.publish(this.#clock.us, this.#clock.ms);
      this.#domain.enter();
      this.#sink.clear();
      calls = this.#gate.execute();
      this.#counters.add(C_EVENTS, events);
      this.#counters.bump(C_BATCHES);
    }
    stack.flush();
    nic.kick();
    this.#counters.bump(C_ITERATIONS);
    if (frames > 0) this.#counters.bump(C_FRAME_BATCHES);
    const work = (frames + events + calls) | 0;
    if (work === 0) this.#counters.bump(C_IDLE);
    return work;
  }
}
