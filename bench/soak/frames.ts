/**
 * Frames as a hostile network sends them, written in place: sound ones, and the ways in which they
 * are spoilt.
 *
 * - Every method writes one frame at `at` and returns its length, 14..1514.
 * - Whatever carries right checksums comes from a stranger: nobody else's connections are spoken
 *   for, and no ARP packet claims the address of the well-behaved client. Against these two nothing
 *   helps on an Ethernet; all else is allowed.
 *
 * Called by strangers.ts.
 */
import { finish, pseudoHeaderSum, sumShort } from '../../src/wire/checksum.ts';
import { setMac } from '../../src/wire/ethernet.ts';
import {
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_ID,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../src/wire/ipv4.ts';
import type { Kernels } from '../../src/wire/kernels.ts';
import {
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_SEQUENCE,
  TCP_WINDOW,
} from '../../src/wire/tcp.ts';
import { addressOf, CLIENT, isIpv6, portOf, SERVED_PORT, TUPLES } from './addresses.ts';
import type { Dice } from './dice.ts';
import { FrameWriter6 } from './frames6.ts';

const ETH = 14;
const IP = 20;
const FRAME_MAX = 1514;
const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;
const TYPE_IPV6 = 0x86dd;
/** Values that lengths, offsets and counts are set to. */
const EDGES = [0, 1, 2, 7, 19, 20, 21, 59, 60, 0x7f, 0x80, 0xff, 0x5dc, 0x7fff, 0x8000, 0xffff];

export interface Ends {
  /** MAC addresses as high and low words. */
  ownHigh: number;
  ownLow: number;
  serverHigh: number;
  serverLow: number;
  server: number;
}

export interface Segment {
  tuple: number;
  flags: number;
  seq: number;
  ack: number;
  window: number;
  /** Bytes of options, a multiple of 4, random. */
  options: number;
}

export function writeEthernet(view: DataView, ends: Ends, at: number, type: number): void {
  setMac(view, at, ends.serverHigh, ends.serverLow);
  setMac(view, at + 6, ends.ownHigh, ends.ownLow);
  view.setUint16(at + 12, type);
}

/** Random bytes, a multiple of four of them at least as many as asked. */
export function fill(view: DataView, dice: Dice, at: number, bytes: number): void {
  for (let i = 0; i < bytes; i += 4) view.setInt32(at + i, dice.word());
}

export class FrameWriter {
  readonly v6: FrameWriter6;
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
    this.v6 = new FrameWriter6(view, u8, kernels, dice, ends);
  }

  // --- sound frames ---

  #ethernet(at: number, type: number): void {
    writeEthernet(this.#view, this.#ends, at, type);
  }

  /** Header of a datagram with `bytes` behind it; returns the frame's length. */
  #datagram(at: number, protocol: number, source: number, bytes: number, fragment = 0): number {
    const view = this.#view;
    const ip = at + ETH;
    this.#ethernet(at, TYPE_IPV4);
    view.setInt32(ip, 0x45000000);
    view.setUint16(ip + IP_LENGTH, IP + bytes);
    view.setUint16(ip + IP_ID, this.#dice.below(256));
    view.setUint16(ip + IP_FRAGMENT, fragment);
    view.setUint16(ip + IP_TTL, (64 << 8) | protocol);
    view.setInt32(ip + IP_SOURCE, source);
    view.setInt32(ip + IP_DESTINATION, this.#ends.server);
    this.#sealIp(ip, IP);
    return ETH + IP + bytes;
  }

  /** An ARP packet from the stranger of `tuple`; to `targetHigh`/`targetLow` when it answers. */
  arp(at: number, tuple: number, operation: number): number {
    const { ownHigh, ownLow, serverHigh, serverLow, server } = this.#ends;
    const view = this.#view;
    this.#ethernet(at, TYPE_ARP);
    const arp = at + ETH;
    view.setInt32(arp, 0x00010800);
    view.setInt32(arp + 4, (0x0604 << 16) | operation);
    setMac(view, arp + 8, ownHigh, ownLow);
    view.setInt32(arp + 14, addressOf(tuple));
    setMac(view, arp + 18, serverHigh, serverLow);
    view.setInt32(arp + 24, server);
    return 60;
  }

  echo(at: number, tuple: number): number {
    const bytes = 8 + this.#dice.below(1400);
    const length = this.#datagram(at, PROTOCOL_ICMP, addressOf(tuple), bytes);
    this.#fill(at + ETH + IP, bytes);
    this.#view.setInt32(at + ETH + IP, 0x0800_0000);
    this.#sealTransport(at + ETH, IP, bytes);
    return length;
  }

  datagram(at: number, tuple: number): number {
    const bytes = 8 + this.#dice.below(600);
    const length = this.#datagram(at, PROTOCOL_UDP, addressOf(tuple), bytes);
    const udp = at + ETH + IP;
    this.#fill(udp, bytes);
    this.#view.setUint16(udp, portOf(tuple));
    this.#view.setUint16(udp + 4, bytes);
    this.#sealTransport(at + ETH, IP, bytes);
    return length;
  }

  /** A piece of a datagram; pieces of the same few identifications meet, fit, and overlap. */
  fragment(at: number, tuple: number): number {
    const dice = this.#dice;
    const bytes = 8 * (1 + dice.below(60)) + (dice.once(8) ? dice.below(8) : 0);
    const fragment = dice.below(dice.once(8) ? 0x2000 : 24) | (dice.once(4) ? 0 : 0x2000);
    const protocol = dice.pick([PROTOCOL_ICMP, PROTOCOL_UDP, PROTOCOL_TCP]);
    const length = this.#datagram(at, protocol, addressOf(tuple), bytes, fragment);
    this.#fill(at + ETH + IP, bytes);
    return length;
  }

  /** A TCP segment with `bytes` of payload that the caller has written behind `payloadAt`. */
  segment(at: number, segment: Segment, bytes: number): number {
    const { tuple, flags, seq, ack, window, options } = segment;
    const view = this.#view;
    const total = 20 + options + bytes;
    const length = isIpv6(tuple)
      ? this.v6.packet(at, PROTOCOL_TCP, tuple, total)
      : this.#datagram(at, PROTOCOL_TCP, addressOf(tuple), total);
    const tcp = this.payloadAt(at, -20, tuple);
    view.setUint16(tcp, portOf(tuple));
    view.setUint16(tcp + 2, SERVED_PORT);
    view.setInt32(tcp + TCP_SEQUENCE, seq);
    view.setInt32(tcp + TCP_ACK, ack);
    view.setUint16(tcp + TCP_DATA_OFFSET, ((20 + options) << 10) | flags);
    view.setUint16(tcp + TCP_WINDOW, window);
    view.setInt32(tcp + TCP_CHECKSUM, 0);
    if (options > 0) this.#fill(tcp + 20, options);
    if (isIpv6(tuple)) this.v6.seal(at + ETH, tcp - at - ETH, PROTOCOL_TCP, total);
    else this.#sealTransport(at + ETH, IP, total);
    return length;
  }

  /** Where a segment's payload stands. */
  payloadAt(at: number, options: number, tuple = 0): number {
    return at + ETH + (isIpv6(tuple) ? 40 : IP) + 20 + options;
  }

  /** An IP header over anything: any protocol, options, a TTL of any kind. */
  anyDatagram(at: number, tuple: number): number {
    const dice = this.#dice;
    const bytes = dice.below(1000);
    const length = this.#datagram(at, dice.below(256), addressOf(tuple), bytes);
    const ip = at + ETH;
    this.#fill(ip + IP, bytes);
    const header = dice.once(3) ? 4 * dice.below(16) : IP;
    this.#view.setUint8(ip, 0x40 | (header >> 2));
    this.#view.setUint8(ip + 8, dice.below(256));
    if (header >= IP && header <= IP + bytes) this.#sealIp(ip, header);
    return length;
  }

  /** Noise behind a destination that is mostly the server's. */
  noise(at: number): number {
    const dice = this.#dice;
    const length = ETH + dice.below(dice.once(4) ? FRAME_MAX - ETH + 1 : 100);
    this.#ethernet(at, dice.pick([TYPE_IPV4, TYPE_IPV4, TYPE_ARP, TYPE_IPV6, dice.below(0x10000)]));
    this.#fill(at + ETH, length - ETH);
    if (dice.once(3)) setMac(this.#view, at, dice.pick([-1, 0x01005e00, dice.word()]), 0xffff);
    this.#protectClient(at);
    return length;
  }

  // --- how they are spoilt ---

  /** Up to eight changes anywhere; then, every other time, checksums that are right again. */
  spoil(at: number, length: number, tuple: number): number {
    const dice = this.#dice;
    const view = this.#view;
    for (let n = 1 + dice.below(8); n > 0; n--) {
      const where = at + dice.below(dice.once(2) ? Math.min(length, 60) : length);
      const what = dice.below(6);
      if (what === 0) this.#u8[where] = dice.below(256);
      else if (what === 1) this.#u8[where] = this.#u8[where]! ^ (1 << dice.below(8));
      else if (what === 2) view.setUint16(where, dice.pick(EDGES));
      else if (what === 3) view.setInt32(where, dice.word());
      else if (what === 4) length = Math.max(ETH, length - dice.below(length));
      else length = Math.min(FRAME_MAX, length + dice.below(40));
    }
    const isPacket6 = view.getUint16(at + 12) === TYPE_IPV6;
    if (dice.once(2)) {
      if (isPacket6) this.v6.reseal(at, length, tuple);
      else this.#reseal(at, length, tuple);
    }
    if (isPacket6) this.v6.tame(at);
    this.#protectClient(at);
    return length;
  }

  /** Right sums over what is there, if it still looks like a datagram; then it is a stranger's. */
  #reseal(at: number, length: number, tuple: number): void {
    const view = this.#view;
    const ip = at + ETH;
    const header = (view.getUint8(ip) & 15) << 2;
    const total = view.getUint16(ip + IP_LENGTH);
    if (view.getUint16(at + 12) !== TYPE_IPV4 || header < IP || total < header + 8) return;
    if (total > length - ETH) return;
    view.setInt32(ip + IP_SOURCE, addressOf(tuple));
    view.setUint16(ip + header, portOf(tuple));
    this.#sealIp(ip, header);
    this.#sealTransport(ip, header, total - header);
  }

  #sealIp(ip: number, header: number): void {
    this.#view.setUint16(ip + IP_CHECKSUM, 0);
    this.#view.setUint16(ip + IP_CHECKSUM, finish(sumShort(this.#view, ip, header)), true);
  }

  /** The checksum of whatever the protocol says is there, if there is room for it. */
  #sealTransport(ip: number, header: number, bytes: number): void {
    const view = this.#view;
    const protocol = view.getUint8(ip + IP_PROTOCOL);
    const offset = protocol === PROTOCOL_TCP ? 16 : protocol === PROTOCOL_UDP ? 6 : 2;
    if (bytes < offset + 2) return;
    const at = ip + header;
    view.setUint16(at + offset, 0);
    const source = view.getInt32(ip + IP_SOURCE);
    const pseudo = pseudoHeaderSum(source, view.getInt32(ip + IP_DESTINATION), protocol, bytes);
    const seed = protocol === PROTOCOL_ICMP ? 0 : pseudo;
    view.setUint16(at + offset, finish(this.#kernels.sum(at, bytes, seed)), true);
  }

  #protectClient(at: number): void {
    const sender = at + ETH + 14;
    if (this.#view.getUint16(at + 12) !== TYPE_ARP || this.#view.getInt32(sender) !== CLIENT)
      return;
    this.#view.setInt32(sender, addressOf(this.#dice.below(TUPLES)));
  }

  #fill(at: number, bytes: number): void {
    fill(this.#view, this.#dice, at, bytes);
  }
}

/** Flags of a segment at random: mostly what a conversation has, sometimes anything. */
export const anyFlags = (dice: Dice): number =>
  dice.pick([0x10, 0x10, 0x18, 0x11, 0x02, 0x12, 0x04, 0x14, 0x01, 0x00, 0x29, dice.below(64)]);
