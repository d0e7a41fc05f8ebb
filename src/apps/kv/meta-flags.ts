/**
 * The flags of a meta command: `<letter>[<token>]`, in any order, none twice.
 *
 * - `read` looks at all of them before anything is done, and says what is wrong as memcached does:
 *   every command takes every flag that one of them knows, and ignores what has no meaning for it.
 * - Times are seconds of the store's clock. 64-bit numbers are two int32.
 * - With `b` the key is what its base64 says, in scratch space of ours until the next `read`.
 * - An opaque token that is too long is refused before anything has happened. (memcached has
 *   stored, counted or touched by then.)
 *
 * Called by the meta files. Read first: memcached's doc/protocol.txt, "Meta Commands".
 */

import { decodeBase64 } from './base64.ts';
import type { StoreClock } from './clock.ts';
import type { Memory } from './host.ts';
import { KEY_MAX } from './layout.ts';
import {
  LOWER_B,
  UPPER_C,
  UPPER_D,
  UPPER_E,
  UPPER_F,
  UPPER_J,
  UPPER_M,
  UPPER_N,
  UPPER_O,
  UPPER_R,
  UPPER_T,
} from './letters.ts';
import type { Line } from './line.ts';
import type { Numbers } from './numbers.ts';
import { REPLY } from './replies.ts';

/** Words of a line, the command and its key among them. */
const LINE_WORDS_MAX = 20;
/** An opaque token and its letter. */
const OPAQUE_MAX = 32;
const ASCII_MAX = 126;

export const NO_ERROR = -1;

const bitsOf = (letters: string): number =>
  [...letters].reduce((bits, letter) => bits | (1 << (letter.charCodeAt(0) & 31)), 0);
const LOWER = bitsOf('bkstcfvhuqxl');
const UPPER = bitsOf('NTRLOPFCEMJDI');

const R_BAD_FORMAT = REPLY.badFormat;
const R_BAD_KEY = REPLY.badKey;
const R_DUPLICATE = REPLY.duplicateFlag;
const R_INVALID = REPLY.invalidFlag;
const R_MANY = REPLY.manyFlags;
const R_BAD_TOKEN = REPLY.badToken;
const R_BAD_DELTA = REPLY.badDeltaToken;
const R_BAD_INITIAL = REPLY.badInitialToken;
const R_OPAQUE = REPLY.longOpaque;

export class MetaFlags {
  key = 0;
  keyLength = 0;
  /** T, N, R. */
  expiry = 0;
  vivifyExpiry = 0;
  recacheExpiry = 0;
  clientFlags = 0;
  /** The letter of M, 0: none. */
  mode = 0;
  /** C, E, D, J. */
  casLo = 0;
  casHi = 0;
  newCasLo = 0;
  newCasHi = 0;
  deltaLo = 0;
  deltaHi = 0;
  initialLo = 0;
  initialHi = 0;
  readonly #u8: Uint8Array;
  readonly #numbers: Numbers;
  readonly #clock: StoreClock;
  readonly #decoded: number;
  /** Which letters there were, by their low five bits. */
  #lower = 0;
  #upper = 0;

  /** `scratch`: KEY_MAX bytes in the arena. */
  constructor(memory: Memory, numbers: Numbers, clock: StoreClock, scratch: number) {
    this.#u8 = memory.u8;
    this.#numbers = numbers;
    this.#clock = clock;
    this.#decoded = scratch;
  }

  static readonly scratchBytes: number = KEY_MAX + 2;

  has(letter: number): boolean {
    const bits = letter >= 97 ? this.#lower : this.#upper;
    return (bits & (1 << (letter & 31))) !== 0;
  }

  /** Reads the key, word 1, and the flags from word `first` on. NO_ERROR, or the reply to say. */
  read(line: Line, first: number): number {
    this.#clear();
    this.key = line.starts[1]!;
    this.keyLength = line.lengths[1]!;
    if (this.keyLength > KEY_MAX) return R_BAD_FORMAT;
    if (line.count > LINE_WORDS_MAX) return R_MANY;
    let error = NO_ERROR;
    let isOpaqueLong = false;
    for (let i = first; i < line.count; i++) {
      const start = line.starts[i]!;
      const letter = this.#u8[start]!;
      if (letter > ASCII_MAX) return R_DUPLICATE;
      if (!isKnown(letter)) return R_INVALID;
      if (this.has(letter)) return R_DUPLICATE;
      this.#note(letter);
      if (letter === UPPER_O && line.lengths[i]! > OPAQUE_MAX) isOpaqueLong = true;
      const wrong = this.#token(letter, start + 1, line.lengths[i]! - 1);
      if (wrong !== NO_ERROR && (wrong !== R_BAD_FORMAT || error === NO_ERROR)) error = wrong;
    }
    return error === NO_ERROR && isOpaqueLong ? R_OPAQUE : error;
  }

  #clear(): void {
    this.#lower = this.#upper = 0;
    this.expiry = this.vivifyExpiry = this.recacheExpiry = 0;
    this.clientFlags = this.mode = 0;
    this.casLo = this.casHi = this.newCasLo = this.newCasHi = 0;
    this.deltaLo = 1;
    this.deltaHi = this.initialLo = this.initialHi = 0;
  }

  #note(letter: number): void {
    if (letter >= 97) this.#lower |= 1 << (letter & 31);
    else this.#upper |= 1 << (letter & 31);
  }

  /** Takes a letter's token; NO_ERROR, or what is wrong with it. */
  #token(letter: number, start: number, length: number): number {
    const numbers = this.#numbers;
    switch (letter) {
      case LOWER_B:
        return this.#decodeKey();
      case UPPER_T:
      case UPPER_N:
      case UPPER_R:
        if (!numbers.parseI32(start, length)) return R_BAD_TOKEN;
        this.#setTime(letter, this.#clock.expiry(numbers.lo));
        return NO_ERROR;
      case UPPER_F:
        if (!numbers.parseU64(start, length) || numbers.hi !== 0) return R_BAD_FORMAT;
        this.clientFlags = numbers.lo;
        return NO_ERROR;
      case UPPER_C:
      case UPPER_E:
      case UPPER_D:
      case UPPER_J:
        if (numbers.parseU64(start, length)) return this.#setNumber(letter);
        if (letter === UPPER_D) return R_BAD_DELTA;
        return letter === UPPER_J ? R_BAD_INITIAL : R_BAD_TOKEN;
      case UPPER_M:
        // Whatever stands there: the next blank, or the end of the line, is no mode either.
        this.mode = this.#u8[start]!;
        return NO_ERROR;
      default:
        return NO_ERROR;
    }
  }

  #setTime(letter: number, second: number): void {
    if (letter === UPPER_T) this.expiry = second;
    else if (letter === UPPER_N) this.vivifyExpiry = second;
    else this.recacheExpiry = second;
  }

  #setNumber(letter: number): number {
    const { lo, hi } = this.#numbers;
    if (letter === UPPER_C) {
      this.casLo = lo;
      this.casHi = hi;
    } else if (letter === UPPER_E) {
      this.newCasLo = lo;
      this.newCasHi = hi;
    } else if (letter === UPPER_D) {
      this.deltaLo = lo;
      this.deltaHi = hi;
    } else {
      this.initialLo = lo;
      this.initialHi = hi;
    }
    return NO_ERROR;
  }

  #decodeKey(): number {
    const length = decodeBase64(this.#u8, this.key, this.keyLength, this.#decoded);
    if (length === 0) return R_BAD_KEY;
    this.key = this.#decoded;
    this.keyLength = length;
    return NO_ERROR;
  }
}

function isKnown(letter: number): boolean {
  const isUpper = letter >= 65 && letter <= 90;
  if (!isUpper && (letter < 97 || letter > 122)) return false;
  return ((isUpper ? UPPER : LOWER) & (1 << (letter & 31))) !== 0;
}
