/**
 * How long a segment the path takes, when ICMP does not say: black holes, and the way up again.
 *
 * - A segment that two timeouts have not got through is taken for too long if it is longer than the
 *   smallest of BLACK_HOLE_MTUS carries: the MSS falls to what the next smaller packet of them
 *   does. If the path was only down, little is lost: see the next point.
 * - Some time after the MSS has fallen, by this or by ICMP, one segment of the next larger size is
 *   sent among the data. If it arrives, that is the MSS; if it has to be sent again (in smaller
 *   pieces), nothing more for ten minutes. Its loss alone is no sign of congestion.
 * - Without SACK a loss cannot be told from this one: the MSS simply rises until a black hole.
 * - Costs nothing until an MSS has fallen: it hangs on timeouts, retransmissions and its own timer.
 *
 * Called by expire.ts, output.ts, recovery.ts, icmp-error.ts. Read first: RFC 4821 7; RFC 8899 5;
 * RFC 1191 6.3; RFC 2923 2.1.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import { isToken } from '../net/v6/destinations.ts';
import { IP6_MTU_MIN } from '../wire/ipv6.ts';
import { TCP_HEADER_BYTES, TIMESTAMPS_BYTES } from '../wire/tcp.ts';
import {
  BLACK_HOLE_MTUS,
  BLACK_HOLE_TIMEOUTS,
  MTU_RAISE_AGAIN_US,
  MTU_RAISE_SOON_US,
  PROBED_MTUS,
} from './constants.ts';
import type { Flows } from './flows.ts';
import type { IpLayer } from './segment.ts';
import { geq, gt, lt } from './seq.ts';
import { FLAG, RARE, STATE, TCB, TIMER } from './tcb.ts';
import type { Timers } from './timers.ts';

const TROUBLE =
  FLAG.disorder | FLAG.recovery | FLAG.loss | FLAG.tail | FLAG.tailDue | FLAG.finQueued;

const C_LOWERED = COUNTER.tcpPathMtuLowered;
const C_RAISED = COUNTER.tcpPathMtuRaised;
const C_PROBES = COUNTER.tcpPathMtuProbes;

export class PathMtu {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #timers: Timers;
  readonly #ip: IpLayer;

  constructor(env: Environment, flows: Flows, timers: Timers, ip: IpLayer) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#timers = timers;
    this.#ip = ip;
  }

  #headers(row: number): number {
    return this.#ip.headerBytes(this.#i32[row + TCB.remote]!) + TCP_HEADER_BYTES;
  }

  /** Payload of a packet of `mtu` bytes. */
  #payload(row: number, mtu: number): number {
    const hasTimestamps = (this.#i32[row + TCB.flags]! & FLAG.timestamps) !== 0;
    return mtu - this.#headers(row) - (hasTimestamps ? TIMESTAMPS_BYTES : 0);
  }

  /** The largest that the peer and our link allow. */
  #largest(row: number): number {
    const link = this.#ip.linkMtu(this.#i32[row + TCB.remote]!);
    return this.#payload(row, Math.min(this.#i32[row + TCB.peerMss]! + this.#headers(row), link));
  }

  /** The next larger payload to try; 0: there is none. */
  #larger(row: number): number {
    const mss = this.#i32[row + TCB.mss]!;
    const most = this.#largest(row);
    for (let i = 0; i < PROBED_MTUS.length; i++) {
      const payload = this.#payload(row, PROBED_MTUS[i]!);
      if (payload > mss && payload < most) return payload;
    }
    return most > mss ? most : 0;
  }

  #wait(row: number, us: number): void {
    this.#timers.set(row, TIMER.mtu, RARE.mtuAt, (this.#clock.us + us) | 0);
  }

  /** The MSS has fallen: later it may rise again. */
  lowered(row: number, soon: boolean): void {
    const i32 = this.#i32;
    i32[row + RARE.mtuProbe] = 0;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.mtuProbe;
    this.#counters.bump(C_LOWERED);
    this.#wait(row, soon ? MTU_RAISE_SOON_US : MTU_RAISE_AGAIN_US);
  }

  /** The retransmission timer has fired for the `retries`-th time for the same data. */
  timedOut(row: number, retries: number): void {
    const i32 = this.#i32;
    if (retries < BLACK_HOLE_TIMEOUTS || i32[row + TCB.state]! < STATE.established) return;
    const mss = i32[row + TCB.mss]!;
    const out = (i32[row + TCB.sndMax]! - i32[row + TCB.sndUna]!) | 0;
    const bytes = Math.min(out, i32[row + TCB.txBytes]!, mss); // of the first segment
    if (retries % BLACK_HOLE_TIMEOUTS !== 0) return;
    const least = isToken(i32[row + TCB.remote]!) ? IP6_MTU_MIN : 0;
    for (let i = 0; i < BLACK_HOLE_MTUS.length; i++) {
      const payload = this.#payload(row, BLACK_HOLE_MTUS[i]!);
      if (payload >= bytes || BLACK_HOLE_MTUS[i]! < least) continue;
      i32[row + TCB.mss] = payload;
      this.lowered(row, true);
      return;
    }
  }

  /** The time has come to try more, or to see what became of the try. */
  expired(row: number): void {
    const i32 = this.#i32;
    const probe = i32[row + RARE.mtuProbe]!;
    this.#timers.clear(row, TIMER.mtu);
    if (probe !== 0) {
      const end = (i32[row + RARE.mtuProbeSeq]! + probe) | 0;
      if (geq(i32[row + TCB.sndUna]!, end)) this.#raise(row, probe);
      else this.#wait(row, i32[row + TCB.rto]!);
      return;
    }
    const larger = this.#larger(row);
    if (larger === 0) return;
    if (i32[row + TCB.retries] !== 0) this.#wait(row, MTU_RAISE_SOON_US);
    else if ((i32[row + TCB.flags]! & FLAG.sack) === 0) this.#raise(row, larger);
    else {
      i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.mtuProbe;
      this.#flows.output.push(row);
    }
  }

  #raise(row: number, payload: number): void {
    const i32 = this.#i32;
    i32[row + RARE.mtuProbe] = 0;
    i32[row + TCB.mss] = payload;
    i32[row + TCB.cwnd] = Math.max(i32[row + TCB.cwnd]!, payload);
    this.#counters.bump(C_RAISED);
    if (this.#larger(row) !== 0) this.#wait(row, MTU_RAISE_SOON_US);
  }

  // --- a segment larger than the MSS ---

  /**
   * Payload of the segment to try now, of `left` bytes that have not been sent and `room` that may
   * be; 0: not now. Data behind it must go out too, to tell soon whether it has arrived.
   */
  probeBytes(row: number, left: number, room: number): number {
    const bytes = this.#larger(row);
    if (bytes === 0) this.#i32[row + TCB.flags] = this.#i32[row + TCB.flags]! & ~FLAG.mtuProbe;
    const more = bytes + this.#i32[row + TCB.mss]!;
    return left > more && room >= more ? bytes : 0;
  }

  /** Whether new data waits for room for the probe, which it would else take for ever. */
  holdsBack(row: number): boolean {
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & (FLAG.mtuProbe | TROUBLE)) !== FLAG.mtuProbe) return false;
    const out = (i32[row + TCB.sndNxt]! - i32[row + TCB.sndUna]!) | 0;
    const more = this.#larger(row) + i32[row + TCB.mss]!;
    const most = Math.min(i32[row + TCB.sndWnd]!, i32[row + TCB.cwnd]!);
    return out > 0 && i32[row + TCB.txBytes]! - out > more && most >= more;
  }

  probed(row: number, seq: number, bytes: number): void {
    const i32 = this.#i32;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.mtuProbe;
    i32[row + RARE.mtuProbe] = bytes;
    i32[row + RARE.mtuProbeSeq] = seq;
    this.#counters.bump(C_PROBES);
    this.#wait(row, i32[row + TCB.rto]!);
  }

  /** [start, end) is sent again: if the probe was in it, the path does not take it. */
  resent(row: number, start: number, end: number): void {
    const i32 = this.#i32;
    const probe = i32[row + RARE.mtuProbe]!;
    if (probe === 0) return;
    const seq = i32[row + RARE.mtuProbeSeq]!;
    if (!lt(start, (seq + probe) | 0) || !gt(end, seq)) return;
    i32[row + RARE.mtuProbe] = 0;
    this.#wait(row, MTU_RAISE_AGAIN_US);
  }

  /** Whether all that is lost is the probe. `start` is where the first lost run begins. */
  isProbe(row: number, start: number): boolean {
    const i32 = this.#i32;
    const probe = i32[row + RARE.mtuProbe]!;
    return probe !== 0 && start === i32[row + RARE.mtuProbeSeq] && i32[row + TCB.lost]! <= probe;
  }
}
