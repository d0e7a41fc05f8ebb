/**
 * Who routes for us, what is on our link, and the addresses made from what routers advertise.
 *
 * - `hopFor`: an address with a prefix of our link is its own next hop; others go by the default
 *   router: the configured one, else the first that advertises itself and still answers. None: 0.
 * - What a router says to be on our link is believed for networks of 64 bits and more, and not at
 *   all where a gateway is configured: else one advertisement of ::/1 would draw everything that is
 *   meant for the gateway to whoever answers for addresses on the link. What is not on the link
 *   goes by the router, who knows (RFC 5942 3: no hint means off-link).
 * - `routes` changes whenever an answer of `hopFor` may: destinations note their next hop with it.
 * - At most ROUTERS6_MAX routers and PREFIXES6_MAX prefixes are kept; further ones are ignored and
 *   counted. Lifetimes are kept to LIFETIME_MAX_S.
 * - Addresses are made (SLAAC) only when the configuration says so, from prefixes of 64 bits.
 * - Routers are asked for as soon as our link-local address is ours, until somebody answers.
 *
 * Called by discovery.ts and ipv6.ts. Read first: RFC 4861 6.3; RFC 4862 5.5.3.
 */
import type { Clock } from '../../arena/clock.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { PREFIXES6_MAX, ROUTERS6_MAX } from '../../limits.ts';
import {
  ICMP6_ROUTER_SOLICITATION,
  ND_MAC_BYTES,
  ND_SOURCE_MAC,
  PREFIX_LENGTH as OPTION_PREFIX_LENGTH,
  PREFIX_ADDRESS,
  PREFIX_AUTONOMOUS,
  PREFIX_FLAGS,
  PREFIX_ON_LINK,
  PREFIX_PREFERRED_S,
  PREFIX_VALID_S,
  RS_OPTIONS,
} from '../../wire/icmpv6.ts';
import {
  ALL_ROUTERS,
  IP6_MTU_MIN,
  isLinkLocal,
  isMulticast,
  isSamePrefix,
} from '../../wire/ipv6.ts';
import type { Environment } from '../both/environment.ts';
import type { MsTimer } from '../both/ms-timer.ts';
import {
  type Addresses6,
  DUE,
  FOR_EVER,
  FREE,
  LIFE,
  LIMITED,
  LINK_LOCAL,
  OURS,
  PREFERRED_UNTIL,
  PROBES,
  STATE,
  TENTATIVE,
  VALID_UNTIL,
} from './addresses.ts';
import type { Destinations } from './destinations.ts';
import type { LinkMessages } from './link-messages.ts';

const C_SOLICITATIONS_OUT = COUNTER.ndpRouterSolicitationsOut;
const C_PREFIX_IGNORED = COUNTER.ndpPrefixIgnored;
const C_ROUTER_IGNORED = COUNTER.ndpRouterIgnored;

/** Interface identifiers have 64 bits (RFC 4291 2.5.1): a shorter prefix is a network of links. */
const ON_LINK_BITS_MIN = 64;
/** RFC 4861 10. */
const SOLICITATIONS_MAX = 3;
const SOLICITATION_INTERVAL_MS = 4000;
/** Below 2^31 ms, so that deadlines can be compared; a router renews long before. */
const LIFETIME_MAX_S = 20 * 86_400;
/** RFC 4862 5.5.3 e. */
const TWO_HOURS_S = 7200;

/** Words of a router: its token (0: no entry), Clock.ms until which it routes. */
const ROUTER_WORDS = 2;
/**
 * Words of a prefix: four of the address, bits (0: none), FOR_EVER or LIMITED, Clock.ms of its end.
 */
const BITS = 4;
const IS_LIMITED = 5;
const UNTIL = 6;
const PREFIX_WORDS = 8;

export class Routers {
  /** Changes with every change of routers and prefixes; never 0. */
  routes = 1;
  /** What the link carries, as far as routers say; 0: they do not. */
  mtu = 0;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #addresses: Addresses6;
  readonly #destinations: Destinations;
  readonly #messages: LinkMessages;
  readonly #timer: MsTimer;
  readonly #makesAddresses: boolean;
  readonly #detectsDuplicates: boolean;
  /** The configured one's token, or 0. */
  readonly #gateway: number;
  readonly #routers = new Int32Array(ROUTERS6_MAX * ROUTER_WORDS);
  readonly #prefixes: number;
  #solicitations = SOLICITATIONS_MAX;
  #solicitAt = 0;

  constructor(
    env: Environment,
    addresses: Addresses6,
    destinations: Destinations,
    messages: LinkMessages,
    timer: MsTimer,
  ) {
    const { ipv6 } = env.config;
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#addresses = addresses;
    this.#destinations = destinations;
    this.#messages = messages;
    this.#timer = timer;
    this.#makesAddresses = ipv6?.slaac === true;
    this.#detectsDuplicates = ipv6?.detectsDuplicates === true;
    this.#prefixes = env.arena.carve('ipv6 prefixes', PREFIXES6_MAX * PREFIX_WORDS * 4, 64) >> 2;
    let gateway = 0;
    if (ipv6 !== undefined) {
      const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = ipv6.gateway;
      if ((w0 | w1 | w2 | w3) !== 0) {
        gateway = destinations.token(w0, w1, w2, w3);
        destinations.hold(gateway);
      }
      this.#setPrefix(0, ipv6.address, ipv6.prefixLength, FOR_EVER, 0);
    }
    this.#gateway = gateway;
  }

  /** Routers that advertise themselves now. */
  get count(): number {
    let count = 0;
    while (count < ROUTERS6_MAX && this.#routers[count * ROUTER_WORDS] !== 0) count++;
    return count;
  }

  /** Token of where a packet to `token` goes first; 0: nowhere. */
  hopFor(token: number): number {
    const words = this.#destinations.wordsOf(token);
    const first = this.#i32[words]!;
    if (isMulticast(first)) return 0;
    if (isLinkLocal(first) || this.#isOnLink(words)) return token;
    return this.#gateway !== 0 ? this.#gateway : this.#routers[0]!;
  }

  #isOnLink(words: number): boolean {
    const i32 = this.#i32;
    for (let p = 0; p < PREFIXES6_MAX; p++) {
      const at = this.#prefixes + p * PREFIX_WORDS;
      const bits = i32[at + BITS]!;
      if (bits !== 0 && isSamePrefix(i32, at, words, bits)) return true;
    }
    return false;
  }

  /** Asks for routers, unless one is configured. */
  solicit(): void {
    if (this.#gateway !== 0) return;
    this.#solicitations = 0;
    this.#solicitAt = this.#clock.ms;
    this.expire();
  }

  /**
   * `token` routes for `lifetimeS`; 0: no more, whether it says so itself as a router or only is
   * none any more (RFC 4861 6.3.4, 7.3.3).
   */
  advertised(token: number, lifetimeS: number, isRouter: boolean): void {
    if (isRouter) this.#solicitations = SOLICITATIONS_MAX;
    const routers = this.#routers;
    let at = 0;
    while (at < routers.length && routers[at] !== token && routers[at] !== 0) at += ROUTER_WORDS;
    if (at === routers.length) {
      if (lifetimeS > 0) this.#counters.bump(C_ROUTER_IGNORED);
      return;
    }
    const isKnown = routers[at] === token;
    if (lifetimeS === 0) {
      if (isKnown) this.#remove(at);
      return;
    }
    routers[at + 1] = (this.#clock.ms + lifetimeS * 1000) | 0;
    this.#timer.armFor(routers[at + 1]!);
    if (isKnown) return;
    routers[at] = token;
    this.#destinations.hold(token);
    this.#changed();
  }

  /** A router that does not answer: another comes first, if there is one (RFC 4861 6.3.6). */
  unreachable(token: number): void {
    const routers = this.#routers;
    if (routers[0] !== token || routers[ROUTER_WORDS] === 0) return;
    const until = routers[1]!;
    routers.copyWithin(0, ROUTER_WORDS);
    let last = routers.length - ROUTER_WORDS;
    while (last > 0 && routers[last - ROUTER_WORDS] === 0) last -= ROUTER_WORDS;
    routers[last] = token;
    routers[last + 1] = until;
    this.#changed();
  }

  #remove(at: number): void {
    const routers = this.#routers;
    this.#destinations.release(routers[at]!);
    routers.copyWithin(at, at + ROUTER_WORDS);
    routers.fill(0, routers.length - ROUTER_WORDS);
    this.#changed();
  }

  /** Believed if the link can carry it at all. */
  setMtu(mtu: number, linkMtu: number): void {
    if (mtu >= IP6_MTU_MIN && mtu <= linkMtu) this.mtu = mtu;
  }

  /** A prefix information option at `at`, checked for its length only. */
  prefix(at: number): void {
    const view = this.#view;
    const bits = view.getUint8(at + OPTION_PREFIX_LENGTH);
    const flags = view.getUint8(at + PREFIX_FLAGS);
    const validS = view.getUint32(at + PREFIX_VALID_S);
    const preferredS = view.getUint32(at + PREFIX_PREFERRED_S);
    const first = view.getInt32(at + PREFIX_ADDRESS);
    if (bits === 0 || bits > 128 || isLinkLocal(first) || isMulticast(first)) {
      this.#counters.bump(C_PREFIX_IGNORED);
      return;
    }
    if ((flags & PREFIX_ON_LINK) !== 0) {
      if (this.#gateway === 0 && bits >= ON_LINK_BITS_MIN) {
        this.#onLink(at + PREFIX_ADDRESS, bits, validS);
      } else this.#counters.bump(C_PREFIX_IGNORED);
    }
    if ((flags & PREFIX_AUTONOMOUS) === 0 || !this.#makesAddresses) return;
    if (bits !== 64 || preferredS > validS) this.#counters.bump(C_PREFIX_IGNORED);
    else this.#makeAddress(at + PREFIX_ADDRESS, preferredS, validS);
  }

  #onLink(address: number, bits: number, validS: number): void {
    const i32 = this.#i32;
    const view = this.#view;
    const words = [0, 4, 8, 12].map((i) => view.getInt32(address + i));
    let free = -1;
    for (let p = 0; p < PREFIXES6_MAX; p++) {
      const at = this.#prefixes + p * PREFIX_WORDS;
      if (i32[at + BITS] === 0) {
        if (free < 0) free = p;
      } else if (i32[at + BITS] === bits && this.#isPrefix(at, words, bits)) {
        if (i32[at + IS_LIMITED] === LIMITED) this.#setPrefix(p, words, bits, LIMITED, validS);
        return;
      }
    }
    if (validS === 0) return;
    if (free < 0) this.#counters.bump(C_PREFIX_IGNORED);
    else this.#setPrefix(free, words, bits, LIMITED, validS);
  }

  #isPrefix(at: number, words: readonly number[], bits: number): boolean {
    let left = bits;
    for (let i = 0; left > 0; i++, left -= 32) {
      const mask = left >= 32 ? -1 : -1 << (32 - left);
      if (((this.#i32[at + i]! ^ words[i]!) & mask) !== 0) return false;
    }
    return true;
  }

  #setPrefix(
    p: number,
    words: readonly number[],
    bits: number,
    life: number,
    validS: number,
  ): void {
    const i32 = this.#i32;
    const at = this.#prefixes + p * PREFIX_WORDS;
    const isSame = i32[at + BITS] === bits;
    for (let i = 0; i < 4; i++) i32[at + i] = words[i]! | 0;
    i32[at + BITS] = life === LIMITED && validS === 0 ? 0 : bits;
    i32[at + IS_LIMITED] = life;
    i32[at + UNTIL] = this.#untilMs(validS);
    if (life === LIMITED && validS > 0) this.#timer.armFor(i32[at + UNTIL]!);
    if (!isSame || i32[at + BITS] === 0) this.#changed();
  }

  #untilMs(seconds: number): number {
    return (this.#clock.ms + Math.min(seconds, LIFETIME_MAX_S) * 1000) | 0;
  }

  /** RFC 4862 5.5.3: a new address, or new lifetimes of one we have. */
  #makeAddress(prefix: number, preferredS: number, validS: number): void {
    const i32 = this.#i32;
    const view = this.#view;
    const id = this.#addresses.at(LINK_LOCAL);
    const words = [view.getInt32(prefix), view.getInt32(prefix + 4), i32[id + 2]!, i32[id + 3]!];
    let local = this.#addresses.tokenOf(words[0]!, words[1]!, words[2]!, words[3]!);
    if (local !== 0) {
      const row = this.#addresses.at(local);
      if (i32[row + LIFE] !== LIMITED) return; // the configured one
      if (i32[row + STATE] !== FREE) {
        this.#prolong(row, preferredS, validS);
        return;
      }
    }
    if (validS === 0) return;
    const state = this.#detectsDuplicates ? TENTATIVE : OURS;
    if (local === 0) local = this.#addresses.add(words, 64, state);
    if (local === 0) {
      this.#counters.bump(C_PREFIX_IGNORED);
      return;
    }
    const row = this.#addresses.at(local);
    i32[row + STATE] = state;
    i32[row + PROBES] = 0;
    i32[row + DUE] = this.#clock.ms;
    i32[row + LIFE] = LIMITED;
    i32[row + PREFERRED_UNTIL] = this.#untilMs(preferredS);
    i32[row + VALID_UNTIL] = this.#untilMs(validS);
    this.#timer.armFor(this.#clock.ms); // duplicate address detection begins
  }

  /** Nobody can take a valid address away at once: the two-hour rule (RFC 4862 5.5.3 e). */
  #prolong(row: number, preferredS: number, validS: number): void {
    const i32 = this.#i32;
    const leftMs = (i32[row + VALID_UNTIL]! - this.#clock.ms) | 0;
    i32[row + PREFERRED_UNTIL] = this.#untilMs(preferredS);
    if (validS > TWO_HOURS_S || validS * 1000 > leftMs) {
      i32[row + VALID_UNTIL] = this.#untilMs(validS);
    } else if (leftMs > TWO_HOURS_S * 1000) i32[row + VALID_UNTIL] = this.#untilMs(TWO_HOURS_S);
    this.#timer.armFor(i32[row + VALID_UNTIL]!);
  }

  /** The timer: solicitations that are due, lifetimes that have passed. */
  expire(): void {
    this.#expireSolicitation();
    const now = this.#clock.ms;
    const routers = this.#routers;
    for (let at = 0; at < routers.length && routers[at] !== 0; ) {
      if (((routers[at + 1]! - now) | 0) <= 0) {
        this.#remove(at);
        continue;
      }
      this.#timer.armFor(routers[at + 1]!);
      at += ROUTER_WORDS;
    }
    this.#expirePrefixes(now);
    this.#expireAddresses(now);
  }

  #expireSolicitation(): void {
    if (this.#solicitations >= SOLICITATIONS_MAX) return;
    if (((this.#solicitAt - this.#clock.ms) | 0) <= 0) {
      this.#solicitations++;
      this.#solicitAt = (this.#clock.ms + SOLICITATION_INTERVAL_MS) | 0;
      this.#sendSolicitation();
    }
    if (this.#solicitations < SOLICITATIONS_MAX) this.#timer.armFor(this.#solicitAt);
  }

  #sendSolicitation(): void {
    if (!this.#addresses.isOurs(LINK_LOCAL)) return;
    const bytes = RS_OPTIONS + ND_MAC_BYTES;
    const message = this.#messages.begin(ICMP6_ROUTER_SOLICITATION, bytes);
    if (message < 0) return;
    this.#messages.writeMac(message + RS_OPTIONS, ND_SOURCE_MAC);
    this.#messages.toGroup(message, bytes, LINK_LOCAL, 0, ALL_ROUTERS, false);
    this.#counters.bump(C_SOLICITATIONS_OUT);
  }

  #expirePrefixes(now: number): void {
    const i32 = this.#i32;
    for (let p = 0; p < PREFIXES6_MAX; p++) {
      const at = this.#prefixes + p * PREFIX_WORDS;
      if (i32[at + BITS] === 0 || i32[at + IS_LIMITED] !== LIMITED) continue;
      if (((i32[at + UNTIL]! - now) | 0) > 0) this.#timer.armFor(i32[at + UNTIL]!);
      else {
        i32[at + BITS] = 0;
        this.#changed();
      }
    }
  }

  #expireAddresses(now: number): void {
    const i32 = this.#i32;
    for (let local = 1; local <= this.#addresses.last; local++) {
      const row = this.#addresses.at(local);
      if (i32[row + LIFE] !== LIMITED || i32[row + STATE] === FREE) continue;
      if (((i32[row + VALID_UNTIL]! - now) | 0) > 0) this.#timer.armFor(i32[row + VALID_UNTIL]!);
      else i32[row + STATE] = FREE;
    }
  }

  #changed(): void {
    this.routes = this.routes === 0x7fff_ffff ? 1 : this.routes + 1;
  }
}
