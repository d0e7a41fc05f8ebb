/**
 * Ix: one application's side of one elastic thread. Turns event conditions into handler calls and handler calls
 * into one batch of system calls.
 *
 * - `dispatch` is the application's whole turn: results of the last batch, all events, end-of-batch callbacks, then
 *   the next batch. The dataplane calls it (domain inline) or the application's own process does (domain process).
 * - Calls that need a result of their own (listen, udp_bind, timer) go through `#requests`: rare, so they may allocate.
 * - An exception out of a handler aborts that connection, is reported once, and never reaches the dataplane.
 *
 * Read first: src/abi.ts, session.ts.
 */
import {
  CALL as CALL_,
  CALL_RESULT as CALL_RESULT_,
  CODE as CODE_,
  EVENT as EVENT_,
  MAPPED_V4 as MAPPED_V4_,
} from '../abi.ts';
import type { Arena } from '../arena/arena.ts';
import { FRAME_BYTES as FRAME_BYTES_ } from '../limits.ts';
import { formatAddress, formatWords, mapped, parseWords } from './address.ts';
import type { Connection, Handlers } from './connection.ts';
import {
  ApplicationMemory,
  GATHER_BYTES as GATHER_BYTES_,
  SEND_BLOCK_BYTES as SEND_BLOCK_BYTES_,
} from './memory.ts';
import { RawGate } from './raw.ts';
import { Session, type SessionSizes } from './session.ts';

// Own constants are folded by V8, imported ones are not (four accesses: 1.5 ns against 4.6 ns).
const CALL = CALL_;
const CALL_RESULT = CALL_RESULT_;
const CODE = CODE_;
const EVENT = EVENT_;
const MAPPED_V4 = MAPPED_V4_;
const FRAME_BYTES = FRAME_BYTES_;
const GATHER_BYTES = GATHER_BYTES_;
const SEND_BLOCK_BYTES = SEND_BLOCK_BYTES_;

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

export interface UdpSocket {
  /**
   * Sends bytes of application memory to an IPv4 address (int32) or to four words, `source` for one; false when it cannot
   * now. They must stay until `sent`.
   */
  send(offset: number, length: number, address: number | ArrayLike<number>, port: number): boolean;
  /** Where the datagram that is being handled came from: four words, overwritten by the next. */
  readonly source: Int32Array;
  close(): void;
}

export interface UdpHandlers {
  /**
   * A datagram at `offset`; its memory is given back when the handler returns. `address` is the sender's IPv4 address, or
   * the last word of its IPv6 address: all of it stands in `socket.source`.
   */
  received(
    socket: UdpSocket,
    offset: number,
    length: number,
    address: number,
    port: number,
    truncated: boolean,
  ): void;
  sent?(socket: UdpSocket, bytes: number): void;
}

export interface IxHooks {
  /** A message to whoever started this dataplane. */
  report(value: unknown): void;
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
  /** Control blocks of this thread: libix sizes its own pools by it. */
  flows: number;
  thread: number;
  /** Tests choose small pools. */
  sizes?: SessionSizes;
  hooks: IxHooks;
}

export class IxCallError extends Error {
  readonly code = 'IX_CALL';
}

interface Request {
  write(): number;
  settle(result: number): void;
}

interface UdpBinding {
  handle: number;
  handlers: UdpHandlers;
  socket: UdpSocket;
}

const CODE_NAMES = Object.fromEntries(Object.entries(CODE).map(([name, value]) => [value, name]));

/** libix's own pools: in proportion to the flows, within an eighth of application memory. */
function sessionSizesFor(flows: number, memoryBytes: number, receiveBytes: number): SessionSizes {
  const eighth = memoryBytes / 8;
  return {
    receiveSpans: receiveBytes / FRAME_BYTES,
    spans: Math.max(16_384, flows * 4),
    sendBlocks: Math.max(64, Math.min(flows * 2, Math.floor(eighth / SEND_BLOCK_BYTES))),
    gatherBlocks: Math.max(16, Math.min(flows, Math.floor(eighth / 2 / GATHER_BYTES))),
  };
}

export class Ix {
  readonly #parts: IxParts;
  readonly #gate: RawGate;
  readonly #memory: ApplicationMemory;
  readonly #session: Session;
  readonly #listeners: Handlers[] = [];
  readonly #ports: number[] = [];
  readonly #udp: UdpBinding[] = [];
  readonly #timers: (() => void)[] = [];
  readonly #freeTimers: number[] = [];
  readonly #batchEnds: (() => void)[] = [];
  #requests: Request[] = [];
  /** Requests at the gate, by call index. */
  #asked: { index: number; request: Request }[] = [];
  readonly #settled: (() => void)[] = [];
  #inDispatch = false;
  #isTurning = false;

  constructor(parts: IxParts) {
    this.#parts = parts;
    const arena = parts.arena;
    const { events, calls, memory, receivePool } = parts.layout;
    this.#gate = new RawGate(arena.i32, events.offset, calls.offset);
    this.#memory = new ApplicationMemory(memory.offset, memory.bytes);
    const copy = arena.kernels.copy;
    this.#session = new Session(
      this.#gate,
      { u8: arena.u8, i32: arena.i32, copy },
      this.#memory,
      parts.sizes ?? sessionSizesFor(parts.flows, memory.bytes, receivePool.bytes),
      () => this.#wake(),
    );
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

  report(value: unknown): void {
    this.#parts.hooks.report(value);
  }

  stop(exitCode = 0): void {
    this.#parts.hooks.stop(exitCode);
  }

  listen(port: number, handlers: Handlers, options: ListenOptions = {}): void {
    const cookie = this.#listeners.push(handlers);
    const address = options.address ? parseWords(options.address) : 0;
    this.#request(
      () => {
        const w = this.#gate.call(CALL.listen, cookie);
        if (w < 0) return -1;
        this.#writeAddress(w + 2, address);
        const i32 = this.#gate.i32;
        i32[w + 6] = port;
        i32[w + 7] = options.backlog ?? 1024;
        i32[w + 8] = 0;
        return w;
      },
      (result) => {
        if (result < 0) throw new IxCallError(`listen on port ${port}: ${CODE_NAMES[result]}`);
        this.#ports.push(port);
      },
    );
  }

  connect(
    address: string | number | ArrayLike<number>,
    port: number,
    handlers: Handlers,
    options: ConnectOptions = {},
  ): Connection {
    const parsed = typeof address === 'string' ? parseWords(address) : address;
    const remote = typeof parsed === 'number' ? mapped(parsed) : parsed;
    return this.#session.connect(remote, ((options.localPort ?? 0) << 16) | port, handlers);
  }

  /** One call of `callback` after `delayUs` microseconds (below 2^31). */
  timer(delayUs: number, callback: () => void): void {
    const slot = this.#freeTimers.pop() ?? this.#timers.length;
    this.#timers[slot] = callback;
    this.#request(
      () => {
        const w = this.#gate.call(CALL.timer, slot + 1);
        if (w >= 0) this.#gate.i32[w + 2] = delayUs;
        return w;
      },
      (result) => {
        if (result < 0) throw new IxCallError(`timer: ${CODE_NAMES[result]}`);
      },
    );
  }

  every(intervalUs: number, callback: () => void): void {
    const again = () => {
      this.timer(intervalUs, again);
      callback();
    };
    this.timer(intervalUs, again);
  }

  /** Called after all events of a batch were handled. */
  onBatchEnd(callback: () => void): void {
    this.#batchEnds.push(callback);
  }

  /**
   * A turn in every iteration, event or not, so that `onBatchEnd` comes as often as the thread goes around: for work
   * that is due by the microsecond (load generators). Meant for idle policy `spin`.
   */
  keepTurning(on: boolean): void {
    this.#isTurning = on;
    this.#wake();
  }

  udp(port: number, handlers: UdpHandlers): UdpSocket {
    const cookie = this.#udp.length + 1;
    const socket: UdpSocket = {
      source: new Int32Array(4),
      send: (offset, length, address, remotePort) =>
        this.#udpSend(binding, offset, length, address, remotePort),
      close: () =>
        this.#request(
          () => this.#gate.call(CALL.udp_close, binding.handle),
          () => {},
        ),
    };
    const binding: UdpBinding = { handle: 0, handlers, socket };
    this.#udp.push(binding);
    this.#request(
      () => {
        const w = this.#gate.call(CALL.udp_bind, cookie);
        if (w < 0) return -1;
        this.#writeAddress(w + 2, 0);
        this.#gate.i32[w + 6] = port;
        return w;
      },
      (result) => {
        if (result < 0) throw new IxCallError(`udp port ${port}: ${CODE_NAMES[result]}`);
        binding.handle = result;
      },
    );
    return socket;
  }

  #udpSend(
    binding: UdpBinding,
    offset: number,
    length: number,
    address: number | ArrayLike<number>,
    port: number,
  ): boolean {
    if (binding.handle === 0) return false;
    const w = this.#gate.call(CALL.udp_sendv, binding.handle);
    if (w < 0) return false;
    const i32 = this.#gate.i32;
    i32[w + 2] = offset;
    i32[w + 3] = length;
    this.#writeAddress(w + 4, address);
    i32[w + 8] = port;
    this.#wake();
    return true;
  }

  // --- the turn ---

  /** True when the application has calls to make although no event came. */
  get wantsTurn(): boolean {
    return this.#session.hasDirty || this.#requests.length > 0 || this.#isTurning;
  }

  dispatch(): void {
    this.#inDispatch = true;
    const gate = this.#gate;
    this.#session.results();
    if (this.#asked.length > 0) this.#settle();
    gate.begin();
    const count = gate.eventCount;
    for (let i = 0; i < count; i++) this.#guardedEvent(gate.event(i));
    this.#session.feedStarved();
    for (let i = 0; i < this.#batchEnds.length; i++) this.#batchEnds[i]!();
    if (this.#requests.length > 0) this.#writeRequests();
    this.#session.flushDirty();
    const isWaiting = this.#requests.length > 0 || this.#asked.length > 0;
    if (isWaiting || this.#isTurning || this.#session.hasDirty) gate.askAgain();
    gate.submit();
    if (!isWaiting && this.#settled.length > 0) for (const f of this.#settled.splice(0)) f();
    this.#inDispatch = false;
  }

  #guardedEvent(w: number): void {
    try {
      this.#event(w);
    } catch (error) {
      this.#failed(w, error);
    }
  }

  /** A handler threw: its connection ends, the others do not notice. */
  #failed(w: number, error: unknown): void {
    const i32 = this.#gate.i32;
    process.stderr.write(
      `ix: application error: ${error instanceof Error ? error.stack : String(error)}\n`,
    );
    const kind = i32[w]!;
    if (kind >= EVENT.connected && kind <= EVENT.dead) {
      const c = this.#session.byCookie(i32[w + 2]!);
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
    if (kind === EVENT.timer) return this.#timer(cookie - 1);
    if (kind === EVENT.udp_recv) return this.#udpReceived(w, cookie);
    if (kind === EVENT.udp_sent) {
      const binding = this.#udp[cookie - 1];
      return binding?.handlers.sent?.(binding.socket, i32[w + 3]!);
    }
    const c = this.#session.byCookie(cookie);
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
      case EVENT.dead:
        return this.#session.dead(c, i32[w + 3]!);
    }
  }

  #timer(slot: number): void {
    const callback = this.#timers[slot];
    this.#freeTimers.push(slot);
    callback?.();
  }

  #udpReceived(w: number, cookie: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#udp[cookie - 1];
    if (!binding) return;
    const offset = i32[w + 3]!;
    const port = i32[w + 9]! & 0xffff;
    const { source } = binding.socket;
    for (let i = 0; i < 4; i++) source[i] = i32[w + 5 + i]!;
    binding.handlers.received(
      binding.socket,
      offset,
      i32[w + 4]!,
      i32[w + 8]!,
      port,
      i32[w + 10] === 1,
    );
    const done = this.#gate.call(CALL.udp_recv_done, binding.handle);
    if (done >= 0) i32[done + 2] = offset;
    else
      this.#request(
        () => {
          const call = this.#gate.call(CALL.udp_recv_done, binding.handle);
          if (call >= 0) i32[call + 2] = offset;
          return call;
        },
        () => {},
      );
  }

  /** An IPv4 address (0: any of both protocols) or four words. */
  #writeAddress(w: number, address: number | ArrayLike<number>): void {
    const i32 = this.#gate.i32;
    if (typeof address !== 'number') {
      for (let i = 0; i < 4; i++) i32[w + i] = address[i]!;
      return;
    }
    i32[w] = 0;
    i32[w + 1] = 0;
    i32[w + 2] = address === 0 ? 0 : MAPPED_V4;
    i32[w + 3] = address;
  }

  #request(write: () => number, settle: (result: number) => void): void {
    this.#requests.push({ write, settle });
    this.#wake();
  }

  #writeRequests(): void {
    const waiting = this.#requests;
    this.#requests = [];
    for (const request of waiting) {
      const index = this.#gate.callCount;
      if (request.write() >= 0) this.#asked.push({ index, request });
      else this.#requests.push(request);
    }
  }

  #settle(): void {
    const asked = this.#asked;
    this.#asked = [];
    for (const { index, request } of asked) {
      request.settle(this.#gate.i32[this.#gate.callAt(index) + CALL_RESULT]!);
    }
  }

  #wake(): void {
    if (!this.#inDispatch) this.#parts.hooks.wake();
  }

  /** Calls back once, when every listen, bind and timer asked so far has its answer. */
  whenSettled(callback: () => void): void {
    this.#settled.push(callback);
    this.#wake();
  }

  /** For messages. */
  formatAddress(address: number | ArrayLike<number>): string {
    return typeof address === 'number' ? formatAddress(address) : formatWords(address);
  }
}
