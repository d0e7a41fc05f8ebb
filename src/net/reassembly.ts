/**
 * Reassembly of IPv4 fragments in a fixed number of 64 KiB buffers.
 *
 * - A datagram is known by source, destination, ID and protocol. A bit per 8 bytes says what has
 *   arrived.
 * - An exact duplicate is dropped alone; any other overlap drops the whole datagram (RFC 5722's
 *   rule for IPv6: there is no honest reason for one). So does a length that contradicts an earlier
 *   fragment.
 * - 30 seconds after the first fragment the datagram is dropped, and ICMP "time exceeded" says so
 *   if its first fragment was there (RFC 792). When all buffers are in use, the oldest datagram is
 *   dropped.
 * - `add` borrows the fragment and answers with the complete datagram, which stays until `release`.
 * - Buffers are touched only as far as fragments reach: an idle table costs address space, no
 *   memory.
 *
 * Called by ipv4-input.ts. Read first: RFC 791 3.2, RFC 815, RFC 1122 3.3.2.
 */
import { FreeList, IndexList } from '../arena/list.ts';
import { Table } from '../arena/table.ts';
import type { Wheel } from '../arena/wheel.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { finish, sumShort } from '../wire/checksum.ts';
import {
  IP_CHECKSUM,
  IP_DATAGRAM_BYTES_MAX,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_ID,
  IP_LENGTH,
  IP_MORE_FRAGMENTS,
  IP_OFFSET_MASK,
  IP_PROTOCOL,
  IP_SOURCE,
} from '../wire/ipv4.ts';
import type { Kernels } from '../wire/kernels.ts';
import { type Clock, type Environment, timerRanges } from './environment.ts';
import type { Icmp } from './icmp.ts';

const C_IN = COUNTER.ipFragmentsIn;
const C_REASSEMBLED = COUNTER.ipReassembled;
const C_BAD = COUNTER.ipFragmentBad;
const C_OVERLAP = COUNTER.ipFragmentOverlap;
const C_DUPLICATE = COUNTER.ipFragmentDuplicate;
const C_TIMEOUT = COUNTER.ipReassemblyTimeout;
const C_FULL = COUNTER.ipReassemblyFull;

const TIMEOUT_US = 30_000_000;

/** A buffer: room for the longest header, then the payload. */
const PAYLOAD_AT = 64;
const BUFFER_BYTES = PAYLOAD_AT + 65_536;

/** Words of a row, followed by the bits of what has arrived. */
const SOURCE = 0;
const DESTINATION = 1;
const ID_PROTOCOL = 2;
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
  readonly #view: DataView;
  readonly #i32: Int32Array;
  readonly #u8: Uint8Array;
  readonly #kernels: Kernels;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #wheel: Wheel;
  readonly #timer: number;
  readonly #icmp: Icmp;
  readonly #table: Table;
  readonly #free: FreeList;
  /** Datagrams by age, oldest first: every timeout is equally long. */
  readonly #order: IndexList;
  readonly #rows: number;
  readonly #buffers: number;

  constructor(env: Environment, icmp: Icmp) {
    const { arena, config } = env;
    const count = env.limits.reassemblies;
    this.#view = arena.view;
    this.#i32 = arena.i32;
    this.#u8 = arena.u8;
    this.#kernels = arena.kernels;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#wheel = env.wheel;
    this.#timer = timerRanges(env.limits).reassembly;
    this.#icmp = icmp;
    this.#table = new Table(arena, 'reassembly table', count, config.secret0, config.secret1);
    this.#free = new FreeList(arena, 'reassembly indexes', count);
    this.#order = new IndexList(arena, 'reassembly order', count);
    this.#rows = arena.carve('reassemblies', count * ROW_WORDS * 4, 64) >> 2;
    this.#buffers = arena.carve('reassembly buffers', count * BUFFER_BYTES);
  }

  /** Datagrams under way. */
  get count(): number {
    return this.#table.count;
  }

  /**
   * One fragment: a valid datagram of `total` bytes at `ip`. -> index of the datagram that it
   * completes, or -1. `ipOf` names its bytes, and `release` must follow.
   */
  add(ip: number, header: number, total: number): number {
    const view = this.#view;
    this.#counters.bump(C_IN);
    const fragment = view.getUint16(ip + IP_FRAGMENT);
    const start = (fragment & IP_OFFSET_MASK) << 3;
    const bytes = total - header;
    const isLast = (fragment & IP_MORE_FRAGMENTS) === 0;
    const isOdd = !isLast && (bytes & 7) !== 0;
    if (bytes === 0 || isOdd || start + total > IP_DATAGRAM_BYTES_MAX) {
      this.#counters.bump(C_BAD);
      return -1;
    }
    const index = this.#find(ip);
    const row = this.#rows + index * ROW_WORDS;
    if (!this.#fits(row, start + bytes, isLast)) {
      this.#counters.bump(C_BAD);
      this.release(index);
      return -1;
    }
    const units = (bytes + 7) >> 3;
    const at = this.#payload(index) + start;
    const state = this.#bits(row, start >> 3, units);
    if (state !== NONE_SET) {
      this.#overlap(index, state === ALL_SET && this.#isSame(at, ip + header, bytes));
      return -1;
    }
    this.#mark(row, start >> 3, units);
    this.#kernels.copy(at, ip + header, bytes);
    this.#note(index, ip, header, start, bytes, isLast);
    return this.#complete(index, row);
  }

  /**
   * Arena offset of a complete datagram's IP header: as sent, except that it is no fragment any
   * more.
   */
  ipOf(index: number): number {
    const header = this.#i32[this.#rows + index * ROW_WORDS + HEADER_BYTES]!;
    return this.#payload(index) - header;
  }

  /** Forgets a datagram, complete or not. */
  release(index: number): void {
    const i32 = this.#i32;
    const row = this.#rows + index * ROW_WORDS;
    this.#table.remove(i32[row + SOURCE]!, i32[row + DESTINATION]!, i32[row + ID_PROTOCOL]!);
    this.#order.remove(index);
    this.#free.give(index);
    if (this.#order.isEmpty()) this.#wheel.cancel(this.#timer);
  }

  /** The timer: drops what has waited for 30 seconds. */
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
        this.#icmp.reassemblyTimeExceeded(this.#payload(index) - header, available);
      }
      this.release(index);
    }
  }

  #payload(index: number): number {
    return this.#buffers + index * BUFFER_BYTES + PAYLOAD_AT;
  }

  /** The fragment's datagram, begun if need be. */
  #find(ip: number): number {
    const view = this.#view;
    const source = view.getInt32(ip + IP_SOURCE);
    const destination = view.getInt32(ip + IP_DESTINATION);
    const idProtocol = (view.getUint16(ip + IP_ID) << 8) | view.getUint8(ip + IP_PROTOCOL);
    const found = this.#table.find(source, destination, idProtocol);
    if (found >= 0) return found;
    if (this.#free.free === 0) {
      this.#counters.bump(C_FULL);
      this.release(this.#order.first());
    }
    const i32 = this.#i32;
    const index = this.#free.take();
    const row = this.#rows + index * ROW_WORDS;
    this.#table.insert(source, destination, idProtocol, index);
    this.#order.push(index);
    i32.fill(0, row, row + ROW_WORDS);
    i32[row + SOURCE] = source;
    i32[row + DESTINATION] = destination;
    i32[row + ID_PROTOCOL] = idProtocol;
    i32[row + TOTAL] = -1;
    i32[row + DEADLINE] = (this.#clock.us + TIMEOUT_US) | 0;
    if (!this.#wheel.isArmed(this.#timer)) this.#wheel.arm(this.#timer, i32[row + DEADLINE]!);
    return index;
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
    ip: number,
    header: number,
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
    i32[row + HEADER_BYTES] = header;
    i32[row + FIRST_BYTES] = bytes;
    this.#kernels.copy(this.#payload(index) - header, ip, header);
  }

  /**
   * When everything is there: the header is made the datagram's own (RFC 791 3.2, "reassembly
   * procedure").
   */
  #complete(index: number, row: number): number {
    const i32 = this.#i32;
    const total = i32[row + TOTAL]!;
    if (total < 0 || i32[row + UNITS] !== (total + 7) >> 3) return -1;
    const header = i32[row + HEADER_BYTES]!;
    if (header + total > IP_DATAGRAM_BYTES_MAX) {
      this.#counters.bump(C_BAD);
      this.release(index);
      return -1;
    }
    const view = this.#view;
    const ip = this.#payload(index) - header;
    view.setUint16(ip + IP_LENGTH, header + total);
    view.setUint16(ip + IP_FRAGMENT, 0);
    view.setUint16(ip + IP_CHECKSUM, 0);
    view.setUint16(ip + IP_CHECKSUM, finish(sumShort(view, ip, header)), true);
    this.#counters.bump(C_REASSEMBLED);
    return index;
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
