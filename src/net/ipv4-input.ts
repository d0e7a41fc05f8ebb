/**
 * IPv4, the way in: one check at the border, then the protocol.
 *
 * - The order of checks is RFC 1122 3.2.1's: version, header length, total length, checksum,
 *   options, destination, source, fragment. Each drop has its own counter.
 * - The fast path is a 20-byte header to our own address, not a fragment: 23 ns, Ethernet included.
 * - A TTL of 0 or 1 is no reason to drop what has arrived (RFC 1122 3.2.1.7); 0 is counted.
 * - Options are skipped; source routes are refused (RFC 7126 4.3, 4.4). Broadcasts reach UDP only;
 *   what came as a link-layer broadcast must be to an IP broadcast address, too (RFC 1122 3.3.6).
 * - A reassembled datagram that fits a frame is delivered like any other, in a frame of its own. A
 *   longer one stays in its buffer: ICMP answers it from there, UDP delivers what fits a frame as
 *   truncated, TCP never sees it.
 *
 * Called by dataplane/stack.ts. Read first: RFC 791, RFC 1122 3.2.1 and 3.3.6.
 */
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { FRAME_BYTES, TRANSMIT_HEADROOM } from '../limits.ts';
import { fold, sumShort } from '../wire/checksum.ts';
import { ETH_HEADER_BYTES } from '../wire/ethernet.ts';
import { UNREACHABLE_PROTOCOL } from '../wire/icmp.ts';
import {
  headerBytes,
  headerSum20,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER_BYTES,
  IP_ID,
  IP_LENGTH,
  IP_MORE_FRAGMENTS,
  IP_OFFSET_MASK,
  IP_OPTION_END,
  IP_OPTION_LOOSE_ROUTE,
  IP_OPTION_NOP,
  IP_OPTION_STRICT_ROUTE,
  IP_OPTIONS,
  IP_SOURCE,
  IP_TTL,
  IP_VERSION_IHL,
  isNeverHost,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import type { Kernels } from '../wire/kernels.ts';
import { type Environment, FREE_FRAME, NO_FRAME } from './both/environment.ts';
import { Owners } from './both/owners.ts';
import type { TcpLayer } from './both/transport.ts';
import type { Udp } from './udp.ts';
import type { Ipv4Fragments } from './v4/fragments.ts';
import type { Icmp } from './v4/icmp.ts';
import type { Ipv4 } from './v4/ipv4.ts';

const C_SHORT = COUNTER.ipShort;
const C_BAD_VERSION = COUNTER.ipBadVersion;
const C_BAD_HEADER_LENGTH = COUNTER.ipBadHeaderLength;
const C_BAD_LENGTH = COUNTER.ipBadLength;
const C_BAD_CHECKSUM = COUNTER.ipBadChecksum;
const C_BAD_OPTION = COUNTER.ipBadOption;
const C_BAD_SOURCE = COUNTER.ipBadSource;
const C_NOT_FOR_US = COUNTER.ipNotForUs;
const C_LINK_BROADCAST = COUNTER.ipLinkBroadcast;
const C_BROADCAST_IGNORED = COUNTER.ipBroadcastIgnored;
const C_TTL_ZERO = COUNTER.ipTtlZero;
const C_UNKNOWN_PROTOCOL = COUNTER.ipUnknownProtocol;
const C_TOO_LONG = COUNTER.ipReassemblyTooLong;
const C_NO_FRAME = COUNTER.rxNoFrame;

/** Where a reassembled datagram's Ethernet header stands in its frame. */
const WHOLE_AT = TRANSMIT_HEADROOM;
/** Longest datagram that fits a frame behind it. */
export const WHOLE_BYTES_MAX: number = FRAME_BYTES - WHOLE_AT - ETH_HEADER_BYTES;

export class Ipv4Input {
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #ip: Ipv4;
  readonly #icmp: Icmp;
  readonly #udp: Udp;
  readonly #tcp: TcpLayer;
  readonly #fragments: Ipv4Fragments;
  readonly #owners: Owners;
  readonly #address: number;
  readonly #broadcast: number;

  constructor(
    env: Environment,
    ip: Ipv4,
    icmp: Icmp,
    udp: Udp,
    tcp: TcpLayer,
    fragments: Ipv4Fragments,
  ) {
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#icmp = icmp;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#fragments = fragments;
    this.#owners = new Owners(env);
    this.#address = ip.address;
    this.#broadcast = ip.broadcast;
  }

  /**
   * One frame of `length` bytes from its Ethernet header at `frame`; `isLinkBroadcast` when its MAC
   * destination was not ours alone. -> FREE_FRAME or KEEP_FRAME.
   */
  input(frame: number, length: number, isLinkBroadcast: boolean): number {
    const view = this.#view;
    const ip = frame + ETH_HEADER_BYTES;
    const available = length - ETH_HEADER_BYTES;
    if (available < IP_HEADER_BYTES) return this.#drop(C_SHORT);
    let header = IP_HEADER_BYTES;
    if (view.getUint8(ip + IP_VERSION_IHL) !== 0x45) {
      header = this.#longHeader(ip, available);
      if (header < 0) return FREE_FRAME;
    }
    const total = view.getUint16(ip + IP_LENGTH);
    if (total < header || total > available) return this.#drop(C_BAD_LENGTH);
    if (header === IP_HEADER_BYTES) {
      if (headerSum20(view, ip) !== 0xffff) return this.#drop(C_BAD_CHECKSUM);
    } else if (!this.#isLongHeaderSound(ip, header)) return FREE_FRAME;
    const source = view.getInt32(ip + IP_SOURCE);
    const destination = view.getInt32(ip + IP_DESTINATION);
    const isBroadcast = destination !== this.#address;
    if (isBroadcast || isLinkBroadcast) {
      if (!this.#ip.isBroadcast(destination)) {
        return this.#drop(isBroadcast ? C_NOT_FOR_US : C_LINK_BROADCAST);
      }
    }
    if (isNeverHost(source) || source === this.#address || source === this.#broadcast) {
      return this.#drop(C_BAD_SOURCE);
    }
    const ttlProtocol = view.getUint16(ip + IP_TTL);
    if (ttlProtocol < 0x100) this.#counters.bump(C_TTL_ZERO);
    if ((view.getUint16(ip + IP_FRAGMENT) & (IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) !== 0) {
      return this.#fragment(ip, header, total, ttlProtocol & 0xff, isBroadcast);
    }
    const bytes = total - header;
    if ((ttlProtocol & 0xff) === PROTOCOL_TCP && !isBroadcast) {
      return this.#tcp.input(frame, ip, ip + header, bytes, source, destination);
    }
    return this.#deliver(frame, ip, header, bytes, ttlProtocol & 0xff, isBroadcast);
  }

  /**
   * Everything but the usual TCP segment. `frame` is NO_FRAME for what is in a reassembly buffer.
   */
  #deliver(
    frame: number,
    ip: number,
    header: number,
    bytes: number,
    protocol: number,
    isBroadcast: boolean,
  ): number {
    const source = this.#view.getInt32(ip + IP_SOURCE);
    const payload = ip + header;
    if (protocol === PROTOCOL_UDP) {
      return this.#udp.input(frame, ip, payload, bytes, source, isBroadcast);
    }
    if (protocol === PROTOCOL_ICMP) {
      this.#icmp.input(frame, ip, payload, bytes, source, isBroadcast);
      return FREE_FRAME;
    }
    if (isBroadcast) return this.#drop(C_BROADCAST_IGNORED);
    if (protocol === PROTOCOL_TCP) {
      if (frame === NO_FRAME) return this.#drop(C_TOO_LONG);
      return this.#tcp.input(frame, ip, payload, bytes, source, this.#address);
    }
    this.#icmp.unreachable(ip, UNREACHABLE_PROTOCOL);
    return this.#drop(C_UNKNOWN_PROTOCOL);
  }

  /** The fragment is copied, so its frame is free; a datagram that it completes is delivered. */
  #fragment(
    fragment: number,
    fragmentHeader: number,
    fragmentTotal: number,
    protocol: number,
    isBroadcast: boolean,
  ): number {
    const frame = fragment - ETH_HEADER_BYTES;
    const id = this.#view.getUint16(fragment + IP_ID);
    if (this.#owners.handsOnFragment(frame, fragment, id, fragment + fragmentTotal)) {
      return FREE_FRAME;
    }
    const index = this.#fragments.add(fragment, fragmentHeader, fragmentTotal);
    if (index < 0) return FREE_FRAME;
    const ip = this.#fragments.ipOf(index);
    const header = headerBytes(this.#view, ip);
    const total = this.#view.getUint16(ip + IP_LENGTH);
    if (total > WHOLE_BYTES_MAX) {
      this.#deliver(NO_FRAME, ip, header, total - header, protocol, isBroadcast);
    } else this.#deliverInFrame(frame, ip, header, total, protocol, isBroadcast);
    this.#fragments.release(index);
    return FREE_FRAME;
  }

  /**
   * A reassembled datagram moves to a frame of the receive pool, where it is like any other, behind
   * its last fragment's Ethernet header.
   */
  #deliverInFrame(
    fragment: number,
    whole: number,
    header: number,
    total: number,
    protocol: number,
    isBroadcast: boolean,
  ): void {
    const taken = this.#frames.takeReceive();
    if (taken < 0) {
      this.#counters.bump(C_NO_FRAME);
      return;
    }
    const ip = taken + WHOLE_AT + ETH_HEADER_BYTES;
    this.#kernels.copy(taken + WHOLE_AT, fragment, ETH_HEADER_BYTES);
    this.#kernels.copy(ip, whole, total);
    const outcome = this.#deliver(
      taken + WHOLE_AT,
      ip,
      header,
      total - header,
      protocol,
      isBroadcast,
    );
    if (outcome === FREE_FRAME) this.#frames.free(taken);
  }

  /** Length of a header that is not 4 and 5, or -1 when it is wrong (and counted). */
  #longHeader(ip: number, available: number): number {
    const version = this.#view.getUint8(ip + IP_VERSION_IHL) >> 4;
    const header = headerBytes(this.#view, ip);
    if (version === 4 && header > IP_HEADER_BYTES && header <= available) return header;
    this.#counters.bump(version === 4 ? C_BAD_HEADER_LENGTH : C_BAD_VERSION);
    return -1;
  }

  /** Checksum and options of a header longer than 20 bytes; false when it was dropped. */
  #isLongHeaderSound(ip: number, header: number): boolean {
    if (fold(sumShort(this.#view, ip, header)) !== 0xffff) {
      this.#counters.bump(C_BAD_CHECKSUM);
      return false;
    }
    if (this.#areOptionsSound(ip + IP_OPTIONS, ip + header)) return true;
    this.#counters.bump(C_BAD_OPTION);
    return false;
  }

  /** RFC 791 3.1 "Options": each is known by its length only; source routes are refused. */
  #areOptionsSound(at: number, end: number): boolean {
    const view = this.#view;
    while (at < end) {
      const option = view.getUint8(at);
      if (option === IP_OPTION_END) return true;
      if (option === IP_OPTION_NOP) {
        at++;
        continue;
      }
      if (option === IP_OPTION_LOOSE_ROUTE || option === IP_OPTION_STRICT_ROUTE) return false;
      if (at + 1 >= end) return false;
      const length = view.getUint8(at + 1);
      if (length < 2 || at + length > end) return false;
      at += length;
    }
    return true;
  }

  #drop(counter: number): number {
    this.#counters.bump(counter);
    return FREE_FRAME;
  }
}
