/**
 * The image of an item: writing its text around key and data, and reading it back.
 *
 * - `VALUE <key> <flags> <bytes>\r\n` <data> `\r\nEND\r\n`, directly behind the header words.
 * - The data is written by whoever has it; everything else is written here, once, when the item is
 *   allocated. Of a chained item the tail is written with its last piece.
 */
import type { Memory } from './host.ts';
import {
  CHAINED,
  DATA_LENGTH,
  DATA_MASK,
  DATA_SHIFT,
  HEADER_BYTES,
  KEY_MASK,
  KEY_SHIFT,
  KEY_START,
  LENGTH_MASK,
  META,
  TAIL_BYTES,
} from './layout.ts';
import type { Numbers } from './numbers.ts';

const word = (text: string): number => Buffer.from(text, 'latin1').readInt32LE();
const VALU = word('VALU');
const E_SPACE = word('E   ') & 0xffff;
const TAIL_FIRST = word('\r\nEN');
const TAIL_LAST = word('ND\r\n');
const CRLF = word('\r\n  ') & 0xffff;
const SPACE = 32;

/** Decimal digits of a u32 (bits of an int32). */
function digitsOf(value: number): number {
  if (value < 0) return 10;
  let digits = 1;
  for (let limit = 10; digits < 10 && value >= limit; limit *= 10) digits++;
  return digits;
}

/** " ", " " and CRLF around the two numbers, "VALUE " before the key. */
const FIXED_TEXT = 6 + 2 + 2;

/** Bytes of header and image: of one chunk, unless they are more than CHUNK_MAX. */
export const itemBytes = (keyLength: number, flags: number, dataLength: number): number =>
  HEADER_BYTES +
  FIXED_TEXT +
  keyLength +
  digitsOf(flags) +
  digitsOf(dataLength) +
  dataLength +
  TAIL_BYTES;

export class Images {
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #numbers: Numbers;

  constructor(memory: Memory, numbers: Numbers) {
    this.#view = memory.view;
    this.#u8 = memory.u8;
    this.#i32 = memory.i32;
    this.#numbers = numbers;
  }

  /**
   * Writes all of the image but the data, and the words META (class stays) and DATA_LENGTH. `flags`
   * is the u32's bits; `state` is 0 or CHAINED. The key may lie anywhere outside the item.
   */
  write(
    item: number,
    keyOffset: number,
    keyLength: number,
    flags: number,
    dataLength: number,
    state: number,
  ): void {
    const view = this.#view;
    view.setInt32(item + HEADER_BYTES, VALU, true);
    view.setInt16(item + HEADER_BYTES + 4, E_SPACE, true);
    this.#copyKey(item + KEY_START, keyOffset, keyLength);
    let at = item + KEY_START + keyLength;
    this.#u8[at] = SPACE;
    at += 1 + this.#numbers.writeU32(at + 1, flags);
    this.#u8[at] = SPACE;
    at += 1 + this.#numbers.writeU32(at + 1, dataLength);
    view.setInt16(at, CRLF, true);
    const dataStart = at + 2 - item - HEADER_BYTES;
    if (state !== CHAINED) this.writeTail(at + 2 + dataLength);
    const header = item >> 2;
    const meta = this.#i32[header + META]! | state;
    this.#i32[header + META] = meta | (keyLength << KEY_SHIFT) | (dataStart << DATA_SHIFT);
    this.#i32[header + DATA_LENGTH] = dataLength;
  }

  /** `\r\nEND\r\n` at `offset`. */
  writeTail(offset: number): void {
    this.#view.setInt32(offset, TAIL_FIRST, true);
    this.#view.setInt32(offset + 3, TAIL_LAST, true);
  }

  keyLengthOf(item: number): number {
    return (this.#i32[(item >> 2) + META]! >> KEY_SHIFT) & KEY_MASK;
  }

  /** Bytes of the image before the data. */
  dataStartOf(item: number): number {
    return (this.#i32[(item >> 2) + META]! >> DATA_SHIFT) & DATA_MASK;
  }

  /** Offset of the data in the arena. */
  dataOf(item: number): number {
    return item + HEADER_BYTES + this.dataStartOf(item);
  }

  dataLengthOf(item: number): number {
    return this.#i32[(item >> 2) + DATA_LENGTH]! & LENGTH_MASK;
  }

  /** Bytes of header and image. */
  bytesOf(item: number): number {
    return HEADER_BYTES + this.dataStartOf(item) + this.dataLengthOf(item) + TAIL_BYTES;
  }

  /** Client flags, read back from the text: the u32's bits. */
  flagsOf(item: number): number {
    const u8 = this.#u8;
    let flags = 0;
    let at = item + KEY_START + this.keyLengthOf(item) + 1;
    for (; u8[at] !== SPACE; at++) flags = (Math.imul(flags, 10) + u8[at]! - 48) | 0;
    return flags;
  }

  #copyKey(destination: number, source: number, length: number): void {
    const view = this.#view;
    const end = source + (length & ~3);
    while (source < end) {
      view.setInt32(destination, view.getInt32(source, true), true);
      source += 4;
      destination += 4;
    }
    for (const last = source + (length & 3); source < last; source++, destination++) {
      this.#u8[destination] = this.#u8[source]!;
    }
  }
}
