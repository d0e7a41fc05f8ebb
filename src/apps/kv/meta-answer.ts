/**
 * The line that a meta command is answered with, written into scratch space: two letters, then
 * flags in the order in which they were asked for.
 *
 * - The caller starts with `code` or `value`, adds flags, and ends with `end`; `at` is where the
 *   next byte goes. The longest line, and a small value behind it, fit (asserted).
 *
 * Called by the meta files.
 */

import { assert } from '../../verify.ts';
import { encodeBase64 } from './base64.ts';
import type { Memory } from './host.ts';
import { KEY_MAX } from './layout.ts';
import { LOWER_B, LOWER_K, UPPER_A, UPPER_V } from './letters.ts';
import type { Numbers } from './numbers.ts';
import { COPY_MAX } from './replies.ts';

const SCRATCH_BYTES = 2048;
/** `VA` and a length; a key in base64 and ` b`; an opaque token; ten numbers; W, X, Z; the end. */
const LINE_MAX = 10 + Math.ceil(KEY_MAX / 3) * 4 + 4 + 34 + 10 * 22 + 6 + 2;
assert(LINE_MAX + COPY_MAX <= SCRATCH_BYTES, 'kv: a meta answer fits');

const SPACE = 32;
const ZERO = 48;
const MINUS = 45;
const CR = 13;
const LF = 10;

export class MetaAnswer {
  at = 0;
  readonly start: number;
  readonly #u8: Uint8Array;
  readonly #copy: Memory['kernels']['copy'];
  readonly #numbers: Numbers;

  static readonly scratchBytes: number = SCRATCH_BYTES;

  /** `scratch`: `scratchBytes` in the arena. */
  constructor(memory: Memory, numbers: Numbers, scratch: number) {
    this.start = scratch;
    this.#u8 = memory.u8;
    this.#copy = memory.kernels.copy;
    this.#numbers = numbers;
  }

  get length(): number {
    return this.at - this.start;
  }

  /** Begins with two letters, as their bytes. */
  code(first: number, second: number): void {
    this.#u8[this.start] = first;
    this.#u8[this.start + 1] = second;
    this.at = this.start + 2;
  }

  /** Begins with `VA` and the length of the value that will follow. */
  value(length: number): void {
    this.code(UPPER_V, UPPER_A);
    this.#u8[this.at] = SPACE;
    this.at += 1 + this.#numbers.writeU32(this.at + 1, length);
  }

  flag(letter: number): void {
    this.#u8[this.at] = SPACE;
    this.#u8[this.at + 1] = letter;
    this.at += 2;
  }

  digit(letter: number, isSet: boolean): void {
    this.flag(letter);
    this.#u8[this.at++] = isSet ? ZERO + 1 : ZERO;
  }

  /** The u32 whose bits these are. */
  u32(letter: number, value: number): void {
    this.flag(letter);
    this.at += this.#numbers.writeU32(this.at, value);
  }

  u64(letter: number, lo: number, hi: number): void {
    this.flag(letter);
    this.number(lo, hi);
  }

  /** An unsigned number of two halves. */
  number(lo: number, hi: number): void {
    this.at += this.#numbers.writeU64(this.at, lo, hi);
  }

  /** Seconds from `now` to `expiry`, -1: for ever. What is over is a very large number. */
  ttl(letter: number, expiry: number, now: number): void {
    if (expiry !== 0) return this.u32(letter, (expiry - now) | 0);
    this.flag(letter);
    this.#u8[this.at] = MINUS;
    this.#u8[this.at + 1] = ZERO + 1;
    this.at += 2;
  }

  /** A word as it came. */
  word(start: number, length: number): void {
    this.#u8[this.at] = SPACE;
    this.#copy(this.at + 1, start, length);
    this.at += 1 + length;
  }

  /** A word that was kept outside the arena. */
  noted(notes: Uint8Array, start: number, length: number): void {
    this.#u8[this.at] = SPACE;
    for (let i = 0; i < length; i++) this.#u8[this.at + 1 + i] = notes[start + i]!;
    this.at += 1 + length;
  }

  key(start: number, length: number, inBase64: boolean): void {
    this.flag(LOWER_K);
    this.bareKey(start, length, inBase64);
    if (inBase64) this.flag(LOWER_B);
  }

  bareKey(start: number, length: number, inBase64: boolean): void {
    if (inBase64) this.at += encodeBase64(this.#u8, start, length, this.at);
    else {
      this.#copy(this.at, start, length);
      this.at += length;
    }
  }

  bytes(text: Uint8Array): void {
    for (let i = 0; i < text.length; i++) this.#u8[this.at + i] = text[i]!;
    this.at += text.length;
  }

  end(): void {
    this.#u8[this.at] = CR;
    this.#u8[this.at + 1] = LF;
    this.at += 2;
  }

  /** Bytes from elsewhere in the arena: a small value. */
  append(start: number, length: number): void {
    this.#copy(this.at, start, length);
    this.at += length;
  }
}
