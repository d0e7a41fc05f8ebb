/**
 * A flow's deadlines come: retransmission, delayed acknowledgement, probe, keepalive, long waits.
 *
 * - Nothing is sent here: flows are marked and go out with this iteration's flush.
 * - After a timeout cwnd grows from one segment; what goes again depends on SACK (recovery.ts).
 *
 * Called by tcp.ts `expire`; calls.ts sets what an application asks for. Read first: RFC 6298 5;
 * RFC 9293 3.8.3 (connection failures), 3.8.4, 3.8.6.1, 3.10.8.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { DEAD } from '../gate/abi.ts';
import type { Environment } from '../net/both/environment.ts';
import type { Congestion } from './congestion.ts';
import {
  ORPHAN_ANSWERED_MAX,
  ORPHAN_PROBES_MAX,
  ORPHAN_US,
  PROBES_MAX,
  RETRIES_MAX,
  RETRIES_TOLD,
  SYN_ACK_RETRIES_MAX,
  SYN_RETRIES_MAX,
  WAIT_MAX_MS,
} from './constants.ts';
import { reducedForLoss } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { PathMtu } from './path-mtu.ts';
import type { Recovery } from './recovery.ts';
import { backOff } from './rto.ts';
import type { IpLayer } from './segment.ts';
import type { SendQueue } from './send-queue.ts';
import { FLAG, RARE, STATE, TCB, TIMER, WAIT } from './tcb.ts';
import type { Teardown } from './teardown.ts';
import type { Timers } from './timers.ts';
import { UserTimeout } from './user-timeout.ts';

const C_TIMEOUTS = COUNTER.tcpTimeouts;
const C_DELAYED_ACKS = COUNTER.tcpDelayedAcks;

export class Expiry {
  readonly userTimeout: UserTimeout;
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #ip: IpLayer;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #timers: Timers;
  readonly #sendQueue: SendQueue;
  readonly #congestion: Congestion;
  readonly #teardown: Teardown;
  readonly #recovery: Recovery;
  readonly #pathMtu: PathMtu;

  constructor(
    env: Environment,
    flows: Flows,
    ip: IpLayer,
    timers: Timers,
    sendQueue: SendQueue,
    congestion: Congestion,
    teardown: Teardown,
    recovery: Recovery,
    pathMtu: PathMtu,
  ) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#ip = ip;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#timers = timers;
    this.#sendQueue = sendQueue;
    this.#congestion = congestion;
    this.#teardown = teardown;
    this.#recovery = recovery;
    this.#pathMtu = pathMtu;
    this.userTimeout = new UserTimeout(env, flows, timers);
  }

  /** The wheel has fired for this flow: whatever is due happens, the rest is armed again. */
  expire(row: number): void {
    const now = this.#clock.us;
    const timers = this.#timers;
    timers.clear(row, TIMER.armed);
    if (timers.isDue(row, TIMER.delack, TCB.delackAt, now)) this.#delayedAck(row);
    if (timers.isDue(row, TIMER.long, TCB.longAt, now)) {
      this.#longWait(row);
      return;
    }
    if (timers.isDue(row, TIMER.rto, TCB.rtoAt, now) && !this.#overdue(row)) return;
    if (timers.isDue(row, TIMER.persist, TCB.persistAt, now) && !this.#probe(row)) return;
    if (timers.isDue(row, TIMER.keep, TCB.keepAt, now) && !this.#keepalive(row)) return;
    if (timers.isDue(row, TIMER.user, RARE.userAt, now) && this.userTimeout.isOver(row)) {
      this.#giveUp(row);
      return;
    }
    if (timers.isDue(row, TIMER.mtu, RARE.mtuAt, now)) this.#pathMtu.expired(row);
    if (timers.isDue(row, TIMER.pace, RARE.paceAt, now)) {
      timers.clear(row, TIMER.pace);
      this.#flows.output.push(row);
    }
    timers.rearm(row, now);
  }

  #delayedAck(row: number): void {
    const i32 = this.#i32;
    this.#timers.clear(row, TIMER.delack);
    if ((i32[row + TCB.flags]! & FLAG.ackDelayed) === 0) return;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.ackNow;
    this.#flows.output.push(row);
    this.#counters.bump(C_DELAYED_ACKS);
  }

  #longWait(row: number): void {
    this.#timers.clear(row, TIMER.long);
    const state = this.#i32[row + TCB.state]!;
    if (state === STATE.timeWait) this.#teardown.finish(row, DEAD.closed);
    // FIN-WAIT-2 that nobody reads: no RST, which would take from a slow reader what it has not
    // read
    else if (state === STATE.finWait2) this.#teardown.finish(row, DEAD.timeout);
    else this.#teardown.abort(row, DEAD.timeout); // a knock that nobody answers
  }

  /** What the one timer of data in flight was set for (loss-timer.ts). False: the flow died. */
  #overdue(row: number): boolean {
    const i32 = this.#i32;
    const waitsFor = i32[row + TCB.waitsFor]!;
    if (waitsFor === WAIT.timeout || i32[row + TCB.runHead] === 0) return this.#retransmit(row);
    this.#timers.clear(row, TIMER.rto);
    if (waitsFor === WAIT.probe) {
      this.userTimeout.stuck(row, this.#silentMs(row));
      this.#recovery.probe(row);
    } else this.#recovery.patienceOver(row);
    return true;
  }

  /** Since the last transmission. */
  #silentMs(row: number): number {
    return (this.#clock.ms - this.#i32[row + TCB.lastTxMs]!) | 0;
  }

  /** False: the flow died. */
  #retransmit(row: number): boolean {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const state = i32[row + TCB.state]!;
    this.#timers.clear(row, TIMER.rto);
    if (una === i32[row + TCB.sndMax]) return true;
    const retries = i32[row + TCB.retries]! + 1;
    let most = RETRIES_MAX;
    if (state === STATE.synSent) most = SYN_RETRIES_MAX;
    if (state === STATE.synReceived) most = SYN_ACK_RETRIES_MAX;
    if (retries > most && !this.userTimeout.rules(row)) return this.#giveUp(row);
    i32[row + TCB.retries] = retries;
    this.#counters.bump(C_TIMEOUTS);
    this.userTimeout.stuck(row, Math.max(this.#silentMs(row), i32[row + TCB.rto]! >> 10));
    this.#pathMtu.timedOut(row, retries);
    backOff(i32, row);
    i32[row + TCB.dupAcks] = 0;
    const isOpen = state > STATE.synReceived;
    if (isOpen && (i32[row + TCB.flags]! & FLAG.sack) !== 0) {
      this.#recovery.timedOut(row, retries === 1);
    } else this.#goBack(row, isOpen, retries === 1);
    // perhaps the route was the reason
    const neighbour = this.#ip.neighbourFor(i32[row + TCB.remote]!);
    if (neighbour >= 0) {
      i32[row + TCB.neighbour] = neighbour;
      if (retries >= RETRIES_TOLD) this.#ip.doubt(i32[row + TCB.remote]!, neighbour);
    }
    this.#flows.output.push(row);
    return true;
  }

  /** Without SACK everything is sent again, from sndUna on, as cwnd grows. */
  #goBack(row: number, isOpen: boolean, isFirst: boolean): void {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const flight = (i32[row + TCB.sndMax]! - una) | 0;
    if (isOpen) {
      this.#congestion.timedOut(row, flight, isFirst);
      reducedForLoss(i32, row);
    }
    i32[row + TCB.recover] = i32[row + TCB.sndMax]!;
    const gone = FLAG.recovery | FLAG.rexmit | FLAG.timing;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~gone;
    i32[row + TCB.sndNxt] = una;
    this.#sendQueue.rewind(row);
  }

  #giveUp(row: number): false {
    const isUnreachable = (this.#i32[row + TCB.flags]! & FLAG.softError) !== 0;
    this.#teardown.finish(row, isUnreachable ? DEAD.unreachable : DEAD.timeout);
    return false;
  }

  /**
   * A zero window is probed as long as the peer answers, but not for ever when nobody waits for it.
   */
  #probe(row: number): boolean {
    const i32 = this.#i32;
    this.#timers.clear(row, TIMER.persist);
    const isOrphan = (i32[row + TCB.flags]! & FLAG.noReader) !== 0;
    const probes = i32[row + TCB.probes]! + 1;
    const unanswered = i32[row + TCB.retries]! + 1;
    if (unanswered > PROBES_MAX && !this.userTimeout.rules(row)) return this.#giveUp(row);
    if (isOrphan && (unanswered > ORPHAN_PROBES_MAX || probes > ORPHAN_ANSWERED_MAX)) {
      this.#teardown.abort(row, DEAD.timeout);
      return false;
    }
    i32[row + TCB.probes] = probes;
    this.userTimeout.stuck(row, 0);
    i32[row + TCB.retries] = unanswered;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.probe;
    this.#flows.output.push(row);
    return true;
  }

  /**
   * The application has closed: FIN-WAIT-2 ends, even if the peer never sends FIN (RFC 9293 3.6).
   */
  orphan(row: number): void {
    this.#i32[row + TCB.probes] = 0; // those that the application waited for do not count
    // else synchronized.ts, when it gets there
    if (this.#i32[row + TCB.state] !== STATE.finWait2) return;
    this.#timers.set(row, TIMER.long, TCB.longAt, (this.#clock.us + ORPHAN_US) | 0);
  }

  /** Keepalive: after `idleMs` of silence (0: never) `most` probes, `intervalMs` apart. */
  setKeepalive(row: number, idleMs: number, intervalMs: number, most: number): void {
    this.#i32[row + TCB.keepIdleMs] = idleMs;
    this.#i32[row + RARE.keepIntervalMs] = intervalMs;
    this.#i32[row + RARE.keepMost] = most;
    this.#i32[row + TCB.keepProbes] = 0;
    this.#i32[row + TCB.lastRxMs] = this.#clock.ms; // silence counts from now
    if (idleMs === 0) this.#timers.clear(row, TIMER.keep);
    else this.#waitKeepalive(row, idleMs);
  }

  #waitKeepalive(row: number, ms: number): void {
    const wait = Math.min(ms, WAIT_MAX_MS);
    this.#timers.set(row, TIMER.keep, TCB.keepAt, (this.#clock.us + wait * 1000) | 0);
  }

  /** The user timeout holds for keepalive as well (RFC 5482 4.2). */
  #isTooLong(row: number, idleMs: number): boolean {
    const i32 = this.#i32;
    const userMs = i32[row + RARE.userMs]!;
    return userMs > 0 && i32[row + TCB.keepProbes]! > 0 && idleMs >= userMs;
  }

  /**
   * `ms`, or what is left of the user timeout once the peer was asked, but a retransmission's time.
   */
  #withinTimeout(row: number, ms: number, idleMs: number): number {
    const i32 = this.#i32;
    const userMs = i32[row + RARE.userMs]!;
    if (userMs === 0 || i32[row + TCB.keepProbes] === 0) return ms;
    const answerMs = Math.ceil(i32[row + TCB.rto]! / 1000);
    return Math.min(ms, Math.max((userMs - idleMs) | 0, answerMs));
  }

  #keepalive(row: number): boolean {
    const i32 = this.#i32;
    this.#timers.clear(row, TIMER.keep);
    const state = i32[row + TCB.state]!;
    const idleMs = (this.#clock.ms - i32[row + TCB.lastRxMs]!) | 0;
    const keepIdleMs = i32[row + TCB.keepIdleMs]!;
    const intervalMs = i32[row + RARE.keepIntervalMs]!;
    const probes = i32[row + TCB.keepProbes]!;
    const leftMs = keepIdleMs + probes * intervalMs - idleMs;
    const isBusy = i32[row + TCB.sndUna] !== i32[row + TCB.sndMax];
    if (state < STATE.established || isBusy) this.#waitKeepalive(row, keepIdleMs);
    else if (this.#isTooLong(row, idleMs) || (leftMs <= 0 && probes >= i32[row + RARE.keepMost]!)) {
      this.#teardown.abort(row, DEAD.timeout);
      return false;
    } else if (leftMs > 0) this.#waitKeepalive(row, this.#withinTimeout(row, leftMs, idleMs));
    else {
      i32[row + TCB.keepProbes] = probes + 1;
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.keepalive;
      this.#flows.output.push(row);
      const wait = Math.min(keepIdleMs, intervalMs); // an answer begins the idle time anew
      this.#waitKeepalive(row, this.#withinTimeout(row, wait, idleMs));
    }
    return true;
  }
}
