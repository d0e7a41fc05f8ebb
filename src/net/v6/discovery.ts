/**
 * Neighbour discovery, the way in: messages are checked here as RFC 4861 says, then handed on.
 *
 * - Hop limit 255 (nobody off the link), code 0, length, options, and what sender and destination
 *   must be: else the message is dropped whole and counted, ndpBad or ndpBadOption. So whom it
 *   concerns need not ask again.
 * - Redirects are ignored and counted: there is little to redirect, and much to attack.
 * - `start` is the beginning of a dataplane: groups are joined, addresses checked for duplicates or
 *   announced, routers asked for. `expire` is the one timer of all parts but the neighbours.
 *
 * Called by icmpv6.ts and dataplane/stack.ts. Read first: RFC 4861 6.1, 7.1; RFC 4862 5.4.
 */
import { COUNTER, type Counters } from '../../counters.ts';
import * as wire from '../../wire/icmpv6.ts';
import {
  IP6_DESTINATION,
  IP6_HOP_LIMIT,
  IP6_HOP_LIMIT_LINK,
  IP6_SOURCE,
  isLinkLocal,
  isMulticast,
  isUnspecified,
} from '../../wire/ipv6.ts';
import { type Environment, timerRanges } from '../both/environment.ts';
import { MsTimer } from '../both/ms-timer.ts';
import {
  type Addresses6,
  DUPLICATED,
  FREE,
  LINK_LOCAL,
  OURS,
  STATE,
  TENTATIVE,
} from './addresses.ts';
import { DuplicateDetection } from './dad.ts';
import type { Destinations } from './destinations.ts';
import { LinkMessages } from './link-messages.ts';
import { Mld } from './mld.ts';
import { NdOptions } from './nd-options.ts';
import { Ndp } from './ndp.ts';
import { Routers } from './routers.ts';

const C_IN = COUNTER.ndpIn;
const C_BAD = COUNTER.ndpBad;
const C_BAD_OPTION = COUNTER.ndpBadOption;
const C_CONFLICT = COUNTER.ndpConflict;
const C_ROUTERS = COUNTER.ndpRouterAdvertisements;
const C_REDIRECT = COUNTER.ndpRedirectIgnored;
const C_MLD_IN = COUNTER.mldQueriesIn;

export class Discovery {
  readonly ndp: Ndp;
  readonly routers: Routers;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #counters: Counters;
  readonly #addresses: Addresses6;
  readonly #destinations: Destinations;
  readonly #options: NdOptions;
  readonly #dad: DuplicateDetection;
  readonly #mld: Mld;
  readonly #timer: MsTimer;
  readonly #linkMtu: number;

  /** Our addresses may have changed. */
  onAddresses: () => void = () => {};

  /** `onFailed` is told of a neighbour that never answered, while its index still means it. */
  constructor(
    env: Environment,
    addresses: Addresses6,
    destinations: Destinations,
    onFailed: (neighbour: number) => void,
  ) {
    const messages = new LinkMessages(env, addresses, destinations);
    const timer = new MsTimer(env.wheel, env.clock, timerRanges(env.limits).discovery);
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#counters = env.counters;
    this.#addresses = addresses;
    this.#destinations = destinations;
    this.#options = new NdOptions(env.arena.view);
    this.#timer = timer;
    this.#linkMtu = env.nic.mtu;
    this.#mld = new Mld(env, addresses, messages);
    this.routers = new Routers(env, addresses, destinations, messages, timer);
    this.ndp = new Ndp(env, {
      addresses,
      destinations,
      messages,
      onFailed: (neighbour, token, hasAnswered) => {
        this.routers.unreachable(token);
        if (!hasAnswered) onFailed(neighbour);
      },
    });
    this.#dad = new DuplicateDetection(env, addresses, messages, timer, (local) =>
      this.#ours(local),
    );
  }

  /** For the start of a dataplane, when frames flow and the clock is set. */
  start(): void {
    if (!this.#addresses.isOn) return;
    this.#mld.join();
    this.#dad.start();
    for (let local = 1; local <= this.#addresses.last; local++) {
      if (this.#addresses.isOurs(local)) this.#ours(local);
    }
    this.onAddresses();
  }

  /** An address is ours now. */
  #ours(local: number): void {
    this.#mld.join();
    this.ndp.answer(local, 0, 0, 0);
    if (local === LINK_LOCAL) this.routers.solicit();
  }

  /**
   * The link is up again: groups are reported and addresses announced anew, routers asked for (RFC
   * 4861 6.3.7, an interface "reinitialised after a temporary failure"). Addresses are not checked
   * for duplicates again: connections on them would not survive the second that it takes, and who
   * has taken one meanwhile is counted when he says so (ndpConflict).
   */
  linkUp(): void {
    if (!this.#addresses.isOn) return;
    for (let local = 1; local <= this.#addresses.last; local++) {
      if (this.#addresses.isOurs(local)) this.#ours(local);
    }
  }

  expire(): void {
    this.#dad.expire();
    this.routers.expire();
    this.onAddresses();
  }

  close(): void {
    this.ndp.close();
    this.#timer.cancel();
  }

  /**
   * A message of neighbour discovery or MLD, its checksum right: `bytes` at `icmp` of packet `ip`.
   */
  input(ip: number, icmp: number, bytes: number, type: number): void {
    const counters = this.#counters;
    if (type === wire.ICMP6_MLD_QUERY) {
      counters.bump(C_MLD_IN);
      if (isLinkLocal(this.#view.getInt32(ip + IP6_SOURCE))) this.#mld.queried();
      return;
    }
    counters.bump(C_IN);
    const isFromLink = this.#view.getUint8(ip + IP6_HOP_LIMIT) === IP6_HOP_LIMIT_LINK;
    if (!isFromLink || this.#view.getUint8(icmp + wire.ICMP6_CODE) !== 0) counters.bump(C_BAD);
    else if (type === wire.ICMP6_NEIGHBOUR_SOLICITATION) this.#solicitation(ip, icmp, bytes);
    else if (type === wire.ICMP6_NEIGHBOUR_ADVERTISEMENT) this.#advertisement(ip, icmp, bytes);
    else if (type === wire.ICMP6_ROUTER_ADVERTISEMENT) this.#router(ip, icmp, bytes);
    else if (type === wire.ICMP6_REDIRECT) counters.bump(C_REDIRECT);
    // router solicitations are for routers
  }

  /** Options from `start` on; false when the message was dropped. */
  #readOptions(icmp: number, start: number, bytes: number): boolean {
    if (bytes < start) {
      this.#counters.bump(C_BAD);
      return false;
    }
    if (this.#options.read(icmp + start, icmp + bytes)) return true;
    this.#counters.bump(C_BAD_OPTION);
    return false;
  }

  /** RFC 4861 7.1.1 and 7.2.3, RFC 4862 5.4.3. */
  #solicitation(ip: number, icmp: number, bytes: number): void {
    if (!this.#readOptions(icmp, wire.ND_OPTIONS, bytes)) return;
    const view = this.#view;
    const target = icmp + wire.ND_TARGET;
    const isProbe = isUnspecified(view, ip + IP6_SOURCE);
    const isToGroup = isMulticast(view.getInt32(ip + IP6_DESTINATION));
    const isWrong = isProbe && (!isToGroup || this.#options.hasSourceMac);
    if (isMulticast(view.getInt32(target)) || isWrong || this.#options.hasTargetMac) {
      this.#counters.bump(C_BAD);
      return;
    }
    const local = this.#addresses.findAny(target);
    if (local === 0) return; // for somebody else of the same group
    const state = this.#i32[this.#addresses.at(local) + STATE]!;
    if (state === TENTATIVE && isProbe) this.#dad.failed(local);
    if (state !== OURS) return;
    if (isProbe) this.ndp.answer(local, 0, 0, 0);
    else this.#answer(ip, local);
  }

  /** To a sender whose MAC address is in the message or known; nobody else asks by unicast. */
  #answer(ip: number, local: number): void {
    const { ndp } = this;
    const options = this.#options;
    const token = this.#destinations.tokenAt(ip + IP6_SOURCE);
    if (options.hasSourceMac) {
      ndp.hear(token, options.macHigh, options.macLow);
      ndp.answer(local, token, options.macHigh, options.macLow);
      return;
    }
    const { neighbours } = ndp;
    const entry = neighbours.entryOf(token);
    if (entry === 0) this.#counters.bump(C_BAD);
    else ndp.answer(local, token, neighbours.highOf(entry), neighbours.lowOf(entry));
  }

  /** RFC 4861 7.1.2 and 7.2.5, RFC 4862 5.4.4. */
  #advertisement(ip: number, icmp: number, bytes: number): void {
    if (!this.#readOptions(icmp, wire.ND_OPTIONS, bytes)) return;
    const view = this.#view;
    const target = icmp + wire.ND_TARGET;
    const flags = view.getInt32(icmp + wire.ND_FLAGS);
    const isToGroup = isMulticast(view.getInt32(ip + IP6_DESTINATION));
    const isWrong = isToGroup && (flags & wire.NA_SOLICITED) !== 0;
    if (isMulticast(view.getInt32(target)) || isWrong || this.#options.hasSourceMac) {
      this.#counters.bump(C_BAD);
      return;
    }
    const local = this.#addresses.findAny(target);
    if (local !== 0) {
      this.#claimed(local);
      return;
    }
    const token = this.#destinations.find(target);
    if (token === 0) return; // nobody asked
    this.ndp.advertised(token, flags, this.#options);
    if ((flags & wire.NA_ROUTER) === 0) this.routers.advertised(token, 0, false);
  }

  /** Somebody says that an address of ours is his. */
  #claimed(local: number): void {
    const state = this.#i32[this.#addresses.at(local) + STATE]!;
    if (state === TENTATIVE) this.#dad.failed(local);
    else if (state !== FREE && state !== DUPLICATED) this.#counters.bump(C_CONFLICT);
  }

  /** RFC 4861 6.1.2 and 6.3.4. */
  #router(ip: number, icmp: number, bytes: number): void {
    if (!this.#readOptions(icmp, wire.RA_OPTIONS, bytes)) return;
    const view = this.#view;
    const { routers, ndp } = this;
    const options = this.#options;
    if (!isLinkLocal(view.getInt32(ip + IP6_SOURCE)) || options.hasTargetMac) {
      this.#counters.bump(C_BAD);
      return;
    }
    this.#counters.bump(C_ROUTERS);
    const token = this.#destinations.tokenAt(ip + IP6_SOURCE);
    if (options.hasSourceMac) ndp.hear(token, options.macHigh, options.macLow);
    routers.advertised(token, view.getUint16(icmp + wire.RA_LIFETIME), true);
    ndp.setTimers(
      view.getUint32(icmp + wire.RA_REACHABLE_MS) | 0,
      view.getUint32(icmp + wire.RA_RETRANSMIT_MS) | 0,
    );
    if (options.mtu !== 0) routers.setMtu(options.mtu, this.#linkMtu);
    const end = icmp + bytes;
    let at = options.nextPrefix(icmp + wire.RA_OPTIONS, end);
    for (; at >= 0; at = options.nextPrefix(at + wire.PREFIX_BYTES, end)) routers.prefix(at);
  }
}
