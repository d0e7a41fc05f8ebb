/**
 * Keys of get lines that have no end yet and that could not be answered, because their client does
 * not take answers before it has written its whole request.
 *
 * - memcached reads a line to its end before it answers, and so such clients work. Ours answers as
 *   keys come; what it cannot answer waits here, so that input goes on and libix holds nothing.
 * - Text as it came, without the LF, in blocks that are chained: the first word of each is the next
 *   one's offset. Where a connection's text begins and ends is in its record.
 * - A connection has at most HELD_MAX, and never more blocks than are free: whoever takes much
 *   leaves as much to the others. Who needs more is refused (Retrieval), counted as
 *   `long_lines_refused`.
 * - A block that was never taken has not been touched: there is no memory behind it.
 *
 * Called by retrieval.ts.
 */
import type { Memory } from './host.ts';
import { KEY_MAX, MEBIBYTE } from './layout.ts';
import { KEYS_BLOCKS, KEYS_FROM, KEYS_HEAD, KEYS_TAIL, KEYS_TO, type Records } from './records.ts';

const BLOCK_BYTES = 4096;
/** One connection's: 100,000 keys of 40 bytes. */
const HELD_MAX = 4 * MEBIBYTE;
const BLOCKS_MAX = HELD_MAX / BLOCK_BYTES;
/** All connections' together: a quarter of what is for values, and no more than this. */
const ALL_MAX = 8 * MEBIBYTE;
const LINK_BYTES = 4;
const CR = 13;
const SPACE = 32;
/** A key, and a byte more by which it is too long. */
const SCRATCH_BYTES = KEY_MAX + 6;

/** What `peek` says if there is no key: the next one has no end yet, or can be none. */
export const NO_KEY = -1;
export const TOO_LONG = -2;

/** Memory that a store of this many MiB has for them. */
export const heldBytes = (mebibytes: number): number =>
  Math.min(ALL_MAX, (mebibytes * MEBIBYTE) / 4) + SCRATCH_BYTES;

export class HeldKeys {
  /**
   * The key that `peek` found; whether it is the line's last; and whether by a NUL, not by the end.
   */
  readonly key: number;
  isLast = false;
  isCut = false;
  readonly #records: Records;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #copy: Memory['kernels']['copy'];
  #freeHead = 0;
  #fresh: number;
  #free: number;
  readonly #count: number;
  /** Behind the key that `peek` found. */
  #block = 0;
  #at = 0;

  /** `offset`: `heldBytes` bytes in the arena. */
  constructor(memory: Memory, records: Records, offset: number, bytes: number) {
    this.#records = records;
    this.#u8 = memory.u8;
    this.#i32 = memory.i32;
    this.#copy = memory.kernels.copy;
    this.#count = ((bytes - SCRATCH_BYTES) / BLOCK_BYTES) | 0;
    this.#free = this.#count;
    this.#fresh = offset;
    this.key = offset + this.#count * BLOCK_BYTES;
  }

  /** True when no connection holds a block: tests end with it. */
  allHome(): boolean {
    return this.#free === this.#count;
  }

  has(record: number): boolean {
    return this.#records.words[record + KEYS_HEAD] !== 0;
  }

  /** Keeps a copy of text, behind what is held; false, and then only a part of it: too much. */
  append(record: number, offset: number, length: number): boolean {
    const words = this.#records.words;
    let at = offset;
    const end = offset + length;
    while (at < end) {
      const tail = words[record + KEYS_TAIL]!;
      let to = words[record + KEYS_TO]!;
      if (tail === 0 || to === tail + BLOCK_BYTES) {
        if (!this.#grow(record)) return false;
        to = words[record + KEYS_TO]!;
      }
      const room = words[record + KEYS_TAIL]! + BLOCK_BYTES - to;
      const taken = Math.min(end - at, room);
      this.#copy(to, at, taken);
      words[record + KEYS_TO] = to + taken;
      at += taken;
    }
    return true;
  }

  #grow(record: number): boolean {
    const words = this.#records.words;
    const held = words[record + KEYS_BLOCKS]!;
    if (held >= this.#free || held >= BLOCKS_MAX) return false;
    let block = this.#freeHead;
    if (block !== 0) this.#freeHead = this.#i32[block >> 2]!;
    else {
      block = this.#fresh;
      this.#fresh = (block + BLOCK_BYTES) | 0;
    }
    this.#free = (this.#free - 1) | 0;
    this.#i32[block >> 2] = 0;
    const tail = words[record + KEYS_TAIL]!;
    if (tail === 0) {
      words[record + KEYS_HEAD] = block;
      words[record + KEYS_FROM] = block + LINK_BYTES;
    } else this.#i32[tail >> 2] = block;
    words[record + KEYS_TAIL] = block;
    words[record + KEYS_TO] = block + LINK_BYTES;
    words[record + KEYS_BLOCKS] = held + 1;
    return true;
  }

  /**
   * Length of the first key held, a copy of which is at `key`; or NO_KEY, TOO_LONG. `isEnded`: the
   * line is here to its end, so that the last key needs no blank behind it (0: the line ends in
   * blanks).
   */
  peek(record: number, isEnded: boolean): number {
    const words = this.#records.words;
    const u8 = this.#u8;
    const tail = words[record + KEYS_TAIL]!;
    const to = words[record + KEYS_TO]!;
    let block = words[record + KEYS_HEAD]!;
    let at = words[record + KEYS_FROM]!;
    let length = 0;
    this.isLast = this.isCut = false;
    for (; at !== to || block !== tail; at++) {
      if (at === block + BLOCK_BYTES) {
        block = this.#i32[block >> 2]!;
        at = block + LINK_BYTES;
        if (length === 0) this.#skip(record, block, at);
        if (at === to && block === tail) break;
      }
      const byte = u8[at]!;
      if (byte === 0 || (byte === SPACE && length > 0)) {
        this.isLast = this.isCut = byte === 0;
        return this.#found(block, at + 1, length);
      }
      if (byte === SPACE) words[record + KEYS_FROM] = at + 1;
      else if (length > KEY_MAX + 1) return TOO_LONG;
      else u8[this.key + length++] = byte;
    }
    if (!isEnded) return NO_KEY;
    this.isLast = true;
    if (length > 0 && u8[this.key + length - 1] === CR) length--;
    return this.#found(block, at, length);
  }

  #found(block: number, at: number, length: number): number {
    this.#block = block;
    this.#at = at;
    return length > KEY_MAX ? TOO_LONG : length;
  }

  /** The key that `peek` found is done with. */
  take(record: number): void {
    this.#skip(record, this.#block, this.#at);
    const words = this.#records.words;
    const isEmpty = words[record + KEYS_FROM] === words[record + KEYS_TO];
    if (isEmpty && words[record + KEYS_HEAD] === words[record + KEYS_TAIL]) this.forget(record);
  }

  /** Goes on at `at` in `block`: blocks before it come back. */
  #skip(record: number, block: number, at: number): void {
    const words = this.#records.words;
    while (words[record + KEYS_HEAD] !== block) this.#giveHead(record);
    words[record + KEYS_FROM] = at;
  }

  /** Nothing of it will be asked for. */
  forget(record: number): void {
    const words = this.#records.words;
    while (words[record + KEYS_HEAD] !== 0) this.#giveHead(record);
    words[record + KEYS_TAIL] = 0;
  }

  #giveHead(record: number): void {
    const words = this.#records.words;
    const block = words[record + KEYS_HEAD]!;
    words[record + KEYS_HEAD] = this.#i32[block >> 2]!;
    words[record + KEYS_BLOCKS] = words[record + KEYS_BLOCKS]! - 1;
    this.#i32[block >> 2] = this.#freeHead;
    this.#freeHead = block;
    this.#free = (this.#free + 1) | 0;
  }
}
