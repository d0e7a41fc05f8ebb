/**
 * set, add, replace, append, prepend, cas: the line, the value as it arrives, and what becomes of
 * it. The values of meta commands, too (meta-set.ts), which are read and answered in another form.
 *
 * - `begin` reads a classic line; `start` allocates the item and leaves the connection in VALUE;
 *   `feed` copies each stretch of the value to where it will be sent from; nothing of it is ever on
 *   the JavaScript heap.
 * - Memory is taken as the value arrives: at once up to CHUNK_MAX, above that a piece at a time.
 *   What does not arrive in one delivery is an upload, and uploads have a ceiling (uploads.ts).
 * - A value that cannot be stored is swallowed: its length is known. What becomes of the value of a
 *   line that cannot be read is in refusals.ts.
 * - Whether the key exists is looked at when the value is complete.
 *
 * Called by protocol.ts. Read first: memcached's proto_text.c `process_update_command`, memcached.c
 * `do_store_item`.
 */
import { CLASS_COUNT, COUNT } from './counters.ts';
import type { KvConnection, Memory } from './host.ts';
import {
  CAS_HI,
  CAS_LO,
  CLASS_MASK,
  CRLF_BYTES,
  EXPTIME,
  fitsCache,
  HASH,
  KEY_BINARY,
  KEY_MAX,
  KEY_START,
  META,
  PIECE_CHUNK_BYTES,
  STALE,
  WON,
} from './layout.ts';
import { type Line, VERB } from './line.ts';
import { LENGTH_MAX, type Numbers } from './numbers.ts';
import {
  COMMAND,
  DUE,
  HAS_CAS,
  HAS_NEW_CAS,
  HELD,
  HI,
  HOW,
  IN_BASE64,
  ITEM,
  LO,
  MAY_BE_STALE,
  META_FORM,
  MODE,
  NEW_HI,
  NEW_LO,
  QUIET,
  REMAINING,
  type Records,
  SWALLOW,
  VALUE,
  VERB_WORD,
  VIVIFY,
} from './records.ts';
import type { Refusals } from './refusals.ts';
import { REPLY, type Replies } from './replies.ts';
import { NO_MEMORY, type Store } from './store.ts';
import { Uploads } from './uploads.ts';
import { Writer } from './writer.ts';

const SET = VERB.set;
const ADD = VERB.add;
const REPLACE = VERB.replace;
const APPEND = VERB.append;
const CAS = VERB.cas;
const R_ERROR = REPLY.error;
const R_BAD_FORMAT = REPLY.badFormat;
const R_BAD_CHUNK = REPLY.badChunk;
const R_TOO_LARGE = REPLY.tooLarge;
const R_NO_MEMORY = REPLY.noMemory;
const R_STORED = REPLY.stored;
const R_NOT_STORED = REPLY.notStored;
const R_EXISTS = REPLY.exists;
const R_NOT_FOUND = REPLY.notFound;
const C_SETS = COUNT.cmd_set;
const C_TOO_LARGE = COUNT.store_too_large;
const C_NO_MEMORY = COUNT.store_no_memory;
const C_DROPPED = COUNT.uploads_dropped;
const C_CAS_HITS = COUNT.cas_hits;
const C_CAS_BAD = COUNT.cas_badval;
const C_CAS_MISSES = COUNT.cas_misses;
const CC_SETS = CLASS_COUNT.cmd_set;
const CC_CAS_HITS = CLASS_COUNT.cas_hits;
const CC_CAS_BAD = CLASS_COUNT.cas_badval;
const PLUS = 43;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;

export class Updates {
  readonly #memory: Memory;
  readonly #copy: Memory['kernels']['copy'];
  readonly #store: Store;
  readonly #replies: Replies;
  readonly #records: Records;
  readonly #numbers: Numbers;
  readonly #refusals: Refusals;
  readonly #uploads: Uploads;
  readonly #writer: Writer;
  /** The item that the last value went into, 0: none. */
  #placed = 0;
  /** A value of a meta command is complete: the uploaded item, the stored one, and the outcome. */
  onMeta: (c: KvConnection, record: number, item: number, placed: number, reply: number) => void =
    () => {};

  constructor(
    memory: Memory,
    store: Store,
    replies: Replies,
    records: Records,
    numbers: Numbers,
    refusals: Refusals,
  ) {
    this.#uploads = new Uploads(records, store);
    this.#writer = new Writer(memory, store);
    store.onShort = () => this.dropStalled();
    this.#memory = memory;
    this.#copy = memory.kernels.copy;
    this.#store = store;
    this.#replies = replies;
    this.#records = records;
    this.#numbers = numbers;
    this.#refusals = refusals;
  }

  /**
   * A storage line: `verb key flags exptime bytes [cas] [noreply]`, with `waiting` bytes here
   * behind it.
   */
  begin(c: KvConnection, record: number, verb: number, line: Line, waiting: number): void {
    const wanted = verb === CAS ? 6 : 5;
    if (line.count !== wanted && line.count !== wanted + 1) {
      return this.#refusals.update(c, record, line, wanted, R_ERROR);
    }
    const words = this.#records.words;
    const numbers = this.#numbers;
    const { starts, lengths } = line;
    words[record + HOW] = line.isQuiet() ? QUIET : 0;
    const keyLength = lengths[1]!;
    if (keyLength > KEY_MAX) return this.#misshapen(c, record, line, wanted);
    if (!numbers.parseU32(starts[2]!, lengths[2]!)) {
      return this.#misshapen(c, record, line, wanted);
    }
    const flags = numbers.lo;
    if (!numbers.parseI32(starts[3]!, lengths[3]!)) {
      return this.#misshapen(c, record, line, wanted);
    }
    const exptime = numbers.lo;
    const length = numbers.parseLength(starts[4]!, lengths[4]!);
    if (length < 0 || length > LENGTH_MAX || this.#isMoved(line, wanted)) {
      return this.#misshapen(c, record, line, wanted);
    }
    if (verb === CAS) {
      if (!numbers.parseU64(starts[5]!, lengths[5]!)) {
        return this.#misshapen(c, record, line, wanted);
      }
      words[record + LO] = numbers.lo;
      words[record + HI] = numbers.hi;
    }
    const expiry = this.#store.clock.expiry(exptime);
    this.start(c, record, verb, starts[1]!, keyLength, flags, expiry, length, waiting);
  }

  /**
   * Takes a value of `length` bytes from here on, in the way that the record's HOW says. `expiry`
   * is a second of the store's clock.
   */
  start(
    c: KvConnection,
    record: number,
    verb: number,
    key: number,
    keyLength: number,
    flags: number,
    expiry: number,
    length: number,
    waiting: number,
  ): void {
    const words = this.#records.words;
    const store = this.#store;
    words[record + REMAINING] = length + CRLF_BYTES;
    words[record + VERB_WORD] = verb;
    if (!fitsCache(keyLength, flags, length)) {
      return this.#refuse(c, record, key, keyLength, R_TOO_LARGE, C_TOO_LARGE);
    }
    const item = store.allocate(key, keyLength, flags, expiry, length);
    if (item === NO_MEMORY) {
      return this.#refuse(c, record, key, keyLength, R_NO_MEMORY, C_NO_MEMORY);
    }
    if ((words[record + HOW]! & IN_BASE64) !== 0) this.#mark(item, KEY_BINARY);
    words[record + ITEM] = item;
    words[record + MODE] = VALUE;
    if (store.pieces.isChained(item)) {
      this.#writer.begin(item);
      this.#writer.suspend(this.#records, record);
    }
    if (waiting < length + CRLF_BYTES) this.#upload(record, item);
  }

  /** Takes what is here of the value; returns how far it read. */
  feed(c: KvConnection, record: number, at: number, end: number): number {
    const words = this.#records.words;
    const item = words[record + ITEM]!;
    const remaining = words[record + REMAINING]!;
    const images = this.#store.images;
    const taken = Math.min(end - at, remaining);
    if (this.#store.pieces.isChained(item)) return this.#feedChained(c, record, at, taken);
    if (taken < remaining) this.#uploads.progress(record);
    const behind = images.dataOf(item) + images.dataLengthOf(item) + CRLF_BYTES;
    this.#copy(behind - remaining, at, taken);
    words[record + REMAINING] = remaining - taken;
    if (taken === remaining) this.#complete(c, record, item, behind - CRLF_BYTES);
    return at + taken;
  }

  /** The same for a chained item, `length` bytes; the rest is swallowed if there is no memory. */
  #feedChained(c: KvConnection, record: number, at: number, length: number): number {
    const words = this.#records.words;
    const writer = this.#writer;
    const item = words[record + ITEM]!;
    const uploads = this.#uploads;
    uploads.progress(record);
    uploads.protect(record);
    writer.resume(this.#records, record);
    const isWritten = writer.append(at, length);
    if (words[record + HELD] !== 0) uploads.grow(record, writer.pieces * PIECE_CHUNK_BYTES);
    uploads.unprotect();
    const remaining = words[record + REMAINING]! - length;
    words[record + REMAINING] = remaining;
    if (!isWritten) {
      this.#giveUp(record);
      this.#say(c, record, R_NO_MEMORY);
    } else if (remaining === 0) this.#complete(c, record, item, writer.at - CRLF_BYTES);
    else {
      writer.suspend(this.#records, record);
      this.#limit(record);
    }
    return at + length;
  }

  /** The connection died in the middle of a value. */
  abandon(record: number): void {
    const words = this.#records.words;
    if (words[record + MODE] === VALUE) {
      this.#uploads.leave(record);
      this.#store.settle(words[record + ITEM]!);
    }
    words[record + MODE] = COMMAND;
  }

  /**
   * A word more is `noreply` or, as for memcached, no matter what; but not a number: then a blank
   * in the key has moved the others, and the length is not where it seems to be.
   */
  #isMoved(line: Line, wanted: number): boolean {
    if (line.count === wanted) return false;
    const byte = this.#memory.u8[line.starts[wanted]!]!;
    return byte === PLUS || byte === MINUS || (byte >= ZERO && byte <= NINE);
  }

  #misshapen(c: KvConnection, record: number, line: Line, wanted: number): void {
    this.#refusals.update(c, record, line, wanted, R_BAD_FORMAT);
  }

  /** Gives up the upload that has waited longest for bytes; false when there is none to give up. */
  dropStalled(): boolean {
    const record = this.#uploads.mostStalled();
    if (record < 0) return false;
    const words = this.#records.words;
    this.#store.counts.bump(C_DROPPED);
    this.#giveUp(record);
    if (words[record + HOW] !== QUIET) words[record + DUE] = R_NO_MEMORY + 1;
    return true;
  }

  /** Gives up all uploads that got no bytes for so long. */
  dropStalledFor(seconds: number): void {
    while (this.#uploads.stalledFor() >= seconds && this.dropStalled());
  }

  /** The value is not here in full: it counts as an upload from now on. */
  #upload(record: number, item: number): void {
    this.#uploads.enter(record, item);
    this.#limit(record);
  }

  /** Keeps all uploads together below their ceiling. */
  #limit(record: number): void {
    const uploads = this.#uploads;
    uploads.protect(record);
    while (uploads.isOver() && this.dropStalled());
    uploads.unprotect();
  }

  /** No memory for the rest of a value: it will be swallowed. */
  #giveUp(record: number): void {
    const words = this.#records.words;
    const store = this.#store;
    const item = words[record + ITEM]!;
    this.#uploads.leave(record);
    store.counts.bump(C_NO_MEMORY);
    words[record + MODE] = words[record + REMAINING] === 0 ? COMMAND : SWALLOW;
    words[record + ITEM] = 0;
    if (this.#mustUnlink(record)) {
      const hash = this.#memory.i32[(item >> 2) + HASH]!;
      const old = store.findHashed(hash, item + KEY_START, store.images.keyLengthOf(item));
      if (old !== 0) store.unlink(old);
    }
    store.settle(item);
  }

  /** Nothing silences an error but a classic `noreply`. */
  #say(c: KvConnection, record: number, reply: number): void {
    if (this.#records.words[record + HOW] !== QUIET) this.#replies.say(c, record, reply);
  }

  /** The value will be swallowed. */
  #refuse(
    c: KvConnection,
    record: number,
    key: number,
    keyLength: number,
    reply: number,
    count: number,
  ): void {
    this.#store.counts.bump(count);
    this.#records.words[record + MODE] = SWALLOW;
    if (this.#mustUnlink(record)) {
      const old = this.#store.find(key, keyLength);
      if (old !== 0) this.#store.unlink(old);
    }
    this.#say(c, record, reply);
  }

  /** A failed set must not leave the old value behind, nor does an ms of any mode. */
  #mustUnlink(record: number): boolean {
    const words = this.#records.words;
    return words[record + VERB_WORD] === SET || (words[record + HOW]! & META_FORM) !== 0;
  }

  #mark(item: number, bits: number): void {
    const cell = (item >> 2) + META;
    this.#memory.i32[cell] = this.#memory.i32[cell]! | bits;
  }

  #complete(c: KvConnection, record: number, item: number, tail: number): void {
    const words = this.#records.words;
    const store = this.#store;
    this.#uploads.leave(record);
    words[record + MODE] = COMMAND;
    words[record + ITEM] = 0;
    store.counts.bump(C_SETS);
    store.counts.bumpClass(this.#memory.i32[(item >> 2) + META]! & CLASS_MASK, CC_SETS);
    const u8 = this.#memory.u8;
    this.#placed = 0;
    const reply = u8[tail] === 13 && u8[tail + 1] === 10 ? this.#put(record, item) : R_BAD_CHUNK;
    if ((words[record + HOW]! & META_FORM) === 0) this.#say(c, record, reply);
    else if (reply === R_BAD_CHUNK) this.#replies.say(c, record, reply);
    else this.onMeta(c, record, item, this.#placed, reply);
    store.settle(item);
  }

  /** Decides what becomes of a complete item; the caller keeps its reference. */
  #put(record: number, item: number): number {
    const store = this.#store;
    const words = this.#records.words;
    const verb = words[record + VERB_WORD]!;
    const hash = this.#memory.i32[(item >> 2) + HASH]!;
    const old = store.findHashed(hash, item + KEY_START, store.images.keyLengthOf(item));
    if (old === 0) {
      if (verb === CAS) {
        store.counts.bump(C_CAS_MISSES);
        return R_NOT_FOUND;
      }
      if (verb !== SET && verb !== ADD && (words[record + HOW]! & VIVIFY) === 0) {
        return R_NOT_STORED;
      }
      store.link(item);
      return this.#isPlaced(record, item);
    }
    if (verb === ADD) return R_NOT_STORED;
    const isCompared = verb === CAS || (words[record + HOW]! & HAS_CAS) !== 0;
    if (isCompared && !this.#isSameCas(record, old) && !this.#isStale(record, old, item)) {
      return R_EXISTS;
    }
    if (verb !== SET && verb !== CAS && verb !== REPLACE) {
      return this.#concatenate(record, verb, old, item);
    }
    store.replace(old, item);
    return this.#isPlaced(record, item);
  }

  /** The item is linked. */
  #isPlaced(record: number, item: number): number {
    const words = this.#records.words;
    this.#placed = item;
    if ((words[record + HOW]! & HAS_NEW_CAS) !== 0) {
      this.#store.setCas(item, words[record + NEW_LO]!, words[record + NEW_HI]!);
    }
    return R_STORED;
  }

  /** Whether a value with an older cas is stored all the same: as one that is out of date. */
  #isStale(record: number, old: number, item: number): boolean {
    const words = this.#records.words;
    const i32 = this.#memory.i32;
    const word = old >> 2;
    if ((words[record + HOW]! & MAY_BE_STALE) === 0) return false;
    const lo = words[record + LO]! >>> 0;
    const hi = words[record + HI]! >>> 0;
    const oldHi = i32[word + CAS_HI]! >>> 0;
    const isOlder = hi === oldHi ? lo < i32[word + CAS_LO]! >>> 0 : hi < oldHi;
    if (!isOlder || (lo === 0 && hi === 0)) return false;
    i32[(item >> 2) + EXPTIME] = i32[word + EXPTIME]!;
    this.#mark(item, STALE | (i32[word + META]! & WON));
    return true;
  }

  #isSameCas(record: number, old: number): boolean {
    const i32 = this.#memory.i32;
    const words = this.#records.words;
    const counts = this.#store.counts;
    const word = old >> 2;
    const index = i32[word + META]! & CLASS_MASK;
    if (i32[word + CAS_LO] === words[record + LO] && i32[word + CAS_HI] === words[record + HI]) {
      counts.bump(C_CAS_HITS);
      counts.bumpClass(index, CC_CAS_HITS);
      return true;
    }
    counts.bump(C_CAS_BAD);
    counts.bumpClass(index, CC_CAS_BAD);
    return false;
  }

  /** append, prepend: a new item of both values; the old one's flags and expiry stay. */
  #concatenate(record: number, verb: number, old: number, item: number): number {
    const store = this.#store;
    const images = store.images;
    const keyLength = images.keyLengthOf(old);
    const flags = images.flagsOf(old);
    const oldLength = images.dataLengthOf(old);
    const addedLength = images.dataLengthOf(item);
    if (!fitsCache(keyLength, flags, oldLength + addedLength)) return R_NOT_STORED;
    store.reference(old);
    const expiry = this.#memory.i32[(old >> 2) + EXPTIME]!;
    const whole = store.allocate(
      old + KEY_START,
      keyLength,
      flags,
      expiry,
      oldLength + addedLength,
    );
    if (whole === NO_MEMORY) {
      store.release(old);
      return R_NOT_STORED;
    }
    this.#mark(whole, this.#memory.i32[(old >> 2) + META]! & KEY_BINARY);
    const writer = this.#writer;
    writer.begin(whole);
    const isWritten =
      verb === APPEND
        ? writer.appendItem(old) && writer.appendItem(item)
        : writer.appendItem(item) && writer.appendItem(old);
    const isWhole = isWritten && writer.finish();
    if (isWhole) store.replace(old, whole);
    store.release(old);
    store.settle(whole);
    return isWhole ? this.#isPlaced(record, whole) : R_NOT_STORED;
  }
}
