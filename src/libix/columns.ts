/**
 * What is worth no field in every connection's object: who the peer is, and what few connections
 * ever use.
 *
 * - A field of an object is 8 bytes, whether it is used or not; 250,000 open connections had 200
 *   bytes each of them, and have 152 now. Here a value is 4 bytes, and nothing at all while it was
 *   never anything but 0: such a page has no memory behind it.
 * - So 0 is every column's default, and `set` writes only what changes. Connection says it in its
 *   own terms.
 * - Arrays are made for the most connections that the dataplane gives; beyond (connects that it
 *   will refuse) they grow.
 *
 * Called by connection.ts and session.ts.
 */
export const COLUMN = {
  /**
   * Words of the peer's IPv6 address before the last, each as it differs from an IPv4 address's.
   */
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
} as const;
const COLUMNS = Object.keys(COLUMN).length;
/** Address and port: every connection has them. */
const PEER_WORDS = 2;

export class Columns {
  #rare: Int32Array;
  #peers: Int32Array;

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

  address(id: number): number {
    return this.#peers[id * PEER_WORDS]!;
  }

  port(id: number): number {
    return this.#peers[id * PEER_WORDS + 1]!;
  }

  setAddress(id: number, address: number): void {
    this.#peers[id * PEER_WORDS] = address;
  }

  setPort(id: number, port: number): void {
    this.#peers[id * PEER_WORDS + 1] = port;
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
