/**
 * From the state of flows to event conditions.
 *
 * - A flow whose state holds something for the application is in the ready list, with a bit for
 *   each kind. `emit` turns bits into events; what finds no room stays in the list for the next
 *   iteration. So no event is ever lost, and `sent` of many acknowledgements is one event.
 * - Order for one flow: knock or connected, urgent, recv..., recv_end, sent, dead. A request and
 *   the acknowledgement of the last reply come in one segment, and are one event: recv says what
 *   sent would. Before `accept` there is only knock and dead.
 *
 * Called by tcp.ts `emit`. Read first: src/gate/abi.ts EVENT.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { CONNECTED, EVENT, KNOCK, WORD } from '../gate/abi.ts';
import type { EventSink } from '../gate/arrays.ts';
import type { Environment } from '../net/both/environment.ts';
import type { Flows } from './flows.ts';
import { HELD } from './held-table.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import type { IpLayer } from './segment.ts';
import type { SendQueue } from './send-queue.ts';
import { FLAG, PENDING, RARE, TCB } from './tcb.ts';
import type { Teardown } from './teardown.ts';

const C_DEFERRED = COUNTER.eventsDeferred;
/** Most events of one flow beside its recv events. */
const EVENTS_PER_FLOW = 4;

export class Events {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #ip: IpLayer;
  readonly #counters: Counters;
  readonly #receiveQueue: ReceiveQueue;
  readonly #sendQueue: SendQueue;
  readonly #teardown: Teardown;

  constructor(
    env: Environment,
    flows: Flows,
    ip: IpLayer,
    receiveQueue: ReceiveQueue,
    sendQueue: SendQueue,
    teardown: Teardown,
  ) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#ip = ip;
    this.#counters = env.counters;
    this.#receiveQueue = receiveQueue;
    this.#sendQueue = sendQueue;
    this.#teardown = teardown;
  }

  emit(sink: EventSink): void {
    this.#teardown.releaseDying();
    const ready = this.#flows.ready;
    for (let row = ready.head; row !== 0; row = ready.head) {
      if (!this.#flow(row, sink)) {
        this.#counters.bump(C_DEFERRED);
        return;
      }
      ready.remove(row);
    }
  }

  /** False: no room for all of it. */
  #flow(row: number, sink: EventSink): boolean {
    const i32 = this.#i32;
    if (sink.space() < EVENTS_PER_FLOW) return false;
    const handle = this.#flows.handle(row);
    const cookie = i32[row + TCB.cookie]!;
    const pending = i32[row + TCB.pending]!;
    if ((pending & (PENDING.knock | PENDING.connected)) !== 0) this.#opened(row, sink, pending);
    const isOwned = (i32[row + TCB.flags]! & FLAG.owned) !== 0;
    if (isOwned && (pending & PENDING.urgent) !== 0) this.#urgent(row, sink);
    if (isOwned && (pending & PENDING.recv) !== 0) {
      if (!this.#received(row, sink, handle, cookie)) return false;
      i32[row + TCB.pending] = i32[row + TCB.pending]! & ~PENDING.recv;
    }
    if (sink.space() < EVENTS_PER_FLOW) return false;
    if (isOwned && (pending & PENDING.recvEnd) !== 0) sink.push(EVENT.recv_end, handle, cookie);
    if (isOwned && (i32[row + TCB.pending]! & PENDING.sent) !== 0) {
      this.#sent(row, sink.push(EVENT.sent, handle, cookie) + WORD.a);
    }
    if ((pending & PENDING.dead) !== 0) {
      i32[sink.push(EVENT.dead, handle, cookie) + WORD.a] = i32[row + TCB.deadReason]!;
      this.#teardown.gone(row);
    }
    // what an owner has not seen yet waits for accept
    const kept = isOwned ? 0 : PENDING.urgent | PENDING.recv | PENDING.recvEnd | PENDING.sent;
    i32[row + TCB.pending] = i32[row + TCB.pending]! & kept;
    return true;
  }

  /** Counted from the first byte that was not given yet; a FIN behind them is none. */
  #urgent(row: number, sink: EventSink): void {
    const i32 = this.#i32;
    const pending = i32[row + TCB.pending]! & ~PENDING.urgent;
    i32[row + TCB.pending] = pending;
    const waiting = i32[row + TCB.rxBytes]! - i32[row + TCB.rxGiven]!;
    const fin = (pending & PENDING.recvEnd) !== 0 ? 1 : 0;
    const bytes = (i32[row + RARE.urgentEnd]! - i32[row + TCB.rcvNxt]! + fin + waiting) | 0;
    if (bytes <= 0) return;
    const w = sink.push(EVENT.urgent, this.#flows.handle(row), i32[row + TCB.cookie]!);
    i32[w + WORD.a] = bytes;
  }

  #opened(row: number, sink: EventSink, pending: number): void {
    const i32 = this.#i32;
    i32[row + TCB.pending] = pending & ~(PENDING.knock | PENDING.connected);
    const handle = this.#flows.handle(row);
    const cookie = i32[row + TCB.cookie]!;
    const remoteFirst = i32[row + TCB.ports]!;
    const ports = (remoteFirst << 16) | (remoteFirst >>> 16);
    if ((pending & PENDING.connected) !== 0) {
      const w = sink.push(EVENT.connected, handle, cookie);
      this.#ip.describeLocal(i32[row + TCB.local]!, w + CONNECTED.local);
      i32[w + CONNECTED.ports] = ports;
      return;
    }
    const w = sink.push(EVENT.knock, handle, cookie);
    this.#ip.describe(i32[row + TCB.remote]!, w + KNOCK.remote);
    i32[w + KNOCK.ports] = ports;
    this.#ip.describeLocal(i32[row + TCB.local]!, w + KNOCK.local);
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.knocked;
  }

  #received(row: number, sink: EventSink, handle: number, cookie: number): boolean {
    const i32 = this.#i32;
    const queue = this.#receiveQueue;
    for (let m = queue.unread(row); m !== 0; m = queue.unread(row)) {
      if (sink.space() === 0) return false;
      const w = sink.push(EVENT.recv, handle, cookie);
      i32[w + WORD.a] = i32[m + HELD.data]! + i32[m + HELD.emitted]!;
      i32[w + WORD.b] = i32[m + HELD.length]! - i32[m + HELD.emitted]!;
      if ((i32[row + TCB.pending]! & PENDING.sent) !== 0) this.#sent(row, w + WORD.c);
      else i32[w + WORD.c] = 0;
      queue.given(row, m);
    }
    return true;
  }

  /** What was acknowledged, and the room now, in two words of an event. */
  #sent(row: number, w: number): void {
    const i32 = this.#i32;
    i32[w] = i32[row + TCB.sentBytes]!;
    i32[w + 1] = this.#sendQueue.room(row);
    i32[row + TCB.sentBytes] = 0;
    i32[row + TCB.pending] = i32[row + TCB.pending]! & ~PENDING.sent;
  }
}
