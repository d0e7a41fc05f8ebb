/**
 * Frees what nobody can find any more: expired and flushed items that are not touched, so that
 * `curr_items` and `bytes` are what is alive, and memory is there for other sizes.
 *
 * - In the background: `look` once a second and after a flush says whether a page is due, `step`
 *   goes through pages, at most STEP chunks at a time, as a timer calls it. No allocation waits for
 *   it.
 * - On demand: `takeDeadPage` empties one page that is wholly dead, for a class that would have to
 *   evict living items. So a flushed or expired store takes items of another size as fast as they
 *   come.
 * - Referenced items are left; who holds them frees them.
 *
 * Called by store.ts and crawl-timer.ts. Read first: memcached's crawler.c.
 */
import { COUNT } from './counters.ts';
import { EXPTIME, FETCHED, FREE, LINKED, META, PIECE, REFS } from './layout.ts';
import type { Lifetimes } from './lifetimes.ts';
import type { Store } from './store.ts';

/** Chunks looked at in one step: some 300 us at most. */
const STEP = 4096;
/** Pages that `takeDeadPage` tries in one call. */
const TRIES = 4;
/** An expiry that is long over. */
const OVER = 1;

const C_CHECKED = COUNT.crawler_items_checked;
const C_RECLAIMED = COUNT.crawler_reclaimed;

export class Crawler {
  readonly #store: Store;
  readonly #lifetimes: Lifetimes;
  readonly #i32: Int32Array;
  /** The page being visited (-1: none), its class, the next chunk, and what was found so far. */
  #page = -1;
  #class = -1;
  #next = 0;
  #seen = 0;
  #freed = 0;
  /** Where the search for a due page goes on; where that for a dead one does, -1: there is none. */
  #dueFrom = 0;
  #deadFrom = 0;

  constructor(store: Store, lifetimes: Lifetimes, i32: Int32Array) {
    this.#store = store;
    this.#lifetimes = lifetimes;
    this.#i32 = i32;
  }

  /** The second has changed, or everything was flushed: true when there is work for `step`. */
  look(): boolean {
    this.#deadFrom = 0;
    return this.#page >= 0 || this.#duePage() >= 0;
  }

  /** Goes on for STEP chunks; false when no page is left to visit. */
  step(): boolean {
    const slabs = this.#store.slabs;
    let left = STEP;
    while (left > 0) {
      if (this.#page < 0 && !this.#start()) return false;
      const page = this.#page;
      // Emptied meanwhile, and possibly another class's: what is on it now was noted when it came.
      if (slabs.pageClass[page] !== this.#class) {
        this.#page = -1;
        continue;
      }
      const end = Math.min(this.#next + left, slabs.cutOf(page));
      left -= Math.max(end - this.#next, 0) + 1;
      while (this.#next < end && slabs.pageClass[page] === this.#class) {
        this.#visit(page, slabs.chunkAt(page, this.#next++));
      }
      if (this.#next >= slabs.cutOf(page)) this.#finish(page);
    }
    return true;
  }

  /** Empties a page on which nothing is alive; false when none is known. */
  takeDeadPage(): boolean {
    const { slabs, clock } = this.#store;
    if (this.#deadFrom < 0) return false;
    let tries = 0;
    for (let page = this.#deadFrom; page < slabs.pageCount && tries < TRIES; page++) {
      this.#deadFrom = page + 1;
      if (page === this.#page || !this.#lifetimes.isOver(page, clock.now)) continue;
      tries++;
      const index = slabs.pageClass[page]!;
      for (let i = 0; i < slabs.cutOf(page) && slabs.pageClass[page] === index; i++) {
        this.#reap(slabs.chunkAt(page, i));
      }
      if (slabs.pageClass[page]! < 0) return true;
    }
    if (tries < TRIES) this.#deadFrom = -1;
    return false;
  }

  #start(): boolean {
    const page = this.#duePage();
    if (page < 0) return false;
    this.#page = page;
    this.#class = this.#store.slabs.pageClass[page]!;
    this.#next = 0;
    this.#seen = 0;
    this.#freed = 0;
    this.#dueFrom = page + 1;
    this.#lifetimes.startVisit(page);
    return true;
  }

  #finish(page: number): void {
    const { clock } = this.#store;
    this.#store.counts.add(C_CHECKED, this.#seen);
    this.#page = -1;
    this.#lifetimes.endVisit(page, clock.now, this.#seen, this.#freed);
  }

  #duePage(): number {
    const { slabs, clock } = this.#store;
    const count = slabs.pageCount;
    for (let n = 0; n < count; n++) {
      const page = (this.#dueFrom + n) % count;
      if (this.#lifetimes.isDue(page, clock.now)) return page;
    }
    return -1;
  }

  #visit(page: number, chunk: number): void {
    const word = chunk >> 2;
    const meta = this.#i32[word + META]!;
    if ((meta & (FREE | PIECE)) !== 0 || (meta & LINKED) === 0) return;
    this.#seen++;
    if (this.#reap(chunk)) {
      this.#freed++;
      return;
    }
    // Dead but referenced: the page is to be visited again.
    const isDead = this.#store.isDead(chunk);
    this.#lifetimes.note(page, isDead ? OVER : this.#i32[word + EXPTIME]!);
  }

  /** Frees a chunk's item if it is dead and nobody refers to it. */
  #reap(item: number): boolean {
    const store = this.#store;
    const word = item >> 2;
    const meta = this.#i32[word + META]!;
    if ((meta & (FREE | PIECE)) !== 0 || (meta & LINKED) === 0) return false;
    if (this.#i32[word + REFS]! > 0 || !store.isDead(item)) return false;
    store.counts.bump(C_RECLAIMED);
    if ((meta & FETCHED) === 0 && !store.isFlushed(item)) store.countUnfetched(item);
    store.unlink(item);
    return true;
  }
}
