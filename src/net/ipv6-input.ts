/**
 * IPv6, the way in: one check at the border, then the protocol.
 *
 * - The order of checks: version, length, destination, source, extension headers, fragment. Each
 *   drop has its own counter.
 * - The fast path is a TCP segment to one of our addresses with no header between.
 * - A group reaches ICMPv6 (neighbour discovery) only. Nothing that came to a link-layer group
 *   reaches anybody under an address that is no group.
 * - :: is a source for neighbour discovery alone; our own address is nobody else's.
 * - A reassembled packet that fits a frame is delivered like any other, in a frame of its own; a
 *   longer one stays in its buffer, as in IPv4.
 *
 * Called by dataplane/stack.ts. Read first: RFC 8200 3 and 4; RFC 4443 for what a sender is told.
 */
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { TRANSMIT_HEADROOM } from '../limits.ts';
import { ETH_HEADER_BYTES } from '../wire/ethernet.ts';
import { PROBLEM_NEXT_HEADER } from '../wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  ALL_NODES,
  FRAGMENT_ID,
  HEADER_FRAGMENT,
  IP6_DESTINATION,
  IP6_HEADER_BYTES,
  IP6_LENGTH,
  IP6_NEXT_HEADER,
  IP6_SOURCE,
  IP6_VERSION,
  isLinkGroup,
  isMulticast,
  isNeverHost6,
  isUnspecified,
  PROTOCOL_ICMP6,
  SOLICITED_0,
  SOLICITED_2,
  SOLICITED_3,
} from '../wire/ipv6.ts';
import type { Kernels } from '../wire/kernels.ts';
import { type Environment, FREE_FRAME, NO_FRAME } from './both/environment.ts';
import { Owners } from './both/owners.ts';
import type { TcpLayer } from './both/transport.ts';
import { WHOLE_BYTES_MAX } from './ipv4-input.ts';
import type { Udp } from './udp.ts';
import type { Addresses6 } from './v6/addresses.ts';
import type { Destinations } from './v6/destinations.ts';
import { ExtensionHeaders, SILENT } from './v6/extension-headers.ts';
import type { Ipv6Fragments } from './v6/fragments.ts';
import type { Icmp6 } from './v6/icmpv6.ts';
import type { Ipv6 } from './v6/ipv6.ts';

const C_SHORT = COUNTER.ip6Short;
const C_BAD_VERSION = COUNTER.ip6BadVersion;
const C_BAD_LENGTH = COUNTER.ip6BadLength;
const C_BAD_SOURCE = COUNTER.ip6BadSource;
const C_NOT_FOR_US = COUNTER.ip6NotForUs;
const C_LINK_GROUP = COUNTER.ip6LinkGroup;
const C_UNKNOWN_NEXT_HEADER = COUNTER.ip6UnknownNextHeader;
const C_TOO_LONG = COUNTER.ipReassemblyTooLong;
const C_NO_FRAME = COUNTER.rxNoFrame;
const C_FRAGMENT_BAD = COUNTER.ipFragmentBad;

/** What `destination` answers for a group of ours; our addresses are 1 and up. */
const GROUP = 0;
const NOT_FOR_US = -1;
/** Where a reassembled packet's Ethernet header stands in its frame. */
const WHOLE_AT = TRANSMIT_HEADROOM;

export class Ipv6Input {
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #addresses: Addresses6;
  readonly #destinations: Destinations;
  readonly #icmp: Icmp6;
  readonly #udp: Udp;
  readonly #tcp: TcpLayer;
  readonly #fragments: Ipv6Fragments;
  readonly #owners: Owners;
  readonly #headers: ExtensionHeaders;
  /** What is being delivered was reassembled. */
  #isWhole = false;
  constructor(
    env: Environment,
    ip: Ipv6,
    icmp: Icmp6,
    udp: Udp,
    tcp: TcpLayer,
    fragments: Ipv6Fragments,
  ) {
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#addresses = ip.addresses;
    this.#destinations = ip.destinations;
    this.#icmp = icmp;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#fragments = fragments;
    this.#owners = new Owners(env);
    this.#headers = new ExtensionHeaders(env.arena.u8, env.arena.view, env.counters);
  }

  /**
   * One frame of `length` bytes from its Ethernet header at `frame`; `isFromLinkGroup` when its MAC
   * destination was not ours alone. -> FREE_FRAME or KEEP_FRAME.
   */
  input(frame: number, length: number, isFromLinkGroup: boolean): number {
    const view = this.#view;
    const ip = frame + ETH_HEADER_BYTES;
    const available = length - ETH_HEADER_BYTES;
    if (available < IP6_HEADER_BYTES) return this.#drop(C_SHORT);
    if (view.getUint8(ip + IP6_VERSION) >> 4 !== 6) return this.#drop(C_BAD_VERSION);
    const bytes = view.getUint16(ip + IP6_LENGTH);
    if (bytes > available - IP6_HEADER_BYTES) return this.#drop(C_BAD_LENGTH);
    const local = this.#destination(ip + IP6_DESTINATION);
    if (local === NOT_FOR_US) return this.#drop(C_NOT_FOR_US);
    if (isFromLinkGroup && local !== GROUP) return this.#drop(C_LINK_GROUP);
    if (!this.#isSourceSound(ip + IP6_SOURCE)) return this.#drop(C_BAD_SOURCE);
    if (view.getUint8(ip + IP6_NEXT_HEADER) === PROTOCOL_TCP && local !== GROUP) {
      return this.#segment(frame, ip, ip + IP6_HEADER_BYTES, bytes, local);
    }
    return this.#deliver(frame, ip, ip + IP6_HEADER_BYTES + bytes, local);
  }

  /** Local token of the destination at `at`; GROUP if it is a group that we are in; NOT_FOR_US. */
  #destination(at: number): number {
    const view = this.#view;
    const first = view.getInt32(at);
    if (!isMulticast(first)) {
      const local = this.#addresses.find(at);
      return local === 0 ? NOT_FOR_US : local;
    }
    const w1 = view.getInt32(at + 4);
    const w2 = view.getInt32(at + 8);
    const w3 = view.getInt32(at + 12);
    if (isLinkGroup(first, w1, w2, w3, ALL_NODES)) return this.#addresses.isOn ? GROUP : NOT_FOR_US;
    if (first !== SOLICITED_0 || w1 !== 0 || w2 !== SOLICITED_2) return NOT_FOR_US;
    if ((w3 & SOLICITED_3) !== SOLICITED_3) return NOT_FOR_US;
    return this.#addresses.hasSolicited(w3 & 0xff_ffff) ? GROUP : NOT_FOR_US;
  }

  /**
   * Whether somebody can have sent from there: a host, or :: (which only neighbour discovery
   * answers). An address that is only tentative, or a duplicate, is somebody else's: its holder
   * speaks from it, and says so first (RFC 4862 5.4.4).
   */
  #isSourceSound(at: number): boolean {
    const view = this.#view;
    const w0 = view.getInt32(at);
    const w1 = view.getInt32(at + 4);
    const w2 = view.getInt32(at + 8);
    if (isNeverHost6(w0, w1, w2)) return isUnspecified(view, at);
    return !this.#addresses.isOurs(this.#addresses.tokenOf(w0, w1, w2, view.getInt32(at + 12)));
  }

  #segment(frame: number, ip: number, segment: number, bytes: number, local: number): number {
    const source = ip + IP6_SOURCE;
    if (isUnspecified(this.#view, source)) return this.#drop(C_BAD_SOURCE);
    const remote = this.#destinations.tokenAt(source);
    return this.#tcp.input(frame, ip, segment, bytes, remote, local);
  }

  /**
   * Everything but the usual TCP segment: the packet at `ip` ends at `end`. `frame` is NO_FRAME
   * when the bytes are in a reassembly buffer.
   */
  #deliver(frame: number, ip: number, end: number, local: number): number {
    const headers = this.#headers;
    const reason = headers.walk(ip, end, local === GROUP);
    if (reason !== 0) {
      if (headers.problem !== SILENT) {
        this.#icmp.parameterProblem(ip, headers.problem, headers.pointer);
      }
      return this.#drop(reason);
    }
    const { next, at } = headers;
    const bytes = end - at;
    if (next === PROTOCOL_ICMP6) {
      this.#icmp.input(frame, ip, at, bytes, local);
      return FREE_FRAME;
    }
    if (local === GROUP) return this.#drop(C_LINK_GROUP);
    if (next === PROTOCOL_TCP) {
      if (frame === NO_FRAME) return this.#drop(C_TOO_LONG);
      return this.#segment(frame, ip, at, bytes, local);
    }
    if (next === PROTOCOL_UDP) {
      if (isUnspecified(this.#view, ip + IP6_SOURCE)) return this.#drop(C_BAD_SOURCE);
      return this.#udp.input6(frame, ip, at, bytes, local);
    }
    if (next === HEADER_FRAGMENT) return this.#fragment(frame, ip, at, end, local);
    this.#icmp.parameterProblem(ip, PROBLEM_NEXT_HEADER, headers.nextField);
    return this.#drop(C_UNKNOWN_NEXT_HEADER);
  }

  /** The fragment is copied, so its frame is free; a packet that it completes is delivered. */
  #fragment(frame: number, piece: number, header: number, pieceEnd: number, local: number): number {
    // a reassembled packet that holds a fragment again is nobody's work but an attacker's
    if (frame === NO_FRAME || this.#isWhole) return this.#drop(C_FRAGMENT_BAD);
    if (isUnspecified(this.#view, piece + IP6_SOURCE)) return this.#drop(C_BAD_SOURCE);
    const id = this.#view.getInt32(header + FRAGMENT_ID);
    if (this.#owners.handsOnFragment(frame, piece, id, pieceEnd)) return FREE_FRAME;
    const index = this.#fragments.add(piece, header, pieceEnd, local);
    if (index < 0) return FREE_FRAME;
    const ip = this.#fragments.ipOf(index);
    const total = this.#view.getUint16(ip + IP6_LENGTH) + IP6_HEADER_BYTES;
    this.#isWhole = true;
    if (total > WHOLE_BYTES_MAX) this.#deliver(NO_FRAME, ip, ip + total, local);
    else this.#deliverInFrame(frame, ip, total, local);
    this.#isWhole = false;
    this.#fragments.release(index);
    return FREE_FRAME;
  }

  /**
   * A reassembled packet moves to a frame of the receive pool, where it is like any other, behind
   * its last fragment's Ethernet header.
   */
  #deliverInFrame(fragment: number, whole: number, total: number, local: number): void {
    const taken = this.#frames.takeReceive();
    if (taken < 0) {
      this.#counters.bump(C_NO_FRAME);
      return;
    }
    const ip = taken + WHOLE_AT + ETH_HEADER_BYTES;
    this.#kernels.copy(taken + WHOLE_AT, fragment, ETH_HEADER_BYTES);
    this.#kernels.copy(ip, whole, total);
    if (this.#deliver(taken + WHOLE_AT, ip, ip + total, local) === FREE_FRAME) {
      this.#frames.free(taken);
    }
  }

  #drop(counter: number): number {
    this.#counters.bump(counter);
    return FREE_FRAME;
  }
}
