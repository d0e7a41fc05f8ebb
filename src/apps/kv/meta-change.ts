/**
 * md and ma: deleting, marking as out of date, emptying; and arithmetic.
 *
 * - md with I leaves the item, marked: the next who reads it is told so, and wins. With x it leaves
 *   the item without its value and client flags.
 * - ma is incr and decr (arithmetic.ts), with a start value for what is not there (N, J).
 * - Quiet ones do not say HD; everything else they say.
 *
 * Called by meta.ts. Read first: memcached's doc/protocol.txt, "Meta Delete", "Meta Arithmetic".
 */

import { type Arithmetic, DONE, NON_NUMERIC } from './arithmetic.ts';
import { CLASS_COUNT, COUNT, type Counts } from './counters.ts';
import type { KvConnection, Memory } from './host.ts';
import { CAS_HI, CAS_LO, CLASS_MASK, EXPTIME, KEY_BINARY, META, STALE, WON } from './layout.ts';
import {
  LOWER_B,
  LOWER_C,
  LOWER_K,
  LOWER_Q,
  LOWER_T,
  LOWER_V,
  LOWER_X,
  UPPER_C,
  UPPER_D,
  UPPER_E,
  UPPER_F,
  UPPER_H,
  UPPER_I,
  UPPER_N,
  UPPER_O,
  UPPER_T,
  UPPER_X,
} from './letters.ts';
import type { Line } from './line.ts';
import type { MetaAnswer } from './meta-answer.ts';
import { type MetaFlags, NO_ERROR } from './meta-flags.ts';
import type { Numbers } from './numbers.ts';
import { REPLY, type Replies } from './replies.ts';
import { NO_MEMORY, type Store } from './store.ts';

const PLUS = 43;
const MINUS = 45;
const DIGITS_MAX = 20;

const R_BAD_FLAGS = REPLY.badFlags;
const R_BAD_MODE = REPLY.badArithmeticMode;
const R_OPAQUE = REPLY.longOpaque;
const R_NON_NUMERIC = REPLY.nonNumeric;
const R_NO_MEMORY = REPLY.noMemoryIncr;
const R_NO_MEMORY_NEW = REPLY.noMemoryNew;
const C_DELETE_HITS = COUNT.delete_hits;
const C_DELETE_MISSES = COUNT.delete_misses;
const C_INCR_HITS = COUNT.incr_hits;
const C_INCR_MISSES = COUNT.incr_misses;
const C_DECR_HITS = COUNT.decr_hits;
const C_DECR_MISSES = COUNT.decr_misses;
const CC_DELETE_HITS = CLASS_COUNT.delete_hits;
const CC_INCR_HITS = CLASS_COUNT.incr_hits;
const CC_DECR_HITS = CLASS_COUNT.decr_hits;

export interface MetaChangeParts {
  memory: Memory;
  store: Store;
  replies: Replies;
  numbers: Numbers;
  arithmetic: Arithmetic;
  flags: MetaFlags;
  answer: MetaAnswer;
  /** `MetaChange.scratchBytes` in the arena. */
  scratch: number;
}

export class MetaChange {
  static readonly scratchBytes = DIGITS_MAX;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #copy: Memory['kernels']['copy'];
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #replies: Replies;
  readonly #numbers: Numbers;
  readonly #arithmetic: Arithmetic;
  readonly #flags: MetaFlags;
  readonly #answer: MetaAnswer;
  readonly #digits: number;

  constructor(parts: MetaChangeParts) {
    this.#u8 = parts.memory.u8;
    this.#i32 = parts.memory.i32;
    this.#copy = parts.memory.kernels.copy;
    this.#store = parts.store;
    this.#counts = parts.store.counts;
    this.#replies = parts.replies;
    this.#numbers = parts.numbers;
    this.#arithmetic = parts.arithmetic;
    this.#flags = parts.flags;
    this.#answer = parts.answer;
    this.#digits = parts.scratch;
  }

  /** An md line. */
  remove(c: KvConnection, record: number, line: Line): void {
    const flags = this.#flags;
    const store = this.#store;
    const error = flags.read(line, 2);
    if (error !== NO_ERROR) return this.#replies.say(c, record, error);
    let item = store.find(flags.key, flags.keyLength);
    if (item === 0 || !this.#isCasAsAsked(item)) {
      this.#counts.bump(C_DELETE_MISSES);
      if (item === 0) this.#answer.code(UPPER_N, UPPER_F);
      else this.#answer.code(UPPER_E, UPPER_X);
      return this.#end(c, record, line);
    }
    if (flags.has(LOWER_X)) {
      item = this.#empty(item);
      if (item === NO_MEMORY) return this.#replies.say(c, record, R_NO_MEMORY);
    }
    if (flags.has(UPPER_I)) this.#invalidate(item);
    else {
      this.#counts.bump(C_DELETE_HITS);
      this.#counts.bumpClass(this.#classOf(item), CC_DELETE_HITS);
      if (!flags.has(LOWER_X)) store.unlink(item);
    }
    if (flags.has(LOWER_Q)) return;
    this.#answer.code(UPPER_H, UPPER_D);
    this.#end(c, record, line);
  }

  #isCasAsAsked(item: number): boolean {
    const flags = this.#flags;
    const word = item >> 2;
    return (
      !flags.has(UPPER_C) ||
      (this.#i32[word + CAS_LO] === flags.casLo && this.#i32[word + CAS_HI] === flags.casHi)
    );
  }

  /** An item without a value in the place of this one, with its cas; or NO_MEMORY. */
  #empty(old: number): number {
    const flags = this.#flags;
    const store = this.#store;
    const i32 = this.#i32;
    store.reference(old);
    const { key, keyLength, clientFlags, expiry } = flags;
    const item = store.allocate(key, keyLength, clientFlags, expiry, 0);
    if (item === NO_MEMORY) {
      store.release(old);
      return NO_MEMORY;
    }
    const bits = i32[(old >> 2) + META]! & KEY_BINARY;
    i32[(item >> 2) + META] = i32[(item >> 2) + META]! | bits;
    store.replace(old, item);
    if (flags.has(UPPER_E)) store.setCas(item, flags.newCasLo, flags.newCasHi);
    else store.setCas(item, i32[(old >> 2) + CAS_LO]!, i32[(old >> 2) + CAS_HI]!);
    store.settle(item);
    store.release(old);
    return item;
  }

  #invalidate(item: number): void {
    const flags = this.#flags;
    const cell = (item >> 2) + META;
    if (flags.has(UPPER_T)) this.#store.setExpiry(item, flags.expiry);
    this.#i32[cell] = (this.#i32[cell]! | STALE) & ~WON;
    if (flags.has(UPPER_E)) this.#store.setCas(item, flags.newCasLo, flags.newCasHi);
    else this.#store.renewCas(item);
  }

  /** An ma line. */
  change(c: KvConnection, record: number, line: Line): void {
    const flags = this.#flags;
    const error = flags.read(line, 2);
    if (error !== NO_ERROR) {
      return this.#replies.say(c, record, error === R_OPAQUE ? error : R_BAD_FLAGS);
    }
    const isIncrement = flags.mode === 0 || flags.mode === UPPER_I || flags.mode === PLUS;
    if (!isIncrement && flags.mode !== UPPER_D && flags.mode !== MINUS) {
      return this.#replies.say(c, record, R_BAD_MODE);
    }
    const item = this.#store.find(flags.key, flags.keyLength);
    if (item === 0) return this.#changeNothing(c, record, line, isIncrement);
    const hasCas = flags.casLo !== 0 || flags.casHi !== 0;
    if (hasCas && !this.#isCasAsAsked(item) && this.#store.images.dataLengthOf(item) > 0) {
      this.#answer.code(UPPER_E, UPPER_X);
      return this.#end(c, record, line);
    }
    const index = this.#classOf(item);
    const arithmetic = this.#arithmetic;
    const result = arithmetic.change(item, isIncrement, flags.deltaLo, flags.deltaHi);
    if (result !== DONE) {
      const reply = result === NON_NUMERIC ? R_NON_NUMERIC : R_NO_MEMORY;
      return this.#replies.say(c, record, reply);
    }
    this.#counts.bump(isIncrement ? C_INCR_HITS : C_DECR_HITS);
    this.#counts.bumpClass(index, isIncrement ? CC_INCR_HITS : CC_DECR_HITS);
    if (flags.has(UPPER_E)) {
      this.#store.setCas(arithmetic.item, flags.newCasLo, flags.newCasHi);
    }
    const digits = this.#numbers.writeU64(this.#digits, arithmetic.lo, arithmetic.hi);
    this.#changed(c, record, line, arithmetic.item, digits, false);
  }

  /** There is no item: a new one with the start value, if that was asked for. */
  #changeNothing(c: KvConnection, record: number, line: Line, isIncrement: boolean): void {
    const flags = this.#flags;
    const store = this.#store;
    if (!flags.has(UPPER_N)) {
      this.#counts.bump(isIncrement ? C_INCR_MISSES : C_DECR_MISSES);
      this.#answer.code(UPPER_N, UPPER_F);
      return this.#end(c, record, line);
    }
    const digits = this.#numbers.writeU64(this.#digits, flags.initialLo, flags.initialHi);
    const item = store.allocate(flags.key, flags.keyLength, 0, 0, digits);
    if (item === NO_MEMORY) return this.#replies.say(c, record, R_NO_MEMORY_NEW);
    this.#copy(store.images.dataOf(item), this.#digits, digits);
    const cell = (item >> 2) + META;
    if (flags.has(LOWER_B)) this.#i32[cell] = this.#i32[cell]! | KEY_BINARY;
    store.link(item);
    store.settle(item);
    if (flags.has(UPPER_E)) store.setCas(item, flags.newCasLo, flags.newCasHi);
    this.#changed(c, record, line, item, digits, true);
  }

  /** Flags take effect and are answered in their order; `digits` of the result are in scratch. */
  #changed(
    c: KvConnection,
    record: number,
    line: Line,
    item: number,
    digits: number,
    isNew: boolean,
  ): void {
    const flags = this.#flags;
    const answer = this.#answer;
    const i32 = this.#i32;
    const word = item >> 2;
    const before = i32[word + EXPTIME]!;
    let expiry = before;
    if (flags.has(LOWER_V)) answer.value(digits);
    else answer.code(UPPER_H, UPPER_D);
    for (let i = 2; i < line.count; i++) {
      const letter = this.#u8[line.starts[i]!]!;
      if (letter === UPPER_T) expiry = flags.expiry;
      else if (letter === UPPER_N && isNew) expiry = flags.vivifyExpiry;
      else if (letter === LOWER_T) answer.ttl(letter, expiry, this.#store.clock.now);
      else if (letter === LOWER_C) answer.u64(letter, i32[word + CAS_LO]!, i32[word + CAS_HI]!);
      else this.#echo(line, i, letter);
    }
    if (expiry !== before) this.#store.setExpiry(item, expiry);
    if (flags.has(LOWER_Q)) return;
    answer.end();
    if (flags.has(LOWER_V)) {
      answer.append(this.#digits, digits);
      answer.end();
    }
    this.#replies.reply(c, record, answer.start, answer.length);
  }

  /** Ends an answer that tells nothing of an item. */
  #end(c: KvConnection, record: number, line: Line): void {
    for (let i = 2; i < line.count; i++) this.#echo(line, i, this.#u8[line.starts[i]!]!);
    this.#answer.end();
    this.#replies.reply(c, record, this.#answer.start, this.#answer.length);
  }

  /** O and k. */
  #echo(line: Line, index: number, letter: number): void {
    const flags = this.#flags;
    if (letter === UPPER_O) this.#answer.word(line.starts[index]!, line.lengths[index]!);
    if (letter === LOWER_K) this.#answer.key(flags.key, flags.keyLength, flags.has(LOWER_B));
  }

  #classOf(item: number): number {
    return this.#i32[(item >> 2) + META]! & CLASS_MASK;
  }
}
