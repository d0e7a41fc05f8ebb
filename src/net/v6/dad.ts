/**
 * Duplicate address detection: is the address somebody's already?
 *
 * - A TENTATIVE address is asked for once, from nobody (::), and is OURS a second later if no one
 *   answered or asked for it too (RFC 4862 5.4). Else it is DUPLICATED: counted, never used, and
 *   the other addresses go on without it.
 * - `onOurs` is told of an address that has become ours: it is to be announced (RFC 4861 7.2.6).
 *
 * Called by discovery.ts. Read first: RFC 4862 5.4.
 */
import type { Clock } from '../../arena/clock.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { ICMP6_NEIGHBOUR_SOLICITATION, ND_OPTIONS, ND_TARGET } from '../../wire/icmpv6.ts';
import { SOLICITED_2 } from '../../wire/ipv6.ts';
import type { Environment } from '../both/environment.ts';
import type { MsTimer } from '../both/ms-timer.ts';
import { type Addresses6, DUE, DUPLICATED, OURS, PROBES, STATE, TENTATIVE } from './addresses.ts';
import type { LinkMessages } from './link-messages.ts';

const C_SOLICITATIONS_OUT = COUNTER.ndpSolicitationsOut;
const C_DUPLICATE = COUNTER.ndpDuplicate;

/** DupAddrDetectTransmits and RetransTimer (RFC 4862 5.1). */
const PROBES_MAX = 1;
const RETRANSMIT_MS = 1000;

export class DuplicateDetection {
  readonly #i32: Int32Array;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #addresses: Addresses6;
  readonly #messages: LinkMessages;
  readonly #timer: MsTimer;
  readonly #onOurs: (local: number) => void;

  constructor(
    env: Environment,
    addresses: Addresses6,
    messages: LinkMessages,
    timer: MsTimer,
    onOurs: (local: number) => void,
  ) {
    this.#i32 = env.arena.i32;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#addresses = addresses;
    this.#messages = messages;
    this.#timer = timer;
    this.#onOurs = onOurs;
  }

  /** Asks for every tentative address. */
  start(): void {
    for (let local = 1; local <= this.#addresses.last; local++) {
      this.#i32[this.#addresses.at(local) + DUE] = this.#clock.ms;
    }
    this.expire();
  }

  /** Every tentative address whose time has come takes its next step. */
  expire(): void {
    const i32 = this.#i32;
    for (let local = 1; local <= this.#addresses.last; local++) {
      const row = this.#addresses.at(local);
      if (i32[row + STATE] !== TENTATIVE) continue;
      if (((i32[row + DUE]! - this.#clock.ms) | 0) <= 0) this.#step(local, row);
      if (i32[row + STATE] === TENTATIVE) this.#timer.armFor(i32[row + DUE]!);
    }
  }

  /** Somebody has the address, or wants it at this moment. */
  failed(local: number): void {
    const row = this.#addresses.at(local);
    if (this.#i32[row + STATE] !== TENTATIVE) return;
    this.#i32[row + STATE] = DUPLICATED;
    this.#counters.bump(C_DUPLICATE);
  }

  #step(local: number, row: number): void {
    const i32 = this.#i32;
    if (i32[row + PROBES] === PROBES_MAX) {
      i32[row + STATE] = OURS;
      this.#onOurs(local);
      return;
    }
    i32[row + PROBES] = i32[row + PROBES]! + 1;
    i32[row + DUE] = (this.#clock.ms + RETRANSMIT_MS) | 0;
    const message = this.#messages.begin(ICMP6_NEIGHBOUR_SOLICITATION, ND_OPTIONS);
    if (message < 0) return;
    this.#addresses.write(local, message + ND_TARGET);
    const group = this.#messages.solicitedOf(row);
    this.#messages.toGroup(message, ND_OPTIONS, 0, SOLICITED_2, group, false);
    this.#counters.bump(C_SOLICITATIONS_OUT);
  }
}
