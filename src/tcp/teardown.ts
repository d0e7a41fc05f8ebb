/**
 * How flows end: TIME-WAIT, death, and when their memory goes.
 *
 * - The protocol's end and the application's are two things. `finish` ends the protocol: out of the
 *   table, no timers, no spans. If the application knows the flow, `dead` is pending then, once;
 *   its handle lives until that is emitted, the frames that it may be reading until the emit after.
 * - TIME-WAIT emits `dead` at once: the application has nothing more to do with it. The row stays,
 *   known to nobody but the table, and is recycled oldest first when flows run out.
 * - A flow whose application died and that is closed for it (`disown`) is such a row at once.
 *
 * Called by all that can end a flow (synchronized.ts, syn-sent.ts, expire.ts, icmp-error.ts,
 * calls.ts), open.ts (`take`) and events.ts (`gone`). Read first: RFC 9293 3.6, 3.4.2; RFC 1337.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { CODE, DEAD } from '../gate/abi.ts';
import type { Environment } from '../net/both/environment.ts';
import { assert, VERIFY } from '../verify.ts';
import { ACK } from '../wire/tcp.ts';
import { TIME_WAIT_US } from './constants.ts';
import type { Flows } from './flows.ts';
import type { Listeners } from './listen.ts';
import type { PerSource } from './per-source.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import type { Scoreboard } from './scoreboard.ts';
import type { IpLayer, SegmentWriter } from './segment.ts';
import type { SendQueue } from './send-queue.ts';
import { FLAG, LIST, PENDING, STATE, TCB, TIMER } from './tcb.ts';
import type { Timers } from './timers.ts';

const C_CLOSED = COUNTER.tcpClosed;
const C_ORPHANS = COUNTER.tcpOrphansAborted;
const C_FLOWS_FULL = COUNTER.tcpFlowsFull;
const C_QUOTA_FLOWS = COUNTER.quotaFlows;

export class Teardown {
  /** Set by tcp.ts from its options. */
  timeWaitUs = TIME_WAIT_US;
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #ip: IpLayer;
  readonly #timers: Timers;
  readonly #sendQueue: SendQueue;
  readonly #receiveQueue: ReceiveQueue;
  readonly #writer: SegmentWriter;
  readonly #listeners: Listeners;
  readonly #board: Scoreboard;
  readonly #perSource: PerSource;
  /** The orphan that was reset for its row, until that is free; 0: none. */
  #awaited = 0;
  /** Rows that stay free: those beyond the application's quota. */
  readonly #kept: number;

  constructor(
    env: Environment,
    flows: Flows,
    ip: IpLayer,
    timers: Timers,
    sendQueue: SendQueue,
    receiveQueue: ReceiveQueue,
    writer: SegmentWriter,
    listeners: Listeners,
    board: Scoreboard,
    perSource: PerSource,
  ) {
    this.#perSource = perSource;
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#clock = env.clock;
    this.#counters = env.counters;
    this.#ip = ip;
    this.#timers = timers;
    this.#sendQueue = sendQueue;
    this.#receiveQueue = receiveQueue;
    this.#writer = writer;
    this.#listeners = listeners;
    this.#board = board;
    this.#kept = Math.max(0, env.limits.flows - env.limits.quotas.flows);
  }

  /** The flow's protocol is over: CLOSED. `reason` is one of DEAD, if `dead` is still to come. */
  finish(row: number, reason: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if (VERIFY) assert(i32[row + TCB.state] !== STATE.closed, 'tcp: finished twice');
    if (i32[row + TCB.state] !== STATE.timeWait) {
      this.#counters.bump(C_CLOSED);
      if ((flags & FLAG.active) === 0) this.#perSource.closed(i32[row + TCB.remote]!);
    }
    i32[row + TCB.state] = STATE.closed;
    this.#flows.table.remove(i32[row + TCB.remote]!, i32[row + TCB.ports]!, i32[row + TCB.local]!);
    this.#ip.release(i32[row + TCB.remote]!);
    this.#timers.cancel(row);
    this.#flows.output.remove(row);
    this.#flows.orphans.remove(row);
    this.#flows.connecting.remove(row);
    this.#sendQueue.clear(row);
    this.#board.clear(row);
    this.#receiveQueue.dropOutOfOrder(row);
    this.#listeners.forget(row);
    if ((flags & FLAG.gone) !== 0) {
      if ((i32[row + TCB.lists]! & LIST.dying) === 0) this.#release(row);
    } else if ((flags & (FLAG.owned | FLAG.knocked)) !== 0) this.#tellDead(row, reason);
    else this.#release(row); // the application has never heard of it
  }

  /** Once: a flow that went through TIME-WAIT keeps the reason it had there. */
  #tellDead(row: number, reason: number): void {
    const i32 = this.#i32;
    const pending = i32[row + TCB.pending]!;
    if ((pending & PENDING.dead) === 0) i32[row + TCB.deadReason] = reason;
    i32[row + TCB.pending] = pending | PENDING.dead;
    this.#flows.ready.push(row);
  }

  #release(row: number): void {
    this.#flows.ready.remove(row);
    this.#flows.timeWait.remove(row);
    this.#receiveQueue.clear(row);
    if (row === this.#awaited) this.#awaited = 0;
    this.#flows.give(row);
  }

  /** Both sides have closed and ours was first (RFC 9293 3.6). Again: the waiting starts anew. */
  timeWait(row: number): void {
    const i32 = this.#i32;
    this.#timers.clear(row, ~(TIMER.long | TIMER.armed));
    this.#timers.set(row, TIMER.long, TCB.longAt, (this.#clock.us + this.timeWaitUs) | 0);
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~FLAG.oldSyn;
    if (i32[row + TCB.state] === STATE.timeWait) return;
    i32[row + TCB.state] = STATE.timeWait;
    if ((i32[row + TCB.flags]! & FLAG.active) === 0) this.#perSource.closed(i32[row + TCB.remote]!);
    this.#flows.orphans.remove(row);
    this.#counters.bump(C_CLOSED);
    this.#receiveQueue.dropOutOfOrder(row);
    if ((i32[row + TCB.flags]! & FLAG.gone) !== 0) this.#flows.timeWait.push(row);
    else this.#tellDead(row, DEAD.closed);
  }

  /** RST to the peer, then CLOSED. */
  abort(row: number, reason: number): void {
    const i32 = this.#i32;
    this.#writer.reset(
      i32[row + TCB.remote]!,
      i32[row + TCB.ports]!,
      i32[row + TCB.local]!,
      i32[row + TCB.sndMax]!,
      i32[row + TCB.rcvNxt]!,
      ACK,
      row,
    );
    this.finish(row, reason);
  }

  /**
   * A free row, if need be the oldest TIME-WAIT's; 0 (counted) when there is none, or not for this
   * application. Then the oldest orphan is reset: peers that never answer would hold closed flows
   * for minutes. Its row is free when its `dead` was emitted, in time for the next try; until then
   * no other is reset, however many SYNs come in the same batch.
   */
  take(): number {
    const flows = this.#flows;
    const kept = this.#kept;
    if (flows.free <= kept) {
      if (flows.timeWait.head !== 0) this.finish(flows.timeWait.head, DEAD.closed);
      else if (flows.orphans.head !== 0 && this.#awaited === 0) {
        this.#counters.bump(C_ORPHANS);
        this.#awaited = flows.orphans.head;
        this.abort(flows.orphans.head, DEAD.timeout);
      }
    }
    if (flows.free > kept) return flows.take();
    this.#counters.bump(kept > 0 ? C_QUOTA_FLOWS : C_FLOWS_FULL);
    return 0;
  }

  /** What `take` answers 0 for: QUOTA, or NO_FLOW when control blocks are used up. */
  get shortage(): number {
    return this.#kept > 0 ? CODE.QUOTA : CODE.NO_FLOW;
  }

  /** `dead` of this row was emitted: its handle is stale now, its frames go at the next emit. */
  gone(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]! & ~(FLAG.owned | FLAG.knocked);
    i32[row + TCB.flags] = flags | FLAG.gone;
    this.#flows.newGeneration(row);
    this.#flows.dying.push(row);
  }

  /**
   * Its application has died, it ends by itself, and no other hears of it. Its frames go at once.
   */
  disown(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]! & ~(FLAG.owned | FLAG.knocked);
    i32[row + TCB.flags] = flags | FLAG.gone | FLAG.noReader;
    i32[row + TCB.pending] = 0;
    this.#flows.ready.remove(row);
    this.#flows.newGeneration(row);
    this.#flows.orphans.push(row);
    this.#receiveQueue.clear(row);
  }

  /** At the start of an emit: the application is through with the last one's events. */
  releaseDying(): void {
    const { dying, timeWait } = this.#flows;
    for (let row = dying.head; row !== 0; row = dying.head) {
      dying.remove(row);
      if (this.#i32[row + TCB.state] === STATE.closed) this.#release(row);
      else {
        this.#receiveQueue.clear(row);
        timeWait.push(row);
      }
    }
  }
}
