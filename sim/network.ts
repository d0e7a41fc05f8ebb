/**
 * The network between the hosts: a switch with a path of its own for each direction between two
 * hosts.
 *
 * - Frames are copied into slots of the network's own arena when sent, and out of them when
 *   received; the kernels of that arena check sums for the observer.
 * - `hash` is a function of every frame sent, its time, and what became of it: two runs with the
 *   same hash were the same.
 *
 * Called by sim-nic.ts (send, deliver, release) and run.ts. Read first: path.ts.
 */
import { crc32 } from 'node:zlib';
import type { Arena } from '../src/arena/arena.ts';
import { FRAME_BYTES } from '../src/limits.ts';
import {
  ETH_DESTINATION,
  ETH_HEADER_BYTES,
  ETH_PAYLOAD,
  ETH_TYPE,
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
  MAC_GROUP,
  macHigh,
  macLow,
} from '../src/wire/ethernet.ts';
import { IP_DONT_FRAGMENT, IP_FRAGMENT } from '../src/wire/ipv4.ts';
import { IP6_HOP_LIMIT, IP6_MTU_MIN } from '../src/wire/ipv6.ts';
import { MAC_HIGH, MAC_LOW_BASE } from './address.ts';
import { type Forged, swapWords, writeForged } from './forge.ts';
import type { FrameLog } from './frame-log.ts';
import { markCongestion, mayMark } from './mark.ts';
import type { Observer } from './observer.ts';
import { FATE, Path, type PathOptions } from './path.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';
import type { SimNic } from './sim-nic.ts';
import { writeTooBig, writeTooBig6 } from './too-big.ts';

const SLOTS = 3584;
/** Headers are hashed well, the rest by its sum: the observer has compared it already. */
const HASHED_BYTES = 96;
export const NETWORK_ARENA_BYTES = SLOTS * FRAME_BYTES + 3 * 65_536;

export interface NetworkParts {
  schedule: Schedule;
  arena: Arena;
  log: FrameLog;
  observer: Observer;
  random: Random;
  /** The impairments from one host to another. */
  options(from: number, to: number): PathOptions;
  hosts: number;
  /** A frame waits at the host's driver. */
  arrived(host: number): void;
}

const FATE_TEXT: Record<number, string> = {
  [FATE.lost]: 'lost',
  [FATE.queueFull]: 'queue full',
  [FATE.down]: 'partition',
};

export class Network {
  /**
   * Frames sent, and of them those that the network did not deliver once, unchanged and in order.
   */
  sent = 0;
  harmed = 0;
  hash = 0;
  readonly paths: Path[][];
  readonly #parts: NetworkParts;
  readonly #schedule: Schedule;
  readonly #arena: Arena;
  readonly #nics: (SimNic | null)[] = [];
  readonly #free: number[] = [];
  /** By slot number. */
  readonly #lengths = new Int32Array(SLOTS);
  readonly #isCorrupt = new Uint8Array(SLOTS);
  readonly #base: number;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
    this.#schedule = parts.schedule;
    this.#arena = parts.arena;
    this.#base = parts.arena.carve('network slots', SLOTS * FRAME_BYTES);
    for (let slot = SLOTS - 1; slot >= 0; slot--) this.#free.push(slot);
    const range = [...Array(parts.hosts).keys()];
    this.paths = range.map((from) =>
      range.map((to) => new Path(parts.options(from, to), parts.random.fork(from * 16 + to))),
    );
  }

  /** The host's driver from now on; null: it is gone, frames for it are lost. */
  plug(host: number, nic: SimNic | null): void {
    this.#nics[host] = nic;
  }

  /** Slots in use: 0 when no frame is on its way. */
  get inFlight(): number {
    return SLOTS - this.#free.length;
  }

  #at(slot: number): number {
    return this.#base + slot * FRAME_BYTES;
  }

  /**
   * From a driver: `length` bytes at `offset` go out, or would if the driver's ring were not full.
   */
  send(from: number, bytes: Uint8Array, offset: number, length: number, isDropped = false): void {
    const { view, u8 } = this.#arena;
    const slot = this.#take(length);
    const at = this.#at(slot);
    u8.set(bytes.subarray(offset, offset + length), at);
    this.sent++;
    this.hash = crc32(u8.subarray(at, at + Math.min(length, HASHED_BYTES)), this.hash);
    this.#mix(this.#arena.kernels.sum(at, length, 0));
    this.#mix(this.#schedule.now);
    try {
      this.#parts.observer.sent(from, at, length);
    } catch (error) {
      this.#log(at, length, 'against the rules');
      throw error;
    }
    const high = macHigh(view, at + ETH_DESTINATION);
    if (isDropped) this.#log(at, length, 'transmit ring full');
    else if ((high & MAC_GROUP) !== 0) {
      for (let to = 0; to < this.#parts.hosts; to++) if (to !== from) this.#path(from, to, slot);
    } else if (high === MAC_HIGH) {
      const to = macLow(view, at + ETH_DESTINATION) - MAC_LOW_BASE;
      if (to >= 0 && to < this.#parts.hosts && to !== from) this.#path(from, to, slot);
    }
    this.release(slot);
  }

  #mix(value: number): void {
    this.hash = (Math.imul(this.hash ^ (value | 0), 0x9e3779b1) ^ (value / 0x1_0000_0000)) >>> 0;
  }

  /** One copy of the frame in `slot`, which stays, takes the path to one host. */
  #path(from: number, to: number, slot: number): void {
    const { view } = this.#arena;
    const path = this.paths[from]![to]!;
    const at = this.#at(slot);
    const length = this.#lengths[slot]!;
    const type = view.getUint16(at + ETH_TYPE);
    const isIpv6 = type === ETH_TYPE_IPV6;
    const isIp = isIpv6 || type === ETH_TYPE_IPV4;
    const mtu = isIpv6 && path.mtu > 0 ? Math.max(path.mtu, IP6_MTU_MIN) : path.mtu;
    if (mtu > 0 && isIp && length - ETH_HEADER_BYTES > mtu) {
      this.harmed++;
      this.#log(at, length, `too big for ${mtu}`);
      const isWhole = (view.getUint16(at + ETH_PAYLOAD + IP_FRAGMENT) & IP_DONT_FRAGMENT) !== 0;
      if ((isIpv6 || isWhole) && !path.isSilent) this.#tooBig(from, to, at, mtu, isIpv6);
      return;
    }
    const arrival = path.send(this.#schedule.now, length, isIp);
    this.#mix(arrival);
    const bit = path.corruptBit;
    const again = path.duplicateAt;
    if (arrival < 0 || bit >= 0 || again > 0) this.harmed++;
    const fate =
      arrival < 0 ? FATE_TEXT[arrival]! : bit >= 0 ? 'corrupted' : again > 0 ? 'duplicated' : '';
    this.#log(at, length, fate);
    if (arrival < 0) return;
    const isMarked = isIp && path.isMarked && mayMark(view, at + ETH_PAYLOAD);
    this.#fly(from, at, length, to, arrival, bit, isMarked);
    if (again > 0) this.#fly(from, at, length, to, again, -1, isMarked);
  }

  #log(at: number, length: number, fate: string): void {
    this.#parts.log.add(this.#schedule.now, this.#arena.u8, at, length, fate);
  }

  #fly(
    from: number,
    at: number,
    length: number,
    to: number,
    arrival: number,
    bit: number,
    isMarked = false,
  ): void {
    if (this.#free.length < 2) {
      this.harmed++;
      return;
    }
    const { u8 } = this.#arena;
    const slot = this.#take(length);
    const copy = this.#at(slot);
    u8.copyWithin(copy, at, at + length);
    if (isMarked) markCongestion(this.#arena.view, copy + ETH_PAYLOAD);
    this.#isCorrupt[slot] = bit < 0 || this.#isUnguarded(at, bit) ? 0 : 1;
    if (this.paths[from]![to]!.options.forges) swapWords(this.#arena.view, copy, length);
    if (bit >= 0) u8[copy + (bit >> 3)] = u8[copy + (bit >> 3)]! ^ (1 << (bit & 7));
    this.#schedule.at(arrival, () => {
      const nic = this.#nics[to];
      if (!nic) return this.release(slot);
      nic.arrive(slot);
      this.#parts.arrived(to);
    });
  }

  /**
   * Bits of an IPv6 header that no checksum covers: traffic class, flow label, hop limit. The
   * packet is taken as it is.
   */
  #isUnguarded(at: number, bit: number): boolean {
    if (this.#arena.view.getUint16(at + ETH_TYPE) !== ETH_TYPE_IPV6) return false;
    const place = bit - ETH_HEADER_BYTES * 8;
    const isClassOrLabel = place >= 8 ? place < 32 : place >= 0 && (place & 7) < 4;
    return isClassOrLabel || place >> 3 === IP6_HOP_LIMIT;
  }

  /** Somebody sends this; it arrives at once, and the observer hears only of what is answered. */
  forge(forged: Forged): void {
    const slot = this.#take(0);
    const { view, u8 } = this.#arena;
    const length = writeForged(view, u8, this.#at(slot), forged);
    this.#lengths[slot] = length;
    this.#isCorrupt[slot] = 1;
    this.#log(this.#at(slot), length, 'forged');
    const nic = this.#nics[forged.to];
    if (!nic) return this.release(slot);
    nic.arrive(slot);
    this.#parts.arrived(forged.to);
  }

  /** The way back takes as long as the way there, and is as bad. */
  #tooBig(from: number, to: number, at: number, mtu: number, isIpv6: boolean): void {
    const slot = this.#take(0);
    const reply = this.#at(slot);
    const { view, u8 } = this.#arena;
    const write = isIpv6 ? writeTooBig6 : writeTooBig;
    const length = write(view, u8, reply, at, mtu);
    const arrival = this.paths[to]![from]!.send(this.#schedule.now, length, false);
    this.#log(reply, length, arrival < 0 ? FATE_TEXT[arrival]! : '');
    if (arrival >= 0) this.#fly(to, reply, length, from, arrival, -1);
    this.release(slot);
  }

  #take(length: number): number {
    const slot = this.#free.pop()!;
    this.#lengths[slot] = length;
    this.#isCorrupt[slot] = 0;
    return slot;
  }

  /**
   * To a driver: copies the frame in `slot` to `offset`; its length. The slot stays the driver's.
   */
  deliver(slot: number, host: number, bytes: Uint8Array, offset: number): number {
    const at = this.#at(slot);
    const length = this.#lengths[slot]!;
    bytes.set(this.#arena.u8.subarray(at, at + length), offset);
    if (this.#isCorrupt[slot] === 0) this.#parts.observer.delivered(host, at, length);
    return length;
  }

  release(slot: number): void {
    this.#free.push(slot);
  }
}
