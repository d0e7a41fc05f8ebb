/**
 * Both Internet protocols as TCP and the gate see them: an address is one int32
 * (net/v6/destinations.ts), and here the roads part.
 *
 * - `remote` is an IPv4 address or a token, `local` one of our own of the same family. Everything
 *   takes the IPv4 road with one comparison.
 * - A flow holds its remote address from its beginning to its end: `hold`, `release`.
 * - `peerOf` and `localOf` are the border to applications: only here four words become one.
 *
 * Called by TCP (as tcp/segment.ts `IpLayer`), the gate, and UDP. Read first:
 * net/v6/destinations.ts.
 */
import { MAPPED_V4 } from '../gate/abi.ts';
import { IP_HEADER_BYTES, IP_PAYLOAD } from '../wire/ipv4.ts';
import { IP6_HEADER_BYTES, IP6_PAYLOAD } from '../wire/ipv6.ts';
import type { Environment } from './both/environment.ts';
import type { Ipv4 } from './v4/ipv4.ts';
import { isToken } from './v6/destinations.ts';
import type { Ipv6 } from './v6/ipv6.ts';

/** What `localOf` answers for an address that is not ours. */
export const NOT_OURS = -1;

export function describeIpv4(address: number, w: number, into: Int32Array): void {
  into[w] = 0;
  into[w + 1] = 0;
  into[w + 2] = MAPPED_V4;
  into[w + 3] = address;
}

export class Ip {
  readonly v4: Ipv4;
  readonly v6: Ipv6;
  readonly #i32: Int32Array;

  constructor(env: Environment, v4: Ipv4, v6: Ipv6) {
    this.#i32 = env.arena.i32;
    this.v4 = v4;
    this.v6 = v6;
  }

  // --- for each segment ---

  /** Bytes of the IP header that a packet to `remote` has. */
  headerBytes(remote: number): number {
    return isToken(remote) ? IP6_HEADER_BYTES : IP_HEADER_BYTES;
  }

  /** Where the transport header stands in a frame to `remote`, from its Ethernet header on. */
  payloadAt(remote: number): number {
    return isToken(remote) ? IP6_PAYLOAD : IP_PAYLOAD;
  }

  /** The two addresses as they go into the pseudo-header's sum. */
  remoteSum(remote: number): number {
    return isToken(remote) ? this.v6.destinations.sumOf(remote) : remote;
  }

  localSum(local: number): number {
    return isToken(local) ? this.v6.addresses.sumOf(local) : local;
  }

  /** Ethernet source and type, and an IP header, at `frame`, for a packet that fits the path. */
  writeHeader(
    frame: number,
    remote: number,
    local: number,
    protocol: number,
    tos: number,
    payloadBytes: number,
  ): void {
    if (isToken(remote)) this.v6.writeHeader(frame, remote, local, protocol, tos, payloadBytes);
    else this.v4.writeHeader(frame, remote, local, protocol, tos, payloadBytes);
  }

  /** Another TTL or hop limit in a header that `writeHeader` has written. */
  setHops(frame: number, remote: number, hops: number): void {
    if (isToken(remote)) this.v6.setHops(frame, hops);
    else this.v4.setHops(frame, hops);
  }

  /** The same for a datagram that routers may fragment if they can. */
  writeDatagramHeader(
    frame: number,
    remote: number,
    local: number,
    protocol: number,
    payloadBytes: number,
  ): void {
    if (isToken(remote)) this.v6.writeHeader(frame, remote, local, protocol, 0, payloadBytes);
    else this.v4.writeDatagramHeader(frame, remote, protocol, 0, payloadBytes);
  }

  /** Consumes a frame that `writeHeader` began; `payloadBytes` as there. */
  transmit(frame: number, payloadBytes: number, neighbour: number, remote: number): void {
    if (isToken(remote)) {
      this.v6.transmit(frame, payloadBytes + IP6_HEADER_BYTES, neighbour, remote);
    } else this.v4.transmit(frame, payloadBytes + IP_HEADER_BYTES, neighbour);
  }

  // --- for each flow ---

  /** Index of the next hop's neighbour entry, or CODE.NO_ROUTE. */
  neighbourFor(remote: number): number {
    return isToken(remote) ? this.v6.neighbourFor(remote) : this.v4.neighbourFor(remote);
  }

  /**
   * Advice from above: what goes to `remote` by way of `neighbour`, its next hop, does not arrive.
   */
  doubt(remote: number, neighbour: number): void {
    if (isToken(remote)) this.v6.doubt(neighbour);
    else this.v4.doubt(neighbour);
  }

  /** Which of our addresses talks to `remote`; 0: none. */
  sourceFor(remote: number): number {
    return isToken(remote) ? this.v6.sourceFor(remote) : this.v4.address;
  }

  /**
   * What one packet carries to `remote`, IP header and all: on the link, and on the path as known.
   */
  linkMtu(remote: number): number {
    return isToken(remote) ? this.v6.linkMtu() : this.v4.linkMtu();
  }

  pathMtu(remote: number): number {
    return isToken(remote) ? this.v6.mtuTo(remote) : this.v4.linkMtu();
  }

  hold(remote: number): void {
    if (isToken(remote)) this.v6.destinations.hold(remote);
  }

  release(remote: number): void {
    if (isToken(remote)) this.v6.destinations.release(remote);
  }

  // --- the border: addresses as four words (gate/abi.ts) ---

  /** What a peer's address is inside; 0: nobody can have it. */
  peerOf(w0: number, w1: number, w2: number, w3: number): number {
    if (w0 !== 0 || w1 !== 0 || w2 !== MAPPED_V4) return this.v6.peerOf(w0, w1, w2, w3);
    return isToken(w3) ? 0 : w3; // 0/8 is nobody's, and not a name for an IPv6 address
  }

  /** What an address of ours is inside; 0: any; NOT_OURS. */
  localOf(w0: number, w1: number, w2: number, w3: number): number {
    if (w0 === 0 && w1 === 0 && (w2 === 0 || w2 === MAPPED_V4)) {
      if (w3 === 0) return 0;
      return w2 === MAPPED_V4 && w3 === this.v4.address ? w3 : NOT_OURS;
    }
    const local = this.v6.addresses.tokenOf(w0, w1, w2, w3);
    return this.v6.addresses.isKnown(local) ? local : NOT_OURS;
  }

  /** Whether `address` is one of ours as `localOf` gives them. */
  isLocal(address: number): boolean {
    return isToken(address) ? this.v6.addresses.isKnown(address) : address === this.v4.address;
  }

  /** A peer's address as four words at `w` of `into`: for applications, and for what is hashed. */
  describe(remote: number, w: number, into: Int32Array = this.#i32): void {
    if (!isToken(remote)) {
      describeIpv4(remote, w, into);
      return;
    }
    const words = this.v6.destinations.wordsOf(remote);
    for (let i = 0; i < 4; i++) into[w + i] = this.#i32[words + i]!;
  }

  /** The same of an address of ours. */
  describeLocal(local: number, w: number, into: Int32Array = this.#i32): void {
    if (isToken(local)) this.v6.addresses.describe(local, w, into);
    else describeIpv4(local, w, into);
  }
}
