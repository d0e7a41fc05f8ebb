/**
 * Ends what keeps memory and does nothing: an idle limit for all connections, and a rule for when
 * memory is short.
 *
 * - `idleSeconds`: a connection from which nothing came, and which took nothing, for longer than
 *   that is closed; reset if it is in the middle of something. 0 (the default): never, as
 *   memcached's `idle_timeout`.
 * - Unread answers pin the items they are sent from. When these are more than a share of the
 *   memory, or a value was refused for want of memory, connections that have taken nothing for
 *   STALLED_SECONDS are reset, the most stalled first, as many as it needs.
 * - Uploads that got nothing for as long are given up as soon as living items are evicted. (Their
 *   ceiling is another thing: uploads.ts.)
 * - Once a second, by the timer: no packet waits for it. It looks at every connection only when
 *   there is one to end.
 *
 * Called by kv.ts.
 */
import { COUNT } from './counters.ts';
import type { KvConnection } from './host.ts';
import { MEBIBYTE } from './layout.ts';
import { ACTIVE, CLOSED, COMMAND, MODE, PENDING, type Records, TAKEN, UNREAD } from './records.ts';
import type { Store } from './store.ts';
import type { Updates } from './updates.ts';

/** Longer than it takes to send a lost segment again a few times. */
const STALLED_SECONDS = 10;
/** Unread answers may pin one of so many parts of the memory. */
const SHARE = 4;

const C_EVICTIONS = COUNT.evictions;
const C_NO_MEMORY = COUNT.store_no_memory;
const C_IDLE = COUNT.idle_kicks;
const C_READERS = COUNT.readers_dropped;

export class Watch {
  readonly #records: Records;
  readonly #store: Store;
  readonly #updates: Updates;
  readonly #idleSeconds: number;
  readonly #ceiling: number;
  /** By id: those that are open. */
  readonly #connections: (KvConnection | undefined)[] = [];
  /** What was counted when we looked last. */
  #evictions = 0;
  #refused = 0;

  constructor(records: Records, store: Store, updates: Updates, idleSeconds: number) {
    this.#records = records;
    this.#store = store;
    this.#updates = updates;
    this.#idleSeconds = idleSeconds;
    this.#ceiling = Math.floor((store.slabs.pageCount * MEBIBYTE) / SHARE);
  }

  opened(c: KvConnection): void {
    this.#connections[c.id] = c;
    this.active(c);
  }

  closed(c: KvConnection): void {
    this.#connections[c.id] = undefined;
  }

  /** Bytes came. */
  active(c: KvConnection): void {
    this.#records.words[this.#records.of(c.id) + ACTIVE] = this.#store.clock.now;
  }

  /** A span of an item was acknowledged. */
  took(c: KvConnection): void {
    const words = this.#records.words;
    const record = this.#records.of(c.id);
    words[record + UNREAD] = words[record + UNREAD]! - 1;
    words[record + TAKEN] = this.#store.clock.now;
  }

  /** A second has passed. */
  look(): void {
    const { counts, pinnedBytes } = this.#store;
    const evictions = counts.all[C_EVICTIONS]!;
    const refused = counts.all[C_NO_MEMORY]!;
    if (evictions !== this.#evictions) this.#updates.dropStalledFor(STALLED_SECONDS);
    const isShort = refused !== this.#refused;
    const over = pinnedBytes - (isShort ? 0 : this.#ceiling);
    if (over > 0) this.#dropReaders(over / pinnedBytes);
    if (this.#idleSeconds > 0) this.#dropIdle();
    this.#evictions = evictions;
    this.#refused = counts.all[C_NO_MEMORY]!;
  }

  /** Resets this part of those who hold answers and do not take them, the most stalled first. */
  #dropReaders(part: number): void {
    const { words } = this.#records;
    const now = this.#store.clock.now;
    const readers = this.#connections.filter(
      (c) => c !== undefined && words[this.#records.of(c.id) + UNREAD]! > 0,
    ) as KvConnection[];
    const takenAt = (c: KvConnection): number => words[this.#records.of(c.id) + TAKEN]!;
    const stalled = readers.filter((c) => now - takenAt(c) >= STALLED_SECONDS);
    stalled.sort((a, b) => takenAt(a) - takenAt(b));
    for (const c of stalled.slice(0, Math.ceil(readers.length * part))) {
      this.#store.counts.bump(C_READERS);
      this.#reset(c);
    }
  }

  #dropIdle(): void {
    const { words } = this.#records;
    const now = this.#store.clock.now;
    for (const c of this.#connections) {
      if (c === undefined) continue;
      const record = this.#records.of(c.id);
      const last = Math.max(words[record + ACTIVE]!, words[record + TAKEN]!);
      if (words[record + MODE] === CLOSED || now - last <= this.#idleSeconds) continue;
      this.#store.counts.bump(C_IDLE);
      const isBusy =
        words[record + MODE] !== COMMAND ||
        words[record + UNREAD] !== 0 ||
        words[record + PENDING] !== 0;
      if (isBusy) this.#reset(c);
      else {
        words[record + MODE] = CLOSED;
        c.close();
      }
    }
  }

  #reset(c: KvConnection): void {
    const record = this.#records.of(c.id);
    this.#updates.abandon(record);
    this.#records.words[record + MODE] = CLOSED;
    c.abort();
  }
}
