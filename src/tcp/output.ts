/**
 * What to send, once an iteration: new data, retransmissions, probes, acknowledgements.
 *
 * - Flows that may have something to say are in the output list. A flow that finds no transmit
 *   frame, or that has sent its share of the ring, stays in it, behind the others.
 * - Everything queued goes out at once, in full segments and a rest (no Nagle: the application
 *   batches already). The sender's silly-window rule holds: a segment that the window cuts short
 *   waits, unless it is half the largest window ever offered (RFC 9293 3.8.6.2.1).
 * - An acknowledgement rides on data whenever there is data; alone it goes now, or, for two full
 *   segments and more, after `holdAckUs` (constants.ts HOLD_ACK_US), or, for less, after
 *   DELAYED_ACK_US. SACK blocks ride too: the first segment of a flush leaves them room, others
 *   have them when they are short (RFC 2018 4).
 *
 * Called by tcp.ts `flush`; `pureAck` also by what input leads to. Read first: RFC 9293 3.8.4,
 * 3.8.6; RFC 5681 3.1; RFC 3042 (limited transmit).
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import { ACK, FIN, PSH, SYN } from '../wire/tcp.ts';
import type { Congestion } from './congestion.ts';
import {
  BURST_SEGMENTS,
  DELAYED_ACK_US,
  PACE_GAIN,
  PACE_GAIN_START,
  PACE_RTT_MIN_US,
} from './constants.ts';
import type { Flows, RowList } from './flows.ts';
import type { LossTimer } from './loss-timer.ts';
import type { PathMtu } from './path-mtu.ts';
import type { Recovery } from './recovery.ts';
import { backedOff } from './rto.ts';
import { RUN, type Scoreboard } from './scoreboard.ts';
import type { SegmentWriter } from './segment.ts';
import type { SendQueue } from './send-queue.ts';
import { gt } from './seq.ts';
import { FLAG, RARE, STATE, TCB, TIMER } from './tcb.ts';
import type { Timers } from './timers.ts';

const C_RETRANSMITS = COUNTER.tcpRetransmits;
const C_PROBES = COUNTER.tcpProbes;
const C_KEEPALIVES = COUNTER.tcpKeepalives;
const C_PURE_ACKS = COUNTER.tcpPureAcks;
const C_BYTES_OUT = COUNTER.tcpBytesOut;
const C_PACED = COUNTER.tcpPaced;

/** Then some of what is in flight is known not to be in the network. */
const NOT_IN_PIPE = FLAG.disorder | FLAG.recovery | FLAG.loss;
const SPECIAL = FLAG.rexmit | FLAG.keepalive | FLAG.tailDue | FLAG.mtuProbe;

/** Full segments that one held acknowledgement names at most, log2. */
const HELD_SEGMENTS_SHIFT = 3;

export class Output {
  readonly #flows: Flows;
  readonly #i32: Int32Array;
  readonly #list: RowList;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #writer: SegmentWriter;
  readonly #sendQueue: SendQueue;
  readonly #timers: Timers;
  readonly #congestion: Congestion;
  readonly #board: Scoreboard;
  readonly #recovery: Recovery;
  readonly #lossTimer: LossTimer;
  readonly #pathMtu: PathMtu;
  /** Acknowledgements due by count: since when some are held; the last flush has; this one may. */
  readonly #holdAckUs: number;
  #heldSinceUs = 0;
  #hasHeld = false;
  #mayHold = false;

  constructor(
    env: Environment,
    flows: Flows,
    writer: SegmentWriter,
    sendQueue: SendQueue,
    timers: Timers,
    congestion: Congestion,
    board: Scoreboard,
    recovery: Recovery,
    lossTimer: LossTimer,
    pathMtu: PathMtu,
    holdAckUs: number,
  ) {
    this.#holdAckUs = holdAckUs;
    this.#flows = flows;
    this.#i32 = flows.i32;
    this.#list = flows.output;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#writer = writer;
    this.#sendQueue = sendQueue;
    this.#timers = timers;
    this.#congestion = congestion;
    this.#board = board;
    this.#recovery = recovery;
    this.#lossTimer = lossTimer;
    this.#pathMtu = pathMtu;
  }

  /** Every flow of the output list has its turn, once. */
  flush(): void {
    const list = this.#list;
    const now = this.#clock.us;
    if (!this.#hasHeld) this.#heldSinceUs = now;
    this.#mayHold = ((now - this.#heldSinceUs) | 0) < this.#holdAckUs;
    this.#hasHeld = false;
    const last = list.tail;
    for (let row = list.head; row !== 0; ) {
      const next = list.next(row);
      const isDone = this.flow(row);
      list.remove(row);
      if (!isDone) list.push(row);
      if (row === last) break;
      row = next;
    }
  }

  /** Sends what is due for one flow; false when something is left that could go now. */
  flow(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    switch (i32[row + TCB.state]!) {
      case STATE.closed:
        return true;
      case STATE.synSent:
        return i32[row + TCB.sndNxt] !== i32[row + TCB.iss] || this.#syn(row, SYN);
      case STATE.synReceived:
        if ((flags & (FLAG.knockAtSyn | FLAG.owned)) === FLAG.knockAtSyn) return true;
        if (i32[row + TCB.sndNxt] === i32[row + TCB.iss]) return this.#syn(row, SYN | ACK);
        return this.#acknowledge(row);
      default:
        if ((flags & SPECIAL) !== 0) {
          if (!this.#special(row)) return false;
          if (this.#pathMtu.holdsBack(row)) return this.#acknowledge(row);
        }
        return this.#data(row) && this.#acknowledge(row);
    }
  }

  #syn(row: number, flags: number): boolean {
    const i32 = this.#i32;
    const iss = i32[row + TCB.iss]!;
    const next = (iss + 1) | 0;
    if (!this.#writer.send(row, iss, flags, -1, 0, 0)) return false;
    i32[row + TCB.sndNxt] = next;
    if (gt(next, i32[row + TCB.sndMax]!)) {
      i32[row + TCB.sndMax] = next;
      this.#startTiming(row, next);
    } else {
      i32[row + TCB.flags] = (i32[row + TCB.flags]! & ~FLAG.timing) | FLAG.synLost;
      this.#sentAgain(row);
    }
    this.#lossTimer.sent(row);
    return true;
  }

  #sentAgain(row: number): void {
    this.#counters.bump(C_RETRANSMITS);
    this.#flows.sentAgain(row);
  }

  #startTiming(row: number, end: number): void {
    const i32 = this.#i32;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.timing;
    i32[row + TCB.rttSeq] = end;
    i32[row + TCB.rttAt] = this.#clock.us;
  }

  /** Retransmissions of what is lost, a tail loss probe, keepalive. False: try again. */
  #special(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.rexmit) !== 0) {
      if ((flags & FLAG.sack) !== 0) {
        if (!this.#lost(row)) return false;
      } else if (this.#retransmit(row)) i32[row + TCB.flags] = flags & ~FLAG.rexmit;
      else return false;
    }
    if ((i32[row + TCB.flags]! & FLAG.tailDue) !== 0 && !this.#tailProbe(row)) return false;
    if ((i32[row + TCB.flags]! & FLAG.keepalive) !== 0) {
      // already acknowledged: the peer must answer (RFC 9293 3.8.4)
      const seq = (i32[row + TCB.sndUna]! - 1) | 0;
      if (!this.#writer.send(row, seq, ACK, -1, 0, 0)) return false;
      i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.keepalive;
      this.#counters.bump(C_KEEPALIVES);
    }
    return (i32[row + TCB.flags]! & FLAG.mtuProbe) === 0 || this.#mtuProbe(row);
  }

  /** One new segment larger than the MSS, when nothing is amiss and there is enough to send. */
  #mtuProbe(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const una = i32[row + TCB.sndUna]!;
    const next = i32[row + TCB.sndNxt]!;
    if ((flags & NOT_IN_PIPE) !== 0 || next !== i32[row + TCB.sndMax]) return true;
    const left = (una + i32[row + TCB.txBytes]! - next) | 0;
    const room = (una + this.#window(row, i32[row + TCB.mss]!, flags) - next) | 0;
    const bytes = this.#pathMtu.probeBytes(row, left, room);
    if (bytes === 0) return true;
    if (!this.#segment(row, next, ACK, bytes)) return false;
    this.#pathMtu.probed(row, next, bytes);
    return true;
  }

  /** What the scoreboard calls lost, as cwnd allows; new data first if a timeout is in doubt. */
  #lost(row: number): boolean {
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & FLAG.tryNew) !== 0) {
      const next = i32[row + TCB.sndNxt]!;
      if (!this.#data(row)) return false;
      if (i32[row + TCB.sndNxt] !== next) return true;
      i32[row + TCB.flags] = i32[row + TCB.flags]! & ~(FLAG.tryNew | FLAG.doubt); // there is none
    }
    for (let budget = BURST_SEGMENTS; ; budget--) {
      const run = this.#board.firstLost(row);
      if (run === 0) break;
      // the next acknowledgement goes on
      if (this.#recovery.pipe(row) >= i32[row + TCB.cwnd]!) return true;
      if (budget === 0 || !this.#resend(row, run)) return false;
    }
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.rexmit;
    return true;
  }

  /** Sends the first segment of a run again. */
  #resend(row: number, run: number): boolean {
    const i32 = this.#i32;
    const start = i32[run + RUN.start]!;
    const una = i32[row + TCB.sndUna]!;
    const left = (una + i32[row + TCB.txBytes]! - start) | 0;
    const length = Math.min((i32[run + RUN.end]! - start) | 0, i32[row + TCB.mss]!);
    const bytes = Math.min(length, left);
    const isLast = bytes === left;
    const fin = length > left ? FIN : 0;
    this.#sendQueue.seek(row, (start - una) | 0);
    const flags = ACK | (isLast && bytes > 0 ? PSH : 0) | fin;
    const { span, done } = this.#sendQueue;
    if (!this.#writer.send(row, start, flags, span, done, bytes)) return false;
    this.#recovery.resent(row, run, length);
    this.#sentAgain(row);
    i32[row + TCB.lastTxMs] = this.#clock.ms;
    this.#lossTimer.sent(row);
    return true;
  }

  /** One segment beyond cwnd, new if there is one, else the last one again (RFC 8985 7.3). */
  #tailProbe(row: number): boolean {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const next = i32[row + TCB.sndNxt]!;
    if (una === next) {
      i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.tailDue; // acknowledged meanwhile
      return true;
    }
    const mss = i32[row + TCB.mss]!;
    const left = (una + i32[row + TCB.txBytes]! - next) | 0;
    const room = (una + i32[row + TCB.sndWnd]! - next) | 0;
    const length = Math.min(left, mss, room);
    // else the initial window is all there is
    const isBegun = una !== ((i32[row + TCB.iss]! + 1) | 0);
    const isNew = isBegun && length > 0 && (length === left || length === mss);
    if (isNew) {
      const hasFin = (i32[row + TCB.flags]! & FLAG.finQueued) !== 0;
      const flags = ACK | (length === left ? PSH | (hasFin ? FIN : 0) : 0);
      if (!this.#segment(row, next, flags, length)) return false;
    } else if (!this.#resend(row, this.#board.last(row, mss))) return false;
    this.#recovery.probed(row, !isNew);
    return true;
  }

  #retransmit(row: number): boolean {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const outstanding = (i32[row + TCB.sndMax]! - una) | 0;
    const bytes = i32[row + TCB.txBytes]!;
    const mss = i32[row + TCB.mss]!;
    let length = Math.min(bytes, mss);
    if (length > outstanding) length = outstanding;
    const isLast = length === bytes;
    const fin = isLast && outstanding > bytes ? FIN : 0;
    if (outstanding <= 0 || length + fin === 0) return true; // acknowledged meanwhile
    const flags = ACK | (isLast && length > 0 ? PSH : 0) | fin;
    const span = i32[row + TCB.txHead]!;
    if (!this.#writer.send(row, una, flags, span, i32[row + TCB.txHeadDone]!, length)) return false;
    this.#sentAgain(row);
    this.#lossTimer.sent(row);
    return true;
  }

  /**
   * New data, FIN, and after a timeout everything again from sndUna. False: not all that could go.
   */
  #data(row: number): boolean {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const flags = i32[row + TCB.flags]!;
    const hasFin = (flags & (FLAG.finQueued | FLAG.finAcked)) === FLAG.finQueued;
    const end = (una + i32[row + TCB.txBytes]!) | 0;
    if (end === i32[row + TCB.sndNxt] && !hasFin) return true;
    if (una === i32[row + TCB.sndNxt]) this.#afterIdle(row);
    const mss = i32[row + TCB.mss]!;
    const edge = (una + this.#window(row, mss, flags)) | 0;
    const worthwhile = i32[row + TCB.maxWnd]! >> 1;
    let most = mss - this.#writer.sackRoom(row);
    for (let budget = BURST_SEGMENTS; ; budget--) {
      const next = i32[row + TCB.sndNxt]!;
      const left = (end - next) | 0;
      if (left < 0) return true; // FIN is out
      let length = (edge - next) | 0;
      if (length > left) length = left;
      if (length > most) length = most;
      if (length < 0) length = 0;
      const isLast = length === left;
      if (length === 0 && !(isLast && hasFin)) break;
      const isForced = (i32[row + TCB.flags]! & FLAG.probe) !== 0;
      if (!isLast && length < most && length < worthwhile && !isForced) break;
      if (budget === 0) return this.#pace(row, mss);
      const bits = ACK | (isLast && length > 0 ? PSH : 0) | (isLast && hasFin ? FIN : 0);
      if (!this.#segment(row, next, bits, length)) return false;
      most = mss; // what leaves at the same time need not say the same once more
    }
    return una !== i32[row + TCB.sndNxt] || end === una || this.#blocked(row);
  }

  /**
   * Bytes beyond sndUna that may be sent: the peer's window, and cwnd beside what has left the
   * network; without SACK two segments for two duplicates (RFC 3042).
   */
  #window(row: number, mss: number, flags: number): number {
    const i32 = this.#i32;
    const wnd = i32[row + TCB.sndWnd]!;
    const dupAcks = i32[row + TCB.dupAcks]!;
    let cwnd = i32[row + TCB.cwnd]!;
    if ((flags & FLAG.sack) !== 0) {
      if ((flags & NOT_IN_PIPE) !== 0) cwnd += i32[row + TCB.sacked]! + i32[row + TCB.lost]!;
    } else if ((flags & FLAG.recovery) === 0 && dupAcks > 0) cwnd += Math.min(dupAcks, 2) * mss;
    return Math.min(wnd, cwnd);
  }

  /**
   * A burst has been sent and more may go. On a long path it goes when the burst has had its share
   * of the round trip, at twice cwnd a round trip in slow start and a quarter more afterwards
   * (Linux's rates); an acknowledgement meanwhile starts its own burst. On a short one, next flush.
   */
  #pace(row: number, mss: number): boolean {
    const i32 = this.#i32;
    const rtt = i32[row + TCB.srtt]! >> 3;
    if (rtt < PACE_RTT_MIN_US) return false;
    const cwnd = i32[row + TCB.cwnd]!;
    const gain = cwnd < i32[row + TCB.ssthresh]! ? PACE_GAIN_START : PACE_GAIN;
    const gap = Math.min((BURST_SEGMENTS * mss * rtt) / (cwnd * gain), rtt);
    this.#timers.set(row, TIMER.pace, RARE.paceAt, (this.#clock.us + gap) | 0);
    this.#counters.bump(C_PACED);
    return true;
  }

  #afterIdle(row: number): void {
    const i32 = this.#i32;
    const idleMs = (this.#clock.ms - i32[row + TCB.lastTxMs]!) | 0;
    if (idleMs < 0 || idleMs > i32[row + TCB.rto]! >> 10) this.#congestion.idle(row);
  }

  #segment(row: number, seq: number, flags: number, length: number): boolean {
    const i32 = this.#i32;
    const span = i32[row + TCB.txNext]!;
    if (!this.#writer.send(row, seq, flags, span, i32[row + TCB.txNextDone]!, length)) return false;
    const next = (seq + length + (flags & FIN)) | 0;
    if ((i32[row + TCB.flags]! & FLAG.sack) !== 0) {
      this.#board.sent(row, seq, next);
      i32[row + TCB.prrOut] = i32[row + TCB.prrOut]! + length;
    }
    if (length > 0) {
      i32[row + TCB.txNext] = this.#sendQueue.span;
      i32[row + TCB.txNextDone] = this.#sendQueue.done;
    }
    i32[row + TCB.sndNxt] = next;
    if (gt(next, i32[row + TCB.sndMax]!)) {
      i32[row + TCB.sndMax] = next;
      if ((i32[row + TCB.flags]! & FLAG.timing) === 0) this.#startTiming(row, next);
      this.#counters.add(C_BYTES_OUT, length);
    } else this.#sentAgain(row);
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.probe;
    i32[row + TCB.timers] = i32[row + TCB.timers]! & ~TIMER.persist;
    i32[row + TCB.lastTxMs] = this.#clock.ms;
    this.#lossTimer.sent(row);
    return true;
  }

  /**
   * Data is queued, nothing is out, and the window lets nothing go: probe it (RFC 9293 3.8.6.1).
   * The probe is one byte that the peer need not take: sndNxt does not move.
   */
  #blocked(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.probe) !== 0) {
      const una = i32[row + TCB.sndUna]!;
      const span = i32[row + TCB.txHead]!;
      if (!this.#writer.send(row, una, ACK, span, i32[row + TCB.txHeadDone]!, 1)) return false;
      const next = (una + 1) | 0;
      if (gt(next, i32[row + TCB.sndMax]!)) i32[row + TCB.sndMax] = next;
      i32[row + TCB.flags] = i32[row + TCB.flags]! & ~(FLAG.probe | FLAG.timing);
      this.#counters.bump(C_PROBES);
    }
    if ((i32[row + TCB.timers]! & (TIMER.persist | TIMER.rto)) === 0) {
      const wait = backedOff(i32[row + TCB.rto]!, i32[row + TCB.probes]!);
      this.#timers.set(row, TIMER.persist, TCB.persistAt, (this.#clock.us + wait) | 0);
    }
    return true;
  }

  /** The acknowledgement that no data has carried: now, soon, or later. */
  #acknowledge(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.ackNow) !== 0) return this.pureAck(row);
    if ((flags & FLAG.ackDelayed) === 0) return true;
    const unacked = i32[row + TCB.unacked]!;
    const full = i32[row + TCB.rcvMss]!;
    if (unacked >= full << 1) {
      if (!this.#mayHold || unacked >= full << HELD_SEGMENTS_SHIFT) return this.pureAck(row);
      this.#hasHeld = true;
      return false;
    }
    if ((i32[row + TCB.timers]! & TIMER.delack) !== 0) return true;
    this.#timers.set(row, TIMER.delack, TCB.delackAt, (this.#clock.us + DELAYED_ACK_US) | 0);
    return true;
  }

  /**
   * One acknowledgement at once. Its sequence number lies in the peer's window, even after a
   * timeout. Before our SYN nothing leaves: that will acknowledge.
   */
  pureAck(row: number): boolean {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    let seq = i32[row + TCB.sndMax]!;
    if (seq === i32[row + TCB.iss]) return true;
    const wnd = i32[row + TCB.sndWnd]!;
    if (((seq - una) | 0) > wnd) seq = (una + wnd) | 0;
    if (!this.#writer.send(row, seq, ACK, -1, 0, 0)) return false;
    this.#counters.bump(C_PURE_ACKS);
    return true;
  }
}
