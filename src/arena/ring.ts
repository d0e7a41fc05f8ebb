/**
 * A ring of fixed-size records between one producer and one consumer: threads over one memory, or
 * processes over one memfd, each with its own view and offset.
 *
 * - Layout: the producer's index (a cache line), the consumer's (a cache line), then `entries`
 *   records of `wordsPerEntry` int32 words. A segment of zeros is an empty ring of `ringBytes`.
 * - Indexes count records modulo 2^32; `entries` is a power of two.
 * - Each side keeps its own index and a copy of the other's, and looks at what is shared once a
 *   batch: `free` and `available` only when the copy says that there is less than wanted.
 * - Records are plain words: `Atomics.store` of an index releases them to its `Atomics.load`.
 * - The other side may be hostile: an index that cannot be right counts as "no progress", so `free`
 *   and `available` always lie in 0..entries.
 * - Nobody waits here: who wants to sleep has a futex or an eventfd beside it.
 *
 * Used by nic/cable.ts. Read first: Lamport, "Specifying concurrent program modules" (1983); Lee et
 * al., MCRingBuffer (2010), for the copies.
 */
import { powerOfTwo } from '../limits.ts';
import { assert, VERIFY } from '../verify.ts';

const LINE_WORDS = 16;
const CONSUMER = LINE_WORDS;
const RECORDS = 2 * LINE_WORDS;

/** Bytes of a ring; place it at a multiple of 64. */
export const ringBytes = (entries: number, wordsPerEntry: number): number =>
  (RECORDS + entries * wordsPerEntry) * 4;

export class RingProducer {
  readonly entries: number;
  readonly wordsPerEntry: number;
  readonly #i32: Int32Array<ArrayBufferLike>;
  readonly #base: number;
  readonly #mask: number;
  /** Our index as published, and the consumer's as last seen. */
  #produced: number;
  #consumed: number;

  /** Attaches to a ring at `wordOffset`; it goes on where an earlier producer stopped. */
  constructor(
    i32: Int32Array<ArrayBufferLike>,
    wordOffset: number,
    entries: number,
    wordsPerEntry: number,
  ) {
    assert(entries > 0 && powerOfTwo(entries) === entries, 'ring: entries is not a power of two');
    this.entries = entries;
    this.wordsPerEntry = wordsPerEntry;
    this.#i32 = i32;
    this.#base = wordOffset;
    this.#mask = entries - 1;
    this.#produced = Atomics.load(i32, wordOffset);
    this.#consumed = (this.#produced - entries) | 0; // full, until the consumer's index is read
  }

  /** Records that may be written now; at least `wanted` if there are so many. */
  free(wanted = 1): number {
    const known = this.entries - ((this.#produced - this.#consumed) | 0);
    if (known >= wanted) return known;
    const consumed = Atomics.load(this.#i32, this.#base + CONSUMER);
    const used = (this.#produced - consumed) | 0;
    if (used < 0 || used > this.entries) return known;
    this.#consumed = consumed;
    return this.entries - used;
  }

  /** Word index of the i-th record that is not yet published, 0 <= i < free(). */
  slot(i: number): number {
    if (VERIFY) assert(i >= 0 && i < this.free(i + 1), 'ring: no free record');
    return this.#base + RECORDS + ((this.#produced + i) & this.#mask) * this.wordsPerEntry;
  }

  /** Hands the first `count` written records to the consumer. */
  publish(count: number): void {
    if (VERIFY) assert(count >= 0 && count <= this.free(count), 'ring: published too much');
    this.#produced = (this.#produced + count) | 0;
    Atomics.store(this.#i32, this.#base, this.#produced);
  }
}

export class RingConsumer {
  readonly entries: number;
  readonly wordsPerEntry: number;
  readonly #i32: Int32Array<ArrayBufferLike>;
  readonly #base: number;
  readonly #mask: number;
  /** Our index as published, and the producer's as last seen. */
  #consumed: number;
  #produced: number;

  /** Attaches to a ring at `wordOffset`; it goes on where an earlier consumer stopped. */
  constructor(
    i32: Int32Array<ArrayBufferLike>,
    wordOffset: number,
    entries: number,
    wordsPerEntry: number,
  ) {
    assert(entries > 0 && powerOfTwo(entries) === entries, 'ring: entries is not a power of two');
    this.entries = entries;
    this.wordsPerEntry = wordsPerEntry;
    this.#i32 = i32;
    this.#base = wordOffset;
    this.#mask = entries - 1;
    this.#consumed = Atomics.load(i32, wordOffset + CONSUMER);
    this.#produced = this.#consumed;
  }

  /** Records that may be read now; at least `wanted` if there are so many. */
  available(wanted = 1): number {
    const known = (this.#produced - this.#consumed) | 0;
    if (known >= wanted) return known;
    const produced = Atomics.load(this.#i32, this.#base);
    const ready = (produced - this.#consumed) | 0;
    if (ready < known || ready > this.entries) return known;
    this.#produced = produced;
    return ready;
  }

  /** Word index of the i-th record that is not yet released, 0 <= i < available(). */
  slot(i: number): number {
    if (VERIFY) assert(i >= 0 && i < this.available(i + 1), 'ring: no such record');
    return this.#base + RECORDS + ((this.#consumed + i) & this.#mask) * this.wordsPerEntry;
  }

  /** Gives the first `count` records back to the producer. */
  release(count: number): void {
    if (VERIFY) assert(count >= 0 && count <= this.available(count), 'ring: released too much');
    this.#consumed = (this.#consumed + count) | 0;
    Atomics.store(this.#i32, this.#base + CONSUMER, this.#consumed);
  }
}
