/**
 * Application timers behind the ABI's `timer` call: one event each, cancellable, never leaked.
 *
 * - A handle is generation << 20 | index, like a flow's; a fired or cancelled timer's handle is
 *   stale.
 * - `expired` only marks: the event is written by `emit` when the event array has room.
 * - Delays are microseconds below 2^31; a longer or negative one is BAD_RANGE.
 */
import type { Clock } from '../arena/clock.ts';
import { FreeList } from '../arena/list.ts';
import type { Wheel } from '../arena/wheel.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { CODE, EVENT } from '../gate/abi.ts';
import type { EventSink } from '../gate/arrays.ts';
import { FLOW_INDEX_BITS, GENERATION_MAX } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';

const INDEX_MASK = (1 << FLOW_INDEX_BITS) - 1;
/** Words of one timer: cookie, generation (negative while free), next in the fired list. */
const WORDS = 3;
const COOKIE = 0;
const GENERATION = 1;
const NEXT = 2;

type TimersParts = Pick<Environment, 'arena' | 'wheel' | 'clock' | 'counters' | 'limits'>;

export class ApplicationTimers {
  readonly #i32: Int32Array;
  readonly #wheel: Wheel;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #quota: number;
  readonly #free: FreeList;
  readonly #rows: number;
  readonly #count: number;
  /** First timer index in the wheel. */
  readonly #wheelBase: number;
  #firedHead = -1;
  #firedTail = -1;

  /** `wheelBase` is the first timer of theirs in the wheel. */
  constructor(env: TimersParts, wheelBase: number) {
    const { arena, limits } = env;
    const count = limits.timers;
    this.#i32 = arena.i32;
    this.#wheel = env.wheel;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#quota = limits.quotas.timers;
    this.#count = count;
    this.#wheelBase = wheelBase;
    this.#free = new FreeList(arena, 'timer indexes', count);
    this.#rows = arena.carve('timers', count * WORDS * 4) >> 2;
    for (let i = 0; i < count; i++) this.#i32[this.#rows + i * WORDS + GENERATION] = -1;
  }

  /** Timers in use: 0 when all are home. */
  get active(): number {
    return this.#count - this.#free.free;
  }

  /** -> handle, or QUOTA when all timers are in use, or as many as this application may have. */
  start(cookie: number, delayUs: number): number {
    if (delayUs < 0) return CODE.BAD_RANGE;
    const index = this.active < this.#quota ? this.#free.take() : -1;
    if (index < 0) {
      this.#counters.bump(COUNTER.quotaTimers);
      return CODE.QUOTA;
    }
    const row = this.#rows + index * WORDS;
    const i32 = this.#i32;
    const generation = -i32[row + GENERATION]!;
    i32[row + GENERATION] = generation;
    i32[row + COOKIE] = cookie;
    i32[row + NEXT] = -1;
    this.#wheel.arm(this.#wheelBase + index, (this.#clock.us + delayUs) | 0);
    return (generation << FLOW_INDEX_BITS) | index;
  }

  cancel(handle: number): number {
    const index = handle & INDEX_MASK;
    if (handle <= 0 || index >= this.#count) return CODE.BAD_HANDLE;
    const row = this.#rows + index * WORDS;
    if (this.#i32[row + GENERATION] !== handle >> FLOW_INDEX_BITS) return CODE.BAD_HANDLE;
    // fired: its event is on the way
    if (!this.#wheel.isArmed(this.#wheelBase + index)) return CODE.BAD_STATE;
    this.#wheel.cancel(this.#wheelBase + index);
    this.#release(index);
    return CODE.OK;
  }

  /** From the wheel: `timer` is the application timer's index. */
  expired(index: number): void {
    const i32 = this.#i32;
    i32[this.#rows + index * WORDS + NEXT] = -1;
    if (this.#firedTail < 0) this.#firedHead = index;
    else i32[this.#rows + this.#firedTail * WORDS + NEXT] = index;
    this.#firedTail = index;
  }

  /** The application is gone: no timer of its will fire. */
  cancelAll(): void {
    for (let index = 0; index < this.#count; index++) {
      if (!this.#wheel.isArmed(this.#wheelBase + index)) continue;
      this.#wheel.cancel(this.#wheelBase + index);
      this.#release(index);
    }
    while (this.#firedHead >= 0) {
      const index = this.#firedHead;
      this.#firedHead = this.#i32[this.#rows + index * WORDS + NEXT]!;
      this.#release(index);
    }
    this.#firedTail = -1;
  }

  emit(sink: EventSink): void {
    const i32 = this.#i32;
    while (this.#firedHead >= 0 && sink.space() > 0) {
      const index = this.#firedHead;
      const row = this.#rows + index * WORDS;
      this.#firedHead = i32[row + NEXT]!;
      if (this.#firedHead < 0) this.#firedTail = -1;
      const handle = (i32[row + GENERATION]! << FLOW_INDEX_BITS) | index;
      sink.push(EVENT.timer, handle, i32[row + COOKIE]!);
      this.#release(index);
    }
  }

  #release(index: number): void {
    const row = this.#rows + index * WORDS;
    const generation = this.#i32[row + GENERATION]!;
    this.#i32[row + GENERATION] = generation >= GENERATION_MAX ? -1 : -(generation + 1);
    this.#free.give(index);
  }
}
