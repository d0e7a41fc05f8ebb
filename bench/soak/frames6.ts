/**
 * The same over IPv6: packets with and without extension headers, fragments, ICMPv6 and everything
 * that neighbour discovery may be told.
 *
 * - As in frames.ts, what carries right checksums comes from a stranger; and nobody claims the
 *   server's address, which it would have to give up while it asks for it (RFC 4862 5.4.4).
 * - A fragment never says that a fragment is in it: only of those it is not counted what became of
 *   them.
 *
 * Called by frames.ts. Read first: RFC 8200 4; RFC 4861 4.
 */
import { finish, pseudoHeaderSum } from '../../src/wire/checksum.ts';
import { ETH_TYPE_IPV6, setMac } from '../../src/wire/ethernet.ts';
import { ICMP6_NEIGHBOUR_ADVERTISEMENT, NA_OVERRIDE, NA_SOLICITED } from '../../src/wire/icmpv6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/wire/ipv4.ts';
import {
  HEADER_DESTINATION,
  HEADER_FRAGMENT,
  HEADER_HOP_BY_HOP,
  HEADER_NONE,
  HEADER_ROUTING,
  IP6_DESTINATION,
  IP6_HOP_LIMIT,
  IP6_LENGTH,
  IP6_NEXT_HEADER,
  IP6_SOURCE,
  PROTOCOL_ICMP6,
} from '../../src/wire/ipv6.ts';
import type { Kernels } from '../../src/wire/kernels.ts';
import { portOf, SERVER6, stranger6Of, type Words } from './addresses.ts';
import type { Dice } from './dice.ts';
import { type Ends, fill, writeEthernet } from './frames.ts';

const ETH = 14;
const IP = 40;
const HEADERS = [
  HEADER_HOP_BY_HOP,
  HEADER_DESTINATION,
  HEADER_DESTINATION,
  HEADER_ROUTING,
] as const;
/**
 * MLD query, router solicitation and advertisement, neighbour solicitation and advertisement,
 * redirect, and what is none.
 */
const DISCOVERY = [130, 133, 134, 135, 135, 136, 136, 137, 138] as const;
const ALL_NODES: Words = [0xff02_0000 | 0, 0, 0, 1];
const SOLICITED: Words = [0xff02_0000 | 0, 0, 1, 0xff00_0000 | (SERVER6[3] & 0xff_ffff)];
const UNSPECIFIED: Words = [0, 0, 0, 0];

export class FrameWriter6 {
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #kernels: Kernels;
  readonly #dice: Dice;
  readonly #ends: Ends;

  constructor(view: DataView, u8: Uint8Array, kernels: Kernels, dice: Dice, ends: Ends) {
    this.#view = view;
    this.#u8 = u8;
    this.#kernels = kernels;
    this.#dice = dice;
    this.#ends = ends;
  }

  /** Header of a packet with `bytes` behind it; returns the frame's length. */
  packet(at: number, next: number, tuple: number, bytes: number): number {
    const view = this.#view;
    const ip = at + ETH;
    writeEthernet(view, this.#ends, at, ETH_TYPE_IPV6);
    view.setInt32(ip, 0x6000_0000);
    view.setUint16(ip + IP6_LENGTH, bytes);
    view.setUint8(ip + IP6_NEXT_HEADER, next);
    view.setUint8(ip + IP6_HOP_LIMIT, 64);
    this.#address(ip + IP6_SOURCE, stranger6Of(tuple));
    this.#address(ip + IP6_DESTINATION, SERVER6);
    return ETH + IP + bytes;
  }

  #address(at: number, words: Words): void {
    for (let i = 0; i < 4; i++) this.#view.setInt32(at + 4 * i, words[i]!);
  }

  echo(at: number, tuple: number): number {
    const bytes = 8 + this.#dice.below(1400);
    const length = this.packet(at, PROTOCOL_ICMP6, tuple, bytes);
    this.#payload(at + ETH + IP, PROTOCOL_ICMP6, tuple, bytes);
    this.seal(at + ETH, IP, PROTOCOL_ICMP6, bytes);
    return length;
  }

  datagram(at: number, tuple: number): number {
    const bytes = 8 + this.#dice.below(600);
    const length = this.packet(at, PROTOCOL_UDP, tuple, bytes);
    this.#payload(at + ETH + IP, PROTOCOL_UDP, tuple, bytes);
    this.seal(at + ETH, IP, PROTOCOL_UDP, bytes);
    return length;
  }

  /** Something that begins as `protocol` does: an echo request, a datagram, a segment, anything. */
  #payload(at: number, protocol: number, tuple: number, bytes: number): void {
    const view = this.#view;
    fill(view, this.#dice, at, bytes);
    if (bytes < 8) return;
    if (protocol === PROTOCOL_ICMP6) view.setInt32(at, 0x8000_0000 | 0);
    else view.setUint16(at, portOf(tuple));
    if (protocol === PROTOCOL_UDP) view.setUint16(at + 4, bytes);
  }

  /** Up to ten extension headers, sound and unsound, and then something, or nothing. */
  chain(at: number, tuple: number): number {
    const dice = this.#dice;
    const view = this.#view;
    const protocol = dice.pick([
      PROTOCOL_ICMP6,
      PROTOCOL_UDP,
      PROTOCOL_TCP,
      HEADER_NONE,
      dice.below(256),
    ]);
    const bytes = dice.once(4) ? dice.below(9) : 8 + dice.below(400);
    let field = at + ETH + IP6_NEXT_HEADER;
    let header = at + ETH + IP;
    this.packet(at, protocol, tuple, 0);
    for (let n = 1 + dice.below(dice.once(4) ? 10 : 3); n > 0; n--) {
      const isFragment = dice.once(6); // an atomic one, mostly (RFC 6946)
      const units = isFragment || dice.once(2) ? 0 : dice.below(4);
      view.setUint8(field, isFragment ? HEADER_FRAGMENT : dice.pick(HEADERS));
      fill(view, dice, header, 8 * (units + 1));
      if (isFragment) view.setUint16(header + 2, dice.once(4) ? dice.below(0x10000) : 0);
      else this.#options(header, units);
      field = header;
      header += 8 * (units + 1);
    }
    view.setUint8(field, protocol);
    const before = header - at - ETH - IP;
    view.setUint16(at + ETH + IP6_LENGTH, before + bytes);
    this.#payload(header, protocol, tuple, bytes);
    this.seal(at + ETH, IP + before, protocol, bytes);
    this.tame(at);
    return header + bytes - at;
  }

  /**
   * One option that fills the header: padding, one that is skipped, one that is refused; or what
   * there is.
   */
  #options(header: number, units: number): void {
    const dice = this.#dice;
    this.#view.setUint8(header + 1, dice.once(8) ? dice.below(256) : units);
    if (dice.once(4)) return;
    this.#view.setUint8(header + 2, dice.pick([1, 1, 5, 0x1e, 0x5e, 0x9e, 0xde]));
    this.#view.setUint8(header + 3, 8 * units + 4);
  }

  /** A piece of a packet; pieces of the same few identifications meet, fit, and overlap. */
  fragment(at: number, tuple: number): number {
    const dice = this.#dice;
    const view = this.#view;
    const bytes = 8 * (1 + dice.below(60)) + (dice.once(8) ? dice.below(8) : 0);
    const length = this.packet(at, HEADER_FRAGMENT, tuple, 8 + bytes);
    const header = at + ETH + IP;
    const place = dice.below(dice.once(8) ? 0x2000 : 24);
    view.setUint16(header, dice.pick([PROTOCOL_ICMP6, PROTOCOL_UDP, PROTOCOL_TCP]) << 8);
    view.setUint16(header + 2, (place << 3) | (dice.once(4) ? 0 : 1));
    view.setInt32(header + 4, dice.below(256));
    fill(view, dice, header + 8, bytes);
    return length;
  }

  /** An error about a packet that the server may have sent: to this stranger, of some protocol. */
  error(at: number, tuple: number): number {
    const dice = this.#dice;
    const view = this.#view;
    const bytes = 8 + dice.below(100);
    const length = this.packet(at, PROTOCOL_ICMP6, tuple, bytes);
    const icmp = at + ETH + IP;
    fill(view, dice, icmp, bytes);
    view.setUint16(icmp, (dice.below(6) << 8) | dice.below(8));
    view.setInt32(icmp + 4, dice.pick([0, 1279, 1280, 1500, dice.word()]));
    if (bytes >= 8 + IP + 8) {
      const quote = icmp + 8;
      view.setInt32(quote, 0x6000_0000);
      view.setUint8(quote + IP6_NEXT_HEADER, dice.pick([PROTOCOL_TCP, PROTOCOL_UDP, 44, 60]));
      this.#address(quote + IP6_SOURCE, SERVER6);
      this.#address(quote + IP6_DESTINATION, stranger6Of(tuple));
      view.setUint16(quote + IP + 2, portOf(tuple));
    }
    this.seal(at + ETH, IP, PROTOCOL_ICMP6, bytes);
    return length;
  }

  /**
   * Neighbour and router discovery, from the link as it must be or not, with options of any kind.
   */
  discovery(at: number, tuple: number): number {
    const dice = this.#dice;
    const view = this.#view;
    const type = dice.pick(DISCOVERY);
    const bytes = (type === 134 ? 16 : type === 133 ? 8 : 24) + 8 * dice.below(5);
    const length = this.packet(at, PROTOCOL_ICMP6, tuple, bytes);
    const ip = at + ETH;
    const icmp = ip + IP;
    view.setUint8(ip + IP6_HOP_LIMIT, dice.once(8) ? dice.below(256) : 255);
    if (dice.once(2)) this.#address(ip + IP6_DESTINATION, dice.pick([ALL_NODES, SOLICITED]));
    if (dice.once(8)) this.#address(ip + IP6_SOURCE, UNSPECIFIED);
    // link-local, as routers are
    else if (dice.once(2)) view.setInt32(ip + IP6_SOURCE, 0xfe80_0000 | 0);
    fill(view, dice, icmp, bytes);
    view.setUint16(icmp, (type << 8) | (dice.once(8) ? dice.below(256) : 0));
    const isToUs = type === 135 && !dice.once(4);
    if (bytes >= 24 && type !== 134) this.#address(icmp + 8, isToUs ? SERVER6 : stranger6Of(tuple));
    for (let option = icmp + (type === 134 ? 16 : 24); option + 8 <= icmp + bytes; option += 8) {
      if (dice.once(8)) continue;
      view.setUint16(
        option,
        (dice.pick([1, 2, 3, 5, 14]) << 8) | (dice.once(8) ? dice.below(6) : 1),
      );
    }
    this.seal(ip, IP, PROTOCOL_ICMP6, bytes);
    return length;
  }

  /** The answer to a solicitation of the server's. */
  advertisement(at: number, tuple: number): number {
    const { ownHigh, ownLow } = this.#ends;
    const view = this.#view;
    const length = this.packet(at, PROTOCOL_ICMP6, tuple, 32);
    const icmp = at + ETH + IP;
    view.setUint8(at + ETH + IP6_HOP_LIMIT, 255);
    view.setInt32(icmp, ICMP6_NEIGHBOUR_ADVERTISEMENT << 24);
    view.setInt32(icmp + 4, NA_SOLICITED | NA_OVERRIDE);
    this.#address(icmp + 8, stranger6Of(tuple));
    view.setUint16(icmp + 24, 0x0201);
    setMac(view, icmp + 26, ownHigh, ownLow);
    this.seal(at + ETH, IP, PROTOCOL_ICMP6, 32);
    return length;
  }

  /** A header over anything. */
  any(at: number, tuple: number): number {
    const bytes = this.#dice.below(1000);
    const length = this.packet(at, this.#dice.below(256), tuple, bytes);
    fill(this.#view, this.#dice, at + ETH + IP, bytes);
    this.#view.setUint8(at + ETH + IP6_HOP_LIMIT, this.#dice.below(256));
    this.tame(at);
    return length;
  }

  /** Right sums over what is there, if it still looks like a packet; then it is a stranger's. */
  reseal(at: number, length: number, tuple: number): void {
    const view = this.#view;
    const ip = at + ETH;
    const bytes = view.getUint16(ip + IP6_LENGTH);
    if (length < ETH + IP + 8 || bytes < 8 || bytes > length - ETH - IP) return;
    this.#address(ip + IP6_SOURCE, stranger6Of(tuple));
    const next = view.getUint8(ip + IP6_NEXT_HEADER);
    if (next === PROTOCOL_TCP || next === PROTOCOL_UDP) view.setUint16(ip + IP, portOf(tuple));
    this.seal(ip, IP, next, bytes);
  }

  /** No fragment of a fragment, and nobody who claims the server's address. */
  tame(at: number): void {
    const u8 = this.#u8;
    const next = at + ETH + IP6_NEXT_HEADER;
    const first = at + ETH + IP;
    if (u8[next] === HEADER_FRAGMENT && u8[first] === HEADER_FRAGMENT) u8[first] = PROTOCOL_UDP;
    if (u8[next] === PROTOCOL_ICMP6 && u8[first] === ICMP6_NEIGHBOUR_ADVERTISEMENT) {
      if (this.#view.getInt32(first + 20) === SERVER6[3]) u8[first] = 0;
    }
  }

  /** The checksum of `protocol` over `bytes` behind `header` bytes, if there is room for it. */
  seal(ip: number, header: number, protocol: number, bytes: number): void {
    const view = this.#view;
    const isIcmp = protocol === PROTOCOL_ICMP6;
    if (!isIcmp && protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return;
    const offset = protocol === PROTOCOL_TCP ? 16 : protocol === PROTOCOL_UDP ? 6 : 2;
    if (bytes < offset + 2) return;
    const at = ip + header;
    view.setUint16(at + offset, 0);
    const addresses = this.#kernels.sum(ip + IP6_SOURCE, 32, 0);
    const seed = addresses + pseudoHeaderSum(0, 0, protocol, bytes);
    view.setUint16(at + offset, finish(this.#kernels.sum(at, bytes, seed)), true);
  }
}
