/**
 * IPv6, the way out: next hops, headers, fragments.
 *
 * - Addresses are tokens (destinations.ts) and local tokens (addresses.ts).
 * - As in net/v4/ipv4.ts a neighbour index is a hint, `transmit` consumes its frame always, nothing
 *   is sent to a group, and there is no loopback.
 * - `writeHeader` is for packets that fit the path (TCP). `sendDatagram` is for UDP and ICMP: what
 *   does not fit the path's MTU leaves in fragments, which only a sender may make (RFC 8200 4.5).
 *   The path's MTU is the link's until a router says less (RFC 8201).
 * - The flow label is 0: nobody here balances by it.
 *
 * Called by net/ip.ts, net/ipv6-input.ts and icmpv6.ts. Read first: RFC 8200 3 and 4.5; RFC 4861
 * 5.2.
 */
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { CODE } from '../../gate/abi.ts';
import { ETHERNET_MTU, TRANSMIT_HEADROOM } from '../../limits.ts';
import { assert, VERIFY } from '../../verify.ts';
import {
  ETH_HEADER_BYTES,
  ETH_SOURCE,
  ETH_TYPE_IPV6,
  macHigh,
  macLow,
} from '../../wire/ethernet.ts';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID,
  FRAGMENT_MORE,
  FRAGMENT_OFFSET,
  HEADER_FRAGMENT,
  IP6_DESTINATION,
  IP6_HEADER_BYTES,
  IP6_HOP_LIMIT,
  IP6_HOP_LIMIT_DEFAULT,
  IP6_LENGTH,
  IP6_PAYLOAD,
  IP6_PAYLOAD_BYTES_MAX,
  IP6_SOURCE,
  isNeverHost6,
} from '../../wire/ipv6.ts';
import type { Kernels } from '../../wire/kernels.ts';
import type { Environment } from '../both/environment.ts';
import type { Identifications } from '../both/identification.ts';
import type { NeighbourCache } from '../both/neighbour-cache.ts';
import type { Addresses6 } from './addresses.ts';
import type { Destinations } from './destinations.ts';
import type { Discovery } from './discovery.ts';
import type { Routers } from './routers.ts';

const C_NO_ROUTE = COUNTER.noRoute;
const C_OUT = COUNTER.ip6Out;
const C_FRAGMENTS_OUT = COUNTER.ip6FragmentsOut;
const C_NO_FRAME = COUNTER.txNoFrame;

export class Ipv6 {
  readonly addresses: Addresses6;
  readonly destinations: Destinations;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #kernels: Kernels;
  readonly #neighbours: NeighbourCache;
  readonly #routers: Routers;
  readonly #mtu: number;
  readonly #macHigh: number;
  /** Last two bytes of our MAC address and the Ethernet type: what follows `macHigh`. */
  readonly #macLowAndType: number;
  readonly #ids: Identifications;

  constructor(
    env: Environment,
    addresses: Addresses6,
    destinations: Destinations,
    discovery: Discovery,
    ids: Identifications,
  ) {
    const { nic } = env;
    const mac = new DataView(nic.mac.buffer, nic.mac.byteOffset, 6);
    this.addresses = addresses;
    this.destinations = destinations;
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#kernels = env.arena.kernels;
    this.#neighbours = discovery.ndp.neighbours;
    this.#routers = discovery.routers;
    this.#mtu = Math.min(nic.mtu, ETHERNET_MTU);
    this.#macHigh = macHigh(mac, 0);
    this.#macLowAndType = (macLow(mac, 0) << 16) | ETH_TYPE_IPV6;
    this.#ids = ids;
  }

  /** Largest packet that the link carries: the driver's, or what a router says. */
  linkMtu(): number {
    const said = this.#routers.mtu;
    return said !== 0 && said < this.#mtu ? said : this.#mtu;
  }

  /** Largest packet that the path to a destination carries, as far as is known. */
  mtuTo(token: number): number {
    return this.destinations.pathMtu(token, this.linkMtu());
  }

  /** Token of an address that an application names; 0: nobody can have it, or there is no IPv6. */
  peerOf(w0: number, w1: number, w2: number, w3: number): number {
    if (!this.addresses.isOn || isNeverHost6(w0, w1, w2)) return 0;
    return this.destinations.token(w0, w1, w2, w3);
  }

  /** Which of our addresses talks to `token`; 0: none can. */
  sourceFor(token: number): number {
    return this.addresses.sourceFor(this.destinations.wordsOf(token));
  }

  /** Token of where a packet for `token` goes first; 0: nowhere. */
  #hopOf(token: number): number {
    const { routes } = this.#routers;
    const noted = this.destinations.hopOf(token, routes);
    if (noted !== 0) return noted;
    const hop = this.#routers.hopFor(token);
    if (hop !== 0) this.destinations.noteHop(token, hop, routes);
    return hop;
  }

  /** Index of the next hop's neighbour entry, made and asked for when new; or CODE.NO_ROUTE. */
  neighbourFor(token: number): number {
    const hop = this.#hopOf(token);
    if (hop === 0 || this.#isOurs(token)) {
      this.#counters.bump(C_NO_ROUTE);
      return CODE.NO_ROUTE;
    }
    return this.#neighbours.neighbourFor(hop);
  }

  /** What goes by way of this neighbour does not arrive. */
  doubt(neighbour: number): void {
    this.#neighbours.doubt(neighbour);
  }

  #isOurs(token: number): boolean {
    const w = this.destinations.wordsOf(token);
    const i32 = this.#i32;
    return this.addresses.tokenOf(i32[w]!, i32[w + 1]!, i32[w + 2]!, i32[w + 3]!) !== 0;
  }

  /** Ethernet source and type, and a header, at `frame`. */
  writeHeader(
    frame: number,
    token: number,
    local: number,
    protocol: number,
    trafficClass: number,
    payloadBytes: number,
  ): void {
    const view = this.#view;
    const i32 = this.#i32;
    if (VERIFY) {
      const bytes = payloadBytes + IP6_HEADER_BYTES;
      assert(bytes <= this.#mtu, 'ipv6: a packet longer than the MTU');
    }
    const ip = frame + ETH_HEADER_BYTES;
    const from = this.addresses.at(local);
    const to = this.destinations.wordsOf(token);
    const source = ip + IP6_SOURCE;
    const destination = ip + IP6_DESTINATION;
    view.setInt32(frame + ETH_SOURCE, this.#macHigh);
    view.setInt32(frame + ETH_SOURCE + 4, this.#macLowAndType);
    view.setInt32(ip, 0x6000_0000 | (trafficClass << 20));
    view.setInt32(ip + IP6_LENGTH, (payloadBytes << 16) | (protocol << 8) | IP6_HOP_LIMIT_DEFAULT);
    view.setInt32(source, i32[from]!);
    view.setInt32(source + 4, i32[from + 1]!);
    view.setInt32(source + 8, i32[from + 2]!);
    view.setInt32(source + 12, i32[from + 3]!);
    view.setInt32(destination, i32[to]!);
    view.setInt32(destination + 4, i32[to + 1]!);
    view.setInt32(destination + 8, i32[to + 2]!);
    view.setInt32(destination + 12, i32[to + 3]!);
  }

  /** Another hop limit in a header that `writeHeader` has written. */
  setHops(frame: number, hops: number): void {
    this.#view.setUint8(frame + ETH_HEADER_BYTES + IP6_HOP_LIMIT, hops);
  }

  /** Consumes a frame that `writeHeader` began, for `token`; `ipBytes` is header and payload. */
  transmit(frame: number, ipBytes: number, neighbour: number, token: number): void {
    const hop = this.#hopOf(token);
    if (hop === 0 || !this.#neighbours.isFor(neighbour, hop)) {
      neighbour = this.neighbourFor(token);
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
   * payload of one packet from our `local` address, in fragments when it does not fit the path. The
   * bytes are copied before this returns. -> CODE.OK, NO_ROUTE, TOO_LONG, or AGAIN when the frames
   * for all of it are not there.
   */
  sendDatagram(
    token: number,
    local: number,
    protocol: number,
    trafficClass: number,
    header: number,
    headerBytes: number,
    offset: number,
    bytes: number,
  ): number {
    const total = headerBytes + bytes;
    if (total > IP6_PAYLOAD_BYTES_MAX) return CODE.TOO_LONG;
    const neighbour = this.neighbourFor(token);
    if (neighbour < 0) return neighbour;
    const room = this.mtuTo(token) - IP6_HEADER_BYTES;
    const isWhole = total <= room;
    const pieceMax = isWhole ? total : (room - FRAGMENT_HEADER_BYTES) & ~7;
    const pieces = isWhole ? 1 : Math.ceil(total / pieceMax) | 0;
    if (this.#frames.transmitFree < pieces) {
      this.#counters.bump(C_NO_FRAME);
      return CODE.AGAIN;
    }
    const id = isWhole ? 0 : this.#ids.next32();
    const extra = isWhole ? 0 : FRAGMENT_HEADER_BYTES;
    const next = isWhole ? protocol : HEADER_FRAGMENT;
    for (let at = 0, left = pieces; left > 0; left--, at += pieceMax) {
      const length = left === 1 ? total - at : pieceMax;
      const frame = this.#frames.takeTransmit() + TRANSMIT_HEADROOM;
      this.writeHeader(frame, token, local, next, trafficClass, length + extra);
      const payload = frame + IP6_PAYLOAD + extra;
      if (!isWhole) {
        const fragment = frame + IP6_PAYLOAD;
        this.#view.setInt32(fragment, protocol << 24);
        this.#view.setUint16(fragment + FRAGMENT_OFFSET, at | (left === 1 ? 0 : FRAGMENT_MORE));
        this.#view.setInt32(fragment + FRAGMENT_ID, id);
      }
      const own = at === 0 ? headerBytes : 0; // the transport header stands in the first piece
      if (own > 0) this.#kernels.copy(payload, header, own);
      this.#kernels.copy(payload + own, offset + at + own - headerBytes, length - own);
      this.transmit(frame, length + extra + IP6_HEADER_BYTES, neighbour, token);
    }
    if (!isWhole) this.#counters.add(C_FRAGMENTS_OUT, pieces);
    return CODE.OK;
  }
}
