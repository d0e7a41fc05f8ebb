/**
 * What a flow has received: frames in order, waiting for `recv` and `recv_done`, and frames out of order.
 *
 * - Nothing is copied: a frame stays where the NIC put it. Its metadata (data, length, sequence number, next frame,
 *   bytes already emitted) stands in a table with an entry per frame.
 * - The in-order queue hands over bytes in two steps: emitted (`recv`), then done (`recv_done`), which frees frames.
 * - Frames are what runs out, not bytes. A flow may hold as many as are free (so one stuck flow gets at most half,
 *   n flows a share each, and never all); FRAMES_ALWAYS from the reserve; and none of the last ones, without which the
 *   NIC could receive nothing, not even what would end the shortage. A peer that sends small segments has them copied
 *   together. Under pressure out-of-order data goes first, then in-order data of those above their share.
 * - Out-of-order frames are a list sorted by sequence number that never overlaps.
 *
 * Called by input, recv_done and events. Read first: RFC 9293 3.10.7.4 "Seventh, process the segment text"; Choudhury
 * and Hahne, "Dynamic queue length thresholds" (1998) for the share.
 */
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { BATCH_MAX, FRAME_BYTES } from '../limits.ts';
import { type Environment, FREE_FRAME, KEEP_FRAME } from '../net/environment.ts';
import { VERIFY } from '../verify.ts';
import type { Kernels } from '../wire/kernels.ts';
import {
  COMPACT_BYTES,
  COMPACT_FRAMES,
  FRAME_PAYLOAD,
  FRAMES_ALWAYS,
  RESERVE_FRAMES,
} from './constants.ts';
import { geq, gt, leq, lt } from './seq.ts';
import { TCB } from './tcb.ts';

/** A held frame's metadata, by the word index of its first word; 0 means none. */
export const HELD = {
  next: 0,
  /** Any offset inside the frame. */
  frame: 1,
  /** First byte that is not done, and how many follow. */
  data: 2,
  length: 3,
  /** Sequence number of `data`; out of order only. */
  seq: 4,
  /** Bytes from `data` on that were emitted. */
  emitted: 5,
} as const;
const HELD_SHIFT = 3;

/** The frame has no room anywhere: the segment must be dropped. */
export const REFUSED = -1;

const C_PRESSURE = COUNTER.tcpReceivePressure;
const C_QUOTA = COUNTER.quotaReceiveFrames;
const C_OUT_OF_ORDER = COUNTER.tcpOutOfOrder;
const C_OUT_OF_ORDER_DROPPED = COUNTER.tcpOutOfOrderDropped;
const C_DUPLICATE = COUNTER.tcpDuplicate;

export class ReceiveQueue {
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #kernels: Kernels;
  /** Free frames below which only flows that hold next to nothing may take more, and below which nobody may. */
  readonly #reserve: number;
  readonly #floor: number;
  /** Frames that the application's flows and sockets may hold. */
  readonly #quota: number;

  constructor(env: Environment) {
    const { arena, frames, limits } = env;
    const count = limits.receiveFrames + limits.transmitFrames;
    this.#i32 = arena.i32;
    this.#base = arena.carve('held frames', count << (HELD_SHIFT + 2), 64) >> 2;
    this.#frames = frames;
    this.#counters = env.counters;
    this.#kernels = arena.kernels;
    this.#quota = limits.quotas.receiveFrames;
    const most = Math.min(limits.receiveFrames, this.#quota);
    this.#floor = Math.min(BATCH_MAX, most >> 4);
    this.#reserve = this.#floor + Math.min(RESERVE_FRAMES, most >> 4);
  }

  /** Frames that may still be held: the free ones, within the application's quota. */
  #left(): number {
    return Math.min(this.#quota - this.#frames.held, this.#frames.receiveFree);
  }

  /** Bytes beyond rcvNxt that may be promised to the peer now. */
  offer(row: number): number {
    const i32 = this.#i32;
    const held = i32[row + TCB.rxFrames]!;
    const buffer = i32[row + TCB.rcvBuf]! - i32[row + TCB.rxBytes]!;
    // each frame taken is one more that is held and one less that is free: half of the difference
    const left = this.#left();
    let room = ((left - this.#reserve - held) >> 1) * FRAME_PAYLOAD;
    const always = (FRAMES_ALWAYS - held) * FRAME_PAYLOAD;
    if (room < always) room = always;
    if (room <= 0 && left < this.#frames.receiveFree) this.#counters.bump(C_QUOTA);
    if (room > buffer) room = buffer;
    return Math.max(room, 0);
  }

  /** In-order payload: KEEP_FRAME, FREE_FRAME when it was copied elsewhere, or REFUSED. */
  append(row: number, frame: number, data: number, length: number): number {
    const i32 = this.#i32;
    const held = i32[row + TCB.rxFrames]!;
    if (held >= COMPACT_FRAMES || this.#left() < this.#reserve) {
      if (this.#compact(row, data, length)) return FREE_FRAME;
      if (!this.#mayHold(row)) {
        this.#counters.bump(this.#left() < this.#frames.receiveFree ? C_QUOTA : C_PRESSURE);
        return REFUSED;
      }
    }
    if (VERIFY) this.#frames.verifyInside(frame, data, length);
    const m = this.#base + (this.#frames.indexOf(frame) << HELD_SHIFT);
    i32[m + HELD.frame] = frame;
    i32[m + HELD.data] = data;
    i32[m + HELD.length] = length;
    i32[row + TCB.rxFrames] = i32[row + TCB.rxFrames]! + 1;
    this.#frames.held = (this.#frames.held + 1) | 0;
    this.#link(row, m, length);
    return KEEP_FRAME;
  }

  #link(row: number, m: number, length: number): void {
    const i32 = this.#i32;
    const tail = i32[row + TCB.rxTail]!;
    i32[m + HELD.next] = 0;
    i32[m + HELD.emitted] = 0;
    if (tail === 0) i32[row + TCB.rxHead] = m;
    else i32[tail + HELD.next] = m;
    i32[row + TCB.rxTail] = m;
    if (i32[row + TCB.rxUnread] === 0) i32[row + TCB.rxUnread] = m;
    i32[row + TCB.rxBytes] = i32[row + TCB.rxBytes]! + length;
  }

  /** Whether one more frame may be held in order; out-of-order frames make room for it. */
  #mayHold(row: number): boolean {
    const i32 = this.#i32;
    if (this.#left() >= this.#reserve) return true;
    if (i32[row + TCB.oooHead] !== 0) this.dropOutOfOrder(row);
    const free = this.#left();
    if (free >= this.#reserve) return true;
    const span = this.#reserve - this.#floor;
    const most = Math.ceil((FRAMES_ALWAYS * (free - this.#floor)) / span); // the last are for those who hold nothing
    return i32[row + TCB.rxFrames]! < most;
  }

  /** Copies a small payload behind that of the last frame, when frames are poorly filled. */
  #compact(row: number, data: number, length: number): boolean {
    const i32 = this.#i32;
    const tail = i32[row + TCB.rxTail]!;
    if (tail === 0 || length > COMPACT_BYTES) return false;
    const isScarce = this.#left() < this.#reserve;
    if (!isScarce && i32[row + TCB.rxBytes]! > i32[row + TCB.rxFrames]! << 10) return false;
    if (!this.#copyBehind(tail, data, length)) return false;
    if (i32[row + TCB.rxUnread] === 0) i32[row + TCB.rxUnread] = tail;
    i32[row + TCB.rxBytes] = i32[row + TCB.rxBytes]! + length;
    return true;
  }

  #copyBehind(m: number, data: number, length: number): boolean {
    const i32 = this.#i32;
    const end = i32[m + HELD.data]! + i32[m + HELD.length]!;
    const frameEnd = this.#frames.startOf(i32[m + HELD.frame]!) + FRAME_BYTES;
    if (frameEnd - end < length) return false;
    this.#kernels.copy(end, data, length);
    i32[m + HELD.length] = i32[m + HELD.length]! + length;
    return true;
  }

  /** The next stretch to emit, by its metadata, or 0. The caller calls `given` for it. */
  unread(row: number): number {
    return this.#i32[row + TCB.rxUnread]!;
  }

  /** The stretch that `unread` named was emitted. */
  given(row: number, m: number): void {
    const i32 = this.#i32;
    const length = i32[m + HELD.length]!;
    i32[row + TCB.rxGiven] = i32[row + TCB.rxGiven]! + length - i32[m + HELD.emitted]!;
    i32[m + HELD.emitted] = length;
    i32[row + TCB.rxUnread] = i32[m + HELD.next]!;
  }

  /** The application is done with `bytes`, at most rxGiven, from the front. */
  done(row: number, bytes: number): void {
    const i32 = this.#i32;
    let m = i32[row + TCB.rxHead]!;
    i32[row + TCB.rxBytes] = i32[row + TCB.rxBytes]! - bytes;
    i32[row + TCB.rxGiven] = i32[row + TCB.rxGiven]! - bytes;
    while (bytes > 0) {
      const length = i32[m + HELD.length]!;
      if (bytes < length) {
        i32[m + HELD.data] = i32[m + HELD.data]! + bytes;
        i32[m + HELD.length] = length - bytes;
        i32[m + HELD.emitted] = i32[m + HELD.emitted]! - bytes;
        break;
      }
      bytes -= length;
      const next = i32[m + HELD.next]!;
      this.#free(row, m);
      m = next;
    }
    i32[row + TCB.rxHead] = m;
    if (m === 0) i32[row + TCB.rxTail] = 0;
  }

  #free(row: number, m: number): void {
    const i32 = this.#i32;
    i32[row + TCB.rxFrames] = i32[row + TCB.rxFrames]! - 1;
    this.#frames.held = (this.#frames.held - 1) | 0;
    this.#frames.free(i32[m + HELD.frame]!);
  }

  /** Every frame goes back. */
  clear(row: number): void {
    const i32 = this.#i32;
    for (let m = i32[row + TCB.rxHead]!; m !== 0; ) {
      const next = i32[m + HELD.next]!;
      this.#free(row, m);
      m = next;
    }
    i32[row + TCB.rxHead] = i32[row + TCB.rxTail] = i32[row + TCB.rxUnread] = 0;
    i32[row + TCB.rxBytes] = i32[row + TCB.rxGiven] = 0;
    this.dropOutOfOrder(row);
  }

  // --- out of order ---

  /** Payload beyond rcvNxt, inside the window: KEEP_FRAME or FREE_FRAME. */
  insert(row: number, frame: number, data: number, length: number, seq: number): number {
    const i32 = this.#i32;
    const held = i32[row + TCB.rxFrames]!;
    const first = seq;
    const last = (seq + length) | 0;
    this.#counters.bump(C_OUT_OF_ORDER);
    const free = this.#left();
    if (free < this.#floor || (held >= FRAMES_ALWAYS && free - this.#reserve < held)) {
      this.#counters.bump(C_OUT_OF_ORDER_DROPPED);
      return FREE_FRAME;
    }
    const before = this.#before(row, seq);
    if (before !== 0) {
      const overlap = (i32[before + HELD.seq]! + i32[before + HELD.length]! - seq) | 0;
      if (overlap > 0) {
        data += overlap;
        length -= overlap;
        seq = (seq + overlap) | 0;
      }
    }
    length = this.#trimBehind(row, before, seq, length);
    if (length <= 0) {
      this.#counters.bump(C_DUPLICATE);
      this.duplicate(row, first, last);
      return FREE_FRAME;
    }
    if (before !== 0 && held >= COMPACT_FRAMES && length <= COMPACT_BYTES) {
      const isBehind = ((i32[before + HELD.seq]! + i32[before + HELD.length]!) | 0) === seq;
      if (isBehind && this.#copyBehind(before, data, length)) {
        this.#latest(row, before, seq);
        return FREE_FRAME;
      }
    }
    const m = this.#base + (this.#frames.indexOf(frame) << HELD_SHIFT);
    i32[m + HELD.frame] = frame;
    i32[m + HELD.data] = data;
    i32[m + HELD.length] = length;
    i32[m + HELD.seq] = seq;
    const after = before === 0 ? i32[row + TCB.oooHead]! : i32[before + HELD.next]!;
    i32[m + HELD.next] = after;
    if (before === 0) i32[row + TCB.oooHead] = m;
    else i32[before + HELD.next] = m;
    if (after === 0) i32[row + TCB.oooTail] = m;
    this.#latest(row, m, seq);
    i32[row + TCB.oooFrames] = i32[row + TCB.oooFrames]! + 1;
    i32[row + TCB.rxFrames] = i32[row + TCB.rxFrames]! + 1;
    this.#frames.held = (this.#frames.held + 1) | 0;
    return KEEP_FRAME;
  }

  /** The segment at `seq` is now the latest arrival; the one before it is remembered unless this one continues it. */
  #latest(row: number, m: number, seq: number): void {
    const i32 = this.#i32;
    const last = i32[row + TCB.oooLast]!;
    i32[row + TCB.oooLast] = m;
    if (last === 0 || last === m) return;
    if (((i32[last + HELD.seq]! + i32[last + HELD.length]!) | 0) === seq) return;
    i32[row + TCB.sackRecent2] = i32[row + TCB.sackRecent1]!;
    i32[row + TCB.sackRecent1] = i32[last + HELD.seq]!;
  }

  /**
   * [start, end) has arrived before: the next acknowledgement says so (RFC 2883). What is held around it counts as the
   * latest arrival, so that its block comes first (RFC 2018 4).
   */
  duplicate(row: number, start: number, end: number): void {
    const i32 = this.#i32;
    const m = this.#before(row, start);
    if (m !== 0 && gt((i32[m + HELD.seq]! + i32[m + HELD.length]!) | 0, start)) {
      this.#latest(row, m, start);
    }
    i32[row + TCB.dsackStart] = start;
    i32[row + TCB.dsackEnd] = end;
  }

  /** The last frame that starts at or before `seq`, or 0. Looks at the end and at the latest arrival first. */
  #before(row: number, seq: number): number {
    const i32 = this.#i32;
    const tail = i32[row + TCB.oooTail]!;
    if (tail !== 0 && leq(i32[tail + HELD.seq]!, seq)) return tail;
    const last = i32[row + TCB.oooLast]!;
    let before = last !== 0 && leq(i32[last + HELD.seq]!, seq) ? last : 0;
    let m = before === 0 ? i32[row + TCB.oooHead]! : i32[before + HELD.next]!;
    while (m !== 0 && leq(i32[m + HELD.seq]!, seq)) {
      before = m;
      m = i32[m + HELD.next]!;
    }
    return before;
  }

  /** Frees frames behind `before` that [seq, seq + length) covers; returns the length up to the first that it does not. */
  #trimBehind(row: number, before: number, seq: number, length: number): number {
    const i32 = this.#i32;
    const end = (seq + length) | 0;
    let m = before === 0 ? i32[row + TCB.oooHead]! : i32[before + HELD.next]!;
    while (m !== 0 && lt(i32[m + HELD.seq]!, end)) {
      if (lt(end, (i32[m + HELD.seq]! + i32[m + HELD.length]!) | 0)) {
        return (i32[m + HELD.seq]! - seq) | 0;
      }
      const next = i32[m + HELD.next]!;
      if (before === 0) i32[row + TCB.oooHead] = next;
      else i32[before + HELD.next] = next;
      if (next === 0) i32[row + TCB.oooTail] = before;
      this.#freeOutOfOrder(row, m);
      m = next;
    }
    return length;
  }

  #freeOutOfOrder(row: number, m: number): void {
    const i32 = this.#i32;
    if (i32[row + TCB.oooLast] === m) i32[row + TCB.oooLast] = 0;
    i32[row + TCB.oooFrames] = i32[row + TCB.oooFrames]! - 1;
    this.#free(row, m);
  }

  /** Moves what has become in order to the in-order queue and rcvNxt with it. Returns the bytes. */
  drain(row: number): number {
    const i32 = this.#i32;
    let next = i32[row + TCB.rcvNxt]!;
    let moved = 0;
    let m = i32[row + TCB.oooHead]!;
    while (m !== 0 && geq(next, i32[m + HELD.seq]!)) {
      const after = i32[m + HELD.next]!;
      const overlap = (next - i32[m + HELD.seq]!) | 0;
      const length = i32[m + HELD.length]! - overlap;
      if (length <= 0) this.#freeOutOfOrder(row, m);
      else {
        i32[m + HELD.data] = i32[m + HELD.data]! + overlap;
        i32[m + HELD.length] = length;
        if (i32[row + TCB.oooLast] === m) i32[row + TCB.oooLast] = 0;
        i32[row + TCB.oooFrames] = i32[row + TCB.oooFrames]! - 1;
        this.#link(row, m, length);
        next = (next + length) | 0;
        moved += length;
      }
      m = after;
    }
    i32[row + TCB.oooHead] = m;
    if (m === 0) i32[row + TCB.oooTail] = 0;
    i32[row + TCB.rcvNxt] = next;
    return moved;
  }

  /** Out-of-order data may be dropped at any time, even after SACK (RFC 2018 8). */
  dropOutOfOrder(row: number): void {
    const i32 = this.#i32;
    for (let m = i32[row + TCB.oooHead]!; m !== 0; ) {
      const next = i32[m + HELD.next]!;
      this.#freeOutOfOrder(row, m);
      m = next;
    }
    i32[row + TCB.oooHead] = i32[row + TCB.oooTail] = 0;
  }
}
