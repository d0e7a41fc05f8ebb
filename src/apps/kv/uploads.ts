/**
 * Uploads: values that did not arrive in one delivery, in the order of their last progress.
 *
 * - A list through the connections' records (indexes of a record's first word; 0 would be a record,
 *   so neighbours are stored + 1).
 * - All together hold at most a share of the store's memory; what is beyond it costs the upload
 *   that has waited longest for bytes (Updates.dropStalled), never the one whose bytes are being
 *   taken, so that a lone one always fits.
 * - A value that arrives with its command never comes here.
 */
import { COUNT } from './counters.ts';
import { MEBIBYTE } from './layout.ts';
import { HELD, NEWER, OLDER, type Records, SINCE } from './records.ts';
import type { Store } from './store.ts';

/** Uploads may hold one of so many parts of the memory, and always this much. */
const SHARE = 2;

const C_UPLOADS = COUNT.uploads;
const C_BYTES = COUNT.upload_bytes;

export class Uploads {
  readonly #records: Records;
  readonly #store: Store;
  readonly #ceiling: number;
  /** Records, longest without progress first; -1: none. */
  #oldest = -1;
  #newest = -1;
  /** The record whose bytes are being taken, -1: none. */
  #current = -1;

  constructor(records: Records, store: Store) {
    this.#records = records;
    this.#store = store;
    const memory = store.slabs.pageCount * MEBIBYTE;
    this.#ceiling = Math.max(MEBIBYTE, Math.floor(memory / SHARE));
  }

  /** The record's item is an upload from now on. */
  enter(record: number, item: number): void {
    const { counts, slabs } = this.#store;
    counts.bump(C_UPLOADS);
    this.#append(record);
    this.grow(record, slabs.chunkBytes[this.#store.classOf(item)]!);
  }

  /** It holds more than before. */
  grow(record: number, bytes: number): void {
    const words = this.#records.words;
    words[record + HELD] = words[record + HELD]! + bytes;
    this.#store.counts.add(C_BYTES, bytes);
  }

  /** Some of its bytes arrived. */
  progress(record: number): void {
    if (!this.#has(record)) return;
    if (record !== this.#newest) {
      this.#remove(record);
      this.#append(record);
    } else this.#records.words[record + SINCE] = this.#store.clock.now;
  }

  /** It is complete or given up; or it was none. */
  leave(record: number): void {
    if (!this.#has(record)) return;
    const { counts } = this.#store;
    const words = this.#records.words;
    counts.add(C_UPLOADS, -1);
    counts.add(C_BYTES, -words[record + HELD]!);
    words[record + HELD] = 0;
    this.#remove(record);
  }

  /** Between these two an upload is not given up. */
  protect(record: number): void {
    this.#current = record;
  }

  unprotect(): void {
    this.#current = -1;
  }

  isOver(): boolean {
    return this.#store.counts.all[C_BYTES]! > this.#ceiling;
  }

  /** The record that has waited longest for bytes, or -1. */
  mostStalled(): number {
    const record = this.#oldest;
    if (record < 0 || record !== this.#current) return record;
    return this.#records.words[record + NEWER]! - 1;
  }

  /** Seconds since the most stalled upload got bytes; -1: there is none. */
  stalledFor(): number {
    const record = this.mostStalled();
    return record < 0 ? -1 : this.#store.clock.now - this.#records.words[record + SINCE]!;
  }

  #has(record: number): boolean {
    return this.#records.words[record + HELD] !== 0;
  }

  #append(record: number): void {
    const words = this.#records.words;
    words[record + OLDER] = this.#newest + 1;
    words[record + NEWER] = 0;
    words[record + SINCE] = this.#store.clock.now;
    if (this.#newest >= 0) words[this.#newest + NEWER] = record + 1;
    else this.#oldest = record;
    this.#newest = record;
  }

  #remove(record: number): void {
    const words = this.#records.words;
    const older = words[record + OLDER]! - 1;
    const newer = words[record + NEWER]! - 1;
    if (older >= 0) words[older + NEWER] = newer + 1;
    else this.#oldest = newer;
    if (newer >= 0) words[newer + OLDER] = older + 1;
    else this.#newest = older;
  }
}
