/**
 * What applications ask of TCP: the system calls, every argument of which may be anything.
 *
 * - A handle is checked first (BAD_HANDLE: stale, foreign, other kind), then the state (BAD_STATE).
 * - Calls change state and mark flows; segments leave with the flush behind them.
 * - After the protocol's end, until `dead` is emitted, calls are answered as of a live flow.
 *
 * Called by tcp.ts. Read first: RFC 9293 3.10.1-3.10.6; src/gate/abi.ts.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { CODE, DEAD, LISTEN_KNOCK_AT_SYN } from '../gate/abi.ts';
import type { Environment } from '../net/both/environment.ts';
import {
  KEEPALIVE_COUNT_MAX,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_PROBES_MAX,
  WAIT_MAX_MS,
} from './constants.ts';
import { EphemeralPorts } from './ephemeral-ports.ts';
import type { Expiry } from './expire.ts';
import type { Flows } from './flows.ts';
import type { Listeners } from './listen.ts';
import type { Opening } from './open.ts';
import type { Receiving } from './receive.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import type { IpLayer, SegmentWriter } from './segment.ts';
import type { SendQueue } from './send-queue.ts';
import { FLAG, STATE, TCB, TIMER } from './tcb.ts';
import type { Teardown } from './teardown.ts';
import type { Timers } from './timers.ts';

const C_ACCEPTED = COUNTER.tcpAccepted;
const C_AFTER_CLOSE = COUNTER.tcpAfterClose;

export interface CallsParts {
  readonly flows: Flows;
  readonly ip: IpLayer;
  readonly timers: Timers;
  readonly listeners: Listeners;
  readonly opening: Opening;
  readonly receiving: Receiving;
  readonly receiveQueue: ReceiveQueue;
  readonly sendQueue: SendQueue;
  readonly writer: SegmentWriter;
  readonly teardown: Teardown;
  readonly expiry: Expiry;
}

export class Calls {
  readonly #i32: Int32Array;
  readonly #counters: Counters;
  readonly #parts: CallsParts;
  readonly #flows: Flows;
  readonly #receiving: Receiving;
  readonly #receiveQueue: ReceiveQueue;
  readonly #sendQueue: SendQueue;
  readonly #writer: SegmentWriter;
  readonly #ports: EphemeralPorts;

  constructor(env: Environment, parts: CallsParts) {
    this.#i32 = parts.flows.i32;
    this.#counters = env.counters;
    this.#parts = parts;
    this.#flows = parts.flows;
    this.#receiving = parts.receiving;
    this.#receiveQueue = parts.receiveQueue;
    this.#sendQueue = parts.sendQueue;
    this.#writer = parts.writer;
    this.#ports = new EphemeralPorts(env, parts.flows.table, parts.ip);
  }

  // --- passive ---

  /**
   * -> listener handle, BAD_RANGE, BAD_CALL, NO_ROUTE, IN_USE, NO_FLOW, QUOTA. Address 0: any, of
   * both protocols. Port 0: picked (`listenerPort`).
   */
  listen(cookie: number, address: number, port: number, backlog: number, flags: number): number {
    if ((flags & ~LISTEN_KNOCK_AT_SYN) !== 0) return CODE.BAD_CALL;
    return this.#parts.listeners.open(cookie, address, port, backlog, flags);
  }

  /** The port of a listener. -> port, BAD_HANDLE. */
  listenerPort(handle: number): number {
    const { listeners } = this.#parts;
    const listener = listeners.resolve(handle);
    return listener < 0 ? CODE.BAD_HANDLE : listeners.portOf(listener);
  }

  /**
   * No new knocks: flows that have not knocked are reset, flows that have live on.
   *
   * Looks at the row of every flow there may be, 5 to 10 ns each (`--flows 250000`: some 2 ms in
   * which the thread does nothing else): a list of each listener's would cost every handshake, and
   * whoever closes a listener does it rarely.
   */
  unlisten(handle: number): number {
    const { listeners, teardown } = this.#parts;
    const listener = listeners.resolve(handle);
    if (listener < 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    for (let flow = 0; flow < this.#flows.count; flow++) {
      const row = this.#flows.row(flow);
      const flags = i32[row + TCB.flags]!;
      if ((flags & (FLAG.halfOpen | FLAG.waiting)) === 0) continue;
      if (i32[row + TCB.listener] !== listener) continue;
      if ((flags & (FLAG.knocked | FLAG.owned)) === 0) teardown.abort(row, DEAD.aborted);
      else listeners.forget(row);
    }
    listeners.close(listener);
    return CODE.OK;
  }

  /**
   * Takes a flow that knocked. -> OK, also when it has died meanwhile: `dead` has the cookie then.
   */
  accept(handle: number, cookie: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & (FLAG.owned | FLAG.active)) !== 0) return CODE.BAD_STATE;
    i32[row + TCB.cookie] = cookie;
    i32[row + TCB.flags] = flags | FLAG.owned;
    this.#parts.listeners.forget(row);
    this.#counters.bump(C_ACCEPTED);
    if (i32[row + TCB.state] === STATE.synReceived) {
      this.#parts.timers.clear(row, TIMER.long);
      this.#flows.output.push(row); // it knocked at SYN: now comes our SYN-ACK
    }
    if (i32[row + TCB.pending] !== 0) this.#flows.ready.push(row);
    return CODE.OK;
  }

  /** Refuses a flow that knocked: RST, then `dead`. */
  reject(handle: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & FLAG.owned) !== 0) return CODE.BAD_STATE;
    if (i32[row + TCB.state] !== STATE.closed) this.#parts.teardown.abort(row, DEAD.aborted);
    return CODE.OK;
  }

  // --- active ---

  /**
   * `ports` is local << 16 | remote; local 0: picked here. A port whose answers would go to another
   * thread is IN_USE. -> handle, BAD_RANGE, NO_ROUTE, IN_USE, NO_FLOW, QUOTA.
   */
  connect(cookie: number, address: number, ports: number): number {
    const remotePort = ports & 0xffff;
    if (remotePort === 0) return CODE.BAD_RANGE;
    if (this.#parts.ip.neighbourFor(address) < 0) return CODE.NO_ROUTE;
    const local = this.#parts.ip.sourceFor(address);
    if (local === 0) return CODE.NO_ROUTE;
    let localPort = ports >>> 16;
    if (localPort === 0) localPort = this.#ports.pick(address, remotePort, local);
    else if (!this.#ports.comesBack(address, remotePort, local, localPort)) return CODE.IN_USE;
    if (localPort === 0) return CODE.IN_USE;
    const key = (remotePort << 16) | localPort;
    if (this.#flows.table.find(address, key, local) >= 0) return CODE.IN_USE;
    const row = this.#parts.opening.create(address, key, local);
    if (row === 0) return this.#parts.teardown.shortage;
    const i32 = this.#i32;
    i32[row + TCB.state] = STATE.synSent;
    i32[row + TCB.cookie] = cookie;
    i32[row + TCB.flags] = i32[row + TCB.flags]! | FLAG.active | FLAG.owned;
    this.#flows.connecting.push(row);
    this.#flows.output.push(row);
    return this.#flows.handle(row);
  }

  // --- data ---

  /**
   * Queues a span that the caller has checked, also during the handshake. -> bytes taken, or code.
   */
  send(handle: number, offset: number, length: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    const state = i32[row + TCB.state]!;
    const flags = i32[row + TCB.flags]!;
    if ((flags & (FLAG.owned | FLAG.finQueued)) !== FLAG.owned) return CODE.BAD_STATE;
    if (state === STATE.closed || state === STATE.timeWait) return CODE.BAD_STATE;
    const accepted = this.#sendQueue.append(row, offset, length);
    if (state >= STATE.established) this.#flows.output.push(row);
    return accepted;
  }

  /** `bytes` received bytes are consumed. -> OK or BAD_COUNT: more than were handed over. */
  recvDone(handle: number, bytes: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & FLAG.owned) === 0) return CODE.BAD_STATE;
    if (bytes < 0 || bytes > i32[row + TCB.rxGiven]!) return CODE.BAD_COUNT;
    if (bytes === 0) return CODE.OK;
    this.#receiveQueue.done(row, bytes);
    const state = i32[row + TCB.state]!;
    // no more data can come
    if (state < STATE.established || state > STATE.finWait2) return CODE.OK;
    this.#receiving.grow(row, bytes);
    if (this.#writer.shouldUpdateWindow(row)) this.#receiving.acknowledgeNow(row);
    return CODE.OK;
  }

  // --- the end ---

  /** FIN after what is queued, and nobody reads any more. Ends in `dead`. */
  close(handle: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.owned) === 0 || (flags & FLAG.noReader) !== 0) return CODE.BAD_STATE;
    const state = i32[row + TCB.state]!;
    i32[row + TCB.flags] = flags | FLAG.noReader;
    if (state === STATE.closed || state === STATE.timeWait) return CODE.OK;
    if (state === STATE.synSent) {
      this.#parts.teardown.finish(row, DEAD.closed);
      return CODE.OK;
    }
    if (this.#receiveQueue.unread(row) !== 0) {
      this.#counters.bump(C_AFTER_CLOSE);
      this.#parts.teardown.abort(row, DEAD.aborted); // bytes that nobody will read (RFC 9293 3.6.1)
      return CODE.OK;
    }
    this.#parts.expiry.orphan(row);
    this.#queueFin(row);
    this.#flows.orphans.push(row);
    return CODE.OK;
  }

  /** FIN after what is queued; received data still comes (half-close). */
  shutdown(handle: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    const state = i32[row + TCB.state]!;
    if ((i32[row + TCB.flags]! & (FLAG.owned | FLAG.finQueued)) !== FLAG.owned)
      return CODE.BAD_STATE;
    if (state < STATE.synReceived || state === STATE.timeWait) return CODE.BAD_STATE;
    this.#queueFin(row);
    return CODE.OK;
  }

  #queueFin(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if ((flags & FLAG.finQueued) !== 0) return;
    i32[row + TCB.flags] = flags | FLAG.finQueued;
    const state = i32[row + TCB.state]!;
    if (state === STATE.established) i32[row + TCB.state] = STATE.finWait1;
    else if (state === STATE.closeWait) i32[row + TCB.state] = STATE.lastAck;
    this.#flows.output.push(row);
  }

  /** RST now. Ends in `dead`. */
  abort(handle: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    const i32 = this.#i32;
    const state = i32[row + TCB.state]!;
    if ((i32[row + TCB.flags]! & FLAG.owned) === 0) return CODE.BAD_STATE;
    if (state === STATE.closed || state === STATE.timeWait) return CODE.OK;
    if (state === STATE.synSent) this.#parts.teardown.finish(row, DEAD.aborted);
    else this.#parts.teardown.abort(row, DEAD.aborted);
    return CODE.OK;
  }

  /** Asks a peer idle for `idleMs` (0: never) `count` times, `intervalMs` apart (0: as Linux). */
  keepalive(handle: number, idleMs: number, intervalMs: number, count: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    if (idleMs < 0 || intervalMs < 0 || intervalMs > WAIT_MAX_MS) return CODE.BAD_RANGE;
    if (count < 0 || count > KEEPALIVE_COUNT_MAX) return CODE.BAD_RANGE;
    const state = this.#i32[row + TCB.state]!;
    if (state === STATE.closed || state === STATE.timeWait) return CODE.BAD_STATE;
    const interval = intervalMs === 0 ? KEEPALIVE_INTERVAL_MS : intervalMs;
    const most = count === 0 ? KEEPALIVE_PROBES_MAX : count;
    this.#parts.expiry.setKeepalive(row, idleMs, interval, most);
    return CODE.OK;
  }

  /**
   * Gives up when nothing was acknowledged for so long; 0, the default: after the usual retries.
   */
  userTimeout(handle: number, ms: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    if (ms < 0) return CODE.BAD_RANGE;
    const state = this.#i32[row + TCB.state]!;
    if (state === STATE.closed || state === STATE.timeWait) return CODE.BAD_STATE;
    this.#parts.expiry.userTimeout.set(row, ms);
    return CODE.OK;
  }

  /** TTL or hop limit (0: the usual one) and DiffServ code point from now on (RFC 9293 3.9.2). */
  marking(handle: number, hops: number, codePoint: number): number {
    const row = this.#flows.resolve(handle);
    if (row === 0) return CODE.BAD_HANDLE;
    if (hops < 0 || hops > 255 || codePoint < 0 || codePoint > 63) return CODE.BAD_RANGE;
    const state = this.#i32[row + TCB.state]!;
    if (state === STATE.closed || state === STATE.timeWait) return CODE.BAD_STATE;
    this.#writer.mark(row, hops, codePoint);
    return CODE.OK;
  }

  /**
   * The application is gone: every listener closes, every flow is reset; TIME-WAIT goes on, it has
   * no owner. With `isGraceful` a flow that has nothing in its queues is closed instead, and ends
   * as if the application had closed it.
   */
  dropApplication(isGraceful = false): void {
    this.#parts.listeners.closeAll((handle) => this.unlisten(handle));
    const i32 = this.#i32;
    for (let flow = 0; flow < this.#flows.count; flow++) {
      const row = this.#flows.row(flow);
      const state = i32[row + TCB.state]!;
      if (state === STATE.closed || state === STATE.timeWait) continue;
      const flags = i32[row + TCB.flags]!;
      if (isGraceful && (flags & FLAG.gone) !== 0) continue; // closed for an earlier one
      if (isGraceful && this.#mayEnd(row)) {
        this.#parts.teardown.disown(row);
        this.#parts.expiry.orphan(row);
        this.#queueFin(row);
      } else if (state === STATE.synSent) this.#parts.teardown.finish(row, DEAD.aborted);
      else this.#parts.teardown.abort(row, DEAD.aborted);
    }
  }

  /**
   * Whether FIN would be true for a flow whose application has died: it had accepted it, had been
   * given all that came (as for `close`), and all that it said is acknowledged. What is not lies in
   * memory that the next application overwrites.
   */
  #mayEnd(row: number): boolean {
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & FLAG.owned) === 0) return false;
    if (i32[row + TCB.state]! < STATE.established || i32[row + TCB.txBytes] !== 0) return false;
    return this.#receiveQueue.unread(row) === 0;
  }
}
