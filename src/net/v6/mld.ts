/**
 * Multicast listener discovery, as far as neighbour discovery needs it: without it switches that
 * snoop keep the solicited-node groups of our addresses from us, and nobody could ask for us.
 *
 * - A report (MLDv2, "change to exclude none") for an address's group goes out before duplicate
 *   address detection begins, and again when the address is ours; a general query is answered with
 *   a report of all groups, at once: there are ADDRESSES6_MAX at most, so no random delay. On an
 *   interface shared with the kernel queries are the kernel's, and only the first reports leave.
 * - Nothing is kept: our groups follow from our addresses. There is no other group here.
 *
 * Called by discovery.ts. Read first: RFC 3810 5.2 and 6.1; RFC 4862 5.4.2.
 */
import { COUNTER, type Counters } from '../../counters.ts';
import { ICMP6_MLD2_REPORT } from '../../wire/icmpv6.ts';
import { ALL_MLD2_ROUTERS, SOLICITED_0, SOLICITED_2 } from '../../wire/ipv6.ts';
import type { Environment } from '../both/environment.ts';
import { type Addresses6, DUPLICATED, FREE, LINK_LOCAL, STATE } from './addresses.ts';
import type { LinkMessages } from './link-messages.ts';

const C_REPORTS_OUT = COUNTER.mldReportsOut;

const RECORDS = 8;
const RECORD_BYTES = 20;
const RECORD_COUNT = 6;
const MODE_IS_EXCLUDE = 2;
const CHANGE_TO_EXCLUDE = 4;

export class Mld {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #counters: Counters;
  readonly #addresses: Addresses6;
  readonly #messages: LinkMessages;

  constructor(env: Environment, addresses: Addresses6, messages: LinkMessages) {
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#counters = env.counters;
    this.#addresses = addresses;
    this.#messages = messages;
  }

  /** We listen to our groups from now on. */
  join(): void {
    this.#report(CHANGE_TO_EXCLUDE);
  }

  /** A router asks who listens to what. */
  queried(): void {
    this.#report(MODE_IS_EXCLUDE);
  }

  #report(kind: number): void {
    const view = this.#view;
    const { last } = this.#addresses;
    const message = this.#messages.begin(ICMP6_MLD2_REPORT, RECORDS + last * RECORD_BYTES);
    if (message < 0) return;
    let count = 0;
    for (let local = 1; local <= last; local++) {
      const row = this.#addresses.at(local);
      const state = this.#i32[row + STATE]!;
      if (state === FREE || state === DUPLICATED) continue;
      const record = message + RECORDS + count * RECORD_BYTES;
      view.setInt32(record, kind << 24);
      view.setInt32(record + 4, SOLICITED_0);
      view.setInt32(record + 12, SOLICITED_2);
      view.setInt32(record + 16, this.#messages.solicitedOf(row));
      count++;
    }
    if (count === 0) {
      this.#messages.discard(message);
      return;
    }
    view.setUint16(message + RECORD_COUNT, count);
    const source = this.#addresses.isOurs(LINK_LOCAL) ? LINK_LOCAL : 0;
    const bytes = RECORDS + count * RECORD_BYTES;
    this.#messages.toGroup(message, bytes, source, 0, ALL_MLD2_ROUTERS, true);
    this.#counters.bump(C_REPORTS_OUT);
  }
}
