/**
 * Every command that is one line and has a short answer; and which file does the others.
 *
 * - What a wrong argument is answered with, and whether `noreply` silences it, is memcached
 *   1.6.18's (the differential test compares byte for byte).
 *
 * Called by protocol.ts with a complete line. Read first: memcached's proto_text.c
 * `process_command_ascii`.
 */
import { type Arithmetic, NON_NUMERIC, OUT_OF_MEMORY } from './arithmetic.ts';
import { CLASS_COUNT, COUNT } from './counters.ts';
import type { Dump } from './dump.ts';
import type { KvConnection, Memory } from './host.ts';
import { ACTIVE, CLASS_MASK, FETCHED, KEY_MAX, META } from './layout.ts';
import { type Line, VERB, WORDS_MAX } from './line.ts';
import type { Numbers } from './numbers.ts';
import { REPLY, type Replies } from './replies.ts';
import type { StatsReport } from './stats.ts';
import type { Store } from './store.ts';

const C_FLUSH = COUNT.cmd_flush;
const C_TOUCH = COUNT.cmd_touch;
const C_TOUCH_HITS = COUNT.touch_hits;
const C_TOUCH_MISSES = COUNT.touch_misses;
const C_DELETE_HITS = COUNT.delete_hits;
const C_DELETE_MISSES = COUNT.delete_misses;
const C_INCR_HITS = COUNT.incr_hits;
const C_INCR_MISSES = COUNT.incr_misses;
const C_DECR_HITS = COUNT.decr_hits;
const C_DECR_MISSES = COUNT.decr_misses;
const CC_DELETE_HITS = CLASS_COUNT.delete_hits;
const CC_INCR_HITS = CLASS_COUNT.incr_hits;
const CC_DECR_HITS = CLASS_COUNT.decr_hits;
const CC_TOUCH_HITS = CLASS_COUNT.touch_hits;
const ZERO = Uint8Array.from(Buffer.from('0'));
const METADUMP = Uint8Array.from(Buffer.from('metadump'));
const HTTP = Uint8Array.from(Buffer.from('HTTP/'));

export interface CommandParts {
  memory: Memory;
  store: Store;
  replies: Replies;
  numbers: Numbers;
  arithmetic: Arithmetic;
  stats: StatsReport;
  dump: Dump;
}

export class Commands {
  readonly #i32: Int32Array;
  readonly #store: Store;
  readonly #replies: Replies;
  readonly #numbers: Numbers;
  readonly #arithmetic: Arithmetic;
  readonly #stats: StatsReport;
  readonly #dump: Dump;

  constructor(parts: CommandParts) {
    this.#i32 = parts.memory.i32;
    this.#store = parts.store;
    this.#replies = parts.replies;
    this.#numbers = parts.numbers;
    this.#arithmetic = parts.arithmetic;
    this.#stats = parts.stats;
    this.#dump = parts.dump;
  }

  /** A line whose verb is neither of the get nor of the set family. */
  run(c: KvConnection, record: number, verb: number, line: Line): void {
    switch (verb) {
      case VERB.delete:
        return this.#delete(c, record, line);
      case VERB.incr:
        return this.#change(c, record, line, true);
      case VERB.decr:
        return this.#change(c, record, line, false);
      case VERB.touch:
        return this.#touch(c, record, line);
      case VERB.flush_all:
        return this.#flushAll(c, record, line);
      case VERB.verbosity:
        return this.#verbosity(c, record, line);
      case VERB.version:
        return this.#replies.say(c, record, REPLY.version);
      case VERB.shutdown:
        return this.#replies.say(c, record, REPLY.shutdown);
      case VERB.stats:
        return this.#reportStats(c, record, line);
      case VERB.lru_crawler:
        return this.#metadump(c, record, line);
      case VERB.quit:
        return this.#replies.end(c, record);
      default:
        return this.#unknown(c, record, line);
    }
  }

  #say(c: KvConnection, record: number, isQuiet: boolean, reply: number): void {
    if (!isQuiet) this.#replies.say(c, record, reply);
  }

  #delete(c: KvConnection, record: number, line: Line): void {
    const count = line.count;
    if (count < 2 || count > 4) return this.#replies.say(c, record, REPLY.error);
    const isQuiet = count > 2 && line.isQuiet();
    if (count > 2) {
      // `delete <key> 0` is what old clients send: a time, of which only 0 was ever meant.
      const isZero = line.is(2, ZERO);
      const isValid = count === 3 ? isZero || isQuiet : isZero && isQuiet;
      if (!isValid) return this.#say(c, record, isQuiet, REPLY.badDelete);
    }
    if (line.lengths[1]! > KEY_MAX) return this.#say(c, record, isQuiet, REPLY.badFormat);
    const store = this.#store;
    const item = store.find(line.starts[1]!, line.lengths[1]!);
    if (item === 0) {
      store.counts.bump(C_DELETE_MISSES);
      return this.#say(c, record, isQuiet, REPLY.notFound);
    }
    store.counts.bump(C_DELETE_HITS);
    store.counts.bumpClass(this.#classOf(item), CC_DELETE_HITS);
    store.unlink(item);
    this.#say(c, record, isQuiet, REPLY.deleted);
  }

  #change(c: KvConnection, record: number, line: Line, isIncrement: boolean): void {
    if (line.count !== 3 && line.count !== 4) return this.#replies.say(c, record, REPLY.error);
    const isQuiet = line.isQuiet();
    if (line.lengths[1]! > KEY_MAX) return this.#say(c, record, isQuiet, REPLY.badFormat);
    const numbers = this.#numbers;
    if (!numbers.parseU64(line.starts[2]!, line.lengths[2]!)) {
      return this.#say(c, record, isQuiet, REPLY.badDelta);
    }
    const lo = numbers.lo;
    const hi = numbers.hi;
    const store = this.#store;
    const item = store.find(line.starts[1]!, line.lengths[1]!);
    if (item === 0) {
      store.counts.bump(isIncrement ? C_INCR_MISSES : C_DECR_MISSES);
      return this.#say(c, record, isQuiet, REPLY.notFound);
    }
    const index = this.#classOf(item);
    const arithmetic = this.#arithmetic;
    const result = arithmetic.change(item, isIncrement, lo, hi);
    if (result === NON_NUMERIC) return this.#say(c, record, isQuiet, REPLY.nonNumeric);
    if (result === OUT_OF_MEMORY) return this.#say(c, record, isQuiet, REPLY.noMemoryIncr);
    store.counts.bump(isIncrement ? C_INCR_HITS : C_DECR_HITS);
    store.counts.bumpClass(index, isIncrement ? CC_INCR_HITS : CC_DECR_HITS);
    if (!isQuiet) this.#replies.sayNumber(c, record, arithmetic.lo, arithmetic.hi);
  }

  #touch(c: KvConnection, record: number, line: Line): void {
    if (line.count !== 3 && line.count !== 4) return this.#replies.say(c, record, REPLY.error);
    const isQuiet = line.isQuiet();
    if (line.lengths[1]! > KEY_MAX) return this.#say(c, record, isQuiet, REPLY.badFormat);
    if (!this.#numbers.parseI32(line.starts[2]!, line.lengths[2]!)) {
      return this.#say(c, record, isQuiet, REPLY.badExptime);
    }
    const store = this.#store;
    const expiry = store.clock.expiry(this.#numbers.lo);
    const item = store.find(line.starts[1]!, line.lengths[1]!);
    store.counts.bump(C_TOUCH);
    if (item === 0) {
      store.counts.bump(C_TOUCH_MISSES);
      return this.#say(c, record, isQuiet, REPLY.notFound);
    }
    const word = item >> 2;
    store.setExpiry(item, expiry);
    this.#i32[word + META] = this.#i32[word + META]! | ACTIVE | FETCHED;
    store.counts.bump(C_TOUCH_HITS);
    store.counts.bumpClass(this.#classOf(item), CC_TOUCH_HITS);
    this.#say(c, record, isQuiet, REPLY.touched);
  }

  #flushAll(c: KvConnection, record: number, line: Line): void {
    if (line.count > 3) return this.#replies.say(c, record, REPLY.error);
    const isQuiet = line.isQuiet();
    const store = this.#store;
    store.counts.bump(C_FLUSH);
    let delay = 0;
    if (line.count !== (isQuiet ? 2 : 1)) {
      if (!this.#numbers.parseI32(line.starts[1]!, line.lengths[1]!)) {
        return this.#say(c, record, isQuiet, REPLY.badExptime);
      }
      delay = this.#numbers.lo;
    }
    if (delay > 0) store.flushAt(store.clock.expiry(delay));
    else store.flush();
    this.#say(c, record, isQuiet, REPLY.ok);
  }

  #verbosity(c: KvConnection, record: number, line: Line): void {
    if (line.count !== 2 && line.count !== 3) return this.#replies.say(c, record, REPLY.error);
    const isNumber = this.#numbers.parseU32(line.starts[1]!, line.lengths[1]!);
    if (isNumber) this.#stats.verbosity = Math.min(this.#numbers.lo >>> 0, 2);
    this.#say(c, record, line.isQuiet(), isNumber ? REPLY.ok : REPLY.badFormat);
  }

  #reportStats(c: KvConnection, record: number, line: Line): void {
    const stats = this.#stats;
    const report = line.count === 1 ? stats.general() : stats.named(line, this.#numbers);
    if (typeof report === 'number') this.#replies.say(c, record, report);
    else this.#replies.sayText(c, record, report);
  }

  /** There is no crawler to be asked anything else. */
  #metadump(c: KvConnection, record: number, line: Line): void {
    if (line.count !== 3 || !line.is(1, METADUMP)) return this.#replies.say(c, record, REPLY.error);
    if (this.#dump.begin(record, line)) return this.#replies.sayDump(c, record);
    this.#replies.say(c, record, REPLY.badClass);
  }

  /** A browser or a proxy check gets the connection closed, as from memcached. */
  #unknown(c: KvConnection, record: number, line: Line): void {
    if (line.count > 0 && line.count <= WORDS_MAX && line.begins(line.count - 1, HTTP)) {
      return this.#replies.end(c, record);
    }
    this.#replies.say(c, record, REPLY.error);
  }

  #classOf(item: number): number {
    return this.#i32[(item >> 2) + META]! & CLASS_MASK;
  }
}
