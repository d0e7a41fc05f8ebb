/**
 * The destination cache: a small integer, its *token*, for each IPv6 address that matters here.
 *
 * - The rest of the stack passes addresses on as one int32. An IPv4 address is itself; an IPv6
 *   address is its token, which lies in 0/8, where no IPv4 host is (`isToken`). So TCP, its flow
 *   table and its control blocks are the same for both, and IPv4 pays nothing.
 * - An entry that is *held* (by a flow, a neighbour entry, a router, a datagram under reassembly)
 *   keeps its token; of the others the one that was looked up longest ago goes when room is needed.
 *   There is room for all that may hold one and SPARE_DESTINATIONS more: `token` always finds some.
 * - A token means nothing to those who hold none but for the packet under way. What must be the
 *   same whenever an address comes (sequence numbers, ports) is made of its four words.
 * - Beside the address stand the sum for the pseudo-header, the path MTU, and the next hop as
 *   ipv6.ts last found it.
 *
 * Called by net/. Read first: RFC 4861 5.1, whose name this is.
 */
import type { Clock } from '../../arena/clock.ts';
import { FreeList, IndexList } from '../../arena/list.ts';
import { halfSipHash13 } from '../../arena/siphash.ts';
import { type Limits, powerOfTwo } from '../../limits.ts';
import { assert, VERIFY } from '../../verify.ts';
import { addressSum, IP6_MTU_MIN } from '../../wire/ipv6.ts';
import type { Environment } from '../both/environment.ts';

/** Entries that nobody holds: peers of UDP and ICMP, and SYNs that come to nothing. */
export const SPARE_DESTINATIONS = 1024;
/** A path's MTU is forgotten after ten minutes (RFC 8201 5.3): it may have become larger. */
const PATH_MTU_MS = 600_000;

/** Words of an entry: one cache line. */
const ROW_SHIFT = 4;
export const ROW_WORDS: number = 1 << ROW_SHIFT;
const WORD_0 = 0;
const WORD_1 = 1;
const WORD_2 = 2;
const WORD_3 = 3;
/** Next token of the same bucket, 0: none. */
const CHAIN = 4;
const USERS = 5;
const KEY = 6;
const SUM = 7;
/** 0: that of the link. */
const PATH_MTU = 8;
const PATH_MTU_AT = 9;
/** Next hop's token, and the state of the routes that it was found in. */
const HOP = 10;
const HOP_ROUTES = 11;

/** Whether a word that stands for an address is a token. */
export const isToken = (address: number): boolean => address >>> 24 === 0;

export const destinationCount = (limits: Limits): number =>
  limits.flows + limits.neighbours + limits.reassemblies + SPARE_DESTINATIONS;

export class Destinations {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #clock: Clock;
  readonly #secret0: number;
  readonly #secret1: number;
  readonly #free: FreeList;
  /** Entries that nobody holds, by their last use. Nodes are tokens - 1, as in #free. */
  readonly #idle: IndexList;
  /** Word index of the row of token 0, which is no token. */
  readonly #rows: number;
  readonly #heads: number;
  readonly #mask: number;

  constructor(env: Environment) {
    const { arena, config } = env;
    const count = destinationCount(env.limits);
    const heads = powerOfTwo(count);
    this.#i32 = arena.i32;
    this.#view = arena.view;
    this.#clock = env.clock;
    this.#secret0 = ~config.secret1;
    this.#secret1 = config.secret0 | 0;
    this.#free = new FreeList(arena, 'destination indexes', count);
    this.#idle = new IndexList(arena, 'destinations by use', count);
    this.#rows = arena.carve('destinations', (count + 1) << (ROW_SHIFT + 2), 64) >> 2;
    this.#heads = arena.carve('destination table', heads * 4, 64) >> 2;
    this.#mask = heads - 1;
    this.#i32.fill(0, this.#heads, this.#heads + heads);
  }

  /** Tokens are 1 to this. */
  get count(): number {
    return this.#idle.nodes;
  }

  /** Word index of a token's address: four words. */
  wordsOf(token: number): number {
    return this.#rows + (token << ROW_SHIFT);
  }

  /** The token of the address in memory at `at`, made if need be. */
  tokenAt(at: number): number {
    const view = this.#view;
    return this.token(
      view.getInt32(at),
      view.getInt32(at + 4),
      view.getInt32(at + 8),
      view.getInt32(at + 12),
    );
  }

  /** The token of an address, made if need be. */
  token(w0: number, w1: number, w2: number, w3: number): number {
    const key = this.#key(w0, w1, w2, w3);
    const token = this.#lookUp(w0, w1, w2, w3, key);
    if (token === 0) return this.#make(w0, w1, w2, w3, key);
    if (this.#i32[this.wordsOf(token) + USERS] === 0) {
      this.#idle.remove(token - 1);
      this.#idle.push(token - 1);
    }
    return token;
  }

  /** The token of the address in memory at `at`, if it has one; else 0. */
  find(at: number): number {
    const view = this.#view;
    const w0 = view.getInt32(at);
    const w1 = view.getInt32(at + 4);
    const w2 = view.getInt32(at + 8);
    const w3 = view.getInt32(at + 12);
    return this.#lookUp(w0, w1, w2, w3, this.#key(w0, w1, w2, w3));
  }

  #lookUp(w0: number, w1: number, w2: number, w3: number, key: number): number {
    const i32 = this.#i32;
    for (let token = i32[this.#heads + (key & this.#mask)]!; token !== 0; ) {
      const row = this.#rows + (token << ROW_SHIFT);
      if (
        i32[row + WORD_3] === w3 &&
        i32[row + WORD_2] === w2 &&
        i32[row + WORD_1] === w1 &&
        i32[row + WORD_0] === w0
      ) {
        return token;
      }
      token = i32[row + CHAIN]!;
    }
    return 0;
  }

  #make(w0: number, w1: number, w2: number, w3: number, key: number): number {
    const i32 = this.#i32;
    let index = this.#free.take();
    if (index < 0) {
      index = this.#idle.shift();
      if (VERIFY) assert(index >= 0, 'destinations: more are held than there can be');
      this.#unchain(index + 1);
    }
    const token = index + 1;
    const row = this.wordsOf(token);
    const head = this.#heads + (key & this.#mask);
    i32[row + WORD_0] = w0;
    i32[row + WORD_1] = w1;
    i32[row + WORD_2] = w2;
    i32[row + WORD_3] = w3;
    i32[row + CHAIN] = i32[head]!;
    i32[row + USERS] = 0;
    i32[row + KEY] = key;
    i32[row + SUM] = addressSum(w0, w1, w2, w3);
    i32[row + PATH_MTU] = 0;
    i32[row + HOP_ROUTES] = 0;
    i32[head] = token;
    this.#idle.push(index);
    return token;
  }

  #unchain(token: number): void {
    const i32 = this.#i32;
    const row = this.wordsOf(token);
    let link = this.#heads + (i32[row + KEY]! & this.#mask);
    while (i32[link] !== token) link = this.wordsOf(i32[link]!) + CHAIN;
    i32[link] = i32[row + CHAIN]!;
  }

  /** The entry stays until `release`. */
  hold(token: number): void {
    const users = this.wordsOf(token) + USERS;
    if (this.#i32[users] === 0) this.#idle.remove(token - 1);
    this.#i32[users] = this.#i32[users]! + 1;
  }

  release(token: number): void {
    const users = this.wordsOf(token) + USERS;
    if (VERIFY) assert(this.#i32[users]! > 0, 'destinations: released more often than held');
    this.#i32[users] = this.#i32[users]! - 1;
    if (this.#i32[users] === 0) this.#idle.push(token - 1);
  }

  /** Entries that are held; for tests. */
  get held(): number {
    let held = 0;
    const { nodes } = this.#idle;
    for (let token = 1; token <= nodes; token++) {
      if (this.#i32[this.wordsOf(token) + USERS]! > 0) held++;
    }
    return held;
  }

  /** The address as one word for checksums: `addressSum`. */
  sumOf(token: number): number {
    return this.#i32[this.wordsOf(token) + SUM]!;
  }

  /** Writes the address to memory. */
  write(token: number, at: number): void {
    const row = this.wordsOf(token);
    this.#view.setInt32(at, this.#i32[row]!);
    this.#view.setInt32(at + 4, this.#i32[row + 1]!);
    this.#view.setInt32(at + 8, this.#i32[row + 2]!);
    this.#view.setInt32(at + 12, this.#i32[row + 3]!);
  }

  /** The next hop noted while the routes were `routes`; 0: not noted. */
  hopOf(token: number, routes: number): number {
    const row = this.wordsOf(token);
    return this.#i32[row + HOP_ROUTES] === routes ? this.#i32[row + HOP]! : 0;
  }

  noteHop(token: number, hop: number, routes: number): void {
    const row = this.wordsOf(token);
    this.#i32[row + HOP] = hop;
    this.#i32[row + HOP_ROUTES] = routes;
  }

  /** What the path carries, at most `linkMtu`. */
  pathMtu(token: number, linkMtu: number): number {
    const i32 = this.#i32;
    const row = this.wordsOf(token);
    const path = i32[row + PATH_MTU]!;
    if (path === 0) return linkMtu;
    const age = (this.#clock.ms - i32[row + PATH_MTU_AT]!) | 0;
    if (age < 0 || age > PATH_MTU_MS) i32[row + PATH_MTU] = 0;
    return path < linkMtu && i32[row + PATH_MTU] !== 0 ? path : linkMtu;
  }

  /**
   * A router says what the path carries. Less than every link does is not believed (RFC 8201 4).
   */
  lowerPathMtu(token: number, mtu: number): void {
    const i32 = this.#i32;
    const row = this.wordsOf(token);
    const believed = Math.max(mtu, IP6_MTU_MIN);
    if (i32[row + PATH_MTU] !== 0 && believed >= i32[row + PATH_MTU]!) return;
    i32[row + PATH_MTU] = believed;
    i32[row + PATH_MTU_AT] = this.#clock.ms;
  }

  #key(w0: number, w1: number, w2: number, w3: number): number {
    const inner = halfSipHash13(this.#secret0, this.#secret1, w2, w3, w1);
    return halfSipHash13(this.#secret1, ~this.#secret0, inner, w0, w3);
  }
}
