/**
 * What an item looks like in application memory, and the limits of the store.
 *
 * - An item is one chunk of a slab page: 11 header words, then its *image*, the bytes a one-key GET
 *   answers: `VALUE <key> <flags> <bytes>\r\n<data>\r\nEND\r\n`. A hit is one send of memory that
 *   nobody copies.
 * - A large item is CHAINED: its first chunk is followed by *pieces*, all of one size, which hold
 *   the rest of the data (pieces.ts). A hit is one send for each.
 * - An item's name is its byte offset in the arena (8-byte aligned, > 0); 0 is "none".
 * - `META` packs class, key length and where data starts in the image with the state bits; what
 *   the meta protocol knows of an item is in bits that were free, and costs no memory.
 * - An item is freed when it is not LINKED and nobody holds a reference: a send that is not
 *   acknowledged yet, or the connection that is filling it.
 *
 * Read first: memcached's memcached.h (`item`), doc/protocol.txt.
 */
import { assert } from '../../verify.ts';

/** Header words, from `item >> 2`. */
export const HASH_NEXT = 0;
export const LRU_PREV = 1;
export const LRU_NEXT = 2;
export const HASH = 3;
export const META = 4;
/** Sends not yet released, plus 1 while a connection fills the item. */
export const REFS = 5;
/** Second at which it expires, on the store's clock; 0: never. */
export const EXPTIME = 6;
export const CAS_LO = 7;
export const CAS_HI = 8;
/** Bytes of data, and above them the flush epoch in which the item was linked (store.ts). */
export const DATA_LENGTH = 9;
/**
 * Second at which it was last put at the head of its LRU list, or was hit for the first time then.
 */
export const TIME = 10;
export const HEADER_BYTES = 44;

export const LENGTH_MASK = 0x1fffff;
export const EPOCH_SHIFT = 21;
export const EPOCHS: number = 2 ** (32 - EPOCH_SHIFT);

/**
 * META: class 0-5, key length 8-15, start of data in the image 16-24; the other bits are state.
 */
export const CLASS_MASK = 0x3f;
/** Marked as out of date by a client: still served, with a word to say so. */
export const STALE = 1 << 6;
/** Somebody was told that it is his to renew the item. */
export const WON = 1 << 7;
export const KEY_SHIFT = 8;
export const KEY_MASK = 0xff;
export const DATA_SHIFT = 16;
export const DATA_MASK = 0x1ff;
/** In the hash table and on an LRU list. */
export const LINKED = 1 << 25;
/** Was hit since it was stored. */
export const FETCHED = 1 << 26;
/** Was hit since it came to the head of its list: has a second chance. */
export const ACTIVE = 1 << 27;
/** The chunk is free. */
export const FREE = 1 << 28;
/** The item goes on in pieces. */
export const CHAINED = 1 << 29;
/** The chunk is a piece of an item, not an item. */
export const PIECE = 1 << 30;
/** The key came in base64, and is told in base64 by the meta protocol. */
export const KEY_BINARY = 1 << 31;

/** `VALUE ` stands before the key. */
export const KEY_START = HEADER_BYTES + 6;
/** `\r\n` after the data, and `END\r\n` after that. */
export const CRLF_BYTES = 2;
export const TAIL_BYTES = 7;

export const KEY_MAX = 250;
export const MEBIBYTE = 2 ** 20;
/** memcached's `-I`, fixed. */
export const ITEM_SIZE_MAX = 2 ** 20;
/**
 * What memcached adds to key and data when it asks whether an item fits: header 48, cas 8, NUL 1,
 * CRLF 2.
 */
const MEMCACHED_OVERHEAD = 59;
const MEMCACHED_FLAGS = 4;
/** Above this memcached keeps an item in several chunks, and refuses arithmetic on it. */
const MEMCACHED_CHUNK_MAX = 2 ** 19;
export const PAGE_BYTES = MEBIBYTE;
/** An item of more bytes than this is chained. */
export const CHUNK_MAX = 2 ** 16;
/**
 * Chunks of a chained item. Small against CHUNK_MAX, so that the last one, half empty on average,
 * wastes less than size classes would; large enough that 1 MiB is 65 sends.
 */
export const PIECE_CHUNK_BYTES = 2 ** 14;
/** At the end of a chained item's first chunk: the first piece. */
export const LINK_BYTES = 8;
/**
 * The longest image text before the data: "VALUE " + key + " " + 10 digits of flags + " " + 7
 * digits of length + CRLF.
 */
const IMAGE_TEXT_MAX = 6 + KEY_MAX + 1 + 10 + 1 + 7 + CRLF_BYTES;
assert(ITEM_SIZE_MAX <= LENGTH_MASK, 'kv: a length fits below its epoch');
assert(
  HEADER_BYTES + IMAGE_TEXT_MAX + LINK_BYTES < PIECE_CHUNK_BYTES,
  'kv: the text before the data is in the first chunk',
);

const memcachedBytes = (keyLength: number, flags: number, dataLength: number): number =>
  keyLength + dataLength + MEMCACHED_OVERHEAD + (flags === 0 ? 0 : MEMCACHED_FLAGS);

/**
 * Whether memcached 1.6.18 with `-I 1m` stores such an item. `flags` is an int32 whose bits are the
 * u32.
 */
export const fitsCache = (keyLength: number, flags: number, dataLength: number): boolean =>
  memcachedBytes(keyLength, flags, dataLength) <= ITEM_SIZE_MAX;

/** Whether memcached would treat it as a possible number. */
export const fitsChunk = (keyLength: number, flags: number, dataLength: number): boolean =>
  memcachedBytes(keyLength, flags, dataLength) <= MEMCACHED_CHUNK_MAX;
