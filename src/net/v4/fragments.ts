/**
 * Fragments of IPv4: what must be right about one, and what a complete datagram's header becomes.
 *
 * - A datagram is known by source, destination, ID and protocol. It is given up after 30 seconds,
 *   and ICMP "time exceeded" says so if its first fragment was there (RFC 792).
 *
 * Called by net/ipv4-input.ts. Read first: RFC 791 3.2; net/both/reassembly.ts.
 */
import { COUNTER, type Counters } from '../../counters.ts';
import { finish, sumShort } from '../../wire/checksum.ts';
import {
  IP_CHECKSUM,
  IP_DATAGRAM_BYTES_MAX,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_ID,
  IP_LENGTH,
  IP_MORE_FRAGMENTS,
  IP_OFFSET_MASK,
  IP_PROTOCOL,
  IP_SOURCE,
} from '../../wire/ipv4.ts';
import { type Environment, timerRanges } from '../both/environment.ts';
import { Reassembly } from '../both/reassembly.ts';
import type { Icmp } from './icmp.ts';

const C_IN = COUNTER.ipFragmentsIn;
const C_BAD = COUNTER.ipFragmentBad;

/** As Linux: a buffer is dear. RFC 1122 3.3.2 recommends 60 to 120 s, of slower networks. */
const TIMEOUT_US = 30_000_000;

export class Ipv4Fragments {
  readonly #view: DataView;
  readonly #counters: Counters;
  readonly #reassembly: Reassembly;

  constructor(env: Environment, icmp: Icmp) {
    this.#view = env.arena.view;
    this.#counters = env.counters;
    this.#reassembly = new Reassembly(env, {
      name: 'reassembly',
      timer: timerRanges(env.limits).reassembly,
      timeoutUs: TIMEOUT_US,
      begun: () => {},
      ended: () => {},
      timedOut: (header, available) => icmp.reassemblyTimeExceeded(header, available),
    });
  }

  /**
   * One fragment: a valid datagram of `total` bytes at `ip`. -> index of the datagram that it
   * completes, or -1. `ipOf` names its bytes, and `release` must follow.
   */
  add(ip: number, header: number, total: number): number {
    const view = this.#view;
    this.#counters.bump(C_IN);
    const fragment = view.getUint16(ip + IP_FRAGMENT);
    const start = (fragment & IP_OFFSET_MASK) << 3;
    const bytes = total - header;
    const isLast = (fragment & IP_MORE_FRAGMENTS) === 0;
    const isOdd = !isLast && (bytes & 7) !== 0;
    if (bytes === 0 || isOdd || start + total > IP_DATAGRAM_BYTES_MAX) {
      this.#counters.bump(C_BAD);
      return -1;
    }
    const source = view.getInt32(ip + IP_SOURCE);
    const destination = view.getInt32(ip + IP_DESTINATION);
    const id = (view.getUint16(ip + IP_ID) << 8) | view.getUint8(ip + IP_PROTOCOL);
    const index = this.#reassembly.add(
      source, destination, id, start, ip + header, bytes, isLast, ip, header,
    ); // biome-ignore format: a list
    return index < 0 ? -1 : this.#complete(index);
  }

  /** The header is made the datagram's own (RFC 791 3.2, "reassembly procedure"). */
  #complete(index: number): number {
    const view = this.#view;
    const reassembly = this.#reassembly;
    const ip = reassembly.headerOf(index);
    const header = reassembly.headerBytesOf(index);
    const total = header + reassembly.payloadBytesOf(index);
    if (total > IP_DATAGRAM_BYTES_MAX) {
      this.#counters.bump(C_BAD);
      reassembly.release(index);
      return -1;
    }
    view.setUint16(ip + IP_LENGTH, total);
    view.setUint16(ip + IP_FRAGMENT, 0);
    view.setUint16(ip + IP_CHECKSUM, 0);
    view.setUint16(ip + IP_CHECKSUM, finish(sumShort(view, ip, header)), true);
    reassembly.noteReassembled();
    return index;
  }

  /** Arena offset of a complete datagram's IP header: as sent, but no fragment's any more. */
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
