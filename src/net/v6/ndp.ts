/**
 * Neighbour discovery's cache: which MAC address stands behind a neighbour's IPv6 address, and
 * whether it still hears us.
 *
 * - As ARP here, with RFC 4861's states: INCOMPLETE (asked, a few frames held) -> REACHABLE (an
 *   answer less than about 30 s ago) -> STALE -> on its next use DELAY (5 s for the peer to ask or
 *   answer by itself) -> PROBE (asked by unicast, three times) -> gone. Unused for 5 minutes: gone.
 * - Addresses are tokens (destinations.ts), which entries hold.
 * - What may be learnt: a sender that solicits one of our addresses, as STALE; what an
 *   advertisement says of somebody we asked for. An unsolicited advertisement changes an entry only
 *   if it says "override", and confirms nothing.
 * - `transmit` consumes its frame, always. Messages come here checked (discovery.ts).
 *
 * Called by ipv6.ts and discovery.ts. Read first: RFC 4861 7.2 and 7.3.
 */

import type { Clock } from '../../arena/clock.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import type { Nic } from '../../nic/nic.ts';
import { assert, VERIFY } from '../../verify.ts';
import { ETH_DESTINATION, setMac } from '../../wire/ethernet.ts';
import {
  ICMP6_NEIGHBOUR_ADVERTISEMENT,
  ICMP6_NEIGHBOUR_SOLICITATION,
  NA_OVERRIDE,
  NA_SOLICITED,
  ND_FLAGS,
  ND_MAC_BYTES,
  ND_OPTIONS,
  ND_SOURCE_MAC,
  ND_TARGET,
  ND_TARGET_MAC,
} from '../../wire/icmpv6.ts';
import { ALL_NODES, SOLICITED_2 } from '../../wire/ipv6.ts';
import { type Environment, timerRanges } from '../both/environment.ts';
import * as row from '../both/neighbours.ts';
import type { Addresses6 } from './addresses.ts';
import type { Destinations } from './destinations.ts';
import type { LinkMessages } from './link-messages.ts';
import type { NdOptions } from './nd-options.ts';

const C_TABLE_FULL = COUNTER.ndpTableFull;
const C_SOLICITATIONS_OUT = COUNTER.ndpSolicitationsOut;
const C_ADVERTISEMENTS_OUT = COUNTER.ndpAdvertisementsOut;

/** RFC 4861 10. */
const RETRANSMIT_MS = 1000;
const SOLICITATIONS_MAX = 3;
const REACHABLE_MS = 30_000;
const DELAY_FIRST_PROBE_MS = 5000;
const STALE_MS = 300_000;
const REACHABLE_MAX_MS = 3_600_000;

const MESSAGE_BYTES = ND_OPTIONS + ND_MAC_BYTES;

export interface NdpParts {
  readonly addresses: Addresses6;
  readonly destinations: Destinations;
  readonly messages: LinkMessages;
  /** A neighbour never answered, or answers no more; its index still means it. */
  onFailed(neighbour: number, token: number, hasAnswered: boolean): void;
}

export class Ndp {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #nic: Nic;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #parts: NdpParts;
  readonly #neighbours: row.Neighbours;
  /**
   * Between a half and one and a half of what is meant, so that not all hosts ask at once (RFC 4861
   * 6.3.2).
   */
  readonly #spread: number;
  #reachableMs: number;
  #retransmitMs = RETRANSMIT_MS;

  constructor(env: Environment, parts: NdpParts) {
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#nic = env.nic;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#parts = parts;
    this.#neighbours = new row.Neighbours(env, {
      name: 'ipv6 neighbour',
      timer: timerRanges(env.limits).ndp,
      replaced: COUNTER.ndpReplaced,
      heldReplaced: COUNTER.ndpHeldReplaced,
      unresolved: COUNTER.ndpUnresolved,
      begun: (token) => parts.destinations.hold(token),
      ended: (token) => parts.destinations.release(token),
    });
    this.#spread = 128 + (env.config.secret0 & 0xff);
    this.#reachableMs = (REACHABLE_MS * this.#spread) >> 8;
  }

  /** Entries in use. */
  get count(): number {
    return this.#neighbours.used;
  }

  /** Whether `neighbour` is now the entry of `token`. Any int32 may be asked about. */
  isFor(neighbour: number, token: number): boolean {
    return this.#neighbours.isFor(neighbour, token);
  }

  /** Index of an on-link address's entry, which is made and asked for when it is new. */
  neighbourFor(token: number): number {
    const found = this.#neighbours.find(token);
    if (found >= 0) return found;
    if (this.#neighbours.isFull) this.#neighbours.replace();
    const neighbour = this.#neighbours.make(token);
    this.#ask(this.#neighbours.at(neighbour));
    return neighbour;
  }

  /**
   * What is sent there does not seem to arrive: its next use leads to a probe, unless it was
   * confirmed a moment ago.
   */
  doubt(neighbour: number): void {
    const i32 = this.#i32;
    const entry = this.#neighbours.at(neighbour);
    if (i32[entry + row.STATE] !== row.REACHABLE) return;
    const left = (i32[entry + row.DEADLINE]! - this.#clock.ms) | 0;
    if (left <= this.#reachableMs - this.#retransmitMs) this.#become(entry, row.STALE);
  }

  /** Consumes a frame of `length` bytes whose destination MAC is still missing. */
  transmit(neighbour: number, frame: number, length: number): void {
    const i32 = this.#i32;
    const entry = this.#neighbours.at(neighbour);
    const state = i32[entry + row.STATE]!;
    this.#neighbours.use(entry);
    if (state !== row.REACHABLE) {
      if (VERIFY) assert(state !== row.FREE, 'ndp: transmit to a free entry');
      if (state === row.INCOMPLETE) {
        this.#neighbours.hold(entry, frame, length);
        return;
      }
      if (state === row.STALE) {
        i32[entry + row.STATE] = row.DELAY;
        this.#neighbours.due(entry, DELAY_FIRST_PROBE_MS);
      }
    }
    const high = i32[entry + row.MAC_HIGH]!;
    setMac(this.#view, frame + ETH_DESTINATION, high, i32[entry + row.MAC_LOW]!);
    this.#nic.transmit(frame, length);
  }

  /**
   * Somebody at a MAC address solicits us, or a router advertises itself: worth knowing, no proof
   * (RFC 4861 7.2.3).
   */
  hear(token: number, high: number, low: number): void {
    const i32 = this.#i32;
    let neighbour = this.#neighbours.find(token);
    if (neighbour < 0) {
      if (this.#neighbours.isFull) {
        this.#counters.bump(C_TABLE_FULL);
        return;
      }
      neighbour = this.#neighbours.make(token);
    }
    const entry = this.#neighbours.at(neighbour);
    const isFirst = i32[entry + row.STATE] === row.INCOMPLETE;
    const isSame = i32[entry + row.MAC_HIGH] === high && i32[entry + row.MAC_LOW] === low;
    if (isSame && !isFirst) return;
    this.#resolve(neighbour, entry, high, low, row.STALE);
  }

  /** An advertisement for `token`'s address (RFC 4861 7.2.5); `flags` is its word of flags. */
  advertised(token: number, flags: number, options: NdOptions): void {
    const i32 = this.#i32;
    const neighbour = this.#neighbours.find(token);
    if (neighbour < 0) return;
    const entry = this.#neighbours.at(neighbour);
    const isSolicited = (flags & NA_SOLICITED) !== 0;
    let high = i32[entry + row.MAC_HIGH]!;
    let low = i32[entry + row.MAC_LOW]!;
    const isFirst = i32[entry + row.STATE] === row.INCOMPLETE;
    if (options.hasTargetMac) {
      const isSame = high === options.macHigh && low === options.macLow;
      if (!isFirst && !isSame && (flags & NA_OVERRIDE) === 0) {
        if (i32[entry + row.STATE] === row.REACHABLE) this.#become(entry, row.STALE);
        return;
      }
      high = options.macHigh;
      low = options.macLow;
      if (isFirst || !isSame || isSolicited) {
        this.#resolve(neighbour, entry, high, low, isSolicited ? row.REACHABLE : row.STALE);
      }
    } else if (!isFirst && isSolicited) {
      this.#resolve(neighbour, entry, high, low, row.REACHABLE);
    }
  }

  /** Answers a solicitation for our address `local`: to `token`'s, or to everybody if it is 0. */
  answer(local: number, token: number, high: number, low: number): void {
    const { messages } = this.#parts;
    const message = messages.begin(ICMP6_NEIGHBOUR_ADVERTISEMENT, MESSAGE_BYTES);
    if (message < 0) return;
    const flags = NA_OVERRIDE | (token === 0 ? 0 : NA_SOLICITED);
    this.#view.setInt32(message + ND_FLAGS, flags);
    this.#parts.addresses.write(local, message + ND_TARGET);
    messages.writeMac(message + ND_OPTIONS, ND_TARGET_MAC);
    if (token === 0) messages.toGroup(message, MESSAGE_BYTES, local, 0, ALL_NODES, false);
    else messages.toNeighbour(message, MESSAGE_BYTES, local, token, high, low);
    this.#counters.bump(C_ADVERTISEMENTS_OUT);
  }

  /**
   * Writes a neighbour's MAC address, if it is known, into a message's Ethernet header: for an
   * answer to it.
   */
  macOf(token: number): number {
    const neighbour = this.#neighbours.find(token);
    if (neighbour < 0) return 0;
    const entry = this.#neighbours.at(neighbour);
    return this.#i32[entry + row.STATE] === row.INCOMPLETE ? 0 : entry;
  }

  highOf(entry: number): number {
    return this.#i32[entry + row.MAC_HIGH]!;
  }

  lowOf(entry: number): number {
    return this.#i32[entry + row.MAC_LOW]!;
  }

  /** A router names the two timers; 0: it does not (RFC 4861 6.3.4). */
  setTimers(reachableMs: number, retransmitMs: number): void {
    if (reachableMs > 0) {
      const meant = Math.min(Math.max(reachableMs, RETRANSMIT_MS), REACHABLE_MAX_MS);
      this.#reachableMs = (meant * this.#spread) >> 8;
    }
    if (retransmitMs > 0) {
      this.#retransmitMs = Math.min(Math.max(retransmitMs, 100), 10 * RETRANSMIT_MS);
    }
  }

  /** An entry's timer: when its time is up it takes its next step. */
  expire(neighbour: number): void {
    const entry = this.#neighbours.at(neighbour);
    if (this.#neighbours.isDue(entry)) this.#expireEntry(neighbour, entry);
  }

  /** Frees held frames and forgets everybody. */
  close(): void {
    this.#neighbours.clear();
  }

  #expireEntry(neighbour: number, entry: number): void {
    const i32 = this.#i32;
    const state = i32[entry + row.STATE]!;
    if (state === row.REACHABLE) {
      this.#become(entry, row.STALE);
      return;
    }
    if (state === row.DELAY) {
      i32[entry + row.STATE] = row.PROBE;
      i32[entry + row.TRIES] = 0;
    }
    if (state !== row.STALE && i32[entry + row.TRIES]! < SOLICITATIONS_MAX) {
      this.#ask(entry);
      return;
    }
    if (state !== row.STALE) {
      this.#parts.onFailed(neighbour, i32[entry + row.ADDRESS]!, state === row.PROBE);
    }
    this.#neighbours.remove(neighbour);
  }

  #become(entry: number, state: number): void {
    this.#i32[entry + row.STATE] = state;
    this.#neighbours.due(entry, state === row.REACHABLE ? this.#reachableMs : STALE_MS);
  }

  #resolve(neighbour: number, entry: number, high: number, low: number, state: number): void {
    const neighbours = this.#neighbours;
    neighbours.resolve(entry, high, low, state);
    this.#become(entry, state);
    for (let held = neighbours.takeHeld(entry); held !== 0; held = neighbours.takeHeld(entry)) {
      this.transmit(neighbour, held, this.#i32[entry + row.HELD_BYTES]!);
    }
  }

  /**
   * One solicitation: to the solicited-node group, or to the MAC address that answered last time.
   */
  #ask(entry: number): void {
    const i32 = this.#i32;
    const { addresses, destinations, messages } = this.#parts;
    const token = i32[entry + row.ADDRESS]!;
    const words = destinations.wordsOf(token);
    i32[entry + row.TRIES] = i32[entry + row.TRIES]! + 1;
    this.#neighbours.due(entry, this.#retransmitMs);
    const local = addresses.sourceFor(words);
    if (local === 0) return; // none is ours yet
    const message = messages.begin(ICMP6_NEIGHBOUR_SOLICITATION, MESSAGE_BYTES);
    if (message < 0) return;
    destinations.write(token, message + ND_TARGET);
    messages.writeMac(message + ND_OPTIONS, ND_SOURCE_MAC);
    if (i32[entry + row.STATE] === row.PROBE) {
      const high = i32[entry + row.MAC_HIGH]!;
      messages.toNeighbour(message, MESSAGE_BYTES, local, token, high, i32[entry + row.MAC_LOW]!);
    } else {
      const group = messages.solicitedOf(words);
      messages.toGroup(message, MESSAGE_BYTES, local, SOLICITED_2, group, false);
    }
    this.#counters.bump(C_SOLICITATIONS_OUT);
  }
}
