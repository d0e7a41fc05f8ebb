/**
 * Congestion control from within: after each turn of a host, each flow's window must be where its
 * state before the turn and what has arrived since allow it to be. The wire cannot tell this: who
 * sends too much and who was undone look alike.
 *
 * - Upper bounds only, from the RFCs and not from the algorithms: growth by what was acknowledged,
 *   the cut at a loss or a timeout, what is in the network against cwnd. A turn may hold several
 *   events, so each bound is that of the most generous order. A turn in which an undone loss or a
 *   larger MSS was counted on the host is not judged for growth; one in which a scoreboard had no
 *   run left not for what is in the network, which it then counts in coarser pieces.
 *
 * Called by host.ts. Read first: RFC 5681 3; RFC 6582 3.2; RFC 9937 6; RFC 9438 4.6.
 */
import type { Counters } from '../src/counters.ts';
import { FLAG, STATE, TCB } from '../src/tcp/tcb.ts';
import type { CongestionName, Tcp } from '../src/tcp/tcp.ts';
import { Violation } from './violation.ts';

const FIELDS = [
  'generation', 'state', 'flags', 'mss', 'cwnd', 'ssthresh', 'sndUna', 'sndNxt', 'sndMax',
  'sacked', 'lost', 'rto', 'retries', 'prrOut', 'prrFlight',
] as const; // biome-ignore format: a list
type Field = (typeof FIELDS)[number];
/** A flow before or after a turn. */
type Flow = Record<Field, number>;

/** What the host counted in the turn. */
interface Turn {
  frames: number;
  timeouts: number;
  undone: number;
  raised: number;
  marked: number;
  coarse: number;
}

const COUNTED = {
  frames: 'rxFrames',
  timeouts: 'tcpTimeouts',
  undone: 'tcpUndone',
  raised: 'tcpPathMtuRaised',
  marked: 'tcpEcnReduced',
  coarse: 'tcpScoreboardFull',
} as const;
const TIMEOUT_MAX_US = 60_000_000;

function rule(holds: boolean, text: string): void {
  if (!holds) throw new Violation(`window: ${text}`);
}

export class WindowRules {
  readonly #tcp: Tcp;
  readonly #counters: Counters;
  /** What is left of the window after a loss. */
  readonly #share: number;
  readonly #flows: (Flow | undefined)[] = [];
  readonly #counts: Turn = { frames: 0, timeouts: 0, undone: 0, raised: 0, marked: 0, coarse: 0 };

  constructor(tcp: Tcp, counters: Counters, congestion: CongestionName) {
    this.#tcp = tcp;
    this.#counters = counters;
    this.#share = congestion === 'cubic' ? 0.7 : 0.5;
  }

  /** A turn is over. */
  check(): void {
    const turn = this.#count();
    const { flows } = this.#tcp;
    for (let flow = 0; flow < flows.count; flow++) {
      const row = flows.row(flow);
      const state = flows.i32[row + TCB.state]!;
      if (state < STATE.established || state >= STATE.timeWait) {
        this.#flows[flow] = undefined;
        continue;
      }
      const before = this.#flows[flow];
      if (before && this.#isSame(row, before)) continue;
      const after = this.#read(row);
      if (before?.generation === after.generation) this.#judge(before, after, turn);
      this.#flows[flow] = after;
    }
  }

  #count(): Turn {
    const turn = { ...this.#counts };
    for (const [key, name] of Object.entries(COUNTED) as [keyof Turn, 'rxFrames'][]) {
      const now = this.#counters.get(name);
      turn[key] = now - this.#counts[key];
      this.#counts[key] = now;
    }
    return turn;
  }

  #read(row: number): Flow {
    const { i32 } = this.#tcp.flows;
    const flow = {} as Flow;
    for (const field of FIELDS) flow[field] = i32[row + TCB[field]]!;
    return flow;
  }

  #isSame(row: number, flow: Flow): boolean {
    const { i32 } = this.#tcp.flows;
    return FIELDS.every((field) => i32[row + TCB[field]] === flow[field]);
  }

  #judge(a: Flow, b: Flow, turn: Turn): void {
    const hasSack = (b.flags & FLAG.sack) !== 0;
    const mss = Math.max(a.mss, b.mss);
    const acked = (b.sndUna - a.sndUna) | 0;
    const delivered = acked + Math.max(b.sacked - a.sacked, 0);
    // without SACK each duplicate is worth a segment
    const most = a.cwnd + delivered + (hasSack ? 0 : turn.frames * mss);
    const was = a.flags & (FLAG.recovery | FLAG.loss);
    const is = b.flags & (FLAG.recovery | FLAG.loss);
    rule(b.cwnd >= Math.min(a.mss, b.mss), 'less than a segment');
    this.#network(a, b, turn, hasSack);
    if (turn.undone > 0 || turn.raised > 0) return;
    const floor = 2 * mss;
    if ((was & FLAG.recovery) === 0 && (is & FLAG.recovery) !== 0) {
      const flight = hasSack ? 0 : (b.sndMax - a.sndUna) | 0;
      const cut = Math.max(Math.max(most, flight) * this.#share, floor) + 1;
      // by a mark of the same window (RFC 8257 3.5)
      const isPaid = (b.flags & FLAG.ecn) !== 0 && (a.ssthresh === b.ssthresh || turn.marked > 0);
      rule(isPaid || b.ssthresh <= cut, `a loss leaves ${b.ssthresh} of ${most}`);
    }
    if ((was & is & FLAG.recovery) !== 0) {
      // With SACK, PRR never gets back to what was out at the start, which is taken after the
      // acknowledgement that begins it. Without, a turn may hold an end and a new beginning.
      const anew = a.ssthresh === b.ssthresh ? 0 : b.ssthresh + (3 + turn.frames) * mss;
      const limit =
        (hasSack ? Math.max(b.prrFlight, b.ssthresh) + delivered : Math.max(most, anew)) + mss;
      rule(
        b.cwnd <= Math.max(limit, floor, a.cwnd),
        `grows from ${a.cwnd} to ${b.cwnd} in recovery`,
      );
    }
    if ((was & FLAG.recovery) !== 0 && is === 0) {
      const limit = Math.max(b.ssthresh, mss) + delivered + mss;
      rule(b.cwnd <= limit, `${b.cwnd} after recovery, ssthresh being ${b.ssthresh}`);
    }
    if (((was | is) & FLAG.recovery) === 0) {
      // whoever has left a recovery begun in this turn stands at ssthresh
      const base = a.ssthresh === b.ssthresh ? most : Math.max(most, b.ssthresh + delivered);
      const limit = Math.max(base, floor) + mss;
      rule(b.cwnd <= limit, `grows from ${a.cwnd} to ${b.cwnd} for ${delivered} bytes`);
    }
    const isBackedOff = b.rto >= Math.min(2 * a.rto, TIMEOUT_MAX_US);
    if (turn.timeouts > 0 && b.retries > a.retries && isBackedOff) {
      rule(b.cwnd <= delivered + 2 * mss, `a timeout leaves ${b.cwnd} of ${a.cwnd}`);
    }
  }

  /** What is in the network when something was sent. */
  #network(a: Flow, b: Flow, turn: Turn, hasSack: boolean): void {
    const mss = Math.max(a.mss, b.mss);
    const flight = (b.sndNxt - b.sndUna) | 0;
    if (!hasSack) {
      const isSent = ((b.sndNxt - a.sndNxt) | 0) > 1; // a FIN alone needs no window
      // limited transmit, and a FIN
      if (isSent) rule(flight <= b.cwnd + 2 * mss + 1, `${flight} in flight, cwnd ${b.cwnd}`);
      return;
    }
    const pipe = flight - b.sacked - b.lost;
    const pipeBefore = ((a.sndNxt - a.sndUna) | 0) - a.sacked - a.lost;
    // may be beyond the window (RFC 8985 7.3)
    const isProbe = (b.flags & ~a.flags & FLAG.tail) !== 0;
    const limit = isProbe ? Math.max(b.cwnd, pipeBefore) + mss : b.cwnd;
    // a FIN alone needs no window
    if (((b.sndNxt - a.sndNxt) | 0) > 1)
      rule(pipe <= limit + 1, `${pipe} in the network, cwnd ${b.cwnd}`);
    const isAgain = (a.flags & b.flags & FLAG.recovery) !== 0 && b.prrOut > a.prrOut;
    // A lost run that cannot be cut, because none is free, counts as sent when a part of it is.
    if (isAgain && turn.coarse === 0)
      rule(pipe <= b.cwnd + mss + 1, `${pipe} in the network in recovery, cwnd ${b.cwnd}`);
  }
}
