/**
 * Payload that passed all checks: into the queues, with the acknowledgement that it asks for.
 *
 * - Two full segments are acknowledged within HOLD_ACK_US (output.ts), everything else within
 *   DELAYED_ACK_US; out-of-order data at once and one by one, because three duplicates are what the
 *   peer's fast retransmit waits for (RFC 5681 4.2).
 *
 * Called by input.ts, synchronized.ts, syn-sent.ts, calls.ts. Read first: RFC 9293 3.8.6.3.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { type Environment, FREE_FRAME } from '../net/both/environment.ts';
import { RECEIVE_BUFFER_MAX } from './constants.ts';
import type { Flows } from './flows.ts';
import type { Output } from './output.ts';
import { REFUSED, type ReceiveQueue } from './receive-queue.ts';
import { gt, leq } from './seq.ts';
import { FLAG, PENDING, RARE, STATE, TCB } from './tcb.ts';

const C_BYTES_IN = COUNTER.tcpBytesIn;
const C_URGENT = COUNTER.tcpUrgent;

export class Receiving {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #counters: Counters;
  readonly #queue: ReceiveQueue;
  readonly #output: Output;

  constructor(env: Environment, flows: Flows, queue: ReceiveQueue, output: Output) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#counters = env.counters;
    this.#queue = queue;
    this.#output = output;
  }

  /** Payload that begins at rcvNxt, inside the window. -> FREE_FRAME or KEEP_FRAME. */
  accept(row: number, frame: number, data: number, length: number): number {
    const i32 = this.#i32;
    const result = this.#queue.append(row, frame, data, length);
    if (result === REFUSED) {
      this.acknowledgeNow(row);
      return FREE_FRAME;
    }
    i32[row + TCB.rcvNxt] = (i32[row + TCB.rcvNxt]! + length) | 0;
    let fresh = length;
    if (i32[row + TCB.oooHead] !== 0) {
      fresh += this.#queue.drain(row);
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.ackNow; // fills a hole, or a part of one
    }
    this.#counters.add(C_BYTES_IN, fresh);
    if (length > i32[row + TCB.rcvMss]!) i32[row + TCB.rcvMss] = length;
    i32[row + TCB.unacked] = i32[row + TCB.unacked]! + fresh;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.ackDelayed;
    i32[row + TCB.pending] = i32[row + TCB.pending]! | PENDING.recv;
    this.#flows.ready.push(row);
    this.#flows.output.push(row);
    return result;
  }

  /** Payload beyond rcvNxt, inside the window. -> FREE_FRAME or KEEP_FRAME. */
  outOfOrder(row: number, frame: number, data: number, length: number, seq: number): number {
    const result = this.#queue.insert(row, frame, data, length, seq);
    if (!this.#output.pureAck(row)) this.acknowledgeNow(row);
    return result;
  }

  /**
   * RFC 9293 3.10.7.4, sixth: RCV.UP, and the application is told when it moves while there is
   * something ahead. The data stays in line, as RFC 6093 asks.
   */
  urgent(row: number, end: number): void {
    const i32 = this.#i32;
    const state = i32[row + TCB.state]!;
    if (state < STATE.established || state > STATE.finWait2) return;
    if (leq(end, i32[row + TCB.rcvNxt]!)) return;
    if ((i32[row + TCB.flags]! & FLAG.noReader) !== 0) return;
    const before = i32[row + RARE.urgentEnd]!;
    const isAhead = i32[row + RARE.hasUrgent] !== 0 && gt(before, i32[row + TCB.rcvNxt]!);
    if (isAhead && leq(end, before)) return;
    i32[row + RARE.urgentEnd] = end;
    i32[row + RARE.hasUrgent] = 1;
    this.#counters.bump(C_URGENT);
    i32[row + TCB.pending] = i32[row + TCB.pending]! | PENDING.urgent;
    this.#flows.ready.push(row);
  }

  /** The peer's FIN is in order: what it sent beyond it was never a part of the stream. */
  endOfStream(row: number): void {
    this.#queue.dropOutOfOrder(row);
  }

  /** [start, end) has arrived before; an acknowledgement follows in any case. */
  duplicate(row: number, start: number, end: number): void {
    this.#queue.duplicate(row, start, end);
  }

  /** In the next flush, with data if there is any. */
  acknowledgeNow(row: number): void {
    this.#i32[row + TCB.flags] = this.#i32[row + TCB.flags]! | FLAG.ackNow;
    this.#flows.output.push(row);
  }

  /**
   * The application was done with `bytes`: a buffer that is used grows, so that long paths can be
   * filled. It must be ahead of a sender that doubles its window every round trip, so a quarter is
   * enough.
   */
  grow(row: number, bytes: number): void {
    const i32 = this.#i32;
    const buffer = i32[row + TCB.rcvBuf]!;
    const since = i32[row + TCB.rxSince]! + bytes;
    if (since < buffer >> 2 || buffer >= RECEIVE_BUFFER_MAX) {
      i32[row + TCB.rxSince] = Math.min(since, buffer);
      return;
    }
    i32[row + TCB.rxSince] = 0;
    i32[row + TCB.rcvBuf] = buffer << 1;
  }
}
