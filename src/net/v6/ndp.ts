/**
 * Neighbour discovery's messages about neighbours (net/both/neighbour-cache.ts): how they are asked
 * and answered, and what an advertisement proves.
 *
 * - Addresses are tokens (destinations.ts), which entries hold.
 * - An answer holds about 30 s, or what a router says; who is used after that has 5 s to confirm
 *   itself before it is asked.
 * - What may be learnt: a sender that solicits one of our addresses, as STALE; what an
 *   advertisement says of somebody we asked for. An unsolicited advertisement changes an entry only
 *   if it says "override", and confirms nothing.
 * - Messages come here checked (discovery.ts).
 *
 * Called by discovery.ts. Read first: RFC 4861 4.3, 4.4 and 7.2.
 */
import { COUNTER, type Counters } from '../../counters.ts';
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
import { NeighbourCache, RETRANSMIT_MS } from '../both/neighbour-cache.ts';
import type { Addresses6 } from './addresses.ts';
import type { Destinations } from './destinations.ts';
import type { LinkMessages } from './link-messages.ts';
import type { NdOptions } from './nd-options.ts';

const C_SOLICITATIONS_OUT = COUNTER.ndpSolicitationsOut;
const C_ADVERTISEMENTS_OUT = COUNTER.ndpAdvertisementsOut;

/** RFC 4861 10; 6.2.1 allows a router no more than the last. */
const REACHABLE_MS = 30_000;
const DELAY_FIRST_PROBE_MS = 5000;
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
  readonly neighbours: NeighbourCache;
  readonly #view: DataView;
  readonly #counters: Counters;
  readonly #parts: NdpParts;
  /**
   * Half to one and a half of what is meant, so that not all hosts ask at once (RFC 4861 6.3.2).
   */
  readonly #spread: number;

  constructor(env: Environment, parts: NdpParts) {
    this.#view = env.arena.view;
    this.#counters = env.counters;
    this.#parts = parts;
    this.#spread = 128 + (env.config.secret0 & 0xff);
    this.neighbours = new NeighbourCache(env, {
      name: 'ipv6 neighbour',
      timer: timerRanges(env.limits).ndp,
      replaced: COUNTER.ndpReplaced,
      heldReplaced: COUNTER.ndpHeldReplaced,
      unresolved: COUNTER.ndpUnresolved,
      tableFull: COUNTER.ndpTableFull,
      reachableMs: (REACHABLE_MS * this.#spread) >> 8,
      delayMs: DELAY_FIRST_PROBE_MS,
      begun: (token) => parts.destinations.hold(token),
      ended: (token) => parts.destinations.release(token),
      ask: (token) => this.#solicit(token, false, 0, 0),
      probe: (token, high, low) => this.#solicit(token, true, high, low),
      failed: (neighbour, token, hasAnswered) => parts.onFailed(neighbour, token, hasAnswered),
    });
  }

  /**
   * Somebody solicits us, or a router advertises itself: worth knowing, no proof (RFC 4861 7.2.3).
   */
  hear(token: number, high: number, low: number): void {
    this.neighbours.heard(token, high, low, false);
  }

  /** An advertisement for `token`'s address (RFC 4861 7.2.5); `flags` is its word of flags. */
  advertised(token: number, flags: number, options: NdOptions): void {
    const isSolicited = (flags & NA_SOLICITED) !== 0;
    const { macHigh, macLow } = options;
    if (options.hasTargetMac) {
      const isOverride = (flags & NA_OVERRIDE) !== 0;
      this.neighbours.told(token, macHigh, macLow, isSolicited, isOverride);
    } else if (isSolicited) this.neighbours.confirmed(token);
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

  /** A router names the two timers; 0: it does not (RFC 4861 6.3.4). */
  setTimers(reachableMs: number, retransmitMs: number): void {
    const meant = Math.min(Math.max(reachableMs, RETRANSMIT_MS), REACHABLE_MAX_MS);
    this.neighbours.setTimes(
      reachableMs > 0 ? (meant * this.#spread) >> 8 : 0,
      retransmitMs > 0 ? Math.min(Math.max(retransmitMs, 100), 10 * RETRANSMIT_MS) : 0,
    );
  }

  /** A neighbour's timer. */
  expire(neighbour: number): void {
    this.neighbours.expire(neighbour);
  }

  /** Frees held frames and forgets everybody. */
  close(): void {
    this.neighbours.close();
  }

  /** To the solicited-node group, or to the MAC address that answered last time. */
  #solicit(token: number, isProbe: boolean, high: number, low: number): void {
    const { addresses, destinations, messages } = this.#parts;
    const words = destinations.wordsOf(token);
    const local = addresses.sourceFor(words);
    if (local === 0) return; // none is ours yet
    const message = messages.begin(ICMP6_NEIGHBOUR_SOLICITATION, MESSAGE_BYTES);
    if (message < 0) return;
    destinations.write(token, message + ND_TARGET);
    messages.writeMac(message + ND_OPTIONS, ND_SOURCE_MAC);
    if (isProbe) messages.toNeighbour(message, MESSAGE_BYTES, local, token, high, low);
    else {
      const group = messages.solicitedOf(words);
      messages.toGroup(message, MESSAGE_BYTES, local, SOLICITED_2, group, false);
    }
    this.#counters.bump(C_SOLICITATIONS_OUT);
  }
}
