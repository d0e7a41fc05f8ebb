/**
 * The keys and values of a memcached load, as bytes in application memory.
 *
 * - Key i is a decimal number, filled up with zeros to the size that was drawn for it (as
 *   mutilate's); its value is a piece of one pool of random bytes, of the size drawn for it. Both
 *   depend on seed and i alone, so that every generator and every later run knows them.
 * - `get KEY\r\n` stands ready for every key: a GET copies nothing. SETs and multi-GETs are built
 *   in one scratch line.
 * - Keys below `stored` are stored before the measurement, the others are the misses.
 */

import { parseDistribution, sizeFrom } from '../workload/distribution.ts';
import { Random } from '../workload/random.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../workload/workload.ts';
import { fillRandom } from './bytes.ts';
import type { LoadHost } from './exchange.ts';

const GET_PREFIX = 'get ';
const SET_PREFIX = 'set ';
/** Values begin anywhere in this many bytes. */
const POOL_STARTS = 65_536;
/** A comparison takes at least four bytes. */
const KEY_BYTES_MIN = 4;
const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;

export interface ItemPlan {
  /** Keys that are stored before the measurement. */
  records: number;
  /** Share of the keys that are stored. */
  hitRatio: number;
  keySize: string;
  valueSize: string;
  multiGet: number;
  seed: number;
}

export class Items {
  readonly count: number;
  readonly stored: number;
  /** Per key: offset of the key itself, in `get KEY\r\n`; bytes of key and value. */
  readonly keyAt: Int32Array;
  readonly keyBytes: Uint8Array;
  readonly valueBytes: Int32Array;
  readonly #u8: Uint8Array;
  readonly #pool: number;
  readonly #scratch: number;
  /** Length of what was built last in the scratch line. */
  scratchBytes = 0;

  constructor(host: LoadHost, plan: ItemPlan) {
    const { records, hitRatio } = plan;
    this.#u8 = host.u8;
    this.stored = records;
    this.count = Math.max(records, Math.round(records / hitRatio));
    this.keyAt = new Int32Array(this.count);
    this.keyBytes = new Uint8Array(this.count);
    this.valueBytes = new Int32Array(this.count);
    this.#drawSizes(plan);
    this.#writeKeys(host);
    const valueMax = this.valueBytes.reduce((most, bytes) => Math.max(most, bytes), 4);
    this.#pool = host.alloc(POOL_STARTS + valueMax, 64);
    fillRandom(host.u8, this.#pool, POOL_STARTS + valueMax);
    const setMax = SET_PREFIX.length + KEY_BYTES_MAX + 32 + valueMax;
    const getMax = GET_PREFIX.length + plan.multiGet * (KEY_BYTES_MAX + 1) + 2;
    this.#scratch = host.alloc(Math.max(setMax, getMax), 64);
  }

  /** Bytes of `get KEY\r\n`, which begins GET_PREFIX before the key. */
  getAt(key: number): number {
    return this.keyAt[key]! - GET_PREFIX.length;
  }

  getBytes(key: number): number {
    return this.keyBytes[key]! + GET_PREFIX.length + 2;
  }

  /** Where the value of a key lies in the pool. */
  valueAt(key: number): number {
    return this.#pool + (Math.imul(key, 0x9e3779b1) >>> 16);
  }

  /** Offset of `set KEY 0 0 BYTES\r\nvalue\r\n`, `scratchBytes` long, until the next call. */
  set(key: number): number {
    const u8 = this.#u8;
    let at = this.#begin(SET_PREFIX);
    at = this.#copy(at, this.keyAt[key]!, this.keyBytes[key]!);
    for (let i = 0; i < 2; i++) {
      u8[at] = SPACE;
      u8[at + 1] = 0x30;
      at += 2;
    }
    u8[at] = SPACE;
    at = this.#decimal(at + 1, this.valueBytes[key]!);
    at = this.#lineEnd(at);
    at = this.#copy(at, this.valueAt(key), this.valueBytes[key]!);
    return this.#end(at);
  }

  /** Offset of `get KEY KEY ...\r\n` for `count` keys, `scratchBytes` long, until the next call. */
  multiGet(keys: Int32Array, first: number, count: number): number {
    let at = this.#begin(GET_PREFIX);
    for (let i = 0; i < count; i++) {
      const key = keys[first + i]!;
      at = this.#copy(at, this.keyAt[key]!, this.keyBytes[key]!);
      this.#u8[at] = SPACE;
      at++;
    }
    return this.#end(at - 1);
  }

  #begin(prefix: string): number {
    for (let i = 0; i < prefix.length; i++) this.#u8[this.#scratch + i] = prefix.charCodeAt(i);
    return this.#scratch + prefix.length;
  }

  #end(at: number): number {
    this.scratchBytes = this.#lineEnd(at) - this.#scratch;
    return this.#scratch;
  }

  #lineEnd(at: number): number {
    this.#u8[at] = CR;
    this.#u8[at + 1] = LF;
    return at + 2;
  }

  #copy(to: number, from: number, bytes: number): number {
    this.#u8.copyWithin(to, from, from + bytes);
    return to + bytes;
  }

  #decimal(at: number, value: number): number {
    let digits = 1;
    for (let n = value; n >= 10; n = (n / 10) | 0) digits++;
    for (let i = digits - 1; i >= 0; i--) {
      this.#u8[at + i] = 0x30 + (value % 10);
      value = (value / 10) | 0;
    }
    return at + digits;
  }

  #drawSizes({ keySize, valueSize, seed }: ItemPlan): void {
    const random = new Random(seed);
    const keySample = parseDistribution(keySize);
    const valueSample = parseDistribution(valueSize);
    const least = Math.max(KEY_BYTES_MIN, String(this.count - 1).length);
    for (let i = 0; i < this.count; i++) {
      this.keyBytes[i] = sizeFrom(keySample, random, least, KEY_BYTES_MAX);
      this.valueBytes[i] = sizeFrom(valueSample, random, 0, VALUE_BYTES_MAX);
    }
  }

  #writeKeys(host: LoadHost): void {
    let bytes = 0;
    for (let i = 0; i < this.count; i++) bytes += this.getBytes(i);
    let at = host.alloc(bytes, 64);
    for (let i = 0; i < this.count; i++) {
      const line = `${GET_PREFIX}${String(i).padStart(this.keyBytes[i]!, '0')}\r\n`;
      this.keyAt[i] = at + GET_PREFIX.length;
      for (let j = 0; j < line.length; j++) this.#u8[at + j] = line.charCodeAt(j);
      at += line.length;
    }
  }
}
