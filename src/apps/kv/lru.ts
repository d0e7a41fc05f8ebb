/**
 * One least-recently-used list for each slab class, through the items' LRU words.
 *
 * - A hit does not move its item, it sets ACTIVE in a word the hit has touched anyway; an ACTIVE
 *   item that comes to the tail goes back to the head once (the store's eviction does that: "second
 *   chance", as memcached's segments).
 *
 * Called by store.ts.
 */
import { CLASS_MASK, LRU_NEXT, LRU_PREV, META } from './layout.ts';

export class Lru {
  /** By class: most and least recently used item, 0: none; and how many. */
  readonly heads: Int32Array;
  readonly tails: Int32Array;
  readonly counts: Int32Array;
  readonly #i32: Int32Array;

  constructor(i32: Int32Array, classCount: number) {
    this.#i32 = i32;
    this.heads = new Int32Array(classCount);
    this.tails = new Int32Array(classCount);
    this.counts = new Int32Array(classCount);
  }

  insert(item: number): void {
    const i32 = this.#i32;
    const word = item >> 2;
    const index = i32[word + META]! & CLASS_MASK;
    const head = this.heads[index]!;
    i32[word + LRU_PREV] = 0;
    i32[word + LRU_NEXT] = head;
    if (head !== 0) i32[(head >> 2) + LRU_PREV] = item;
    else this.tails[index] = item;
    this.heads[index] = item;
    this.counts[index] = this.counts[index]! + 1;
  }

  remove(item: number): void {
    const i32 = this.#i32;
    const word = item >> 2;
    const index = i32[word + META]! & CLASS_MASK;
    const previous = i32[word + LRU_PREV]!;
    const next = i32[word + LRU_NEXT]!;
    if (previous !== 0) i32[(previous >> 2) + LRU_NEXT] = next;
    else this.heads[index] = next;
    if (next !== 0) i32[(next >> 2) + LRU_PREV] = previous;
    else this.tails[index] = previous;
    this.counts[index] = this.counts[index]! - 1;
  }

  /** `item` has the words of one that was listed: it takes its place. */
  takePlace(item: number): void {
    const i32 = this.#i32;
    const word = item >> 2;
    const index = i32[word + META]! & CLASS_MASK;
    const previous = i32[word + LRU_PREV]!;
    const next = i32[word + LRU_NEXT]!;
    if (previous !== 0) i32[(previous >> 2) + LRU_NEXT] = item;
    else this.heads[index] = item;
    if (next !== 0) i32[(next >> 2) + LRU_PREV] = item;
    else this.tails[index] = item;
  }

  /** The next more recently used item of the same list, or 0. */
  before(item: number): number {
    return this.#i32[(item >> 2) + LRU_PREV]!;
  }

  /** The next less recently used item of the same list, or 0. */
  after(item: number): number {
    return this.#i32[(item >> 2) + LRU_NEXT]!;
  }
}
