/**
 * libix in memory, for the store's tests: an arena, connections that a test feeds and reads, a
 * clock it sets.
 *
 * - Bytes are delivered at varying alignments and their memory is overwritten after the handler
 *   returned.
 * - What a handler leaves is gathered: it comes again in front of what follows, and more than 8 KiB
 *   left by a writable connection is an error (libix would abort it).
 * - `send` keeps a copy; `acknowledge` checks that the memory still holds the same bytes, and only
 *   then releases it.
 * - `roomFor` limits how many spans a connection may queue: above it send and write return false
 *   and the connection is not writable until something is acknowledged, as libix does when it is
 *   short of spans.
 */
import assert from 'node:assert/strict';
import type { KvConnection, KvHandlers, KvHost } from '../../../src/apps/kv/host.ts';
import { kernelsOver } from '../../../src/wire/kernels.ts';

const GATHER_BYTES = 8192;
const POOL_BYTES = 4 * 2 ** 20;
const POISON = 0xdd;

interface SentSpan {
  offset: number;
  tag: number;
  bytes: Buffer;
}

export interface FakeOptions {
  mebibytes?: number;
  highWater?: number;
  roomFor?: number;
  flows?: number;
  /** false: the dataplane refuses `timer` (a quota); `every` is there already. */
  hasTimers?: boolean;
}

export class FakeIx implements KvHost {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  readonly kernels: ReturnType<typeof kernelsOver>;
  readonly highWater: number;
  readonly roomFor: number;
  readonly connections: FakeConnection[] = [];
  readonly ticks: (() => void)[] = [];
  readonly flows: number;
  readonly pid = 4242;
  /** As FakeOptions; may change. */
  hasTimers: boolean;
  #timers: { atMs: number; intervalMs: number; callback: () => void }[] = [];
  handlers!: KvHandlers;
  port = 0;
  ms = 0;
  #next: number;
  #ids = 0;

  constructor(options: FakeOptions = {}) {
    const bytes = (options.mebibytes ?? 80) * 2 ** 20 + POOL_BYTES;
    const pages = Math.ceil(bytes / 65_536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.u8 = new Uint8Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.kernels = kernelsOver(memory);
    this.highWater = options.highWater ?? 262_144;
    this.roomFor = options.roomFor ?? Number.POSITIVE_INFINITY;
    this.flows = options.flows ?? 1024;
    this.hasTimers = options.hasTimers ?? true;
    this.#next = POOL_BYTES;
  }

  get applicationFree(): number {
    return this.u8.length - this.#next;
  }

  alloc(bytes: number, alignment = 8): number {
    const offset = Math.ceil(this.#next / alignment) * alignment;
    assert.ok(offset + bytes <= this.u8.length, 'fake: application memory is full');
    this.#next = offset + bytes;
    return offset;
  }

  text(constant: string): { offset: number; length: number } {
    const bytes = Buffer.from(constant, 'latin1');
    const offset = this.alloc(bytes.length);
    this.u8.set(bytes, offset);
    return { offset, length: bytes.length };
  }

  nowMs(): number {
    return this.ms | 0;
  }

  /** Moves the clock; the store notices at the next delivery. */
  advance(seconds: number): void {
    this.ms += Math.round(seconds * 1000);
  }

  listen(port: number, handlers: KvHandlers): void {
    this.port = port;
    this.handlers = handlers;
  }

  every(intervalUs: number, callback: () => void): void {
    assert.ok(intervalUs < 2 ** 31, 'fake: a timer is an int32 of microseconds');
    this.ticks.push(callback);
    const intervalMs = intervalUs / 1000;
    this.#timers.push({ atMs: this.ms + intervalMs, intervalMs, callback });
  }

  timer(delayUs: number, callback: () => void): void {
    if (!this.hasTimers) return;
    this.#timers.push({ atMs: this.ms + delayUs / 1000, intervalMs: 0, callback });
  }

  /** Lets virtual time pass, timer by timer. */
  run(seconds: number): void {
    const end = this.ms + seconds * 1000;
    for (;;) {
      const due = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (!due || due.atMs > end) break;
      this.ms = Math.max(this.ms, due.atMs);
      if (due.intervalMs > 0) due.atMs += due.intervalMs;
      else this.#timers = this.#timers.filter((timer) => timer !== due);
      due.callback();
    }
    this.ms = end;
  }

  connect(): FakeConnection {
    const free = this.connections.find((c) => !c.isOpen);
    const c = new FakeConnection(this, free ? free.id : this.#ids++);
    if (free) this.connections[this.connections.indexOf(free)] = c;
    else this.connections.push(c);
    this.handlers.opened(c);
    return c;
  }

  /** Puts bytes into the receive pool for the time of one call. */
  lend(bytes: Uint8Array, use: (offset: number) => number): number {
    const offset = 4096 + ((this.#lent = (this.#lent + 1) & 15) | 0);
    assert.ok(bytes.length < POOL_BYTES - 8192, 'fake: delivery too large');
    this.u8.set(bytes, offset);
    const used = use(offset);
    this.u8.fill(POISON, offset, offset + bytes.length);
    return used;
  }
  #lent = 0;

  /** Everything on the way arrives, on every connection. */
  acknowledgeAll(): void {
    for (const c of this.connections) c.acknowledge();
  }

  endAll(): void {
    for (const c of this.connections) c.die();
  }
}

export class FakeConnection implements KvConnection {
  readonly id: number;
  isOpen = true;
  /** The store asked for a graceful close, or for a reset. */
  isClosing = false;
  isAborted = false;
  /** Acknowledge whatever is sent as soon as the handler returns. */
  isEager = true;
  midRequest = false;
  queuedBytes = 0;
  readonly #ix: FakeIx;
  readonly #sent: SentSpan[] = [];
  #input: Buffer = Buffer.alloc(0);
  #output: Buffer[] = [];
  #isStarved = false;
  #isPaused = false;

  constructor(ix: FakeIx, id: number) {
    this.#ix = ix;
    this.id = id;
  }

  get writable(): boolean {
    return this.queuedBytes < this.#ix.highWater && !this.#isStarved;
  }

  /** Bytes the store has not consumed. */
  get waiting(): number {
    return this.#input.length;
  }

  get spansQueued(): number {
    return this.#sent.length;
  }

  /** Spans that were sent from where the store has them. */
  get pinnedSpans(): number {
    return this.#sent.filter((span) => span.tag > 0).length;
  }

  send(offset: number, length: number, tag = 0): boolean {
    assert.ok(length > 0 && offset > 0 && offset + length <= this.#ix.u8.length, 'fake: bad span');
    if (!this.isOpen || this.isClosing || this.isAborted) return false;
    if (this.#sent.length >= this.#ix.roomFor) {
      this.#isStarved = true;
      return false;
    }
    const bytes = Buffer.from(this.#ix.u8.slice(offset, offset + length));
    this.#sent.push({ offset, tag, bytes });
    this.queuedBytes += length;
    return true;
  }

  write(offset: number, length: number): boolean {
    if (!this.isOpen || this.isClosing || this.isAborted) return false;
    return this.#queue(Buffer.from(this.#ix.u8.slice(offset, offset + length)));
  }

  #queue(bytes: Buffer): boolean {
    if (this.#sent.length >= this.#ix.roomFor) {
      this.#isStarved = true;
      return false;
    }
    this.#sent.push({ offset: 0, tag: 0, bytes });
    this.queuedBytes += bytes.length;
    return true;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    if (this.isOpen) this.#pump();
  }

  close(): void {
    this.isClosing = true;
  }

  abort(): void {
    this.isAborted = true;
  }

  /** One stretch of bytes arrives behind what was left. */
  deliver(bytes: Uint8Array | string): void {
    const added = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    this.#input = Buffer.concat([this.#input, added]);
    this.#pump();
  }

  /** The same in pieces of at most `size` bytes. */
  deliverInPieces(bytes: Uint8Array | string, size: number): void {
    const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    for (let at = 0; at < all.length; at += size) this.deliver(all.subarray(at, at + size));
  }

  get #mayRead(): boolean {
    return !this.#isPaused && (this.writable || this.midRequest);
  }

  #pump(): void {
    while (this.#input.length > 0 && this.#mayRead && this.isOpen) {
      if (this.isClosing || this.isAborted) {
        this.#input = Buffer.alloc(0);
        return;
      }
      const input = this.#input;
      const used = this.#ix.lend(input, (offset) =>
        this.#ix.handlers.received(this, offset, input.length),
      );
      assert.ok(used >= 0 && used <= input.length, 'received: consumed more than there was');
      this.#input = input.subarray(used);
      const isBlocked = !this.writable;
      if (this.isEager) this.acknowledgeQuietly();
      if (isBlocked && (used > 0 || this.writable)) continue;
      if (this.#input.length > 0 && !this.#isPaused && (!isBlocked || this.midRequest)) {
        assert.ok(this.#input.length <= GATHER_BYTES, 'received: left more than libix gathers');
      }
      return;
    }
  }

  /** The peer acknowledges the first `spans` spans; a blocked connection goes on with its input. */
  acknowledge(spans = Number.POSITIVE_INFINITY): void {
    this.acknowledgeQuietly(spans);
    if (this.isOpen) this.#pump();
  }

  acknowledgeQuietly(spans = Number.POSITIVE_INFINITY): void {
    for (const span of this.#sent.splice(0, spans)) {
      if (span.offset > 0) {
        const now = this.#ix.u8.subarray(span.offset, span.offset + span.bytes.length);
        assert.ok(span.bytes.equals(now), 'memory changed before it was released');
      }
      this.#output.push(span.bytes);
      this.queuedBytes -= span.bytes.length;
      this.#isStarved = false;
      if (span.tag > 0) this.#ix.handlers.released(this, span.tag);
    }
  }

  /** What the peer has read since the last call, as latin1. */
  output(): string {
    const all = Buffer.concat(this.#output).toString('latin1');
    this.#output = [];
    return all;
  }

  /** One request as one stretch; its whole answer. */
  ask(bytes: Uint8Array | string): string {
    this.deliver(bytes);
    this.acknowledge();
    return this.output();
  }

  /** The connection ends, however it stood: what was sent is released first. */
  die(): void {
    if (!this.isOpen) return;
    for (const span of this.#sent.splice(0)) {
      if (span.tag > 0) this.#ix.handlers.released(this, span.tag);
    }
    this.#ix.handlers.closed(this, 0);
    this.isOpen = false;
  }
}
