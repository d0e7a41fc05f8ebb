/**
 * Empties a page, so that another class can have it.
 *
 * - What is dead is freed; what is alive moves to another page of its class while that has a free
 *   chunk, and is evicted when it has none. A piece that cannot move costs its whole item.
 * - A page with anything on it that is referenced or being filled is left alone: such memory may
 *   not move.
 * - Emptying a page of the smallest items is 10,900 moves or unlinkings: one or two milliseconds,
 *   the longest thing this store ever does.
 *
 * Called by eviction.ts. Read first: memcached's slabs.c `slab_rebalance_move`.
 */
import type { Memory } from './host.ts';
import { FREE, LINKED, META, REFS } from './layout.ts';
import type { Store } from './store.ts';

export class Evacuation {
  readonly #store: Store;
  readonly #i32: Int32Array;
  readonly #copy: Memory['kernels']['copy'];
  readonly #evict: (item: number) => void;

  /** `evict` unlinks an item nobody refers to, and counts why. */
  constructor(store: Store, memory: Memory, evict: (item: number) => void) {
    this.#store = store;
    this.#i32 = memory.i32;
    this.#copy = memory.kernels.copy;
    this.#evict = evict;
  }

  /** True when every item of the page is linked and nobody refers to one. */
  isIdle(page: number): boolean {
    const { slabs, pieces } = this.#store;
    const cut = slabs.cutOf(page);
    for (let i = 0; i < cut; i++) {
      const chunk = slabs.chunkAt(page, i);
      if ((this.#i32[(chunk >> 2) + META]! & FREE) !== 0) continue;
      const word = (pieces.isPiece(chunk) ? pieces.ownerOf(chunk) : chunk) >> 2;
      if ((this.#i32[word + META]! & LINKED) === 0 || this.#i32[word + REFS]! > 0) return false;
    }
    return true;
  }

  /** The page is idle; it is free afterwards. */
  empty(page: number): void {
    const { slabs, pieces } = this.#store;
    const cut = slabs.cutOf(page);
    const first = slabs.chunkAt(page, 0);
    const step = slabs.chunkBytes[slabs.pageClass[page]!]!;
    slabs.seal(page);
    for (let i = 0; i < cut; i++) {
      const chunk = first + i * step;
      if ((this.#i32[(chunk >> 2) + META]! & FREE) !== 0) continue;
      const item = pieces.isPiece(chunk) ? pieces.ownerOf(chunk) : chunk;
      if (this.#store.isDead(item) || !this.#move(chunk)) this.#evict(item);
    }
    slabs.unseal();
  }

  /** Moves an item's chunk to another page of its class; false when there is no free chunk. */
  #move(chunk: number): boolean {
    const { slabs, pieces, table, lru, lifetimes } = this.#store;
    const index = this.#store.classOf(chunk);
    const to = slabs.allocOpen(index);
    if (to < 0) return false;
    this.#copy(to, chunk, slabs.chunkBytes[index]!);
    if (pieces.isPiece(chunk)) pieces.moved(chunk, to);
    else {
      table.replace(chunk, to);
      lru.takePlace(to);
      if (pieces.isChained(to)) pieces.adopt(to);
      lifetimes.note(slabs.pageOf(to), this.#store.expiryOf(to));
    }
    slabs.free(chunk);
    return true;
  }
}
