/**
 * IPv4, the way out: routes, headers, fragments.
 *
 * - One address, one prefix, one gateway: on-link by prefix, else the gateway, else CODE.NO_ROUTE.
 * - A neighbour index is a hint, never a claim: `transmit` compares the entry's address with the
 *   next hop that the frame asks for and looks it up again when the entry has gone to someone else.
 *   So flows may keep it for ever.
 * - `writeHeader` is for packets that fit the MTU and must not be fragmented (TCP). `sendDatagram`
 *   is for UDP and ICMP: fragments what does not fit and lets routers do the same, because
 *   datagrams keep no path MTU.
 * - `transmit` consumes its frame, always. Broadcast is never sent, and there is no loopback.
 * - What is IPv4's own (address arithmetic, header layout, ARP) stays in net/v4; TCP and UDP only
 *   pass addresses on, and net/ip.ts chooses between this and net/v6/ipv6.ts.
 *
 * Called by net/ip.ts, UDP, ICMP. Read first: RFC 791; RFC 1122 3.3.1; RFC 6864 for the ID field.
 */
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { CODE } from '../../gate/abi.ts';
import { ETHERNET_MTU, TRANSMIT_HEADROOM } from '../../limits.ts';
import { assert, VERIFY } from '../../verify.ts';
import { finish } from '../../wire/checksum.ts';
import {
  ETH_HEADER_BYTES,
  ETH_SOURCE,
  ETH_TYPE_IPV4,
  macHigh,
  macLow,
} from '../../wire/ethernet.ts';
import {
  IP_CHECKSUM,
  IP_DATAGRAM_BYTES_MAX,
  IP_DESTINATION,
  IP_DONT_FRAGMENT,
  IP_HEADER_BYTES,
  IP_ID,
  IP_MORE_FRAGMENTS,
  IP_PAYLOAD,
  IP_SOURCE,
  IP_TTL,
  IP_TTL_DEFAULT,
  isNeverHost,
  maskOf,
} from '../../wire/ipv4.ts';
import type { Kernels } from '../../wire/kernels.ts';
import type { Environment } from '../both/environment.ts';
import type { Identifications } from '../both/identification.ts';
import type { NeighbourCache } from '../both/neighbour-cache.ts';
import type { Arp } from './arp.ts';

const C_NO_ROUTE = COUNTER.noRoute;
const C_OUT = COUNTER.ipOut;
const C_FRAGMENTS_OUT = COUNTER.ipFragmentsOut;
const C_NO_FRAME = COUNTER.txNoFrame;

export class Ipv4 {
  readonly address: number;
  readonly mask: number;
  readonly network: number;
  readonly gateway: number;
  /** The directed broadcast address; the limited one when our prefix has none (/31, /32). */
  readonly broadcast: number;
  readonly #neighbours: NeighbourCache;
  readonly #view: DataView;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #kernels: Kernels;
  readonly #mtu: number;
  readonly #macHigh: number;
  /** Last two bytes of our MAC address and the Ethernet type: what follows `macHigh`. */
  readonly #macLowAndType: number;
  readonly #ids: Identifications;

  constructor(env: Environment, arp: Arp, ids: Identifications) {
    const { config, nic } = env;
    const mac = new DataView(nic.mac.buffer, nic.mac.byteOffset, 6);
    this.#neighbours = arp.neighbours;
    this.address = config.address | 0;
    this.mask = maskOf(config.prefixLength);
    this.network = this.address & this.mask;
    this.gateway = config.gateway | 0;
    this.broadcast = config.prefixLength >= 31 ? -1 : this.network | ~this.mask;
    this.#view = env.arena.view;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#kernels = env.arena.kernels;
    this.#mtu = Math.min(nic.mtu, ETHERNET_MTU);
    this.#macHigh = macHigh(mac, 0);
    this.#macLowAndType = (macLow(mac, 0) << 16) | ETH_TYPE_IPV4;
    this.#ids = ids;
  }

  /** Largest IP packet, bytes: the driver's, but at most what frames are made for. */
  linkMtu(): number {
    return this.#mtu;
  }

  /** Limited or directed broadcast. */
  isBroadcast(address: number): boolean {
    return address === -1 || address === this.broadcast;
  }

  /** Where a packet for `destination` goes first: 0 when nowhere (RFC 1122 3.3.1.1). */
  nextHop(destination: number): number {
    return (destination & this.mask) === this.network ? destination : this.gateway;
  }

  /** Index of the next hop's neighbour entry, made and asked for when new; or CODE.NO_ROUTE. */
  neighbourFor(destination: number): number {
    const hop = this.nextHop(destination);
    if (hop === 0 || hop === this.address || this.isBroadcast(hop) || isNeverHost(destination)) {
      this.#counters.bump(C_NO_ROUTE);
      return CODE.NO_ROUTE;
    }
    return this.#neighbours.neighbourFor(hop);
  }

  /** What goes by way of this neighbour does not arrive. */
  doubt(neighbour: number): void {
    this.#neighbours.doubt(neighbour);
  }

  /**
   * Ethernet source and type, and an IPv4 header that forbids fragments (RFC 6864: ID 0), at
   * `frame`. Routers may not fragment, so the caller listens to ICMP "too big".
   */
  writeHeader(
    frame: number,
    destination: number,
    source: number,
    protocol: number,
    tos: number,
    payloadBytes: number,
  ): void {
    this.#write(frame, destination, source, protocol, tos, payloadBytes, IP_DONT_FRAGMENT);
  }

  /**
   * Another TTL in what `writeHeader` has written; the checksum follows (RFC 1624 3, equation 3).
   */
  setHops(frame: number, hops: number): void {
    const view = this.#view;
    const ip = frame + ETH_HEADER_BYTES;
    const old = view.getUint16(ip + IP_TTL);
    const now = (hops << 8) | (old & 0xff);
    const sum = (~view.getUint16(ip + IP_CHECKSUM) & 0xffff) + (~old & 0xffff) + now;
    view.setUint16(ip + IP_TTL, now);
    view.setUint16(ip + IP_CHECKSUM, finish(sum));
  }

  /** The same for a datagram that routers may fragment (UDP, ICMP), from our address. */
  writeDatagramHeader(
    frame: number,
    destination: number,
    protocol: number,
    tos: number,
    payloadBytes: number,
  ): void {
    const id = this.#ids.next16() << 16;
    this.#write(frame, destination, this.address, protocol, tos, payloadBytes, id);
  }

  /** `idAndFragment`: the header's second word (RFC 791 3.1). The sum is made from registers. */
  #write(
    frame: number,
    destination: number,
    source: number,
    protocol: number,
    tos: number,
    payloadBytes: number,
    idAndFragment: number,
  ): void {
    const view = this.#view;
    const bytes = payloadBytes + IP_HEADER_BYTES;
    if (VERIFY) assert(bytes <= this.#mtu, 'ipv4: a packet longer than the MTU');
    const ip = frame + ETH_HEADER_BYTES;
    const versionTosLength = 0x4500_0000 | (tos << 16) | bytes;
    const ttlProtocol = (IP_TTL_DEFAULT << 8) | protocol;
    view.setInt32(frame + ETH_SOURCE, this.#macHigh);
    view.setInt32(frame + ETH_SOURCE + 4, this.#macLowAndType);
    view.setInt32(ip, versionTosLength);
    view.setInt32(ip + IP_ID, idAndFragment);
    view.setUint16(ip + IP_TTL, ttlProtocol);
    view.setInt32(ip + IP_SOURCE, source);
    view.setInt32(ip + IP_DESTINATION, destination);
    const sum =
      (versionTosLength >>> 16) +
      bytes +
      (idAndFragment >>> 16) +
      (idAndFragment & 0xffff) +
      ttlProtocol +
      (source >>> 16) +
      (source & 0xffff) +
      (destination >>> 16) +
      (destination & 0xffff);
    view.setUint16(ip + IP_CHECKSUM, finish(sum)); // big-endian words, so a big-endian store
  }

  /** Consumes a frame that `writeHeader` began; `ipBytes` is the IP total length. */
  transmit(frame: number, ipBytes: number, neighbour: number): void {
    const destination = this.#view.getInt32(frame + ETH_HEADER_BYTES + IP_DESTINATION);
    const hop = (destination & this.mask) === this.network ? destination : this.gateway;
    if (!this.#neighbours.isFor(neighbour, hop)) {
      neighbour = this.neighbourFor(destination);
      if (neighbour < 0) {
        this.#frames.free(frame);
        return;
      }
    }
    this.#counters.bump(C_OUT);
    this.#neighbours.transmit(neighbour, frame, ipBytes + ETH_HEADER_BYTES);
  }

  /**
   * Sends `headerBytes` at `header` (a multiple of 8, or 0) followed by `bytes` at `offset` as the
   * payload of one datagram, in fragments when it does not fit the MTU. The bytes are copied before
   * this returns. -> CODE.OK, NO_ROUTE, TOO_LONG; AGAIN: not all of the frames are there.
   */
  sendDatagram(
    destination: number,
    protocol: number,
    tos: number,
    header: number,
    headerBytes: number,
    offset: number,
    bytes: number,
  ): number {
    const total = headerBytes + bytes;
    if (total > IP_DATAGRAM_BYTES_MAX - IP_HEADER_BYTES) return CODE.TOO_LONG;
    const neighbour = this.neighbourFor(destination);
    if (neighbour < 0) return neighbour;
    const room = this.#mtu - IP_HEADER_BYTES;
    const pieceMax = total <= room ? total : room & ~7;
    const pieces = total <= room ? 1 : Math.ceil(total / pieceMax) | 0;
    if (this.#frames.transmitFree < pieces) {
      this.#counters.bump(C_NO_FRAME);
      return CODE.AGAIN;
    }
    const id = this.#ids.next16() << 16;
    for (let at = 0, left = pieces; left > 0; left--, at += pieceMax) {
      const length = left === 1 ? total - at : pieceMax;
      const frame = this.#frames.takeTransmit() + TRANSMIT_HEADROOM;
      const more = left === 1 ? 0 : IP_MORE_FRAGMENTS;
      this.#write(frame, destination, this.address, protocol, tos, length, id | more | (at >> 3));
      const payload = frame + IP_PAYLOAD;
      const own = at === 0 ? headerBytes : 0; // the transport header stands in the first piece
      if (own > 0) this.#kernels.copy(payload, header, own);
      this.#kernels.copy(payload + own, offset + at + own - headerBytes, length - own);
      this.transmit(frame, length + IP_HEADER_BYTES, neighbour);
    }
    if (pieces > 1) this.#counters.add(C_FRAGMENTS_OUT, pieces);
    return CODE.OK;
  }
}
