/**
 * The keys of the kv client, as constant requests in application memory.
 *
 * - Key i is `key-` and twelve decimal digits; its value is the key twice: 32 bytes that any reader
 *   can check.
 * - `get KEY\r\n` stands ready for every key, so that a GET copies nothing. SET is built in one
 *   scratch line.
 * - Keys below `stored` are stored before the measurement, the others are the misses.
 *
 * Read first: memcached's doc/protocol.txt, "Storage commands" and "Retrieval command".
 */
import type { Ix } from '../../libix/index.ts';

export const KEY_BYTES = 16;
export const VALUE_BYTES = 32;

const GET_PREFIX = 'get ';
export const GET_BYTES = GET_PREFIX.length + KEY_BYTES + 2;
/** Requests are 24 bytes apart, so that their key starts on a word. */
const GET_STRIDE = 24;

const SET_PREFIX = 'set ';
const SET_MIDDLE = ` 0 0 ${VALUE_BYTES}\r\n`;
const SET_VALUE = SET_PREFIX.length + KEY_BYTES + SET_MIDDLE.length;
export const SET_BYTES = SET_VALUE + VALUE_BYTES + 2;

/** `VALUE KEY 0 32\r\n` + value + `\r\nEND\r\n` */
const HIT_KEY = 6;
const HIT_MIDDLE = ` 0 ${VALUE_BYTES}\r\n`;
const HIT_VALUE = HIT_KEY + KEY_BYTES + HIT_MIDDLE.length;
const HIT_END = HIT_VALUE + VALUE_BYTES;
export const HIT_BYTES = HIT_END + 7;
export const MISS_BYTES = 5;
export const STORED_BYTES = 8;

/** Four ASCII characters as the little-endian word that the view reads. */
const word = (text: string): number => Buffer.from(text, 'latin1').readInt32LE(0);
const WORD_VALU = word('VALU');
const WORD_END = word('END\r');
const WORD_ND = word('ND\r\n');
const WORD_STOR = word('STOR');
const WORD_ED = word('ED\r\n');

/** What the bytes at an offset are. */
export const REPLY = { partial: 0, hit: 1, miss: 2, stored: 3, wrong: 4 } as const;

export class KeySpace {
  readonly count: number;
  readonly stored: number;
  readonly #u8: Uint8Array;
  readonly #view: DataView;
  readonly #gets: number;
  readonly #set: number;

  constructor(ix: Ix, stored: number, hitRatio: number) {
    this.stored = stored;
    this.count = Math.max(stored, Math.round(stored / hitRatio));
    this.#u8 = ix.u8;
    this.#view = ix.view;
    this.#gets = ix.alloc(this.count * GET_STRIDE, 64);
    this.#set = ix.alloc(SET_BYTES, 64);
    const write = (text: string, offset: number) => {
      for (let i = 0; i < text.length; i++) this.#u8[offset + i] = text.charCodeAt(i);
    };
    for (let i = 0; i < this.count; i++) {
      write(`${GET_PREFIX}key-${String(i).padStart(12, '0')}\r\n`, this.#gets + i * GET_STRIDE);
    }
    write(SET_PREFIX, this.#set);
    write(SET_MIDDLE, this.#set + SET_PREFIX.length + KEY_BYTES);
    write('\r\n', this.#set + SET_VALUE + VALUE_BYTES);
  }

  /** Offset of `get KEY\r\n`, GET_BYTES long, constant. */
  get(key: number): number {
    return this.#gets + key * GET_STRIDE;
  }

  /** Offset of `set KEY ... value\r\n`, SET_BYTES long, until the next call. */
  set(key: number): number {
    const from = this.#keyAt(key);
    const line = this.#set;
    this.#u8.copyWithin(line + SET_PREFIX.length, from, from + KEY_BYTES);
    this.#u8.copyWithin(line + SET_VALUE, from, from + KEY_BYTES);
    this.#u8.copyWithin(line + SET_VALUE + KEY_BYTES, from, from + KEY_BYTES);
    return line;
  }

  /**
   * Classifies the answer to `get KEY`: REPLY.hit (HIT_BYTES), miss (MISS_BYTES), partial or wrong.
   */
  replyToGet(key: number, offset: number, length: number): number {
    if (length < MISS_BYTES) return REPLY.partial;
    const view = this.#view;
    const start = view.getInt32(offset, true);
    if (start === WORD_END) return view.getUint8(offset + 4) === 10 ? REPLY.miss : REPLY.wrong;
    if (start !== WORD_VALU) return REPLY.wrong;
    if (length < HIT_BYTES) return REPLY.partial;
    const from = this.#keyAt(key);
    const isWhole =
      this.#holdsKey(from, offset + HIT_KEY) &&
      this.#holdsKey(from, offset + HIT_VALUE) &&
      this.#holdsKey(from, offset + HIT_VALUE + KEY_BYTES) &&
      view.getInt32(offset + HIT_END + 3, true) === WORD_ND;
    return isWhole ? REPLY.hit : REPLY.wrong;
  }

  /** Classifies the answer to a SET: REPLY.stored (STORED_BYTES), partial or wrong. */
  replyToSet(offset: number, length: number): number {
    if (length < STORED_BYTES) return REPLY.partial;
    const isStored =
      this.#view.getInt32(offset, true) === WORD_STOR &&
      this.#view.getInt32(offset + 4, true) === WORD_ED;
    return isStored ? REPLY.stored : REPLY.wrong;
  }

  #keyAt(key: number): number {
    return this.#gets + key * GET_STRIDE + GET_PREFIX.length;
  }

  #holdsKey(key: number, offset: number): boolean {
    const view = this.#view;
    return (
      view.getInt32(offset, true) === view.getInt32(key, true) &&
      view.getInt32(offset + 4, true) === view.getInt32(key + 4, true) &&
      view.getInt32(offset + 8, true) === view.getInt32(key + 8, true) &&
      view.getInt32(offset + 12, true) === view.getInt32(key + 12, true)
    );
  }
}
