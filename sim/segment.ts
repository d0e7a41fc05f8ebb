/**
 * A frame as the observer reads it: IPv4 or IPv6, and TCP, parsed and checked from nothing but the
 * RFCs.
 *
 * - Shares no code with src/tcp; offsets and the checksum kernels are src/wire's.
 * - A frame that a stack of ours must never send (bad checksum, wrong lengths, broken options) is a
 *   Violation.
 *
 * Read first: RFC 9293 3.1, 3.2; RFC 7323; RFC 2018.
 */
import type { Arena } from '../src/arena/arena.ts';
import { headerSum20, PROTOCOL_TCP } from '../src/wire/ipv4.ts';
import { Violation } from './violation.ts';

const ETH = 14;

export class Segment {
  source = 0;
  destination = 0;
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  headerBytes = 0;
  /** Payload in the arena. */
  data = 0;
  length = 0;
  /** The two ECN bits of the IP header. */
  ecn = 0;
  // options; -1 or false: not there
  mss = -1;
  scale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  readonly sack: number[] = [];
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** False: not TCP. */
  read(at: number, frameBytes: number): boolean {
    const { view } = this.#arena;
    const ip = at + ETH;
    const type = view.getUint16(at + 12);
    if (type === 0x86dd) return this.#ipv6(ip, frameBytes - ETH);
    if (type !== 0x0800) return false;
    if (view.getUint8(ip) !== 0x45)
      throw new Violation('wire: an IP header with options or of another version');
    const total = view.getUint16(ip + 2);
    if (total + ETH > frameBytes) throw new Violation('wire: IP length exceeds the frame');
    if (headerSum20(view, ip) !== 0xffff) throw new Violation('wire: wrong IP header checksum');
    if (view.getUint8(ip + 8) === 0) throw new Violation('wire: sent with TTL 0');
    if (view.getUint8(ip + 9) !== PROTOCOL_TCP) return false;
    if (view.getUint16(ip + 6) !== 0x4000)
      throw new Violation('wire: a TCP segment that may be fragmented');
    if (view.getUint8(ip + 1) > 3) throw new Violation('wire: a type of service');
    this.ecn = view.getUint8(ip + 1);
    this.source = view.getInt32(ip + 12);
    this.destination = view.getInt32(ip + 16);
    this.#header(ip + 20, total - 20, 8);
    return true;
  }

  /**
   * RFC 8200 3; the hop limit may have been harmed on the way, nothing guards it. Of the addresses
   * the last words are kept: they say whose they are (address.ts).
   */
  #ipv6(ip: number, available: number): boolean {
    const { view } = this.#arena;
    if (view.getUint8(ip) >> 4 !== 6)
      throw new Violation('wire: an IPv6 header of another version');
    const bytes = view.getUint16(ip + 4);
    if (bytes + 40 > available) throw new Violation('wire: IPv6 length exceeds the frame');
    if (view.getUint8(ip + 6) !== PROTOCOL_TCP) return false;
    this.ecn = (view.getUint8(ip + 1) >> 4) & 3;
    this.source = view.getInt32(ip + 20);
    this.destination = view.getInt32(ip + 36);
    this.#header(ip + 40, bytes, 32);
    return true;
  }

  /** `addressBytes`: of both addresses, which stand before the header. */
  #header(tcp: number, bytes: number, addressBytes: number): void {
    const { view } = this.#arena;
    if (bytes < 20) throw new Violation('wire: a TCP segment of less than 20 bytes');
    this.sourcePort = view.getUint16(tcp);
    this.destinationPort = view.getUint16(tcp + 2);
    this.seq = view.getInt32(tcp + 4);
    this.ack = view.getInt32(tcp + 8);
    this.flags = view.getUint8(tcp + 13);
    this.window = view.getUint16(tcp + 14);
    this.headerBytes = (view.getUint8(tcp + 12) >> 4) * 4;
    this.data = tcp + this.headerBytes;
    this.length = bytes - this.headerBytes;
    if (this.headerBytes < 20 || this.length < 0)
      throw new Violation('wire: wrong TCP data offset');
    if ((view.getUint8(tcp + 12) & 15) !== 0) throw new Violation('wire: reserved bits are set');
    if (this.#sum(tcp, bytes, addressBytes) !== 0xffff)
      throw new Violation('wire: wrong TCP checksum');
    this.#options(tcp + 20, this.data);
  }

  /** Over the pseudo-header (RFC 9293 3.1), by words as they come from the wire. */
  #sum(tcp: number, bytes: number, addressBytes: number): number {
    const { view, kernels } = this.#arena;
    const swapped = (word: number): number => ((word & 0xff) << 8) | (word >>> 8);
    let seed = swapped(PROTOCOL_TCP) + swapped(bytes);
    for (let i = addressBytes; i > 0; i -= 2) seed += view.getUint16(tcp - i, true);
    return kernels.sum(tcp, bytes, seed);
  }

  #options(at: number, end: number): void {
    const { view } = this.#arena;
    this.mss = this.scale = -1;
    this.sackPermitted = this.hasTimestamps = false;
    this.sack.length = 0;
    while (at < end) {
      const kind = view.getUint8(at);
      if (kind === 0) break;
      if (kind === 1) {
        at++;
        continue;
      }
      const length = at + 1 < end ? view.getUint8(at + 1) : 0;
      if (length < 2 || at + length > end)
        throw new Violation('wire: a TCP option of impossible length');
      if (kind === 2 && length === 4) this.mss = view.getUint16(at + 2);
      else if (kind === 3 && length === 3) this.scale = view.getUint8(at + 2);
      else if (kind === 4 && length === 2) this.sackPermitted = true;
      else if (kind === 8 && length === 10) {
        this.hasTimestamps = true;
        this.tsVal = view.getInt32(at + 2);
        this.tsEcr = view.getInt32(at + 6);
      } else if (kind === 5 && length > 2 && (length - 2) % 8 === 0) {
        for (let i = at + 2; i < at + length; i += 4) this.sack.push(view.getInt32(i));
      } else throw new Violation('wire: an unknown or malformed TCP option');
      at += length;
    }
  }
}
