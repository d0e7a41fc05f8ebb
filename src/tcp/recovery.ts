/**
 * Loss recovery of flows with SACK: what is lost, from when to when, how fast data flows meanwhile.
 *
 * - RACK: what left a reordering window before something that has arrived is lost. The window is
 *   nothing while the network keeps order, else a quarter of the smallest round trip, and a quarter
 *   more for each round with a DSACK.
 * - PRR: during recovery the window falls to ssthresh in proportion to what is delivered, without a
 *   pause or a burst; it grows beyond that only while recovery gets on and nothing more is lost.
 * - TLP: a probe instead of a timeout when the end of a flight is lost. If the probe has repaired a
 *   loss, the window pays for it as in recovery.
 * - A timeout makes all lost that is not selectively acknowledged, and is doubted (F-RTO, Eifel):
 *   when the first transmission turns out to have arrived, the windows are restored and nothing is
 *   lost. The same for a recovery whose retransmissions are all named by DSACKs.
 * - A retransmission may be lost again; RACK treats it like any other segment.
 *
 * Called by acknowledge.ts, expire.ts, output.ts, icmp-error.ts. Read first: RFC 8985; RFC 9937;
 * RFC 5682; RFC 3522; RFC 6675 5.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import type { Arrival } from './arrival.ts';
import type { Congestion } from './congestion.ts';
import { DUPLICATES, REORDERING_KEEP } from './constants.ts';
import { isPaid, lossUndone, reducedForLoss } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { LossTimer } from './loss-timer.ts';
import type { PathMtu } from './path-mtu.ts';
import { LOST, RESENT, RUN, SACKED, type Scoreboard } from './scoreboard.ts';
import { geq, gt, leq, lt } from './seq.ts';
import { FLAG, TCB } from './tcb.ts';

const C_FAST_RETRANSMITS = COUNTER.tcpFastRetransmits;
const C_PROBES = COUNTER.tcpLossProbes;
const C_UNDONE = COUNTER.tcpUndone;
/** Something is or was missing: acknowledgements are more than progress. */
export const TROUBLE: number = FLAG.disorder | FLAG.recovery | FLAG.loss | FLAG.tail | FLAG.tailDue;

export class Recovery {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #board: Scoreboard;
  readonly #congestion: Congestion;
  readonly #timer: LossTimer;
  readonly #pathMtu: PathMtu;

  constructor(
    env: Environment,
    flows: Flows,
    board: Scoreboard,
    congestion: Congestion,
    timer: LossTimer,
    pathMtu: PathMtu,
  ) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#board = board;
    this.#congestion = congestion;
    this.#timer = timer;
    this.#pathMtu = pathMtu;
  }

  /**
   * An acknowledgement was taken in, and the scoreboard shows it. `hasAdvanced`: sndUna has moved;
   * `flight` is what was out before.
   */
  acknowledged(row: number, a: Arrival, hasAdvanced: boolean, flight: number): void {
    const i32 = this.#i32;
    const board = this.#board;
    let wasLoss = (i32[row + TCB.flags]! & FLAG.loss) !== 0;
    if (board.duplicated > 0) this.#onDuplicate(row, board.duplicated);
    if ((i32[row + TCB.flags]! & FLAG.tail) !== 0) this.#afterProbe(row, a, hasAdvanced);
    if ((i32[row + TCB.flags]! & (FLAG.recovery | FLAG.loss)) !== 0) {
      if (this.#isSpurious(row, a, hasAdvanced)) {
        this.#undo(row);
        wasLoss = false;
      } else if (geq(i32[row + TCB.sndUna]!, i32[row + TCB.recover]!)) this.#leave(row);
    } else if (this.#isAllDuplicate(row)) this.#undo(row); // late, when recovery is over
    const sackedNow = i32[row + TCB.sacked]! !== 0 ? FLAG.disorder : 0;
    i32[row + TCB.flags] = (i32[row + TCB.flags]! & ~FLAG.disorder) | sackedNow;
    const hasLost = this.#detect(row);
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.recovery) !== 0) this.#reduce(row, hasAdvanced && !hasLost);
    else if (wasLoss && board.delivered > 0) {
      // slow start after a timeout: by the acknowledgement that ends it, too
      if ((flags & FLAG.doubt) !== 0) this.#secondThoughts(row, hasAdvanced);
      this.#congestion.acknowledged(row, board.delivered, flight);
    }
    this.#flows.output.push(row);
  }

  // --- RACK ---

  /** The time is up for what was only late so far. */
  patienceOver(row: number): void {
    const i32 = this.#i32;
    this.#board.begin();
    this.#timer.restart(row);
    this.#detect(row);
    if ((i32[row + TCB.flags]! & FLAG.recovery) !== 0) this.#reduce(row, false);
  }

  /**
   * Marks what is lost by now, begins recovery if something is (RFC 8985 6.2, step 5). -> whether.
   */
  #detect(row: number): boolean {
    const i32 = this.#i32;
    const before = i32[row + TCB.lost]!;
    const wait = this.#markLost(row);
    const flags = i32[row + TCB.flags]!;
    const hasLost = i32[row + TCB.lost]! > before;
    if (hasLost) {
      i32[row + TCB.flags] = flags | FLAG.rexmit;
      if ((flags & (FLAG.recovery | FLAG.loss)) === 0 && !this.#isProbe(row)) this.#enter(row);
      this.#flows.output.push(row);
    }
    if (wait > 0) this.#timer.waitForReordering(row, wait);
    return hasLost;
  }

  #isProbe(row: number): boolean {
    const run = this.#board.firstLost(row);
    return this.#pathMtu.isProbe(row, this.#i32[run + RUN.start]!);
  }

  /** Returns how long to wait for what is late but not lost; 0: for nothing. */
  #markLost(row: number): number {
    const i32 = this.#i32;
    const rackAt = i32[row + TCB.rackAt]!;
    const rackEnd = i32[row + TCB.rackEnd]!;
    const patience = i32[row + TCB.rackRtt]! + this.#reorderingWindow(row);
    const now = this.#clock.us;
    const fack = i32[row + TCB.fack]!;
    let wait = 0;
    for (let run = i32[row + TCB.runHead]!; run !== 0; run = i32[run + RUN.next]!) {
      const at = i32[run + RUN.at]!;
      if ((i32[run + RUN.bits]! & (SACKED | LOST)) !== 0) continue;
      const later = (at - rackAt) | 0;
      if (later > 0 || (later === 0 && !lt(i32[run + RUN.end]!, rackEnd))) {
        const isFirst = (i32[run + RUN.bits]! & RESENT) === 0;
        if (isFirst && geq(i32[run + RUN.start]!, fack)) break; // all behind it left later still
        continue;
      }
      const left = (at + patience - now) | 0;
      if (left <= 0) this.#board.lose(row, run);
      else if (left > wait) wait = left;
    }
    return wait;
  }

  /** RFC 8985 6.2, step 4. */
  #reorderingWindow(row: number): number {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.reorders) === 0) {
      if ((flags & (FLAG.recovery | FLAG.loss)) !== 0) return 0;
      if (i32[row + TCB.sacked]! >= DUPLICATES * i32[row + TCB.mss]!) return 0;
    }
    const quarters = i32[row + TCB.reoSteps]! + 1;
    const window = quarters * (i32[row + TCB.minRtt]! >> 2);
    return Math.min(window, i32[row + TCB.srtt]! >> 3);
  }

  /** A DSACK: something was sent again for nothing. */
  #onDuplicate(row: number, bytes: number): void {
    const i32 = this.#i32;
    if (geq(i32[row + TCB.sndUna]!, i32[row + TCB.reoRound]!)) {
      i32[row + TCB.reoRound] = i32[row + TCB.sndNxt]!;
      i32[row + TCB.reoSteps] = Math.min(i32[row + TCB.reoSteps]! + 1, 64);
      i32[row + TCB.reoKeep] = REORDERING_KEEP;
    }
    i32[row + TCB.undoBytes] = i32[row + TCB.undoBytes]! - bytes;
  }

  // --- recovery ---

  #enter(row: number): void {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const flight = (i32[row + TCB.sndNxt]! - una) | 0;
    this.#remember(row);
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.recovery;
    // what was not delivered before this acknowledgement (RFC 9937 6: RecoverFS)
    i32[row + TCB.prrFlight] = flight - i32[row + TCB.sacked]! + this.#board.delivered;
    i32[row + TCB.prrDelivered] = i32[row + TCB.prrOut] = 0;
    if (!isPaid(i32, row, i32[this.#board.firstLost(row) + RUN.start]!)) {
      this.#congestion.enterRecovery(row, Math.min(flight, i32[row + TCB.cwnd]!));
      reducedForLoss(i32, row);
    }
    this.#counters.bump(C_FAST_RETRANSMITS);
    this.#timer.restart(row);
  }

  /** So that the windows can be restored. */
  #remember(row: number): void {
    const i32 = this.#i32;
    i32[row + TCB.recover] = i32[row + TCB.sndNxt]!;
    i32[row + TCB.undoCwnd] = i32[row + TCB.cwnd]!;
    i32[row + TCB.undoSsthresh] = i32[row + TCB.ssthresh]!;
    i32[row + TCB.undoBytes] = 0;
    i32[row + TCB.undoStamp] = 0;
    const gone = FLAG.timing | FLAG.tail | FLAG.tailDue | FLAG.tailOld | FLAG.doubt | FLAG.tryNew;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~gone;
  }

  #leave(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const gone = FLAG.recovery | FLAG.loss | FLAG.doubt | FLAG.tryNew;
    i32[row + TCB.flags] = flags & ~gone;
    if ((flags & FLAG.recovery) !== 0) {
      i32[row + TCB.cwnd] = Math.max(i32[row + TCB.ssthresh]!, i32[row + TCB.mss]!);
    }
    const keep = i32[row + TCB.reoKeep]! - 1;
    i32[row + TCB.reoKeep] = Math.max(keep, 0);
    if (keep <= 0) i32[row + TCB.reoSteps] = 0;
  }

  /** The bytes in the network (RFC 6675's pipe). */
  pipe(row: number): number {
    const i32 = this.#i32;
    const flight = (i32[row + TCB.sndNxt]! - i32[row + TCB.sndUna]!) | 0;
    return flight - i32[row + TCB.sacked]! - i32[row + TCB.lost]!;
  }

  /**
   * RFC 9937 6. `isSafe`: sndUna has advanced, nothing more is lost: slow-start reduction bound.
   */
  #reduce(row: number, isSafe: boolean): void {
    const i32 = this.#i32;
    const { delivered } = this.#board;
    const mss = i32[row + TCB.mss]!;
    const ssthresh = i32[row + TCB.ssthresh]!;
    const pipe = this.pipe(row);
    const total = i32[row + TCB.prrDelivered]! + delivered;
    const out = i32[row + TCB.prrOut]!;
    i32[row + TCB.prrDelivered] = total;
    let room = 0;
    if (pipe > ssthresh) {
      room = Math.ceil((total * ssthresh) / Math.max(i32[row + TCB.prrFlight]!, 1)) - out;
    } else {
      room = Math.min(ssthresh - pipe, Math.max(total - out, delivered) + (isSafe ? mss : 0));
    }
    if (out === 0 && room < mss) room = mss; // the first retransmission goes in any case
    i32[row + TCB.cwnd] = Math.max(pipe + Math.max(room, 0), mss);
  }

  /** `length` sequence numbers from the front of a run have left again. */
  resent(row: number, run: number, length: number): void {
    const i32 = this.#i32;
    const start = i32[run + RUN.start]!;
    this.#pathMtu.resent(row, start, (start + length) | 0);
    this.#board.resent(row, run, length);
    if ((i32[row + TCB.flags]! & (FLAG.recovery | FLAG.loss)) === 0) return; // a probe
    i32[row + TCB.prrOut] = i32[row + TCB.prrOut]! + length;
    i32[row + TCB.undoBytes] = i32[row + TCB.undoBytes]! + length;
    if (i32[row + TCB.undoStamp] !== 0) return;
    const stamp = (this.#clock.ms + i32[row + TCB.tsOffset]!) | 0;
    i32[row + TCB.undoStamp] = stamp === 0 ? 1 : stamp;
  }

  // --- timeouts ---

  /** The retransmission timer fired. `isFirst`: not again for the same data. */
  timedOut(row: number, isFirst: boolean): void {
    const i32 = this.#i32;
    const flight = (i32[row + TCB.sndNxt]! - i32[row + TCB.sndUna]!) | 0;
    const wasLost = (i32[row + TCB.flags]! & FLAG.loss) !== 0;
    if (isFirst && !wasLost) {
      this.#remember(row);
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.doubt;
    } else i32[row + TCB.flags] = i32[row + TCB.flags]! & ~(FLAG.doubt | FLAG.tryNew | FLAG.timing);
    this.#congestion.timedOut(row, flight, isFirst && !wasLost);
    reducedForLoss(i32, row);
    this.#lostAll(row);
  }

  #lostAll(row: number): void {
    const i32 = this.#i32;
    this.#board.loseAll(row);
    i32[row + TCB.recover] = i32[row + TCB.sndNxt]!;
    const gone = FLAG.recovery | FLAG.tail | FLAG.tailDue | FLAG.tailOld;
    i32[row + TCB.flags] = (i32[row + TCB.flags]! & ~gone) | FLAG.loss | FLAG.rexmit;
    this.#flows.output.push(row);
  }

  /** Nothing of what is out can arrive: the path does not take it. No congestion (RFC 1191 6.4). */
  tooLong(row: number): void {
    this.#remember(row);
    this.#lostAll(row);
  }

  /**
   * The first acknowledgement after a timeout: new data may tell more than old (RFC 5682 3.1 (2)).
   */
  #secondThoughts(row: number, hasAdvanced: boolean): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const isStillOpen = hasAdvanced && (flags & (FLAG.tryNew | FLAG.disorder)) === 0;
    const next = flags & ~(FLAG.tryNew | FLAG.doubt);
    i32[row + TCB.flags] = isStillOpen ? next | FLAG.tryNew | FLAG.doubt : next;
  }

  // --- it was all a mistake ---

  #isSpurious(row: number, a: Arrival, hasAdvanced: boolean): boolean {
    const i32 = this.#i32;
    const board = this.#board;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.doubt) !== 0 && board.hasOriginal) {
      // F-RTO: never sent again, yet there
      if (leq(i32[row + TCB.fack]!, i32[row + TCB.recover]!)) return true;
    }
    const stamp = i32[row + TCB.undoStamp]!;
    // all turned up, nothing left again
    if (stamp === 0) return (flags & FLAG.recovery) !== 0 && i32[row + TCB.lost] === 0;
    const { options } = a;
    if (hasAdvanced && board.hasResent && options.hasTimestamps && options.tsEcr !== 0) {
      // Eifel (RFC 3522): an answer to the first transmission
      if (lt(options.tsEcr, stamp)) return true;
    }
    return this.#isAllDuplicate(row);
  }

  /** DSACKs have named all that was sent again (RFC 3708). */
  #isAllDuplicate(row: number): boolean {
    const i32 = this.#i32;
    const isLast = this.#board.duplicated > 0 && i32[row + TCB.undoStamp] !== 0;
    return isLast && i32[row + TCB.undoBytes]! <= 0;
  }

  #undo(row: number): void {
    const i32 = this.#i32;
    const gone = FLAG.recovery | FLAG.loss | FLAG.doubt | FLAG.tryNew | FLAG.rexmit;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~gone;
    this.#board.loseNone(row);
    i32[row + TCB.cwnd] = Math.max(i32[row + TCB.cwnd]!, i32[row + TCB.undoCwnd]!);
    i32[row + TCB.ssthresh] = Math.max(i32[row + TCB.ssthresh]!, i32[row + TCB.undoSsthresh]!);
    i32[row + TCB.undoStamp] = 0;
    this.#counters.bump(C_UNDONE);
    this.#congestion.undone(row);
    lossUndone(i32, row);
    if (i32[row + TCB.runHead] !== 0) this.#timer.restart(row);
  }

  // --- tail loss probes ---

  /**
   * The probe timer fired: the next flush sends one segment, new or the last again (RFC 8985 7.3).
   */
  probe(row: number): void {
    const i32 = this.#i32;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.tailDue;
    this.#flows.output.push(row);
  }

  /** It has left; `isOld`: a retransmission. Timed segments are no longer clear. */
  probed(row: number, isOld: boolean): void {
    const i32 = this.#i32;
    const flags =
      i32[row + TCB.flags]! & ~(FLAG.tailDue | FLAG.tailOld | (isOld ? FLAG.timing : 0));
    i32[row + TCB.flags] = flags | FLAG.tail | (isOld ? FLAG.tailOld : 0);
    i32[row + TCB.tailEnd] = i32[row + TCB.sndNxt]!;
    this.#counters.bump(C_PROBES);
    i32[row + TCB.undoStamp] = 0; // a DSACK may now be the probe's
  }

  /** RFC 8985 7.4.2: did the probe repair a loss? Then the window must pay for it. */
  #afterProbe(row: number, a: Arrival, hasAdvanced: boolean): void {
    const i32 = this.#i32;
    const end = i32[row + TCB.tailEnd]!;
    const flags = i32[row + TCB.flags]!;
    if (lt(a.ack, end)) return;
    const isOld = (flags & FLAG.tailOld) !== 0;
    const isDuplicate = this.#board.duplicated > 0 || (!hasAdvanced && a.length === 0);
    // which of the two arrived is not yet known
    if (isOld && !isDuplicate && !gt(a.ack, end)) return;
    i32[row + TCB.flags] = flags & ~(FLAG.tail | FLAG.tailOld);
    if (!isOld || isDuplicate || (flags & (FLAG.recovery | FLAG.loss)) !== 0) return;
    if (isPaid(i32, row, (end - 1) | 0)) return;
    this.#congestion.enterRecovery(row, i32[row + TCB.cwnd]!);
    reducedForLoss(i32, row);
    i32[row + TCB.cwnd] = Math.max(i32[row + TCB.ssthresh]!, i32[row + TCB.mss]!);
  }
}
