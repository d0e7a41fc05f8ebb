/**
 * What the store remembers of a connection between two deliveries: one record of int32 words,
 * indexed by the connection's id.
 *
 * - `of(id)` is the index of the record's first word; the table grows when a connection with a new
 *   id opens.
 */
export const MODE = 0;
/** The verb whose value or keys are being read. */
export const VERB_WORD = 1;
/** How the value is to be stored, and answered: bits, below. */
export const HOW = 2;
/** The item being filled. */
export const ITEM = 3;
/** Bytes still to come: of the value and its CRLF, or of what is swallowed. */
export const REMAINING = 4;
/** A reply that could not be queued: its number + 1 (replies.ts). */
export const PENDING = 5;
/** 64 bits: the cas of a cas command, or the number of a pending reply. */
export const LO = 6;
export const HI = 7;
/** The second of the clock that gat gives. */
export const EXPIRY = 8;
/**
 * Of an upload into a chained item: the chunk being written, where, and how much it still takes.
 */
export const CHUNK = 9;
export const AT = 10;
export const ROOM = 11;
/** Swallowing: the reply that is due when all is swallowed, + 1; 0: none (it was given at once). */
export const DUE = 12;
/**
 * An answer half sent: the item (with a reference), and the chunk that goes on.
 */
export const SENT_ITEM = 13;
export const SENT_CHUNK = 14;
/** What follows its last byte of data: how many bytes of the tail. */
export const SENT_TAIL = 15;
/**
 * Of an upload: bytes of memory it holds (0: not one), its neighbours (record + 1), last progress.
 */
export const HELD = 16;
export const OLDER = 17;
export const NEWER = 18;
export const SINCE = 19;
/** 1: it is one of those that `stats` counts; a refused connection is not. */
export const COUNTED = 20;
/** Seconds of the clock: bytes came; a span of an item was acknowledged, or the first one sent. */
export const ACTIVE = 21;
export const TAKEN = 22;
/** Spans of items sent and not acknowledged. */
export const UNREAD = 23;
/** Of KEYS: 1: the line's end has not been seen. */
export const LINE_OPEN = 24;
/** Of held keys: first and last block (0: none), where to read and to write in them, how many. */
export const KEYS_HEAD = 25;
export const KEYS_TAIL = 26;
export const KEYS_FROM = 27;
export const KEYS_TO = 28;
export const KEYS_BLOCKS = 29;
/** Of a dump: the bucket it is at, how many items of that are out, and the classes asked for. */
export const DUMP_BUCKET = 30;
export const DUMP_DONE = 31;
export const DUMP_LOW = 32;
export const DUMP_HIGH = 33;
/** 64 bits: the cas that a stored item shall get. */
export const NEW_LO = 34;
export const NEW_HI = 35;
const WORDS = 40;

/** HOW, 0 for a plain classic command: no answer if it succeeds (classic: none at all). */
export const QUIET = 1;
/** It is a meta command (meta-set.ts). */
export const META_FORM = 2;
/** The key is told in base64. */
export const IN_BASE64 = 4;
/** An older cas stores a value that is out of date. */
export const MAY_BE_STALE = 8;
/** The item gets the cas in NEW_LO and NEW_HI. */
export const HAS_NEW_CAS = 16;
/** Appending to nothing makes an item. */
export const VIVIFY = 32;
/** append and prepend: the item must have the cas in LO and HI. */
export const HAS_CAS = 64;

/** Reading a command line. */
export const COMMAND = 0;
/** Reading the keys of a get line. */
export const KEYS = 1;
/** Reading a value into ITEM. */
export const VALUE = 2;
/** Dropping REMAINING bytes. */
export const SWALLOW = 3;
/** Dropping the rest of a get line that had too long a key. */
export const SWALLOW_LINE = 4;
/** Dropping everything: the connection closes. */
export const CLOSED = 5;

export class Records {
  words = new Int32Array(64 * WORDS);

  /** Index of the first word of a connection's record. */
  of(id: number): number {
    return id * WORDS;
  }

  /** A fresh record. */
  open(id: number): void {
    const first = id * WORDS;
    if (first >= this.words.length) {
      const grown = new Int32Array(Math.max(this.words.length * 2, first + WORDS));
      grown.set(this.words);
      this.words = grown;
    }
    this.words.fill(0, first, first + WORDS);
  }
}
