/**
 * To whom an application may speak first (`--connect`): its dataplane's rule, out of its reach.
 *
 * - Without it an application that was taken over opens connections to every service of the host
 *   that believes its own network, by the stack that was meant to serve clients.
 * - Opening a connection, and sending a datagram, need an address within one of the ranges; none:
 *   nobody is spoken to first. Answering needs nothing: a connection that was accepted, and a
 *   datagram to who has sent one to the same port.
 * - Who has sent is remembered in a table of fixed size, the last four of each of its sets: an
 *   answer that comes very late, to one of very many, may be refused. Which set an address falls
 *   into is secret, so nobody can push out another's on purpose.
 * - `undefined` instead of a rule: there is none, and none of this costs anything.
 *
 * Called by the gate (src/dataplane/gate.ts); `heard` by net/udp.ts.
 */

/** Addresses as the ABI has them: four words, IPv4 as ::ffff:a.b.c.d; a prefix of all 128 bits. */
export interface EgressRange {
  words: number[];
  prefixLength: number;
}

/** Who has been heard: four thousand at a time, in 80 KiB; four looks find one. */
const SETS = 1024;
const WAYS = 4;
/** Address, then ports: local << 16 | remote. */
const ENTRY_WORDS = 5;
const SET_WORDS = WAYS * ENTRY_WORDS;
const RANGE_WORDS = 8;

export class Egress {
  /** Four words and four of mask, each. */
  readonly #ranges: Int32Array;
  /** Newest first in each set; ports 0: none. */
  readonly #heard = new Int32Array(SETS * SET_WORDS);
  readonly #secret: number;

  constructor(ranges: readonly EgressRange[], secret: number) {
    this.#secret = secret;
    this.#ranges = new Int32Array(ranges.length * RANGE_WORDS);
    ranges.forEach(({ words, prefixLength }, i) => {
      for (let word = 0; word < 4; word++) {
        const bits = Math.min(32, Math.max(0, prefixLength - word * 32));
        const mask = bits === 0 ? 0 : -1 << (32 - bits);
        this.#ranges[i * RANGE_WORDS + word] = words[word]! & mask;
        this.#ranges[i * RANGE_WORDS + 4 + word] = mask;
      }
    });
  }

  /** Whether the application may speak first to the address of four words at `at`. */
  allows(words: Int32Array, at: number): boolean {
    const ranges = this.#ranges;
    for (let r = 0; r < ranges.length; r += RANGE_WORDS) {
      if (
        (words[at]! & ranges[r + 4]!) === ranges[r]! &&
        (words[at + 1]! & ranges[r + 5]!) === ranges[r + 1]! &&
        (words[at + 2]! & ranges[r + 6]!) === ranges[r + 2]! &&
        (words[at + 3]! & ranges[r + 7]!) === ranges[r + 3]!
      )
        return true;
    }
    return false;
  }

  /** A datagram came for a socket; `ports`: local << 16 | remote. */
  heard(w0: number, w1: number, w2: number, w3: number, ports: number): void {
    const heard = this.#heard;
    const set = this.#setOf(w0, w1, w2, w3, ports);
    if (this.#has(set, w0, w1, w2, w3, ports)) return; // the usual case: it asks again
    heard.copyWithin(set + ENTRY_WORDS, set, set + SET_WORDS - ENTRY_WORDS);
    heard[set] = w0;
    heard[set + 1] = w1;
    heard[set + 2] = w2;
    heard[set + 3] = w3;
    heard[set + 4] = ports;
  }

  /** Whether the address at `at`, with these ports, is of somebody who has been heard. */
  answers(words: Int32Array, at: number, ports: number): boolean {
    const w0 = words[at]!;
    const w1 = words[at + 1]!;
    const w2 = words[at + 2]!;
    const w3 = words[at + 3]!;
    return this.#has(this.#setOf(w0, w1, w2, w3, ports), w0, w1, w2, w3, ports);
  }

  #has(set: number, w0: number, w1: number, w2: number, w3: number, ports: number): boolean {
    const heard = this.#heard;
    for (let at = set; at < set + SET_WORDS; at += ENTRY_WORDS) {
      if (
        heard[at + 4] === ports &&
        heard[at + 3] === w3 &&
        heard[at + 2] === w2 &&
        heard[at + 1] === w1 &&
        heard[at] === w0
      )
        return true;
    }
    return false;
  }

  #setOf(w0: number, w1: number, w2: number, w3: number, ports: number): number {
    let hash = this.#secret;
    hash = Math.imul(hash ^ w0, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ w1, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ w2, 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 16) ^ w3, 0x27d4eb2f);
    hash = Math.imul(hash ^ (hash >>> 15) ^ ports, 0x165667b1);
    return ((hash ^ (hash >>> 16)) & (SETS - 1)) * SET_WORDS;
  }
}
