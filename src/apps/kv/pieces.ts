/**
 * The pieces of a chained item: a value that is too large for one chunk.
 *
 * - The first chunk is the item: header, text, and data up to its end but for the link to the first
 *   piece. Pieces have a header of their own (META stands where an item's does, so that whoever
 *   walks a page can tell them apart) and then data.
 * - All chunks of a chained item are of one size class, which has nothing else in it: large values
 *   do not compete by size, and use their memory to the last chunk.
 * - The tail (`\r\nEND\r\n`) is never cut: the last piece has all of it, and possibly no data.
 * - Pieces are taken one by one, when there is data for them (Store.extend).
 *
 * Called by store.ts. Read first: memcached's items.c `do_item_alloc_chunk`.
 */
import type { Memory } from './host.ts';
import type { Images } from './image.ts';
import { CHAINED, LINK_BYTES, META, PIECE, PIECE_CHUNK_BYTES, TAIL_BYTES } from './layout.ts';

/** Words of a piece's header, from `piece >> 2`; META is word 4, as an item's. */
const NEXT = 0;
const OWNER = 1;
const LENGTH = 2;
const PIECE_HEADER_BYTES = 20;
const LINK_WORD = (PIECE_CHUNK_BYTES - LINK_BYTES) >> 2;
const CAPACITY = PIECE_CHUNK_BYTES - PIECE_HEADER_BYTES;

export class Pieces {
  readonly #i32: Int32Array;
  readonly #images: Images;

  constructor(memory: Memory, images: Images) {
    this.#i32 = memory.i32;
    this.#images = images;
  }

  isChained(item: number): boolean {
    return (this.#i32[(item >> 2) + META]! & CHAINED) !== 0;
  }

  isPiece(chunk: number): boolean {
    return (this.#i32[(chunk >> 2) + META]! & PIECE) !== 0;
  }

  /** The item that a piece belongs to. */
  ownerOf(piece: number): number {
    return this.#i32[(piece >> 2) + OWNER]!;
  }

  /** A first chunk has no pieces yet. */
  start(item: number): void {
    this.#i32[(item >> 2) + LINK_WORD] = 0;
  }

  /** The piece behind a chunk of a chained item, or 0. */
  after(chunk: number): number {
    return this.#i32[this.#linkOf(chunk)]!;
  }

  /** Where the data in a chunk of an item (chained or not) begins. */
  dataAt(chunk: number): number {
    return this.isPiece(chunk) ? chunk + PIECE_HEADER_BYTES : this.#images.dataOf(chunk);
  }

  /** Bytes of data in a chunk of an item (chained or not). */
  lengthAt(chunk: number): number {
    const word = chunk >> 2;
    const meta = this.#i32[word + META]!;
    if ((meta & PIECE) !== 0) return this.#i32[word + LENGTH]!;
    if ((meta & CHAINED) === 0) return this.#images.dataLengthOf(chunk);
    return chunk + PIECE_CHUNK_BYTES - LINK_BYTES - this.#images.dataOf(chunk);
  }

  /**
   * Makes a fresh chunk the piece behind `last`, for as much of `left` bytes of data as it holds;
   * the tail is written if they are all.
   */
  append(item: number, last: number, piece: number, left: number): void {
    const word = piece >> 2;
    this.#i32[this.#linkOf(last)] = piece;
    this.#i32[word + META] = this.#i32[word + META]! | PIECE;
    this.#i32[word + NEXT] = 0;
    this.#i32[word + OWNER] = item;
    this.#i32[word + LENGTH] = Math.min(left, CAPACITY);
    if (this.isLast(left)) this.#images.writeTail(piece + PIECE_HEADER_BYTES + left);
  }

  /** Whether a piece for `left` bytes of data is the last one: whether the tail fits, too. */
  isLast(left: number): boolean {
    return left + TAIL_BYTES <= CAPACITY;
  }

  /** A piece lies somewhere else now: whoever is before it shall know. */
  moved(piece: number, to: number): void {
    let chunk = this.ownerOf(piece);
    while (this.after(chunk) !== piece) chunk = this.after(chunk);
    this.#i32[this.#linkOf(chunk)] = to;
  }

  /** The first chunk lies somewhere else now: its pieces shall know. */
  adopt(item: number): void {
    for (let piece = this.after(item); piece !== 0; piece = this.after(piece)) {
      this.#i32[(piece >> 2) + OWNER] = item;
    }
  }

  #linkOf(chunk: number): number {
    return (chunk >> 2) + (this.isPiece(chunk) ? NEXT : LINK_WORD);
  }
}
