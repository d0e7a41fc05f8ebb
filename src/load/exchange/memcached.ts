/**
 * The memcached exchange (ASCII): GET of one or several keys, SET of a share of them.
 *
 * - Every answer is checked: the key and the size of each value that is returned, the first and
 *   last word of every piece of its bytes, and its end. A key that was asked for and is not
 *   returned is a miss; a miss of a stored key is also `lost` (evicted).
 * - A SET writes the value that the key has: sizes stay those of the workload, and every later GET
 *   can be checked.
 * - Values may be longer than what lies together: their bytes are checked piece by piece.
 * - GETs of one key are constant bytes: nothing is copied or allocated.
 *
 * Read first: memcached's doc/protocol.txt, "Storage commands" and "Retrieval command".
 */
import type { Connection } from '../../libix/index.ts';
import type { LoadResult } from '../result/result.ts';
import { Popularity } from '../workload/popularity.ts';
import { Random } from '../workload/random.ts';
import { areEqual, endsAreEqual } from './bytes.ts';
import type { FillingExchange, LoadHost } from './exchange.ts';
import { type ItemPlan, Items } from './items.ts';

/** Four ASCII characters as the little-endian word that the view reads. */
const word = (text: string): number => Buffer.from(text, 'latin1').readInt32LE(0);
const WORD_VALU = word('VALU');
const WORD_END = word('END\r');
const WORD_STOR = word('STOR');
const WORD_ED = word('ED\r\n');
/** ` 0 `: the flags that we store. */
const WORD_FLAGS = word(' 0 \0') & 0xffffff;
const MISS_BYTES = 5;
const STORED_BYTES = 8;
const KEY_START = 6;
/** `VALUE `, the longest key, flags and size. */
const LINE_BYTES_MAX = 6 + 250 + 32;
const CR = 0x0d;
const LF = 0x0a;

/** Cells of the counters. */
const HITS = 0;
const MISSES = 1;
const LOST = 2;
const SETS = 3;

export interface MemcachedPlan extends ItemPlan {
  /** Share of requests that are SETs. */
  update: number;
  /** Exponent of Zipf's law; 0: uniform. */
  zipf: number;
  /** Of the requests; `seed` is of the items, which all generators share. */
  requestSeed: number;
}

export class MemcachedExchange implements FillingExchange {
  isWhole = false;
  readonly #view: DataView;
  readonly #items: Items;
  readonly #popularity: Popularity;
  readonly #random: Random;
  readonly #multiGet: number;
  /** A request is a SET when 32 random bits are below this. */
  readonly #updateBelow: number;
  /** Per slot: the keys asked for; a SET is ~key in the first place. */
  readonly #asked: Int32Array;
  /**
   * Per connection: keys of the awaited answer that are done with; bytes of the current value still
   * to come.
   */
  readonly #done: Int32Array;
  readonly #left: Int32Array;
  readonly #counts = new Float64Array(4);
  #isCounting = false;
  #isFilling = true;
  #nextToStore = 0;
  #storedCount = 0;

  constructor(host: LoadHost, connections: number, depth: number, plan: MemcachedPlan) {
    this.#view = host.view;
    this.#items = new Items(host, plan);
    this.#random = new Random(plan.requestSeed);
    this.#popularity = new Popularity(this.#items.count, plan.zipf, this.#random);
    this.#multiGet = plan.multiGet;
    this.#updateBelow = plan.update * 2 ** 32;
    this.#asked = new Int32Array(connections * depth * plan.multiGet);
    this.#done = new Int32Array(connections);
    this.#left = new Int32Array(connections);
  }

  mayStore(): boolean {
    return this.#nextToStore < this.#items.stored;
  }

  isFilled(): boolean {
    return this.#storedCount === this.#items.stored;
  }

  endFill(): void {
    this.#isFilling = false;
  }

  count(on: boolean): void {
    this.#isCounting = on;
    if (on) this.#counts.fill(0);
  }

  reset(k: number): void {
    this.#done[k] = 0;
    this.#left[k] = 0;
  }

  summary(): Partial<LoadResult> {
    const [hits, misses, lost, sets] = this.#counts as unknown as [number, number, number, number];
    return { hits, misses, lost, sets };
  }

  // --- requests ---

  request(c: Connection, slot: number): boolean {
    const place = slot * this.#multiGet;
    if (this.#isFilling) {
      if (!this.#set(c, place, this.#nextToStore)) return false;
      this.#nextToStore++;
      return true;
    }
    const key = this.#popularity.draw();
    if (this.#updateBelow > 0 && this.#random.bits() >>> 0 < this.#updateBelow) {
      return this.#set(c, place, key % this.#items.stored);
    }
    this.#asked[place] = key;
    if (this.#multiGet === 1) return c.send(this.#items.getAt(key), this.#items.getBytes(key));
    for (let i = 1; i < this.#multiGet; i++) this.#asked[place + i] = this.#popularity.draw();
    const line = this.#items.multiGet(this.#asked, place, this.#multiGet);
    return c.write(line, this.#items.scratchBytes);
  }

  #set(c: Connection, place: number, key: number): boolean {
    const line = this.#items.set(key);
    if (!c.write(line, this.#items.scratchBytes)) return false;
    this.#asked[place] = ~key;
    return true;
  }

  // --- answers ---

  answer(k: number, slot: number, offset: number, length: number): number {
    this.isWhole = false;
    if (this.#left[k]! > 0) return this.#valueBytes(k, slot, offset, length);
    if (length < MISS_BYTES) return 0;
    const place = slot * this.#multiGet;
    if (this.#asked[place]! < 0) return this.#stored(offset, length);
    const start = this.#view.getInt32(offset, true);
    if (start === WORD_END) {
      if (this.#view.getUint8(offset + 4) !== LF) return -1;
      this.#missed(place, this.#done[k]!, this.#multiGet);
      this.#done[k] = 0;
      this.isWhole = true;
      return MISS_BYTES;
    }
    return start === WORD_VALU ? this.#valueLine(k, place, offset, length) : -1;
  }

  #stored(offset: number, length: number): number {
    if (length < STORED_BYTES) return 0;
    const view = this.#view;
    const isStored =
      view.getInt32(offset, true) === WORD_STOR && view.getInt32(offset + 4, true) === WORD_ED;
    if (!isStored) return -1;
    if (this.#isFilling) this.#storedCount++;
    this.#count(SETS, 1);
    this.isWhole = true;
    return STORED_BYTES;
  }

  /** `VALUE key 0 bytes\r\n`, of the key that is awaited or, in a multi-GET, of one after it. */
  #valueLine(k: number, place: number, offset: number, length: number): number {
    const items = this.#items;
    const view = this.#view;
    for (let i = this.#done[k]!; i < this.#multiGet; i++) {
      const key = this.#asked[place + i]!;
      const keyBytes = items.keyBytes[key]!;
      const afterKey = KEY_START + keyBytes;
      if (length < afterKey + 4) continue;
      if (!areEqual(view, offset + KEY_START, items.keyAt[key]!, keyBytes)) continue;
      if ((view.getInt32(offset + afterKey, true) & 0xffffff) !== WORD_FLAGS) continue;
      const used = this.#size(offset, afterKey + 3, length, items.valueBytes[key]!);
      if (used <= 0) return used;
      this.#missed(place, this.#done[k]!, i);
      this.#count(HITS, 1);
      this.#done[k] = i + 1;
      this.#left[k] = items.valueBytes[key]! + 2;
      return used;
    }
    return this.#hasLine(offset, length) ? -1 : 0;
  }

  /** Whether the first line is all here (or longer than any that is awaited). */
  #hasLine(offset: number, length: number): boolean {
    if (length > LINE_BYTES_MAX) return true;
    for (let i = 0; i < length; i++) if (this.#view.getUint8(offset + i) === LF) return true;
    return false;
  }

  /**
   * Reads `bytes\r\n` at `at`; returns where the line ends, 0 when it is not all here, -1 when it
   * is not `expected`.
   */
  #size(offset: number, at: number, length: number, expected: number): number {
    const view = this.#view;
    let size = 0;
    for (; at < length; at++) {
      const byte = view.getUint8(offset + at);
      if (byte === CR) {
        if (at + 1 === length) return 0;
        return size === expected && view.getUint8(offset + at + 1) === LF ? at + 2 : -1;
      }
      if (byte < 0x30 || byte > 0x39) return -1;
      size = (size * 10 + byte - 0x30) | 0;
    }
    return 0;
  }

  /** Bytes of the value, and the line end behind it. */
  #valueBytes(k: number, slot: number, offset: number, length: number): number {
    const view = this.#view;
    const key = this.#asked[slot * this.#multiGet + this.#done[k]! - 1]!;
    let left = this.#left[k]!;
    let used = 0;
    if (left > 2) {
      used = Math.min(length, left - 2);
      const position = this.#items.valueBytes[key]! - (left - 2);
      if (!endsAreEqual(view, offset, this.#items.valueAt(key) + position, used)) return -1;
      left -= used;
    }
    for (; left > 0 && left <= 2 && used < length; left--, used++) {
      if (view.getUint8(offset + used) !== (left === 2 ? CR : LF)) return -1;
    }
    this.#left[k] = left;
    return used;
  }

  /** Keys of an answer that were not returned. */
  #missed(place: number, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      this.#count(MISSES, 1);
      if (this.#asked[place + i]! < this.#items.stored) this.#count(LOST, 1);
    }
  }

  #count(cell: number, n: number): void {
    if (this.#isCounting) this.#counts[cell] = this.#counts[cell]! + n;
  }
}
