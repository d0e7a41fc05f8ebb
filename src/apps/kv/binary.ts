/**
 * memcached's binary protocol: requests of a header, extras, a key and a value.
 *
 * - A connection whose first byte is 0x80 speaks it to its end; a request that begins with another
 *   byte closes it.
 * - `step` takes a whole header, extras and key, at most 529 bytes; a value is taken as that of a
 *   set (updates.ts), and its answer comes from `Updates.onBinary`.
 * - Quiet requests are not answered when all is as hoped (a get: when it misses).
 * - What has the wrong shape is answered and closes the connection. What is unknown is answered,
 *   and its body dropped. (memcached drops as much again: of the next request.)
 *
 * Called by protocol.ts. Read first: memcached's doc/protocol-binary.txt.
 */
import { type Arithmetic, DONE, NON_NUMERIC } from './arithmetic.ts';
import { BinaryAnswer, HEADER, STATUS } from './binary-answer.ts';
import {
  ADD,
  APPEND,
  DECREMENT,
  DELETE,
  FLUSH,
  GAT,
  GATK,
  GET,
  GET_VERSION,
  GETK,
  INCREMENT,
  isShaped,
  LOUD_OF,
  PREPEND,
  QUIT,
  REPLACE,
  SET,
  STAT,
  TOUCH,
  UNKNOWN,
  VERB_OF,
} from './binary-opcodes.ts';
import { CLASS_COUNT, COUNT, type Counts } from './counters.ts';
import type { KvConnection, KvHost } from './host.ts';
import {
  ACTIVE,
  CAS_HI,
  CAS_LO,
  CLASS_MASK,
  FETCHED,
  KEY_MAX,
  KEY_START,
  META,
  TIME,
} from './layout.ts';
import { VERB } from './line.ts';
import { LENGTH_MAX, type Numbers } from './numbers.ts';
import {
  BINARY_FORM,
  HAS_CAS,
  HI,
  HOW,
  LO,
  MODE,
  OPAQUE,
  OPCODE,
  QUIET,
  REMAINING,
  type Records,
  SWALLOW,
  VALUE,
} from './records.ts';
import { REPLY, type Replies, VERSION } from './replies.ts';
import type { StatsReport } from './stats.ts';
import { NO_MEMORY, type Store } from './store.ts';
import type { Updates } from './updates.ts';

export const BINARY_REQUEST = 0x80;

/** An expiry with which incr and decr make no item. */
const NO_VIVIFY = -1;
const FAR = 0x7fffffff;

const C_GETS = COUNT.cmd_get;
const C_HITS = COUNT.get_hits;
const C_MISSES = COUNT.get_misses;
const C_TOUCHES = COUNT.cmd_touch;
const C_TOUCH_HITS = COUNT.touch_hits;
const C_TOUCH_MISSES = COUNT.touch_misses;
const C_DELETE_HITS = COUNT.delete_hits;
const C_DELETE_MISSES = COUNT.delete_misses;
const C_INCR_HITS = COUNT.incr_hits;
const C_INCR_MISSES = COUNT.incr_misses;
const C_DECR_HITS = COUNT.decr_hits;
const C_DECR_MISSES = COUNT.decr_misses;
const C_FLUSH = COUNT.cmd_flush;
const CC_HITS = CLASS_COUNT.get_hits;
const CC_TOUCH_HITS = CLASS_COUNT.touch_hits;
const CC_DELETE_HITS = CLASS_COUNT.delete_hits;
const CC_INCR_HITS = CLASS_COUNT.incr_hits;
const CC_DECR_HITS = CLASS_COUNT.decr_hits;

export interface BinaryParts {
  host: KvHost;
  store: Store;
  replies: Replies;
  records: Records;
  numbers: Numbers;
  arithmetic: Arithmetic;
  updates: Updates;
  stats: StatsReport;
}

export class Binary {
  /** The last request found no room for its answer: nothing has happened. */
  isRefused = false;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #replies: Replies;
  readonly #records: Records;
  readonly #numbers: Numbers;
  readonly #arithmetic: Arithmetic;
  readonly #updates: Updates;
  readonly #stats: StatsReport;
  readonly #answer: BinaryAnswer;
  readonly #version: { readonly offset: number; readonly length: number };
  readonly #digits: number;
  /** The request being done. */
  #isQuiet = false;
  #key = 0;
  #keyLength = 0;
  #casLo = 0;
  #casHi = 0;

  constructor(parts: BinaryParts) {
    const { host } = parts;
    this.#u8 = host.u8;
    this.#i32 = host.i32;
    this.#view = host.view;
    this.#store = parts.store;
    this.#counts = parts.store.counts;
    this.#replies = parts.replies;
    this.#records = parts.records;
    this.#numbers = parts.numbers;
    this.#arithmetic = parts.arithmetic;
    this.#updates = parts.updates;
    this.#stats = parts.stats;
    this.#answer = new BinaryAnswer(host, parts.replies);
    this.#version = host.text(VERSION);
    this.#digits = host.alloc(24, 8);
    parts.updates.onBinary = (c, record, placed, reply) => this.#stored(c, record, placed, reply);
  }

  /** Takes one request; returns how far it read, or `at` when it is not here, or finds no room. */
  step(c: KvConnection, record: number, at: number, end: number): number {
    const u8 = this.#u8;
    const view = this.#view;
    const answer = this.#answer;
    this.isRefused = false;
    if (u8[at] !== BINARY_REQUEST) {
      this.#replies.end(c, record);
      return end;
    }
    if (end - at < HEADER) return at;
    const keyLength = view.getUint16(at + 2, false);
    const extras = u8[at + 4]!;
    const body = view.getUint32(at + 8, false);
    answer.take(u8[at + 1]!, view.getInt32(at + 12, true));
    const value = body - keyLength - extras;
    if (value < 0) {
      answer.refuse(c, record, STATUS.unknown);
      return end;
    }
    if (keyLength > KEY_MAX) {
      answer.refuse(c, record, STATUS.invalid);
      return end;
    }
    const next = at + HEADER + extras + keyLength;
    if (next > end) return at;
    const opcode = LOUD_OF[answer.opcode]!;
    this.#isQuiet = opcode !== answer.opcode && opcode !== UNKNOWN;
    this.#key = at + HEADER + extras;
    this.#keyLength = keyLength;
    this.#casHi = view.getInt32(at + 16, false);
    this.#casLo = view.getInt32(at + 20, false);
    this.#records.words[record + HOW] = BINARY_FORM;
    if (opcode === UNKNOWN) this.#unknown(c, record, value);
    else if (!isShaped(opcode, extras, keyLength, value)) {
      answer.refuse(c, record, STATUS.invalid);
      return end;
    } else this.#run(c, record, opcode, at + HEADER, extras, value, end - next);
    return this.isRefused ? at : next;
  }

  #run(
    c: KvConnection,
    record: number,
    opcode: number,
    extras: number,
    extrasLength: number,
    value: number,
    waiting: number,
  ): void {
    switch (opcode) {
      case GET:
      case GETK:
        return this.#get(c, record, opcode, 0);
      case TOUCH:
      case GAT:
      case GATK:
        return this.#get(c, record, opcode, this.#expiryAt(extras));
      case SET:
      case ADD:
      case REPLACE:
      case APPEND:
      case PREPEND:
        return this.#set(c, record, opcode, extras, value, waiting);
      case DELETE:
        return this.#delete(c, record);
      case INCREMENT:
      case DECREMENT:
        return this.#change(c, record, opcode === INCREMENT, extras);
      case FLUSH:
        return this.#flush(c, record, extrasLength === 0 ? 0 : this.#view.getInt32(extras, false));
      case STAT:
        return this.#report(c, record);
      case GET_VERSION:
        this.#answer.begin(STATUS.ok, 0, 0, this.#version.length, 0, 0);
        this.#answer.append(this.#version.offset, this.#version.length);
        return this.#answer.send(c, record);
      case QUIT:
        this.#ok(c, record, 0, 0);
        return this.#replies.end(c, record);
      default:
        return this.#ok(c, record, 0, 0);
    }
  }

  /** A second of the store's clock; above 31 bits it is a date in the far future. */
  #expiryAt(offset: number): number {
    const seconds = this.#view.getInt32(offset, false);
    return this.#store.clock.expiry(seconds < 0 ? FAR : seconds);
  }

  #ok(c: KvConnection, record: number, casLo: number, casHi: number): void {
    if (!this.#isQuiet) this.#answer.ok(c, record, casLo, casHi);
  }

  #unknown(c: KvConnection, record: number, value: number): void {
    if (value > LENGTH_MAX) return this.#answer.refuse(c, record, STATUS.unknown);
    const words = this.#records.words;
    this.#answer.error(c, record, STATUS.unknown);
    if (value === 0) return;
    words[record + REMAINING] = value;
    words[record + MODE] = SWALLOW;
  }

  #get(c: KvConnection, record: number, opcode: number, expiry: number): void {
    const store = this.#store;
    const isTouching = opcode >= TOUCH;
    const hasKey = opcode === GETK || opcode === GATK;
    const item = store.find(this.#key, this.#keyLength);
    if (item === 0) {
      this.#counts.bump(isTouching ? C_TOUCHES : C_GETS);
      this.#counts.bump(isTouching ? C_TOUCH_MISSES : C_MISSES);
      if (!this.#isQuiet) this.#miss(c, record, hasKey);
      return;
    }
    if (!this.#tell(c, record, item, hasKey, opcode !== TOUCH)) {
      this.isRefused = true;
      return;
    }
    const word = item >> 2;
    const meta = this.#i32[word + META]!;
    this.#i32[word + META] = meta | ACTIVE | FETCHED;
    this.#i32[word + TIME] = store.clock.now;
    const index = meta & CLASS_MASK;
    this.#counts.bump(isTouching ? C_TOUCHES : C_GETS);
    this.#counts.bump(isTouching ? C_TOUCH_HITS : C_HITS);
    this.#counts.bumpClass(index, isTouching ? CC_TOUCH_HITS : CC_HITS);
    if (isTouching) store.setExpiry(item, expiry);
  }

  #miss(c: KvConnection, record: number, hasKey: boolean): void {
    if (!hasKey) return this.#answer.error(c, record, STATUS.notFound);
    this.#answer.begin(STATUS.notFound, 0, this.#keyLength, this.#keyLength, 0, 0);
    this.#answer.append(this.#key, this.#keyLength);
    this.#answer.send(c, record);
  }

  /** An item; false: there is no room for it now. */
  #tell(
    c: KvConnection,
    record: number,
    item: number,
    hasKey: boolean,
    hasValue: boolean,
  ): boolean {
    const { images, pieces } = this.#store;
    const answer = this.#answer;
    const replies = this.#replies;
    const word = item >> 2;
    const keyLength = hasKey ? this.#keyLength : 0;
    const length = hasValue ? images.dataLengthOf(item) : 0;
    const isSmall = length <= BinaryAnswer.valueMax && !(hasValue && pieces.isChained(item));
    if (!isSmall && !c.writable) return false;
    const body = 4 + keyLength + length;
    answer.begin(
      STATUS.ok,
      4,
      keyLength,
      body,
      this.#i32[word + CAS_LO]!,
      this.#i32[word + CAS_HI]!,
    );
    answer.u32(images.flagsOf(item));
    if (hasKey) answer.append(item + KEY_START, keyLength);
    if (isSmall) {
      if (length > 0) answer.append(images.dataOf(item), length);
      answer.send(c, record);
      return true;
    }
    if (!replies.write(c, answer.start, answer.length)) return false;
    replies.sendData(c, record, item, 0);
    return true;
  }

  #set(
    c: KvConnection,
    record: number,
    opcode: number,
    extras: number,
    value: number,
    waiting: number,
  ): void {
    const words = this.#records.words;
    const isAppending = opcode === APPEND || opcode === PREPEND;
    const hasCas = this.#casLo !== 0 || this.#casHi !== 0;
    if (value > LENGTH_MAX) return this.#answer.refuse(c, record, STATUS.tooLarge);
    let how = BINARY_FORM;
    if (this.#isQuiet) how |= QUIET;
    if (isAppending && hasCas) how |= HAS_CAS;
    words[record + HOW] = how;
    words[record + LO] = this.#casLo;
    words[record + HI] = this.#casHi;
    words[record + OPCODE] = this.#answer.opcode;
    words[record + OPAQUE] = this.#answer.opaque;
    const verb = hasCas && !isAppending ? VERB.cas : VERB_OF[opcode]!;
    const flags = isAppending ? 0 : this.#view.getInt32(extras, false);
    const expiry = isAppending ? 0 : this.#expiryAt(extras + 4);
    const key = this.#key;
    this.#updates.start(c, record, verb, key, this.#keyLength, flags, expiry, value, waiting);
    if (value === 0 && words[record + MODE] === VALUE) this.#updates.feed(c, record, key, key);
  }

  /** What became of a value; `placed`: the item that is stored now. */
  #stored(c: KvConnection, record: number, placed: number, reply: number): void {
    const words = this.#records.words;
    const answer = this.#answer;
    const word = placed >> 2;
    answer.take(words[record + OPCODE]!, words[record + OPAQUE]!);
    if (reply !== REPLY.stored) return answer.error(c, record, this.#statusOf(reply));
    if ((words[record + HOW]! & QUIET) !== 0) return;
    answer.ok(c, record, this.#i32[word + CAS_LO]!, this.#i32[word + CAS_HI]!);
  }

  #statusOf(reply: number): number {
    if (reply === REPLY.exists) return STATUS.exists;
    if (reply === REPLY.notFound) return STATUS.notFound;
    if (reply === REPLY.tooLarge) return STATUS.tooLarge;
    if (reply === REPLY.noMemory) return STATUS.noMemory;
    const opcode = LOUD_OF[this.#answer.opcode]!;
    if (opcode === ADD) return STATUS.exists;
    return opcode === REPLACE ? STATUS.notFound : STATUS.notStored;
  }

  #isOtherCas(item: number): boolean {
    if (this.#casLo === 0 && this.#casHi === 0) return false;
    const word = item >> 2;
    return this.#i32[word + CAS_LO] !== this.#casLo || this.#i32[word + CAS_HI] !== this.#casHi;
  }

  #delete(c: KvConnection, record: number): void {
    const item = this.#store.find(this.#key, this.#keyLength);
    if (item === 0) {
      this.#counts.bump(C_DELETE_MISSES);
      return this.#answer.error(c, record, STATUS.notFound);
    }
    if (this.#isOtherCas(item)) return this.#answer.error(c, record, STATUS.exists);
    this.#counts.bump(C_DELETE_HITS);
    this.#counts.bumpClass(this.#store.classOf(item), CC_DELETE_HITS);
    this.#store.unlink(item);
    this.#ok(c, record, 0, 0);
  }

  #change(c: KvConnection, record: number, isIncrement: boolean, extras: number): void {
    const view = this.#view;
    const store = this.#store;
    const item = store.find(this.#key, this.#keyLength);
    if (item === 0) return this.#startNumber(c, record, isIncrement, extras);
    if (store.images.dataLengthOf(item) > 0 && this.#isOtherCas(item)) {
      return this.#answer.error(c, record, STATUS.exists);
    }
    const index = store.classOf(item);
    const arithmetic = this.#arithmetic;
    const hi = view.getInt32(extras, false);
    const result = arithmetic.change(item, isIncrement, view.getInt32(extras + 4, false), hi);
    if (result !== DONE) {
      const status = result === NON_NUMERIC ? STATUS.notNumeric : STATUS.noMemory;
      return this.#answer.error(c, record, status);
    }
    this.#counts.bump(isIncrement ? C_INCR_HITS : C_DECR_HITS);
    this.#counts.bumpClass(index, isIncrement ? CC_INCR_HITS : CC_DECR_HITS);
    this.#tellNumber(c, record, arithmetic.item, arithmetic.lo, arithmetic.hi);
  }

  /** There is no number yet: it begins with the initial value, if the request says so. */
  #startNumber(c: KvConnection, record: number, isIncrement: boolean, extras: number): void {
    const view = this.#view;
    const store = this.#store;
    if (view.getInt32(extras + 16, false) === NO_VIVIFY) {
      this.#counts.bump(isIncrement ? C_INCR_MISSES : C_DECR_MISSES);
      return this.#answer.error(c, record, STATUS.notFound);
    }
    const hi = view.getInt32(extras + 8, false);
    const lo = view.getInt32(extras + 12, false);
    const expiry = this.#expiryAt(extras + 16);
    const digits = this.#numbers.writeU64(this.#digits, lo, hi);
    const item = store.allocate(this.#key, this.#keyLength, 0, expiry, digits);
    if (item === NO_MEMORY) return this.#answer.error(c, record, STATUS.noMemory);
    const data = store.images.dataOf(item);
    for (let i = 0; i < digits; i++) this.#u8[data + i] = this.#u8[this.#digits + i]!;
    store.link(item);
    store.settle(item);
    this.#tellNumber(c, record, item, lo, hi);
  }

  #tellNumber(c: KvConnection, record: number, item: number, lo: number, hi: number): void {
    if (this.#isQuiet) return;
    const word = item >> 2;
    const answer = this.#answer;
    answer.begin(STATUS.ok, 0, 0, 8, this.#i32[word + CAS_LO]!, this.#i32[word + CAS_HI]!);
    answer.u32(hi);
    answer.u32(lo);
    answer.send(c, record);
  }

  #flush(c: KvConnection, record: number, delay: number): void {
    const store = this.#store;
    this.#counts.bump(C_FLUSH);
    if (delay > 0) store.flushAt(store.clock.expiry(delay));
    else store.flush();
    this.#ok(c, record, 0, 0);
  }

  /** One answer for each value, and an empty one behind them. Allocates. */
  #report(c: KvConnection, record: number): void {
    const key = Buffer.from(this.#u8.slice(this.#key, this.#key + this.#keyLength));
    const report = this.#stats.byName(key.toString('latin1'));
    if (report === undefined) return this.#answer.error(c, record, STATUS.notFound);
    const head = (name: string, value: string): string => {
      this.#answer.begin(STATUS.ok, 0, name.length, name.length + value.length, 0, 0);
      const { start } = this.#answer;
      return Buffer.from(this.#u8.slice(start, start + HEADER)).toString('latin1');
    };
    const rows = [...report.matchAll(/^STAT (\S+) (.*)\r$/gm), ['', '', '']];
    const text = rows.map(([, name, value]) => head(name!, value!) + name + value).join('');
    this.#replies.sayText(c, record, text);
  }
}
