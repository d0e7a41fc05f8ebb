/**
 * The hash of a NIC that spreads by RSS, and its indirection table, behind the same functions as
 * our own (flow-groups.ts).
 *
 * - Of a TCP segment or UDP datagram that we receive: its source, destination and both ports, as
 *   they stand in the frame. For each bit that is set, counted from the first, 32 bits of the key
 *   from that place on, all of them xored. An entry of the table is named by the lowest bits, and
 *   names a queue, whose thread has the same number.
 * - Linear: what the local port adds comes last, so each port that is tried costs as many xors as
 *   it has bits.
 * - IPv4 is mapped in `words`, as everywhere; a NIC hashes its 32 bits. `threadOf` belongs to the
 *   last `sumOf`, which says where the local port stands.
 * - What a NIC does otherwise than it says costs time, and nothing else: frames that come to
 *   another thread are handed on (net/both/owners.ts).
 *
 * Called by whoever asks for `flowThreadsOf`. Read first: Microsoft, "RSS hashing types", with the
 * vectors that test/nic/toeplitz.test.ts has; Documentation/networking/scaling.rst (RSS).
 */
import { FlowGroups, type FlowGroupTable, type FlowThreads } from './flow-groups.ts';

/** Bits of IPv6's addresses and ports; a key has 32 more. */
const INPUT_BITS = 8 * (2 * 16 + 2 * 2);
export const TOEPLITZ_KEY_MIN = INPUT_BITS / 8 + 4;

const MAPPED_V4 = 0xffff;

/** What a NIC says of itself (privileged/rss.ts). */
export interface ToeplitzTable {
  /** Bytes. */
  readonly toeplitz: readonly number[];
  /** The queue of each entry: a power of two of them. */
  readonly threads: readonly number[];
}

/** Whose flows are whose, by whoever brings the frames. */
export type FlowTable = FlowGroupTable | ToeplitzTable;

export const flowThreadsOf = (table: FlowTable): FlowThreads =>
  'toeplitz' in table ? new Toeplitz(table) : new FlowGroups(table);

export class Toeplitz implements FlowThreads {
  readonly words = new Int32Array(8);
  /** 32 bits of the key from each bit on. */
  readonly #windows = new Int32Array(INPUT_BITS);
  readonly #threads: Uint8Array;
  readonly #mask: number;
  /** Bit at which the local port of the last sum's flow begins. */
  #localPortAt = 0;

  constructor({ toeplitz, threads }: ToeplitzTable) {
    const bit = (i: number): number => (toeplitz[i >> 3]! >> (7 - (i & 7))) & 1;
    let window = 0;
    for (let i = 0; i < INPUT_BITS + 31; i++) {
      window = (window << 1) | bit(i);
      if (i >= 31) this.#windows[i - 31] = window;
    }
    this.#threads = Uint8Array.from(threads);
    this.#mask = threads.length - 1;
  }

  sumOf(remotePort: number): number {
    const { words } = this;
    const isIpv4 = words[0] === 0 && words[1] === 0 && words[2] === MAPPED_V4;
    let sum = 0;
    let at = 0;
    for (let w = isIpv4 ? 3 : 0; w < 8; w++) {
      if (isIpv4 && w === 4) w = 7;
      sum ^= this.#xors(words[w]!, at);
      at = (at + 32) | 0;
    }
    this.#localPortAt = (at + 16) | 0;
    return sum ^ this.#xors(remotePort << 16, at);
  }

  /** The whole hash. */
  hashOf(sum: number, localPort: number): number {
    return sum ^ this.#xors(localPort << 16, this.#localPortAt);
  }

  threadOf(sum: number, localPort: number): number {
    return this.#threads[this.hashOf(sum, localPort) & this.#mask]!;
  }

  /** Of the bits of a word that is at bit `at` of the input. */
  #xors(word: number, at: number): number {
    let sum = 0;
    for (let rest = word; rest !== 0; ) {
      const first = Math.clz32(rest);
      sum ^= this.#windows[at + first]!;
      rest &= ~(0x8000_0000 >>> first);
    }
    return sum;
  }
}
