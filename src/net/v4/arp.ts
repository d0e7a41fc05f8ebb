/**
 * ARP: how IPv4's neighbours (both/neighbour-cache.ts) are asked, what a packet of theirs proves.
 *
 * - An answer holds 60 s (RFC 1122 2.3.2.1 (1) asks for a minute or so), and who is used after that
 *   is asked at once by unicast: with ARP nobody answers unasked.
 * - A new sender is learnt only from a request for us, on our link; any packet may update an entry
 *   that exists (RFC 826), but only one for us confirms it.
 * - A packet that is not whole changes nothing and is answered by nobody.
 *
 * Called by ipv4.ts and dataplane/stack.ts. Read first: RFC 826, RFC 1122 2.3.2, RFC 5227.
 */
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { TRANSMIT_HEADROOM } from '../../limits.ts';
import type { Nic } from '../../nic/nic.ts';
import * as wire from '../../wire/arp.ts';
import * as eth from '../../wire/ethernet.ts';
import { isNeverHost, maskOf } from '../../wire/ipv4.ts';
import { type Environment, timerRanges } from '../both/environment.ts';
import { NeighbourCache } from '../both/neighbour-cache.ts';

const C_IN = COUNTER.arpIn;
const C_BAD = COUNTER.arpBad;
const C_CONFLICT = COUNTER.arpConflict;
const C_REQUESTS_OUT = COUNTER.arpRequestsOut;
const C_REPLIES_OUT = COUNTER.arpRepliesOut;
const C_NO_FRAME = COUNTER.txNoFrame;

const REACHABLE_MS = 60_000;

export class Arp {
  readonly neighbours: NeighbourCache;
  readonly #view: DataView;
  readonly #frames: Frames;
  readonly #nic: Nic;
  readonly #counters: Counters;
  readonly #address: number;
  readonly #mask: number;
  readonly #gateway: number;
  readonly #macHigh: number;
  readonly #macLow: number;

  /** `onFailed` is told of a neighbour that never answered, while its index still means it. */
  constructor(env: Environment, onFailed: (neighbour: number) => void) {
    const { config, nic } = env;
    const mac = new DataView(nic.mac.buffer, nic.mac.byteOffset, 6);
    this.#view = env.arena.view;
    this.#frames = env.frames;
    this.#nic = nic;
    this.#counters = env.counters;
    this.#address = config.address | 0;
    this.#mask = maskOf(config.prefixLength);
    this.#gateway = config.gateway | 0;
    this.#macHigh = eth.macHigh(mac, 0);
    this.#macLow = eth.macLow(mac, 0);
    this.neighbours = new NeighbourCache(env, {
      name: 'neighbour',
      timer: timerRanges(env.limits).arp,
      replaced: COUNTER.arpReplaced,
      heldReplaced: COUNTER.arpHeldReplaced,
      unresolved: COUNTER.arpUnresolved,
      tableFull: COUNTER.arpTableFull,
      reachableMs: REACHABLE_MS,
      delayMs: 0,
      begun: () => {},
      ended: () => {},
      ask: (address) => this.#ask(address, eth.MAC_BROADCAST_HIGH, eth.MAC_BROADCAST_LOW),
      probe: (address, high, low) => this.#ask(address, high, low),
      failed: (neighbour, _address, hasAnswered) => {
        if (!hasAnswered) onFailed(neighbour);
      },
    });
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

  /** Gratuitous request: tells everybody our MAC address (RFC 5227 2.3), when a link begins. */
  announce(): void {
    const everybody = eth.MAC_BROADCAST_HIGH;
    this.#send(wire.ARP_REQUEST, everybody, eth.MAC_BROADCAST_LOW, 0, 0, this.#address);
  }

  /** A neighbour's timer. */
  expire(neighbour: number): void {
    this.neighbours.expire(neighbour);
  }

  /** Frees held frames and forgets everybody. */
  close(): void {
    this.neighbours.close();
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
    if (isForUs && isRequest && this.#isOnLink(address)) {
      this.neighbours.heard(address, high, low, true);
    } else this.neighbours.told(address, high, low, isForUs, true);
  }

  #isOnLink(address: number): boolean {
    return ((address ^ this.#address) & this.#mask) === 0 || address === this.#gateway;
  }

  /** RFC 1122 2.3.2.1 (2): by unicast whom we know. */
  #ask(address: number, high: number, low: number): void {
    this.#send(wire.ARP_REQUEST, high, low, 0, 0, address);
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
