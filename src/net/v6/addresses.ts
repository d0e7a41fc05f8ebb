/**
 * Our IPv6 addresses: which there are, which may be used, and from which one a packet leaves.
 *
 * - An address is known by a small number from 1 up, its *local token*: what TCP keeps as the local
 *   address, as it keeps an IPv4 address. It never changes its meaning while the dataplane runs.
 * - 1 is the link-local address, 2 the configured one; those made from advertised prefixes follow.
 * - A TENTATIVE address is not ours yet (RFC 4862 5.4): `find` does not know it, only neighbour
 *   discovery asks for it by `findAny`. A DUPLICATED one is somebody else's and never becomes ours.
 * - `sourceFor` is RFC 6724 5 as far as it matters with one interface: link-local to link-local,
 *   else the address whose prefix the destination shares longest, one that is preferred if there is
 *   any, and the link-local one when no other is ours.
 *
 * Called by net/. Read first: RFC 4862 5.4 and 5.5.4; RFC 6724 5.
 */
import type { Clock } from '../../arena/clock.ts';
import { OWN_ADDRESS_WORDS } from '../../gate/arrays.ts';
import { ADDRESSES6_MAX } from '../../limits.ts';
import { addressSum, isLinkLocal } from '../../wire/ipv6.ts';
import type { Environment } from '../both/environment.ts';

export const LINK_LOCAL = 1;
export const CONFIGURED = 2;

/** Words of a row: the address, then: */
export const STATE = 4;
export const PREFIX_LENGTH = 5;
export const SUM = 6;
/** Clock.ms at which it stops being preferred, and being ours; meaningful when LIFE is LIMITED. */
export const PREFERRED_UNTIL = 7;
export const VALID_UNTIL = 8;
export const LIFE = 9;
/** Solicitations sent by duplicate address detection, and when its next step is due. */
export const PROBES = 10;
export const DUE = 11;
const ROW_SHIFT = 4;

export const FREE = 0;
export const TENTATIVE = 1;
export const OURS = 2;
export const DUPLICATED = 3;

export const FOR_EVER = 0;
export const LIMITED = 1;

export class Addresses6 {
  /** IPv6 is configured. */
  readonly isOn: boolean;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #clock: Clock;
  /** Word index of row 0, which is no address. */
  readonly #rows: number;
  /** Rows in use are 1 to this. */
  #last = 0;

  constructor(env: Environment) {
    const { ipv6 } = env.config;
    this.isOn = ipv6 !== undefined;
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#clock = env.clock;
    this.#rows =
      env.arena.carve('ipv6 addresses', (ADDRESSES6_MAX + 1) << (ROW_SHIFT + 2), 64) >> 2;
    if (ipv6 === undefined) return;
    const state = ipv6.detectsDuplicates ? TENTATIVE : OURS;
    this.add(ipv6.linkLocal, 64, state);
    this.add(ipv6.address, ipv6.prefixLength, state);
  }

  /** Tokens in use are 1 to this. */
  get last(): number {
    return this.#last;
  }

  /** Word index of a token's row. */
  at(token: number): number {
    return this.#rows + (token << ROW_SHIFT);
  }

  /** A new address: its token; 0: there is no room. */
  add(words: ArrayLike<number>, prefixLength: number, state: number): number {
    const i32 = this.#i32;
    if (this.#last === ADDRESSES6_MAX) return 0;
    this.#last = (this.#last + 1) | 0;
    const row = this.at(this.#last);
    for (let i = 0; i < 4; i++) i32[row + i] = words[i]! | 0;
    i32[row + STATE] = state;
    i32[row + PREFIX_LENGTH] = prefixLength;
    i32[row + SUM] = addressSum(i32[row]!, i32[row + 1]!, i32[row + 2]!, i32[row + 3]!);
    i32[row + LIFE] = FOR_EVER;
    i32[row + PROBES] = 0;
    i32[row + DUE] = this.#clock.ms;
    return this.#last;
  }

  /** The token of our address in memory at `at`; 0: not ours, or not yet. */
  find(at: number): number {
    const token = this.findAny(at);
    return token !== 0 && this.#i32[this.at(token) + STATE] === OURS ? token : 0;
  }

  /** The same, whatever the state. */
  findAny(at: number): number {
    const view = this.#view;
    return this.tokenOf(
      view.getInt32(at),
      view.getInt32(at + 4),
      view.getInt32(at + 8),
      view.getInt32(at + 12),
    );
  }

  tokenOf(w0: number, w1: number, w2: number, w3: number): number {
    const i32 = this.#i32;
    for (let token = this.#last; token > 0; token--) {
      const row = this.at(token);
      if (i32[row + 3] !== w3 || i32[row + 2] !== w2) continue;
      if (i32[row + 1] === w1 && i32[row] === w0) return token;
    }
    return 0;
  }

  /** Whether an address of ours has these last 24 bits: its solicited-node group is ours. */
  hasSolicited(low24: number): boolean {
    for (let token = this.#last; token > 0; token--) {
      const row = this.at(token);
      const state = this.#i32[row + STATE]!;
      if (state !== TENTATIVE && state !== OURS) continue;
      if ((this.#i32[row + 3]! & 0xff_ffff) === low24) return true;
    }
    return false;
  }

  isOurs(token: number): boolean {
    return token > 0 && token <= this.#last && this.#i32[this.at(token) + STATE] === OURS;
  }

  /** Whether `token` is ours, or may become so. */
  isKnown(token: number): boolean {
    return token > 0 && token <= this.#last && this.#i32[this.at(token) + STATE] !== DUPLICATED;
  }

  sumOf(token: number): number {
    return this.#i32[this.at(token) + SUM]!;
  }

  /** Its four words at word `w`, of the arena unless said. */
  describe(token: number, w: number, into: Int32Array = this.#i32): void {
    const row = this.at(token);
    for (let i = 0; i < 4; i++) into[w + i] = this.#i32[row + i]!;
  }

  write(token: number, at: number): void {
    const row = this.at(token);
    for (let i = 0; i < 4; i++) this.#view.setInt32(at + 4 * i, this.#i32[row + i]!);
  }

  /**
   * Those that are ours, link-local left out, at word `w` as an application is shown them
   * (gate/arrays.ts): their number, which is 0 meanwhile, then each and its prefix's length.
   */
  show(w: number): void {
    const i32 = this.#i32;
    let count = 0;
    i32[w] = 0;
    for (let token = CONFIGURED; token <= this.#last; token++) {
      if (!this.isOurs(token)) continue;
      const to = w + 1 + count * OWN_ADDRESS_WORDS;
      this.describe(token, to);
      i32[to + 4] = i32[this.at(token) + PREFIX_LENGTH]!;
      count += 1;
    }
    Atomics.store(i32, w, count);
  }

  /** Which of our addresses a packet to the address at word `to` leaves from; 0: none. */
  sourceFor(to: number): number {
    const i32 = this.#i32;
    if (isLinkLocal(i32[to]!)) return this.isOurs(LINK_LOCAL) ? LINK_LOCAL : 0;
    let best = 0;
    let most = -1;
    for (let token = CONFIGURED; token <= this.#last; token++) {
      const row = this.at(token);
      if (i32[row + STATE] !== OURS) continue;
      const isPreferred =
        i32[row + LIFE] === FOR_EVER || ((i32[row + PREFERRED_UNTIL]! - this.#clock.ms) | 0) > 0;
      const worth = this.#sharedBits(row, to) + (isPreferred ? 256 : 0);
      if (worth <= most) continue;
      most = worth;
      best = token;
    }
    return best === 0 && this.isOurs(LINK_LOCAL) ? LINK_LOCAL : best;
  }

  #sharedBits(a: number, b: number): number {
    const i32 = this.#i32;
    for (let word = 0; word < 4; word++) {
      const differs = i32[a + word]! ^ i32[b + word]!;
      if (differs !== 0) return word * 32 + Math.clz32(differs);
    }
    return 128;
  }
}
