/**
 * ICMP for IPv6: answers echo, reports what cannot be delivered, hands reported errors to TCP and
 * neighbour discovery its messages.
 *
 * - As net/v4/icmp.ts: echo is answered from the bytes that asked; errors leave about whole packets
 *   and first fragments only, never about ICMP errors, never to or about groups (but for a
 *   "parameter problem" that an option asks for), and net/both/error-budget.ts bounds them. They
 *   quote as much as 1280 bytes hold (RFC 4443 2.4 c).
 * - Errors that come in must quote a packet that we could have sent; TCP checks the sequence
 *   number. They reach TCP in IPv4's words (RFC 7915 5.2), so that it need not know both.
 * - "Packet too big" about UDP or ICMP lowers the path's MTU, which those ask when they make
 *   fragments; TCP has its own (tcp/path-mtu.ts).
 * - `input` borrows its bytes; nothing here keeps a frame.
 *
 * Called by net/ipv6-input.ts, net/udp.ts and fragments.ts. Read first: RFC 4443, 5927 and 8201.
 */
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { TRANSMIT_HEADROOM } from '../../limits.ts';
import { finish, fold, pseudoHeaderSum } from '../../wire/checksum.ts';
import * as v4 from '../../wire/icmp.ts';
import * as wire from '../../wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import * as ip6 from '../../wire/ipv6.ts';
import type { Kernels } from '../../wire/kernels.ts';
import type { Environment } from '../both/environment.ts';
import { ErrorBudget } from '../both/error-budget.ts';
import { Owners } from '../both/owners.ts';
import type { TcpLayer } from '../both/transport.ts';
import type { Discovery } from './discovery.ts';
import { ExtensionHeaders } from './extension-headers.ts';
import type { Ipv6 } from './ipv6.ts';

const C_IN = COUNTER.icmp6In;
const C_SHORT = COUNTER.icmp6Short;
const C_BAD_CHECKSUM = COUNTER.icmp6BadChecksum;
const C_UNKNOWN = COUNTER.icmp6Unknown;
const C_ECHO_IN = COUNTER.icmp6EchoIn;
const C_ECHO_OUT = COUNTER.icmp6EchoOut;
const C_ERRORS_IN = COUNTER.icmp6ErrorsIn;
const C_UNREACHABLE_OUT = COUNTER.icmp6UnreachableOut;
const C_PROBLEM_OUT = COUNTER.icmp6ProblemOut;
const C_EXCEEDED_OUT = COUNTER.icmp6TimeExceededOut;
const C_RATE_LIMITED = COUNTER.icmp6RateLimited;
const C_IGNORED = COUNTER.icmp6ErrorsIgnored;
const C_BAD_QUOTE = COUNTER.icmp6BadQuote;
const C_GROUP = COUNTER.icmp6GroupIgnored;
const C_NO_FRAME = COUNTER.txNoFrame;

/** Bytes that an incoming error must quote beyond the headers: ports and TCP's sequence number. */
const QUOTED_BYTES = 8;

/** In IPv4's words, for TCP (net/both/transport.ts). */
const HOST_UNREACHABLE = 1;
const HOST_PROHIBITED = 10;

export class Icmp6 {
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #ip: Ipv6;
  readonly #discovery: Discovery;
  readonly #tcp: TcpLayer;
  readonly #budget: ErrorBudget;
  readonly #owners: Owners;
  readonly #quoted: ExtensionHeaders;

  constructor(env: Environment, ip: Ipv6, discovery: Discovery, tcp: TcpLayer) {
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#discovery = discovery;
    this.#tcp = tcp;
    this.#budget = new ErrorBudget(env);
    this.#owners = new Owners(env);
    this.#quoted = new ExtensionHeaders(env.arena.u8, env.arena.view, env.counters);
  }

  /**
   * One message: `bytes` at `icmp`, of the valid packet at `ip`, for our address `local` (0: for a
   * group of ours); `frame` is the frame's Ethernet header, or NO_FRAME. May be patched in place.
   */
  input(frame: number, ip: number, icmp: number, bytes: number, local: number): void {
    const counters = this.#counters;
    counters.bump(C_IN);
    if (bytes < wire.ICMP6_HEADER_BYTES) {
      counters.bump(C_SHORT);
      return;
    }
    if (!this.#isIntact(ip, icmp, bytes)) {
      counters.bump(C_BAD_CHECKSUM);
      return;
    }
    const type = this.#view.getUint8(icmp + wire.ICMP6_TYPE);
    const isForDiscovery =
      type === wire.ICMP6_MLD_QUERY ||
      (type >= wire.ICMP6_ROUTER_SOLICITATION && type <= wire.ICMP6_REDIRECT);
    if (isForDiscovery) this.#discovery.input(ip, icmp, bytes, type);
    else if (local === 0) counters.bump(C_GROUP);
    else if (type === wire.ICMP6_ECHO) this.#echo(ip, icmp, bytes, local);
    else if (type <= wire.ICMP6_ERROR_MAX) this.#error(frame, icmp, bytes, type);
    else counters.bump(C_UNKNOWN); // echo replies too: nothing here asks
  }

  #isIntact(ip: number, icmp: number, bytes: number): boolean {
    const addresses = this.#kernels.sum(ip + ip6.IP6_SOURCE, 2 * ip6.IP6_ADDRESS_BYTES, 0);
    const seed = addresses + pseudoHeaderSum(0, 0, ip6.PROTOCOL_ICMP6, bytes);
    return finish(this.#kernels.sum(icmp, bytes, seed)) === 0;
  }

  /** Reports that nobody listens on a datagram's port. */
  portUnreachable(ip: number): void {
    const code = wire.UNREACHABLE6_PORT;
    if (this.#sendError(wire.ICMP6_UNREACHABLE, code, 0, ip, this.#bytesOf(ip), false)) {
      this.#counters.bump(C_UNREACHABLE_OUT);
    }
  }

  /** Reports what is wrong with a packet's headers; `pointer` is an arena offset in it. */
  parameterProblem(ip: number, code: number, pointer: number): void {
    const isForGroups = code === wire.PROBLEM_OPTION;
    const type = wire.ICMP6_PARAMETER_PROBLEM;
    if (this.#sendError(type, code, pointer - ip, ip, this.#bytesOf(ip), isForGroups)) {
      this.#counters.bump(C_PROBLEM_OUT);
    }
  }

  /** Reports that fragments stayed away; `available` bytes of the first one are at `ip`. */
  reassemblyTimeExceeded(ip: number, available: number): void {
    const code = wire.EXCEEDED6_REASSEMBLY;
    if (this.#sendError(wire.ICMP6_TIME_EXCEEDED, code, 0, ip, available, false)) {
      this.#counters.bump(C_EXCEEDED_OUT);
    }
  }

  #bytesOf(ip: number): number {
    return this.#view.getUint16(ip + ip6.IP6_LENGTH) + ip6.IP6_HEADER_BYTES;
  }

  /**
   * RFC 4443 4.2: type 129, and a checksum that follows it (RFC 1624); the rest goes back as it is.
   */
  #echo(ip: number, icmp: number, bytes: number, local: number): void {
    const view = this.#view;
    this.#counters.bump(C_ECHO_IN);
    if (!this.#isAnswerable(ip)) {
      this.#counters.bump(C_IGNORED);
      return;
    }
    const change = (wire.ICMP6_ECHO_REPLY - wire.ICMP6_ECHO) << 8;
    const sum = (~view.getUint16(icmp + wire.ICMP6_CHECKSUM) & 0xffff) + change;
    view.setUint8(icmp + wire.ICMP6_TYPE, wire.ICMP6_ECHO_REPLY);
    view.setUint16(icmp + wire.ICMP6_CHECKSUM, ~fold(sum) & 0xffff);
    const trafficClass = (view.getInt32(ip) >>> 20) & 0xff;
    const token = this.#ip.destinations.tokenAt(ip + ip6.IP6_SOURCE);
    const protocol = ip6.PROTOCOL_ICMP6;
    const code = this.#ip.sendDatagram(token, local, protocol, trafficClass, 0, 0, icmp, bytes);
    if (code === 0) this.#counters.bump(C_ECHO_OUT);
  }

  /** An error about a packet of ours, or so it says. */
  #error(frame: number, icmp: number, bytes: number, type: number): void {
    const view = this.#view;
    const quote = icmp + wire.ICMP6_QUOTE;
    const local = this.#quotedLocal(quote, icmp + bytes);
    if (local === 0) {
      this.#counters.bump(C_BAD_QUOTE);
      return;
    }
    this.#counters.bump(C_ERRORS_IN);
    const token = this.#ip.destinations.tokenAt(quote + ip6.IP6_DESTINATION);
    const rest = view.getUint32(icmp + wire.ICMP6_REST);
    const mtu = Math.min(Math.max(rest, ip6.IP6_MTU_MIN), 0xffff);
    if (this.#quoted.next !== PROTOCOL_TCP) {
      if (type === wire.ICMP6_TOO_BIG) this.#ip.destinations.lowerPathMtu(token, mtu);
      return; // UDP has no event for it (abi.ts)
    }
    const segment = this.#quoted.at;
    if (this.#owners.handsOnError(frame, quote, segment, icmp + bytes)) return;
    const meaning = inIpv4Words(type, view.getUint8(icmp + wire.ICMP6_CODE));
    this.#tcp.icmpError(
      meaning >> 8,
      meaning & 0xff,
      local,
      view.getUint16(segment),
      token,
      view.getUint16(segment + 2),
      view.getInt32(segment + 4),
      type === wire.ICMP6_TOO_BIG ? mtu : 0,
    );
  }

  /**
   * Which of our addresses a quoted packet left from, if it is ours and quoted far enough; else 0.
   */
  #quotedLocal(quote: number, end: number): number {
    const quoted = this.#quoted;
    if (quote + ip6.IP6_HEADER_BYTES > end || this.#view.getUint8(quote) >> 4 !== 6) return 0;
    if (!quoted.walkQuoted(quote, end) || quoted.at + QUOTED_BYTES > end) return 0;
    const { next } = quoted;
    // our segments have no other headers
    const isPlain = quoted.at === quote + ip6.IP6_HEADER_BYTES;
    if (next === PROTOCOL_TCP ? !isPlain : next !== PROTOCOL_UDP && next !== ip6.PROTOCOL_ICMP6) {
      return 0;
    }
    return this.#ip.addresses.find(quote + ip6.IP6_SOURCE);
  }

  /** True when the message left. `available` bytes of the packet may be read from `ip`. */
  #sendError(
    type: number,
    code: number,
    rest: number,
    ip: number,
    available: number,
    isForGroups: boolean,
  ): boolean {
    const view = this.#view;
    if (!this.#mayReport(ip, available, isForGroups)) {
      this.#counters.bump(C_IGNORED);
      return false;
    }
    const from = ip + ip6.IP6_SOURCE;
    if (!this.#budget.take(view.getInt32(from), view.getInt32(from + 4))) {
      this.#counters.bump(C_RATE_LIMITED);
      return false;
    }
    const token = this.#ip.destinations.tokenAt(ip + ip6.IP6_SOURCE);
    const asked = this.#ip.addresses.find(ip + ip6.IP6_DESTINATION);
    const local = asked === 0 ? this.#ip.sourceFor(token) : asked;
    const neighbour = local === 0 ? -1 : this.#ip.neighbourFor(token);
    if (neighbour < 0) return false;
    const taken = this.#frames.takeTransmit();
    if (taken < 0) {
      this.#counters.bump(C_NO_FRAME);
      return false;
    }
    const room = ip6.IP6_MTU_MIN - ip6.IP6_HEADER_BYTES - wire.ICMP6_HEADER_BYTES;
    const bytes = Math.min(available, room) + wire.ICMP6_HEADER_BYTES;
    const frame = taken + TRANSMIT_HEADROOM;
    const icmp = frame + ip6.IP6_PAYLOAD;
    this.#ip.writeHeader(frame, token, local, ip6.PROTOCOL_ICMP6, 0, bytes);
    view.setInt32(icmp, (type << 24) | (code << 16));
    view.setInt32(icmp + wire.ICMP6_REST, rest);
    this.#kernels.copy(icmp + wire.ICMP6_QUOTE, ip, bytes - wire.ICMP6_HEADER_BYTES);
    const { addresses, destinations } = this.#ip;
    const to = destinations.sumOf(token);
    const seed = pseudoHeaderSum(addresses.sumOf(local), to, ip6.PROTOCOL_ICMP6, bytes);
    const sum = finish(this.#kernels.sum(icmp, bytes, seed));
    view.setUint16(icmp + wire.ICMP6_CHECKSUM, sum, true);
    this.#ip.transmit(frame, bytes + ip6.IP6_HEADER_BYTES, neighbour, token);
    return true;
  }

  /** Whether a packet's source can be answered at all. */
  #isAnswerable(ip: number): boolean {
    const view = this.#view;
    const source = ip + ip6.IP6_SOURCE;
    const w0 = view.getInt32(source);
    return !ip6.isNeverHost6(w0, view.getInt32(source + 4), view.getInt32(source + 8));
  }

  /** RFC 4443 2.4 (e): about what an error message must never be sent. */
  #mayReport(ip: number, available: number, isForGroups: boolean): boolean {
    const view = this.#view;
    if (!this.#isAnswerable(ip)) return false;
    const isToGroup = ip6.isMulticast(view.getInt32(ip + ip6.IP6_DESTINATION));
    if (isToGroup && !isForGroups) return false;
    // what does not show what it carries may be an error, too
    if (!this.#quoted.walkQuoted(ip, ip + available)) return true;
    const { next, at } = this.#quoted;
    if (next !== ip6.PROTOCOL_ICMP6) return true;
    if (at >= ip + available) return false;
    const type = view.getUint8(at + wire.ICMP6_TYPE);
    return type > wire.ICMP6_ERROR_MAX && type !== wire.ICMP6_REDIRECT;
  }
}

/** Type << 8 | code of the IPv4 message that says the same (RFC 7915 5.2). */
function inIpv4Words(type: number, code: number): number {
  switch (type) {
    case wire.ICMP6_UNREACHABLE:
      if (code === wire.UNREACHABLE6_PORT) return (v4.ICMP_UNREACHABLE << 8) | v4.UNREACHABLE_PORT;
      if (code === wire.UNREACHABLE6_PROHIBITED)
        return (v4.ICMP_UNREACHABLE << 8) | HOST_PROHIBITED;
      return (v4.ICMP_UNREACHABLE << 8) | HOST_UNREACHABLE;
    case wire.ICMP6_TOO_BIG:
      return (v4.ICMP_UNREACHABLE << 8) | v4.UNREACHABLE_TOO_BIG;
    case wire.ICMP6_TIME_EXCEEDED:
      return (v4.ICMP_TIME_EXCEEDED << 8) | code;
    default:
      if (code !== wire.PROBLEM_NEXT_HEADER) return v4.ICMP_PARAMETER_PROBLEM << 8;
      return (v4.ICMP_UNREACHABLE << 8) | v4.UNREACHABLE_PROTOCOL;
  }
}
