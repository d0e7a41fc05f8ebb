/**
 * mg and me: an item, or what is known of it.
 *
 * - Flags are answered and take effect in the order in which they stand: `t T30` tells the old time
 *   to live. Nothing takes effect before the answer has found room: an `mg` that finds none is left
 *   unconsumed, and comes again.
 * - A small value is part of the line's one write; a large one goes out from where it is stored,
 *   and waits, with its command, for a peer that takes answers.
 * - W, Z and X (won, won by somebody else, out of date) come last. Who vivifies wins; so does the
 *   first who reads an item that is out of date, or asks with R for one that soon will be.
 * - `C` (a cas) leaves the value out when the item still has that cas: HD instead of VA.
 *
 * Called by meta.ts. Read first: memcached's doc/protocol.txt, "Meta Get".
 */

import { CLASS_COUNT, COUNT, type Counts } from './counters.ts';
import type { KvConnection, Memory } from './host.ts';
import {
  ACTIVE,
  CAS_HI,
  CAS_LO,
  CLASS_MASK,
  CRLF_BYTES,
  EXPTIME,
  FETCHED,
  KEY_BINARY,
  KEY_START,
  META,
  STALE,
  TIME,
  WON,
} from './layout.ts';
import {
  LOWER_B,
  LOWER_C,
  LOWER_F,
  LOWER_H,
  LOWER_K,
  LOWER_L,
  LOWER_Q,
  LOWER_S,
  LOWER_T,
  LOWER_U,
  LOWER_V,
  UPPER_C,
  UPPER_D,
  UPPER_E,
  UPPER_H,
  UPPER_M,
  UPPER_N,
  UPPER_O,
  UPPER_R,
  UPPER_T,
  UPPER_W,
  UPPER_X,
  UPPER_Z,
} from './letters.ts';
import type { Line } from './line.ts';
import type { MetaAnswer } from './meta-answer.ts';
import { type MetaFlags, NO_ERROR } from './meta-flags.ts';
import { COPY_MAX, REPLY, type Replies } from './replies.ts';
import { NO_MEMORY, type Store } from './store.ts';

const SPACE = 32;

const R_MISS = REPLY.metaMiss;
const R_BAD_FORMAT = REPLY.badFormat;
const R_BAD_KEY = REPLY.badKey;
const C_GETS = COUNT.cmd_get;
const C_HITS = COUNT.get_hits;
const C_MISSES = COUNT.get_misses;
const C_TOUCHES = COUNT.cmd_touch;
const C_TOUCH_HITS = COUNT.touch_hits;
const C_TOUCH_MISSES = COUNT.touch_misses;
const C_META = COUNT.cmd_meta;
const CC_HITS = CLASS_COUNT.get_hits;
const CC_TOUCH_HITS = CLASS_COUNT.touch_hits;

const text = (of: string): Uint8Array => Uint8Array.from(Buffer.from(of));
const EXP = text(' exp=');
const LAST = text(' la=');
const CAS = text(' cas=');
const READ = text(' fetch=yes');
const UNREAD = text(' fetch=no');
const CLASS = text(' cls=');
const SIZE = text(' size=');
const MINUS = text('-');

export class MetaGet {
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #replies: Replies;
  readonly #flags: MetaFlags;
  readonly #answer: MetaAnswer;
  /** While an answer is made: what the item's expiry will be, and whether W is told. */
  #expiry = 0;
  #isWon = false;

  constructor(
    memory: Memory,
    store: Store,
    replies: Replies,
    flags: MetaFlags,
    answer: MetaAnswer,
  ) {
    this.#u8 = memory.u8;
    this.#i32 = memory.i32;
    this.#store = store;
    this.#counts = store.counts;
    this.#replies = replies;
    this.#flags = flags;
    this.#answer = answer;
  }

  /** An mg line; false when there was no room for its answer: nothing has happened. */
  get(c: KvConnection, record: number, line: Line): boolean {
    const flags = this.#flags;
    const replies = this.#replies;
    const error = flags.read(line, 2);
    if (error !== NO_ERROR) {
      replies.say(c, record, error);
      return true;
    }
    let item = this.#store.find(flags.key, flags.keyLength);
    const isNew = item === 0 && flags.has(UPPER_N);
    if (isNew) item = this.#vivify();
    if (item === 0) {
      this.#miss(c, record, line);
      return true;
    }
    if (!flags.has(LOWER_V) || this.#isUnchanged(item)) {
      this.#answer.code(UPPER_H, UPPER_D);
      this.#describe(line, item, isNew);
      replies.reply(c, record, this.#answer.start, this.#answer.length);
      this.#apply(item);
      return true;
    }
    return this.#tell(c, record, line, item, isNew);
  }

  /** The answer with the value. */
  #tell(c: KvConnection, record: number, line: Line, item: number, isNew: boolean): boolean {
    const { images, pieces } = this.#store;
    const answer = this.#answer;
    const replies = this.#replies;
    const length = images.dataLengthOf(item);
    const isSmall = length + CRLF_BYTES <= COPY_MAX && !pieces.isChained(item);
    if (!isSmall && !c.writable) return false;
    answer.value(length);
    this.#describe(line, item, isNew);
    if (isSmall) {
      answer.append(images.dataOf(item), length + CRLF_BYTES);
      replies.reply(c, record, answer.start, answer.length);
    } else {
      if (!replies.write(c, answer.start, answer.length)) return false;
      replies.sendData(c, record, item, CRLF_BYTES);
    }
    this.#apply(item);
    return true;
  }

  #isUnchanged(item: number): boolean {
    const flags = this.#flags;
    const word = item >> 2;
    return (
      flags.has(UPPER_C) &&
      this.#i32[word + CAS_LO] === flags.casLo &&
      this.#i32[word + CAS_HI] === flags.casHi
    );
  }

  /** An empty item in the place of none; 0: no memory. */
  #vivify(): number {
    const flags = this.#flags;
    const store = this.#store;
    const item = store.allocate(flags.key, flags.keyLength, 0, 0, 0);
    if (item === NO_MEMORY) return 0;
    if (flags.has(LOWER_B))
      this.#i32[(item >> 2) + META] = this.#i32[(item >> 2) + META]! | KEY_BINARY;
    store.link(item);
    store.settle(item);
    if (flags.has(UPPER_E)) store.setCas(item, flags.newCasLo, flags.newCasHi);
    return item;
  }

  /** Writes the flags of an answer, and its end. */
  #describe(line: Line, item: number, isNew: boolean): void {
    const answer = this.#answer;
    const meta = this.#i32[(item >> 2) + META]!;
    this.#expiry = this.#i32[(item >> 2) + EXPTIME]!;
    this.#isWon = false;
    for (let i = 2; i < line.count; i++) this.#flag(line, i, item, isNew);
    if ((meta & WON) !== 0) answer.flag(UPPER_Z);
    if ((meta & STALE) !== 0) {
      answer.flag(UPPER_X);
      if ((meta & WON) === 0) this.#isWon = true;
    }
    if (this.#isWon) answer.flag(UPPER_W);
    answer.end();
  }

  #flag(line: Line, index: number, item: number, isNew: boolean): void {
    const i32 = this.#i32;
    const flags = this.#flags;
    const answer = this.#answer;
    const { images, clock } = this.#store;
    const word = item >> 2;
    const meta = i32[word + META]!;
    const letter = this.#u8[line.starts[index]!]!;
    switch (letter) {
      case UPPER_T:
        this.#expiry = flags.expiry;
        break;
      case UPPER_N:
        if (isNew) {
          this.#expiry = flags.vivifyExpiry;
          this.#isWon = true;
        }
        break;
      case UPPER_R:
        if (
          (meta & WON) === 0 &&
          !isNew &&
          this.#expiry !== 0 &&
          this.#expiry < flags.recacheExpiry
        ) {
          this.#isWon = true;
        }
        break;
      case LOWER_S:
        return answer.u32(letter, images.dataLengthOf(item));
      case LOWER_T:
        return answer.ttl(letter, this.#expiry, clock.now);
      case LOWER_C:
        return answer.u64(letter, i32[word + CAS_LO]!, i32[word + CAS_HI]!);
      case LOWER_F:
        return answer.u32(letter, images.flagsOf(item));
      case LOWER_L:
        return answer.u32(letter, (clock.now - i32[word + TIME]!) | 0);
      case LOWER_H:
        return answer.digit(letter, (meta & FETCHED) !== 0);
      case UPPER_O:
        return answer.word(line.starts[index]!, line.lengths[index]!);
      case LOWER_K:
        return answer.key(item + KEY_START, images.keyLengthOf(item), (meta & KEY_BINARY) !== 0);
    }
  }

  /** The answer is on its way: what it said becomes true of the item. */
  #apply(item: number): void {
    const i32 = this.#i32;
    const flags = this.#flags;
    const counts = this.#counts;
    const word = item >> 2;
    let meta = i32[word + META]!;
    if (this.#expiry !== i32[word + EXPTIME]) this.#store.setExpiry(item, this.#expiry);
    if (this.#isWon) meta |= WON;
    if (!flags.has(LOWER_U)) {
      meta |= ACTIVE | FETCHED;
      i32[word + TIME] = this.#store.clock.now;
    }
    i32[word + META] = meta;
    const index = meta & CLASS_MASK;
    if (flags.has(UPPER_T)) {
      counts.bump(C_TOUCHES);
      counts.bump(C_TOUCH_HITS);
      counts.bumpClass(index, CC_TOUCH_HITS);
    } else {
      counts.bump(C_GETS);
      counts.bump(C_HITS);
      counts.bumpClass(index, CC_HITS);
    }
  }

  #miss(c: KvConnection, record: number, line: Line): void {
    const flags = this.#flags;
    const answer = this.#answer;
    const isTouch = flags.has(UPPER_T);
    this.#counts.bump(isTouch ? C_TOUCHES : C_GETS);
    this.#counts.bump(isTouch ? C_TOUCH_MISSES : C_MISSES);
    if (flags.has(LOWER_Q)) return;
    answer.code(UPPER_E, UPPER_N);
    for (let i = 2; i < line.count; i++) {
      const letter = this.#u8[line.starts[i]!]!;
      if (letter === UPPER_O) answer.word(line.starts[i]!, line.lengths[i]!);
      if (letter === LOWER_K) answer.key(flags.key, flags.keyLength, flags.has(LOWER_B));
    }
    answer.end();
    this.#replies.reply(c, record, answer.start, answer.length);
  }

  /** An me line: everything that is known of an item, in words. */
  debug(c: KvConnection, record: number, line: Line): void {
    const flags = this.#flags;
    this.#counts.bump(C_META);
    const isBase64 =
      line.count > 2 && line.lengths[2] === 1 && this.#u8[line.starts[2]!] === LOWER_B;
    const error = flags.read(line, isBase64 ? 2 : line.count);
    if (error !== NO_ERROR) {
      return this.#replies.say(c, record, error === R_BAD_KEY ? R_BAD_FORMAT : error);
    }
    const item = this.#store.find(flags.key, flags.keyLength);
    if (item === 0) return this.#replies.say(c, record, R_MISS);
    this.#describeInWords(item);
    this.#replies.reply(c, record, this.#answer.start, this.#answer.length);
  }

  #describeInWords(item: number): void {
    const { images, clock } = this.#store;
    const i32 = this.#i32;
    const answer = this.#answer;
    const word = item >> 2;
    const meta = i32[word + META]!;
    const expiry = i32[word + EXPTIME]!;
    answer.code(UPPER_M, UPPER_E);
    this.#u8[answer.at++] = SPACE;
    answer.bareKey(item + KEY_START, images.keyLengthOf(item), (meta & KEY_BINARY) !== 0);
    answer.bytes(EXP);
    if (expiry === 0) answer.bytes(MINUS);
    answer.number(expiry === 0 ? 1 : expiry - clock.now, 0);
    answer.bytes(LAST);
    answer.number((clock.now - i32[word + TIME]!) | 0, 0);
    answer.bytes(CAS);
    answer.number(i32[word + CAS_LO]!, i32[word + CAS_HI]!);
    answer.bytes((meta & FETCHED) !== 0 ? READ : UNREAD);
    answer.bytes(CLASS);
    answer.number((meta & CLASS_MASK) + 1, 0);
    answer.bytes(SIZE);
    answer.number(images.bytesOf(item), 0);
    answer.end();
  }
}
