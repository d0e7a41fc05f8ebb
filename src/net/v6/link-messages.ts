/**
 * ICMPv6 messages to this link, whose Ethernet destination is known or follows from the group: what
 * neighbour discovery and group membership send.
 *
 * - `begin` gives a zeroed message in a transmit frame, the caller fills it in, `toGroup` or
 *   `toNeighbour` consumes it.
 * - The hop limit is 255, which nobody off the link can imitate (RFC 4861 3.1). `toGroup` can put a
 *   router alert before the message, as group membership must (RFC 3810 5).
 *
 * Called by ndp.ts, dad.ts, routers.ts, mld.ts. Read first: RFC 4861 4; RFC 2464 7 for 33:33.
 */
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { TRANSMIT_HEADROOM } from '../../limits.ts';
import type { Nic } from '../../nic/nic.ts';
import { finish, pseudoHeaderSum } from '../../wire/checksum.ts';
import * as eth from '../../wire/ethernet.ts';
import { ICMP6_CHECKSUM, ICMP6_TYPE, ND_MAC_BYTES } from '../../wire/icmpv6.ts';
import * as ip6 from '../../wire/ipv6.ts';
import type { Kernels } from '../../wire/kernels.ts';
import type { Environment } from '../both/environment.ts';
import type { Addresses6 } from './addresses.ts';
import type { Destinations } from './destinations.ts';

const C_NO_FRAME = COUNTER.txNoFrame;
const C_OUT = COUNTER.ip6Out;

/** Ethernet's prefix for groups, as the upper half of a `high` word. */
const GROUP_MAC = 0x3333_0000;
/** Hop-by-hop header with a router alert for MLD, and PadN (RFC 2711; RFC 3810 5). */
const ROUTER_ALERT_BYTES = 8;
const ROUTER_ALERT_HIGH = 0x3a00_0502;
const ROUTER_ALERT_LOW = 0x0000_0100;

export class LinkMessages {
  readonly macHigh: number;
  readonly macLow: number;
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #i32: Int32Array;
  readonly #kernels: Kernels;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #nic: Nic;
  readonly #addresses: Addresses6;
  readonly #destinations: Destinations;

  constructor(env: Environment, addresses: Addresses6, destinations: Destinations) {
    const mac = new DataView(env.nic.mac.buffer, env.nic.mac.byteOffset, 6);
    this.macHigh = eth.macHigh(mac, 0);
    this.macLow = eth.macLow(mac, 0);
    this.#view = env.arena.view;
    this.#u8 = env.arena.u8;
    this.#i32 = env.arena.i32;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#nic = env.nic;
    this.#addresses = addresses;
    this.#destinations = destinations;
  }

  /** Arena offset of a message of `bytes` with its type, else zero; -1: no frame. */
  begin(type: number, bytes: number): number {
    const taken = this.#frames.takeTransmit();
    if (taken < 0) {
      this.#counters.bump(C_NO_FRAME);
      return -1;
    }
    const message = taken + TRANSMIT_HEADROOM + ip6.IP6_PAYLOAD + ROUTER_ALERT_BYTES;
    this.#u8.fill(0, message, message + bytes);
    this.#u8[message + ICMP6_TYPE] = type;
    return message;
  }

  /** An option of our MAC address at `at`. */
  writeMac(at: number, option: number): void {
    this.#u8[at] = option;
    this.#u8[at + 1] = ND_MAC_BYTES >> 3;
    eth.setMac(this.#view, at + 2, this.macHigh, this.macLow);
  }

  /** Consumes a message: from `local` (0: ::) to the group ff02::w2:w3. */
  toGroup(
    message: number,
    bytes: number,
    local: number,
    w2: number,
    w3: number,
    isAlert: boolean,
  ): void {
    const extra = isAlert ? ROUTER_ALERT_BYTES : 0;
    const ip = message - extra - ip6.IP6_HEADER_BYTES;
    const destination = ip + ip6.IP6_DESTINATION;
    const view = this.#view;
    view.setInt32(destination, ip6.SOLICITED_0);
    view.setInt32(destination + 4, 0);
    view.setInt32(destination + 8, w2);
    view.setInt32(destination + 12, w3);
    this.#seal(message, bytes, local, ip6.addressSum(ip6.SOLICITED_0, 0, w2, w3));
    let next = ip6.PROTOCOL_ICMP6;
    if (isAlert) {
      view.setInt32(ip + ip6.IP6_HEADER_BYTES, ROUTER_ALERT_HIGH);
      view.setInt32(ip + ip6.IP6_HEADER_BYTES + 4, ROUTER_ALERT_LOW);
      next = ip6.HEADER_HOP_BY_HOP;
    }
    const hopLimit = isAlert ? 1 : ip6.IP6_HOP_LIMIT_LINK;
    this.#transmit(ip, bytes + extra, next, hopLimit, local, GROUP_MAC | (w3 >>> 16), w3 & 0xffff);
  }

  /** Consumes a message: from `local` to the address of `token`, which is at that MAC address. */
  toNeighbour(
    message: number,
    bytes: number,
    local: number,
    token: number,
    macHigh: number,
    macLow: number,
  ): void {
    const ip = message - ip6.IP6_HEADER_BYTES;
    this.#destinations.write(token, ip + ip6.IP6_DESTINATION);
    this.#seal(message, bytes, local, this.#destinations.sumOf(token));
    const next = ip6.PROTOCOL_ICMP6;
    this.#transmit(ip, bytes, next, ip6.IP6_HOP_LIMIT_LINK, local, macHigh, macLow);
  }

  /** A message that was begun is not sent after all. */
  discard(message: number): void {
    this.#frames.free(message);
  }

  #seal(message: number, bytes: number, local: number, destinationSum: number): void {
    const source = local === 0 ? 0 : this.#addresses.sumOf(local);
    const seed = pseudoHeaderSum(source, destinationSum, ip6.PROTOCOL_ICMP6, bytes);
    const sum = finish(this.#kernels.sum(message, bytes, seed));
    this.#view.setUint16(message + ICMP6_CHECKSUM, sum, true);
  }

  #transmit(
    ip: number,
    payloadBytes: number,
    next: number,
    hopLimit: number,
    local: number,
    toHigh: number,
    toLow: number,
  ): void {
    const view = this.#view;
    const frame = ip - eth.ETH_HEADER_BYTES;
    view.setInt32(ip, 0x6000_0000);
    view.setInt32(ip + ip6.IP6_LENGTH, (payloadBytes << 16) | (next << 8) | hopLimit);
    if (local === 0) this.#u8.fill(0, ip + ip6.IP6_SOURCE, ip + ip6.IP6_DESTINATION);
    else this.#addresses.write(local, ip + ip6.IP6_SOURCE);
    eth.setMac(view, frame + eth.ETH_DESTINATION, toHigh, toLow);
    eth.setMac(view, frame + eth.ETH_SOURCE, this.macHigh, this.macLow);
    view.setUint16(frame + eth.ETH_TYPE, eth.ETH_TYPE_IPV6);
    this.#counters.bump(C_OUT);
    this.#nic.transmit(frame, eth.ETH_HEADER_BYTES + ip6.IP6_HEADER_BYTES + payloadBytes);
  }

  /** Last word of the solicited-node group of the address at `words`; the third is SOLICITED_2. */
  solicitedOf(words: number): number {
    return ip6.SOLICITED_3 | (this.#i32[words + 3]! & 0xff_ffff);
  }
}
