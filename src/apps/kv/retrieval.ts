/**
 * get, gets, gat, gats: key by key, as far as the connection takes answers.
 *
 * - A whole line is checked for too long keys before its first key is answered: a line that is
 *   refused has no effect (memcached has touched the keys before the long one by then). A line of
 *   more than LINE_MAX bytes is taken as it comes (`startLong`): there a too long key is found
 *   after earlier hits were answered.
 * - `keys` consumes whole keys; it stops before one that is incomplete or that the connection has
 *   no room for, and goes on from there when it is called again.
 * - While the end of a line has not come, what cannot be answered is held (held-keys.ts), so that
 *   its client can go on writing; with the end here, input waits in libix as always.
 *
 * Called by protocol.ts. Read first: memcached's proto_text.c `process_get_command`.
 */
import type { StoreClock } from './clock.ts';
import { CLASS_COUNT, COUNT, type Counts } from './counters.ts';
import { type HeldKeys, NO_KEY, TOO_LONG } from './held-keys.ts';
import type { KvConnection, Memory } from './host.ts';
import { ACTIVE, CLASS_MASK, FETCHED, KEY_MAX, META, TIME } from './layout.ts';
import { type Line, VERB } from './line.ts';
import type { Numbers } from './numbers.ts';
import {
  COMMAND,
  EXPIRY,
  KEYS,
  LINE_OPEN,
  LO,
  MODE,
  PENDING,
  type Records,
  SWALLOW_LINE,
  VERB_WORD,
} from './records.ts';
import { REPLY, type Replies } from './replies.ts';
import type { Store } from './store.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;
const GETS = VERB.gets;
const GAT = VERB.gat;
const GATS = VERB.gats;
const R_END = REPLY.end;
const R_BAD_FORMAT = REPLY.badFormat;
const R_BAD_EXPTIME = REPLY.badExptime;
const R_NO_MEMORY = REPLY.noMemoryLine;
const C_REFUSED = COUNT.long_lines_refused;
const C_GETS = COUNT.cmd_get;
const C_HITS = COUNT.get_hits;
const C_MISSES = COUNT.get_misses;
const C_TOUCHES = COUNT.cmd_touch;
const C_TOUCH_HITS = COUNT.touch_hits;
const C_TOUCH_MISSES = COUNT.touch_misses;
const CC_HITS = CLASS_COUNT.get_hits;
const CC_TOUCH_HITS = CLASS_COUNT.touch_hits;

const isTouching = (verb: number): boolean => verb === GAT || verb === GATS;

export class Retrieval {
  readonly #store: Store;
  readonly #replies: Replies;
  readonly #records: Records;
  readonly #numbers: Numbers;
  readonly #counts: Counts;
  readonly #clock: StoreClock;
  readonly #held: HeldKeys;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;

  constructor(
    memory: Memory,
    store: Store,
    replies: Replies,
    records: Records,
    numbers: Numbers,
    held: HeldKeys,
  ) {
    this.#held = held;
    this.#store = store;
    this.#replies = replies;
    this.#records = records;
    this.#numbers = numbers;
    this.#counts = store.counts;
    this.#clock = store.clock;
    this.#u8 = memory.u8;
    this.#i32 = memory.i32;
  }

  /**
   * A get line that is here in full, at `at`, with a word behind the verb. Returns where to go on
   * reading.
   */
  start(c: KvConnection, record: number, verb: number, line: Line, at: number): number {
    const first = isTouching(verb) ? 2 : 1;
    if (first === 2 && !this.#setExpiry(record, line)) {
      this.#replies.say(c, record, R_BAD_EXPTIME);
      return line.next;
    }
    if (line.keyTooLong >= first) {
      this.#replies.say(c, record, R_BAD_FORMAT);
      return line.next;
    }
    if (line.count <= first) {
      this.#replies.say(c, record, R_END);
      return line.next;
    }
    if (line.count === first + 1) {
      // The common case: nothing has to be remembered, and the key is not looked for twice.
      const isDone = this.#key(c, record, verb, line.starts[first]!, line.lengths[first]!, true);
      return isDone ? line.next : at;
    }
    const words = this.#records.words;
    words[record + MODE] = KEYS;
    words[record + LINE_OPEN] = 0;
    words[record + VERB_WORD] = verb;
    return line.starts[first]!;
  }

  /**
   * A line without an end, longer than any other command may be. The words read so far are in
   * `line`. Returns where to go on, or -1 when it is not a get line.
   */
  startLong(record: number, line: Line): number {
    const verb = line.count > 0 ? line.verb() : VERB.unknown;
    if (verb < VERB.get || verb > GATS) return -1;
    const first = isTouching(verb) ? 2 : 1;
    if (line.count < first || (first === 2 && !this.#setExpiry(record, line))) return -1;
    const words = this.#records.words;
    words[record + MODE] = KEYS;
    words[record + LINE_OPEN] = 1;
    words[record + VERB_WORD] = verb;
    return line.starts[first - 1]! + line.lengths[first - 1]!;
  }

  #setExpiry(record: number, line: Line): boolean {
    if (!this.#numbers.parseI32(line.starts[1]!, line.lengths[1]!)) return false;
    this.#records.words[record + EXPIRY] = this.#clock.expiry(this.#numbers.lo);
    return true;
  }

  /** Answers keys from `at` on; returns how far it came. */
  keys(c: KvConnection, record: number, at: number, end: number): number {
    if (this.#held.has(record)) return this.#keysHeld(c, record, at, end);
    const u8 = this.#u8;
    const words = this.#records.words;
    const verb = words[record + VERB_WORD]!;
    while (c.writable && words[record + MODE] === KEYS) {
      while (at < end && u8[at] === SPACE) at++;
      let stop = at;
      let byte = SPACE;
      for (; stop < end; stop++) {
        byte = u8[stop]!;
        if (byte <= SPACE && (byte === SPACE || byte === LF || byte === 0)) break;
      }
      if (stop === end) return this.#unfinished(record, at, end);
      const isLast = byte !== SPACE;
      const last = byte === LF && stop > at && u8[stop - 1] === CR ? stop - 1 : stop;
      if (last - at > KEY_MAX) return this.#swallowLine(record, at, R_BAD_FORMAT + 1);
      if (last === at) this.#replies.say(c, record, R_END);
      else if (!this.#key(c, record, verb, at, last - at, isLast)) return at;
      if (isLast && words[record + MODE] === KEYS) {
        words[record + MODE] = COMMAND;
        return byte === 0 ? this.#swallowLine(record, stop, 0) : stop + 1;
      }
      at = stop + 1;
    }
    return at;
  }

  /** The same where earlier keys wait: what came goes behind them. */
  #keysHeld(c: KvConnection, record: number, at: number, end: number): number {
    const words = this.#records.words;
    const next = this.#absorb(c, record, at, end);
    while (c.writable && words[record + PENDING] === 0 && words[record + MODE] === KEYS) {
      if (!this.#answerHeld(c, record)) break;
    }
    // All are answered, and the LF is here.
    return words[record + MODE] === COMMAND ? next + 1 : next;
  }

  /** Answers the first of the held keys; false when there is none yet, or no room. */
  #answerHeld(c: KvConnection, record: number): boolean {
    const words = this.#records.words;
    const held = this.#held;
    const verb = words[record + VERB_WORD]!;
    const length = held.peek(record, words[record + LINE_OPEN] === 0);
    if (length === NO_KEY) return false;
    if (length === TOO_LONG) {
      this.#swallowLine(record, 0, R_BAD_FORMAT + 1);
      return false;
    }
    if (length === 0) this.#replies.say(c, record, R_END);
    else if (!this.#key(c, record, verb, held.key, length, held.isLast)) return false;
    held.take(record);
    if (held.isCut) this.#swallowLine(record, 0, 0);
    else if (held.isLast) words[record + MODE] = COMMAND;
    return true;
  }

  /**
   * What is left of a delivery in the middle of a get line. Returns how far it can be consumed:
   * nothing of it when its end is here, or when nothing but the rest of a key is missing.
   */
  hold(c: KvConnection, record: number, at: number, end: number): number {
    const words = this.#records.words;
    const isBlocked = !c.writable || words[record + PENDING] !== 0;
    if (words[record + LINE_OPEN] === 0 || !(isBlocked || this.#held.has(record))) return at;
    return this.#absorb(c, record, at, end);
  }

  /** Holds text up to the LF, or all; returns where it stopped. */
  #absorb(c: KvConnection, record: number, at: number, end: number): number {
    const words = this.#records.words;
    const held = this.#held;
    let stop = at;
    while (stop < end && this.#u8[stop] !== LF) stop++;
    if (stop < end) words[record + LINE_OPEN] = 0;
    if (stop < end && !held.has(record)) return at;
    if (held.append(record, at, stop - at)) return stop;
    held.forget(record);
    this.#counts.bump(C_REFUSED);
    this.#replies.refuse(c, record, R_NO_MEMORY);
    return end;
  }

  /** The connection is gone. */
  forget(record: number): void {
    this.#held.forget(record);
  }

  /**
   * Drops the rest of a line; returns when its LF was seen. `words[LO]`: the reply that then is
   * due, + 1.
   */
  swallowLine(c: KvConnection, record: number, at: number, end: number): number {
    const u8 = this.#u8;
    while (at < end && u8[at] !== LF) at++;
    if (at === end) return end;
    const words = this.#records.words;
    words[record + MODE] = COMMAND;
    const reply = words[record + LO]! - 1;
    if (reply >= 0) this.#replies.say(c, record, reply);
    return at + 1;
  }

  /**
   * The last key is not here in full: it waits, unless it is too long already (the CR may belong to
   * it).
   */
  #unfinished(record: number, at: number, end: number): number {
    if (end - at > KEY_MAX + 1) return this.#swallowLine(record, at, R_BAD_FORMAT + 1);
    return at;
  }

  #swallowLine(record: number, at: number, reply: number): number {
    const words = this.#records.words;
    this.#held.forget(record);
    words[record + MODE] = SWALLOW_LINE;
    words[record + LO] = reply;
    return at;
  }

  /** Answers one key; false when there was no room, and then nothing has happened. */
  #key(
    c: KvConnection,
    record: number,
    verb: number,
    key: number,
    length: number,
    isLast: boolean,
  ): boolean {
    const store = this.#store;
    const counts = this.#counts;
    const item = store.find(key, length);
    if (item === 0) {
      if (isTouching(verb)) {
        counts.bump(C_TOUCHES);
        counts.bump(C_TOUCH_MISSES);
      } else {
        counts.bump(C_GETS);
        counts.bump(C_MISSES);
      }
      if (isLast) this.#replies.say(c, record, R_END);
      return true;
    }
    const isSent =
      verb === GETS || verb === GATS
        ? this.#replies.sendItemCas(c, record, item, isLast)
        : this.#replies.sendItem(c, record, item, isLast);
    if (!isSent) return false;
    const cell = (item >> 2) + META;
    const meta = this.#i32[cell]!;
    if ((meta & ACTIVE) === 0) {
      this.#i32[cell] = meta | ACTIVE | FETCHED;
      this.#i32[(item >> 2) + TIME] = this.#clock.now;
    }
    const index = meta & CLASS_MASK;
    if (isTouching(verb)) {
      store.setExpiry(item, this.#records.words[record + EXPIRY]!);
      counts.bump(C_TOUCHES);
      counts.bump(C_TOUCH_HITS);
      counts.bumpClass(index, CC_TOUCH_HITS);
    } else {
      counts.bump(C_GETS);
      counts.bump(C_HITS);
      counts.bumpClass(index, CC_HITS);
    }
    return true;
  }
}
