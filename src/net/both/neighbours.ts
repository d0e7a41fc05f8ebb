/**
 * The neighbour table: one entry, a cache line of int32 words, for each on-link address that
 * matters now. ARP has one and neighbour discovery another: an address is one word, IPv4's own or a
 * token (net/v6/destinations.ts).
 *
 * - Every entry is in one list, has a timer of its own, and is found by its address. So whoever is
 *   on the link can make entries, and nothing here walks the table: who has to go is found among
 *   the first LOOKS of a list. `steps` counts them under VERIFY.
 * - One rule of its own, who has to go when it is full (`replace`); the rest is
 *   neighbour-cache.ts's.
 * - An index is a hint, since entries are reused without telling anybody: `isFor` says whether it
 *   still means the address that the caller has in mind. Address 0, no next hop, is a free entry's.
 * - An INCOMPLETE entry holds a few frames, the newest ones, in order (RFC 1122 2.3.2.2 asks for
 *   one); all entries together an eighth of the transmit pool, and one each. `remove` frees them.
 *
 * Called by neighbour-cache.ts. Read first: RFC 4861 7.3.2, whose states these are.
 */
import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import { FreeList, IndexList } from '../../arena/list.ts';
import { Table } from '../../arena/table.ts';
import type { Wheel } from '../../arena/wheel.ts';
import type { Counters } from '../../counters.ts';
import { VERIFY } from '../../verify.ts';
import type { Environment } from './environment.ts';

/** What sets one table apart from another. */
export interface NeighbourKind {
  readonly name: string;
  /** The first of its timers. */
  readonly timer: number;
  /** Counters. */
  readonly replaced: number;
  readonly heldReplaced: number;
  readonly unresolved: number;
  /** An entry comes for an address, or goes. */
  begun(address: number): void;
  ended(address: number): void;
}

/** Words of an entry: 128 bytes, of which a resolved one uses the first line. */
const ENTRY_SHIFT = 5;
export const ENTRY_WORDS: number = 1 << ENTRY_SHIFT;
export const ADDRESS = 0;
export const STATE = 1;
export const MAC_HIGH = 2;
export const MAC_LOW = 3;
/** Clock.ms of the last frame sent to it. */
export const USED = 4;
/** Clock.ms at which the state's time is up. */
export const DEADLINE = 5;
/** How many frames wait for an answer. */
export const HELD = 6;
/** Bytes of the frame that `takeHeld` has handed over. */
export const HELD_BYTES = 7;
/** Requests sent in this state. */
export const TRIES = 8;
/** USED as it was when the entry took its place in the list. */
const PLACED = 9;
/** Frames that one entry holds: what a peer's first second of silence may take of the pool. */
const HELD_MAX = 8;
/** The frames, oldest first, and their bytes. */
const HELD_FRAMES = 16;
const HELD_LENGTHS = HELD_FRAMES + HELD_MAX;

export const FREE = 0;
/** Asked, and never answered. */
export const INCOMPLETE = 1;
/** Confirmed a short while ago. */
export const REACHABLE = 2;
/** Good enough to send to; its next use asks again. */
export const STALE = 3;
/** Asked again, by unicast. */
export const PROBE = 4;
/** Used after a while; asked again unless it is heard of soon. */
export const DELAY = 5;

/**
 * The two lists: who was asked and never answered, by age; the others, by last use, to PLACE_MS.
 */
const ASKED = 0;
const KNOWN = 1;
const LISTS = 2;
/** Most entries that are looked at to find who has to go. */
export const LOOKS = 16;
/** Who is in use moves to the end of its list so often at most: not for every frame. */
const PLACE_MS = 100;
/** The wheel takes deadlines below 2^31 us; longer waits are made of several. */
const WAIT_MAX_MS = 1_000_000;

export class Neighbours {
  /** VERIFY: entries that `replace` looked at. */
  steps = 0;
  readonly count: number;
  readonly #i32: Int32Array;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #kind: NeighbourKind;
  readonly #table: Table;
  readonly #free: FreeList;
  readonly #lists: IndexList;
  readonly #wheel: Wheel;
  /** Word index of entry 0. */
  readonly #entries: number;
  readonly #heldMax: number;
  /** Frames that all entries hold. */
  #held = 0;
  #incomplete = 0;

  constructor(env: Environment, kind: NeighbourKind) {
    const { arena, config } = env;
    const { name } = kind;
    this.#kind = kind;
    this.count = env.limits.neighbours;
    this.#heldMax = env.limits.transmitFrames >> 3;
    this.#i32 = arena.i32;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#table = new Table(arena, `${name} table`, this.count, config.secret0, config.secret1);
    this.#free = new FreeList(arena, `${name} indexes`, this.count);
    this.#lists = new IndexList(arena, `${name} lists`, this.count, LISTS);
    this.#wheel = env.wheel;
    this.#entries = arena.carve(`${name}s`, this.count << (ENTRY_SHIFT + 2), 64) >> 2;
  }

  get used(): number {
    return this.#table.count;
  }

  get isFull(): boolean {
    return this.#free.free === 0;
  }

  /** Word index of an entry. */
  at(neighbour: number): number {
    return this.#entries + (neighbour << ENTRY_SHIFT);
  }

  /** Index of an address's entry, or -1. */
  find(address: number): number {
    return this.#table.find(address, 0, 0);
  }

  /** Whether `neighbour` is now the entry of `address`. Any int32 may be asked about. */
  isFor(neighbour: number, address: number): boolean {
    return (
      neighbour >= 0 &&
      neighbour < this.count &&
      this.#i32[this.#entries + (neighbour << ENTRY_SHIFT) + ADDRESS] === address
    );
  }

  /** A new entry without a MAC address; the table must not be full. */
  make(address: number): number {
    const i32 = this.#i32;
    const neighbour = this.#free.take();
    this.#table.insert(address, 0, 0, neighbour);
    const entry = this.at(neighbour);
    i32.fill(0, entry, entry + ENTRY_WORDS);
    i32[entry + ADDRESS] = address;
    i32[entry + USED] = this.#clock.ms;
    i32[entry + STATE] = INCOMPLETE;
    this.#incomplete = (this.#incomplete + 1) | 0;
    this.#lists.push(neighbour, ASKED);
    this.#kind.begun(address);
    return neighbour;
  }

  /** An entry's MAC address is known; its state, still the one before, is its caller's to set. */
  resolve(entry: number, high: number, low: number): void {
    const i32 = this.#i32;
    if (i32[entry + STATE] === INCOMPLETE) this.#incomplete = (this.#incomplete - 1) | 0;
    i32[entry + MAC_HIGH] = high;
    i32[entry + MAC_LOW] = low;
    this.#place(this.#indexOf(entry));
  }

  #indexOf(entry: number): number {
    return (entry - this.#entries) >> ENTRY_SHIFT;
  }

  /** A frame goes there. */
  use(entry: number): void {
    const i32 = this.#i32;
    const now = this.#clock.ms;
    i32[entry + USED] = now;
    if (((now - i32[entry + PLACED]!) | 0) < PLACE_MS || i32[entry + STATE] === INCOMPLETE) return;
    this.#place(this.#indexOf(entry));
  }

  /** To the end of the list of those who have answered. */
  #place(neighbour: number): void {
    const entry = this.at(neighbour);
    this.#i32[entry + PLACED] = this.#i32[entry + USED]!;
    this.#lists.remove(neighbour);
    this.#lists.push(neighbour, KNOWN);
  }

  /** Sets when an entry's time is up. */
  due(entry: number, delayMs: number): void {
    this.#i32[entry + DEADLINE] = (this.#clock.ms + delayMs) | 0;
    this.#arm(entry, delayMs);
  }

  #arm(entry: number, delayMs: number): void {
    const us = Math.min(delayMs, WAIT_MAX_MS) * 1000;
    this.#wheel.arm(this.#kind.timer + this.#indexOf(entry), (this.#clock.us + us) | 0);
  }

  /** An entry's timer has fired: whether its time is up. */
  isDue(entry: number): boolean {
    const left = (this.#i32[entry + DEADLINE]! - this.#clock.ms) | 0;
    if (left <= 0) return true;
    this.#arm(entry, left);
    return false;
  }

  remove(neighbour: number): void {
    const i32 = this.#i32;
    const entry = this.at(neighbour);
    for (let frame = this.takeHeld(entry); frame !== 0; frame = this.takeHeld(entry)) {
      this.#counters.bump(this.#kind.unresolved);
      this.#frames.free(frame);
    }
    if (i32[entry + STATE] === INCOMPLETE) this.#incomplete = (this.#incomplete - 1) | 0;
    this.#table.remove(i32[entry + ADDRESS]!, 0, 0);
    this.#kind.ended(i32[entry + ADDRESS]!);
    this.#lists.remove(neighbour);
    this.#wheel.cancel(this.#kind.timer + neighbour);
    i32[entry + ADDRESS] = 0;
    i32[entry + STATE] = FREE;
    this.#free.give(neighbour);
  }

  /**
   * Makes room: an entry that was not used for long goes. Once a quarter of the table waits for
   * first answers, it is the oldest of those, so that a scan of addresses that do not exist cannot
   * push out who is really there.
   */
  replace(): void {
    const asked = this.#lists.first(ASKED);
    const isScan = this.#incomplete > this.count >> 2;
    const known = isScan ? -1 : this.#leastUsed();
    const isOlder = known >= 0 && asked >= 0 && this.#age(known) >= this.#age(asked);
    this.#counters.bump(this.#kind.replaced);
    this.remove(asked < 0 || isOlder ? known : asked);
  }

  #age(neighbour: number): number {
    return (this.#clock.ms - this.#i32[this.at(neighbour) + USED]!) & 0x7fff_ffff;
  }

  /**
   * Who has answered and was used longest ago, of LOOKS at most; -1: none. Who was used since he
   * took his place goes to the end.
   */
  #leastUsed(): number {
    let victim = -1;
    for (let looks = 0; looks < LOOKS; looks++) {
      const neighbour = this.#lists.first(KNOWN);
      if (neighbour < 0) break;
      if (VERIFY) this.steps++;
      if (victim < 0 || this.#age(neighbour) > this.#age(victim)) victim = neighbour;
      const entry = this.at(neighbour);
      if (this.#i32[entry + USED] === this.#i32[entry + PLACED]) break;
      this.#place(neighbour);
    }
    return victim;
  }

  /**
   * Consumes a frame for an address that has not answered yet, in an old one's place if need be.
   */
  hold(entry: number, frame: number, length: number): void {
    const i32 = this.#i32;
    const held = i32[entry + HELD]!;
    if (held === HELD_MAX || (held > 0 && this.#held >= this.#heldMax)) {
      this.#counters.bump(this.#kind.heldReplaced);
      this.#frames.free(this.takeHeld(entry));
    }
    const last = entry + i32[entry + HELD]!;
    i32[last + HELD_FRAMES] = frame;
    i32[last + HELD_LENGTHS] = length;
    i32[entry + HELD] = i32[entry + HELD]! + 1;
    this.#held = (this.#held + 1) | 0;
  }

  /** The oldest held frame is the caller's now: its offset, or 0; its length is in HELD_BYTES. */
  takeHeld(entry: number): number {
    const i32 = this.#i32;
    const left = i32[entry + HELD]! - 1;
    if (left < 0) return 0;
    const frame = i32[entry + HELD_FRAMES]!;
    i32[entry + HELD_BYTES] = i32[entry + HELD_LENGTHS]!;
    i32.copyWithin(entry + HELD_FRAMES, entry + HELD_FRAMES + 1, entry + HELD_FRAMES + 1 + left);
    i32.copyWithin(entry + HELD_LENGTHS, entry + HELD_LENGTHS + 1, entry + HELD_LENGTHS + 1 + left);
    i32[entry + HELD] = left;
    this.#held = (this.#held - 1) | 0;
    return frame;
  }

  clear(): void {
    for (let n = 0; n < this.count; n++) {
      if (this.#i32[this.at(n) + STATE] !== FREE) this.remove(n);
    }
  }
}
