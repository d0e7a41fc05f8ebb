/**
 * The store: items by key, their lifetimes, and what is thrown out when memory is full.
 *
 * - `find` returns only live items; an expired or flushed one is unlinked on the way.
 * - An item is linked (findable) or not, and has references. It is freed when it is neither linked
 *   nor referenced: replacing or deleting an item that is being sent takes nothing from under the
 *   send.
 * - Every link gives the item a new cas, 64 bits in two words, which a client may replace by one of
 *   its own. flush_all begins an epoch, and what was linked in another one is dead; when the
 *   numbers of epochs are used up, everything is unlinked at once and they begin again.
 * - Memory: a chunk of the class; else the class's least recently used item if it is dead; else a
 *   free page; else what is dead or unused elsewhere; else the class's least recently used items
 *   are evicted; else a page of another class. Referenced items are never evicted; when nothing
 *   else is left, `allocate` returns NO_MEMORY. Who is thrown out is eviction.ts; who finds the
 *   dead is crawler.ts.
 *
 * Called by the command files. Read first: memcached's items.c.
 */
import { assert, VERIFY } from '../../verify.ts';
import type { StoreClock } from './clock.ts';
import { CLASS_COUNT, COUNT, type Counts } from './counters.ts';
import { Crawler } from './crawler.ts';
import { Eviction } from './eviction.ts';
import type { KeyHash } from './hash.ts';
import type { Memory } from './host.ts';
import { type Images, itemBytes } from './image.ts';
import {
  CAS_HI,
  CAS_LO,
  CHAINED,
  CLASS_MASK,
  DATA_LENGTH,
  EPOCH_SHIFT,
  EPOCHS,
  EXPTIME,
  FETCHED,
  FREE,
  HASH,
  LENGTH_MASK,
  LINKED,
  META,
  REFS,
  TIME,
} from './layout.ts';
import { Lifetimes } from './lifetimes.ts';
import { Lru } from './lru.ts';
import { Pieces } from './pieces.ts';
import type { Slabs } from './slabs.ts';
import type { Table } from './table.ts';

const C_ITEMS = COUNT.curr_items;
const C_TOTAL = COUNT.total_items;
const C_BYTES = COUNT.bytes;
const C_EXPIRED = COUNT.get_expired;
const C_FLUSHED = COUNT.get_flushed;
const C_EXPIRED_UNFETCHED = COUNT.expired_unfetched;
const CC_REQUESTED = CLASS_COUNT.mem_requested;
const CC_EXPIRED_UNFETCHED = CLASS_COUNT.expired_unfetched;

export const NO_MEMORY = -1;

export interface StoreParts {
  memory: Memory;
  slabs: Slabs;
  table: Table;
  hash: KeyHash;
  images: Images;
  counts: Counts;
  clock: StoreClock;
}

export class Store {
  readonly images: Images;
  readonly pieces: Pieces;
  readonly slabs: Slabs;
  readonly lru: Lru;
  readonly counts: Counts;
  readonly clock: StoreClock;
  readonly table: Table;
  /** Asked when nothing can be evicted: true when it gave some memory back (uploads). */
  onShort: () => boolean = () => false;
  readonly lifetimes: Lifetimes;
  /** Told when there is work for the crawler. */
  onCrawl: () => void = () => {};
  readonly crawler: Crawler;
  /** Memory of the items that are referenced: by sends, mostly. */
  pinnedBytes = 0;
  readonly #eviction: Eviction;
  readonly #i32: Int32Array;
  readonly #hash: KeyHash;
  /** Cas of the newest link. */
  #casLo = 0;
  #casHi = 0;
  /** Items of other epochs are flushed. */
  #epoch = 0;
  /** Second at which a delayed flush_all is due, 0: none. */
  #flushAt = 0;

  constructor(parts: StoreParts) {
    this.#i32 = parts.memory.i32;
    this.images = parts.images;
    this.pieces = new Pieces(parts.memory, parts.images);
    this.slabs = parts.slabs;
    this.table = parts.table;
    this.counts = parts.counts;
    this.clock = parts.clock;
    this.#hash = parts.hash;
    this.lru = new Lru(this.#i32, parts.slabs.classCount);
    this.lifetimes = new Lifetimes(parts.slabs);
    this.crawler = new Crawler(this, this.lifetimes, this.#i32);
    this.#eviction = new Eviction(this, parts.memory);
  }

  /** The live item with this key, or 0. Borrowed: `reference` it to keep it beyond this call. */
  find(keyOffset: number, keyLength: number): number {
    return this.findHashed(this.#hash.of(keyOffset, keyLength), keyOffset, keyLength);
  }

  findHashed(hash: number, keyOffset: number, keyLength: number): number {
    const item = this.table.find(hash, keyOffset, keyLength);
    if (item === 0) return 0;
    const word = item >> 2;
    const exptime = this.#i32[word + EXPTIME]!;
    if (exptime !== 0 && exptime <= this.clock.now) {
      this.counts.bump(C_EXPIRED);
      this.countUnfetched(item);
      this.unlink(item);
      return 0;
    }
    if (this.isFlushed(item)) {
      this.counts.bump(C_FLUSHED);
      this.unlink(item);
      return 0;
    }
    return item;
  }

  isDead(item: number): boolean {
    const exptime = this.#i32[(item >> 2) + EXPTIME]!;
    return (exptime !== 0 && exptime <= this.clock.now) || this.isFlushed(item);
  }

  isFlushed(item: number): boolean {
    return this.#i32[(item >> 2) + DATA_LENGTH]! >>> EPOCH_SHIFT !== this.#epoch;
  }

  /**
   * A new item with one reference, the caller's, and everything but its data; not linked. `exptime`
   * is a second of the store's clock. The key must not lie in an unreferenced item. A large item
   * has its first chunk only: the caller takes the others as it writes the data (`Writer`).
   */
  allocate(
    keyOffset: number,
    keyLength: number,
    flags: number,
    exptime: number,
    dataLength: number,
  ): number {
    const slabs = this.slabs;
    const index = slabs.classFor(itemBytes(keyLength, flags, dataLength));
    const item = this.#chunk(index);
    if (item < 0) return NO_MEMORY;
    const state = index === slabs.pieceClass ? CHAINED : 0;
    const word = item >> 2;
    this.#i32[word + HASH] = this.#hash.of(keyOffset, keyLength);
    this.#i32[word + REFS] = 1;
    this.#i32[word + EXPTIME] = exptime;
    this.images.write(item, keyOffset, keyLength, flags, dataLength, state);
    if (state === CHAINED) this.pieces.start(item);
    return item;
  }

  /**
   * A piece behind `last`, the last chunk of an item that is not linked, for as much of `left`
   * bytes of data as it holds; or NO_MEMORY.
   */
  extend(item: number, last: number, left: number): number {
    const piece = this.#chunk(this.slabs.pieceClass);
    if (piece < 0) return NO_MEMORY;
    this.pieces.append(item, last, piece, left);
    return piece;
  }

  #chunk(index: number): number {
    let chunk = this.slabs.allocOpen(index);
    if (chunk >= 0) return chunk;
    this.#eviction.reclaimTail(index);
    chunk = this.slabs.alloc(index);
    while (chunk < 0) {
      chunk = this.#eviction.makeRoom(index);
      if (chunk < 0 && !this.onShort()) return NO_MEMORY;
    }
    return chunk;
  }

  /** Makes the item findable; its key is not. */
  link(item: number): void {
    this.table.insert(item);
    this.#linked(item);
  }

  /** Makes `item` findable in the place of `old`, which has the same key. */
  replace(old: number, item: number): void {
    this.table.replace(old, item);
    this.#unlinked(old);
    this.#linked(item);
  }

  unlink(item: number): void {
    this.table.remove(item);
    this.#unlinked(item);
  }

  reference(item: number): void {
    const cell = (item >> 2) + REFS;
    const refs = this.#i32[cell]!;
    if (refs === 0) this.pinnedBytes = (this.pinnedBytes + this.#holds(item)) | 0;
    this.#i32[cell] = refs + 1;
  }

  /** Gives back a reference from `reference`. */
  release(item: number): void {
    const refs = this.#dropReference(item);
    if (refs > 0) return;
    this.pinnedBytes = (this.pinnedBytes - this.#holds(item)) | 0;
    if ((this.#i32[(item >> 2) + META]! & LINKED) === 0) this.#free(item);
  }

  /** Gives back the reference from `allocate`: the item is linked, or given up. */
  settle(item: number): void {
    const refs = this.#dropReference(item);
    if (refs === 0 && (this.#i32[(item >> 2) + META]! & LINKED) === 0) this.#free(item);
  }

  #dropReference(item: number): number {
    const cell = (item >> 2) + REFS;
    const refs = this.#i32[cell]! - 1;
    if (VERIFY) {
      assert(refs >= 0, 'store: released more often than referenced');
      assert((this.#i32[(item >> 2) + META]! & FREE) === 0, 'store: released a free item');
    }
    this.#i32[cell] = refs;
    return refs;
  }

  /**
   * Bytes of memory that an item holds, nearly: of a chained one the rest of its last piece is not
   * counted.
   */
  #holds(item: number): number {
    const index = this.classOf(item);
    return index === this.slabs.pieceClass
      ? this.images.bytesOf(item)
      : this.slabs.chunkBytes[index]!;
  }

  classOf(item: number): number {
    return this.#i32[(item >> 2) + META]! & CLASS_MASK;
  }

  isReferenced(item: number): boolean {
    return this.#i32[(item >> 2) + REFS]! > 0;
  }

  expiryOf(item: number): number {
    return this.#i32[(item >> 2) + EXPTIME]!;
  }

  /** touch: the item lives until this second of the clock (0: without an end). */
  setExpiry(item: number, exptime: number): void {
    this.#i32[(item >> 2) + EXPTIME] = exptime;
    this.lifetimes.note(this.slabs.pageOf(item), exptime);
  }

  /** The item changed in place: a new cas. */
  renewCas(item: number): void {
    const lo = (this.#casLo + 1) | 0;
    this.#casLo = lo;
    if (lo === 0) this.#casHi = (this.#casHi + 1) | 0;
    this.setCas(item, lo, this.#casHi);
  }

  setCas(item: number, lo: number, hi: number): void {
    this.#i32[(item >> 2) + CAS_LO] = lo;
    this.#i32[(item >> 2) + CAS_HI] = hi;
  }

  /** Everything stored up to now is gone; a delayed flush that is pending is forgotten. */
  flush(): void {
    this.#flushAt = 0;
    this.#epoch = (this.#epoch + 1) % EPOCHS;
    if (this.#epoch === 0) this.purge(true);
    this.lifetimes.flush();
    if (this.crawler.look()) this.onCrawl();
  }

  /**
   * flush_all with a delay: at that second of the clock, and as memcached does one second early.
   */
  flushAt(second: number): void {
    if (second <= 1)
      this.#flushAt = 0; // a date in the past: memcached forgets the pending flush, and that is all
    else if (second - 1 <= this.clock.now) this.flush();
    else this.#flushAt = second - 1;
  }

  /** Called when the clock's second has changed. */
  onSecond(): void {
    if (this.#flushAt !== 0 && this.#flushAt <= this.clock.now) this.flush();
    else if (this.crawler.look()) this.onCrawl();
  }

  /** Unlinks everything that nobody can find any more, and everything else if `all`: for tests. */
  purge(all: boolean): void {
    for (let index = 0; index < this.slabs.classCount; index++) {
      let item = this.lru.tails[index]!;
      while (item !== 0) {
        const next = this.lru.before(item);
        if (all || this.isDead(item)) this.unlink(item);
        item = next;
      }
    }
  }

  /** An item that nobody ever read, perhaps, is going because its time is over. */
  countUnfetched(item: number): void {
    const meta = this.#i32[(item >> 2) + META]!;
    if ((meta & FETCHED) !== 0) return;
    this.counts.bump(C_EXPIRED_UNFETCHED);
    this.counts.bumpClass(meta & CLASS_MASK, CC_EXPIRED_UNFETCHED);
  }

  #linked(item: number): void {
    const word = item >> 2;
    const meta = this.#i32[word + META]! | LINKED;
    this.#i32[word + META] = meta;
    const length = this.#i32[word + DATA_LENGTH]! & LENGTH_MASK;
    this.#i32[word + DATA_LENGTH] = length | (this.#epoch << EPOCH_SHIFT);
    this.#i32[word + TIME] = this.clock.now;
    this.renewCas(item);
    this.lru.insert(item);
    this.lifetimes.note(this.slabs.pageOf(item), this.#i32[word + EXPTIME]!);
    const bytes = this.images.bytesOf(item);
    const counts = this.counts;
    counts.bump(C_TOTAL);
    counts.bump(C_ITEMS);
    counts.add(C_BYTES, bytes);
    counts.addClass(meta & CLASS_MASK, CC_REQUESTED, bytes);
  }

  #unlinked(item: number): void {
    const word = item >> 2;
    const meta = this.#i32[word + META]!;
    if (VERIFY) assert((meta & LINKED) !== 0, 'store: unlinked an item that was not linked');
    this.lru.remove(item);
    this.#i32[word + META] = meta & ~LINKED;
    const bytes = this.images.bytesOf(item);
    const counts = this.counts;
    counts.add(C_ITEMS, -1);
    counts.add(C_BYTES, -bytes);
    counts.addClass(meta & CLASS_MASK, CC_REQUESTED, -bytes);
    if (this.#i32[word + REFS] === 0) this.#free(item);
  }

  #free(item: number): void {
    let piece = this.pieces.isChained(item) ? this.pieces.after(item) : 0;
    this.slabs.free(item);
    while (piece !== 0) {
      const next = this.pieces.after(piece);
      this.slabs.free(piece);
      piece = next;
    }
  }
}
