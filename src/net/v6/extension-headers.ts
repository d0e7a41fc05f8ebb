/**
 * The chain of extension headers between the IPv6 header and what it carries.
 *
 * - `walk` checks every header and stands on the first that is none, or on a fragment header:
 *   `next` says what it is, `at` where. It answers 0, or the counter of the reason to drop the
 *   packet; `problem` then says whether the sender is told (a code of ICMPv6's "parameter problem",
 *   or SILENT) and `pointer` where the problem lies.
 * - Bounded: EXTENSION_HEADERS_MAX headers, EXTENSION_OPTIONS_MAX options of one header that are no
 *   padding (RFC 8504 5.3).
 * - Hop-by-hop options come first or not at all. A routing header with segments left is refused, of
 *   whatever type: we route nothing, and type 0 is an attack (RFC 5095). Any other is skipped.
 * - A fragment header of a whole packet (an atomic fragment) is skipped (RFC 6946).
 * - Unknown options say themselves what is to be done with them (RFC 8200 4.2).
 * - One object for all: `walk` overwrites it.
 *
 * Called by net/ipv6-input.ts, fragments.ts and icmpv6.ts. Read first: RFC 8200 4.
 */
import { COUNTER, type Counters } from '../../counters.ts';
import { EXTENSION_HEADERS_MAX, EXTENSION_OPTIONS_MAX } from '../../limits.ts';
import { PROBLEM_FIELD, PROBLEM_NEXT_HEADER, PROBLEM_OPTION } from '../../wire/icmpv6.ts';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_MORE,
  FRAGMENT_OFFSET,
  FRAGMENT_OFFSET_MASK,
  HEADER_DESTINATION,
  HEADER_FRAGMENT,
  HEADER_HOP_BY_HOP,
  HEADER_NONE,
  HEADER_ROUTING,
  IP6_HEADER_BYTES,
  IP6_NEXT_HEADER,
} from '../../wire/ipv6.ts';

const C_BAD_EXTENSION = COUNTER.ip6BadExtension;
const C_BAD_OPTION = COUNTER.ip6BadOption;
const C_ROUTING = COUNTER.ip6Routing;
const C_LONG_CHAIN = COUNTER.ip6LongChain;
const C_NO_NEXT_HEADER = COUNTER.ip6NoNextHeader;
const C_ATOMIC = COUNTER.ip6AtomicFragments;

/** Nobody is told. */
export const SILENT = -1;

/** All but the fragment header say their length so: units of 8 bytes beyond the first. */
const LENGTH_AT = 1;
const UNIT_BYTES = 8;
const ROUTING_TYPE_AT = 2;
const SEGMENTS_LEFT_AT = 3;
const OPTIONS_AT = 2;
const PAD_1 = 0;
const PAD_N = 1;
/** Top two bits of an option's type. */
const ACTION_SHIFT = 6;
const SKIP = 0;
const DISCARD = 1;
const REPORT = 2;

export class ExtensionHeaders {
  /** What stands at `at`: a protocol, or HEADER_FRAGMENT. */
  next = 0;
  at = 0;
  /** Offset of the field that says `next`. */
  nextField = 0;
  problem = SILENT;
  pointer = 0;
  readonly #u8: Uint8Array;
  readonly #view: DataView;
  readonly #counters: Counters;

  constructor(u8: Uint8Array, view: DataView, counters: Counters) {
    this.#u8 = u8;
    this.#view = view;
    this.#counters = counters;
  }

  /** From the header at `ip` on, whose packet ends at `end`. */
  walk(ip: number, end: number, isToGroup: boolean): number {
    const u8 = this.#u8;
    this.problem = SILENT;
    this.nextField = ip + IP6_NEXT_HEADER;
    this.next = u8[this.nextField]!;
    this.at = ip + IP6_HEADER_BYTES;
    let mayFragment = true;
    for (let count = 0; ; count++) {
      const { next, at } = this;
      if (next === HEADER_FRAGMENT) {
        if (!mayFragment || at + FRAGMENT_HEADER_BYTES > end) return C_BAD_EXTENSION;
        const field = this.#view.getUint16(at + FRAGMENT_OFFSET);
        if ((field & (FRAGMENT_OFFSET_MASK | FRAGMENT_MORE)) !== 0) return 0;
        this.#counters.bump(C_ATOMIC);
        mayFragment = false;
        this.#advance(FRAGMENT_HEADER_BYTES);
      } else if (next === HEADER_NONE) return C_NO_NEXT_HEADER;
      else if (
        next === HEADER_HOP_BY_HOP ||
        next === HEADER_DESTINATION ||
        next === HEADER_ROUTING
      ) {
        const isMisplaced = next === HEADER_HOP_BY_HOP && count > 0;
        if (isMisplaced) return this.#refuse(C_BAD_EXTENSION, PROBLEM_NEXT_HEADER, this.nextField);
        if (at + UNIT_BYTES > end) return C_BAD_EXTENSION;
        const bytes = (u8[at + LENGTH_AT]! + 1) * UNIT_BYTES;
        if (at + bytes > end) return C_BAD_EXTENSION;
        const reason =
          next === HEADER_ROUTING ? this.#routing(at) : this.#options(at, bytes, isToGroup);
        if (reason !== 0) return reason;
        this.#advance(bytes);
      } else return 0;
      if (count === EXTENSION_HEADERS_MAX) return C_LONG_CHAIN;
    }
  }

  /**
   * The same for a packet that another has quoted, as far as `end`: stands on what it carries, and
   * judges nothing. False: that is not there.
   */
  walkQuoted(ip: number, end: number): boolean {
    const u8 = this.#u8;
    if (ip + IP6_HEADER_BYTES > end) return false;
    this.nextField = ip + IP6_NEXT_HEADER;
    this.next = u8[this.nextField]!;
    this.at = ip + IP6_HEADER_BYTES;
    for (let count = 0; count <= EXTENSION_HEADERS_MAX; count++) {
      const { next, at } = this;
      const isFragment = next === HEADER_FRAGMENT;
      if (!isFragment && next !== HEADER_HOP_BY_HOP && next !== HEADER_DESTINATION) {
        if (next !== HEADER_ROUTING) return true;
      }
      if (at + UNIT_BYTES > end) return false;
      if (isFragment && (this.#view.getUint16(at + FRAGMENT_OFFSET) & FRAGMENT_OFFSET_MASK) !== 0) {
        return false;
      }
      this.#advance(isFragment ? FRAGMENT_HEADER_BYTES : (u8[at + LENGTH_AT]! + 1) * UNIT_BYTES);
    }
    return false;
  }

  #advance(bytes: number): void {
    this.nextField = this.at;
    this.next = this.#u8[this.at]!;
    this.at += bytes;
  }

  #refuse(counter: number, problem: number, pointer: number): number {
    this.problem = problem;
    this.pointer = pointer;
    return counter;
  }

  #routing(at: number): number {
    if (this.#u8[at + SEGMENTS_LEFT_AT] === 0) return 0;
    return this.#refuse(C_ROUTING, PROBLEM_FIELD, at + ROUTING_TYPE_AT);
  }

  /** RFC 8200 4.2: type, length, value. Padding is not counted: it ends with the header. */
  #options(header: number, bytes: number, isToGroup: boolean): number {
    const u8 = this.#u8;
    const end = header + bytes;
    let known = 0;
    for (let at = header + OPTIONS_AT; at < end; ) {
      const type = u8[at]!;
      if (type === PAD_1) {
        at++;
        continue;
      }
      if (at + 2 > end || at + 2 + u8[at + 1]! > end) return C_BAD_OPTION;
      if (type !== PAD_N) {
        if (++known > EXTENSION_OPTIONS_MAX) return C_LONG_CHAIN;
        const action = type >> ACTION_SHIFT;
        if (action !== SKIP) return this.#unknownOption(action, at, isToGroup);
      }
      at += 2 + u8[at + 1]!;
    }
    return 0;
  }

  #unknownOption(action: number, at: number, isToGroup: boolean): number {
    const isTold = action === REPORT || (action !== DISCARD && !isToGroup);
    return isTold ? this.#refuse(C_BAD_OPTION, PROBLEM_OPTION, at) : C_BAD_OPTION;
  }
}
