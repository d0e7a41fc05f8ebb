/**
 * Writes the data of an item that is not linked yet, in order, taking pieces as the data comes.
 *
 * - `begin` starts with an item from `Store.allocate`; `resume` goes on where a connection's record
 *   says that an upload stands, `suspend` writes that into the record.
 * - `left` is what is still to be written of the data. An upload's own CRLF is written behind it,
 *   over the tail's, so `append` takes these two bytes as well.
 * - `append`, `fill` and `finish` return false when there is no memory for the next piece; the item
 *   is then the caller's to release.
 *
 * Called by updates.ts and arithmetic.ts.
 */
import type { Memory } from './host.ts';
import { CRLF_BYTES } from './layout.ts';
import { AT, CHUNK, ITEM, REMAINING, type Records, ROOM } from './records.ts';
import { NO_MEMORY, type Store } from './store.ts';

export class Writer {
  readonly #memory: Memory;
  readonly #store: Store;
  /** Pieces taken since `begin` or `resume`. */
  pieces = 0;
  #item = 0;
  /** The chunk being written, where, and how many bytes of data (and CRLF) it still takes. */
  #chunk = 0;
  #at = 0;
  #room = 0;
  #left = 0;

  constructor(memory: Memory, store: Store) {
    this.#memory = memory;
    this.#store = store;
  }

  begin(item: number): void {
    const { images, pieces } = this.#store;
    const length = pieces.lengthAt(item);
    this.pieces = 0;
    this.#item = item;
    this.#chunk = item;
    this.#at = pieces.dataAt(item);
    this.#left = images.dataLengthOf(item);
    this.#room = length === this.#left ? length + CRLF_BYTES : length;
  }

  suspend(records: Records, record: number): void {
    const words = records.words;
    words[record + CHUNK] = this.#chunk;
    words[record + AT] = this.#at;
    words[record + ROOM] = this.#room;
  }

  /** An upload's REMAINING counts its CRLF. */
  resume(records: Records, record: number): void {
    const words = records.words;
    this.pieces = 0;
    this.#item = words[record + ITEM]!;
    this.#chunk = words[record + CHUNK]!;
    this.#at = words[record + AT]!;
    this.#room = words[record + ROOM]!;
    this.#left = words[record + REMAINING]! - CRLF_BYTES;
  }

  /** Where the next byte goes. */
  get at(): number {
    return this.#at;
  }

  /** Copies bytes from anywhere in the arena. */
  append(source: number, length: number): boolean {
    const copy = this.#memory.kernels.copy;
    while (length > 0) {
      if (this.#room === 0 && !this.#extend()) return false;
      const taken = Math.min(length, this.#room);
      copy(this.#at, source, taken);
      this.#advance(taken);
      source += taken;
      length -= taken;
    }
    return true;
  }

  /** The data of another item. */
  appendItem(item: number): boolean {
    const { pieces } = this.#store;
    const isChained = pieces.isChained(item);
    for (let chunk = item; chunk !== 0; chunk = isChained ? pieces.after(chunk) : 0) {
      if (!this.append(pieces.dataAt(chunk), pieces.lengthAt(chunk))) return false;
    }
    return true;
  }

  /** The same byte, many times. */
  fill(byte: number, length: number): boolean {
    const u8 = this.#memory.u8;
    while (length > 0) {
      if (this.#room === 0 && !this.#extend()) return false;
      const taken = Math.min(length, this.#room);
      u8.fill(byte, this.#at, this.#at + taken);
      this.#advance(taken);
      length -= taken;
    }
    return true;
  }

  /** All data is written, without a CRLF: takes the piece for the tail if it has no place yet. */
  finish(): boolean {
    return this.#room > 0 || this.#extend();
  }

  #advance(bytes: number): void {
    this.#at += bytes;
    this.#room -= bytes;
    this.#left -= bytes;
  }

  #extend(): boolean {
    const { pieces } = this.#store;
    const piece = this.#store.extend(this.#item, this.#chunk, this.#left);
    if (piece === NO_MEMORY) return false;
    this.pieces++;
    this.#chunk = piece;
    this.#at = pieces.dataAt(piece);
    this.#room = pieces.lengthAt(piece) + (pieces.isLast(this.#left) ? CRLF_BYTES : 0);
    return true;
  }
}
