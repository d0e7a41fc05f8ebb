/**
 * The hash table: chains of items through their HASH_NEXT words.
 *
 * - Buckets are words in application memory, a power of two fixed at start: 1/32 to 1/64 of the
 *   item memory. A store full of the smallest items has 1.4 to 2.7 of them a bucket, and nothing is
 *   ever rehashed.
 * - An item's own hash word is compared before its key, and the key four bytes at a time where both
 *   lie.
 *
 * Called by store.ts. Read first: memcached's assoc.c.
 */
import type { Memory } from './host.ts';
import { HASH, HASH_NEXT, KEY_MASK, KEY_SHIFT, KEY_START, META } from './layout.ts';

/** Bytes of item memory for one bucket, at least; less than twice as many. */
const BYTES_PER_BUCKET = 128;

/** Buckets for a store of this many bytes. */
export const bucketsFor = (bytes: number): number =>
  2 ** Math.floor(Math.log2(bytes / BYTES_PER_BUCKET));

export class Table {
  readonly buckets: number;
  readonly #i32: Int32Array;
  readonly #u8: Uint8Array;
  readonly #view: DataView;
  readonly #base: number;
  readonly #mask: number;

  /** `offset`: `buckets` words in the arena. */
  constructor(memory: Memory, offset: number, buckets: number) {
    this.buckets = buckets;
    this.#i32 = memory.i32;
    this.#u8 = memory.u8;
    this.#view = memory.view;
    this.#base = offset >> 2;
    this.#mask = buckets - 1;
    this.#i32.fill(0, this.#base, this.#base + buckets);
  }

  /** The item with this key, or 0. `hash` is the key's. */
  find(hash: number, keyOffset: number, keyLength: number): number {
    const i32 = this.#i32;
    let item = i32[this.#base + (hash & this.#mask)]!;
    while (item !== 0) {
      const word = item >> 2;
      if (
        i32[word + HASH] === hash &&
        ((i32[word + META]! >> KEY_SHIFT) & KEY_MASK) === keyLength &&
        this.#sameKey(item + KEY_START, keyOffset, keyLength)
      ) {
        return item;
      }
      item = i32[word + HASH_NEXT]!;
    }
    return 0;
  }

  /** The first item of a bucket, or 0; the others follow by HASH_NEXT. */
  first(bucket: number): number {
    return this.#i32[this.#base + bucket]!;
  }

  /** The item's HASH word is set; its key is not in the table. */
  insert(item: number): void {
    const i32 = this.#i32;
    const bucket = this.#base + (i32[(item >> 2) + HASH]! & this.#mask);
    i32[(item >> 2) + HASH_NEXT] = i32[bucket]!;
    i32[bucket] = item;
  }

  /** The item is in the table. */
  remove(item: number): void {
    const i32 = this.#i32;
    let link = this.#base + (i32[(item >> 2) + HASH]! & this.#mask);
    while (i32[link] !== item) link = (i32[link]! >> 2) + HASH_NEXT;
    i32[link] = i32[(item >> 2) + HASH_NEXT]!;
  }

  /** Puts `item` in the place of `old`, which has the same key. */
  replace(old: number, item: number): void {
    const i32 = this.#i32;
    let link = this.#base + (i32[(old >> 2) + HASH]! & this.#mask);
    while (i32[link] !== old) link = (i32[link]! >> 2) + HASH_NEXT;
    i32[link] = item;
    i32[(item >> 2) + HASH_NEXT] = i32[(old >> 2) + HASH_NEXT]!;
  }

  #sameKey(a: number, b: number, length: number): boolean {
    const view = this.#view;
    const u8 = this.#u8;
    const words = a + (length & ~3);
    while (a < words) {
      if (view.getInt32(a, true) !== view.getInt32(b, true)) return false;
      a += 4;
      b += 4;
    }
    for (const end = a + (length & 3); a < end; a++, b++) {
      if (u8[a] !== u8[b]) return false;
    }
    return true;
  }
}
