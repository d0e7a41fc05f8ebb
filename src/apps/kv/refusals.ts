/**
 * Storage lines that are refused: their data blocks must never be read as commands.
 *
 * - When the line says beyond doubt how long its block is, the block is swallowed and the
 *   connection goes on.
 * - Otherwise the connection is closed behind the error. In doubt is every line with a word too few
 *   or too many: an empty key, or one with a blank in it, has moved the number.
 * - memcached 1.6.18 reads such a block as commands, so that whoever chooses a value or a key may
 *   choose commands. The line's own answer is memcached's.
 * - So it is for `ms`, whose flags begin with a letter: where one does not, the key had a blank.
 * - What comes behind as many bytes as the line says is the next command, whatever the client
 *   meant.
 *
 * Called by updates.ts and meta-set.ts with a complete line. Read first: memcached's
 * doc/protocol.txt.
 */
import { COUNT, type Counts } from './counters.ts';
import type { KvConnection } from './host.ts';
import { CRLF_BYTES } from './layout.ts';
import { type Line, WORDS_MAX } from './line.ts';
import { LENGTH_MAX, type Numbers } from './numbers.ts';
import { MODE, REMAINING, type Records, SWALLOW } from './records.ts';
import { REPLY, type Replies } from './replies.ts';

const C_SWALLOWED = COUNT.blocks_swallowed;
const C_UNREADABLE = COUNT.blocks_unreadable;
const R_ERROR = REPLY.error;
/**
 * Word that is the length: `set <key> <flags> <exptime> <length>`, `ms <key> <length> <flags>*`.
 */
const LENGTH_WORD = 4;
const META_LENGTH_WORD = 2;

const isLetter = (byte: number): boolean => (byte | 32) >= 97 && (byte | 32) <= 122;

export class Refusals {
  readonly #records: Records;
  readonly #replies: Replies;
  readonly #counts: Counts;
  readonly #numbers: Numbers;
  readonly #u8: Uint8Array;

  constructor(
    u8: Uint8Array,
    counts: Counts,
    replies: Replies,
    records: Records,
    numbers: Numbers,
  ) {
    this.#u8 = u8;
    this.#counts = counts;
    this.#replies = replies;
    this.#records = records;
    this.#numbers = numbers;
  }

  /**
   * A line of the set family that should have `wanted` words, and `noreply`, which silences every
   * answer but that to a wrong number of words.
   */
  update(c: KvConnection, record: number, line: Line, wanted: number, reply: number): void {
    const isQuiet = line.isQuiet();
    const isWhole = line.count === (isQuiet ? wanted + 1 : wanted);
    const length = isWhole
      ? this.#numbers.parseLength(line.starts[LENGTH_WORD]!, line.lengths[LENGTH_WORD]!)
      : -1;
    if (!isQuiet || reply === R_ERROR) this.#replies.say(c, record, reply);
    this.#drop(c, record, length);
  }

  /** An `ms` line. */
  meta(c: KvConnection, record: number, line: Line, reply: number): void {
    const { starts, lengths } = line;
    let length = -1;
    if (line.count > META_LENGTH_WORD) {
      length = this.#numbers.parseLength(starts[META_LENGTH_WORD]!, lengths[META_LENGTH_WORD]!);
    }
    const count = Math.min(line.count, WORDS_MAX);
    for (let i = META_LENGTH_WORD + 1; i < count; i++) {
      if (!isLetter(this.#u8[starts[i]!]!)) length = -1;
    }
    this.#replies.say(c, record, reply);
    this.#drop(c, record, length);
  }

  #drop(c: KvConnection, record: number, length: number): void {
    if (length < 0 || length > LENGTH_MAX) {
      this.#counts.bump(C_UNREADABLE);
      return this.#replies.end(c, record);
    }
    this.#counts.bump(C_SWALLOWED);
    const words = this.#records.words;
    words[record + REMAINING] = length + CRLF_BYTES;
    words[record + MODE] = SWALLOW;
  }
}
