/**
 * Ix: one application's side of one elastic thread. Turns event conditions into handler calls and
 * handler calls into one batch of system calls.
 *
 * - `dispatch` is the application's whole turn: results of the last batch, all events, end-of-batch
 *   callbacks, then the next batch. The dataplane calls it (domain inline) or the application's own
 *   process does (domain process).
 * - Calls that need a result of their own (listen, udp_bind, timer) go through requests.ts: rare,
 *   so they may allocate.
 * - What an application gives is checked when it is given (arguments.ts).
 * - An exception of the application's never reaches the dataplane: it is reported once, and its
 *   connection is reset (guard.ts). But a listen, bind or timer that is refused while the
 *   application starts makes the start fail: `whenSettled`.
 *
 * Read first: src/gate/abi.ts, session.ts.
 */

import type { Arena } from '../arena/arena.ts';
import { CALL, EVENT } from '../gate/abi.ts';
import { FRAME_BYTES } from '../limits.ts';
import { formatAddress, formatWords, mapped, parseWords } from './address.ts';
import { badAddress, callable, handling, integer, isAddress } from './arguments.ts';
import type { Connection } from './connection.ts';
import { Faults, GuardedHandlers } from './guard.ts';
import type { Handlers } from './handlers.ts';
import { ApplicationMemory, GATHER_BYTES, SEND_BLOCK_BYTES } from './memory.ts';
import { RawGate } from './raw.ts';
import { type IxCallError, refuse } from './refusals.ts';
import { Reports } from './reports.ts';
import { Requests } from './requests.ts';
import { Session, type SessionSizes } from './session.ts';
import { Timers } from './timers.ts';
import { type UdpHandlers, type UdpSocket, UdpSockets, writeAddress } from './udp.ts';

const PORT_MAX = 65_535;
const BACKLOG_DEFAULT = 1024;
const EXIT_CODE_MAX = 255;

export interface Span {
  offset: number;
  length: number;
}

export interface ListenOptions {
  /** Half-open and unaccepted connections. Default 1024. */
  backlog?: number;
  /** Default: every address of this dataplane. */
  address?: string;
}

export interface ConnectOptions {
  localPort?: number;
}

export interface IxHooks {
  /** A message to whoever started this dataplane; false: there is no room for it now. */
  report(json: string): boolean;
  /** The application wants a turn although no event came. */
  wake(): void;
  /** The application asks to end the dataplane. */
  stop(exitCode: number): void;
}

export interface IxParts {
  arena: Arena;
  /** Where the gate and the application's memory are, bytes of the arena. */
  layout: {
    events: { offset: number };
    calls: { offset: number };
    memory: { offset: number; bytes: number };
    receivePool: { bytes: number };
  };
  /**
   * Most connections of this thread, by its control blocks and the quota: libix sizes its own pools
   * by it.
   */
  flows: number;
  /** What whoever started this process calls it; absent: as it calls itself. */
  pid?: number | undefined;
  thread: number;
  /** Tests choose small pools. */
  sizes?: SessionSizes;
  hooks: IxHooks;
}

/** libix's own pools: in proportion to the flows, within an eighth of application memory. */
function sessionSizesFor(flows: number, memoryBytes: number, receiveBytes: number): SessionSizes {
  const eighth = memoryBytes / 8;
  return {
    receiveSpans: receiveBytes / FRAME_BYTES,
    // Four a flow, but of very many flows few have anything on the way.
    spans: Math.max(16_384, Math.min(flows * 4, 65_536), flows),
    sendBlocks: Math.max(64, Math.min(flows * 2, Math.floor(eighth / SEND_BLOCK_BYTES))),
    gatherBlocks: Math.max(16, Math.min(flows, Math.floor(eighth / 2 / GATHER_BYTES))),
  };
}

export class Ix {
  readonly #parts: IxParts;
  readonly #gate: RawGate;
  readonly #memory: ApplicationMemory;
  readonly #session: Session;
  readonly #faults = new Faults();
  /**
   * Guarded, so that those who listen or connect with the same handlers again and again share one.
   */
  readonly #guarded = new WeakMap<Handlers, GuardedHandlers>();
  readonly #listeners: GuardedHandlers[] = [];
  readonly #ports: number[] = [];
  readonly #requests: Requests;
  readonly #udp: UdpSockets;
  readonly #timers: Timers;
  readonly #reports: Reports;
  readonly #batchEnds: (() => void)[] = [];
  #inDispatch = false;
  #isTurning = false;

  constructor(parts: IxParts) {
    this.#parts = parts;
    const arena = parts.arena;
    const { events, calls, memory, receivePool } = parts.layout;
    this.#gate = new RawGate(arena.i32, events.offset, calls.offset);
    this.#memory = new ApplicationMemory(memory.offset, memory.bytes);
    const wake = () => this.#wake();
    this.#requests = new Requests(this.#gate, wake, this.#faults);
    this.#udp = new UdpSockets(this.#gate, this.#memory, this.#requests, this.#faults);
    this.#timers = new Timers(this.#gate, this.#requests);
    this.#reports = new Reports(parts.hooks.report, this.#faults);
    this.#session = new Session({
      gate: this.#gate,
      arena: { u8: arena.u8, i32: arena.i32, copy: arena.kernels.copy },
      memory: this.#memory,
      sizes: parts.sizes ?? sessionSizesFor(parts.flows, memory.bytes, receivePool.bytes),
      flows: parts.flows,
      faults: this.#faults,
      wake,
      guard: (own) => this.#guard(own),
    });
  }

  /** Views over the whole arena: an offset from a handler or from `alloc` indexes them directly. */
  get u8(): Uint8Array {
    return this.#parts.arena.u8;
  }

  get i32(): Int32Array {
    return this.#parts.arena.i32;
  }

  get view(): DataView {
    return this.#parts.arena.view;
  }

  get kernels(): Arena['kernels'] {
    return this.#parts.arena.kernels;
  }

  get applicationFree(): number {
    return this.#memory.free;
  }

  /** Number of this elastic thread: 0 up. */
  get thread(): number {
    return this.#parts.thread;
  }

  /**
   * Most connections at a time: a further one finds no control block, and its peer is not answered.
   */
  get flows(): number {
    return this.#parts.flows;
  }

  /**
   * The process as the machine's other processes see it; to itself it may be number 1 of a
   * namespace.
   */
  get pid(): number {
    return this.#parts.pid ?? process.pid;
  }

  /** Ports on which `listen` has succeeded. */
  get ports(): number[] {
    return this.#ports.slice();
  }

  get openConnections(): number {
    return this.#session.openCount;
  }

  /** True when libix itself holds nothing of any connection. */
  allHome(): boolean {
    return this.#session.allHome();
  }

  alloc(bytes: number, alignment = 8): number {
    return this.#memory.alloc(bytes, alignment);
  }

  /** Constant bytes in application memory, to be sent any number of times. */
  text(constant: string): Span {
    const bytes = Buffer.from(constant, 'latin1');
    const offset = this.alloc(Math.max(1, bytes.length), 8);
    this.u8.set(bytes, offset);
    return { offset, length: bytes.length };
  }

  /** Time of this batch, modulo 2^32 as int32. */
  nowMs(): number {
    return this.#gate.ms;
  }

  nowUs(): number {
    return this.#gate.us;
  }

  /**
   * Says a value to whoever started this service, as JSON; false, and one line says why, when it
   * cannot be.
   */
  report(value: unknown): boolean {
    return this.#reports.report(value);
  }

  stop(exitCode = 0): void {
    integer('stop: exit code', exitCode, 0, EXIT_CODE_MAX);
    this.#parts.hooks.stop(exitCode);
  }

  listen(port: number, handlers: Handlers, options: ListenOptions = {}): void {
    const { backlog = BACKLOG_DEFAULT } = options;
    integer('listen: port', port, 1, PORT_MAX);
    integer('listen: backlog', backlog, 1);
    const cookie = this.#listeners.push(this.#guard(handlers));
    const address = options.address ? parseWords(options.address) : 0;
    const { i32 } = this.#gate;
    const write = (): number => {
      const w = this.#gate.call(CALL.listen, cookie);
      if (w < 0) return -1;
      writeAddress(i32, w + 2, address);
      i32[w + 6] = port;
      i32[w + 7] = backlog;
      i32[w + 8] = 0;
      return w;
    };
    this.#requests.add(write, (result) => {
      refuse(`port ${port}`, result);
      this.#ports.push(port);
    });
  }

  connect(
    address: string | number | ArrayLike<number>,
    port: number,
    handlers: Handlers,
    options: ConnectOptions = {},
  ): Connection {
    const { localPort = 0 } = options;
    integer('connect: port', port, 1, PORT_MAX);
    integer('connect: localPort', localPort, 0, PORT_MAX);
    const parsed = typeof address === 'string' ? parseWords(address) : address;
    if (!isAddress(parsed)) throw badAddress('connect: address');
    const remote = typeof parsed === 'number' ? mapped(parsed) : parsed;
    return this.#session.connect(remote, (localPort << 16) | port, this.#guard(handlers));
  }

  #guard(handlers: Handlers): GuardedHandlers {
    handling('handlers', handlers);
    if (handlers instanceof GuardedHandlers) return handlers;
    let guarded = this.#guarded.get(handlers);
    if (guarded === undefined) {
      guarded = new GuardedHandlers(handlers, this.#faults);
      this.#guarded.set(handlers, guarded);
    }
    return guarded;
  }

  /** One call of `callback` after `delayUs` microseconds (below 2^31). */
  timer(delayUs: number, callback: () => void): void {
    this.#timers.start(delayUs, callback);
  }

  every(intervalUs: number, callback: () => void): void {
    this.#timers.every(intervalUs, callback);
  }

  /** Called after all events of a batch were handled. */
  onBatchEnd(callback: () => void): void {
    callable('onBatchEnd', callback);
    this.#batchEnds.push(callback);
  }

  /**
   * A turn in every iteration, event or not, so that `onBatchEnd` comes as often as the thread goes
   * around: for work that is due by the microsecond (load generators). Meant for idle policy
   * `spin`.
   */
  keepTurning(on: boolean): void {
    this.#isTurning = on;
    this.#wake();
  }

  udp(port: number, handlers: UdpHandlers): UdpSocket {
    integer('udp: port', port, 0, PORT_MAX);
    handling('udp', handlers);
    return this.#udp.bind(port, handlers);
  }

  // --- the turn ---

  /** True when the application has calls to make although no event came. */
  get wantsTurn(): boolean {
    return this.#session.hasDirty || this.#requests.isWaiting || this.#isTurning;
  }

  dispatch(): void {
    this.#inDispatch = true;
    const gate = this.#gate;
    this.#session.results();
    this.#udp.results();
    this.#requests.settle();
    gate.begin();
    const count = gate.eventCount;
    for (let i = 0; i < count; i++) this.#guardedEvent(gate.event(i));
    this.#session.feedStarved();
    for (let i = 0; i < this.#batchEnds.length; i++) {
      this.#faults.guard(this.#batchEnds[i]!, undefined);
    }
    this.#requests.write();
    this.#session.flushDirty();
    if (this.#requests.isOpen || this.#isTurning || this.#session.hasDirty) gate.askAgain();
    gate.submit();
    this.#inDispatch = false;
    this.#requests.tellSettled(); // what is asked for in there needs a turn of its own
  }

  #guardedEvent(w: number): void {
    try {
      this.#event(w);
    } catch (error) {
      this.#failed(w, error);
    }
  }

  /**
   * What was not called through a guard threw: a timer, or handlers that the application put in by
   * itself.
   */
  #failed(w: number, error: unknown): void {
    const i32 = this.#gate.i32;
    this.#faults.report(error);
    const kind = i32[w]!;
    if ((kind >= EVENT.connected && kind <= EVENT.dead) || kind === EVENT.urgent) {
      const c = this.#session.byCookie(i32[w + 2]!, i32[w + 1]!);
      if (c) this.#session.abort(c);
    }
  }

  #event(w: number): void {
    const i32 = this.#gate.i32;
    const kind = i32[w]!;
    const cookie = i32[w + 2]!;
    if (kind === EVENT.knock) {
      const handlers = this.#listeners[cookie - 1];
      if (handlers) this.#session.accept(i32[w + 1]!, w + 3, i32[w + 7]! & 0xffff, handlers);
      return;
    }
    if (kind === EVENT.timer) return this.#timers.expired(cookie);
    if (kind === EVENT.udp_recv) return this.#udp.received(w, cookie);
    if (kind === EVENT.udp_sent) return this.#udp.sent(w, cookie);
    const c = this.#session.byCookie(cookie, i32[w + 1]!);
    if (c === undefined) return;
    switch (kind) {
      case EVENT.recv: {
        const sent = i32[w + 5]!;
        if (sent !== 0) this.#session.sent(c, sent);
        return this.#session.received(c, i32[w + 3]!, i32[w + 4]!);
      }
      case EVENT.sent:
        return this.#session.sent(c, i32[w + 3]!);
      case EVENT.connected:
        return this.#session.connected(c);
      case EVENT.recv_end:
        return this.#session.ended(c);
      case EVENT.urgent:
        return c.handlers.urgent?.(c, i32[w + 3]!);
      case EVENT.dead:
        return this.#session.dead(c, i32[w + 3]!);
    }
  }

  #wake(): void {
    if (!this.#inDispatch) this.#parts.hooks.wake();
  }

  /**
   * Calls back once, when every listen, bind and timer asked so far has its answer; with the first
   * one that was refused while the application started. What is refused after the first call back
   * is reported like an exception.
   */
  whenSettled(callback: (refused: IxCallError | undefined) => void): void {
    this.#requests.whenSettled(callback);
  }

  /** For messages. */
  formatAddress(address: number | ArrayLike<number>): string {
    return typeof address === 'number' ? formatAddress(address) : formatWords(address);
  }
}
