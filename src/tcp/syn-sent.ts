/**
 * A segment for a flow in SYN-SENT.
 *
 * - Nothing changes the flow but what acknowledges our SYN, or is a SYN itself: an RST that does
 *   not acknowledge it is anybody's (RFC 5961 3).
 *
 * Called by input.ts. Read first: RFC 9293 3.10.7.3.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { DEAD } from '../gate/abi.ts';
import { type Environment, FREE_FRAME } from '../net/both/environment.ts';
import { ACK, RST, SYN } from '../wire/tcp.ts';
import type { Acknowledging } from './acknowledge.ts';
import type { Arrival } from './arrival.ts';
import type { Ecn } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { Opening } from './open.ts';
import type { Receiving } from './receive.ts';
import type { SegmentWriter } from './segment.ts';
import { gt, leq } from './seq.ts';
import { STATE, TCB, TIMER } from './tcb.ts';
import type { Teardown } from './teardown.ts';
import type { Timers } from './timers.ts';

const C_BAD = COUNTER.tcpSynSentBad;
const C_RESETS_IN = COUNTER.tcpResetsIn;

export interface SynSentParts {
  readonly flows: Flows;
  readonly acknowledging: Acknowledging;
  readonly opening: Opening;
  readonly receiving: Receiving;
  readonly teardown: Teardown;
  readonly writer: SegmentWriter;
  readonly timers: Timers;
  readonly ecn: Ecn;
}

export class SynSent {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #clock: Environment['clock'];
  readonly #counters: Counters;
  readonly #acknowledging: Acknowledging;
  readonly #opening: Opening;
  readonly #receiving: Receiving;
  readonly #teardown: Teardown;
  readonly #writer: SegmentWriter;
  readonly #timers: Timers;
  readonly #ecn: Ecn;

  constructor(env: Environment, parts: SynSentParts) {
    this.#i32 = parts.flows.i32;
    this.#flows = parts.flows;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#acknowledging = parts.acknowledging;
    this.#opening = parts.opening;
    this.#receiving = parts.receiving;
    this.#teardown = parts.teardown;
    this.#writer = parts.writer;
    this.#timers = parts.timers;
    this.#ecn = parts.ecn;
  }

  /** -> FREE_FRAME, always: data on a SYN-ACK is left for the peer to send again. */
  arrives(row: number, a: Arrival): number {
    const i32 = this.#i32;
    const hasAck = (a.flags & ACK) !== 0;
    const iss = i32[row + TCB.iss]!;
    if (hasAck && (leq(a.ack, iss) || gt(a.ack, i32[row + TCB.sndMax]!))) {
      this.#counters.bump(C_BAD);
      if ((a.flags & RST) === 0) this.#writer.reset(a.remote, a.ports, a.local, a.ack, 0, 0);
      return FREE_FRAME;
    }
    if ((a.flags & RST) !== 0) {
      if (hasAck) {
        this.#counters.bump(C_RESETS_IN);
        this.#teardown.finish(row, DEAD.refused);
      } else this.#counters.bump(C_BAD);
      return FREE_FRAME;
    }
    if ((a.flags & SYN) === 0) {
      this.#counters.bump(C_BAD);
      return FREE_FRAME;
    }
    this.#opening.synchronize(row, a.seq, hasAck ? a.ack : iss, a.window, a.options);
    i32[row + TCB.lastRxMs] = this.#clock.ms;
    if (hasAck) this.#ecn.negotiate(row, a.flags);
    else this.#ecn.decline(row);
    if (hasAck) {
      this.#acknowledging.synAcknowledged(row, a.ack, a.options);
      this.#opening.established(row);
      this.#receiving.acknowledgeNow(row);
    } else this.#simultaneous(row);
    return FREE_FRAME;
  }

  /**
   * Both sides have sent a SYN: ours goes again, with an acknowledgement (RFC 9293 3.5, figure 7).
   */
  #simultaneous(row: number): void {
    const i32 = this.#i32;
    i32[row + TCB.state] = STATE.synReceived;
    i32[row + TCB.sndNxt] = i32[row + TCB.iss]!;
    this.#timers.clear(row, TIMER.rto);
    this.#flows.output.push(row);
  }
}
