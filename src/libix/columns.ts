/**
 * What is worth no field in every connection's object: who the peer is, and what few connections
 * ever use.
 *
 * - A field of an object is 8 bytes, whether it is used or not: 2 MB of 250,000 connections. Here a
 *   value is 4 bytes, and nothing at all while it was never anything but 0: such a page has no
 *   memory behind it.
 * - So 0 is every column's default, and `set` writes only what changes.
 * - Our own address is mostly the same for all connections of a version, so the first one seen is
 *   what is usual, and a column says how another differs.
 * - Arrays are made for the most connections that the dataplane gives; beyond (connects that it
 *   will refuse) they grow.
 *
 * Called by inside.ts, and by session.ts (`reach`).
 */
import { MAPPED_V4 } from '../gate/abi.ts';

export const COLUMN = {
  /** Words of the peer's address before the last, each as it differs from an IPv4 address's. */
  remote0: 0,
  remote1: 1,
  remote2: 2,
  missing: 3,
  gatherBlock: 4,
  gatherLength: 5,
  gatherOlder: 6,
  gatherYounger: 7,
  keepaliveMs: 8,
  userTimeoutMs: 9,
  hops: 10,
  codePoint: 11,
  pendingHead: 12,
  pendingTail: 13,
  refusal: 14,
  keepaliveIntervalMs: 15,
  keepaliveCount: 16,
  /** Words of our own address, each as it differs from what is usual. */
  local0: 17,
  local1: 18,
  local2: 19,
  local3: 20,
} as const;
const COLUMNS = Object.keys(COLUMN).length;
/** Last word of the peer's address, and the ports: every connection has them. */
const PEER_WORDS = 2;
/** The words of an IPv4 address before its own (RFC 4291 2.5.5.2). */
const BEFORE_IPV4 = [0, 0, MAPPED_V4] as const;

export class Columns {
  #rare: Int32Array;
  #peers: Int32Array;
  /** The usual address of ours: four words of IPv4, four of IPv6. All 0: none was seen. */
  readonly #usual = new Int32Array(8);

  constructor(connections: number) {
    this.#rare = new Int32Array(connections * COLUMNS);
    this.#peers = new Int32Array(connections * PEER_WORDS);
  }

  /** There is a connection `id` from now on. */
  reach(id: number): void {
    const held = this.#peers.length / PEER_WORDS;
    if (id < held) return;
    const more = Math.max(id + 1, held * 2);
    this.#rare = grown(this.#rare, more * COLUMNS);
    this.#peers = grown(this.#peers, more * PEER_WORDS);
  }

  get(id: number, column: number): number {
    return this.#rare[id * COLUMNS + column]!;
  }

  set(id: number, column: number, value: number): void {
    const at = id * COLUMNS + column;
    if (this.#rare[at] !== value) this.#rare[at] = value;
  }

  /** local << 16 | remote. */
  ports(id: number): number {
    return this.#peers[id * PEER_WORDS + 1]!;
  }

  setPorts(id: number, ports: number): void {
    this.#peers[id * PEER_WORDS + 1] = ports;
  }

  /** A word of the peer's address, 0 to 3. */
  remote(id: number, index: number): number {
    if (index === 3) return this.#peers[id * PEER_WORDS]!;
    return this.get(id, COLUMN.remote0 + index) ^ BEFORE_IPV4[index]!;
  }

  /** Four words from `at` on. */
  setRemote(id: number, words: ArrayLike<number>, at: number): void {
    for (let i = 0; i < 3; i++) this.set(id, COLUMN.remote0 + i, words[at + i]! ^ BEFORE_IPV4[i]!);
    this.#peers[id * PEER_WORDS] = words[at + 3]!;
  }

  /** A word of our address, 0 to 3. */
  local(id: number, index: number): number {
    return this.get(id, COLUMN.local0 + index) ^ this.#usual[this.#usualOf(id) + index]!;
  }

  /** Four words from `at` on, of the version that the peer's has. */
  setLocal(id: number, words: ArrayLike<number>, at: number): void {
    const usual = this.#usual;
    const first = this.#usualOf(id);
    if ((usual[first + 2]! | usual[first]!) === 0) {
      for (let i = 0; i < 4; i++) usual[first + i] = words[at + i]!;
    }
    for (let i = 0; i < 4; i++) {
      this.set(id, COLUMN.local0 + i, words[at + i]! ^ usual[first + i]!);
    }
  }

  /** Where in `#usual` the version of this connection stands. */
  #usualOf(id: number): number {
    const at = id * COLUMNS + COLUMN.remote0;
    const rare = this.#rare;
    return (rare[at]! | rare[at + 1]! | rare[at + 2]!) === 0 ? 0 : 4;
  }

  /** Every rare column is 0 again. */
  reset(id: number): void {
    for (let column = 0; column < COLUMNS; column++) this.set(id, column, 0);
  }
}

function grown(words: Int32Array, length: number): Int32Array {
  const larger = new Int32Array(length);
  larger.set(words);
  return larger;
}
