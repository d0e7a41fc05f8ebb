/**
 * The slab allocator: pages of 1 MiB, cut into equal chunks for one size class at a time.
 *
 * - Classes grow by a factor of 1.25 from 96 bytes to CHUNK_MAX; chunk sizes are stretched so that
 *   a page has no rest. Behind them comes one more class, for all chunks of all chained items.
 * - Free chunks are listed by page, pages with a free chunk by class. A page whose last chunk is
 *   freed goes back to the pool of free pages: that is how memory moves between classes (see
 *   eviction.ts).
 * - `alloc` returns a chunk or -1; a fresh page is cut as it is used, not in advance.
 * - All state but the free lists is in columns outside the arena. No policy here: who is evicted is
 *   the store's.
 *
 * Called by store.ts. Read first: memcached's slabs.c.
 */
import { assert, VERIFY } from '../../verify.ts';
import {
  CHUNK_MAX,
  CLASS_MASK,
  FREE,
  HASH_NEXT,
  META,
  PAGE_BYTES,
  PIECE_CHUNK_BYTES,
} from './layout.ts';

const CHUNK_MIN = 96;
const GROWTH = 1.25;
const ALIGNMENT = 8;
/** Sizes up to this find their class in a table. */
const TABLE_MAX = 8192;
const PAGE_SHIFT = 20;
assert(PAGE_BYTES === 2 ** PAGE_SHIFT, 'slabs: a page is a power of two');

/**
 * Chunk sizes of the classes for whole items, ascending. Each is the largest of which a page holds
 * that many; the last is CHUNK_MAX.
 */
export function classSizes(): number[] {
  const sizes: number[] = [];
  let perPage = Math.floor(PAGE_BYTES / CHUNK_MIN);
  while (perPage >= PAGE_BYTES / CHUNK_MAX) {
    sizes.push(Math.floor(PAGE_BYTES / perPage / ALIGNMENT) * ALIGNMENT);
    perPage = Math.min(perPage - 1, Math.floor(perPage / GROWTH));
  }
  return sizes;
}

export class Slabs {
  readonly classCount: number;
  /** The class of chained items and their pieces: the last. */
  readonly pieceClass: number;
  readonly pageCount: number;
  readonly chunkBytes: Int32Array;
  readonly chunksPerPage: Int32Array;
  /** By class. */
  readonly pages: Int32Array;
  readonly used: Int32Array;
  /** Pages that belong to no class. */
  freePages: number;
  /** A free page becomes some class's. */
  onPage: (page: number) => void = () => {};
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #classOfSize: Uint8Array;
  /** First page of each class that has a free chunk, -1: none. */
  readonly #open: Int32Array;
  // --- by page ---
  /** Class, or -1. */
  readonly pageClass: Int32Array;
  readonly #pageUsed: Int32Array;
  /** Chunks never used yet begin here (a chunk number). */
  readonly #pageCut: Int32Array;
  /** First freed chunk, 0: none. */
  readonly #pageFree: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #freePage: number;
  /** The page that is being emptied, -1: none. */
  #sealed = -1;

  /** `base`: `pageCount` pages of PAGE_BYTES in the arena, 8-byte aligned. */
  constructor(i32: Int32Array, base: number, pageCount: number) {
    const sizes = classSizes();
    assert(base > 0 && base % ALIGNMENT === 0, 'slabs: base must be aligned and not 0');
    this.#i32 = i32;
    this.#base = base;
    this.pageCount = pageCount;
    this.pieceClass = sizes.length;
    this.classCount = sizes.length + 1;
    assert(this.classCount - 1 <= CLASS_MASK, 'slabs: a class has its bits in META');
    this.chunkBytes = Int32Array.from([...sizes, PIECE_CHUNK_BYTES]);
    this.chunksPerPage = this.chunkBytes.map((size) => Math.floor(PAGE_BYTES / size));
    this.pages = new Int32Array(this.classCount);
    this.used = new Int32Array(this.classCount);
    this.#open = new Int32Array(this.classCount).fill(-1);
    this.#classOfSize = new Uint8Array(TABLE_MAX / ALIGNMENT + 1);
    for (let i = 0; i < this.#classOfSize.length; i++) {
      this.#classOfSize[i] = sizes.findIndex((size) => size >= i * ALIGNMENT);
    }
    this.pageClass = new Int32Array(pageCount).fill(-1);
    this.#pageUsed = new Int32Array(pageCount);
    this.#pageCut = new Int32Array(pageCount);
    this.#pageFree = new Int32Array(pageCount);
    this.#next = new Int32Array(pageCount);
    this.#previous = new Int32Array(pageCount);
    for (let page = 0; page < pageCount; page++) this.#next[page] = page + 1;
    this.#next[pageCount - 1] = -1;
    this.#freePage = 0;
    this.freePages = pageCount;
  }

  /** The smallest class whose chunks hold `bytes`; the class of chained items above CHUNK_MAX. */
  classFor(bytes: number): number {
    if (bytes > CHUNK_MAX) return this.pieceClass;
    if (bytes <= TABLE_MAX) return this.#classOfSize[(bytes + ALIGNMENT - 1) >> 3]!;
    let index = this.#classOfSize[TABLE_MAX >> 3]!;
    while (this.chunkBytes[index]! < bytes) index++;
    return index;
  }

  /**
   * A chunk of a class, from its own pages or a free one; -1 when there is neither. META says it is
   * not FREE.
   */
  alloc(index: number): number {
    if (this.#open[index]! < 0 && this.#takePage(index) < 0) return -1;
    return this.allocOpen(index);
  }

  /** A chunk from the class's own pages; or -1. */
  allocOpen(index: number): number {
    const page = this.#open[index]!;
    if (page < 0) return -1;
    let chunk = this.#pageFree[page]!;
    if (chunk !== 0) {
      this.#pageFree[page] = this.#i32[(chunk >> 2) + HASH_NEXT]!;
      if (VERIFY)
        assert(this.#i32[(chunk >> 2) + META] === FREE, 'slabs: a free chunk was written to');
    } else {
      const cut = this.#pageCut[page]!;
      this.#pageCut[page] = cut + 1;
      chunk = this.#base + page * PAGE_BYTES + cut * this.chunkBytes[index]!;
    }
    this.#i32[(chunk >> 2) + META] = index;
    this.used[index] = this.used[index]! + 1;
    const used = this.#pageUsed[page]! + 1;
    this.#pageUsed[page] = used;
    if (used === this.chunksPerPage[index]!) this.#unlinkOpen(index, page);
    return chunk;
  }

  /** Consumes a chunk. */
  free(chunk: number): void {
    const page = this.pageOf(chunk);
    const index = this.pageClass[page]!;
    const word = chunk >> 2;
    if (VERIFY) this.#verifyFree(chunk, page, index);
    this.used[index] = this.used[index]! - 1;
    const used = this.#pageUsed[page]! - 1;
    this.#pageUsed[page] = used;
    this.#i32[word + META] = FREE;
    this.#i32[word + HASH_NEXT] = this.#pageFree[page]!;
    this.#pageFree[page] = chunk;
    if (used === 0) this.#givePage(index, page, page === this.#sealed);
    else if (used === this.chunksPerPage[index]! - 1 && page !== this.#sealed) {
      this.#linkOpen(index, page);
    }
  }

  /** Free chunks of a class. */
  freeOf(index: number): number {
    return this.pages[index]! * this.chunksPerPage[index]! - this.used[index]!;
  }

  usedOn(page: number): number {
    return this.#pageUsed[page]!;
  }

  /** The class's page with the fewest chunks in use; -1: it has none. */
  sparsestOf(index: number): number {
    let sparsest = -1;
    for (let page = 0; page < this.pageCount; page++) {
      if (this.pageClass[page] !== index) continue;
      if (sparsest < 0 || this.#pageUsed[page]! < this.#pageUsed[sparsest]!) sparsest = page;
    }
    return sparsest;
  }

  /** No chunk of this page is given out any more, until `unseal` or until it is free. */
  seal(page: number): void {
    const index = this.pageClass[page]!;
    if (this.#pageUsed[page]! < this.chunksPerPage[index]!) this.#unlinkOpen(index, page);
    this.#sealed = page;
  }

  unseal(): void {
    const page = this.#sealed;
    const index = this.pageClass[page]!;
    this.#sealed = -1;
    if (index >= 0 && this.#pageUsed[page]! < this.chunksPerPage[index]!) {
      this.#linkOpen(index, page);
    }
  }

  /** Number of the page a chunk lies in. */
  pageOf(chunk: number): number {
    return (chunk - this.#base) >> PAGE_SHIFT;
  }

  /** Chunks of a page that were ever used; `chunkAt` names them, META says which are free. */
  cutOf(page: number): number {
    return this.#pageCut[page]!;
  }

  chunkAt(page: number, number: number): number {
    return this.#base + page * PAGE_BYTES + number * this.chunkBytes[this.pageClass[page]!]!;
  }

  /** True when no chunk is in use: every page is free again. */
  allHome(): boolean {
    return this.freePages === this.pageCount;
  }

  #takePage(index: number): number {
    const page = this.#freePage;
    if (page < 0) return -1;
    this.#freePage = this.#next[page]!;
    this.freePages = (this.freePages - 1) | 0;
    this.pageClass[page] = index;
    this.pages[index] = this.pages[index]! + 1;
    this.#pageCut[page] = 0;
    this.#pageFree[page] = 0;
    this.#linkOpen(index, page);
    this.onPage(page);
    return page;
  }

  /** `isSealed`: it is not on its class's list of pages with free chunks. */
  #givePage(index: number, page: number, isSealed: boolean): void {
    if (!isSealed) this.#unlinkOpen(index, page);
    this.pageClass[page] = -1;
    this.pages[index] = this.pages[index]! - 1;
    this.#next[page] = this.#freePage;
    this.#freePage = page;
    this.freePages = (this.freePages + 1) | 0;
  }

  #linkOpen(index: number, page: number): void {
    const head = this.#open[index]!;
    this.#next[page] = head;
    this.#previous[page] = -1;
    if (head >= 0) this.#previous[head] = page;
    this.#open[index] = page;
  }

  #unlinkOpen(index: number, page: number): void {
    const next = this.#next[page]!;
    const previous = this.#previous[page]!;
    if (previous >= 0) this.#next[previous] = next;
    else this.#open[index] = next;
    if (next >= 0) this.#previous[next] = previous;
  }

  #verifyFree(chunk: number, page: number, index: number): void {
    assert(page >= 0 && page < this.pageCount && index >= 0, 'slabs: freed a chunk of no page');
    const inPage = chunk - this.#base - page * PAGE_BYTES;
    const words = this.chunkBytes[index]! >> 2;
    assert(inPage % this.chunkBytes[index]! === 0, 'slabs: freed what is not a chunk');
    assert((this.#i32[(chunk >> 2) + META]! & FREE) === 0, 'slabs: freed twice');
    this.#i32.fill(0xdddddddd | 0, chunk >> 2, (chunk >> 2) + words);
  }
}
