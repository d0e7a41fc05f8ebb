/**
 * A segment for a flow in SYN-RECEIVED or any state behind it, in the RFC's order.
 *
 * - First a new SYN in TIME-WAIT, PAWS, the sequence number; then RST, SYN, ACK, payload, FIN.
 * - RFC 5961: an RST counts only at rcvNxt exactly; other RSTs in the window, SYNs, and
 *   acknowledgements of what was never sent get a challenge ACK, so many per flow and time.
 * - Nothing of a segment is taken, no timestamp, no sign of life, no duplicate to be told of,
 *   before its sequence number and its acknowledgement have both been found acceptable: whoever
 *   guesses only one of them changes nothing.
 * - A segment is judged by its fields, whatever options it has: one without the agreed timestamps
 *   is taken if it is acceptable otherwise, and those not agreed on are not read.
 * - A probe of our zero window is answered, and its acknowledgement is used; so is that of a
 *   segment which is wholly old.
 *
 * Called by input.ts. Read first: RFC 9293 3.10.7.4; RFC 5961 3-5; RFC 7323 5.3; RFC 6191.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { DEAD } from '../gate/abi.ts';
import { type Environment, FREE_FRAME } from '../net/both/environment.ts';
import { ACK, ECE, FIN, RST, SYN, segmentLength, URG } from '../wire/tcp.ts';
import type { Acknowledging } from './acknowledge.ts';
import type { Arrival } from './arrival.ts';
import {
  CHALLENGE_ACKS_MAX,
  CHALLENGE_ACKS_MORE,
  CHALLENGE_INTERVAL_MS,
  ORPHAN_US,
  TIMESTAMP_AGE_MAX_MS,
} from './constants.ts';
import type { Ecn } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { Listeners } from './listen.ts';
import type { Opening } from './open.ts';
import type { Output } from './output.ts';
import type { Passive } from './passive.ts';
import type { Receiving } from './receive.ts';
import type { SegmentWriter } from './segment.ts';
import { geq, gt, isAcceptable, leq, lt } from './seq.ts';
import { FLAG, PENDING, RARE, STATE, TCB, TIMER } from './tcb.ts';
import type { Teardown } from './teardown.ts';
import type { Timers } from './timers.ts';

const C_PAWS = COUNTER.tcpPaws;
const C_BAD_FLAGS = COUNTER.tcpBadFlags;
const C_BAD_ACK = COUNTER.tcpBadAck;
const C_OUT_OF_WINDOW = COUNTER.tcpOutOfWindow;
const C_DUPLICATE = COUNTER.tcpDuplicate;
const C_RESETS_IN = COUNTER.tcpResetsIn;
const C_CHALLENGES = COUNTER.tcpChallengeAcks;
const C_CHALLENGES_LIMITED = COUNTER.tcpChallengeLimited;
const C_BACKLOG_FULL = COUNTER.tcpBacklogFull;
const C_AFTER_CLOSE = COUNTER.tcpAfterClose;

export interface SynchronizedParts {
  readonly flows: Flows;
  readonly acknowledging: Acknowledging;
  readonly opening: Opening;
  readonly passive: Passive;
  readonly receiving: Receiving;
  readonly output: Output;
  readonly writer: SegmentWriter;
  readonly teardown: Teardown;
  readonly timers: Timers;
  readonly listeners: Listeners;
  readonly ecn: Ecn;
}

export class Synchronized {
  readonly #i32: Int32Array;
  readonly #clock: Environment['clock'];
  readonly #counters: Counters;
  readonly #flows: Flows;
  readonly #acknowledging: Acknowledging;
  readonly #opening: Opening;
  readonly #passive: Passive;
  readonly #receiving: Receiving;
  readonly #output: Output;
  readonly #writer: SegmentWriter;
  readonly #teardown: Teardown;
  readonly #timers: Timers;
  readonly #listeners: Listeners;
  readonly #ecn: Ecn;

  constructor(env: Environment, parts: SynchronizedParts) {
    this.#i32 = parts.flows.i32;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#flows = parts.flows;
    this.#acknowledging = parts.acknowledging;
    this.#opening = parts.opening;
    this.#passive = parts.passive;
    this.#receiving = parts.receiving;
    this.#output = parts.output;
    this.#writer = parts.writer;
    this.#teardown = parts.teardown;
    this.#timers = parts.timers;
    this.#listeners = parts.listeners;
    this.#ecn = parts.ecn;
  }

  /** -> FREE_FRAME or KEEP_FRAME. */
  arrives(row: number, a: Arrival): number {
    const state = this.#i32[row + TCB.state]!;
    if (state === STATE.timeWait && this.#reuses(row, a)) return FREE_FRAME;
    if (state === STATE.synReceived && this.#repeatsSyn(row, a)) return FREE_FRAME;
    if ((this.#i32[row + TCB.flags]! & FLAG.timestamps) === 0) a.options.hasTimestamps = false;
    if (!this.#checkTimestamps(row, a) || !this.#checkSequence(row, a)) return FREE_FRAME;
    if ((a.flags & RST) !== 0) return this.#reset(row, a);
    if ((a.flags & SYN) !== 0) {
      this.challenge(row, CHALLENGE_ACKS_MAX);
      return FREE_FRAME;
    }
    if ((a.flags & ACK) === 0) {
      this.#counters.bump(C_BAD_FLAGS);
      return FREE_FRAME;
    }
    if (!this.#checkAcknowledgement(row, a)) return FREE_FRAME;
    this.#believe(row, a);
    if (!this.#acknowledge(row, a)) return FREE_FRAME;
    if (a.length > 0 && (this.#i32[row + TCB.flags]! & FLAG.ecn) !== 0) {
      this.#ecn.received(row, a.isMarked, a.flags);
    }
    if ((a.flags & URG) !== 0) this.#receiving.urgent(row, a.urgentEnd);
    return this.#text(row, a);
  }

  /**
   * TIME-WAIT: a SYN that cannot be an old one opens the connection anew (RFC 6191 2). One that may
   * be is remembered, unless it is our connection's own: who sent it answers our acknowledgement
   * with a RST, and has nothing else left to get in with (see #reset).
   */
  #reuses(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    if ((a.flags & (SYN | RST | ACK | FIN)) !== SYN) return false;
    const bothStamped = (i32[row + TCB.flags]! & FLAG.timestamps) !== 0 && a.options.hasTimestamps;
    const isNewer = bothStamped
      ? gt(a.options.tsVal, i32[row + TCB.tsRecent]!) ||
        (a.options.tsVal === i32[row + TCB.tsRecent] && gt(a.seq, i32[row + TCB.rcvNxt]!))
      : gt(a.seq, i32[row + TCB.rcvNxt]!);
    const listener = this.#listeners.find(a.local, a.ports & 0xffff);
    if (listener < 0) return false;
    if (!isNewer) {
      if (a.seq !== i32[row + TCB.irs]) i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.oldSyn;
      return false;
    }
    if (!this.#passive.canReopen(listener, a)) return true;
    const sndMax = i32[row + TCB.sndMax]!;
    this.#teardown.finish(row, DEAD.closed);
    this.#passive.synchronize(listener, a, sndMax, true);
    return true;
  }

  /**
   * SYN-RECEIVED: the peer's SYN again gets our SYN-ACK again. A SYN-ACK is the other half of a
   * simultaneous open; without its SYN it is the acknowledgement we wait for (RFC 9293 3.5, figure
   * 7; the sequence check would refuse it).
   */
  #repeatsSyn(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    if ((a.flags & (SYN | RST)) !== SYN || a.seq !== i32[row + TCB.irs]) return false;
    if ((a.flags & ACK) !== 0) {
      if (a.ack === i32[row + TCB.sndMax]) a.trimFront(1);
      return false;
    }
    this.#ecn.repeated(row, a.flags);
    i32[row + TCB.sndNxt] = i32[row + TCB.iss]!;
    i32[row + TCB.retries] = 0; // it is still there, only our SYN-ACKs are lost
    this.#flows.output.push(row);
    return true;
  }

  /** PAWS (RFC 7323 5.3 R1). Without timestamps: see docs/conformance.md, 7323 3.2. */
  #checkTimestamps(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    if (!a.options.hasTimestamps || (a.flags & RST) !== 0) return true;
    if (lt(a.options.tsVal, i32[row + TCB.tsRecent]!)) {
      const age = (this.#clock.ms - i32[row + TCB.tsRecentMs]!) | 0;
      if (age >= 0 && age < TIMESTAMP_AGE_MAX_MS) {
        this.#counters.bump(C_PAWS);
        this.#answerUnacceptable(row, a, this.#isGenuine(row, a));
        return false;
      }
    }
    return true;
  }

  /** First, check sequence number. At rcvNxt it passes a zero window, without its payload. */
  #checkSequence(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    const next = i32[row + TCB.rcvNxt]!;
    const length = segmentLength(a.length, a.flags);
    let window = (i32[row + TCB.rcvEdge]! - next) | 0;
    if (window < 0) window = 0;
    if (window === 0 && a.seq === next) {
      if (a.length > 0) {
        a.length = 0;
        a.flags &= ~FIN;
        this.#receiving.acknowledgeNow(row);
      }
      return true;
    }
    if (isAcceptable(a.seq, length, next, window)) return true;
    // a pure acknowledgement of a peer that has filled the window: its SND.NXT is our right edge
    const isPure = length === 0 && (a.flags & (ACK | RST)) === ACK;
    if (isPure && a.seq === ((next + window) | 0)) return true;
    this.#counters.bump(lt(a.seq, next) ? C_DUPLICATE : C_OUT_OF_WINDOW);
    if ((a.flags & RST) === 0) this.#unacceptable(row, a, length);
    return false;
  }

  /**
   * The sequence number is not acceptable: an acknowledgement says where we are. What lies within a
   * window before rcvNxt is the peer's repetition of what has arrived: if it acknowledges more than
   * we have heard of, so much is true (our acknowledgement was lost, or its own), and it is told
   * that it has repeated itself (RFC 2883).
   */
  #unacceptable(row: number, a: Arrival, length: number): void {
    const i32 = this.#i32;
    const next = i32[row + TCB.rcvNxt]!;
    const old = (next - a.seq) | 0;
    const isGenuine = this.#isGenuine(row, a);
    const isRepeated = isGenuine && old > 0 && old <= i32[row + TCB.rcvBuf]! + length;
    if (isRepeated) {
      const end = (a.seq + a.length) | 0;
      this.#receiving.duplicate(row, a.seq, lt(end, next) ? end : next);
    }
    this.#answerUnacceptable(row, a, isGenuine);
    if (!isRepeated) return;
    this.#isHeard(row);
    if (gt(a.ack, i32[row + TCB.sndUna]!)) this.#acknowledge(row, a);
  }

  /**
   * An acknowledgement: at once for data, rationed for the rest, or two peers may talk for ever.
   */
  #answerUnacceptable(row: number, a: Arrival, isGenuine: boolean): void {
    const i32 = this.#i32;
    if (i32[row + TCB.state] === STATE.timeWait && isGenuine && (a.flags & FIN) !== 0) {
      const end = (a.seq + segmentLength(a.length, a.flags)) | 0;
      // it has not seen our last ACK: 2 MSL again
      if (end === i32[row + TCB.rcvNxt]) this.#teardown.timeWait(row);
    }
    if (segmentLength(a.length, a.flags) === 0 || (a.flags & SYN) !== 0) {
      this.challenge(row, CHALLENGE_ACKS_MAX + (isGenuine ? CHALLENGE_ACKS_MORE : 0));
    } else if (!this.#output.pureAck(row)) this.#receiving.acknowledgeNow(row);
  }

  /**
   * Says to the peer where we are (RFC 5961 7: not too often). Some are kept for segments whose
   * acknowledgement is right, as a keepalive's is: whoever guesses must not use them up.
   */
  challenge(row: number, most: number): void {
    const i32 = this.#i32;
    const age = (this.#clock.ms - i32[row + RARE.challengeMs]!) | 0;
    if (age < 0 || age >= CHALLENGE_INTERVAL_MS) {
      i32[row + RARE.challenges] = 0;
      i32[row + RARE.challengeMs] = this.#clock.ms;
    }
    if (i32[row + RARE.challenges]! >= most) {
      this.#counters.bump(C_CHALLENGES_LIMITED);
      return;
    }
    i32[row + RARE.challenges] = i32[row + RARE.challenges]! + 1;
    this.#counters.bump(C_CHALLENGES);
    this.#output.pureAck(row);
  }

  /**
   * Second, check the RST bit; the sequence number lies in the window. An old RST must not end
   * TIME-WAIT (RFC 1337 3, F1); one behind a SYN of another connection is no old one. Without it a
   * peer that takes a port again, and whose bytes had outrun its ISN's clock (iss.ts), stands
   * outside until the wait is over.
   */
  #reset(row: number, a: Arrival): number {
    const i32 = this.#i32;
    const state = i32[row + TCB.state]!;
    if (a.seq !== i32[row + TCB.rcvNxt]) this.challenge(row, CHALLENGE_ACKS_MAX);
    else if (state !== STATE.timeWait || (i32[row + TCB.flags]! & FLAG.oldSyn) !== 0) {
      this.#counters.bump(C_RESETS_IN);
      const isActive = (i32[row + TCB.flags]! & FLAG.active) !== 0;
      let reason: number = DEAD.reset;
      if (state === STATE.synReceived && isActive) reason = DEAD.refused;
      const isSaid = i32[row + TCB.txBytes] === 0; // all but our FIN has arrived
      if (isSaid && state >= STATE.closing) reason = DEAD.closed;
      this.#teardown.finish(row, reason);
    }
    return FREE_FRAME;
  }

  /**
   * Fifth, check the ACK field. False: the peer cannot have meant it, and the segment is done with.
   */
  #checkAcknowledgement(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    if (i32[row + TCB.state] === STATE.synReceived) {
      if (gt(a.ack, i32[row + TCB.sndUna]!) && leq(a.ack, i32[row + TCB.sndMax]!)) return true;
      this.#counters.bump(C_BAD_ACK);
      this.#writer.reset(a.remote, a.ports, a.local, a.ack, 0, 0);
      return false;
    }
    if (this.#isGenuine(row, a)) return true;
    this.#counters.bump(C_BAD_ACK);
    this.challenge(row, CHALLENGE_ACKS_MAX); // RFC 5961 5.2
    return false;
  }

  /**
   * Whether an acknowledgement is there, and one that the peer can still be sending (RFC 5961 5.2).
   * Before ESTABLISHED there is only one right number, which the handshake's own check asks for.
   */
  #isGenuine(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    if ((a.flags & (ACK | SYN)) !== ACK || i32[row + TCB.state] === STATE.synReceived) return false;
    const oldest = (i32[row + TCB.sndUna]! - i32[row + TCB.maxWnd]!) | 0;
    return leq(a.ack, i32[row + TCB.sndMax]!) && geq(a.ack, oldest);
  }

  /** All checks passed: the peer is there, its timestamp is the one to echo (RFC 7323 5.3 R3). */
  #believe(row: number, a: Arrival): void {
    const i32 = this.#i32;
    this.#isHeard(row);
    if (!a.options.hasTimestamps || gt(a.seq, i32[row + TCB.lastAckSent]!)) return;
    i32[row + TCB.tsRecent] = a.options.tsVal;
    i32[row + TCB.tsRecentMs] = this.#clock.ms;
  }

  #isHeard(row: number): void {
    this.#i32[row + TCB.lastRxMs] = this.#clock.ms;
    this.#i32[row + TCB.keepProbes] = 0;
  }

  /** What an acceptable acknowledgement says. False: the segment is done with. */
  #acknowledge(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    if (i32[row + TCB.state] === STATE.synReceived) return this.#completeHandshake(row, a);
    const una = i32[row + TCB.sndUna]!;
    const max = i32[row + TCB.sndMax]!;
    const window = a.window << i32[row + TCB.sndScale]!;
    this.#isAlive(row);
    const isEcho = (a.flags & ECE) !== 0 && (i32[row + TCB.flags]! & FLAG.ecn) !== 0;
    if (isEcho) this.#ecn.echoed(row, a.ack);
    if ((i32[row + TCB.flags]! & FLAG.sack) !== 0) {
      this.#acknowledging.selective(row, a);
    } else if (gt(a.ack, una)) {
      const { options } = a;
      const hasEcho = options.hasTimestamps && options.tsEcr !== 0;
      this.#acknowledging.advance(row, a.ack, hasEcho, options.tsEcr);
    } else if (
      a.ack === una &&
      max !== una &&
      a.length === 0 &&
      (a.flags & FIN) === 0 &&
      window === i32[row + TCB.sndWnd] &&
      i32[row + TCB.sndNxt] !== una
    ) {
      this.#acknowledging.duplicate(row);
    }
    if (isEcho) this.#ecn.hold(row);
    this.#acknowledging.window(row, a.seq, a.ack, window);
    return this.#afterFin(row);
  }

  /**
   * An acknowledgement, perhaps of nothing new: a peer that answers and takes nothing, because its
   * window is closed or because it has no room for what it has promised, is not dead (RFC 9293
   * 3.8.6.1). Nobody waits for an orphan.
   */
  #isAlive(row: number): void {
    const i32 = this.#i32;
    if ((i32[row + TCB.timers]! & TIMER.persist) !== 0) i32[row + TCB.retries] = 0;
    else if (i32[row + TCB.retries]! > 1 && (i32[row + TCB.flags]! & FLAG.noReader) === 0) {
      i32[row + TCB.retries] = 1;
    }
  }

  #completeHandshake(row: number, a: Arrival): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.halfOpen) !== 0 && !this.#listeners.hasRoomToWait(i32[row + TCB.listener]!)) {
      this.#counters.bump(C_BACKLOG_FULL);
      return false;
    }
    this.#acknowledging.synAcknowledged(row, a.ack, a.options);
    i32[row + TCB.sndWnd] = i32[row + TCB.maxWnd] = a.window << i32[row + TCB.sndScale]!;
    i32[row + TCB.sndWl1] = a.seq;
    i32[row + TCB.sndWl2] = a.ack;
    this.#opening.established(row);
    return true;
  }

  /** What the acknowledgement of our FIN changes. False: the flow is gone. */
  #afterFin(row: number): boolean {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.finAcked) === 0) return true;
    switch (i32[row + TCB.state]!) {
      case STATE.finWait1:
        i32[row + TCB.state] = STATE.finWait2;
        if ((flags & FLAG.noReader) !== 0) {
          this.#timers.set(row, TIMER.long, TCB.longAt, (this.#clock.us + ORPHAN_US) | 0);
        }
        return true;
      case STATE.closing:
        this.#teardown.timeWait(row);
        return true;
      case STATE.lastAck:
        this.#teardown.finish(row, DEAD.closed);
        return false;
      default:
        return true;
    }
  }

  /** Seventh, the segment text; eighth, the FIN bit. */
  #text(row: number, a: Arrival): number {
    const i32 = this.#i32;
    const state = i32[row + TCB.state]!;
    const isOpen =
      state === STATE.established || state === STATE.finWait1 || state === STATE.finWait2;
    if (!isOpen || (a.length === 0 && (a.flags & FIN) === 0)) return FREE_FRAME;
    const old = (i32[row + TCB.rcvNxt]! - a.seq) | 0;
    if (old > 0) {
      if (a.length > 0) this.#receiving.duplicate(row, a.seq, i32[row + TCB.rcvNxt]!);
      a.trimFront(old);
      this.#receiving.acknowledgeNow(row);
    }
    const over = (a.seq + a.length - i32[row + TCB.rcvEdge]!) | 0;
    if (over > 0) {
      a.length -= over;
      a.flags &= ~FIN;
    }
    let result = FREE_FRAME;
    if (a.length > 0) {
      if ((i32[row + TCB.flags]! & FLAG.noReader) !== 0) {
        this.#counters.bump(C_AFTER_CLOSE);
        // data is lost: the peer must know (RFC 9293 3.6.1)
        this.#teardown.abort(row, DEAD.aborted);
        return FREE_FRAME;
      }
      result =
        a.seq === i32[row + TCB.rcvNxt]
          ? this.#receiving.accept(row, a.frame, a.data, a.length)
          : this.#receiving.outOfOrder(row, a.frame, a.data, a.length, a.seq);
    }
    if ((a.flags & FIN) !== 0) {
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.finKnown;
      i32[row + TCB.rcvFin] = (a.seq + a.length) | 0;
      if (a.length === 0) this.#receiving.acknowledgeNow(row); // else its data has seen to it
    }
    const isFin = (i32[row + TCB.flags]! & FLAG.finKnown) !== 0;
    if (isFin && i32[row + TCB.rcvFin] === i32[row + TCB.rcvNxt]) this.#finish(row);
    return result;
  }

  /** The peer's FIN is next in order. */
  #finish(row: number): void {
    const i32 = this.#i32;
    const next = (i32[row + TCB.rcvNxt]! + 1) | 0;
    i32[row + TCB.rcvNxt] = next;
    if (i32[row + TCB.oooHead] !== 0) this.#receiving.endOfStream(row);
    if (lt(i32[row + TCB.rcvEdge]!, next)) i32[row + TCB.rcvEdge] = next; // a FIN needs no room
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.noReader) === 0) {
      i32[row + TCB.pending] = i32[row + TCB.pending]! | PENDING.recvEnd;
      this.#flows.ready.push(row);
    }
    this.#receiving.acknowledgeNow(row);
    const isFinAcked = (flags & FLAG.finAcked) !== 0;
    if (i32[row + TCB.state] === STATE.established) i32[row + TCB.state] = STATE.closeWait;
    else if (isFinAcked) this.#teardown.timeWait(row);
    else i32[row + TCB.state] = STATE.closing;
  }
}
