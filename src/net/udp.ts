/**
 * UDP: datagrams in to sockets, datagrams out from application memory.
 *
 * - A socket bound to the address 0 also hears broadcasts; one bound to ours does not. No socket:
 *   ICMP port unreachable.
 * - A received datagram is kept in the frame it came in (no copy). One that was reassembled beyond
 *   a frame is delivered truncated, and says so.
 * - `send` copies at once (payload and checksum in one pass), so `udp_sent` follows with the next
 *   events. Datagrams beyond the MTU leave in fragments, all of them or none.
 * - A checksum of zero is accepted over IPv4 (its sender wants none), not over IPv6 (RFC 8200 8.1).
 * - One socket hears both protocols, unless it is bound to an address of one of them. An address to
 *   send to is an IPv4 address or a token (net/v6/destinations.ts).
 *
 * Called by ipv4-input.ts, ipv6-input.ts and by the gate. Read first: RFC 768, RFC 1122 4.1.
 */
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { CODE, MAPPED_V4 } from '../gate/abi.ts';
import type { EventSink } from '../gate/arrays.ts';
import { FRAME_BYTES, TRANSMIT_HEADROOM } from '../limits.ts';
import { finish, fold, pseudoHeaderSum, swap } from '../wire/checksum.ts';
import { UNREACHABLE_PORT } from '../wire/icmp.ts';
import {
  IP_DATAGRAM_BYTES_MAX,
  IP_DESTINATION,
  IP_HEADER_BYTES,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { IP6_ADDRESS_BYTES, IP6_SOURCE } from '../wire/ipv6.ts';
import type { Kernels } from '../wire/kernels.ts';
import * as wire from '../wire/udp.ts';
import type { Egress } from './both/egress.ts';
import { type Environment, FREE_FRAME, KEEP_FRAME, NO_FRAME } from './both/environment.ts';
import { Owners } from './both/owners.ts';
import { PartialChecksums } from './both/partial-checksums.ts';
import type { Ip } from './ip.ts';
import { isEphemeral, UdpSockets } from './udp-sockets.ts';
import type { Icmp } from './v4/icmp.ts';
import { isToken } from './v6/destinations.ts';
import type { Icmp6 } from './v6/icmpv6.ts';

const C_IN = COUNTER.udpIn;
const C_OUT = COUNTER.udpOut;
const C_SHORT = COUNTER.udpShort;
const C_BAD_LENGTH = COUNTER.udpBadLength;
const C_BAD_CHECKSUM = COUNTER.udpBadChecksum;
const C_NO_PORT = COUNTER.udpNoPort;
const C_QUEUE_FULL = COUNTER.udpQueueFull;
const C_RX_NO_FRAME = COUNTER.rxNoFrame;
const C_TX_NO_FRAME = COUNTER.txNoFrame;

/** As a local address: what only sockets bound to none hear. */
const BROADCAST = -1;

/** Longest payload (RFC 768 over RFC 791): 65,507. */
export const UDP_PAYLOAD_MAX: number =
  IP_DATAGRAM_BYTES_MAX - IP_HEADER_BYTES - wire.UDP_HEADER_BYTES;

export class Udp {
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #ip: Ip;
  readonly #icmp: Icmp;
  readonly #icmp6: Icmp6;
  readonly #sockets: UdpSockets;
  readonly #partial: PartialChecksums;
  readonly #owners: Owners;
  readonly #egress: Egress | undefined;
  /** Eight bytes for the header of a datagram that leaves in fragments. */
  readonly #header: number;

  constructor(env: Environment, ip: Ip, icmp: Icmp, icmp6: Icmp6) {
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#icmp = icmp;
    this.#icmp6 = icmp6;
    this.#sockets = new UdpSockets(env);
    this.#partial = new PartialChecksums(env, COUNTER.udpPartialChecksums);
    this.#owners = new Owners(env);
    this.#egress = env.egress;
    this.#header = env.arena.carve('udp header', wire.UDP_HEADER_BYTES, 64);
  }

  /** Receive frames that sockets hold. */
  get held(): number {
    return this.#sockets.held;
  }

  /**
   * A socket on `port` (0: the stack picks) of `address`, one of ours as `Ip.localOf` gives them
   * (0: any). -> handle, BAD_RANGE, NO_ROUTE, IN_USE, NO_FLOW.
   */
  bind(address: number, port: number, cookie: number): number {
    if (port < 0 || port > 0xffff) return CODE.BAD_RANGE;
    if (address !== 0 && !this.#ip.isLocal(address)) return CODE.NO_ROUTE;
    return this.#sockets.open(address, port, cookie);
  }

  /** Port of a socket: what bind picked. -> port, BAD_HANDLE. */
  portOf(handle: number): number {
    const socket = this.#sockets.indexOf(handle);
    return socket < 0 ? CODE.BAD_HANDLE : this.#sockets.portOf(socket);
  }

  /**
   * Sends `length` bytes at `offset`, a range that the caller has checked. They are copied before
   * this returns. -> length, BAD_HANDLE, BAD_RANGE (port), TOO_LONG, NO_ROUTE, AGAIN.
   */
  send(handle: number, offset: number, length: number, address: number, port: number): number {
    const socket = this.#sockets.indexOf(handle);
    if (socket < 0) return CODE.BAD_HANDLE;
    if (port <= 0 || port > 0xffff || length < 0) return CODE.BAD_RANGE;
    if (length > UDP_PAYLOAD_MAX) return CODE.TOO_LONG;
    const ports = (this.#sockets.portOf(socket) << 16) | port;
    const local = this.#localFor(socket, address);
    if (local === 0) return CODE.NO_ROUTE;
    const packet = length + wire.UDP_HEADER_BYTES + this.#ip.headerBytes(address);
    const code =
      packet <= this.#ip.pathMtu(address)
        ? this.#sendOne(ports, offset, length, address, local)
        : this.#sendFragments(ports, offset, length, address, local);
    if (code !== CODE.OK) return code;
    this.#counters.bump(C_OUT);
    this.#sockets.noteSent(socket, length);
    return length;
  }

  /**
   * The application is done with a datagram; `offset` is the event's. -> OK, BAD_HANDLE, BAD_RANGE.
   */
  recvDone(handle: number, offset: number): number {
    const socket = this.#sockets.indexOf(handle);
    return socket < 0 ? CODE.BAD_HANDLE : this.#sockets.recvDone(socket, offset);
  }

  /** Drops what is queued and takes back what the application still reads. -> OK, BAD_HANDLE. */
  close(handle: number): number {
    const socket = this.#sockets.indexOf(handle);
    if (socket < 0) return CODE.BAD_HANDLE;
    this.#sockets.close(socket);
    return CODE.OK;
  }

  closeAll(): void {
    this.#sockets.closeAll();
  }

  emit(sink: EventSink): void {
    this.#sockets.emit(sink);
  }

  /** Our address that a socket sends from: its own, if that is of the peer's family; 0: none. */
  #localFor(socket: number, address: number): number {
    const bound = this.#sockets.addressOf(socket);
    if (bound === 0) return this.#ip.sourceFor(address);
    return isToken(bound) === isToken(address) ? bound : 0;
  }

  /**
   * One datagram of `bytes` at `udp`, whose valid IP header is at `ip`; `frame` is the frame's
   * Ethernet header, or NO_FRAME. -> FREE_FRAME or KEEP_FRAME.
   */
  input(
    frame: number,
    ip: number,
    udp: number,
    bytes: number,
    source: number,
    isBroadcast: boolean,
  ): number {
    const length = this.#lengthOf(udp, bytes);
    if (length < 0) return FREE_FRAME;
    if (!this.#isChecksumRight(ip, udp, length, source)) return this.#drop(C_BAD_CHECKSUM);
    const local = isBroadcast ? BROADCAST : this.#ip.v4.address;
    const socket = this.#find(udp, local);
    if (!isBroadcast && this.#handsOn(frame, ip, udp, length, socket)) return FREE_FRAME;
    if (socket < 0) {
      if (!isBroadcast) this.#icmp.unreachable(ip, UNREACHABLE_PORT);
      return this.#drop(C_NO_PORT);
    }
    return this.#receive(frame, udp, length, socket, 0, 0, MAPPED_V4, source);
  }

  /** The same over IPv6, to our address `local`. */
  input6(frame: number, ip: number, udp: number, bytes: number, local: number): number {
    const view = this.#view;
    const length = this.#lengthOf(udp, bytes);
    if (length < 0) return FREE_FRAME;
    if (!this.#isChecksumRight6(ip, udp, length)) return this.#drop(C_BAD_CHECKSUM);
    const socket = this.#find(udp, local);
    if (this.#handsOn(frame, ip, udp, length, socket)) return FREE_FRAME;
    if (socket < 0) {
      this.#icmp6.portUnreachable(ip);
      return this.#drop(C_NO_PORT);
    }
    const source = ip + IP6_SOURCE;
    const w0 = view.getInt32(source);
    const w1 = view.getInt32(source + 4);
    const w2 = view.getInt32(source + 8);
    return this.#receive(frame, udp, length, socket, w0, w1, w2, view.getInt32(source + 12));
  }

  /** Whether it was another thread's. */
  #handsOn(frame: number, ip: number, udp: number, length: number, socket: number): boolean {
    const port = this.#view.getUint16(udp + wire.UDP_DESTINATION_PORT);
    const isPicked = isEphemeral(port);
    if (isPicked && this.#owners.picks(port)) return false;
    if (this.#owners.handsOn(frame, ip, udp, udp + length)) return true;
    return isPicked && socket < 0 && this.#owners.handsOnPort(frame, port, udp + length);
  }

  /** What the header says of the datagram's length, or -1 when it is wrong (and counted). */
  #lengthOf(udp: number, bytes: number): number {
    this.#counters.bump(C_IN);
    if (bytes < wire.UDP_HEADER_BYTES) {
      this.#counters.bump(C_SHORT);
      return -1;
    }
    const length = this.#view.getUint16(udp + wire.UDP_LENGTH);
    if (length >= wire.UDP_HEADER_BYTES && length <= bytes) return length;
    this.#counters.bump(C_BAD_LENGTH);
    return -1;
  }

  /** The socket on the datagram's port that hears `local`, or -1. */
  #find(udp: number, local: number): number {
    const sockets = this.#sockets;
    const socket = sockets.find(this.#view.getUint16(udp + wire.UDP_DESTINATION_PORT));
    if (socket < 0) return -1;
    const bound = sockets.addressOf(socket);
    return bound === 0 || bound === local ? socket : -1;
  }

  /**
   * Hands a right datagram to its socket; the four words are the sender's address (gate/abi.ts).
   */
  #receive(
    frame: number,
    udp: number,
    length: number,
    socket: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
  ): number {
    const sockets = this.#sockets;
    if (!sockets.hasRoom(socket)) return this.#drop(C_QUEUE_FULL);
    const payload = udp + wire.UDP_PAYLOAD;
    const bytes = length - wire.UDP_HEADER_BYTES;
    const port = this.#view.getUint16(udp + wire.UDP_SOURCE_PORT);
    this.#egress?.heard(w0, w1, w2, w3, (sockets.portOf(socket) << 16) | port);
    if (frame !== NO_FRAME) {
      const node = sockets.queue(socket, frame, payload, bytes, port, 0);
      sockets.setSource(node, w0, w1, w2, w3);
      return KEEP_FRAME;
    }
    const copy = this.#frames.takeReceive();
    if (copy < 0) return this.#drop(C_RX_NO_FRAME);
    const kept = Math.min(bytes, FRAME_BYTES);
    this.#kernels.copy(copy, payload, kept);
    const node = sockets.queue(socket, copy, copy, kept, port, kept < bytes ? 1 : 0);
    sockets.setSource(node, w0, w1, w2, w3);
    return FREE_FRAME;
  }

  #isChecksumRight(ip: number, udp: number, length: number, source: number): boolean {
    const view = this.#view;
    if (view.getUint16(udp + wire.UDP_CHECKSUM) === 0) return true;
    const destination = view.getInt32(ip + IP_DESTINATION);
    const seed = pseudoHeaderSum(source, destination, PROTOCOL_UDP, length);
    return this.#isSumRight(udp, length, seed);
  }

  #isChecksumRight6(ip: number, udp: number, length: number): boolean {
    if (this.#view.getUint16(udp + wire.UDP_CHECKSUM) === 0) return false;
    const addresses = this.#kernels.sum(ip + IP6_SOURCE, 2 * IP6_ADDRESS_BYTES, 0);
    const seed = addresses + pseudoHeaderSum(0, 0, PROTOCOL_UDP, length);
    return this.#isSumRight(udp, length, seed);
  }

  #isSumRight(udp: number, length: number, seed: number): boolean {
    if (finish(this.#kernels.sum(udp, length, seed)) === 0) return true;
    return this.#partial.takes(udp + wire.UDP_CHECKSUM, seed);
  }

  /** One packet: payload and checksum in one pass. `ports` are local << 16 | remote. */
  #sendOne(ports: number, offset: number, length: number, address: number, local: number): number {
    const ip = this.#ip;
    const neighbour = ip.neighbourFor(address);
    if (neighbour < 0) return neighbour;
    const taken = this.#frames.takeTransmit();
    if (taken < 0) {
      this.#counters.bump(C_TX_NO_FRAME);
      return CODE.AGAIN;
    }
    const bytes = length + wire.UDP_HEADER_BYTES;
    const frame = taken + TRANSMIT_HEADROOM;
    const udp = frame + ip.payloadAt(address);
    ip.writeDatagramHeader(frame, address, local, PROTOCOL_UDP, bytes);
    const seed = this.#writeHeader(udp, ports, address, local, bytes);
    this.#seal(udp, this.#kernels.copySum(udp + wire.UDP_PAYLOAD, offset, length, seed));
    ip.transmit(frame, bytes, neighbour, address);
    return CODE.OK;
  }

  #sendFragments(
    ports: number,
    offset: number,
    length: number,
    address: number,
    local: number,
  ): number {
    const header = this.#header;
    const headerBytes = wire.UDP_HEADER_BYTES;
    const seed = this.#writeHeader(header, ports, address, local, length + headerBytes);
    this.#seal(header, this.#kernels.sum(offset, length, seed));
    const { v4, v6 } = this.#ip;
    return isToken(address)
      ? v6.sendDatagram(address, local, PROTOCOL_UDP, 0, header, headerBytes, offset, length)
      : v4.sendDatagram(address, PROTOCOL_UDP, 0, header, headerBytes, offset, length);
  }

  /** Ports and length; answers the folded sum of header and pseudo-header. */
  #writeHeader(udp: number, ports: number, address: number, local: number, bytes: number): number {
    this.#view.setInt32(udp + wire.UDP_SOURCE_PORT, ports);
    this.#view.setUint16(udp + wire.UDP_LENGTH, bytes);
    const ip = this.#ip;
    const pseudo = pseudoHeaderSum(ip.localSum(local), ip.remoteSum(address), PROTOCOL_UDP, bytes);
    return fold(pseudo + swap((ports >>> 16) + (ports & 0xffff) + bytes));
  }

  #seal(udp: number, sum: number): void {
    const checksum = finish(sum);
    this.#view.setUint16(udp + wire.UDP_CHECKSUM, checksum === 0 ? 0xffff : checksum, true);
  }

  #drop(counter: number): number {
    this.#counters.bump(counter);
    return FREE_FRAME;
  }
}
