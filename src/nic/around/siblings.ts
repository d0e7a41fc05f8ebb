/**
 * A driver around a driver, for a dataplane of several threads: what arrives on one queue and
 * concerns them all is told to the others, and what is another's is handed on to it.
 *
 * - A NIC spreads frames over its queues by addresses and ports. An answer to one thread's ARP
 *   request or neighbour solicitation, a router's advertisement and what an IPv6 router says of a
 *   path have none: they arrive anywhere. Each thread has its own tables (nothing is shared), so
 *   each gets a copy.
 * - What asks something (ARP request, solicitation, echo) is answered by who gets it, once.
 * - What is one flow's, errors about TCP included, is handed on by whoever has parsed it
 *   (net/both/owners.ts), through handover.ts. What a thread has no room for is dropped and counted
 *   at the one that gave it (`handedDropped`).
 * - Bounded on both sides, so that whoever floods one thread costs the others little: TOLD_MAX
 *   frames of a kind each TOLD_MS, HEARD_MAX that wait; what is more is `siblingsLimited`.
 * - Two kinds: what only somebody on our link can say, and ICMP errors, which come from anywhere.
 *   With one bound for both, 640 forged errors a second from far away kept all threads but one from
 *   hearing who their neighbours are.
 * - What was heard, and what was handed on, has a place in every batch, however many frames our own
 *   queue has.
 * - `tell` allocates: only what is rare is told. `handOn` does not.
 *
 * Made by dataplane/nics.ts; dataplane/main.ts is the way between threads. Read first: OSDI'14 4.4.
 */
import type { Arena } from '../../arena/arena.ts';
import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import { FRAME_BYTES, TRANSMIT_HEADROOM } from '../../limits.ts';
import {
  ARP_BYTES,
  ARP_OPERATION,
  ARP_REPLY,
  ARP_SENDER_IP,
  ARP_TARGET_IP,
} from '../../wire/arp.ts';
import {
  ETH_HEADER_BYTES,
  ETH_PAYLOAD,
  ETH_TAG,
  ETH_TAG_BYTES,
  ETH_TYPE,
  ETH_TYPE_ARP,
  ETH_TYPE_IPV6,
  isTag,
} from '../../wire/ethernet.ts';
import {
  ICMP6_ERROR_MAX,
  ICMP6_NEIGHBOUR_ADVERTISEMENT,
  ICMP6_QUOTE,
  ICMP6_ROUTER_ADVERTISEMENT,
  ICMP6_TYPE,
} from '../../wire/icmpv6.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import {
  IP6_HEADER_BYTES,
  IP6_HOP_LIMIT,
  IP6_HOP_LIMIT_LINK,
  IP6_NEXT_HEADER,
  PROTOCOL_ICMP6,
} from '../../wire/ipv6.ts';
import type { Nic, SiblingThreads } from '../nic.ts';
import { AroundNic } from './around.ts';
import type { Handover } from './handover.ts';

const C_TOLD = COUNTER.siblingsTold;
const C_HEARD = COUNTER.siblingsHeard;
const C_LIMITED = COUNTER.siblingsLimited;
const C_HANDED_ON = COUNTER.handedOn;
const C_HANDED_IN = COUNTER.handedIn;
const C_DROPPED = COUNTER.handedDropped;

/** Whom a frame concerns: nobody else; all, and it is of our link; all, and it is of a path. */
export const CONCERN = { none: 0, link: 1, path: 2 } as const;
export type Concern = (typeof CONCERN)[keyof typeof CONCERN];

/** A batch of each kind in each TOLD_MS: honest answers and advertisements are far below. */
const TOLD_MAX = 64;
const TOLD_MS = 100;
/** What waits for room in a batch: as much as four siblings may tell at once. */
const HEARD_MAX = 256;
/** Of these, those of paths: half. */
const HEARD_PATHS_MAX = 128;
/** Frames of a batch that what was heard has in any case: an eighth. */
const HEARD_ALWAYS = 8;
const BYTES_MAX = FRAME_BYTES - TRANSMIT_HEADROOM;

/** Whether a frame says something that every thread has to know. Any bytes, however short. */
export function concernOf(u8: Uint8Array, frame: number, length: number): Concern {
  const type = (u8[frame + ETH_TYPE]! << 8) | u8[frame + ETH_TYPE + 1]!;
  if (!isTag(type)) return concernOfType(u8, frame, length, type);
  const inner = frame + ETH_TAG_BYTES;
  const innerType = (u8[inner + ETH_TYPE]! << 8) | u8[inner + ETH_TYPE + 1]!;
  const isPriority = (u8[frame + ETH_TAG]! & 15) === 0 && u8[frame + ETH_TAG + 1] === 0;
  return isPriority ? concernOfType(u8, inner, length - ETH_TAG_BYTES, innerType) : CONCERN.none;
}

function concernOfType(u8: Uint8Array, frame: number, length: number, type: number): Concern {
  const packet = frame + ETH_PAYLOAD;
  const bytes = length - ETH_HEADER_BYTES;
  if (type === ETH_TYPE_IPV6) return concernOfIpv6(u8, packet, bytes);
  if (type !== ETH_TYPE_ARP || bytes < ARP_BYTES) return CONCERN.none;
  const isForAll = u8[packet + ARP_OPERATION + 1] === ARP_REPLY || isGratuitous(u8, packet);
  return isForAll ? CONCERN.link : CONCERN.none;
}

/** Advertisements that have crossed a router are nobody's (RFC 4861 6.1.2, 7.1.2). */
function concernOfIpv6(u8: Uint8Array, packet: number, bytes: number): Concern {
  if (bytes <= IP6_HEADER_BYTES || u8[packet + IP6_NEXT_HEADER] !== PROTOCOL_ICMP6) {
    return CONCERN.none;
  }
  const message = u8[packet + IP6_HEADER_BYTES + ICMP6_TYPE]!;
  if (message <= ICMP6_ERROR_MAX) {
    const quoted = IP6_HEADER_BYTES + ICMP6_QUOTE + IP6_NEXT_HEADER;
    const isOneFlows = bytes <= quoted || u8[packet + quoted] === PROTOCOL_TCP;
    return isOneFlows ? CONCERN.none : CONCERN.path;
  }
  const isAdvertisement =
    message === ICMP6_ROUTER_ADVERTISEMENT || message === ICMP6_NEIGHBOUR_ADVERTISEMENT;
  const isOfLink = isAdvertisement && u8[packet + IP6_HOP_LIMIT] === IP6_HOP_LIMIT_LINK;
  return isOfLink ? CONCERN.link : CONCERN.none;
}

/** A request for the sender's own address: it has moved (RFC 5227 2.3), whoever it was sent to. */
function isGratuitous(u8: Uint8Array, packet: number): boolean {
  for (let i = 0; i < 4; i++) {
    if (u8[packet + ARP_SENDER_IP + i] !== u8[packet + ARP_TARGET_IP + i]) return false;
  }
  return true;
}

export interface SiblingsParts {
  readonly arena: Arena;
  readonly frames: Frames;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly handover: Handover;
  /** Brings a frame to the `hear` of every other thread. */
  tell(frame: Uint8Array): void;
}

export class Siblings extends AroundNic implements SiblingThreads {
  override readonly siblings: SiblingThreads = this;
  readonly #parts: SiblingsParts;
  readonly #handover: Handover;
  readonly #u8: Uint8Array;
  /** Frames from the others, oldest first. */
  readonly #heard: Uint8Array[] = [];
  /** How many of those are of paths. */
  #pathsHeard = 0;
  #toldSinceMs = 0;
  /** Since then, by concern. */
  readonly #told = new Int32Array(3);
  #alternate = 0;

  constructor(inner: Nic, parts: SiblingsParts) {
    super(inner, inner.name, [...inner.fds, ...parts.handover.fds]);
    this.#parts = parts;
    this.#handover = parts.handover;
    this.#u8 = parts.arena.u8;
  }

  /** A frame that a sibling has received; the thread is to be woken. */
  hear(frame: Uint8Array): void {
    const isOfPath = concernOf(frame, 0, frame.length) === CONCERN.path;
    const isFull = this.#heard.length >= HEARD_MAX || frame.length > BYTES_MAX;
    if (isFull || (isOfPath && this.#pathsHeard >= HEARD_PATHS_MAX)) {
      this.#parts.counters.bump(C_LIMITED);
      return;
    }
    if (isOfPath) this.#pathsHeard += 1;
    this.#heard.push(frame);
  }

  handOn(thread: number, offset: number, length: number): void {
    const isGiven = this.#handover.give(thread, offset, length);
    this.#parts.counters.bump(isGiven ? C_HANDED_ON : C_DROPPED);
  }

  override receive(max: number): number {
    const handed = this.#handover.waiting();
    const heard = Math.min(this.#heard.length, HEARD_ALWAYS, max >> 1);
    const count = this.inner.receive((max - heard - this.#share(handed, max)) | 0);
    for (let i = 0; i < count; i++) {
      const offset = this.rxOffsets[i]!;
      const length = this.rxLengths[i]!;
      const concern = concernOf(this.#u8, offset, length);
      if (concern !== CONCERN.none) this.#tell(offset, length, concern);
    }
    return handed === 0 && this.#heard.length === 0 ? count : this.#append(count, max, heard);
  }

  /** Places kept for what was handed on: a quarter of a batch, of a small one every other time. */
  #share(handed: number, max: number): number {
    if (handed === 0) return 0;
    return max < 4 ? (this.#alternate ^= 1) : Math.min(handed, max >> 2);
  }

  #tell(offset: number, length: number, concern: Concern): void {
    const { clock, counters } = this.#parts;
    if (((clock.ms - this.#toldSinceMs) | 0) >= TOLD_MS) {
      this.#toldSinceMs = clock.ms;
      this.#told.fill(0);
    }
    if (this.#told[concern]! >= TOLD_MAX) return counters.bump(C_LIMITED);
    this.#told[concern]! += 1;
    counters.bump(C_TOLD);
    this.#parts.tell(this.#u8.slice(offset, offset + length));
  }

  /**
   * What was handed on and what was heard, behind `count` frames of our own queue, as far as `max`
   * and the pool allow; `heard` places are for what was heard.
   */
  #append(count: number, max: number, heard: number): number {
    const { frames, counters } = this.#parts;
    const handover = this.#handover;
    for (let left = handover.waiting(); left > 0 && count < ((max - heard) | 0); left--) {
      const taken = frames.takeReceive();
      if (taken < 0) return count;
      handover.take(taken);
      this.rxOffsets[count] = (taken + handover.shift) | 0;
      this.rxLengths[count] = handover.length;
      counters.bump(C_HANDED_IN);
      count = (count + 1) | 0;
    }
    while (count < max && this.#heard.length > 0) {
      const taken = frames.takeReceive();
      if (taken < 0) break;
      const frame = this.#heard.shift()!;
      if (concernOf(frame, 0, frame.length) === CONCERN.path) this.#pathsHeard -= 1;
      this.#u8.set(frame, taken + TRANSMIT_HEADROOM);
      this.rxOffsets[count] = taken + TRANSMIT_HEADROOM;
      this.rxLengths[count] = frame.length;
      counters.bump(C_HEARD);
      count += 1;
    }
    return count;
  }

  override prepareSleep(): boolean {
    if (this.#heard.length > 0 || !this.#handover.prepareSleep()) return false;
    if (super.prepareSleep()) return true;
    this.#handover.wake();
    return false;
  }

  override wake(): void {
    this.#handover.wake();
    super.wake();
  }
}
