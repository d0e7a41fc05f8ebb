/**
 * What net.Socket and net.Server call `_handle`: a TCP socket as Node's own classes see one, over a
 * conduit.
 *
 * - It is a native JSStream, so TLS, http's parser and nghttp2 take it, and its methods are ours,
 *   so net.js never goes through C++.
 * - One handle is one life, as one connection of libix is: what comes late finds no conduit.
 * - Answers are the kernel's: 0, or -errno. Nothing calls back from within a call of net.js.
 *
 * Made by install.ts. Read first: conduit.ts; lib/net.js of Node.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Above, Conduit, Endpoint, Knocked, Listening, TextEncoding } from './conduit.ts';
import { advise, EBADF, ECANCELED, EINVAL, ENOTCONN, EPIPE, systemError } from './errno.ts';
import { type NativeRequest, node } from './internals.ts';
import { type Context, Inward } from './inward.ts';
import type { Network } from './network.ts';
import { Outward } from './outward.ts';
import type { Bound } from './ports.ts';

/** What `getsockname` and `getpeername` fill in. */
type Named = Partial<{ address: string; family: string; port: number }>;

interface ConnectRequest {
  oncomplete?: (...args: [number, Handle, ConnectRequest, boolean, boolean]) => void;
}
interface ShutdownRequest {
  oncomplete(status: number): void;
}

/** net.js says whose handle it is. */
interface Owned {
  [owner: symbol]: { errored?: unknown } | undefined;
}

/** Of bind: UV_TCP_IPV6ONLY, UV_TCP_REUSEPORT. */
const IPV6_ONLY = 1;
const REUSE_PORT = 2;
/** Who is asked to connect to nowhere in particular connects to himself. */
const NOWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

const { JSStream } = node;

export class Handle extends JSStream implements Above, Knocked {
  /** net.js sets it: whether it thinks that we read. */
  reading = false;
  /** net.js sets it on a listening one. */
  onconnection!: (status: number, accepted?: Handle) => void;
  readonly inward: Inward;
  readonly #outward = new Outward();
  readonly #network: Network;
  #conduit: Conduit | undefined;
  #listening: Listening | undefined;
  /** Its own, or its listener's. */
  #bound: Bound | undefined;
  #isBinder = false;
  /** What bind has found wrong, told by listen or connect as the kernel does. */
  #bindStatus = 0;
  #connecting: ConnectRequest | undefined;
  #isClosed = false;
  #hasRef = true;
  /** The keeper counts it. */
  #isKept = false;
  #trafficClass = 0;

  constructor(network: Network) {
    super();
    this.#network = network;
    this.inward = new Inward(this, network.slab);
  }

  /** Only native readers ask. */
  get isStreamBase(): true {
    this.inward.isNative = true;
    return true;
  }

  /** http's server has asked before it sets this. */
  _consumed = false;

  get fd(): number {
    return -1;
  }

  get bytesRead(): number {
    return this.inward.bytes;
  }

  get bytesWritten(): number {
    return this.#outward.bytes;
  }

  /** Changes while anything is on its way: net.js takes that for a sign of life. */
  get writeQueueSize(): number {
    return this.#outward.waitingBytes + (this.#conduit?.queuedBytes ?? 0);
  }

  ref(): void {
    this.#hasRef = true;
    this.#keep();
  }

  unref(): void {
    this.#hasRef = false;
    this.#keep();
  }

  /** Whether something is going on that a program would wait for: as libuv sees it. */
  get #isActive(): boolean {
    if (this.#isClosed) return false;
    if (this.#listening !== undefined || this.#connecting !== undefined) return true;
    if (this.#conduit === undefined) return false;
    return this.#outward.isWaiting || (this.inward.isReading && !this.inward.isOver);
  }

  #keep(): void {
    const isKept = this.#hasRef && this.#isActive;
    if (isKept === this.#isKept) return;
    this.#isKept = isKept;
    if (isKept) this.#network.keeper.hold();
    else this.#network.keeper.release();
  }

  hasRef(): boolean {
    return this.#hasRef;
  }

  isClosing(): boolean {
    return this.#isClosed;
  }

  open(): number {
    return EINVAL; // descriptors are the kernel's
  }

  // --- options ---

  setNoDelay(): number {
    return 0; // nothing is ever delayed: a turn's bytes go out with it
  }

  setKeepAlive(on: boolean, delay = 0, interval?: number, count?: number): number {
    const idleMs = on ? Math.max(1, delay) * 1000 : 0;
    this.#conduit?.keepalive(idleMs, interval ? interval * 1000 : undefined, count || undefined);
    return 0;
  }

  /** The upper six bits are the DiffServ code point; the rest is ECN's, which is TCP's own. */
  setTypeOfService(trafficClass: number): number {
    this.#trafficClass = trafficClass;
    this.#conduit?.mark(trafficClass >> 2);
    return 0;
  }

  getTypeOfService(): number {
    return this.#trafficClass;
  }

  setSimultaneousAccepts(): void {}

  setBlocking(): number {
    return 0;
  }

  // --- names ---

  bind(address: string, port: number, flags = 0): number {
    return this.#bind({ address, port, family: 4 }, flags);
  }

  bind6(address: string, port: number, flags = 0): number {
    return this.#bind({ address, port, family: 6 }, flags);
  }

  #bind(at: Endpoint, flags: number): number {
    if (this.#bound !== undefined) return EINVAL;
    const [isOnly6, isReused] = [(flags & IPV6_ONLY) !== 0, (flags & REUSE_PORT) !== 0];
    const bound = this.#network.bind({ ...at, isOnly6, isReused });
    if (typeof bound === 'number') {
      this.#bindStatus = bound;
      return bound;
    }
    this.#bound = bound;
    this.#isBinder = true;
    return 0;
  }

  getsockname(out: Named): number {
    const conduit = this.#conduit;
    if (conduit !== undefined && conduit.localAddress !== '') {
      return this.#name(out, conduit.localAddress, conduit.localPort);
    }
    if (this.#bound === undefined) return EBADF;
    const { address, family, port } = this.#bound;
    Object.assign(out, { address, family: `IPv${family}`, port });
    return 0;
  }

  getpeername(out: Named): number {
    const conduit = this.#conduit;
    if (conduit === undefined || conduit.remoteAddress === '') return ENOTCONN;
    return this.#name(out, conduit.remoteAddress, conduit.remotePort);
  }

  /** One that was accepted by who listens on :: is an IPv6 socket, whoever its peer is. */
  #name(out: Named, address: string, port: number): number {
    const is6 = address.includes(':');
    const isMapped = !is6 && this.#bound?.family === 6;
    const family = is6 || isMapped ? 'IPv6' : 'IPv4';
    Object.assign(out, { address: isMapped ? `::ffff:${address}` : address, family, port });
    return 0;
  }

  // --- listening ---

  listen(backlog: number): number {
    if (this.#bindStatus !== 0) return this.#bindStatus;
    if (this.#bound === undefined) {
      const status = this.bind('0.0.0.0', 0);
      if (status !== 0) return status;
    }
    this.inward.context = AsyncLocalStorage.snapshot() as Context;
    this.#listening = this.#network.listen(this.#bound!, Math.max(1, backlog), this);
    this.#keep();
    return 0;
  }

  /** Stands on `conduit` from now on. */
  take(conduit: Conduit): void {
    this.#conduit = conduit;
    conduit.above = this;
  }

  accepted(conduit: Conduit): void {
    if (this.#isClosed) return conduit.abort();
    const handle = new Handle(this.#network);
    handle.#bound = this.#bound;
    handle.take(conduit);
    this.inward.context!(() => this.onconnection(0, handle));
  }

  /** Whether peers are heard: net.js is to believe so only then. */
  get isUp(): boolean {
    return this.#listening?.isUp ?? false;
  }

  /** By install.ts: to be told when it is heard, or cannot be, or is closed before. */
  onlistening: ((outcome: 'up' | 'closed' | Error) => void) | undefined;

  listening(status: number): void {
    const { onlistening } = this;
    this.onlistening = undefined;
    if (this.#isClosed || onlistening === undefined) return;
    const { address, port } = this.#bound!;
    const outcome = status === 0 ? 'up' : systemError(status, 'listen', address, port);
    this.inward.context!(() => onlistening(outcome));
  }

  // --- connecting ---

  connect(request: ConnectRequest, address: string, port: number): number {
    return this.#connect(request, { address, port, family: 4 });
  }

  connect6(request: ConnectRequest, address: string, port: number): number {
    return this.#connect(request, { address, port, family: 6 });
  }

  #connect(request: ConnectRequest, asked: Endpoint): number {
    if (this.#bindStatus !== 0) return this.#bindStatus;
    const to = { ...asked, address: NOWHERE[asked.address] ?? asked.address };
    const answer = this.#network.connect(to, this.#bound, this);
    if (typeof answer === 'number') return answer;
    this.#conduit = answer;
    this.#connecting = request;
    this.inward.context = AsyncLocalStorage.snapshot() as Context;
    if (this.#trafficClass !== 0) answer.mark(this.#trafficClass >> 2);
    this.#keep();
    return 0;
  }

  connected(status: number): void {
    const request = this.#connecting;
    if (request === undefined) return;
    this.#connecting = undefined;
    if (status !== 0) this.#conduit = undefined;
    this.#keep();
    const { oncomplete } = request;
    if (oncomplete === undefined) return; // happy eyeballs have given it up
    this.inward.context!(() => oncomplete(status, this, request, true, true));
    // Its socket says so in the next tick.
    if (status !== 0) advise((this as unknown as Owned)[node.owner]?.errored);
  }

  // --- reading ---

  readStart(): number {
    this.inward.start(this.#conduit);
    this.#keep();
    return 0;
  }

  readStop(): number {
    this.inward.stop(this.#conduit);
    this.#keep();
    return 0;
  }

  /** The same by C++. */
  onreadstart(): number {
    return this.readStart();
  }

  onreadstop(): number {
    return this.readStop();
  }

  useUserBuffer(buffer: Uint8Array): void {
    this.inward.useUserBuffer(buffer);
  }

  arrived(memory: Buffer, offset: number, length: number): void {
    if (!this.inward.isReading) this.#conduit?.pause();
    this.inward.arrived(memory, offset, length);
  }

  ended(): void {
    this.inward.ended();
    this.#keep();
  }

  // --- writing ---

  /** 0, or why nothing can be written. */
  get #refusal(): number {
    if (this.#conduit !== undefined && !this.#outward.hasShutDown) return 0;
    return this.#isClosed ? EBADF : EPIPE;
  }

  /** What waits holds the event loop. */
  #asked(answer: unknown): unknown {
    if (answer !== 0) this.#keep();
    return answer;
  }

  #writeText(text: string, encoding: TextEncoding): unknown {
    const refusal = this.#refusal;
    if (refusal !== 0) return refusal;
    return this.#asked(this.#outward.writeText(this.#conduit!, text, encoding));
  }

  writeBuffer(_request: null, bytes: Uint8Array): unknown {
    return this.#refusal || this.#asked(this.#outward.write(this.#conduit!, bytes));
  }

  writeUtf8String(_request: null, text: string): unknown {
    return this.#writeText(text, 'utf8');
  }

  writeLatin1String(_request: null, text: string): unknown {
    return this.#writeText(text, 'latin1');
  }

  writeAsciiString(_request: null, text: string): unknown {
    return this.#writeText(text, 'latin1');
  }

  writeUcs2String(_request: null, text: string): unknown {
    return this.#writeText(text, 'ucs2');
  }

  writev(_request: null, chunks: readonly unknown[], isAllBuffers: boolean): unknown {
    const refusal = this.#refusal;
    if (refusal !== 0) return refusal;
    return this.#asked(this.#outward.writeChunks(this.#conduit!, chunks, isAllBuffers));
  }

  /** From C++, which is always answered later. */
  onwrite(request: NativeRequest, buffers: readonly Uint8Array[]): number {
    const done = (status: number): void => this.finishWrite(request, status);
    const refusal = this.#refusal;
    if (refusal !== 0) process.nextTick(done, refusal);
    else this.#outward.writeNative(this.#conduit!, buffers, done);
    return 0;
  }

  drained(): void {
    if (this.#conduit !== undefined) this.#outward.drained(this.#conduit);
    this.#keep();
  }

  shutdown(request: ShutdownRequest): number {
    if (this.#conduit === undefined) return ENOTCONN;
    this.#outward.shutdown(this.#conduit, (status) => request.oncomplete(status));
    return 0;
  }

  onshutdown(request: NativeRequest): number {
    const done = (status: number): void => this.finishShutdown(request, status);
    if (this.#conduit === undefined) process.nextTick(done, ENOTCONN);
    else this.#outward.shutdown(this.#conduit, done);
    return 0;
  }

  // --- the end ---

  died(status: number): void {
    this.#conduit = undefined;
    this.#keep();
    if (this.#connecting !== undefined) return this.connected(status || ECANCELED);
    if (status === 0) {
      this.#outward.cancel();
      return this.inward.ended();
    }
    this.#outward.cancel(status);
    this.inward.failed(status);
  }

  close(callback?: () => void): void {
    if (this.#isClosed) {
      if (callback) this.#network.closing.later(() => callback.call(this));
      return;
    }
    this.#isClosed = true;
    this.#keep();
    const [conduit, request] = [this.#conduit, this.#connecting];
    this.#conduit = this.#connecting = undefined;
    this.inward.close();
    this.#listening?.close();
    this.onlistening?.('closed');
    this.onlistening = undefined;
    if (this.#isBinder) this.#network.unbind(this.#bound!);
    if (request === undefined) conduit?.close();
    else conduit?.abort();
    this.#network.closing.later(() => {
      this.#outward.cancel();
      request?.oncomplete?.(ECANCELED, this, request, true, true);
      callback?.call(this);
    });
  }

  reset(callback?: () => void): number {
    if (this.#isClosed) return EBADF;
    const conduit = this.#conduit;
    this.#conduit = undefined;
    conduit?.abort();
    this.close(callback);
    return 0;
  }
}
