/**
 * ms: `ms <key> <bytes> <flags>*`, whose value is taken as that of a set (updates.ts).
 *
 * - What its answer shall tell is noted by connection until the value is here: letters, and the
 *   opaque token. The notes grow with the first ms of a connection; who speaks classic has none.
 * - With C a set or replace is a compare-and-swap; with I as well, an older cas stores a value that
 *   is out of date.
 * - A refused line answers its error, quiet or not, and its value is dropped (refusals.ts).
 *
 * Called by meta.ts; `Updates.onMeta` when a value is complete. Read first: memcached's
 * doc/protocol.txt, "Meta Set".
 */

import type { KvConnection, Memory } from './host.ts';
import { CAS_HI, CAS_LO, KEY_BINARY, KEY_START, META } from './layout.ts';
import {
  LOWER_B,
  LOWER_C,
  LOWER_K,
  LOWER_Q,
  LOWER_S,
  UPPER_C,
  UPPER_D,
  UPPER_E,
  UPPER_F,
  UPPER_H,
  UPPER_I,
  UPPER_N,
  UPPER_O,
  UPPER_S,
  UPPER_X,
} from './letters.ts';
import { type Line, VERB } from './line.ts';
import type { MetaAnswer } from './meta-answer.ts';
import { type MetaFlags, NO_ERROR } from './meta-flags.ts';
import { LENGTH_MAX, type Numbers } from './numbers.ts';
import {
  HAS_CAS,
  HAS_NEW_CAS,
  HI,
  HOW,
  IN_BASE64,
  LO,
  MAY_BE_STALE,
  META_FORM,
  NEW_HI,
  NEW_LO,
  QUIET,
  type Records,
  VIVIFY,
} from './records.ts';
import type { Refusals } from './refusals.ts';
import { REPLY, type Replies } from './replies.ts';
import type { Store } from './store.ts';
import type { Updates } from './updates.ts';

/** `c`, `k`, `s`, and an opaque token with its length before it; a 0 ends them. */
const NOTE_BYTES = 40;

const MODE_ADD = 69;
const MODE_APPEND = 65;
const MODE_PREPEND = 80;
const MODE_REPLACE = 82;
const MODE_SET = 83;

const R_BAD_FORMAT = REPLY.badFormat;
const R_BAD_MODE = REPLY.badSetMode;
const R_STORED = REPLY.stored;
const R_EXISTS = REPLY.exists;
const R_NOT_FOUND = REPLY.notFound;

export interface MetaSetParts {
  memory: Memory;
  store: Store;
  replies: Replies;
  records: Records;
  numbers: Numbers;
  refusals: Refusals;
  updates: Updates;
  flags: MetaFlags;
  answer: MetaAnswer;
}

export class MetaSet {
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #store: Store;
  readonly #replies: Replies;
  readonly #records: Records;
  readonly #numbers: Numbers;
  readonly #refusals: Refusals;
  readonly #updates: Updates;
  readonly #flags: MetaFlags;
  readonly #answer: MetaAnswer;
  /** By connection. */
  #notes = new Uint8Array(0);

  constructor(parts: MetaSetParts) {
    this.#u8 = parts.memory.u8;
    this.#i32 = parts.memory.i32;
    this.#store = parts.store;
    this.#replies = parts.replies;
    this.#records = parts.records;
    this.#numbers = parts.numbers;
    this.#refusals = parts.refusals;
    this.#updates = parts.updates;
    this.#flags = parts.flags;
    this.#answer = parts.answer;
    parts.updates.onMeta = (c, record, item, placed, reply) =>
      this.#done(c, record, item, placed, reply);
  }

  /** A line, with `waiting` bytes here behind it. */
  begin(c: KvConnection, record: number, line: Line, waiting: number): void {
    const flags = this.#flags;
    const length =
      line.count > 2 ? this.#numbers.parseLength(line.starts[2]!, line.lengths[2]!) : -1;
    if (length < 0 || length > LENGTH_MAX) return this.#refuse(c, record, line, R_BAD_FORMAT);
    const error = flags.read(line, 3);
    if (error !== NO_ERROR) return this.#refuse(c, record, line, error);
    const verb = this.#verb();
    if (verb === VERB.unknown) return this.#refuse(c, record, line, R_BAD_MODE);
    const isAppending = verb === VERB.append || verb === VERB.prepend;
    this.#setHow(record, isAppending);
    this.#note(c.id, line);
    const expiry = isAppending && flags.has(UPPER_N) ? flags.vivifyExpiry : flags.expiry;
    const { key, keyLength, clientFlags } = flags;
    this.#updates.start(c, record, verb, key, keyLength, clientFlags, expiry, length, waiting);
  }

  #refuse(c: KvConnection, record: number, line: Line, reply: number): void {
    this.#refusals.meta(c, record, line, reply);
  }

  #verb(): number {
    const hasCas = this.#flags.has(UPPER_C);
    switch (this.#flags.mode) {
      case 0:
      case MODE_SET:
        return hasCas ? VERB.cas : VERB.set;
      case MODE_REPLACE:
        return hasCas ? VERB.cas : VERB.replace;
      case MODE_ADD:
        return VERB.add;
      case MODE_APPEND:
        return VERB.append;
      case MODE_PREPEND:
        return VERB.prepend;
      default:
        return VERB.unknown;
    }
  }

  #setHow(record: number, isAppending: boolean): void {
    const flags = this.#flags;
    const words = this.#records.words;
    let how = META_FORM;
    if (flags.has(LOWER_Q)) how |= QUIET;
    if (flags.has(LOWER_B)) how |= IN_BASE64;
    if (flags.has(UPPER_E)) how |= HAS_NEW_CAS;
    if (flags.has(UPPER_I) && !isAppending) how |= MAY_BE_STALE;
    if (flags.has(UPPER_N) && isAppending) how |= VIVIFY;
    if (isAppending && (flags.casLo !== 0 || flags.casHi !== 0)) how |= HAS_CAS;
    words[record + HOW] = how;
    words[record + LO] = flags.casLo;
    words[record + HI] = flags.casHi;
    words[record + NEW_LO] = flags.newCasLo;
    words[record + NEW_HI] = flags.newCasHi;
  }

  /** Notes what the answer shall tell. */
  #note(id: number, line: Line): void {
    let at = id * NOTE_BYTES;
    if (at >= this.#notes.length) {
      const grown = new Uint8Array(Math.max(this.#notes.length * 2, at + 16 * NOTE_BYTES));
      grown.set(this.#notes);
      this.#notes = grown;
    }
    const notes = this.#notes;
    for (let i = 3; i < line.count; i++) {
      const start = line.starts[i]!;
      const letter = this.#u8[start]!;
      if (letter !== LOWER_C && letter !== LOWER_K && letter !== LOWER_S && letter !== UPPER_O)
        continue;
      notes[at++] = letter;
      if (letter !== UPPER_O) continue;
      const length = line.lengths[i]!;
      notes[at++] = length;
      for (let n = 0; n < length; n++) notes[at++] = this.#u8[start + n]!;
    }
    notes[at] = 0;
  }

  /** The value is complete; `placed`: the item that is stored now, 0: none. */
  #done(c: KvConnection, record: number, item: number, placed: number, reply: number): void {
    const answer = this.#answer;
    if (reply === R_STORED && (this.#records.words[record + HOW]! & QUIET) !== 0) return;
    if (reply === R_STORED) answer.code(UPPER_H, UPPER_D);
    else if (reply === R_EXISTS) answer.code(UPPER_E, UPPER_X);
    else if (reply === R_NOT_FOUND) answer.code(UPPER_N, UPPER_F);
    else answer.code(UPPER_N, UPPER_S);
    this.#tell(c.id, item, placed);
    answer.end();
    this.#replies.reply(c, record, answer.start, answer.length);
  }

  #tell(id: number, item: number, placed: number): void {
    const { images } = this.#store;
    const i32 = this.#i32;
    const answer = this.#answer;
    const notes = this.#notes;
    for (let at = id * NOTE_BYTES; notes[at] !== 0; at++) {
      const letter = notes[at]!;
      if (letter === LOWER_K) {
        const isBinary = (i32[(item >> 2) + META]! & KEY_BINARY) !== 0;
        answer.key(item + KEY_START, images.keyLengthOf(item), isBinary);
      } else if (letter === LOWER_S) {
        answer.u32(letter, images.dataLengthOf(placed === 0 ? item : placed));
      } else if (letter === LOWER_C) {
        const word = placed >> 2;
        answer.u64(letter, placed && i32[word + CAS_LO]!, placed && i32[word + CAS_HI]!);
      } else {
        const length = notes[at + 1]!;
        answer.noted(notes, at + 2, length);
        at += length + 1;
      }
    }
  }
}
