/**
 * Fragments of IPv6: what must be right about one, and what a complete packet's header becomes.
 *
 * - A packet is known by source, destination and a 32-bit ID. It is given up after 60 seconds, and
 *   ICMPv6 "time exceeded" says so if its first fragment was there (RFC 8200 4.5).
 * - Fragments whose length is no multiple of 8, or that reach beyond 65,535 bytes, are refused with
 *   a "parameter problem".
 * - The first fragment must hold all headers up to the transport's (RFC 7112 5): else nobody in
 *   between could have judged it.
 * - Of the headers before the fragment header only IPv6's own goes with the complete packet; the
 *   others were judged in each fragment.
 *
 * Called by net/ipv6-input.ts. Read first: RFC 8200 4.5; net/both/reassembly.ts.
 */
import { COUNTER, type Counters } from '../../counters.ts';
import { PROBLEM_FIELD, PROBLEM_INCOMPLETE_CHAIN } from '../../wire/icmpv6.ts';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID,
  FRAGMENT_MORE,
  FRAGMENT_OFFSET,
  FRAGMENT_OFFSET_MASK,
  IP6_HEADER_BYTES,
  IP6_LENGTH,
  IP6_NEXT_HEADER,
  IP6_PAYLOAD_BYTES_MAX,
  IP6_SOURCE,
} from '../../wire/ipv6.ts';
import { type Environment, timerRanges } from '../both/environment.ts';
import { Reassembly } from '../both/reassembly.ts';
import type { Destinations } from './destinations.ts';
import { ExtensionHeaders, SILENT } from './extension-headers.ts';
import type { Icmp6 } from './icmpv6.ts';

const C_IN = COUNTER.ipFragmentsIn;
const C_BAD = COUNTER.ipFragmentBad;

/** RFC 8200 4.5. */
const TIMEOUT_US = 60_000_000;
/** Of a transport header, that the first fragment must hold. */
const TRANSPORT_BYTES = 8;

export class Ipv6Fragments {
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #counters: Counters;
  readonly #destinations: Destinations;
  readonly #icmp: Icmp6;
  readonly #first: ExtensionHeaders;
  readonly #reassembly: Reassembly;

  constructor(env: Environment, destinations: Destinations, icmp: Icmp6) {
    this.#view = env.arena.view;
    this.#u8 = env.arena.u8;
    this.#counters = env.counters;
    this.#destinations = destinations;
    this.#icmp = icmp;
    this.#first = new ExtensionHeaders(env.arena.u8, env.arena.view, env.counters);
    this.#reassembly = new Reassembly(env, {
      name: 'ipv6 reassembly',
      timer: timerRanges(env.limits).reassembly6,
      timeoutUs: TIMEOUT_US,
      begun: (token) => destinations.hold(token),
      ended: (token) => destinations.release(token),
      timedOut: (header, available) => icmp.reassemblyTimeExceeded(header, available),
    });
  }

  /**
   * One fragment, whose fragment header stands at `fragment` in the packet at `ip` that ends at
   * `end`, for our address `local`. -> index of the packet that it completes, or -1. `ipOf` names
   * its bytes, and `release` must follow.
   */
  add(ip: number, fragment: number, end: number, local: number): number {
    const view = this.#view;
    this.#counters.bump(C_IN);
    const field = view.getUint16(fragment + FRAGMENT_OFFSET);
    const start = field & FRAGMENT_OFFSET_MASK;
    const isLast = (field & FRAGMENT_MORE) === 0;
    const at = fragment + FRAGMENT_HEADER_BYTES;
    const bytes = end - at;
    if (bytes === 0) return this.#refuse(ip, SILENT, 0);
    if (!isLast && (bytes & 7) !== 0) return this.#refuse(ip, PROBLEM_FIELD, ip + IP6_LENGTH);
    if (start + bytes > IP6_PAYLOAD_BYTES_MAX) {
      return this.#refuse(ip, PROBLEM_FIELD, fragment + FRAGMENT_OFFSET);
    }
    if (start === 0 && !this.#hasWholeChain(ip, end)) {
      return this.#refuse(ip, PROBLEM_INCOMPLETE_CHAIN, ip);
    }
    // The header that is kept is the complete packet's: no fragment header follows it any more.
    if (start === 0) this.#u8[ip + IP6_NEXT_HEADER] = this.#u8[fragment]!;
    const source = this.#destinations.tokenAt(ip + IP6_SOURCE);
    const id = view.getInt32(fragment + FRAGMENT_ID);
    const index = this.#reassembly.add(
      source, local, id, start, at, bytes, isLast, ip, IP6_HEADER_BYTES,
    ); // biome-ignore format: a list
    if (index < 0) return -1;
    view.setUint16(this.ipOf(index) + IP6_LENGTH, this.#reassembly.payloadBytesOf(index));
    this.#reassembly.noteReassembled();
    return index;
  }

  #hasWholeChain(ip: number, end: number): boolean {
    return this.#first.walkQuoted(ip, end) && this.#first.at + TRANSPORT_BYTES <= end;
  }

  #refuse(ip: number, problem: number, pointer: number): number {
    this.#counters.bump(C_BAD);
    if (problem !== SILENT) this.#icmp.parameterProblem(ip, problem, pointer);
    return -1;
  }

  /** Arena offset of a complete packet's IPv6 header. */
  ipOf(index: number): number {
    return this.#reassembly.headerOf(index);
  }

  release(index: number): void {
    this.#reassembly.release(index);
  }

  expire(): void {
    this.#reassembly.expire();
  }
}
