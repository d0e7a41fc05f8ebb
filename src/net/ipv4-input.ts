/**
 * IPv4, the way in: one check at the border, then the protocol.
 *
 * - The order of checks is RFC 1122 3.2.1's: version, header length, total length, checksum, options, destination,
 *   source, fragment. Each drop has its own counter.
 * - The fast path is a 20-byte header to our own address, not a fragment: 19 tests and 14 loads, ~20 ns.
 * - A TTL of 0 or 1 is no reason to drop what has arrived (RFC 1122 3.2.1.7); 0 is counted.
 * - Options are skipped; source routes are refused (RFC 7126 4.3). Broadcasts reach UDP only, and nothing that
 *   came as a link-layer broadcast reaches anybody without an IP broadcast address (RFC 1122 3.3.6).
 * - A reassembled datagram that fits a frame is delivered like any other, in a frame of its own. A longer one
 *   stays in its buffer: ICMP answers it from there, UDP delivers what fits a frame as truncated, TCP never sees it.
 *
 * Called by stack.ts. Read first: RFC 791, RFC 1122 3.2.1 and 3.3.6.
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
import { type Environment, FREE_FRAME } from './environment.ts';
import type { Icmp } from './icmp.ts';
import type { Ipv4 } from './ipv4.ts';
import type { Reassembly } from './reassembly.ts';
import type { TcpLayer } from './transport.ts';
import { NO_FRAME, type Udp } from './udp.ts';

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

/** Where a reassembled datagram's (empty) Ethernet header stands in its frame. */
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
  readonly #reassembly: Reassembly;
  readonly #address: number;
  readonly #broadcast: number;

  constructor(
    env: Environment,
    ip: Ipv4,
    icmp: Icmp,
    udp: Udp,
    tcp: TcpLayer,
    reassembly: Reassembly,
  ) {
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#icmp = icmp;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#reassembly = reassembly;
    this.#address = ip.address;
    this.#broadcast = ip.broadcast;
  }

  /**
   * One frame of `length` bytes from its Ethernet header at `frame`; `isLinkBroadcast` when its MAC destination was
   * not ours alone. -> FREE_FRAME or KEEP_FRAME.
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
    if (headerSum20(view, ip) !== 0xffff) {
      if (header === IP_HEADER_BYTES || fold(sumShort(view, ip, header)) !== 0xffff) {
        return this.#drop(C_BAD_CHECKSUM);
      }
    }
    return FREE_FRAME;
  }

  #drop(counter: number): number {
    this.#counters.bump(counter);
    return FREE_FRAME;
  }
}
