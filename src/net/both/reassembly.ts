/**
 * Reassembly of fragments in a fixed number of 64 KiB buffers; IPv4 and IPv6 have one each.
 *
 * - A datagram is known by source, destination and one more word, as its protocol makes it. A bit
 *   per 8 bytes says what has arrived: no byte is written twice, and a datagram is complete when as
 *   many bits are set as its last fragment promises.
 * - An exact duplicate is dropped alone; any other overlap drops the whole datagram (RFC 5722; RFC
 *   8200 4.5: there is no honest reason for one). So does a length that contradicts an earlier one.
 * - Some time after the first fragment the datagram is dropped, and `timedOut` told if its first
 *   fragment was there. When all buffers are in use, the oldest datagram is dropped; a sender that
 *   has a quarter of them loses its own oldest.
 * - `add` borrows the fragment and answers with the complete datagram, which stays until `release`.
 * - Buffers are touched only as far as fragments reach: an idle table costs no memory.
 *
 * Called by net/v4/fragments.ts and net/v6/fragments.ts. Read first: RFC 815.
 */
import type { Clock } from '../../arena/clock.ts';
import { FreeList, IndexList } from '../../arena/list.ts';
import { Table } from '../../arena/table.ts';
import type { Wheel } from '../../arena/wheel.ts';
import { COUNTER, type Counters } from '../../counters.ts';
import type { Kernels } from '../../wire/kernels.ts';
import type { Environment } from './environment.ts';

const C_REASSEMBLED = COUNTER.ipReassembled;
const C_BAD = COUNTER.ipFragmentBad;
const C_OVERLAP = COUNTER.ipFragmentOverlap;
const C_DUPLICATE = COUNTER.ipFragmentDuplicate;
const C_TIMEOUT = COUNTER.ipReassemblyTimeout;
const C_FULL = COUNTER.ipReassemblyFull;
const C_SOURCE_FULL = COUNTER.ipReassemblySource;

/** What sets one protocol's table apart from the other's. */
export interface FragmentKind {
  readonly name: string;
  /** Index of its timer. */
  readonly timer: number;
  readonly timeoutUs: number;
  /** A datagram from `source` begins, or ends in any way. */
  begun(source: number): void;
  ended(source: number): void;
  /** The first fragment of a datagram that is given up: `available` bytes from its header on. */
  timedOut(header: number, available: number): void;
}

/** A buffer: room for the longest header, then the payload. */
const PAYLOAD_AT = 64;
const BUFFER_BYTES = PAYLOAD_AT + 65_536;

/** Datagrams that any sender may have under way, however few buffers there are. */
const SOURCE_MIN = 4;

/** Words of a row, followed by the bits of what has arrived. */
const SOURCE = 0;
const DESTINATION = 1;
const ID = 2;
/** Bytes of the payload, -1 until the last fragment is there. */
const TOTAL = 3;
/** Units of 8 bytes that have arrived. */
const UNITS = 4;
/** End of the highest fragment so far, bytes. */
const HIGHEST = 5;
/** Bytes of the first fragment's header and payload, 0 until it is there. */
const HEADER_BYTES = 6;
const FIRST_BYTES = 7;
const DEADLINE = 8;
const BITS = 16;
const BIT_WORDS = 65_536 / 8 / 32;
const ROW_WORDS = BITS + BIT_WORDS;

/** What the bits say of a range. */
const NONE_SET = 0;
const ALL_SET = 1;
const SOME_SET = 2;

export class Reassembly {
  readonly #i32: Int32Array;
  readonly #u8: Uint8Array;
  readonly #kernels: Kernels;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #wheel: Wheel;
  readonly #kind: FragmentKind;
  readonly #timer: number;
  readonly #perSource: number;
  readonly #table: Table;
  readonly #free: FreeList;
  /** Datagrams by age, oldest first: every timeout is equally long. */
  readonly #order: IndexList;
  readonly #rows: number;
  readonly #buffers: number;

  constructor(env: Environment, kind: FragmentKind) {
    const { arena, config } = env;
    const { name } = kind;
    const count = env.limits.reassemblies;
    this.#i32 = arena.i32;
    this.#u8 = arena.u8;
    this.#kernels = arena.kernels;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#wheel = env.wheel;
    this.#kind = kind;
    this.#timer = kind.timer;
    this.#perSource = Math.max(SOURCE_MIN, count >> 2);
    this.#table = new Table(arena, `${name} table`, count, config.secret0, config.secret1);
    this.#free = new FreeList(arena, `${name} indexes`, count);
    this.#order = new IndexList(arena, `${name} order`, count);
    this.#rows = arena.carve(`${name} rows`, count * ROW_WORDS * 4, 64) >> 2;
    this.#buffers = arena.carve(`${name} buffers`, count * BUFFER_BYTES);
  }

  /** Datagrams under way. */
  get count(): number {
    return this.#table.count;
  }

  /**
   * One fragment that is right by itself: `bytes` (> 0) at `at`, which belong `start` bytes into
   * the payload; its packet's header, `headerBytes` at `header`, is kept if it is the first. ->
   * index of the datagram that it completes; -1: none. Then `headerOf`, and `release`.
   */
  add(
    source: number,
    destination: number,
    id: number,
    start: number,
    at: number,
    bytes: number,
    isLast: boolean,
    header: number,
    headerBytes: number,
  ): number {
    const index = this.#find(source, destination, id);
    const row = this.#rows + index * ROW_WORDS;
    if (!this.#fits(row, start + bytes, isLast)) {
      this.#counters.bump(C_BAD);
      this.release(index);
      return -1;
    }
    const units = (bytes + 7) >> 3;
    const place = this.#payload(index) + start;
    const state = this.#bits(row, start >> 3, units);
    if (state !== NONE_SET) {
      this.#overlap(index, state === ALL_SET && this.#isSame(place, at, bytes));
      return -1;
    }
    this.#mark(row, start >> 3, units);
    this.#kernels.copy(place, at, bytes);
    this.#note(index, header, headerBytes, start, bytes, isLast);
    return this.#isComplete(row) ? index : -1;
  }

  /**
   * Arena offset of a complete datagram: its first fragment's header as it came, then all payload.
   */
  headerOf(index: number): number {
    return this.#payload(index) - this.headerBytesOf(index);
  }

  headerBytesOf(index: number): number {
    return this.#i32[this.#rows + index * ROW_WORDS + HEADER_BYTES]!;
  }

  /** Bytes of a complete datagram's payload. */
  payloadBytesOf(index: number): number {
    return this.#i32[this.#rows + index * ROW_WORDS + TOTAL]!;
  }

  /** A datagram is complete and nothing is wrong with it. */
  noteReassembled(): void {
    this.#counters.bump(C_REASSEMBLED);
  }

  /** Forgets a datagram, complete or not. */
  release(index: number): void {
    const i32 = this.#i32;
    const row = this.#rows + index * ROW_WORDS;
    this.#table.remove(i32[row + SOURCE]!, i32[row + DESTINATION]!, i32[row + ID]!);
    this.#order.remove(index);
    this.#free.give(index);
    this.#kind.ended(i32[row + SOURCE]!);
    if (this.#order.isEmpty()) this.#wheel.cancel(this.#timer);
  }

  /** The timer: drops what has waited too long. */
  expire(): void {
    const i32 = this.#i32;
    for (let index = this.#order.first(); index >= 0; index = this.#order.first()) {
      const row = this.#rows + index * ROW_WORDS;
      if (((i32[row + DEADLINE]! - this.#clock.us) | 0) > 0) {
        this.#wheel.arm(this.#timer, i32[row + DEADLINE]!);
        return;
      }
      this.#counters.bump(C_TIMEOUT);
      const header = i32[row + HEADER_BYTES]!;
      if (header > 0) {
        const available = header + i32[row + FIRST_BYTES]!;
        this.#kind.timedOut(this.#payload(index) - header, available);
      }
      this.release(index);
    }
  }

  #payload(index: number): number {
    return this.#buffers + index * BUFFER_BYTES + PAYLOAD_AT;
  }

  /** The fragment's datagram, begun if need be. */
  #find(source: number, destination: number, id: number): number {
    const found = this.#table.find(source, destination, id);
    if (found >= 0) return found;
    this.#makeRoom(source);
    const i32 = this.#i32;
    const index = this.#free.take();
    const row = this.#rows + index * ROW_WORDS;
    this.#table.insert(source, destination, id, index);
    this.#kind.begun(source);
    this.#order.push(index);
    i32.fill(0, row, row + ROW_WORDS);
    i32[row + SOURCE] = source;
    i32[row + DESTINATION] = destination;
    i32[row + ID] = id;
    i32[row + TOTAL] = -1;
    i32[row + DEADLINE] = (this.#clock.us + this.#kind.timeoutUs) | 0;
    if (!this.#wheel.isArmed(this.#timer)) this.#wheel.arm(this.#timer, i32[row + DEADLINE]!);
    return index;
  }

  /** For one more datagram of `source`. */
  #makeRoom(source: number): void {
    let own = 0;
    let oldest = -1;
    for (let index = this.#order.first(); index >= 0; index = this.#order.next(index)) {
      if (this.#i32[this.#rows + index * ROW_WORDS + SOURCE] !== source) continue;
      own++;
      if (oldest < 0) oldest = index;
    }
    if (own >= this.#perSource && own < this.#order.nodes) {
      this.#counters.bump(C_SOURCE_FULL);
      this.release(oldest);
    } else if (this.#free.free === 0) {
      this.#counters.bump(C_FULL);
      this.release(this.#order.first());
    }
  }

  /** Whether a fragment that ends at `end` agrees with what is known of the datagram's length. */
  #fits(row: number, end: number, isLast: boolean): boolean {
    const total = this.#i32[row + TOTAL]!;
    if (total >= 0) return isLast ? end === total : end <= total;
    return !isLast || end >= this.#i32[row + HIGHEST]!;
  }

  #overlap(index: number, isDuplicate: boolean): void {
    this.#counters.bump(isDuplicate ? C_DUPLICATE : C_OVERLAP);
    if (!isDuplicate) this.release(index);
  }

  #note(
    index: number,
    header: number,
    headerBytes: number,
    start: number,
    bytes: number,
    isLast: boolean,
  ): void {
    const i32 = this.#i32;
    const row = this.#rows + index * ROW_WORDS;
    i32[row + UNITS] = i32[row + UNITS]! + ((bytes + 7) >> 3);
    if (start + bytes > i32[row + HIGHEST]!) i32[row + HIGHEST] = start + bytes;
    if (isLast) i32[row + TOTAL] = start + bytes;
    if (start > 0) return;
    i32[row + HEADER_BYTES] = headerBytes;
    i32[row + FIRST_BYTES] = bytes;
    this.#kernels.copy(this.#payload(index) - headerBytes, header, headerBytes);
  }

  #isComplete(row: number): boolean {
    const total = this.#i32[row + TOTAL]!;
    return total >= 0 && this.#i32[row + UNITS] === (total + 7) >> 3;
  }

  /** The bits of word `word` (0 up) that a range of units covers. */
  #maskOf(word: number, first: number, count: number): number {
    const low = Math.max(first - (word << 5), 0);
    const high = Math.min(first + count - (word << 5), 32);
    return (-1 << low) & (-1 >>> (32 - high));
  }

  #bits(row: number, first: number, count: number): number {
    let isAny = false;
    let isAll = true;
    for (let word = first >> 5; word <= (first + count - 1) >> 5; word++) {
      const mask = this.#maskOf(word, first, count);
      const set = this.#i32[row + BITS + word]! & mask;
      if (set !== 0) isAny = true;
      if (set !== mask) isAll = false;
    }
    return isAll ? ALL_SET : isAny ? SOME_SET : NONE_SET;
  }

  #mark(row: number, first: number, count: number): void {
    for (let word = first >> 5; word <= (first + count - 1) >> 5; word++) {
      const at = row + BITS + word;
      this.#i32[at] = this.#i32[at]! | this.#maskOf(word, first, count);
    }
  }

  #isSame(a: number, b: number, bytes: number): boolean {
    const u8 = this.#u8;
    for (let i = 0; i < bytes; i++) if (u8[a + i] !== u8[b + i]) return false;
    return true;
  }
}
