/**
 * Who is thrown out when memory is full.
 *
 * - Nobody, as long as memory is to be had without: the dead item at the tail of the class's own
 *   list; a page of any class on which nothing is alive (crawler.ts); a page of a class with a
 *   page's worth of free chunks, whose items move together (evacuation.ts).
 * - Then the tail of the class's own list, the least recently used item. One that was hit since it
 *   came to the head goes back there once instead; a referenced one always does.
 * - Every search is bounded: SEARCH_MAX items of the own class; PAGES_TRIED pages of each of
 *   CLASSES_TRIED others.
 * - If the class has nothing to give, a page of another class is emptied: of the class with the
 *   most pages, where its least recently used items lie. That page goes to the pool, and from there
 *   to the class that needs it.
 * - Balance: when a class evicts items much younger than another class keeps, it takes a page of
 *   that class; the next one when that is used up.
 *
 * Called by store.ts. Read first: memcached's items.c `lru_pull_tail`, doc/new_lru.txt.
 */
import { CLASS_COUNT, COUNT } from './counters.ts';
import { Evacuation } from './evacuation.ts';
import type { Memory } from './host.ts';
import { ACTIVE, CLASS_MASK, EXPTIME, FETCHED, META, REFS, TIME } from './layout.ts';
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
/** Calls between two looks for a class with unused pages (power of two). */
const SPARE_EVERY = 8;
/**
 * A page moves when the other class's oldest item is this many times, plus this many seconds, older
 * than ours.
 */
const BALANCE_RATIO = 2;
/** So much older at the least: in a young store twice of next to nothing is no difference. */
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
  readonly #evacuation: Evacuation;
  /** Evictions since the start, and calls of `makeRoom`, modulo 2^31. */
  #evictions = 0;
  #calls = 0;
  /** The second in which no class had a page to spare. */
  #sparelessAt = 0;
  /** Classes already asked for a page in this call. */
  readonly #asked: Uint8Array;
  /** By class: the second in which its sparsest page could not be emptied. */
  readonly #pinnedAt: Int32Array;

  constructor(store: Store, memory: Memory) {
    this.#store = store;
    this.#i32 = memory.i32;
    this.#evacuation = new Evacuation(store, memory, (item) => this.#evict(item));
    this.#asked = new Uint8Array(store.slabs.classCount);
    this.#pinnedAt = new Int32Array(store.slabs.classCount);
  }

  /** Frees the least recently used item of a class if it is dead. */
  reclaimTail(index: number): void {
    const item = this.#store.lru.tails[index]!;
    if (item === 0 || this.#i32[(item >> 2) + REFS]! > 0 || !this.#store.isDead(item)) return;
    this.#evict(item);
  }

  /** A chunk of a class that has none and found no free page; -1 when nothing can be thrown out. */
  makeRoom(index: number): number {
    const store = this.#store;
    if (store.crawler.takeDeadPage() || this.#takeSparePage(index)) {
      store.counts.bump(C_SLABS);
      return store.slabs.alloc(index);
    }
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

  /**
   * Empties a page of a class that has a page's worth of free chunks elsewhere; looks not every
   * time.
   */
  #takeSparePage(index: number): boolean {
    const { slabs, clock } = this.#store;
    this.#calls = (this.#calls + 1) & 0x7fffffff;
    const isDue = (this.#calls & (SPARE_EVERY - 1)) === 0 || this.#sparelessAt !== clock.now;
    if (!isDue && slabs.pages[index] !== 0) return false;
    for (let i = 0; i < slabs.classCount; i++) {
      if (slabs.freeOf(i) < slabs.chunksPerPage[i]! || this.#pinnedAt[i] === clock.now) continue;
      const page = slabs.sparsestOf(i);
      if (this.#evacuation.isIdle(page)) {
        this.#evacuation.empty(page);
        return true;
      }
      this.#pinnedAt[i] = clock.now;
    }
    this.#sparelessAt = clock.now;
    return false;
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

  /**
   * Empties the first page, from the tail of the class's list, that holds nothing referenced.
   * Chained items have their pieces on many pages: there the least recently used ones go first,
   * until what is on the page finds room elsewhere.
   */
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
        if (this.#evacuation.isIdle(page)) {
          if (index === slabs.pieceClass) this.#makeRoomBeside(page);
          if (slabs.pageClass[page] === index) this.#evacuation.empty(page);
          store.counts.bump(C_SLABS);
          return true;
        }
      }
      item = store.lru.before(item);
    }
    return false;
  }

  /** Evicts chained items until the others have room for all that is on this page. */
  #makeRoomBeside(page: number): void {
    const { slabs } = this.#store;
    const index = slabs.pieceClass;
    const perPage = slabs.chunksPerPage[index]!;
    // Free chunks are enough when they are a page's worth: then so many are on other pages.
    while (slabs.pageClass[page] === index && slabs.freeOf(index) < perPage) {
      if (!this.#evictTail(index)) return;
    }
  }
}
