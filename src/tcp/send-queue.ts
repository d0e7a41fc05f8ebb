/**
 * The send queue: spans of application memory that are queued and not yet acknowledged.
 *
 * - There is no send buffer: a span names bytes that the application keeps as they are;
 *   retransmission reads them again. Spans come from one pool for all flows.
 * - A span that continues the last one in memory lengthens it and costs nothing.
 * - When spans run short a flow may hold as many as are free, and SPANS_ALWAYS if there are any; a
 *   flow's first span is always there. `append` accepts fewer bytes, never throws.
 * - With a quota of bytes each flow has a share of half of it for itself, so that peers who never
 *   read cannot stop the answers to others; of the other half it gets at most half of what is left.
 *   Without one nothing is summed up.
 * - `txNext`/`txNextDone` are the place of sndNxt; -1 means that all has been sent.
 *
 * Called by calls.ts (append), acknowledge.ts (release), output.ts and segment.ts (copy). Read
 * first: RFC 9293 3.10.2.
 */
import { FreeList } from '../arena/list.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { CODE } from '../gate/abi.ts';
import { QUOTA_NONE } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';
import type { Kernels } from '../wire/kernels.ts';
import { SEND_QUEUE_BYTES, SPANS_ALWAYS } from './constants.ts';
import { TCB } from './tcb.ts';

/** A span: offset, length, next span or -1. */
const SPAN_SHIFT = 2;
const LENGTH = 1;
const NEXT = 2;

const C_NO_SPAN = COUNTER.tcpNoSpan;
const C_QUOTA = COUNTER.quotaUnackedBytes;

export class SendQueue {
  /** Where `copySum` stopped. */
  span = -1;
  done = 0;
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #free: FreeList;
  readonly #counters: Counters;
  readonly #kernels: Kernels;
  /** Spans that only flows without any may take. */
  readonly #spansKept: number;
  /**
   * With a quota: unacknowledged bytes of each flow; of all flows beyond that, and how many may be.
   */
  readonly #hasQuota: boolean;
  readonly #own: number;
  readonly #common: number;
  #commonUsed = 0;

  constructor(env: Environment) {
    const { arena, limits } = env;
    this.#i32 = arena.i32;
    const spans = limits.flows + limits.sendSpans;
    this.#base = arena.carve('send spans', spans << (SPAN_SHIFT + 2), 64) >> 2;
    this.#free = new FreeList(arena, 'free send spans', spans);
    this.#spansKept = limits.flows;
    this.#counters = env.counters;
    this.#kernels = arena.kernels;
    const { unackedBytes, flows } = limits.quotas;
    const flowsMax = Math.min(limits.flows, flows);
    this.#hasQuota = unackedBytes !== QUOTA_NONE;
    this.#own = Math.max(Math.floor(unackedBytes / 2 / flowsMax), 1);
    this.#common = Math.max(unackedBytes - this.#own * flowsMax, 0);
  }

  allHome(): boolean {
    return this.#free.allHome() && this.#commonUsed === 0;
  }

  /** Bytes that `append` would take now, spans permitting. */
  room(row: number): number {
    const bytes = this.#i32[row + TCB.txBytes]!;
    const room = (SEND_QUEUE_BYTES - bytes) | 0;
    return this.#hasQuota ? Math.min(this.#share(bytes), room) : room;
  }

  /** What the quota leaves for a flow with so many bytes queued: its share, some of the rest. */
  #share(bytes: number): number {
    const own = this.#own - bytes;
    const more = this.#common - this.#commonUsed - Math.max(-own, 0);
    return Math.max(own, 0) + Math.max((more >> 1) + (more & 1), 0);
  }

  /** A flow's bytes go from `before` to `after`. */
  #count(before: number, after: number): void {
    if (!this.#hasQuota) return;
    const own = this.#own;
    this.#commonUsed =
      (this.#commonUsed + Math.max(after - own, 0) - Math.max(before - own, 0)) | 0;
  }

  /** Queues a span; returns how many of its bytes, from the front, were accepted, or QUOTA. */
  append(row: number, offset: number, length: number): number {
    const i32 = this.#i32;
    const bytes = i32[row + TCB.txBytes]!;
    if (length > SEND_QUEUE_BYTES - bytes) length = SEND_QUEUE_BYTES - bytes;
    if (length <= 0) return 0;
    const share = this.#hasQuota ? this.#share(bytes) : length;
    if (length > share) {
      this.#counters.bump(C_QUOTA);
      if (share <= 0) return CODE.QUOTA;
      length = share;
    }
    const tail = i32[row + TCB.txTail]!;
    if (tail >= 0) {
      const at = this.#base + (tail << SPAN_SHIFT);
      const tailLength = i32[at + LENGTH]!;
      if (((i32[at]! + tailLength) | 0) === offset) {
        i32[at + LENGTH] = tailLength + length;
        if (i32[row + TCB.txNext]! < 0) {
          i32[row + TCB.txNext] = tail;
          i32[row + TCB.txNextDone] = tailLength;
        }
        i32[row + TCB.txBytes] = bytes + length;
        this.#count(bytes, bytes + length);
        return length;
      }
    }
    const span = this.#take(row);
    if (span < 0) return 0;
    const at = this.#base + (span << SPAN_SHIFT);
    i32[at] = offset;
    i32[at + LENGTH] = length;
    i32[at + NEXT] = -1;
    if (tail < 0) i32[row + TCB.txHead] = span;
    else i32[this.#base + (tail << SPAN_SHIFT) + NEXT] = span;
    i32[row + TCB.txTail] = span;
    if (i32[row + TCB.txNext]! < 0) {
      i32[row + TCB.txNext] = span;
      i32[row + TCB.txNextDone] = 0;
    }
    i32[row + TCB.txBytes] = bytes + length;
    this.#count(bytes, bytes + length);
    return length;
  }

  #take(row: number): number {
    const i32 = this.#i32;
    const held = i32[row + TCB.txSpans]!;
    const free = this.#free.free - this.#spansKept;
    const mayTake = held === 0 || (free > 0 && (held <= free || held < SPANS_ALWAYS));
    const span = mayTake ? this.#free.take() : -1;
    if (span < 0) this.#counters.bump(C_NO_SPAN);
    else i32[row + TCB.txSpans] = held + 1;
    return span;
  }

  /** `bytes` more are acknowledged: the first ones of the queue. */
  release(row: number, bytes: number): void {
    const i32 = this.#i32;
    let span = i32[row + TCB.txHead]!;
    let left = (i32[row + TCB.txHeadDone]! + bytes) | 0;
    const queued = i32[row + TCB.txBytes]!;
    i32[row + TCB.txBytes] = queued - bytes;
    this.#count(queued, queued - bytes);
    while (span >= 0) {
      const at = this.#base + (span << SPAN_SHIFT);
      const length = i32[at + LENGTH]!;
      if (left < length) break;
      left = (left - length) | 0;
      const next = i32[at + NEXT]!;
      this.#give(row, span);
      span = next;
    }
    i32[row + TCB.txHead] = span;
    i32[row + TCB.txHeadDone] = left;
    if (span < 0) i32[row + TCB.txTail] = -1;
  }

  #give(row: number, span: number): void {
    const i32 = this.#i32;
    i32[row + TCB.txSpans] = i32[row + TCB.txSpans]! - 1;
    this.#free.give(span);
  }

  /** sndNxt goes back to sndUna. */
  rewind(row: number): void {
    const i32 = this.#i32;
    i32[row + TCB.txNext] = i32[row + TCB.txHead]!;
    i32[row + TCB.txNextDone] = i32[row + TCB.txHeadDone]!;
  }

  /** Puts `this.span` and `this.done` at `distance` bytes behind sndUna. */
  seek(row: number, distance: number): void {
    const i32 = this.#i32;
    let span = i32[row + TCB.txHead]!;
    let done = (i32[row + TCB.txHeadDone]! + distance) | 0;
    while (span >= 0) {
      const at = this.#base + (span << SPAN_SHIFT);
      const length = i32[at + LENGTH]!;
      if (done < length) break;
      done = (done - length) | 0;
      span = i32[at + NEXT]!;
    }
    this.span = span;
    this.done = done;
  }

  /** The flow died: the memory of all its spans is the application's again. */
  clear(row: number): void {
    const i32 = this.#i32;
    let span = i32[row + TCB.txHead]!;
    while (span >= 0) {
      const next = i32[this.#base + (span << SPAN_SHIFT) + NEXT]!;
      this.#give(row, span);
      span = next;
    }
    this.#count(i32[row + TCB.txBytes]!, 0);
    i32[row + TCB.txHead] = i32[row + TCB.txTail] = i32[row + TCB.txNext] = -1;
    i32[row + TCB.txHeadDone] = i32[row + TCB.txNextDone] = i32[row + TCB.txBytes] = 0;
  }

  /**
   * Copies `length` bytes, which must be there, from `done` bytes into `span` on, to `to`; returns
   * their folded sum, native order. `this.span` and `this.done` are then the place behind them. A
   * piece at an odd distance has the bytes of its sum exchanged (RFC 1071 2(A), 2(B)).
   */
  copySum(to: number, span: number, done: number, length: number): number {
    const i32 = this.#i32;
    const kernels = this.#kernels;
    let sum = 0;
    let copied = 0;
    while (copied < length) {
      const at = this.#base + (span << SPAN_SHIFT);
      let piece = i32[at + LENGTH]! - done;
      if (piece > length - copied) piece = length - copied;
      const part = kernels.copySum(to + copied, i32[at]! + done, piece, 0);
      sum += (copied & 1) === 0 ? part : ((part & 0xff) << 8) | (part >>> 8);
      copied += piece;
      done += piece;
      if (done === i32[at + LENGTH]!) {
        span = i32[at + NEXT]!;
        done = 0;
      }
    }
    this.span = span;
    this.done = done;
    return sum;
  }

  /** VERIFY: bytes by walking the spans from the head, or from the place of sndNxt. */
  count(row: number, fromNext: boolean): number {
    const i32 = this.#i32;
    let span = i32[row + (fromNext ? TCB.txNext : TCB.txHead)]!;
    let bytes = -(span < 0 ? 0 : i32[row + (fromNext ? TCB.txNextDone : TCB.txHeadDone)]!);
    while (span >= 0) {
      const at = this.#base + (span << SPAN_SHIFT);
      bytes += i32[at + LENGTH]!;
      span = i32[at + NEXT]!;
    }
    return bytes;
  }
}
