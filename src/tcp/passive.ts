/**
 * A segment for no flow: a SYN for a listener, or something to be answered with RST.
 *
 * - A SYN makes a flow in SYN-RECEIVED; its SYN-ACK goes out in this iteration's flush, or after
 *   `accept` when the listener asked to be told at SYN. Data and FIN on a SYN are not taken.
 * - More of one source than its quota: dropped (per-source.ts).
 * - Too many half-open: a cookie answers (syn-cookies.ts). Too many that wait for accept, no flow,
 *   no route back: the SYN is dropped and counted, never answered.
 *
 * Called by input.ts, and by synchronized.ts for a SYN in TIME-WAIT. Read first: RFC 9293 3.10.7.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { type Environment, FREE_FRAME } from '../net/both/environment.ts';
import { ACK, FIN, RST, SYN, segmentLength } from '../wire/tcp.ts';
import type { Arrival } from './arrival.ts';
import { KNOCK_US } from './constants.ts';
import type { Ecn } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { Listeners } from './listen.ts';
import type { Opening } from './open.ts';
import type { PerSource } from './per-source.ts';
import type { IpLayer, SegmentWriter } from './segment.ts';
import { gt } from './seq.ts';
import { COOKIE_WINDOW, SynCookies } from './syn-cookies.ts';
import { FLAG, STATE, TCB, TIMER } from './tcb.ts';
import type { Timers } from './timers.ts';

const C_NO_FLOW = COUNTER.tcpNoFlow;
const C_SYN_IN = COUNTER.tcpSynIn;
const C_BACKLOG_FULL = COUNTER.tcpBacklogFull;
const C_COOKIES_OUT = COUNTER.tcpCookiesOut;
const C_COOKIES_IN = COUNTER.tcpCookiesIn;
const C_LISTEN_BAD = COUNTER.tcpListenBadSegment;

const NO_ROOM = -1;

export class Passive {
  readonly #i32: Int32Array;
  readonly #clock: Environment['clock'];
  readonly #flows: Flows;
  readonly #counters: Counters;
  readonly #ip: IpLayer;
  readonly #listeners: Listeners;
  readonly #opening: Opening;
  readonly #writer: SegmentWriter;
  readonly #timers: Timers;
  readonly #ecn: Ecn;
  readonly #cookies: SynCookies;
  readonly #perSource: PerSource;

  constructor(
    env: Environment,
    flows: Flows,
    ip: IpLayer,
    listeners: Listeners,
    opening: Opening,
    writer: SegmentWriter,
    timers: Timers,
    ecn: Ecn,
    perSource: PerSource,
  ) {
    this.#perSource = perSource;
    this.#i32 = flows.i32;
    this.#clock = env.clock;
    this.#flows = flows;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#listeners = listeners;
    this.#opening = opening;
    this.#writer = writer;
    this.#timers = timers;
    this.#ecn = ecn;
    this.#cookies = new SynCookies(env, ip, writer);
  }

  /** -> FREE_FRAME, always. */
  arrives(a: Arrival): number {
    const listener = this.#listeners.find(a.local, a.ports & 0xffff);
    if (listener < 0) this.refuse(a);
    else this.#listen(listener, a);
    return FREE_FRAME;
  }

  /**
   * A segment for no flow that acknowledges a cookie: the row it revives, in SYN-RECEIVED; else 0.
   * Negative: there is no room for it now. Its sender believes the connection open and will send
   * again: a reset would end what can still begin.
   */
  revive(a: Arrival): number {
    if (!this.#cookies.recognises(a)) return 0;
    const listener = this.#listeners.find(a.local, a.ports & 0xffff);
    if (listener < 0) return 0;
    if (!this.#listeners.hasRoomToWait(listener)) {
      this.#counters.bump(C_BACKLOG_FULL);
      return NO_ROOM;
    }
    if (!this.#perSource.mayOpen(a.remote)) return NO_ROOM;
    const row = this.#opening.create(a.remote, a.ports, a.local);
    if (row === 0) return NO_ROOM;
    this.#perSource.opened(a.remote);
    const i32 = this.#i32;
    const iss = (a.ack - 1) | 0;
    this.#opening.startAt(row, iss);
    i32[row + TCB.sndNxt] = i32[row + TCB.sndMax] = a.ack;
    i32[row + TCB.state] = STATE.synReceived;
    i32[row + TCB.cookie] = this.#listeners.cookie(listener);
    this.#opening.synchronize(row, (a.seq - 1) | 0, iss, a.window, a.options);
    i32[row + TCB.rcvEdge] = (a.seq + COOKIE_WINDOW) | 0;
    this.#listeners.count(row, listener, FLAG.halfOpen);
    this.#counters.bump(C_COOKIES_IN);
    return row;
  }

  /** RFC 9293 3.10.7.1: CLOSED. */
  refuse(a: Arrival): void {
    this.#counters.bump(C_NO_FLOW);
    if ((a.flags & RST) !== 0) return;
    if ((a.flags & ACK) !== 0) this.#writer.reset(a.remote, a.ports, a.local, a.ack, 0, 0);
    else {
      const ack = (a.seq + segmentLength(a.length, a.flags)) | 0;
      this.#writer.reset(a.remote, a.ports, a.local, 0, ack, ACK);
    }
  }

  /** RFC 9293 3.10.7.2: LISTEN. */
  #listen(listener: number, a: Arrival): void {
    if ((a.flags & RST) !== 0) {
      this.#counters.bump(C_LISTEN_BAD);
      return;
    }
    if ((a.flags & ACK) !== 0) {
      this.#counters.bump(C_LISTEN_BAD);
      this.#writer.reset(a.remote, a.ports, a.local, a.ack, 0, 0);
      return;
    }
    if ((a.flags & (SYN | FIN)) !== SYN) {
      this.#counters.bump(C_LISTEN_BAD);
      return;
    }
    this.synchronize(listener, a, 0, false);
  }

  /**
   * Whether a SYN that would end a TIME-WAIT can be taken. One that cannot is dropped and counted,
   * and the wait goes on: the old connection's segments may still be under way.
   */
  canReopen(listener: number, a: Arrival): boolean {
    if (this.#listeners.hasRoomForSyn(listener)) return this.#ip.neighbourFor(a.remote) >= 0;
    this.#counters.bump(C_SYN_IN);
    this.#counters.bump(C_BACKLOG_FULL);
    return false;
  }

  /**
   * A SYN for `listener`. `isReuse`: it ended a TIME-WAIT that had sent up to `sndMax`, which the
   * new numbers must lie beyond (RFC 9293 3.10.7.4, RFC 6191).
   */
  synchronize(listener: number, a: Arrival, sndMax: number, isReuse: boolean): void {
    this.#counters.bump(C_SYN_IN);
    if (!this.#perSource.mayOpen(a.remote)) return;
    if (!this.#listeners.hasRoomForSyn(listener)) {
      this.#counters.bump(C_BACKLOG_FULL);
      const mayAnswer = !isReuse && this.#listeners.mayUseCookies(listener);
      this.#opening.narrow(a.options);
      if (mayAnswer && this.#cookies.answer(a)) this.#counters.bump(C_COOKIES_OUT);
      return;
    }
    const row = this.#opening.create(a.remote, a.ports, a.local);
    if (row === 0) return;
    this.#perSource.opened(a.remote);
    const i32 = this.#i32;
    if (isReuse && !gt(i32[row + TCB.iss]!, sndMax))
      this.#opening.startAt(row, (sndMax + 0x10000) | 0);
    i32[row + TCB.state] = STATE.synReceived;
    i32[row + TCB.cookie] = this.#listeners.cookie(listener);
    this.#opening.synchronize(row, a.seq, i32[row + TCB.iss]!, a.window, a.options);
    this.#ecn.negotiate(row, a.flags);
    this.#listeners.count(row, listener, FLAG.halfOpen);
    if (this.#listeners.knocksAtSyn(listener)) {
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.knockAtSyn;
      this.#timers.set(row, TIMER.long, TCB.longAt, (this.#clock.us + KNOCK_US) | 0);
      this.#opening.knock(row);
    } else this.#flows.output.push(row);
  }
}
