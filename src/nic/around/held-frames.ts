/**
 * Copies of frames, each with the time at which it goes on: what impair.ts delays.
 *
 * - Fixed buffers in the arena, no frame of any pool: `put` copies in, `take` the earliest out.
 * - Equal times leave in the order they came. Times are int32 microseconds modulo 2^32.
 * - Sorted array, inserted from the end: most frames are due after all that are held.
 */
import type { Arena } from '../../arena/arena.ts';
import { FRAME_BYTES, FRAME_SHIFT } from '../../limits.ts';
import { assert } from '../../verify.ts';

export class HeldFrames {
  readonly #arena: Arena;
  readonly #buffers: number;
  readonly #max: number;
  /** By slot. */
  readonly #dueUs: Int32Array;
  readonly #lengths: Int32Array;
  /** Slots: [0, count) by time, [count, max) free. */
  readonly #slots: Int32Array;
  #count = 0;

  constructor(arena: Arena, max: number) {
    this.#arena = arena;
    this.#buffers = arena.carve('held frames', max * FRAME_BYTES);
    this.#max = max;
    this.#dueUs = new Int32Array(max);
    this.#lengths = new Int32Array(max);
    this.#slots = Int32Array.from({ length: max }, (_, slot) => slot);
  }

  get count(): number {
    return this.#count;
  }

  /** False: there is no free buffer. */
  put(offset: number, length: number, dueUs: number): boolean {
    if (this.#count === this.#max) return false;
    const slots = this.#slots;
    const slot = slots[this.#count]!;
    this.#arena.kernels.copy(this.#buffers + (slot << FRAME_SHIFT), offset, length);
    this.#lengths[slot] = length;
    this.#dueUs[slot] = dueUs;
    let i = this.#count;
    for (; i > 0 && ((this.#dueUs[slots[i - 1]!]! - dueUs) | 0) > 0; i--) slots[i] = slots[i - 1]!;
    slots[i] = slot;
    this.#count = (this.#count + 1) | 0;
    return true;
  }

  isDue(nowUs: number): boolean {
    return this.#count > 0 && ((this.#dueUs[this.#slots[0]!]! - nowUs) | 0) <= 0;
  }

  /** Copies the earliest to `destination` and frees its buffer: its length. */
  take(destination: number): number {
    assert(this.#count > 0, 'held frames: took from none');
    const slots = this.#slots;
    const slot = slots[0]!;
    slots.copyWithin(0, 1, this.#count);
    this.#count = (this.#count - 1) | 0;
    slots[this.#count] = slot;
    const length = this.#lengths[slot]!;
    this.#arena.kernels.copy(destination, this.#buffers + (slot << FRAME_SHIFT), length);
    return length;
  }
}
