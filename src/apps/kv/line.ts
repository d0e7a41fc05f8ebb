/**
 * One command line: where it ends, and its words.
 *
 * - memcached's tokenizer, in one pass over the bytes: words are separated by blanks only (a TAB is
 *   part of a word), one CR before the LF is dropped, a NUL ends the line's text though not the
 *   line.
 * - The first WORDS_MAX words are kept as offsets and lengths, the rest is only counted.
 * - `keyTooLong` is the number of the last word above 250 bytes: a get line with such a key is
 *   refused before anything of it is answered.
 *
 * Read first: memcached's proto_text.c `tokenize_command`, `try_read_command_ascii`.
 */
import { KEY_MAX } from './layout.ts';

const LF = 10;
const CR = 13;
const SPACE = 32;
/** The longest classic command has 7 words, a meta command 20. */
export const WORDS_MAX = 24;

/** Verbs, as small integers. */
export const VERB = {
  unknown: 0,
  get: 1,
  gets: 2,
  gat: 3,
  gats: 4,
  set: 5,
  add: 6,
  replace: 7,
  append: 8,
  prepend: 9,
  cas: 10,
  delete: 11,
  incr: 12,
  decr: 13,
  touch: 14,
  flush_all: 15,
  stats: 16,
  version: 17,
  verbosity: 18,
  quit: 19,
  shutdown: 20,
  bget: 21,
  lru_crawler: 22,
} as const;

/** A verb's first four bytes, blank-filled, as the int32 that lies in memory. */
const word = (text: string): number => Buffer.from(text.padEnd(4), 'latin1').readInt32LE();

export class Line {
  count = 0;
  /** The offset behind the LF. */
  next = 0;
  keyTooLong = -1;
  readonly starts = new Int32Array(WORDS_MAX);
  readonly lengths = new Int32Array(WORDS_MAX);
  readonly #u8: Uint8Array;
  readonly #view: DataView;
  /** Verbs by first word and length, for the lookup in `verb`. */
  readonly #verbs: Int32Array;

  constructor(u8: Uint8Array, view: DataView) {
    this.#u8 = u8;
    this.#view = view;
    const rows = Object.entries(VERB).filter(([name]) => name !== 'unknown');
    this.#verbs = Int32Array.from(rows.flatMap(([name, verb]) => [word(name), name.length, verb]));
  }

  /**
   * Reads the line at `offset`; false when there is no LF before `end` (then the whole words so far
   * are known).
   */
  read(offset: number, end: number): boolean {
    const u8 = this.#u8;
    let start = offset;
    let at = offset;
    let count = 0;
    this.keyTooLong = -1;
    for (; at < end; at++) {
      const byte = u8[at]!;
      if (byte > SPACE) continue;
      if (byte === SPACE) {
        if (at > start) count = this.#add(count, start, at - start);
        start = at + 1;
      } else if (byte === LF) {
        const last = at - offset > 1 && u8[at - 1] === CR ? at - 1 : at;
        if (last > start) count = this.#add(count, start, last - start);
        this.count = count;
        this.next = at + 1;
        return true;
      } else if (byte === 0) {
        if (at > start) count = this.#add(count, start, at - start);
        break;
      }
    }
    this.count = count;
    for (; at < end; at++) {
      if (u8[at] === LF) {
        this.next = at + 1;
        return true;
      }
    }
    return false;
  }

  /** Keeps a word; returns how many there are now. */
  #add(index: number, start: number, length: number): number {
    if (index < WORDS_MAX) {
      this.starts[index] = start;
      this.lengths[index] = length;
    }
    if (length > KEY_MAX) this.keyTooLong = index;
    return (index + 1) | 0;
  }

  /** The verb that word 0 is. The line has at least one word. */
  verb(): number {
    return this.verbAt(this.starts[0]!, this.lengths[0]!);
  }

  verbAt(start: number, length: number): number {
    if (length < 3) return VERB.unknown;
    let first = this.#view.getInt32(start, true);
    if (length === 3) first = (first & 0xffffff) | (SPACE << 24);
    const verbs = this.#verbs;
    for (let i = 0; i < verbs.length; i += 3) {
      if (verbs[i] === first && verbs[i + 1] === length) {
        return length <= 4 || this.#isRest(verbs[i + 2]!, start) ? verbs[i + 2]! : VERB.unknown;
      }
    }
    return VERB.unknown;
  }

  /** Compares a long verb's bytes from the fifth on. */
  #isRest(verb: number, start: number): boolean {
    const name = VERB_NAMES[verb]!;
    for (let i = 4; i < name.length; i++) {
      if (this.#u8[start + i] !== name[i]) return false;
    }
    return true;
  }

  /** Whether word `index` (below WORDS_MAX) is this text, given as bytes. */
  is(index: number, text: Uint8Array): boolean {
    return this.lengths[index] === text.length && this.begins(index, text);
  }

  /** Whether word `index` (below WORDS_MAX) begins with this text. */
  begins(index: number, text: Uint8Array): boolean {
    if (this.lengths[index]! < text.length) return false;
    const start = this.starts[index]!;
    for (let i = 0; i < text.length; i++) if (this.#u8[start + i] !== text[i]) return false;
    return true;
  }

  /** Word `index` as a string: for commands that are rare. */
  text(index: number): string {
    const start = this.starts[index]!;
    return Buffer.from(this.#u8.slice(start, start + this.lengths[index]!)).toString('latin1');
  }

  /** Whether the last word is `noreply`. */
  isQuiet(): boolean {
    return this.count <= WORDS_MAX && this.count > 0 && this.is(this.count - 1, NOREPLY);
  }
}

const NOREPLY = Uint8Array.from(Buffer.from('noreply'));
/** Names by verb, as bytes. */
const VERB_NAMES: readonly Uint8Array[] = Object.keys(VERB).map((name) =>
  Uint8Array.from(Buffer.from(name)),
);
