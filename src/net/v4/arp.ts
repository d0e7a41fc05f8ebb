/**
 * ARP: which MAC address stands behind a neighbour's IPv4 address.
 *
 * - INCOMPLETE (asked, a few frames held) -> REACHABLE (an answer less than 60 s ago) -> STALE (its
 *   next use starts a probe, and nothing waits for it) -> PROBE (asked by unicast) -> gone. Unused
 *   for 5 minutes more: gone.
 * - Asks once a second, three times (RFC 1122 2.3.2.1); an address that never answers loses its
 *   held frames.
 * - Learns a new sender only from a request for us, on our link; any packet may update an entry
 *   that exists (RFC 826), but only one for us confirms it. A table that is full learns nobody
 *   unasked.
 * - `transmit` consumes its frame, always.
 *
 * Called by ipv4.ts and dataplane/stack.ts. Read first: RFC 826, RFC 1122 2.3.2, RFC 5227.
 */

import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { TRANSMIT_HEADROOM } from '../../limits.ts';
import type { Nic } from '../../nic/nic.ts';
import { assert, VERIFY } from '../../verify.ts';
import * as wire from '../../wire/arp.ts';
import * as eth from '../../wire/ethernet.ts';
import { isNeverHost, maskOf } from '../../wire/ipv4.ts';
import { type Environment, timerRanges } from '../both/environment.ts';
import * as row from '../both/neighbours.ts';

const C_IN = COUNTER.arpIn;
const C_BAD = COUNTER.arpBad;
const C_CONFLICT = COUNTER.arpConflict;
const C_TABLE_FULL = COUNTER.arpTableFull;
const C_REQUESTS_OUT = COUNTER.arpRequestsOut;
const C_REPLIES_OUT = COUNTER.arpRepliesOut;
const C_NO_FRAME = COUNTER.txNoFrame;

const RETRY_MS = 1000;
const TRIES_MAX = 3;
const REACHABLE_MS = 60_000;
const STALE_MS = 300_000;

export class Arp {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #frames: Frames;
  readonly #nic: Nic;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #neighbours: row.Neighbours;
  readonly #address: number;
  readonly #mask: number;
  readonly #gateway: number;
  readonly #macHigh: number;
  readonly #macLow: number;
  readonly #onFailed: (neighbour: number) => void;

  /** `onFailed` is told of a neighbour that never answered, while its index still means it. */
  constructor(env: Environment, onFailed: (neighbour: number) => void) {
    const { config, nic } = env;
    const mac = new DataView(nic.mac.buffer, nic.mac.byteOffset, 6);
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#frames = env.frames;
    this.#nic = nic;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#neighbours = new row.Neighbours(env, row.arpNeighbours(timerRanges(env.limits).arp));
    this.#address = config.address | 0;
    this.#mask = maskOf(config.prefixLength);
    this.#gateway = config.gateway | 0;
    this.#macHigh = eth.macHigh(mac, 0);
    this.#macLow = eth.macLow(mac, 0);
    this.#onFailed = onFailed;
  }

  /** Entries in use. */
  get count(): number {
    return this.#neighbours.used;
  }

  /** Whether `neighbour` is now the entry of `address`. Any int32 may be asked about. */
  isFor(neighbour: number, address: number): boolean {
    return this.#neighbours.isFor(neighbour, address);
  }

  /** Index of an on-link address's entry, which is made and asked for when it is new. */
  neighbourFor(address: number): number {
    const found = this.#neighbours.find(address);
    if (found >= 0) return found;
    if (this.#neighbours.isFull) this.#neighbours.replace();
    const neighbour = this.#neighbours.make(address);
    this.#ask(this.#neighbours.at(neighbour));
    return neighbour;
  }

  /**
   * What is sent there does not seem to arrive: its next use asks again, at most once a second (RFC
   * 1122 2.3.2.1 (4)).
   */
  doubt(neighbour: number): void {
    const i32 = this.#i32;
    const entry = this.#neighbours.at(neighbour);
    if (i32[entry + row.STATE] !== row.REACHABLE) return;
    const left = (i32[entry + row.DEADLINE]! - this.#clock.ms) | 0;
    if (left > REACHABLE_MS - RETRY_MS) return;
    i32[entry + row.STATE] = row.STALE;
    this.#neighbours.due(entry, STALE_MS);
  }

  /** Consumes a frame of `length` bytes whose destination MAC is still missing. */
  transmit(neighbour: number, frame: number, length: number): void {
    const i32 = this.#i32;
    const entry = this.#neighbours.at(neighbour);
    const state = i32[entry + row.STATE]!;
    this.#neighbours.use(entry);
    if (state !== row.REACHABLE) {
      if (VERIFY) assert(state !== row.FREE, 'arp: transmit to a free entry');
      if (state === row.INCOMPLETE) {
        this.#neighbours.hold(entry, frame, length);
        return;
      }
      if (state === row.STALE) {
        i32[entry + row.STATE] = row.PROBE;
        i32[entry + row.TRIES] = 0;
        this.#ask(entry);
      }
    }
    const high = i32[entry + row.MAC_HIGH]!;
    eth.setMac(this.#view, frame + eth.ETH_DESTINATION, high, i32[entry + row.MAC_LOW]!);
    this.#nic.transmit(frame, length);
  }

  /** One ARP packet; the caller frees the frame. */
  input(offset: number, length: number): void {
    const view = this.#view;
    this.#counters.bump(C_IN);
    const arp = offset + eth.ETH_PAYLOAD;
    if (length < eth.ETH_PAYLOAD + wire.ARP_BYTES || !this.#isSound(arp)) {
      this.#counters.bump(C_BAD);
      return;
    }
    const high = eth.macHigh(view, arp + wire.ARP_SENDER_MAC);
    const low = eth.macLow(view, arp + wire.ARP_SENDER_MAC);
    const sender = view.getInt32(arp + wire.ARP_SENDER_IP);
    const isRequest = view.getUint16(arp + wire.ARP_OPERATION) === wire.ARP_REQUEST;
    const isForUs = view.getInt32(arp + wire.ARP_TARGET_IP) === this.#address;
    if (sender === this.#address) {
      this.#counters.bump(C_CONFLICT); // somebody else has our address, or a loop (RFC 5227 2.4)
      return;
    }
    // sender 0 is a probe (RFC 5227 2.1.1), which tells nothing
    if (sender !== 0) this.#merge(sender, high, low, isForUs, isRequest);
    if (isRequest && isForUs) {
      this.#send(wire.ARP_REPLY, high, low, high, low, sender);
      this.#counters.bump(C_REPLIES_OUT);
    }
  }

  /**
   * Gratuitous request: tells everybody our MAC address (RFC 5227 2.3). For the start of a
   * dataplane.
   */
  announce(): void {
    const everybody = eth.MAC_BROADCAST_HIGH;
    this.#send(wire.ARP_REQUEST, everybody, eth.MAC_BROADCAST_LOW, 0, 0, this.#address);
  }

  /** An entry's timer: when its time is up it takes its next step. */
  expire(neighbour: number): void {
    const entry = this.#neighbours.at(neighbour);
    if (this.#neighbours.isDue(entry)) this.#expireEntry(neighbour, entry);
  }

  /** Frees held frames and forgets everybody. */
  close(): void {
    this.#neighbours.clear();
  }

  #isSound(arp: number): boolean {
    const view = this.#view;
    const operation = view.getUint16(arp + wire.ARP_OPERATION);
    const high = eth.macHigh(view, arp + wire.ARP_SENDER_MAC);
    const sender = view.getInt32(arp + wire.ARP_SENDER_IP);
    return (
      view.getInt32(arp + wire.ARP_HARDWARE) === wire.ARP_ETHERNET_IPV4 &&
      view.getUint16(arp + wire.ARP_LENGTHS) === wire.ARP_LENGTHS_6_4 &&
      (operation === wire.ARP_REQUEST || operation === wire.ARP_REPLY) &&
      (high & eth.MAC_GROUP) === 0 &&
      (high !== 0 || eth.macLow(view, arp + wire.ARP_SENDER_MAC) !== 0) &&
      (sender === 0 || !isNeverHost(sender))
    );
  }

  /** RFC 826's merge: updates an entry; makes one only for a neighbour who asks for us. */
  #merge(address: number, high: number, low: number, isForUs: boolean, isRequest: boolean): void {
    const i32 = this.#i32;
    let neighbour = this.#neighbours.find(address);
    if (neighbour < 0) {
      if (!isForUs || !isRequest || !this.#isOnLink(address)) return;
      if (this.#neighbours.isFull) {
        this.#counters.bump(C_TABLE_FULL);
        return;
      }
      neighbour = this.#neighbours.make(address);
    }
    const entry = this.#neighbours.at(neighbour);
    const isFirst = i32[entry + row.STATE] === row.INCOMPLETE;
    const isSame = i32[entry + row.MAC_HIGH] === high && i32[entry + row.MAC_LOW] === low;
    if (!isForUs && isSame && !isFirst) return; // nothing new, and no proof that it hears us
    const isConfirmed = isForUs || isFirst;
    this.#neighbours.resolve(entry, high, low, isConfirmed ? row.REACHABLE : row.STALE);
    this.#neighbours.due(entry, isConfirmed ? REACHABLE_MS : STALE_MS);
    const neighbours = this.#neighbours;
    for (let held = neighbours.takeHeld(entry); held !== 0; held = neighbours.takeHeld(entry)) {
      this.transmit(neighbour, held, i32[entry + row.HELD_BYTES]!);
    }
  }

  #isOnLink(address: number): boolean {
    return ((address ^ this.#address) & this.#mask) === 0 || address === this.#gateway;
  }

  #expireEntry(neighbour: number, entry: number): void {
    const i32 = this.#i32;
    const state = i32[entry + row.STATE]!;
    if (state === row.REACHABLE) {
      i32[entry + row.STATE] = row.STALE;
      this.#neighbours.due(entry, STALE_MS);
    } else if (state !== row.STALE && i32[entry + row.TRIES]! < TRIES_MAX) this.#ask(entry);
    else {
      if (state === row.INCOMPLETE) this.#onFailed(neighbour);
      this.#neighbours.remove(neighbour);
    }
  }

  /**
   * One request: to everybody, or to the MAC address that answered last time (RFC 1122 2.3.2.1
   * (2)).
   */
  #ask(entry: number): void {
    const i32 = this.#i32;
    const isProbe = i32[entry + row.STATE] === row.PROBE;
    const high = isProbe ? i32[entry + row.MAC_HIGH]! : eth.MAC_BROADCAST_HIGH;
    const low = isProbe ? i32[entry + row.MAC_LOW]! : eth.MAC_BROADCAST_LOW;
    i32[entry + row.TRIES] = i32[entry + row.TRIES]! + 1;
    this.#neighbours.due(entry, RETRY_MS);
    this.#send(wire.ARP_REQUEST, high, low, 0, 0, i32[entry + row.ADDRESS]!);
    this.#counters.bump(C_REQUESTS_OUT);
  }

  #send(
    operation: number,
    toHigh: number,
    toLow: number,
    targetHigh: number,
    targetLow: number,
    target: number,
  ): void {
    const taken = this.#frames.takeTransmit();
    if (taken < 0) {
      this.#counters.bump(C_NO_FRAME);
      return;
    }
    const view = this.#view;
    const frame = taken + TRANSMIT_HEADROOM;
    const arp = frame + eth.ETH_PAYLOAD;
    eth.setMac(view, frame + eth.ETH_DESTINATION, toHigh, toLow);
    eth.setMac(view, frame + eth.ETH_SOURCE, this.#macHigh, this.#macLow);
    view.setUint16(frame + eth.ETH_TYPE, eth.ETH_TYPE_ARP);
    view.setInt32(arp + wire.ARP_HARDWARE, wire.ARP_ETHERNET_IPV4);
    view.setUint16(arp + wire.ARP_LENGTHS, wire.ARP_LENGTHS_6_4);
    view.setUint16(arp + wire.ARP_OPERATION, operation);
    eth.setMac(view, arp + wire.ARP_SENDER_MAC, this.#macHigh, this.#macLow);
    view.setInt32(arp + wire.ARP_SENDER_IP, this.#address);
    eth.setMac(view, arp + wire.ARP_TARGET_MAC, targetHigh, targetLow);
    view.setInt32(arp + wire.ARP_TARGET_IP, target);
    this.#nic.transmit(frame, eth.ETH_PAYLOAD + wire.ARP_BYTES);
  }
}
