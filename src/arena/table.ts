/**
 * A hash table from three 32-bit words to a non-negative int32: flows by address and ports,
 * neighbours by address.
 *
 * - Open addressing with linear probing over 16-byte slots, at most half of them used: a hit costs
 *   one cache line, mostly. `insert` answers false at `capacity`.
 * - The hash is keyed (siphash.ts), so that peers cannot choose ports that share a bucket.
 * - Every entry can be reached from its home without crossing an empty slot. Removal keeps that by
 *   moving the rest of a cluster back: there are no tombstones, and the table never ages.
 *
 * Used by tcp/flows.ts, net/both/neighbours.ts, net/both/reassembly.ts and those who count or look
 * for something by a peer. Read first: Knuth, volume 3, 6.4, Algorithm R.
 */
import { powerOfTwo } from '../limits.ts';
import { assert, VERIFY } from '../verify.ts';
import type { Arena } from './arena.ts';
import { halfSipHash13 } from './siphash.ts';

/** A slot is k0, k1, k2, value. */
const SLOT_SHIFT = 2;
const EMPTY = -1;

export class Table {
  readonly capacity: number;
  readonly #i32: Int32Array;
  readonly #base: number;
  /** Number of slots - 1. */
  readonly #mask: number;
  readonly #secret0: number;
  readonly #secret1: number;
  #count: number;

  constructor(arena: Arena, name: string, capacity: number, secret0: number, secret1: number) {
    const slots = powerOfTwo(Math.max(2, capacity * 2));
    this.capacity = capacity;
    this.#i32 = arena.i32;
    this.#base = arena.carve(name, slots << (SLOT_SHIFT + 2), 64) >> 2;
    this.#mask = slots - 1;
    this.#secret0 = secret0 | 0;
    this.#secret1 = secret1 | 0;
    this.#count = 0;
    this.#i32.fill(EMPTY, this.#base, this.#base + (slots << SLOT_SHIFT));
  }

  get count(): number {
    return this.#count;
  }

  /** The key's value, or -1. */
  find(k0: number, k1: number, k2: number): number {
    const i32 = this.#i32;
    for (let slot = this.#home(k0, k1, k2); ; slot = (slot + 1) & this.#mask) {
      const at = this.#base + (slot << SLOT_SHIFT);
      const value = i32[at + 3]!;
      if (value < 0) return -1;
      if (i32[at] === k0 && i32[at + 1] === k1 && i32[at + 2] === k2) return value;
    }
  }

  /**
   * Adds a key that is not there, of int32 words, with a value >= 0; false when the table is full.
   */
  insert(k0: number, k1: number, k2: number, value: number): boolean {
    if (VERIFY) {
      assert(value >= 0 && (value | 0) === value, 'table: the value is not a non-negative int32');
      assert(
        (k0 | 0) === k0 && (k1 | 0) === k1 && (k2 | 0) === k2,
        'table: a key word is not an int32',
      );
      assert(this.find(k0, k1, k2) < 0, 'table: inserted a key twice');
    }
    if (this.#count === this.capacity) return false;
    const i32 = this.#i32;
    let slot = this.#home(k0, k1, k2);
    while (i32[this.#base + (slot << SLOT_SHIFT) + 3]! >= 0) slot = (slot + 1) & this.#mask;
    const at = this.#base + (slot << SLOT_SHIFT);
    i32[at] = k0;
    i32[at + 1] = k1;
    i32[at + 2] = k2;
    i32[at + 3] = value;
    this.#count = (this.#count + 1) | 0;
    return true;
  }

  /** False when the key is not there. */
  remove(k0: number, k1: number, k2: number): boolean {
    const i32 = this.#i32;
    const mask = this.#mask;
    let slot = this.#home(k0, k1, k2);
    for (; ; slot = (slot + 1) & mask) {
      const at = this.#base + (slot << SLOT_SHIFT);
      if (i32[at + 3]! < 0) return false;
      if (i32[at] === k0 && i32[at + 1] === k1 && i32[at + 2] === k2) break;
    }
    this.#close(slot);
    this.#count = (this.#count - 1) | 0;
    return true;
  }

  /** Closes a hole (Algorithm R): what may stand there of the rest of the cluster moves back. */
  #close(hole: number): void {
    const i32 = this.#i32;
    const mask = this.#mask;
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const at = this.#base + (slot << SLOT_SHIFT);
      if (i32[at + 3]! < 0) break;
      const home = this.#home(i32[at]!, i32[at + 1]!, i32[at + 2]!);
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue; // its home lies after the hole
      const to = this.#base + (hole << SLOT_SHIFT);
      i32[to] = i32[at]!;
      i32[to + 1] = i32[at + 1]!;
      i32[to + 2] = i32[at + 2]!;
      i32[to + 3] = i32[at + 3]!;
      hole = slot;
    }
    i32[this.#base + (hole << SLOT_SHIFT) + 3] = EMPTY;
  }

  /** The slot where a key's search begins. */
  #home(k0: number, k1: number, k2: number): number {
    return halfSipHash13(this.#secret0, this.#secret1, k0, k1, k2) & this.#mask;
  }
}
