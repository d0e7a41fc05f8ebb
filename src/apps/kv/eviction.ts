/**
 * Who is thrown out when memory is full.
 *
 * - First the tail of the class's own list: an expired or flushed item if it stands there, else the
 *   least recently used one. An item that was hit since it came to the head goes back there once
 *   instead; a referenced one always does.
 * - Every search is bounded: SEARCH_MAX items of the own class; PAGES_TRIED pages of each of
 *   CLASSES_TRIED others.
 * - If the class has nothing to give, a page of another class is emptied: of the class with the
 *   most pages, where its least recently used items lie. That page goes to the pool, and from there
 *   to the class that needs it.
 * - Balance: when a class evicts items much younger than another class keeps, it takes a page of
 *   that class, at most one a second. Emptying a page of the smallest items is 10,900 unlinkings:
 *   about a millisecond, the longest thing this store ever does.
 *
 * Called by Store.allocate. Read first: memcached's items.c `lru_pull_tail`, doc/new_lru.txt.
 */
import { CLASS_COUNT, COUNT } from './counters.ts';
import { ACTIVE, CLASS_MASK, EXPTIME, FETCHED, FREE, LINKED, META, REFS, TIME } from './layout.ts';
import type { Store } from './store.ts';

/** Items looked at before an allocation gives up. */
const SEARCH_MAX = 128;
/** After this many steps hits no longer save an item. */
const SECOND_CHANCES = 64;
/** Pages looked at in one class before the next one is asked, and classes asked. */
const PAGES_TRIED = 8;
const CLASSES_TRIED = 4;
/** Evictions between two looks at the balance between classes (power of two). */
const BALANCE_EVERY = 32;
/**
 * A page moves when the other class's oldest item is this many times, plus this many seconds, older
 * than ours.
 */
const BALANCE_RATIO = 2;
const BALANCE_SECONDS = 10;

const C_EVICTIONS = COUNT.evictions;
const C_RECLAIMED = COUNT.reclaimed;
const C_UNFETCHED = COUNT.evicted_unfetched;
const C_ACTIVE = COUNT.evicted_active;
const C_EXPIRED_UNFETCHED = COUNT.expired_unfetched;
const C_LOCKED = COUNT.lrutail_reflocked;
const C_MOVES = COUNT.moves_within_lru;
const C_SLABS = COUNT.slabs_moved;
const C_DIRECT = COUNT.direct_reclaims;
const CC_EVICTED = CLASS_COUNT.evicted;
const CC_NONZERO = CLASS_COUNT.evicted_nonzero;
const CC_TIME = CLASS_COUNT.evicted_time;
const CC_UNFETCHED = CLASS_COUNT.evicted_unfetched;
const CC_ACTIVE = CLASS_COUNT.evicted_active;
const CC_RECLAIMED = CLASS_COUNT.reclaimed;
const CC_EXPIRED_UNFETCHED = CLASS_COUNT.expired_unfetched;
const CC_LOCKED = CLASS_COUNT.lrutail_reflocked;
const CC_MOVES = CLASS_COUNT.moves_within_lru;
const CC_OUT = CLASS_COUNT.outofmemory;
const CC_DIRECT = CLASS_COUNT.direct_reclaims;

export class Eviction {
  readonly #store: Store;
  readonly #i32: Int32Array;
  /** Evictions since the start, modulo 2^31; and the second of the last move of a page. */
  #evictions = 0;
  #movedAt = 0;
  /** Classes already asked for a page in this call. */
  readonly #asked: Uint8Array;

  constructor(store: Store, i32: Int32Array) {
    this.#store = store;
    this.#i32 = i32;
    this.#asked = new Uint8Array(store.slabs.classCount);
  }

  /** A chunk of a class that has none and found no free page; -1 when nothing can be thrown out. */
  makeRoom(index: number): number {
    const store = this.#store;
    if (this.#evictTail(index) || this.#takeAnyPage(index)) {
      const chunk = store.slabs.alloc(index);
      store.counts.bump(C_DIRECT);
      store.counts.bumpClass(index, CC_DIRECT);
      if ((this.#evictions & (BALANCE_EVERY - 1)) === 0) this.#balance(index);
      return chunk;
    }
    store.counts.bumpClass(index, CC_OUT);
    return -1;
  }

  /** Throws out one item of the class; false when the search found only referenced ones. */
  #evictTail(index: number): boolean {
    const store = this.#store;
    const i32 = this.#i32;
    for (let step = 0; step < SEARCH_MAX; step++) {
      const item = store.lru.tails[index]!;
      if (item === 0) return false;
      const word = item >> 2;
      if (i32[word + REFS]! > 0) {
        store.counts.bump(C_LOCKED);
        store.counts.bumpClass(index, CC_LOCKED);
        this.#toHead(item);
      } else if (
        (i32[word + META]! & ACTIVE) !== 0 &&
        step < SECOND_CHANCES &&
        !store.isDead(item)
      ) {
        store.counts.bump(C_MOVES);
        store.counts.bumpClass(index, CC_MOVES);
        this.#toHead(item);
      } else {
        this.#evict(item);
        return true;
      }
    }
    return false;
  }

  #toHead(item: number): void {
    const word = item >> 2;
    this.#store.lru.remove(item);
    this.#i32[word + META] = this.#i32[word + META]! & ~ACTIVE;
    this.#i32[word + TIME] = this.#store.clock.now;
    this.#store.lru.insert(item);
  }

  /** Unlinks an item nobody refers to, and counts why. */
  #evict(item: number): void {
    const store = this.#store;
    const counts = store.counts;
    const word = item >> 2;
    const meta = this.#i32[word + META]!;
    const index = meta & CLASS_MASK;
    const isUnfetched = (meta & FETCHED) === 0;
    if (store.isDead(item)) {
      counts.bump(C_RECLAIMED);
      counts.bumpClass(index, CC_RECLAIMED);
      if (isUnfetched && !store.isFlushed(item)) {
        counts.bump(C_EXPIRED_UNFETCHED);
        counts.bumpClass(index, CC_EXPIRED_UNFETCHED);
      }
    } else {
      this.#evictions = (this.#evictions + 1) & 0x7fffffff;
      counts.bump(C_EVICTIONS);
      counts.bumpClass(index, CC_EVICTED);
      counts.setClass(index, CC_TIME, store.clock.now - this.#i32[word + TIME]!);
      if (this.#i32[word + EXPTIME] !== 0) counts.bumpClass(index, CC_NONZERO);
      if (isUnfetched) {
        counts.bump(C_UNFETCHED);
        counts.bumpClass(index, CC_UNFETCHED);
      }
      if ((meta & ACTIVE) !== 0) {
        counts.bump(C_ACTIVE);
        counts.bumpClass(index, CC_ACTIVE);
      }
    }
    store.unlink(item);
  }

  /** Empties a page of another class, the richest first. */
  #takeAnyPage(index: number): boolean {
    const pages = this.#store.slabs.pages;
    this.#asked.fill(0);
    this.#asked[index] = 1;
    for (let n = 0; n < CLASSES_TRIED; n++) {
      let richest = -1;
      for (let i = 0; i < pages.length; i++) {
        if (this.#asked[i] === 0 && pages[i]! > (richest < 0 ? 0 : pages[richest]!)) richest = i;
      }
      if (richest < 0) return false;
      if (this.#takePageFrom(richest)) return true;
      this.#asked[richest] = 1;
    }
    return false;
  }

  /** Takes a page of the class whose oldest item is much older than ours, if there is one. */
  #balance(index: number): void {
    const store = this.#store;
    const now = store.clock.now;
    if (now === this.#movedAt) return;
    this.#movedAt = now;
    let oldest = -1;
    let age = BALANCE_RATIO * this.#tailAge(index) + BALANCE_SECONDS;
    for (let i = 0; i < store.slabs.classCount; i++) {
      if (i !== index && this.#tailAge(i) > age) {
        oldest = i;
        age = this.#tailAge(i);
      }
    }
    if (oldest >= 0) this.#takePageFrom(oldest);
  }

  /** Seconds since the class's least recently used item was used; -1 when it has none. */
  #tailAge(index: number): number {
    const item = this.#store.lru.tails[index]!;
    return item === 0 ? -1 : this.#store.clock.now - this.#i32[(item >> 2) + TIME]!;
  }

  /** Empties the first page, from the tail of the class's list, that holds nothing referenced. */
  #takePageFrom(index: number): boolean {
    const store = this.#store;
    const slabs = store.slabs;
    let item = store.lru.tails[index]!;
    let last = -1;
    let tried = 0;
    for (let step = 0; item !== 0 && step < SEARCH_MAX && tried < PAGES_TRIED; step++) {
      const page = slabs.pageOf(item);
      if (page !== last) {
        last = page;
        tried++;
        if (this.#isIdle(page)) {
          this.#empty(page);
          store.counts.bump(C_SLABS);
          return true;
        }
      }
      item = store.lru.before(item);
    }
    return false;
  }

  /** True when every item of the page is linked and nobody refers to one. */
  #isIdle(page: number): boolean {
    const slabs = this.#store.slabs;
    const cut = slabs.cutOf(page);
    for (let i = 0; i < cut; i++) {
      const word = slabs.chunkAt(page, i) >> 2;
      const meta = this.#i32[word + META]!;
      if ((meta & FREE) === 0 && ((meta & LINKED) === 0 || this.#i32[word + REFS]! > 0))
        return false;
    }
    return true;
  }

  #empty(page: number): void {
    const slabs = this.#store.slabs;
    const cut = slabs.cutOf(page);
    const first = slabs.chunkAt(page, 0);
    const step = slabs.chunkBytes[slabs.pageClass[page]!]!;
    for (let i = 0; i < cut; i++) {
      const item = first + i * step;
      if ((this.#i32[(item >> 2) + META]! & FREE) === 0) this.#evict(item);
    }
  }
}
