/**
 * incr and decr: 64-bit arithmetic on a value that is decimal digits.
 *
 * - incr wraps at 2^64, decr stops at 0.
 * - A result that is shorter than the value is written over it and padded with blanks; a longer one
 *   makes a new item, and so does any of a chained item.
 * - An item that is being sent is never written to: it is replaced by a copy that looks the same.
 *   (memcached drops the padding in that case, so its answer depends on how fast the client reads;
 *   ours does not.)
 *
 * Called by commands.ts and meta-change.ts. Read first: memcached.c `do_add_delta`.
 */
import type { Memory } from './host.ts';
import { EXPTIME, fitsChunk, KEY_BINARY, KEY_START, META } from './layout.ts';
import type { Numbers } from './numbers.ts';
import { NO_MEMORY, type Store } from './store.ts';
import { Writer } from './writer.ts';

export const DONE = 0;
export const NON_NUMERIC = 1;
export const OUT_OF_MEMORY = 2;

const SPACE = 32;
const DIGITS_MAX = 20;

export class Arithmetic {
  /** The result of the last `change`: halves of a 64-bit number. */
  lo = 0;
  hi = 0;
  /** The item that has it: another one than before, perhaps. */
  item = 0;
  readonly #memory: Memory;
  readonly #store: Store;
  readonly #numbers: Numbers;
  readonly #scratch: number;
  readonly #writer: Writer;

  /** `scratch`: DIGITS_MAX bytes in the arena. */
  constructor(memory: Memory, store: Store, numbers: Numbers, scratch: number) {
    this.#memory = memory;
    this.#store = store;
    this.#numbers = numbers;
    this.#scratch = scratch;
    this.#writer = new Writer(memory, store);
  }

  static readonly scratchBytes = DIGITS_MAX;

  /** Adds or subtracts a 64-bit delta; returns DONE, NON_NUMERIC or OUT_OF_MEMORY. */
  change(item: number, isIncrement: boolean, deltaLo: number, deltaHi: number): number {
    const store = this.#store;
    const images = store.images;
    const numbers = this.#numbers;
    const length = images.dataLengthOf(item);
    const flags = images.flagsOf(item);
    if (length === 0 || !fitsChunk(images.keyLengthOf(item), flags, length)) return NON_NUMERIC;
    // Of a chained item the first chunk: digits after more than 16 KiB of blanks are no number
    // here.
    const first = store.pieces.lengthAt(item);
    if (!numbers.parseU64(images.dataOf(item), first)) return NON_NUMERIC;
    if (isIncrement) numbers.add(deltaLo, deltaHi);
    else numbers.subtract(deltaLo, deltaHi);
    this.lo = numbers.lo;
    this.hi = numbers.hi;
    const digits = numbers.writeU64(this.#scratch, this.lo, this.hi);
    if (digits > length || first < length || store.isReferenced(item)) {
      return this.#replace(item, flags, digits, Math.max(digits, length));
    }
    this.#write(item, digits, length);
    store.renewCas(item);
    this.item = item;
    return DONE;
  }

  #replace(old: number, flags: number, digits: number, length: number): number {
    const store = this.#store;
    store.reference(old);
    const expiry = this.#memory.i32[(old >> 2) + EXPTIME]!;
    const keyLength = store.images.keyLengthOf(old);
    const item = store.allocate(old + KEY_START, keyLength, flags, expiry, length);
    if (item === NO_MEMORY) {
      store.release(old);
      return OUT_OF_MEMORY;
    }
    const { i32 } = this.#memory;
    i32[(item >> 2) + META] = i32[(item >> 2) + META]! | (i32[(old >> 2) + META]! & KEY_BINARY);
    const writer = this.#writer;
    writer.begin(item);
    const isWhole =
      writer.append(this.#scratch, digits) &&
      writer.fill(SPACE, length - digits) &&
      writer.finish();
    if (isWhole) store.replace(old, item);
    this.item = item;
    store.settle(item);
    store.release(old);
    return isWhole ? DONE : OUT_OF_MEMORY;
  }

  #write(item: number, digits: number, length: number): void {
    const u8 = this.#memory.u8;
    const data = this.#store.images.dataOf(item);
    for (let i = 0; i < digits; i++) u8[data + i] = u8[this.#scratch + i]!;
    for (let i = digits; i < length; i++) u8[data + i] = SPACE;
  }
}
