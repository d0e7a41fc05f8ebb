/**
 * What a flow has received: frames in order, waiting for `recv` and `recv_done`, and how much there
 * may be out of order (out-of-order.ts).
 *
 * - Nothing is copied: a frame stays where the NIC put it, its metadata in held-table.ts.
 * - Bytes in order are first emitted (`recv`), then done (`recv_done`), which frees frames.
 * - Frames are what runs out, not bytes. A flow may hold as many as are free (so one stuck flow
 *   gets at most half, n flows a share each, and never all); FRAMES_ALWAYS from the reserve; and
 *   none of the last ones, without which the NIC could receive nothing, not even what would end the
 *   shortage. A peer that sends small segments has them copied together. Under pressure
 *   out-of-order data goes first, then in-order data of those above their share.
 *
 * Called by receive.ts, calls.ts, events.ts and teardown.ts. Read first: RFC 9293 3.10.7.4
 * "Seventh"; Choudhury and Hahne, "Dynamic queue length thresholds" (1998).
 */
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { BATCH_MAX } from '../limits.ts';
import { type Environment, FREE_FRAME, KEEP_FRAME } from '../net/both/environment.ts';
import {
  COMPACT_BYTES,
  COMPACT_FRAMES,
  FRAME_PAYLOAD,
  FRAMES_ALWAYS,
  RESERVE_FRAMES,
} from './constants.ts';
import { HELD, HeldTable } from './held-table.ts';
import { OutOfOrder } from './out-of-order.ts';
import { TCB } from './tcb.ts';

/** The frame has no room anywhere: the segment must be dropped. */
export const REFUSED = -1;

const C_PRESSURE = COUNTER.tcpReceivePressure;
const C_QUOTA = COUNTER.quotaReceiveFrames;
const C_OUT_OF_ORDER = COUNTER.tcpOutOfOrder;
const C_OUT_OF_ORDER_DROPPED = COUNTER.tcpOutOfOrderDropped;

export class ReceiveQueue {
  readonly outOfOrder: OutOfOrder;
  readonly #i32: Int32Array;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #held: HeldTable;
  /** Free frames below which only flows that hold next to nothing may take more; and nobody may. */
  readonly #reserve: number;
  readonly #floor: number;
  /** Frames that the application's flows and sockets may hold. */
  readonly #quota: number;

  constructor(env: Environment) {
    const { arena, frames, limits } = env;
    this.#i32 = arena.i32;
    this.#frames = frames;
    this.#counters = env.counters;
    this.#held = new HeldTable(env);
    this.outOfOrder = new OutOfOrder(arena.i32, this.#held, env.counters, env.config.secret1);
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
    this.#link(row, this.#held.hold(row, frame, data, length), length);
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
    if (i32[row + TCB.oooHead] !== 0) this.outOfOrder.drop(row);
    const free = this.#left();
    if (free >= this.#reserve) return true;
    const span = this.#reserve - this.#floor;
    // the last are for those who hold nothing
    const most = Math.ceil((FRAMES_ALWAYS * (free - this.#floor)) / span);
    return i32[row + TCB.rxFrames]! < most;
  }

  /** Copies a small payload behind that of the last frame, when frames are poorly filled. */
  #compact(row: number, data: number, length: number): boolean {
    const i32 = this.#i32;
    const tail = i32[row + TCB.rxTail]!;
    if (tail === 0 || length > COMPACT_BYTES) return false;
    const isScarce = this.#left() < this.#reserve;
    if (!isScarce && i32[row + TCB.rxBytes]! > i32[row + TCB.rxFrames]! << 10) return false;
    if (!this.#held.copyBehind(tail, data, length)) return false;
    if (i32[row + TCB.rxUnread] === 0) i32[row + TCB.rxUnread] = tail;
    i32[row + TCB.rxBytes] = i32[row + TCB.rxBytes]! + length;
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
      this.#held.free(row, m);
      m = next;
    }
    i32[row + TCB.rxHead] = m;
    if (m === 0) i32[row + TCB.rxTail] = 0;
  }

  /** Every frame goes back. */
  clear(row: number): void {
    const i32 = this.#i32;
    for (let m = i32[row + TCB.rxHead]!; m !== 0; ) {
      const next = i32[m + HELD.next]!;
      this.#held.free(row, m);
      m = next;
    }
    i32[row + TCB.rxHead] = i32[row + TCB.rxTail] = i32[row + TCB.rxUnread] = 0;
    i32[row + TCB.rxBytes] = i32[row + TCB.rxGiven] = 0;
    this.dropOutOfOrder(row);
  }

  // --- out of order (out-of-order.ts) ---

  /** Payload beyond rcvNxt, inside the window: KEEP_FRAME or FREE_FRAME. */
  insert(row: number, frame: number, data: number, length: number, seq: number): number {
    const held = this.#i32[row + TCB.rxFrames]!;
    this.#counters.bump(C_OUT_OF_ORDER);
    const free = this.#left();
    if (free < this.#floor || (held >= FRAMES_ALWAYS && free - this.#reserve < held)) {
      this.#counters.bump(C_OUT_OF_ORDER_DROPPED);
      return FREE_FRAME;
    }
    return this.outOfOrder.insert(row, frame, data, length, seq);
  }

  /** [start, end) has arrived before: the next acknowledgement says so (RFC 2883). */
  duplicate(row: number, start: number, end: number): void {
    this.outOfOrder.duplicate(row, start, end);
  }

  /** Moves what has become in order to the in-order queue and rcvNxt with it. Returns the bytes. */
  drain(row: number): number {
    const i32 = this.#i32;
    let next = i32[row + TCB.rcvNxt]!;
    let moved = 0;
    let m = this.outOfOrder.take(row, next);
    while (m !== 0) {
      const length = i32[m + HELD.length]!;
      const after = this.outOfOrder.leave(row, m);
      this.#link(row, m, length);
      next = (next + length) | 0;
      moved += length;
      m = after;
    }
    i32[row + TCB.rcvNxt] = next;
    return moved;
  }

  /** Out-of-order data may be dropped at any time, even after SACK (RFC 2018 8). */
  dropOutOfOrder(row: number): void {
    this.outOfOrder.drop(row);
  }
}
