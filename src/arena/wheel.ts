/**
 * The timing wheel: every timer of an elastic thread. A timer is a number below `timers`;
 * `timerRanges` (net/both/environment.ts) says who owns which.
 *
 * - Time is microseconds modulo 2^32, as int32. A tick is 16 us; a timer fires in the first tick
 *   that begins at or after its deadline: never early, at most one tick late.
 * - `arm` and `cancel` are O(1), and an armed timer may be armed again: TCP does so with every
 *   acknowledgement, while few of its timers ever fire.
 * - A deadline lies less than 2^31 us ahead. One that has passed by less than 2^30 us fires next.
 * - `expire` is called in a loop, once a batch, and hands out what is due in order of ticks; those
 *   of one tick in the order they were armed. It must be called at least every 2^30 us (17 minutes)
 *   while timers are armed, and after a longer idle time before the next `arm`; a loop that sleeps
 *   no longer than `untilNext` with a sane cap does so by itself. Time that goes back is ignored.
 *
 * How: 2^32 us are 2^28 ticks, written in digits of 8, 8, 8 and 4 bits; level L has a slot for each
 * value of digit L. `#tick` is the wheel's present. The invariant: a timer stands at the level of
 * the highest digit in which its tick differs from the present, in the slot of that digit. So every
 * timer of level L is due before all of level L+1, and except at the top, where the ring closes, in
 * slots above the present's digit: the first occupied one is found in a bitmap, and any stretch of
 * time without timers is crossed in one step. When the present reaches a slot of level L > 0, its
 * timers move down, each at most three times in its life.
 *
 * Read first: Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987), scheme 7.
 */
import { assert, VERIFY } from '../verify.ts';
import type { Arena } from './arena.ts';

/** log2 of a tick in microseconds. */
const TICK_SHIFT = 4;
const TICK_US = 1 << TICK_SHIFT;
const TICK_MASK = 0xfffffff;
/** A tick this far ahead of the present, or farther, has passed: 3/4 of the ring are the future. */
const PAST = 0xc000000;

/** Slots of the four levels begin here; the last level has 16. */
const LEVEL_1 = 256;
const LEVEL_2 = 512;
const LEVEL_3 = 768;
const SLOTS = 784;
const TOP_SLOTS = 16;

/**
 * A node is next, prev (word indexes of nodes), tick, and a word to fill 16 bytes. Slots are nodes.
 */
const NODE_SHIFT = 2;
const PREV = 1;
const TICK = 2;
const UNARMED = -1;

export class Wheel {
  readonly timers: number;
  readonly #i32: Int32Array;
  /**
   * Word index of the first slot's node, of the first timer's, and of the bitmap of occupied slots.
   */
  readonly #slots: number;
  readonly #nodes: number;
  readonly #bitmap: number;
  /** The present, 28 bits: no armed timer's tick lies before it. */
  #tick: number;
  /** No occupied slot begins before this tick; `cancel` leaves it alone, so it may be too early. */
  #bound: number;
  #armed: number;

  constructor(arena: Arena, timers: number) {
    this.timers = timers;
    this.#i32 = arena.i32;
    const nodes = SLOTS + timers;
    this.#slots = arena.carve('timing wheel', (nodes << (NODE_SHIFT + 2)) + (SLOTS >> 3) + 4) >> 2;
    this.#nodes = this.#slots + (SLOTS << NODE_SHIFT);
    this.#bitmap = this.#slots + (nodes << NODE_SHIFT);
    this.#tick = 0;
    this.#bound = 0;
    this.#armed = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      const node = this.#slots + (slot << NODE_SHIFT);
      this.#i32[node] = node;
      this.#i32[node + PREV] = node;
    }
    this.#i32.fill(UNARMED, this.#nodes, this.#bitmap);
  }

  /** Timers that are armed. */
  get armed(): number {
    return this.#armed;
  }

  isArmed(timer: number): boolean {
    return this.#i32[this.#nodes + (timer << NODE_SHIFT)] !== UNARMED;
  }

  /** Sets a timer, or sets it anew. */
  arm(timer: number, deadlineUs: number): void {
    if (VERIFY) assert(timer >= 0 && timer < this.timers, 'wheel: no such timer');
    const node = this.#nodes + (timer << NODE_SHIFT);
    if (this.#i32[node] !== UNARMED) this.#unlink(node);
    else this.#armed = (this.#armed + 1) | 0;
    const present = this.#tick;
    let tick = ((deadlineUs + (TICK_US - 1)) | 0) >>> TICK_SHIFT;
    if (((tick - present) & TICK_MASK) >= PAST) tick = present;
    this.#i32[node + TICK] = tick;
    const start = this.#place(node, tick);
    if (((start - present) & TICK_MASK) < ((this.#bound - present) & TICK_MASK)) {
      this.#bound = start;
    }
  }

  /** Takes a timer out; one that is not armed stays so. */
  cancel(timer: number): void {
    if (VERIFY) assert(timer >= 0 && timer < this.timers, 'wheel: no such timer');
    const node = this.#nodes + (timer << NODE_SHIFT);
    if (this.#i32[node] === UNARMED) return;
    this.#unlink(node);
    this.#disarm(node);
  }

  /** One timer that is due, no longer armed, or -1 when no more are. */
  expire(nowUs: number): number {
    const now = nowUs >>> TICK_SHIFT;
    if (this.#armed === 0) {
      this.#tick = now;
      return -1;
    }
    const elapsed = (now - this.#tick) & TICK_MASK;
    if (elapsed >= PAST) return -1; // the clock went back
    if (elapsed >= ((this.#bound - this.#tick) & TICK_MASK)) return this.#take(now);
    this.#tick = now;
    return -1;
  }

  /**
   * Microseconds until a timer may be due: 0 is now, never more than `capUs`. Exact within the
   * present's 4 ms; farther away it may be too short, never too long.
   */
  untilNext(nowUs: number, capUs: number): number {
    if (this.#armed === 0) return capUs;
    this.#bound = this.#startOf(this.#firstSlot());
    const ahead = (this.#bound - this.#tick) & TICK_MASK;
    const elapsed = ((nowUs >>> TICK_SHIFT) - this.#tick) & TICK_MASK;
    if (elapsed < PAST && ahead <= elapsed) return 0;
    return Math.min(((this.#bound << TICK_SHIFT) - nowUs) >>> 0, capUs);
  }

  /** The slow half of `expire`: the first occupied slot may have been reached. */
  #take(now: number): number {
    for (;;) {
      const slot = this.#firstSlot();
      const start = this.#startOf(slot);
      this.#bound = start;
      if (((now - this.#tick) & TICK_MASK) < ((start - this.#tick) & TICK_MASK)) {
        this.#tick = now;
        return -1;
      }
      this.#tick = start;
      const head = this.#slots + (slot << NODE_SHIFT);
      if (slot < LEVEL_1) {
        const node = this.#i32[head]!;
        this.#unlink(node);
        this.#disarm(node);
        return (node - this.#nodes) >> NODE_SHIFT;
      }
      this.#cascade(head);
    }
  }

  /** The present has reached this slot of a higher level: its timers move down, in order. */
  #cascade(head: number): void {
    const i32 = this.#i32;
    for (let node = i32[head]!; node !== head; node = i32[head]!) {
      this.#unlink(node);
      this.#place(node, i32[node + TICK]!);
    }
  }

  /** Appends a node to the slot of its tick; answers the tick at which that slot begins. */
  #place(node: number, tick: number): number {
    const differing = tick ^ this.#tick;
    let slot = tick & 0xff;
    let start = tick;
    if (differing >= 1 << 24) {
      slot = LEVEL_3 + (tick >>> 24);
      start = tick & ~0xffffff;
    } else if (differing >= 1 << 16) {
      slot = LEVEL_2 + ((tick >>> 16) & 0xff);
      start = tick & ~0xffff;
    } else if (differing >= 1 << 8) {
      slot = LEVEL_1 + ((tick >>> 8) & 0xff);
      start = tick & ~0xff;
    }
    const i32 = this.#i32;
    const head = this.#slots + (slot << NODE_SHIFT);
    const last = i32[head + PREV]!;
    i32[node] = head;
    i32[node + PREV] = last;
    i32[last] = node;
    i32[head + PREV] = node;
    const word = this.#bitmap + (slot >>> 5);
    i32[word] = i32[word]! | (1 << (slot & 31));
    return start;
  }

  /** Takes a node out of its slot; it still has to be placed or disarmed. */
  #unlink(node: number): void {
    const i32 = this.#i32;
    const next = i32[node]!;
    const prev = i32[node + PREV]!;
    i32[prev] = next;
    i32[next + PREV] = prev;
    if (next !== prev) return;
    const slot = (next - this.#slots) >> NODE_SHIFT; // it was alone: both are the slot itself
    const word = this.#bitmap + (slot >>> 5);
    i32[word] = i32[word]! & ~(1 << (slot & 31));
  }

  #disarm(node: number): void {
    this.#i32[node] = UNARMED;
    this.#armed = (this.#armed - 1) | 0;
  }

  /** The occupied slot that begins first; at least one timer is armed. */
  #firstSlot(): number {
    for (let word = (this.#tick & 0xff) >> 5; word < LEVEL_3 >> 5; word++) {
      const bits = this.#i32[this.#bitmap + word]!;
      if (bits !== 0) return (word << 5) + trailingZeros(bits);
    }
    const bits = this.#i32[this.#bitmap + (LEVEL_3 >> 5)]!;
    if (VERIFY) assert(bits !== 0, 'wheel: timers are armed but no slot is occupied');
    // The ring closes here: the search begins at the present's digit.
    const digit = this.#tick >>> 24;
    const rotated = (bits >>> digit) | (bits << (TOP_SLOTS - digit));
    return LEVEL_3 + ((digit + trailingZeros(rotated)) & (TOP_SLOTS - 1));
  }

  /** The tick at which a slot begins. */
  #startOf(slot: number): number {
    const present = this.#tick;
    if (slot < LEVEL_1) return (present & ~0xff) | slot;
    if (slot < LEVEL_2) return (present & ~0xffff) | ((slot - LEVEL_1) << 8);
    if (slot < LEVEL_3) return (present & ~0xffffff) | ((slot - LEVEL_2) << 16);
    return (slot - LEVEL_3) << 24;
  }
}

/** Number of zero bits below the lowest one; `bits` is not 0. */
const trailingZeros = (bits: number): number => 31 - Math.clz32(bits & -bits);
