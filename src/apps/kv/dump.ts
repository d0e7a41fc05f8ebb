/**
 * `lru_crawler metadump`: one line for each item that can be found, so that tools can list the keys
 * (memcached-tool's dump and keys).
 *
 * - Bucket by bucket of the hash table, which never grows: what is stored and deleted meanwhile may
 *   be in it or not, everything else is in it once (but for the bucket that it stopped in, if that
 *   has changed).
 * - As far as the connection takes answers at a time: who reads slowly gets it slowly. And no
 *   further than GO_COST at a time, so that nobody waits for who asks a large store for next to
 *   nothing: the connection is paused, and resumed by a timer, one at a time. Where it stopped is
 *   in its record.
 * - Keys are percent-encoded, lines end in a bare LF, as memcached's do.
 *
 * Called by commands.ts, replies.ts and kv.ts. Read first: memcached's doc/protocol.txt, crawler.c.
 */
import { COUNT, type Counts } from './counters.ts';
import type { KvConnection, KvHost } from './host.ts';
import {
  CAS_HI,
  CAS_LO,
  CLASS_MASK,
  EXPTIME,
  FETCHED,
  HASH_NEXT,
  KEY_MAX,
  KEY_START,
  META,
  TIME,
} from './layout.ts';
import type { Line } from './line.ts';
import type { Numbers } from './numbers.ts';
import { DUMP_BUCKET, DUMP_DONE, DUMP_HIGH, DUMP_LOW, type Records } from './records.ts';
import type { Store } from './store.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const KEY = bytes('key=');
const EXP = bytes(' exp=');
const NEVER = bytes('-1');
const LAST = bytes(' la=');
const CAS = bytes(' cas=');
const READ = bytes(' fetch=yes');
const UNREAD = bytes(' fetch=no');
const CLASS = bytes(' cls=');
const SIZE = bytes(' size=');
const END = bytes('END\r\n');
const HEX = bytes('0123456789ABCDEF');
const LF = 10;
const PERCENT = 37;
/** A key of which each byte is encoded, and all numbers at their longest. */
const LINE_BYTES = KEY_MAX * 3 + 160;
/** Classes are a set of bits in two words of the record. */
const CLASSES_MAX = 64;

/** What one go may cost, in empty buckets: some 200 us; and what an item costs, wanted or not. */
const GO_COST = 65_536;
const ITEM_COST = 32;
/** Between two of them. */
const PAUSE_US = 1000;

/** RFC 3986 2.3. */
const UNRESERVED = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

export class Dump {
  readonly #store: Store;
  readonly #records: Records;
  readonly #numbers: Numbers;
  readonly #counts: Counts;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #scratch: number;
  readonly #host: KvHost;
  /** Paused connections, by record, in the order in which they go on. */
  readonly #paused = new Map<number, KvConnection>();
  #hasTimer = false;
  /** Items that this go has looked at. */
  #seen = 0;

  constructor(host: KvHost, records: Records, store: Store, numbers: Numbers) {
    this.#host = host;
    this.#store = store;
    this.#records = records;
    this.#numbers = numbers;
    this.#counts = store.counts;
    this.#u8 = host.u8;
    this.#i32 = host.i32;
    this.#scratch = host.alloc(LINE_BYTES, 8);
  }

  /** Starts at the beginning. `all`, `hash`, or numbers of classes (`1,3`); false: that is none. */
  begin(record: number, line: Line): boolean {
    const which = line.text(2);
    const words = this.#records.words;
    words[record + DUMP_BUCKET] = words[record + DUMP_DONE] = 0;
    const isAll = which === 'all' || which === 'hash';
    words[record + DUMP_LOW] = words[record + DUMP_HIGH] = isAll ? -1 : 0;
    if (isAll) return true;
    for (const each of which.split(',')) {
      const id = Number(each);
      if (!/^\d+$/.test(each) || id < 1 || id > this.#store.slabs.classCount) return false;
      const cell = record + (id <= 32 ? DUMP_LOW : DUMP_HIGH);
      if (id <= CLASSES_MAX) words[cell] = words[cell]! | (1 << ((id - 1) & 31));
    }
    return true;
  }

  /** Goes on; true when that was the end. */
  go(c: KvConnection, record: number): boolean {
    const words = this.#records.words;
    const { table } = this.#store;
    const from = words[record + DUMP_BUCKET]!;
    this.#seen = 0;
    for (let at = from; at < table.buckets; at++) {
      const first = table.first(at);
      const isLong = at - from + this.#seen * ITEM_COST > GO_COST;
      if (first === 0 && !isLong) continue;
      if (isLong || !c.writable || !this.#bucket(c, record, first)) {
        words[record + DUMP_BUCKET] = at;
        if (isLong) this.#pause(c, record);
        return false;
      }
    }
    words[record + DUMP_BUCKET] = table.buckets;
    return c.writable && this.#write(c, this.#text(this.#scratch, END));
  }

  #pause(c: KvConnection, record: number): void {
    c.pause();
    this.#paused.set(record, c);
    if (this.#hasTimer) return;
    this.#hasTimer = true;
    this.#host.timer(PAUSE_US, () => {
      this.#hasTimer = false;
      this.resumeOne();
    });
  }

  /**
   * Lets the one that has waited longest go on. By the timer, and once a second where that was
   * refused.
   */
  resumeOne(): void {
    for (const [record, c] of this.#paused) {
      this.#paused.delete(record);
      c.resume();
      break;
    }
    const [next] = this.#paused;
    if (next !== undefined) this.#pause(next[1], next[0]);
  }

  /** The connection is gone. */
  forget(record: number): void {
    this.#paused.delete(record);
  }

  /** The items of one bucket; false when there was no room for one, which then is the next. */
  #bucket(c: KvConnection, record: number, first: number): boolean {
    const words = this.#records.words;
    const i32 = this.#i32;
    const done = words[record + DUMP_DONE]!;
    let n = 0;
    for (let item = first; item !== 0; item = i32[(item >> 2) + HASH_NEXT]!) {
      this.#seen = (this.#seen + 1) | 0;
      if (n++ < done || !this.#isWanted(record, item)) continue;
      if (!this.#write(c, this.#line(item))) {
        words[record + DUMP_DONE] = n - 1;
        return false;
      }
    }
    words[record + DUMP_DONE] = 0;
    return true;
  }

  #isWanted(record: number, item: number): boolean {
    const index = this.#i32[(item >> 2) + META]! & CLASS_MASK;
    const set = this.#records.words[record + (index < 32 ? DUMP_LOW : DUMP_HIGH)]!;
    return ((set >> (index & 31)) & 1) !== 0 && !this.#store.isDead(item);
  }

  /** Sends the scratch space up to `end`. */
  #write(c: KvConnection, end: number): boolean {
    const length = end - this.#scratch;
    if (!c.write(this.#scratch, length)) return false;
    this.#counts.add(COUNT.bytes_written, length);
    return true;
  }

  /** Writes an item's line into the scratch space; returns its end. */
  #line(item: number): number {
    const i32 = this.#i32;
    const numbers = this.#numbers;
    const { clock, images } = this.#store;
    const word = item >> 2;
    const epoch = clock.unixTime - clock.now;
    const exptime = i32[word + EXPTIME]!;
    let at = this.#key(this.#text(this.#scratch, KEY), item);
    at = this.#text(at, EXP);
    if (exptime === 0) at = this.#text(at, NEVER);
    else at += numbers.writeU32(at, (epoch + exptime) | 0);
    at = this.#text(at, LAST);
    at += numbers.writeU32(at, (epoch + i32[word + TIME]!) | 0);
    at = this.#text(at, CAS);
    at += numbers.writeU64(at, i32[word + CAS_LO]!, i32[word + CAS_HI]!);
    at = this.#text(at, (i32[word + META]! & FETCHED) !== 0 ? READ : UNREAD);
    at = this.#text(at, CLASS);
    at += numbers.writeU32(at, (i32[word + META]! & CLASS_MASK) + 1);
    at = this.#text(at, SIZE);
    at += numbers.writeU32(at, images.bytesOf(item));
    this.#u8[at] = LF;
    return at + 1;
  }

  #key(at: number, item: number): number {
    const u8 = this.#u8;
    const end = item + KEY_START + this.#store.images.keyLengthOf(item);
    for (let from = item + KEY_START; from < end; from++) {
      const byte = u8[from]!;
      if (UNRESERVED[byte] === 1) u8[at++] = byte;
      else {
        u8[at] = PERCENT;
        u8[at + 1] = HEX[byte >> 4]!;
        u8[at + 2] = HEX[byte & 15]!;
        at += 3;
      }
    }
    return at;
  }

  #text(at: number, text: Uint8Array): number {
    for (let i = 0; i < text.length; i++) this.#u8[at + i] = text[i]!;
    return at + text.length;
  }
}
