/**
 * memcached's ASCII protocols, classic and meta, from bytes to commands.
 *
 * - `received` takes bytes where they lie in the receive pool and consumes whole lines, whole keys
 *   of a long get line, and values as they come, in any fragmentation. What it leaves is a line
 *   without an end (at most LINE_MAX bytes) or an incomplete key.
 * - Data is data: a request of the binary protocol ends its connection at its first byte, and the
 *   value of a refused storage line is never read as commands (refusals.ts).
 * - A peer may be one that writes all its requests before it reads an answer: a connection that is
 *   not writable gets its short answers all the same, up to UNREAD_MAX, and is read in the middle
 *   of a request. Beyond that its input waits in the receive pool, and its own peer with it.
 * - An answer that libix could not queue is in the record; the last byte of its command then stays
 *   unconsumed, so that we are called again when there is room.
 * - Nothing is allocated here per message; integers only.
 *
 * Called by libix through kv.ts. Read first: memcached's doc/protocol.txt, proto_text.c.
 */
import type { Commands } from './commands.ts';
import { COUNT, type Counts } from './counters.ts';
import type { KvConnection } from './host.ts';
import { type Line, VERB } from './line.ts';
import type { Meta } from './meta.ts';
import {
  CLOSED,
  COMMAND,
  DUE,
  KEYS,
  LINE_OPEN,
  MODE,
  PENDING,
  REMAINING,
  type Records,
  SWALLOW,
  SWALLOW_LINE,
  VALUE,
} from './records.ts';
import { REPLY, type Replies } from './replies.ts';
import type { Retrieval } from './retrieval.ts';
import type { Updates } from './updates.ts';

/**
 * A line without an end is closed after this many bytes, unless it is a get line (memcached's
 * number).
 */
const LINE_MAX = 2048;
/**
 * Bytes of answers that may be queued before a connection is left alone. memcached's wait in the
 * kernel: with Linux's limits it goes on until 1.0 to 1.4 MB of short ones are not read.
 */
const UNREAD_MAX = 2 ** 21;

const V_UNKNOWN = VERB.unknown;
const V_GET = VERB.get;
const V_GATS = VERB.gats;
const V_SET = VERB.set;
const V_CAS = VERB.cas;
const V_BGET = VERB.bget;
const R_ERROR = REPLY.error;
const C_READ = COUNT.bytes_read;
const C_BINARY = COUNT.binary_refused;
/** The magic byte of a request in the binary protocol; no command of this one begins with it. */
const BINARY_REQUEST = 0x80;
const META_LETTERS = 2;

export interface ProtocolParts {
  u8: Uint8Array;
  line: Line;
  records: Records;
  replies: Replies;
  retrieval: Retrieval;
  updates: Updates;
  meta: Meta;
  commands: Commands;
  counts: Counts;
}

export class Protocol {
  readonly #u8: Uint8Array;
  readonly #line: Line;
  readonly #records: Records;
  readonly #replies: Replies;
  readonly #retrieval: Retrieval;
  readonly #updates: Updates;
  readonly #meta: Meta;
  readonly #commands: Commands;
  readonly #counts: Counts;
  /** A request that is here in full found no room for its answer: nothing has happened yet. */
  #isRefused = false;

  constructor(parts: ProtocolParts) {
    this.#u8 = parts.u8;
    this.#line = parts.line;
    this.#records = parts.records;
    this.#replies = parts.replies;
    this.#retrieval = parts.retrieval;
    this.#updates = parts.updates;
    this.#meta = parts.meta;
    this.#commands = parts.commands;
    this.#counts = parts.counts;
  }

  /** Handlers.received: returns how many bytes were consumed. */
  received(c: KvConnection, offset: number, length: number): number {
    const words = this.#records.words;
    const record = this.#records.of(c.id);
    const end = offset + length;
    let at = offset;
    this.#replies.begin();
    this.#isRefused = false;
    const isFlushed = words[record + PENDING] !== 0 && this.#replies.flush(c, record);
    // In the middle of a get line no byte was left for it, or a blank.
    if (isFlushed && words[record + MODE] !== KEYS) at++;
    while (at < end && words[record + PENDING] === 0) {
      const next = this.#step(c, record, at, end);
      if (next === at && words[record + MODE] !== SWALLOW_LINE) break;
      at = next;
      if (words[record + PENDING] !== 0 && words[record + MODE] !== KEYS) at--;
    }
    if (words[record + MODE] === KEYS && at < end) {
      at = this.#retrieval.hold(c, record, at, end);
    }
    const isMid = this.#isMidRequest(c, record);
    if (c.midRequest !== isMid) c.midRequest = isMid;
    this.#counts.add(C_READ, at - offset);
    return at - offset;
  }

  /** Whether more would be taken now although answers are not. */
  #isMidRequest(c: KvConnection, record: number): boolean {
    const words = this.#records.words;
    const mode = words[record + MODE]!;
    if (mode === CLOSED) return false;
    if (mode === COMMAND) {
      const mayAnswer = words[record + PENDING] === 0 && !this.#isRefused;
      return mayAnswer && !c.writable && c.queuedBytes < UNREAD_MAX;
    }
    return mode === KEYS ? words[record + LINE_OPEN] !== 0 : words[record + PENDING] === 0;
  }

  /** The connection is gone. */
  closed(c: KvConnection): void {
    const record = this.#records.of(c.id);
    this.#updates.abandon(record);
    this.#retrieval.forget(record);
    this.#replies.forget(record);
  }

  /** Does one thing at `at`; returns how far it read, or `at` when it cannot go on now. */
  #step(c: KvConnection, record: number, at: number, end: number): number {
    const words = this.#records.words;
    switch (words[record + MODE]) {
      case COMMAND:
        return c.queuedBytes < UNREAD_MAX ? this.#command(c, record, at, end) : at;
      case KEYS:
        return this.#retrieval.keys(c, record, at, end);
      case VALUE:
        return this.#updates.feed(c, record, at, end);
      case SWALLOW: {
        const remaining = words[record + REMAINING]!;
        const taken = Math.min(end - at, remaining);
        words[record + REMAINING] = remaining - taken;
        if (taken === remaining) this.#swallowed(c, record);
        return at + taken;
      }
      case SWALLOW_LINE:
        return this.#retrieval.swallowLine(c, record, at, end);
      default:
        return end;
    }
  }

  /** A value is dropped to its end: if its answer is still owed, it is given now. */
  #swallowed(c: KvConnection, record: number): void {
    const words = this.#records.words;
    const due = words[record + DUE]!;
    words[record + MODE] = COMMAND;
    words[record + DUE] = 0;
    if (due !== 0) this.#replies.say(c, record, due - 1);
  }

  #command(c: KvConnection, record: number, at: number, end: number): number {
    const line = this.#line;
    if (this.#u8[at] === BINARY_REQUEST) return this.#binary(c, record, end);
    if (!line.read(at, end)) return end - at > LINE_MAX ? this.#longLine(c, record, end) : at;
    if (line.count === 0 || line.lengths[0]! < 2) {
      this.#replies.say(c, record, R_ERROR);
      return line.next;
    }
    const verb = line.verb();
    if ((verb >= V_GET && verb <= V_GATS) || verb === V_BGET) {
      if (line.count > 1) {
        const next = this.#retrieval.start(c, record, verb === V_BGET ? V_GET : verb, line, at);
        this.#isRefused = next === at;
        return next;
      }
      this.#replies.say(c, record, R_ERROR);
    } else if (verb >= V_SET && verb <= V_CAS) {
      this.#updates.begin(c, record, verb, line, end - line.next);
    } else if (verb === V_UNKNOWN && line.lengths[0] === META_LETTERS) {
      this.#isRefused = !this.#meta.run(c, record, line, end - line.next);
      if (this.#isRefused) return at;
    } else this.#commands.run(c, record, verb, line);
    return line.next;
  }

  /**
   * Its client would wait for an answer of another form, and its values would be our commands. By a
   * reset: after a FIN in order the npm client memjs 1.3.2 goes on waiting for ever.
   */
  #binary(c: KvConnection, record: number, end: number): number {
    this.#counts.bump(C_BINARY);
    this.#replies.abort(c, record);
    return end;
  }

  /** Only a get may be that long; memcached closes the connection without a word, and so do we. */
  #longLine(c: KvConnection, record: number, end: number): number {
    const next = this.#retrieval.startLong(record, this.#line);
    if (next >= 0) return next;
    this.#replies.end(c, record);
    return end;
  }
}
