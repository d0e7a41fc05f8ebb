/**
 * Which thread a flow belongs to: a hash of its addresses and ports names one of 128 flow groups, a
 * table names the thread of each group (OSDI'14 section 4.4).
 *
 * - Whoever knows key and table knows the thread of a flow that does not exist yet; nobody is asked
 *   and nothing looked up. So a thread that connects can pick a port whose answers come back to it,
 *   and what steers frames in the kernel (privileged/flow-group-program.ts) agrees with it.
 * - Of a TCP segment or UDP datagram, IPv4 as its mapped address (::ffff:a.b.c.d): 18 halves of 16
 *   bits, each as a little-endian machine loads it from the frame. The sum of all, each multiplied
 *   by a secret word of its own, plus one more (modulo 2^32), is mixed: its upper seven bits.
 * - The local port comes last: `sumOf` is made once, and each port that is tried costs one
 *   multiplication and the mixing.
 * - int32 in, int32 out; nothing is allocated after construction.
 *
 * Why this hash. Toeplitz, which NICs have for RSS, adds a shifted word for each bit of its input:
 * in eBPF 96 tests and additions for IPv4 and 288 for IPv6, some 300 and 900 instructions; by
 * tables, 12 and 36 loads from 36 KiB. This one is a load, a multiplication and an addition for
 * each half: some 45 and 80 instructions with everything. Two flows that somebody chose without
 * knowing the key have equal sums with one key in 2^17 (multilinear hashing is universal), while
 * Toeplitz with the key that everybody uses, and hashes whose key is only where they begin, let a
 * peer aim all of its flows at one thread. A sum alone would do for flows that have nothing to do
 * with each other, but the ports of one peer follow on each other: with one key in sixty 32 of them
 * would be on one of two threads. Hence the mixing. Where a NIC steers, its hash and table count.
 *
 * Called by tcp/ephemeral-ports.ts and privileged/steering.ts. Read first: Lemire and Kaser,
 * "Strongly universal string hashing is fast"; Documentation/networking/scaling.rst (RSS).
 */
import { swap16 } from './byte-order.ts';

export const FLOW_GROUPS = 128;

/** Where the halves' words are in the key, address by address; the last one is added. */
export const KEY_REMOTE = 0;
export const KEY_LOCAL = KEY_REMOTE + 8;
export const KEY_REMOTE_PORT = KEY_LOCAL + 8;
export const KEY_LOCAL_PORT = KEY_REMOTE_PORT + 1;
export const KEY_ADDED = KEY_LOCAL_PORT + 1;
export const FLOW_KEY_WORDS = KEY_ADDED + 1;

/** The mixing: x ^= x >>> SHIFT; x *= ODD, for each of these. Any odd words of many changes do. */
export const MIX_SHIFT = 16;
export const MIX_ODDS: readonly [number, number] = [0x9e3779b1 | 0, 0x85ebca77 | 0];
export const GROUP_SHIFT = 25;

const [ODD_0, ODD_1] = MIX_ODDS;

/** What everybody who steers by flow groups has to agree on. */
export interface FlowGroupTable {
  /** FLOW_KEY_WORDS secret random words. */
  readonly key: readonly number[];
  /** The thread of each of FLOW_GROUPS groups. */
  readonly threads: readonly number[];
}

/** Groups in turn: as many for each thread as can be. */
export const spreadGroups = (threads: number): number[] =>
  Array.from({ length: FLOW_GROUPS }, (_, group) => group % threads);

/** The group of a flow whose sum this is. */
function mixed(sum: number): number {
  const first = Math.imul(sum ^ (sum >>> MIX_SHIFT), ODD_0);
  return Math.imul(first ^ (first >>> MIX_SHIFT), ODD_1) >>> GROUP_SHIFT;
}

/** Which thread a flow belongs to: `sumOf` everything but the local port, then `threadOf`. */
export interface FlowThreads {
  /** The flow that is meant: the remote address and ours, four words each, are put here. */
  readonly words: Int32Array;
  sumOf(remotePort: number): number;
  /** `sum` is what `sumOf` has said last. */
  threadOf(sum: number, localPort: number): number;
}

export class FlowGroups implements FlowThreads {
  readonly words = new Int32Array(8);
  readonly #key: Int32Array;
  readonly #threads: Uint8Array;

  constructor({ key, threads }: FlowGroupTable) {
    this.#key = Int32Array.from(key);
    this.#threads = Uint8Array.from(threads);
  }

  /** The sum of everything but the local port. */
  sumOf(remotePort: number): number {
    const key = this.#key;
    let sum = (key[KEY_ADDED]! + Math.imul(key[KEY_REMOTE_PORT]!, swap16(remotePort))) | 0;
    for (let w = 0; w < 8; w++) {
      const word = this.words[w]!;
      sum = (sum + Math.imul(key[2 * w]!, swap16(word >>> 16))) | 0;
      sum = (sum + Math.imul(key[2 * w + 1]!, swap16(word & 0xffff))) | 0;
    }
    return sum;
  }

  /** `sum` is what `sumOf` has said. */
  groupOf(sum: number, localPort: number): number {
    return mixed((sum + Math.imul(this.#key[KEY_LOCAL_PORT]!, swap16(localPort))) | 0);
  }

  threadOf(sum: number, localPort: number): number {
    return this.#threads[this.groupOf(sum, localPort)]!;
  }
}
