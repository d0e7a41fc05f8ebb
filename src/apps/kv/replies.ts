/**
 * Answers: constant lines, numbers, and items.
 *
 * - Constant lines lie in application memory. The first answer of a delivery is sent from there;
 *   further ones, and those behind many that are not taken, are copied into libix's block instead,
 *   where they coalesce: 64 pipelined sets are two spans, not 64.
 * - An item goes out from where it is stored: a reference is taken and given back by
 *   `Handlers.released`. For a peer that takes nothing (not `writable`) small items are copied, and
 *   large ones refused: they hold no memory of the store's.
 * - When libix cannot queue an answer it is kept in the connection's record (PENDING) and the
 *   caller leaves the command's last byte unconsumed, so that the handler is called again; `flush`
 *   then sends it. A long text and an item go on where they stopped.
 */
import { COUNT, type Counts } from './counters.ts';
import type { Dump } from './dump.ts';
import type { KvConnection, KvHost } from './host.ts';
import {
  CAS_HI,
  CAS_LO,
  CHAINED,
  CRLF_BYTES,
  DATA_LENGTH,
  DATA_MASK,
  DATA_SHIFT,
  HEADER_BYTES,
  LENGTH_MASK,
  META,
  TAIL_BYTES,
} from './layout.ts';
import type { Numbers } from './numbers.ts';
import {
  CLOSED,
  HI,
  LO,
  MODE,
  PENDING,
  type Records,
  SENT_CHUNK,
  SENT_ITEM,
  SENT_TAIL,
  TAKEN,
  UNREAD,
} from './records.ts';
import type { Store } from './store.ts';

const C_WRITTEN = COUNT.bytes_written;

const LINES = {
  stored: 'STORED',
  notStored: 'NOT_STORED',
  exists: 'EXISTS',
  notFound: 'NOT_FOUND',
  end: 'END',
  deleted: 'DELETED',
  touched: 'TOUCHED',
  ok: 'OK',
  reset: 'RESET',
  error: 'ERROR',
  version: 'VERSION 1.6.18',
  badFormat: 'CLIENT_ERROR bad command line format',
  badLine: 'CLIENT_ERROR bad command line',
  badChunk: 'CLIENT_ERROR bad data chunk',
  badExptime: 'CLIENT_ERROR invalid exptime argument',
  badDelta: 'CLIENT_ERROR invalid numeric delta argument',
  badDelete: 'CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]',
  badKey: 'CLIENT_ERROR error decoding key',
  duplicateFlag: 'CLIENT_ERROR duplicate flag',
  invalidFlag: 'CLIENT_ERROR invalid flag',
  badFlags: 'CLIENT_ERROR invalid or duplicate flag',
  manyFlags: 'CLIENT_ERROR options flags are too long',
  badToken: 'CLIENT_ERROR bad token in command line format',
  badDeltaToken: 'CLIENT_ERROR invalid numeric delta value',
  badInitialToken: 'CLIENT_ERROR invalid numeric initial value',
  badSetMode: 'CLIENT_ERROR invalid mode for ms M token',
  badArithmeticMode: 'CLIENT_ERROR invalid mode for ma M token',
  longOpaque: 'CLIENT_ERROR opaque token too long',
  metaNoop: 'MN',
  metaMiss: 'EN',
  badDetail: 'CLIENT_ERROR usage: stats detail on|off|dump',
  badSlab: 'CLIENT_ERROR Illegal slab id',
  nonNumeric: 'CLIENT_ERROR cannot increment or decrement non-numeric value',
  tooLarge: 'SERVER_ERROR object too large for cache',
  noMemory: 'SERVER_ERROR out of memory storing object',
  noMemoryIncr: 'SERVER_ERROR out of memory',
  noMemoryNew: 'SERVER_ERROR Out of memory allocating new item',
  shutdown: 'ERROR: shutdown not enabled',
  badClass: 'BADCLASS invalid class id',
  noMemoryLine: 'SERVER_ERROR out of memory reading request',
  tooManyConnections: 'ERROR Too many open connections',
} as const;

export const VERSION = LINES.version.slice('VERSION '.length);

/** Number of each constant line. */
export const REPLY = Object.freeze(
  Object.fromEntries(Object.keys(LINES).map((name, index) => [name, index])),
) as Readonly<Record<keyof typeof LINES, number>>;

/** A pending reply that is the number in LO and HI. */
const PENDING_NUMBER = Object.keys(LINES).length + 1;
/** A pending reply that is a text, or the rest of one. */
const PENDING_TEXT = PENDING_NUMBER + 1;
/** A pending reply that is the rest of an item. */
const PENDING_ITEM = PENDING_TEXT + 1;
/** A pending reply that is the rest of a dump. */
const PENDING_DUMP = PENDING_ITEM + 1;
/** All pending texts together: who asks for more, and does not read, is reset. */
const TEXTS_BYTES_MAX = 2 ** 23;

/** Items up to this are copied for gets, so that header and data are queued as one. */
export const COPY_MAX = 1024;
const SCRATCH_BYTES = 2048;
/** Constant lines behind so many bytes are copied: a span for each would use up what there is. */
const MANY_BYTES = 4096;

export class Replies {
  readonly #host: KvHost;
  readonly #records: Records;
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #numbers: Numbers;
  readonly #dump: Dump;
  readonly #i32: Int32Array;
  readonly #offsets: Int32Array;
  readonly #lengths: Int32Array;
  readonly #scratch: number;
  /** What is still to be sent of texts, by record. */
  readonly #texts = new Map<number, Buffer>();
  #textBytes = 0;
  /** Answers of this delivery that went out as constants. */
  #constants = 0;

  constructor(host: KvHost, records: Records, store: Store, numbers: Numbers, dump: Dump) {
    this.#dump = dump;
    this.#host = host;
    this.#records = records;
    this.#store = store;
    this.#counts = store.counts;
    this.#numbers = numbers;
    this.#i32 = host.i32;
    const spans = Object.values(LINES).map((line) => host.text(`${line}\r\n`));
    this.#offsets = Int32Array.from(spans.map((span) => span.offset));
    this.#lengths = Int32Array.from(spans.map((span) => span.length));
    this.#scratch = host.alloc(SCRATCH_BYTES, 64);
  }

  /** A delivery begins. */
  begin(): void {
    this.#constants = 0;
  }

  /** Answers with a constant line, now or when there is room. */
  say(c: KvConnection, record: number, reply: number): void {
    if (!this.#trySay(c, reply)) this.#records.words[record + PENDING] = reply + 1;
  }

  /**
   * Answers with a constant line, and then closes. It resets with an answer half out, or without
   * room for this one: nothing is left unconsumed with which it could be tried again. What else
   * arrives is dropped.
   */
  refuse(c: KvConnection, record: number, reply: number): void {
    this.begin();
    const isSaid = this.#records.words[record + PENDING] === 0 && this.#trySay(c, reply);
    if (isSaid) this.end(c, record);
    else this.abort(c, record);
  }

  /** Closes when what is pending is out. What else arrives is dropped. */
  end(c: KvConnection, record: number): void {
    const words = this.#records.words;
    words[record + MODE] = CLOSED;
    if (words[record + PENDING] === 0) c.close();
  }

  /** Answers with a 64-bit number. */
  sayNumber(c: KvConnection, record: number, lo: number, hi: number): void {
    if (this.#tryNumber(c, lo, hi)) return;
    const words = this.#records.words;
    words[record + PENDING] = PENDING_NUMBER;
    words[record + LO] = lo;
    words[record + HI] = hi;
  }

  /** Sends what is pending; false when there is still no room. */
  flush(c: KvConnection, record: number): boolean {
    const words = this.#records.words;
    const pending = words[record + PENDING]!;
    const isSent = this.#tryPending(c, record, pending);
    if (isSent) {
      words[record + PENDING] = 0;
      if (words[record + MODE] === CLOSED) c.close();
    }
    return isSent;
  }

  #tryPending(c: KvConnection, record: number, pending: number): boolean {
    const words = this.#records.words;
    if (pending === PENDING_DUMP) return this.#dump.go(c, record);
    if (pending === PENDING_ITEM) return this.#tryRest(c, record);
    if (pending === PENDING_TEXT) return this.#tryText(c, record);
    if (pending === PENDING_NUMBER) {
      return this.#tryNumber(c, words[record + LO]!, words[record + HI]!);
    }
    return this.#trySay(c, pending - 1);
  }

  /** Answers with a dump that has begun. */
  sayDump(c: KvConnection, record: number): void {
    if (!this.#dump.go(c, record)) this.#records.words[record + PENDING] = PENDING_DUMP;
  }

  /** Text made for the occasion (stats): allocates. */
  sayText(c: KvConnection, record: number, text: string): void {
    if (this.#textBytes + text.length > TEXTS_BYTES_MAX) return this.abort(c, record);
    this.#setText(record, Buffer.from(text, 'latin1'));
    if (!this.#tryText(c, record)) this.#records.words[record + PENDING] = PENDING_TEXT;
  }

  /** Bytes of application memory, copied; false: no room, nothing was sent. */
  write(c: KvConnection, offset: number, length: number): boolean {
    if (!c.write(offset, length)) return false;
    this.#counts.add(C_WRITTEN, length);
    return true;
  }

  /** The same, now or when there is room. Allocates if there is none. */
  reply(c: KvConnection, record: number, offset: number, length: number): void {
    if (this.write(c, offset, length)) return;
    if (this.#textBytes + length > TEXTS_BYTES_MAX) return this.abort(c, record);
    this.#setText(record, Buffer.from(this.#host.u8.slice(offset, offset + length)));
    this.#records.words[record + PENDING] = PENDING_TEXT;
  }

  /** An item's data, and so many bytes of its tail, now or when there is room. */
  sendData(c: KvConnection, record: number, item: number, tail: number): void {
    this.#sendRest(c, record, item, item, tail);
  }

  /** The connection is gone. */
  forget(record: number): void {
    this.#setText(record, undefined);
    this.#dump.forget(record);
    const words = this.#records.words;
    if (words[record + SENT_ITEM] !== 0) this.#store.release(words[record + SENT_ITEM]!);
    words[record + SENT_ITEM] = 0;
  }

  #setText(record: number, text: Buffer | undefined): void {
    this.#textBytes += (text?.length ?? 0) - (this.#texts.get(record)?.length ?? 0);
    if (text) this.#texts.set(record, text);
    else this.#texts.delete(record);
  }

  /** Queues as much of a text as there is room for; true when that was the rest. */
  #tryText(c: KvConnection, record: number): boolean {
    let rest = this.#texts.get(record)!;
    while (rest.length > 0) {
      const piece = rest.subarray(0, SCRATCH_BYTES);
      this.#host.u8.set(piece, this.#scratch);
      if (!c.write(this.#scratch, piece.length)) break;
      this.#counts.add(C_WRITTEN, piece.length);
      rest = rest.subarray(piece.length);
    }
    this.#setText(record, rest.length > 0 ? rest : undefined);
    return rest.length === 0;
  }

  /**
   * Answers with an item from where it lies, and END if it is the last. False: no room, nothing was
   * sent.
   */
  sendItem(c: KvConnection, record: number, item: number, isLast: boolean): boolean {
    const word = item >> 2;
    const meta = this.#i32[word + META]!;
    if ((meta & CHAINED) !== 0) return this.#sendChained(c, record, item, isLast);
    const start = (meta >> DATA_SHIFT) & DATA_MASK;
    const length =
      (start +
        (this.#i32[word + DATA_LENGTH]! & LENGTH_MASK) +
        (isLast ? TAIL_BYTES : CRLF_BYTES)) |
      0;
    if (c.writable) return this.#sendSpan(c, record, item, item + HEADER_BYTES, length);
    if (length > COPY_MAX || !c.write(item + HEADER_BYTES, length)) return false;
    this.#counts.add(C_WRITTEN, length);
    return true;
  }

  /** The first chunk of a chained item, then its pieces, now or when there is room. */
  #sendChained(c: KvConnection, record: number, item: number, isLast: boolean): boolean {
    const { pieces } = this.#store;
    if (!c.writable) return false;
    const start = item + HEADER_BYTES;
    const length = pieces.dataAt(item) + pieces.lengthAt(item) - start;
    if (!this.#sendSpan(c, record, item, start, length)) return false;
    const tail = isLast ? TAIL_BYTES : CRLF_BYTES;
    this.#sendRest(c, record, item, pieces.after(item), tail);
    return true;
  }

  /** The data of an item from `chunk` on; what there is no room for is pending. */
  #sendRest(c: KvConnection, record: number, item: number, chunk: number, tail: number): void {
    const words = this.#records.words;
    this.#store.reference(item);
    words[record + SENT_ITEM] = item;
    words[record + SENT_CHUNK] = chunk;
    words[record + SENT_TAIL] = tail;
    if (!this.#tryRest(c, record)) words[record + PENDING] = PENDING_ITEM;
  }

  /** Sends chunks of the item that is half sent; true when it is wholly sent. */
  #tryRest(c: KvConnection, record: number): boolean {
    const words = this.#records.words;
    const { pieces } = this.#store;
    const item = words[record + SENT_ITEM]!;
    const isChained = pieces.isChained(item);
    const tail = words[record + SENT_TAIL]!;
    for (let chunk = words[record + SENT_CHUNK]!; chunk !== 0; ) {
      const next = isChained ? pieces.after(chunk) : 0;
      const length = pieces.lengthAt(chunk) + (next === 0 ? tail : 0);
      // A last piece may be there for the tail alone.
      if (length > 0 && !this.#sendSpan(c, record, item, pieces.dataAt(chunk), length))
        return false;
      words[record + SENT_CHUNK] = next;
      chunk = next;
    }
    words[record + SENT_ITEM] = 0;
    this.#store.release(item);
    return true;
  }

  /** Bytes of an item from where they lie; what is not taken is an unread answer (watch.ts). */
  #sendSpan(
    c: KvConnection,
    record: number,
    item: number,
    offset: number,
    length: number,
  ): boolean {
    this.#store.reference(item);
    if (!c.send(offset, length, item)) {
      this.#store.release(item);
      return false;
    }
    const words = this.#records.words;
    const unread = words[record + UNREAD]!;
    if (unread === 0) words[record + TAKEN] = this.#store.clock.now;
    words[record + UNREAD] = unread + 1;
    this.#counts.add(C_WRITTEN, length);
    return true;
  }

  /**
   * The same with the cas in the header: the header is written, the data sent from where it lies.
   */
  sendItemCas(c: KvConnection, record: number, item: number, isLast: boolean): boolean {
    const i32 = this.#i32;
    const word = item >> 2;
    const copy = this.#host.kernels.copy;
    const start = (i32[word + META]! >> DATA_SHIFT) & DATA_MASK;
    const dataLength = i32[word + DATA_LENGTH]! & LENGTH_MASK;
    const rest = (dataLength + (isLast ? TAIL_BYTES : CRLF_BYTES)) | 0;
    if (rest > COPY_MAX && !c.writable) return false;
    const scratch = this.#scratch;
    const u8 = this.#host.u8;
    copy(scratch, item + HEADER_BYTES, start - CRLF_BYTES);
    let at = scratch + start - CRLF_BYTES;
    u8[at++] = 32;
    at += this.#numbers.writeU64(at, i32[word + CAS_LO]!, i32[word + CAS_HI]!);
    u8[at++] = 13;
    u8[at++] = 10;
    if (rest <= COPY_MAX) {
      copy(at, item + HEADER_BYTES + start, rest);
      at += rest;
    }
    if (!c.write(scratch, at - scratch)) return false;
    this.#counts.add(C_WRITTEN, at - scratch);
    if (rest > COPY_MAX) {
      this.#sendRest(c, record, item, item, isLast ? TAIL_BYTES : CRLF_BYTES);
    }
    return true;
  }

  /** No way back: a reset. What else arrived is dropped. */
  abort(c: KvConnection, record: number): void {
    this.#records.words[record + MODE] = CLOSED;
    c.abort();
  }

  #trySay(c: KvConnection, reply: number): boolean {
    const offset = this.#offsets[reply]!;
    const length = this.#lengths[reply]!;
    const isFirst = this.#constants === 0 && c.queuedBytes < MANY_BYTES;
    const isSent = isFirst ? c.send(offset, length) : c.write(offset, length);
    if (!isSent) return false;
    this.#constants = 1;
    this.#counts.add(C_WRITTEN, length);
    return true;
  }

  #tryNumber(c: KvConnection, lo: number, hi: number): boolean {
    const scratch = this.#scratch;
    const length = this.#numbers.writeU64(scratch, lo, hi);
    this.#host.u8[scratch + length] = 13;
    this.#host.u8[scratch + length + 1] = 10;
    if (!c.write(scratch, length + 2)) return false;
    this.#counts.add(C_WRITTEN, length + 2);
    return true;
  }
}
