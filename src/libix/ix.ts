/**
 * Ix: one application's side of one elastic thread. Turns event conditions into handler calls and
 * handler calls into one batch of system calls.
 *
 * - `dispatch` is the application's whole turn: results of the last batch, all events, end-of-batch
 *   callbacks, then the next batch. The dataplane calls it (domain inline) or the application's own
 *   process does (domain process).
 * - What an application sees of it is the interface of the same name in application.ts; the rest is
 *   for whoever gives it its turns.
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
import { EVENT } from '../gate/abi.ts';
import { FRAME_BYTES } from '../limits.ts';
import { formatWords, mapped, parseWords } from './address.ts';
import type * as application from './application.ts';
import type {
  ConnectOptions,
  Listener,
  ListenOptions,
  OwnAddress,
  Span,
  Timer,
} from './application.ts';
import { badAddress, badWords, callable, handling, integer, isAddress } from './arguments.ts';
import type { Connection } from './connection.ts';
import { Faults, GuardedHandlers } from './guard.ts';
import type { Handlers } from './handlers.ts';
import { Listeners } from './listeners.ts';
import { ApplicationMemory, GATHER_BYTES, SEND_BLOCK_BYTES } from './memory.ts';
import { RawGate } from './raw.ts';
import type { IxCallError } from './refusals.ts';
import { Reports } from './reports.ts';
import { Requests } from './requests.ts';
import { Session, type SessionSizes } from './session.ts';
import { Timers } from './timers.ts';
import { type UdpHandlers, type UdpSocket, UdpSockets } from './udp.ts';

const PORT_MAX = 65_535;
const BACKLOG_DEFAULT = 1024;
const EXIT_CODE_MAX = 255;

export interface IxHooks {
  /** A message to whoever started this dataplane; false: there is no room for it now. */
  report(json: string): boolean;
  /** The application wants a turn although no event came. */
  wake(): void;
  /** The application asks to end the dataplane. */
  stop(exitCode: number): void;
  /** It wants the event loop after each of its turns. */
  yields?(on: boolean): void;
  /** It ends when nothing holds its event loop. */
  mayEnd?(on: boolean): void;
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

export class Ix implements application.Ix {
  readonly #parts: IxParts;
  readonly #gate: RawGate;
  readonly #memory: ApplicationMemory;
  readonly #session: Session;
  readonly #faults = new Faults();
  /**
   * Guarded, so that those who listen or connect with the same handlers again and again share one.
   */
  readonly #guarded = new WeakMap<Handlers, GuardedHandlers>();
  readonly #listeners: Listeners;
  readonly #requests: Requests;
  readonly #udp: UdpSockets;
  readonly #timers: Timers;
  readonly #reports: Reports;
  readonly #batchEnds: (() => void)[] = [];
  #inDispatch = false;
  #isTurning = false;
  #restUs = 0;

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
    this.#listeners = new Listeners(this.#gate, this.#requests, this.#session, this.#faults);
  }

  // --- what applications have: application.ts documents it ---

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

  get thread(): number {
    return this.#parts.thread;
  }

  get flows(): number {
    return this.#parts.flows;
  }

  get pid(): number {
    return this.#parts.pid ?? process.pid;
  }

  get ports(): number[] {
    return this.#listeners.ports;
  }

  get addresses6(): OwnAddress[] {
    return this.#gate.ownAddresses().map(({ words, prefixLength }) => {
      return { address: formatWords(words), prefixLength };
    });
  }

  get openConnections(): number {
    return this.#session.openCount;
  }

  alloc(bytes: number, alignment = 8): number {
    return this.#memory.alloc(bytes, alignment);
  }

  text(constant: string): Span {
    const bytes = Buffer.from(constant, 'latin1');
    const offset = this.alloc(Math.max(1, bytes.length), 8);
    this.u8.set(bytes, offset);
    return { offset, length: bytes.length };
  }

  nowMs(): number {
    return this.#gate.ms;
  }

  nowUs(): number {
    return this.#gate.us;
  }

  report(value: unknown): boolean {
    return this.#reports.report(value);
  }

  stop(exitCode = 0): void {
    integer('stop: exit code', exitCode, 0, EXIT_CODE_MAX);
    this.#parts.hooks.stop(exitCode);
  }

  listen(port: number, handlers: Handlers, options: ListenOptions = {}): Listener {
    const { backlog = BACKLOG_DEFAULT, accept, listening, refused } = options;
    integer('listen: port', port, 0, PORT_MAX);
    integer('listen: backlog', backlog, 1);
    if (accept !== undefined) callable('listen: accept', accept);
    if (listening !== undefined) callable('listen: listening', listening);
    if (refused !== undefined) callable('listen: refused', refused);
    const address = options.address ? parseWords(options.address) : 0;
    const wish = { port, address, backlog, accept, listening, refused };
    return this.#listeners.listen(wish, this.#guard(handlers));
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

  udp(port: number, handlers: UdpHandlers): UdpSocket {
    integer('udp: port', port, 0, PORT_MAX);
    handling('udp', handlers);
    return this.#udp.bind(port, handlers);
  }

  timer(delayUs: number, callback: () => void): Timer {
    return this.#timers.start(delayUs, callback);
  }

  every(intervalUs: number, callback: () => void): Timer {
    return this.#timers.every(intervalUs, callback);
  }

  onBatchEnd(callback: () => void): void {
    callable('onBatchEnd', callback);
    this.#batchEnds.push(callback);
  }

  keepTurning(on: boolean): void {
    this.#isTurning = on;
    this.#wake();
  }

  yieldAfterTurns(on: boolean): void {
    this.#parts.hooks.yields?.(on);
  }

  mayEnd(on: boolean): void {
    this.#parts.hooks.mayEnd?.(on);
  }

  rest(us: number): void {
    this.#restUs = us | 0;
  }

  /** How long no turn is needed, as the last one said; -1: none is, but for events. */
  get restUs(): number {
    return this.#isTurning ? this.#restUs : -1;
  }

  formatAddress(address: string | ArrayLike<number>): string {
    if (typeof address === 'string') return address;
    if (typeof address === 'object' && isAddress(address)) return formatWords(address);
    throw badWords('formatAddress');
  }

  // --- the turn ---

  /** True when the application has calls to make although no event came. */
  get wantsTurn(): boolean {
    const { hasDirty } = this.#session;
    return hasDirty || this.#requests.isWaiting || this.#isTurning || this.#listeners.isWaiting;
  }

  dispatch(): void {
    this.#inDispatch = true;
    this.#restUs = 0;
    const gate = this.#gate;
    this.#session.results();
    this.#udp.results();
    this.#listeners.results();
    this.#requests.settle();
    gate.begin();
    const count = gate.eventCount;
    for (let i = 0; i < count; i++) this.#guardedEvent(gate.event(i));
    this.#session.feedStarved();
    for (let i = 0; i < this.#batchEnds.length; i++) {
      this.#faults.guard(this.#batchEnds[i]!, undefined);
    }
    this.#requests.write();
    this.#listeners.write();
    this.#session.flushDirty();
    if (this.#requests.isOpen || this.wantsTurn) gate.askAgain();
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
    if (kind === EVENT.knock) return this.#listeners.knocked(w, cookie);
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
        return this.#session.connected(c, w);
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

  /** True when libix itself holds nothing of any connection. */
  allHome(): boolean {
    return this.#session.allHome();
  }
}
