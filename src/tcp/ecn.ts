/**
 * Explicit congestion notification: routers mark instead of drop, receivers echo, senders reduce.
 *
 * - Accepted when the peer asks for it, and asked for when the option says so. A SYN that is sent
 *   again does not ask: some middleboxes drop what they do not know (RFC 3168 6.1.1.1).
 * - Only new data is able (ECT): no SYN, retransmission, window probe or pure ACK (6.1.4-6.1.6).
 * - Classic echo: ECE on every acknowledgement until CWR comes. DCTCP's: ECE says exactly which
 *   bytes were marked, so an acknowledgement that is still owed goes out first when the marking
 *   changes (RFC 8257 3.2).
 * - The window is reduced once for what a window of data meets, losses and marks together (6.1.2,
 *   RFC 8257 3.5), and the next new data says so by CWR, whatever it was reduced for. Echoes go on
 *   until that has arrived: what acknowledges nothing behind it says nothing new.
 * - Flows without ECN cost one test of a bit a segment, in input and in the segment writer.
 *
 * Called by input.ts, synchronized.ts, syn-sent.ts, passive.ts, segment.ts; by acknowledge.ts,
 * recovery.ts and expire.ts for losses. Read first: RFC 3168 6.1; RFC 8257 3.
 */
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import { ECN_ECT0 } from '../wire/ipv4.ts';
import { ACK, CWR, ECE } from '../wire/tcp.ts';
import type { Congestion } from './congestion.ts';
import type { ECN_OPTIONS } from './constants.ts';
import { leq, lt } from './seq.ts';
import { FLAG, RARE, TCB } from './tcb.ts';

const C_FLOWS = COUNTER.tcpEcnFlows;
const C_MARKED = COUNTER.tcpEcnCe;
const C_REDUCED = COUNTER.tcpEcnReduced;

/**
 * Bits of RARE.ecn: acknowledgements carry ECE; the next new data carries CWR; our SYN has asked;
 * that CWR is for a loss, and for nothing else.
 */
const ECHO = 1;
const REDUCED = 2;
const ASKED = 4;
const FOR_LOSS = 8;

export type EcnOption = (typeof ECN_OPTIONS)[number];

/** Who sends an acknowledgement at once. */
interface Acknowledger {
  pureAck(row: number): boolean;
}

/** The window was reduced for a loss. A flow without ECN says nothing of it. */
export function reducedForLoss(i32: Int32Array, row: number): void {
  if ((i32[row + TCB.flags]! & FLAG.ecn) === 0) return;
  const bits = i32[row + RARE.ecn]!;
  i32[row + RARE.ecn] = bits | REDUCED | ((bits & REDUCED) === 0 ? FOR_LOSS : 0);
  i32[row + RARE.ecnEnd] = i32[row + TCB.sndMax]!;
}

/** The loss was none: the next mark is the first. */
export function lossUndone(i32: Int32Array, row: number): void {
  const bits = i32[row + RARE.ecn]!;
  if ((bits & FOR_LOSS) === 0) return;
  i32[row + RARE.ecn] = bits & ~(REDUCED | FOR_LOSS);
  i32[row + RARE.ecnEnd] = (i32[row + TCB.sndUna]! - 1) | 0;
}

/**
 * Whether the window of a flow with ECN has been reduced since `seq`, which is in flight, was sent.
 * (An end beyond sndMax was noted so long ago that the numbers have come round.)
 */
export function isPaid(i32: Int32Array, row: number, seq: number): boolean {
  if ((i32[row + TCB.flags]! & FLAG.ecn) === 0) return false;
  const end = i32[row + RARE.ecnEnd]!;
  return lt(seq, end) && leq(end, i32[row + TCB.sndMax]!);
}

export class Ecn {
  /** Of the segment that `outgoing` was last asked about: the type of service of its IP header. */
  tos = 0;
  /** Set by tcp.ts: output needs the segment writer, which needs this. */
  output: Acknowledger | undefined;
  readonly #i32: Int32Array;
  readonly #counters: Counters;
  readonly #congestion: Congestion;
  readonly #option: EcnOption;
  readonly #isExact: boolean;
  /** cwnd before the acknowledgement that `echoed` was told of. */
  #held = 0;

  /** `isExact`: DCTCP's echo. */
  constructor(env: Environment, congestion: Congestion, option: EcnOption, isExact: boolean) {
    this.#i32 = env.arena.i32;
    this.#counters = env.counters;
    this.#congestion = congestion;
    this.#option = option;
    this.#isExact = isExact;
  }

  // --- handshake ---

  /** What to add to the flags of our SYN or SYN-ACK. */
  synFlags(row: number, flags: number): number {
    const i32 = this.#i32;
    if ((flags & ACK) !== 0) return (i32[row + TCB.flags]! & FLAG.ecn) !== 0 ? ECE : 0;
    if (this.#option !== 'ask' || i32[row + TCB.sndMax] !== i32[row + TCB.iss]) return 0;
    i32[row + RARE.ecn] = ASKED;
    return ECE | CWR;
  }

  /** The flags of the peer's SYN or SYN-ACK. */
  negotiate(row: number, flags: number): void {
    const i32 = this.#i32;
    const bits = flags & (ECE | CWR);
    const isAgreed =
      (flags & ACK) === 0
        ? this.#option !== 'off' && bits === (ECE | CWR)
        : bits === ECE && (i32[row + RARE.ecn]! & ASKED) !== 0;
    i32[row + RARE.ecn] = 0;
    if (!isAgreed) return;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.ecn;
    i32[row + RARE.ecnEnd] = i32[row + TCB.iss]!;
    this.#counters.bump(C_FLOWS);
  }

  /**
   * The peer's SYN again, perhaps without the request: no answer must speak of it then (RFC 3168
   * 6.1.1.1), and what was not asked for at first is not agreed later.
   */
  repeated(row: number, flags: number): void {
    if ((flags & (ECE | CWR)) === (ECE | CWR)) return;
    this.#i32[row + TCB.flags] = this.#i32[row + TCB.flags]! & ~FLAG.ecn;
  }

  /** A simultaneous open: who has agreed to what would depend on which segments cross. */
  decline(row: number): void {
    this.#i32[row + RARE.ecn] = 0;
  }

  // --- receiving ---

  /** Data has arrived, in any order. */
  received(row: number, isMarked: boolean, flags: number): void {
    const i32 = this.#i32;
    if (isMarked) this.#counters.bump(C_MARKED);
    const before = i32[row + RARE.ecn]!;
    let now = before;
    if (this.#isExact) {
      now = isMarked ? before | ECHO : before & ~ECHO;
      const owes = (i32[row + TCB.flags]! & (FLAG.ackNow | FLAG.ackDelayed)) !== 0;
      if (now !== before && owes) this.output!.pureAck(row);
    } else {
      if ((flags & CWR) !== 0) now &= ~ECHO;
      if (isMarked) now |= ECHO;
    }
    i32[row + RARE.ecn] = now;
  }

  // --- sending ---

  /** What to add to the flags of a segment that is no SYN; `tos` then says how it is marked. */
  outgoing(row: number, seq: number, length: number): number {
    const i32 = this.#i32;
    const bits = i32[row + RARE.ecn]!;
    const echo = (bits & ECHO) !== 0 ? ECE : 0;
    this.tos = 0;
    if (length === 0 || lt(seq, i32[row + TCB.sndMax]!)) return echo;
    if ((i32[row + TCB.flags]! & FLAG.probe) !== 0) return echo;
    this.tos = ECN_ECT0;
    if ((bits & REDUCED) === 0) return echo;
    i32[row + RARE.ecn] = bits & ~REDUCED;
    return echo | CWR;
  }

  /** An acceptable acknowledgement up to `ack`, not yet taken in, carries ECE. */
  echoed(row: number, ack: number): void {
    const i32 = this.#i32;
    const una = i32[row + TCB.sndUna]!;
    const flags = i32[row + TCB.flags]!;
    const bytes = lt(una, ack) ? (ack - una) | 0 : 0;
    this.#congestion.marked(row, bytes);
    this.#held = i32[row + TCB.cwnd]!;
    i32[row + RARE.ecn] = i32[row + RARE.ecn]! & ~FOR_LOSS;
    const isFirst = !isPaid(i32, row, (ack - 1) | 0);
    if (isFirst) {
      i32[row + RARE.ecnEnd] = i32[row + TCB.sndMax]!;
      i32[row + RARE.ecn] = i32[row + RARE.ecn]! | REDUCED;
    }
    if ((flags & (FLAG.recovery | FLAG.loss)) !== 0) {
      // no loss perhaps, but congestion all the same
      i32[row + TCB.undoCwnd] = i32[row + TCB.cwnd]!;
      i32[row + TCB.undoSsthresh] = i32[row + TCB.ssthresh]!;
      return;
    }
    if (!isFirst) return;
    this.#congestion.reduce(row, (i32[row + TCB.sndMax]! - una) | 0);
    this.#held = i32[row + TCB.cwnd]!;
    this.#counters.bump(C_REDUCED);
  }

  /** That acknowledgement was taken in: one with ECE does not open the window (RFC 3168 6.1.2). */
  hold(row: number): void {
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & (FLAG.recovery | FLAG.loss)) !== 0) return;
    i32[row + TCB.cwnd] = Math.min(i32[row + TCB.cwnd]!, this.#held);
  }
}
