/**
 * A driver around a driver, for a dataplane of several threads: what arrives on one queue and
 * concerns them all is told to the others.
 *
 * - A NIC spreads frames over its queues by addresses and ports. An answer to one thread's ARP
 *   request or neighbour solicitation, a router's advertisement and an ICMP error about somebody's
 *   flow have none, or not the flow's: they arrive anywhere. Each thread has its own tables
 *   (nothing is shared), so each gets a copy.
 * - What asks something (ARP request, solicitation, echo) is answered by who gets it, once.
 * - Bounded on both sides, so that whoever floods one thread costs the others little: TOLD_MAX
 *   frames of a kind each TOLD_MS, HEARD_MAX that wait; what is more is `siblingsLimited`.
 * - Two kinds: what only somebody on our link can say, and ICMP errors, which come from anywhere.
 *   With one bound for both, 640 forged errors a second from far away kept all threads but one from
 *   hearing who their neighbours are.
 * - What was heard has a place in every batch, however many frames our own queue has.
 * - `tell` allocates: only what is rare is told.
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
  ETH_TYPE_IPV4,
  ETH_TYPE_IPV6,
  isTag,
} from '../../wire/ethernet.ts';
import { ICMP_TYPE, isError } from '../../wire/icmp.ts';
import {
  ICMP6_ERROR_MAX,
  ICMP6_NEIGHBOUR_ADVERTISEMENT,
  ICMP6_ROUTER_ADVERTISEMENT,
  ICMP6_TYPE,
} from '../../wire/icmpv6.ts';
import { IP_HEADER_BYTES, IP_PROTOCOL, IP_VERSION_IHL, PROTOCOL_ICMP } from '../../wire/ipv4.ts';
import {
  IP6_HEADER_BYTES,
  IP6_HOP_LIMIT,
  IP6_HOP_LIMIT_LINK,
  IP6_NEXT_HEADER,
  PROTOCOL_ICMP6,
} from '../../wire/ipv6.ts';
import type { Nic } from '../nic.ts';
import { AroundNic } from './around.ts';

const C_TOLD = COUNTER.siblingsTold;
const C_HEARD = COUNTER.siblingsHeard;
const C_LIMITED = COUNTER.siblingsLimited;

/** Whom a frame concerns: nobody else; all, and it is of our link; all, and it is of a path. */
export const CONCERN = { none: 0, link: 1, path: 2 } as const;
export type Concern = (typeof CONCERN)[keyof typeof CONCERN];

/** A batch of a kind in each TOLD_MS: what is honest is far below, answers and advertisements. */
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
  if (type === ETH_TYPE_IPV4) {
    if (bytes < IP_HEADER_BYTES || u8[packet + IP_PROTOCOL] !== PROTOCOL_ICMP) return CONCERN.none;
    const header = (u8[packet + IP_VERSION_IHL]! & 15) << 2;
    const isOfPath = bytes > header && isError(u8[packet + header + ICMP_TYPE]!);
    return isOfPath ? CONCERN.path : CONCERN.none;
  }
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
  if (message <= ICMP6_ERROR_MAX) return CONCERN.path;
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
  /** Brings a frame to the `hear` of every other thread. */
  tell(frame: Uint8Array): void;
}

export class Siblings extends AroundNic {
  readonly #parts: SiblingsParts;
  readonly #u8: Uint8Array;
  /** Frames from the others, oldest first. */
  readonly #heard: Uint8Array[] = [];
  /** How many of those are of paths. */
  #pathsHeard = 0;
  #toldSinceMs = 0;
  /** Since then, by concern. */
  readonly #told = new Int32Array(3);

  constructor(inner: Nic, parts: SiblingsParts) {
    super(inner);
    this.#parts = parts;
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

  override receive(max: number): number {
    const kept = Math.min(this.#heard.length, HEARD_ALWAYS, max >> 1);
    const count = this.inner.receive(max - kept);
    for (let i = 0; i < count; i++) {
      const offset = this.rxOffsets[i]!;
      const length = this.rxLengths[i]!;
      const concern = concernOf(this.#u8, offset, length);
      if (concern !== CONCERN.none) this.#tell(offset, length, concern);
    }
    return this.#heard.length === 0 ? count : this.#append(count, max);
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

  /** What was heard, behind `count` frames of our own queue, as far as `max` and the pool allow. */
  #append(count: number, max: number): number {
    const { frames, counters } = this.#parts;
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
    return this.#heard.length === 0 && super.prepareSleep();
  }
}
