/**
 * When what lies in each page will be over: two columns of seconds, so that dead memory is found
 * without looking at items.
 *
 * - `soonest`: no item of the page expires before. `latest`: none lives longer, as far as is known.
 *   Both are noted when an item is linked or touched, and made exact again when the crawler has
 *   gone through the page. What they say is checked before anything is done about it: `latest` is a
 *   hint.
 * - flush_all makes both "already over" for all pages.
 * - A page is worth a visit when its soonest second is here; one where little was found is left
 *   alone for twice as long as the last time, up to WAIT_MAX, so that a cache of mixed lifetimes is
 *   not crawled all day.
 *
 * Called by store.ts and crawler.ts.
 */
import type { Slabs } from './slabs.ts';

/** Later than every second of the clock: items without an end, and pages without one that ends. */
const NEVER = 0x7fffffff;
/** Seconds: what expires in a page that was fruitless so far is still found after a minute. */
const WAIT_MAX = 64;
/** A visit that frees less than one of so many items was too early. */
const WORTH = 8;

export class Lifetimes {
  readonly #slabs: Slabs;
  readonly #soonest: Int32Array;
  readonly #latest: Int32Array;
  /** The second of the next visit at the earliest, and for how long that was put off. */
  readonly #visitAt: Int32Array;
  readonly #waits: Int32Array;

  constructor(slabs: Slabs) {
    this.#slabs = slabs;
    this.#soonest = new Int32Array(slabs.pageCount);
    this.#latest = new Int32Array(slabs.pageCount);
    this.#visitAt = new Int32Array(slabs.pageCount);
    this.#waits = new Int32Array(slabs.pageCount);
    slabs.onPage = (page) => this.begin(page);
    for (let page = 0; page < slabs.pageCount; page++) this.begin(page);
  }

  /** A page without items, or one that will be noted anew. */
  begin(page: number): void {
    this.#soonest[page] = NEVER;
    this.#latest[page] = 0;
    this.#visitAt[page] = 0;
    this.#waits[page] = 1;
  }

  /** An item on this page lives until `exptime` (0: without an end). */
  note(page: number, exptime: number): void {
    if (exptime === 0) {
      this.#latest[page] = NEVER;
      return;
    }
    if (exptime < this.#soonest[page]!) this.#soonest[page] = exptime;
    if (exptime > this.#latest[page]!) this.#latest[page] = exptime;
  }

  /** Everything that is stored is over. */
  flush(): void {
    this.#soonest.fill(0);
    this.#latest.fill(0);
    this.#visitAt.fill(0);
  }

  /** Whether the page may have something dead, and it is time to look. */
  isDue(page: number, now: number): boolean {
    return (
      this.#soonest[page]! <= now &&
      this.#visitAt[page]! <= now &&
      this.#slabs.pageClass[page]! >= 0
    );
  }

  /** Whether nothing on the page seems to be alive. */
  isOver(page: number, now: number): boolean {
    return this.#latest[page]! <= now && this.#slabs.pageClass[page]! >= 0;
  }

  /** The page's items are gone through from here on: whoever is alive is noted again. */
  startVisit(page: number): void {
    this.#soonest[page] = NEVER;
    this.#latest[page] = 0;
  }

  /** Of `seen` items `freed` were dead. */
  endVisit(page: number, now: number, seen: number, freed: number): void {
    const wait = freed * WORTH >= seen ? 1 : Math.min(WAIT_MAX, this.#waits[page]! * 2);
    this.#waits[page] = wait;
    this.#visitAt[page] = now + wait;
  }
}
