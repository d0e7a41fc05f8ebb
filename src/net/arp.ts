/**
 * ARP: which MAC address stands behind a neighbour's IPv4 address.
 *
 * - One table a thread; an entry is one cache line of int32 words. An index is a hint: `isFor` says whether it still
 *   means the address that the caller has in mind (entries are reused without telling anybody).
 * - States: INCOMPLETE (asked, one frame held, a newer one replaces it) -> REACHABLE (confirmed less than 60 s ago)
 *   -> STALE (good enough to send to, but its next use starts a probe) -> PROBE (asked by unicast) -> gone.
 * - Asks once a second, three times (RFC 1122 2.3.2.1); an address that never answers loses its held frame.
 * - Learns a new sender only from a request for us; any packet may update an entry that exists (RFC 826), but only
 *   an answer to us confirms it. A table that is full learns nobody unasked; our own need replaces an entry.
 * - `transmit` consumes its frame, always.
 * - More than one queue: replies reach one thread only; it tells the others' tables by `learn`.
 *
 * Called by ipv4.ts and stack.ts. Read first: RFC 826, RFC 1122 2.3.2, RFC 5227.
 */
import type { Arena } from '../arena/arena.ts';
import type { Frames } from '../arena/frames.ts';
import { FreeList } from '../arena/list.ts';
import { Table } from '../arena/table.ts';
import type { Wheel } from '../arena/wheel.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { TRANSMIT_HEADROOM } from '../limits.ts';
import type { Nic } from '../nic/nic.ts';
import { assert, VERIFY } from '../verify.ts';
import * as wire from '../wire/arp.ts';
import {
  ETH_DESTINATION,
  ETH_PAYLOAD,
  ETH_SOURCE,
  ETH_TYPE,
  ETH_TYPE_ARP,
  MAC_BROADCAST_HIGH,
  MAC_BROADCAST_LOW,
  MAC_GROUP,
  macHigh,
  macLow,
  setMac,
} from '../wire/ethernet.ts';
import { isNeverHost } from '../wire/ipv4.ts';
import { type Clock, type Environment, timerRanges } from './environment.ts';

const C_IN = COUNTER.arpIn;
const C_BAD = COUNTER.arpBad;
const C_CONFLICT = COUNTER.arpConflict;
const C_TABLE_FULL = COUNTER.arpTableFull;
const C_REPLACED = COUNTER.arpReplaced;
const C_HELD_REPLACED = COUNTER.arpHeldReplaced;
const C_UNRESOLVED = COUNTER.arpUnresolved;
const C_REQUESTS_OUT = COUNTER.arpRequestsOut;
const C_REPLIES_OUT = COUNTER.arpRepliesOut;
const C_NO_FRAME = COUNTER.txNoFrame;

/** Words of an entry: 64 bytes. */
const ENTRY_SHIFT = 4;
const ADDRESS = 0;
const STATE = 1;
const MAC_HIGH = 2;
const MAC_LOW = 3;
/** Clock.ms of the last frame sent to it. */
const USED = 4;
/** Clock.ms at which the state's time is up. */
const DEADLINE = 5;
/** The frame that waits for an answer (0: none) and its bytes. */
const HELD = 6;
const HELD_BYTES = 7;
const TRIES = 8;

const FREE = 0;
const INCOMPLETE = 1;
const REACHABLE = 2;
const STALE = 3;
const PROBE = 4;

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
  readonly #wheel: Wheel;
  readonly #table: Table;
  readonly #free: FreeList;
  /** Word index of entry 0. */
  readonly #entries: number;
  readonly #count: number;
  readonly #timer: number;
  readonly #address: number;
  readonly #macHigh: number;
  readonly #macLow: number;
  /** Clock.ms for which the wheel is armed. */
  #timerMs = 0;
  /** Entries that wait for their first answer. */
  #incomplete = 0;

  constructor(env: Environment) {
    const { config, limits, nic } = env;
    const arena: Arena = env.arena;
    const mac = new DataView(nic.mac.buffer, nic.mac.byteOffset, 6);
    this.#i32 = arena.i32;
    this.#view = arena.view;
    this.#frames = env.frames;
    this.#nic = nic;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#wheel = env.wheel;
    this.#count = limits.neighbours;
    this.#table = new Table(
      arena,
      'neighbour table',
      limits.neighbours,
      config.secret0,
      config.secret1,
    );
    this.#free = new FreeList(arena, 'neighbour indexes', limits.neighbours);
    this.#entries = arena.carve('neighbours', limits.neighbours << (ENTRY_SHIFT + 2), 64) >> 2;
    this.#timer = timerRanges(limits).arp;
    this.#address = config.address | 0;
    this.#macHigh = macHigh(mac, 0);
    this.#macLow = macLow(mac, 0);
  }

  /** Entries in use. */
  get count(): number {
    return this.#table.count;
  }

  /** Whether `neighbour` is now the entry of `address`. Any int32 may be asked about. */
  isFor(neighbour: number, address: number): boolean {
    return (
      neighbour >= 0 &&
      neighbour < this.#count &&
      this.#i32[this.#entries + (neighbour << ENTRY_SHIFT) + ADDRESS] === address
    );
  }

  /** Index of an on-link address's entry, which is made and asked for when it is new. */
  neighbourFor(address: number): number {
    const found = this.#table.find(address, 0, 0);
    if (found >= 0) return found;
    if (this.#free.free === 0) this.#replace();
    const neighbour = this.#make(address, INCOMPLETE);
    this.#incomplete = (this.#incomplete + 1) | 0;
    this.#ask(this.#entries + (neighbour << ENTRY_SHIFT));
    return neighbour;
  }

  /** Consumes a frame of `length` bytes whose destination MAC is still missing. */
  transmit(neighbour: number, frame: number, length: number): void {
    const i32 = this.#i32;
    const entry = this.#entries + (neighbour << ENTRY_SHIFT);
    const state = i32[entry + STATE]!;
    i32[entry + USED] = this.#clock.ms;
    if (state !== REACHABLE) {
      if (VERIFY) assert(state !== FREE, 'arp: transmit to a free entry');
      if (state === INCOMPLETE) {
        this.#hold(entry, frame, length);
        return;
      }
      if (state === STALE) {
        i32[entry + STATE] = PROBE;
        i32[entry + TRIES] = 0;
        this.#ask(entry);
      }
    }
    setMac(this.#view, frame + ETH_DESTINATION, i32[entry + MAC_HIGH]!, i32[entry + MAC_LOW]!);
    this.#nic.transmit(frame, length);
  }

  /** One ARP packet; the caller frees the frame. */
  input(offset: number, length: number): void {
    const view = this.#view;
    this.#counters.bump(C_IN);
    const arp = offset + ETH_PAYLOAD;
    if (length < ETH_PAYLOAD + wire.ARP_BYTES || !this.#isSound(arp)) {
      this.#counters.bump(C_BAD);
      return;
    }
    const high = macHigh(view, arp + wire.ARP_SENDER_MAC);
    const low = macLow(view, arp + wire.ARP_SENDER_MAC);
    const sender = view.getInt32(arp + wire.ARP_SENDER_IP);
    const isRequest = view.getUint16(arp + wire.ARP_OPERATION) === wire.ARP_REQUEST;
    const isForUs = view.getInt32(arp + wire.ARP_TARGET_IP) === this.#address;
    if (sender === this.#address) {
      this.#counters.bump(C_CONFLICT); // somebody else has our address, or a loop: nothing to learn (RFC 5227 2.4)
      return;
    }
    if (sender !== 0) this.#merge(sender, high, low, isForUs, isRequest); // sender 0 is a probe (RFC 5227 2.1.1)
    if (isRequest && isForUs) this.#reply(high, low, sender);
  }

  /** Another thread of this dataplane has seen that `address` answers from this MAC address. */
  learn(address: number, high: number, low: number): void {
    this.#merge(address, high, low, true, false);
  }

  /** Gratuitous request: tells everybody our MAC address (RFC 5227 2.3). Called when the dataplane starts. */
  announce(): void {
    this.#send(wire.ARP_REQUEST, MAC_BROADCAST_HIGH, MAC_BROADCAST_LOW, 0, 0, this.#address);
  }

  /** The timer: every entry whose time is up takes its next step. */
  expire(): void {
    const i32 = this.#i32;
    const now = this.#clock.ms;
    for (let n = 0, e = this.#entries; n < this.#count; n++, e += 1 << ENTRY_SHIFT) {
      if (i32[e + STATE] === FREE) continue;
      if (((i32[e + DEADLINE]! - now) | 0) <= 0) this.#expireEntry(n, e);
      if (i32[e + STATE] !== FREE) this.#armFor(i32[e + DEADLINE]!);
    }
  }

  /** Frees held frames and forgets everybody. */
  close(): void {
    for (let n = 0; n < this.#count; n++) {
      if (this.#i32[this.#entries + (n << ENTRY_SHIFT) + STATE] !== FREE) this.#remove(n);
    }
    this.#wheel.cancel(this.#timer);
  }

  #isSound(arp: number): boolean {
    const view = this.#view;
    const operation = view.getUint16(arp + wire.ARP_OPERATION);
    const high = macHigh(view, arp + wire.ARP_SENDER_MAC);
    const sender = view.getInt32(arp + wire.ARP_SENDER_IP);
    return (
      view.getInt32(arp + wire.ARP_HARDWARE) === wire.ARP_ETHERNET_IPV4 &&
      view.getUint16(arp + wire.ARP_LENGTHS) === wire.ARP_LENGTHS_6_4 &&
      (operation === wire.ARP_REQUEST || operation === wire.ARP_REPLY) &&
      (high & MAC_GROUP) === 0 &&
      (high !== 0 || macLow(view, arp + wire.ARP_SENDER_MAC) !== 0) &&
      (sender === 0 || !isNeverHost(sender))
    );
  }

  /** RFC 826's merge: updates an entry; makes one only for who asks for us. */
  #merge(
    address: number,
    high: number,
    low: number,
    isForUs: boolean,
    isRequest: boolean,
  ): void {
    const i32 = this.#i32;
    let neighbour = this.#table.find(address, 0, 0);
    if (neighbour < 0) {
      if (!isForUs || !isRequest) return;
      if (this.#free.free === 0) {
        this.#counters.bump(C_TABLE_FULL);
        return;
      }
      neighbour = this.#make(address, REACHABLE);
    }
    const entry = this.#entries + (neighbour << ENTRY_SHIFT);
    const state = i32[entry + STATE]!;
    const isSame = i32[entry + MAC_HIGH] === high && i32[entry + MAC_LOW] === low;
    if (!isForUs && isSame && state !== INCOMPLETE) return; // nothing new, and no proof that it hears us
    if (state === INCOMPLETE) this.#incomplete = (this.#incomplete - 1) | 0;
    i32[entry + MAC_HIGH] = high;
    i32[entry + MAC_LOW] = low;
    const isConfirmed = isForUs || state === INCOMPLETE;
    i32[entry + STATE] = isConfirmed ? REACHABLE : STALE;
    this.#due(entry, isConfirmed ? REACHABLE_MS : STALE_MS);
    const held = i32[entry + HELD]!;
    if (held === 0) return;
    i32[entry + HELD] = 0;
    this.transmit(neighbour, held, i32[entry + HELD_BYTES]!);
  }

  #make(address: number, state: number): number {
    const i32 = this.#i32;
    const neighbour = this.#free.take();
    this.#table.insert(address, 0, 0, neighbour);
    const entry = this.#entries + (neighbour << ENTRY_SHIFT);
    i32[entry + ADDRESS] = address;
    i32[entry + STATE] = state;
    i32[entry + MAC_HIGH] = 0;
    i32[entry + MAC_LOW] = 0;
    i32[entry + USED] = this.#clock.ms;
    i32[entry + HELD] = 0;
    i32[entry + TRIES] = 0;
    return neighbour;
  }

  #remove(neighbour: number): void {
    const i32 = this.#i32;
    const entry = this.#entries + (neighbour << ENTRY_SHIFT);
    const held = i32[entry + HELD]!;
    if (held !== 0) this.#frames.free(held);
    if (i32[entry + STATE] === INCOMPLETE) this.#incomplete = (this.#incomplete - 1) | 0;
    this.#table.remove(i32[entry + ADDRESS]!, 0, 0);
    i32[entry + ADDRESS] = 0; // no next hop is 0, so stale hints are found out
    i32[entry + STATE] = FREE;
    i32[entry + HELD] = 0;
    this.#free.give(neighbour);
  }

  /**
   * Makes room: the entry used longest ago goes. Once a quarter of the table waits for first answers, it is one of
   * those, so that a scan of addresses that do not exist cannot push out who is really there.
   */
  #replace(): void {
    const i32 = this.#i32;
    const isScan = this.#incomplete > this.#count >> 2;
    const now = this.#clock.ms;
    let victim = -1;
    let oldest = -1;
    for (let n = 0, e = this.#entries; n < this.#count; n++, e += 1 << ENTRY_SHIFT) {
      if (isScan && i32[e + STATE] !== INCOMPLETE) continue;
      const age = (now - i32[e + USED]!) & 0x7fff_ffff;
      if (age > oldest) {
        oldest = age;
        victim = n;
      }
    }
    this.#counters.bump(C_REPLACED);
    if (i32[this.#entries + (victim << ENTRY_SHIFT) + HELD] !== 0) this.#counters.bump(C_UNRESOLVED);
    this.#remove(victim);
  }

  /** Keeps the newest frame for an address that has not answered yet (RFC 1122 2.3.2.2). */
  #hold(entry: number, frame: number, length: number): void {
    const i32 = this.#i32;
    const older = i32[entry + HELD]!;
    if (older !== 0) {
      this.#counters.bump(C_HELD_REPLACED);
      this.#frames.free(older);
    }
    i32[entry + HELD] = frame;
    i32[entry + HELD_BYTES] = length;
  }

  #expireEntry(neighbour: number, entry: number): void {
    const i32 = this.#i32;
    const state = i32[entry + STATE]!;
    if (state === REACHABLE) {
      i32[entry + STATE] = STALE;
      this.#due(entry, STALE_MS);
    } else if (state !== STALE && i32[entry + TRIES]! < TRIES_MAX) {
      this.#ask(entry);
    } else {
      if (i32[entry + HELD] !== 0) this.#counters.bump(C_UNRESOLVED);
      this.#remove(neighbour);
    }
  }

  /** One request: to everybody, or to the MAC address that answered last time (RFC 1122 2.3.2.1 (2)). */
  #ask(entry: number): void {
    const i32 = this.#i32;
    const isProbe = i32[entry + STATE] === PROBE;
    const high = isProbe ? i32[entry + MAC_HIGH]! : MAC_BROADCAST_HIGH;
    const low = isProbe ? i32[entry + MAC_LOW]! : MAC_BROADCAST_LOW;
    i32[entry + TRIES] = i32[entry + TRIES]! + 1;
    this.#due(entry, RETRY_MS);
    this.#send(wire.ARP_REQUEST, high, low, 0, 0, i32[entry + ADDRESS]!);
    this.#counters.bump(C_REQUESTS_OUT);
  }

  #reply(high: number, low: number, sender: number): void {
    this.#send(wire.ARP_REPLY, high, low, high, low, sender);
    this.#counters.bump(C_REPLIES_OUT);
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
    const arp = frame + ETH_PAYLOAD;
    setMac(view, frame + ETH_DESTINATION, toHigh, toLow);
    setMac(view, frame + ETH_SOURCE, this.#macHigh, this.#macLow);
    view.setUint16(frame + ETH_TYPE, ETH_TYPE_ARP);
    view.setInt32(arp + wire.ARP_HARDWARE, wire.ARP_ETHERNET_IPV4);
    view.setUint16(arp + wire.ARP_LENGTHS, wire.ARP_LENGTHS_6_4);
    view.setUint16(arp + wire.ARP_OPERATION, operation);
    setMac(view, arp + wire.ARP_SENDER_MAC, this.#macHigh, this.#macLow);
    view.setInt32(arp + wire.ARP_SENDER_IP, this.#address);
    setMac(view, arp + wire.ARP_TARGET_MAC, targetHigh, targetLow);
    view.setInt32(arp + wire.ARP_TARGET_IP, target);
    this.#nic.transmit(frame, ETH_PAYLOAD + wire.ARP_BYTES);
  }

  /** Sets when an entry's time is up. */
  #due(entry: number, delayMs: number): void {
    const deadline = (this.#clock.ms + delayMs) | 0;
    this.#i32[entry + DEADLINE] = deadline;
    this.#armFor(deadline);
  }

  #armFor(deadlineMs: number): void {
    if (this.#wheel.isArmed(this.#timer) && ((deadlineMs - this.#timerMs) | 0) >= 0) return;
    this.#timerMs = deadlineMs;
    const delayMs = Math.max(0, (deadlineMs - this.#clock.ms) | 0);
    this.#wheel.arm(this.#timer, (this.#clock.us + delayMs * 1000) | 0);
  }
}
