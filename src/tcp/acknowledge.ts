/**
 * What an acknowledgement does: frees spans, samples the round trip, moves cwnd, starts and ends
 * recovery, opens windows.
 *
 * - The caller has checked that the acknowledgement is acceptable; here sndUna <= ack <= sndMax.
 * - Flows with SACK: `selective`, behind which stand scoreboard.ts and recovery.ts. While nothing
 *   is missing all that is left of them is `advance`.
 * - Without SACK, NewReno: the third duplicate retransmits one segment and enters recovery, a
 *   partial acknowledgement retransmits the next one, and `recover` keeps one loss from being
 *   answered twice, after timeouts as well.
 *
 * Called by input.ts, synchronized.ts and syn-sent.ts. Read first: RFC 9293 3.10.7.4 "Fifth, check
 * the ACK field"; RFC 5681 3.2; RFC 6582 3.2.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import type { Arrival } from './arrival.ts';
import type { Congestion } from './congestion.ts';
import { DUPLICATES } from './constants.ts';
import { isPaid, reducedForLoss } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { LossTimer } from './loss-timer.ts';
import type { OptionReader } from './options.ts';
import { type Recovery, TROUBLE } from './recovery.ts';
import { sampleRtt } from './rto.ts';
import type { Scoreboard } from './scoreboard.ts';
import type { SendQueue } from './send-queue.ts';
import { geq, gt, leq, lt } from './seq.ts';
import { FLAG, PENDING, TCB, TIMER } from './tcb.ts';
import type { Timers } from './timers.ts';

const C_FAST_RETRANSMITS = COUNTER.tcpFastRetransmits;

export class Acknowledging {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #sendQueue: SendQueue;
  readonly #timers: Timers;
  readonly #congestion: Congestion;
  readonly #board: Scoreboard;
  readonly #recovery: Recovery;
  readonly #timer: LossTimer;

  constructor(
    env: Environment,
    flows: Flows,
    sendQueue: SendQueue,
    timers: Timers,
    congestion: Congestion,
    board: Scoreboard,
    recovery: Recovery,
    timer: LossTimer,
  ) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#sendQueue = sendQueue;
    this.#timers = timers;
    this.#congestion = congestion;
    this.#board = board;
    this.#recovery = recovery;
    this.#timer = timer;
  }

  /** New data (or our FIN, or the handshake's SYN) is acknowledged: ack > sndUna. */
  advance(row: number, ack: number, hasEcho: boolean, echo: number): void {
    const i32 = this.#i32;
    const acked = (ack - i32[row + TCB.sndUna]!) | 0;
    const flight = (i32[row + TCB.sndMax]! - i32[row + TCB.sndUna]!) | 0;
    const most = this.#mostFlight(row, flight);
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.timing) !== 0) {
      if (geq(ack, i32[row + TCB.rttSeq]!)) {
        sampleRtt(i32, row, (this.#clock.us - i32[row + TCB.rttAt]!) | 0);
        i32[row + TCB.flags] = flags & ~FLAG.timing;
      }
    } else if (hasEcho && i32[row + TCB.retries] !== 0) this.#sampleEcho(row, echo);
    this.#release(row, acked);
    i32[row + TCB.sndUna] = ack;
    if ((flags & FLAG.sack) !== 0) {
      this.#board.begin();
      this.#board.release(row, ack);
    }
    if (lt(i32[row + TCB.sndNxt]!, ack)) {
      i32[row + TCB.sndNxt] = ack;
      this.#sendQueue.rewind(row);
    }
    i32[row + TCB.retries] = 0;
    i32[row + TCB.probes] = 0;
    if ((flags & (FLAG.recovery | FLAG.loss)) === 0) {
      i32[row + TCB.dupAcks] = 0;
      this.#congestion.acknowledged(row, acked, most);
    } else if ((flags & FLAG.sack) === 0) this.#partial(row, ack, acked);
    if (ack === i32[row + TCB.sndMax]) this.#timers.clear(row, TIMER.rto);
    else this.#timer.restart(row);
    if (this.#hasMore(row)) this.#flows.output.push(row);
  }

  /**
   * The most that was in flight in this window, `flight` being what is now: a burst that filled
   * cwnd has used it, although less and less of it is out as its acknowledgements come (Linux's
   * max_packets_out). What is less than half of cwnd is not worth a note: nothing grows by it.
   */
  #mostFlight(row: number, flight: number): number {
    const i32 = this.#i32;
    const end = i32[row + TCB.mostFlightEnd]!;
    const isOpen = lt(i32[row + TCB.sndUna]!, end) && leq(end, i32[row + TCB.sndMax]!);
    if (isOpen && flight < i32[row + TCB.mostFlight]!) return i32[row + TCB.mostFlight]!;
    if (flight << 1 < i32[row + TCB.cwnd]!) return flight;
    i32[row + TCB.mostFlight] = flight;
    i32[row + TCB.mostFlightEnd] = i32[row + TCB.sndMax]!;
    return flight;
  }

  /**
   * Our SYN is acknowledged: sndUna moves past it. A SYN that was sent again has a round trip only
   * by its timestamp (RFC 7323 4.1); without one lost first data would wait 3 s (RFC 6298 5.7).
   */
  synAcknowledged(row: number, ack: number, options: OptionReader): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.timing) !== 0) {
      const rtt = (this.#clock.us - i32[row + TCB.rttAt]!) | 0;
      sampleRtt(i32, row, rtt);
      // Tells the first flight's retransmissions from late originals.
      i32[row + TCB.minRtt] = Math.max(rtt, 1);
      i32[row + TCB.minRttMs] = this.#clock.ms;
    } else if (options.hasTimestamps && options.tsEcr !== 0) this.#sampleEcho(row, options.tsEcr);
    i32[row + TCB.flags] = flags & ~FLAG.timing;
    i32[row + TCB.sndUna] = i32[row + TCB.sndNxt] = ack;
  }

  #sampleEcho(row: number, echo: number): void {
    const i32 = this.#i32;
    const ms = (this.#clock.ms + i32[row + TCB.tsOffset]! - echo) | 0;
    if (ms >= 0 && ms < 60_000) sampleRtt(i32, row, ms * 1000);
  }

  /** Any acknowledgement of a flow with SACK that header prediction has not taken. */
  selective(row: number, a: Arrival): void {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const flight = (i32[row + TCB.sndMax]! - una) | 0;
    const { options } = a;
    const hasAdvanced = gt(a.ack, una);
    if (hasAdvanced) {
      this.advance(row, a.ack, options.hasTimestamps && options.tsEcr !== 0, options.tsEcr);
    } else this.#board.begin();
    if (options.sackCount > 0) {
      this.#board.sack(row, a.ack, options.sackAt, options.sackCount);
    }
    const isTrouble = (i32[row + TCB.flags]! & TROUBLE) !== 0 || i32[row + TCB.sacked] !== 0;
    if (!isTrouble && this.#board.duplicated === 0) return;
    this.#recovery.acknowledged(row, a, hasAdvanced, flight);
  }

  #release(row: number, acked: number): void {
    const i32 = this.#i32;
    const queued = i32[row + TCB.txBytes]!;
    let bytes = acked;
    if (acked > queued) {
      bytes = queued;
      // what is more than data is our FIN
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.finAcked;
    }
    if (bytes === 0) return;
    this.#sendQueue.release(row, bytes);
    i32[row + TCB.sentBytes] = i32[row + TCB.sentBytes]! + bytes;
    i32[row + TCB.pending] = i32[row + TCB.pending]! | PENDING.sent;
    this.#flows.ready.push(row);
  }

  /** New data is acknowledged during recovery without SACK (RFC 6582 3.2, step 3). */
  #partial(row: number, ack: number, acked: number): void {
    const i32 = this.#i32;
    i32[row + TCB.dupAcks] = 0;
    const flags = i32[row + TCB.flags]!;
    if (geq(ack, i32[row + TCB.recover]!)) {
      i32[row + TCB.flags] = flags & ~(FLAG.recovery | FLAG.rexmit);
      this.#congestion.leaveRecovery(row, (i32[row + TCB.sndMax]! - ack) | 0);
    } else {
      this.#congestion.partial(row, acked);
      i32[row + TCB.flags] = flags | FLAG.rexmit;
    }
  }

  #hasMore(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const end = (i32[row + TCB.sndUna]! + i32[row + TCB.txBytes]!) | 0;
    return (
      gt(end, i32[row + TCB.sndNxt]!) ||
      (flags & FLAG.rexmit) !== 0 ||
      (flags & (FLAG.finQueued | FLAG.finAcked)) === FLAG.finQueued
    );
  }

  /** A duplicate acknowledgement by RFC 5681 2: the caller has seen all five marks. */
  duplicate(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const count = i32[row + TCB.dupAcks]! + 1;
    i32[row + TCB.dupAcks] = count;
    this.#flows.output.push(row);
    if ((flags & FLAG.recovery) !== 0) {
      this.#congestion.duplicate(row);
      return;
    }
    const una = i32[row + TCB.sndUna]!;
    if (count !== DUPLICATES || !gt(una, i32[row + TCB.recover]!)) return; // RFC 6582 3.2, step 2
    const max = i32[row + TCB.sndMax]!;
    i32[row + TCB.recover] = max;
    i32[row + TCB.flags] = (flags | FLAG.recovery | FLAG.rexmit) & ~FLAG.timing;
    if (isPaid(i32, row, una)) {
      i32[row + TCB.cwnd] = i32[row + TCB.ssthresh]! + DUPLICATES * i32[row + TCB.mss]!;
    } else {
      this.#congestion.enterRecovery(row, (max - una) | 0);
      reducedForLoss(i32, row);
    }
    this.#timer.restart(row);
    this.#counters.bump(C_FAST_RETRANSMITS);
  }

  /**
   * Takes the segment's window unless one sent later was seen. What tells is the acknowledgement
   * first, the sequence number second: the RFC's order, by which a peer that retransmits (old
   * numbers, new acknowledgements) is not heard, would move the right edge beyond all that it has
   * promised. `window` is scaled.
   */
  window(row: number, seq: number, ack: number, window: number): void {
    const i32 = this.#i32;
    const newer = (ack - i32[row + TCB.sndWl2]!) | 0;
    if (newer < 0 || (newer === 0 && lt(seq, i32[row + TCB.sndWl1]!))) return;
    i32[row + TCB.sndWl1] = seq;
    i32[row + TCB.sndWl2] = ack;
    if (window === i32[row + TCB.sndWnd]) return;
    i32[row + TCB.sndWnd] = window;
    if (window > i32[row + TCB.maxWnd]!) i32[row + TCB.maxWnd] = window;
    if (i32[row + TCB.txBytes] !== 0) {
      // output sets it again if the window is still too small
      if (window > 0) this.#timers.clear(row, TIMER.persist);
      this.#flows.output.push(row);
    }
  }
}
