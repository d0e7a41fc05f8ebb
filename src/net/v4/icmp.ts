/**
 * ICMP for IPv4: answers echo, reports what cannot be delivered, hands reported errors to TCP.
 *
 * - Echo is answered from the very bytes that asked, wherever they are (a frame or a reassembly
 *   buffer), so `ping -s` works up to 65,507 bytes, the largest datagram there is; the answer is
 *   never longer than the question.
 * - Errors go out only about a datagram that is whole or a first fragment, was sent to our own
 *   unicast address, and is no ICMP error itself (RFC 1122 3.2.2), within both/error-budget.ts.
 * - Errors that come in must quote a packet that we could have sent (RFC 5927); TCP checks the
 *   sequence number. Source quench (RFC 6633) and redirects are ignored.
 * - `input` borrows its bytes; nothing here keeps a frame.
 *
 * Called by net/ipv4-input.ts, net/udp.ts and fragments.ts. Read first: RFC 792; RFC 1122 3.2.2.
 */
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { TRANSMIT_HEADROOM } from '../../limits.ts';
import { finish, fold } from '../../wire/checksum.ts';
import * as wire from '../../wire/icmp.ts';
import {
  headerBytes,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER_BYTES,
  IP_LENGTH,
  IP_OFFSET_MASK,
  IP_PAYLOAD,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TOS,
  IP_VERSION_IHL,
  isNeverHost,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import type { Kernels } from '../../wire/kernels.ts';
import type { Environment } from '../both/environment.ts';
import { ErrorBudget } from '../both/error-budget.ts';
import { Owners } from '../both/owners.ts';
import type { TcpLayer } from '../both/transport.ts';
import type { Ipv4 } from './ipv4.ts';

const C_IN = COUNTER.icmpIn;
const C_SHORT = COUNTER.icmpShort;
const C_BAD_CHECKSUM = COUNTER.icmpBadChecksum;
const C_UNKNOWN = COUNTER.icmpUnknown;
const C_ECHO_IN = COUNTER.icmpEchoIn;
const C_ECHO_OUT = COUNTER.icmpEchoOut;
const C_UNREACHABLE_IN = COUNTER.icmpUnreachableIn;
const C_UNREACHABLE_OUT = COUNTER.icmpUnreachableOut;
const C_EXCEEDED_OUT = COUNTER.icmpTimeExceededOut;
const C_RATE_LIMITED = COUNTER.icmpRateLimited;
const C_IGNORED = COUNTER.icmpErrorsIgnored;
const C_BROADCAST = COUNTER.icmpBroadcastIgnored;
const C_BAD_QUOTE = COUNTER.icmpBadQuote;
const C_NO_FRAME = COUNTER.txNoFrame;

/** Bytes of an error message: as much of the datagram as 576 bytes hold (RFC 1812 4.3.2.3). */
const ERROR_BYTES_MAX = 576;
/** Precedence 6, "internetwork control" (RFC 1812 4.3.2.5). */
const ERROR_TOS = 0xc0;
/** Bytes that an error must quote beyond the IP header: ports and TCP's sequence number. */
const QUOTED_BYTES = 8;

export class Icmp {
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #ip: Ipv4;
  readonly #tcp: TcpLayer;
  readonly #budget: ErrorBudget;
  readonly #owners: Owners;

  constructor(env: Environment, ip: Ipv4, tcp: TcpLayer) {
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#tcp = tcp;
    this.#budget = new ErrorBudget(env);
    this.#owners = new Owners(env);
  }

  /**
   * One message: `bytes` at `icmp`, from a valid datagram whose header is at `ip`; `frame` is the
   * frame's Ethernet header, or NO_FRAME. May be patched in place.
   */
  input(
    frame: number,
    ip: number,
    icmp: number,
    bytes: number,
    source: number,
    isBroadcast: boolean,
  ): void {
    const counters = this.#counters;
    counters.bump(C_IN);
    if (bytes < wire.ICMP_HEADER_BYTES) {
      counters.bump(C_SHORT);
      return;
    }
    if (finish(this.#kernels.sum(icmp, bytes, 0)) !== 0) {
      counters.bump(C_BAD_CHECKSUM);
      return;
    }
    const type = this.#view.getUint8(icmp + wire.ICMP_TYPE);
    if (isBroadcast) counters.bump(C_BROADCAST);
    else if (type === wire.ICMP_ECHO) this.#echo(ip, icmp, bytes, source);
    else if (type === wire.ICMP_SOURCE_QUENCH || type === wire.ICMP_REDIRECT) {
      counters.bump(C_IGNORED);
    } else if (wire.isError(type)) this.#error(frame, icmp, bytes, type);
    else counters.bump(C_UNKNOWN); // echo replies too: nothing here asks
  }

  /** Reports that a datagram's protocol or port is not served; `code` is one of UNREACHABLE_*. */
  unreachable(ip: number, code: number): void {
    const available = this.#view.getUint16(ip + IP_LENGTH);
    if (this.#sendError(wire.ICMP_UNREACHABLE, code, ip, available)) {
      this.#counters.bump(C_UNREACHABLE_OUT);
    }
  }

  /** Reports that fragments stayed away; `available` bytes of the first one are at `ip`. */
  reassemblyTimeExceeded(ip: number, available: number): void {
    if (this.#sendError(wire.ICMP_TIME_EXCEEDED, wire.EXCEEDED_REASSEMBLY, ip, available)) {
      this.#counters.bump(C_EXCEEDED_OUT);
    }
  }

  /**
   * RFC 792 "Echo": type 0, and a checksum that follows it (RFC 1624); the rest goes back as it is.
   */
  #echo(ip: number, icmp: number, bytes: number, source: number): void {
    const view = this.#view;
    this.#counters.bump(C_ECHO_IN);
    const request = wire.ICMP_ECHO << 8;
    const sum = (~view.getUint16(icmp + wire.ICMP_CHECKSUM) & 0xffff) + (~request & 0xffff);
    view.setUint8(icmp + wire.ICMP_TYPE, wire.ICMP_ECHO_REPLY);
    const checksum = ~fold(sum) & 0xffff;
    // both mean zero, but only 0xffff is right for a reply whose every byte is zero (RFC 1624 3)
    view.setUint16(icmp + wire.ICMP_CHECKSUM, checksum === 0 ? 0xffff : checksum);
    const tos = view.getUint8(ip + IP_TOS);
    const code = this.#ip.sendDatagram(source, PROTOCOL_ICMP, tos, 0, 0, icmp, bytes);
    if (code === 0) this.#counters.bump(C_ECHO_OUT);
  }

  /** An error about a packet of ours, or so it says. */
  #error(frame: number, icmp: number, bytes: number, type: number): void {
    const view = this.#view;
    const quote = icmp + wire.ICMP_QUOTE;
    const quoted = bytes - wire.ICMP_HEADER_BYTES;
    if (!this.#isOurPacket(quote, quoted)) {
      this.#counters.bump(C_BAD_QUOTE);
      return;
    }
    this.#counters.bump(C_UNREACHABLE_IN);
    // UDP has no event for it (gate/abi.ts)
    if (view.getUint8(quote + IP_PROTOCOL) !== PROTOCOL_TCP) return;
    const code = view.getUint8(icmp + wire.ICMP_CODE);
    const isTooBig = type === wire.ICMP_UNREACHABLE && code === wire.UNREACHABLE_TOO_BIG;
    const segment = quote + headerBytes(view, quote);
    if (this.#owners.handsOnError(frame, quote, segment, icmp + bytes)) return;
    this.#tcp.icmpError(
      type,
      code,
      view.getInt32(quote + IP_SOURCE),
      view.getUint16(segment),
      view.getInt32(quote + IP_DESTINATION),
      view.getUint16(segment + 2),
      view.getInt32(segment + 4),
      isTooBig ? view.getUint16(icmp + wire.ICMP_NEXT_HOP_MTU) : 0,
    );
  }

  /** Whether a quoted header is one that we could have written, and quotes enough. */
  #isOurPacket(quote: number, quoted: number): boolean {
    const view = this.#view;
    if (quoted < IP_HEADER_BYTES + QUOTED_BYTES) return false;
    const protocol = view.getUint8(quote + IP_PROTOCOL);
    return (
      view.getUint8(quote + IP_VERSION_IHL) === 0x45 && // we send no options
      view.getInt32(quote + IP_SOURCE) === this.#ip.address &&
      (view.getUint16(quote + IP_FRAGMENT) & IP_OFFSET_MASK) === 0 &&
      (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP)
    );
  }

  /** True when the message left. `available` bytes of the datagram may be read from `ip`. */
  #sendError(type: number, code: number, ip: number, available: number): boolean {
    const view = this.#view;
    const source = view.getInt32(ip + IP_SOURCE);
    if (!this.#mayReport(ip, available)) {
      this.#counters.bump(C_IGNORED);
      return false;
    }
    if (!this.#budget.take(source, 0)) {
      this.#counters.bump(C_RATE_LIMITED);
      return false;
    }
    const neighbour = this.#ip.neighbourFor(source);
    if (neighbour < 0) return false;
    const taken = this.#frames.takeTransmit();
    if (taken < 0) {
      this.#counters.bump(C_NO_FRAME);
      return false;
    }
    const room = Math.min(ERROR_BYTES_MAX, this.#ip.linkMtu()) - IP_HEADER_BYTES;
    const quoted = Math.min(available, room - wire.ICMP_HEADER_BYTES);
    const bytes = quoted + wire.ICMP_HEADER_BYTES;
    const frame = taken + TRANSMIT_HEADROOM;
    const icmp = frame + IP_PAYLOAD;
    this.#ip.writeDatagramHeader(frame, source, PROTOCOL_ICMP, ERROR_TOS, bytes);
    view.setInt32(icmp, (type << 24) | (code << 16));
    view.setInt32(icmp + wire.ICMP_REST, 0);
    this.#kernels.copy(icmp + wire.ICMP_QUOTE, ip, quoted);
    view.setUint16(icmp + wire.ICMP_CHECKSUM, finish(this.#kernels.sum(icmp, bytes, 0)), true);
    this.#ip.transmit(frame, bytes + IP_HEADER_BYTES, neighbour);
    return true;
  }

  /** RFC 1122 3.2.2: about what an error message must never be sent. */
  #mayReport(ip: number, available: number): boolean {
    const view = this.#view;
    if (view.getInt32(ip + IP_DESTINATION) !== this.#ip.address) return false;
    if (isNeverHost(view.getInt32(ip + IP_SOURCE))) return false;
    if ((view.getUint16(ip + IP_FRAGMENT) & IP_OFFSET_MASK) !== 0) return false;
    if (view.getUint8(ip + IP_PROTOCOL) !== PROTOCOL_ICMP) return true;
    const header = headerBytes(view, ip);
    return available > header && !wire.isError(view.getUint8(ip + header + wire.ICMP_TYPE));
  }
}
