/**
 * One connection as an application sees it: bytes come in by `Handlers.received`, go out by `send` or `write`.
 *
 * - Objects are pooled and reused; `id` is small and dense, so that applications can keep their own state in
 *   arrays. After `closed` the object belongs to somebody else.
 * - `send` copies nothing: the bytes must not change until `released(tag)`. `write` copies into libix's blocks.
 * - Nothing is allocated per message. Fields are int32.
 * - The protocol between a connection and the dataplane (which call when) is in session.ts.
 */
import { formatWords } from './address.ts';
import type { Session } from './session.ts';

export interface Handlers {
  /** Accepted, or connected. */
  opened?(c: Connection): void;
  /**
   * Bytes arrived at arena offset `offset`. Returns how many were consumed (0..length); the rest comes again,
   * with more behind it and contiguous (up to 8 KiB are gathered).
   */
  received(c: Connection, offset: number, length: number): number;
  /** The peer calls the next `bytes` bytes that come urgent; they come in line (RFC 6093: nothing new should use it). */
  urgent?(c: Connection, bytes: number): void;
  /** A span sent with this tag is acknowledged, or the connection died. Exactly once per tagged send. */
  released?(c: Connection, tag: number): void;
  /** Everything sent has been acknowledged. */
  drained?(c: Connection): void;
  /** The peer has closed its side. Default: close ours after what is queued. */
  ended?(c: Connection): void;
  /** The connection is gone; `reason` is one of abi.ts DEAD. */
  closed?(c: Connection, reason: number): void;
}

/** With more bytes queued a connection is not `writable`, and gets no more input (but: `readsWhileBlocked`). */
export const HIGH_WATER_BYTES = 262_144;

/** Where a connection stands, as libix sees it. */
export const PHASE = { free: 0, connecting: 1, open: 2, closing: 3 } as const;

export class Connection {
  readonly id: number;
  /** The application's own. */
  state: unknown = undefined;
  handlers: Handlers;
  /** The peer: an IPv4 address as a big-endian integer (int32), or the last word of an IPv6 address; and its port. */
  remoteAddress = 0;
  /** The words before it: 0, 0, 0xffff for IPv4. */
  remote0 = 0;
  remote1 = 0;
  remote2 = 0;
  remotePort = 0;
  readonly #session: Session;

  // --- libix's own fields; session.ts is their only writer ---
  phase: number = PHASE.free;
  handle = 0;
  wants = 0;
  isDirty = false;
  nextDirty = -1;
  /** Received bytes consumed, not yet told to the dataplane. */
  consumed = 0;
  isPaused = false;
  /**
   * The application's own, to be set in `opened`: input comes also while the connection is not `writable`.
   *
   * - False is right where input makes output, as in a server: who does not take its answers is not read.
   * - Where both ends stream on their own account one must set it, better both: with both queues full neither would
   *   read, and neither queue would ever drain.
   */
  readsWhileBlocked = false;
  /** Span queue: first unacknowledged node, last node, first node with unsent bytes, bytes of it already accepted. */
  sendHead = -1;
  sendTail = -1;
  sendCursor = -1;
  sendCursorDone = 0;
  /** Bytes of the head node already acknowledged. */
  headAcked = 0;
  queuedBytes = 0;
  /** Spans in the queue, blocks of ours included: no connection holds more than are free. */
  spanCount = 0;
  inFlight = 0;
  /** A sendv is at the gate; its result comes with the next batch. */
  sendPending = false;
  /** The dataplane took less than asked: wait for `sent`. */
  isBlocked = false;
  /** libix had no block or span for it: no more input until some come back. */
  isStarved = false;
  /** Starved: the blocks it lacked; 0: a span. */
  missing = 0;
  /** The dataplane took nothing, and nothing is on the way whose `sent` would be the time to ask again. */
  isHungry = false;
  /** Received spans not yet handed to the application. */
  pendingHead = -1;
  pendingTail = -1;
  gatherBlock = -1;
  gatherLength = 0;
  /** Neighbours in the list of those that hold a gather block, oldest first: connection ids. */
  gatherOlder = -1;
  gatherYounger = -1;
  hasEnded = false;
  endedTold = false;
  hasShutDown = false;
  keepaliveMs = 0;
  userTimeoutMs = 0;
  hops = 0;
  codePoint = 0;

  constructor(session: Session, id: number, handlers: Handlers) {
    this.#session = session;
    this.id = id;
    this.handlers = handlers;
  }

  /** The peer's address as text: for messages, it allocates. */
  get remoteText(): string {
    return formatWords([this.remote0, this.remote1, this.remote2, this.remoteAddress]);
  }

  /** Whether more may be sent before the peer has taken what is queued. */
  get writable(): boolean {
    return this.queuedBytes < HIGH_WATER_BYTES && !this.isStarved;
  }

  get isOpen(): boolean {
    return this.phase === PHASE.open;
  }

  /** Whether received bytes may be handed over now. */
  get mayRead(): boolean {
    return !this.isPaused && (this.writable || this.readsWhileBlocked);
  }

  /**
   * Queues bytes of application memory without copying; they must not change until `released(tag)` (tag 0: never
   * told). Returns false, and queues nothing, when the connection is closing or libix has no span left.
   */
  send(offset: number, length: number, tag = 0): boolean {
    return this.#session.send(this, offset, length, tag);
  }

  /** Queues a copy of bytes from anywhere in the arena. False when nothing was queued (see `send`). */
  write(offset: number, length: number): boolean {
    return this.#session.write(this, offset, length);
  }

  /** Convenience: queues text as UTF-8. Allocates. */
  writeText(text: string): boolean {
    return this.#session.writeBytes(this, new TextEncoder().encode(text));
  }

  /** Closes gracefully: FIN after what is queued. Further input is dropped. */
  close(): void {
    this.#session.close(this);
  }

  /** Half-close: FIN after what is queued, while input goes on. */
  end(): void {
    this.#session.end(this);
  }

  /** Asks the peer after `idleMs` without traffic whether it is still there; 0: never (the default). */
  keepalive(idleMs: number): void {
    this.keepaliveMs = idleMs;
    this.#session.keepalive(this);
  }

  /** Gives the connection up when the peer has acknowledged nothing for so long; 0: after the usual retries. */
  userTimeout(ms: number): void {
    this.userTimeoutMs = ms;
    this.#session.userTimeout(this);
  }

  /**
   * What routers read on our packets from the next batch on: DiffServ code point (0..63, RFC 2474), and TTL or hop limit
   * (1..255; 0: the usual 64). Throws RangeError.
   */
  mark(codePoint: number, hops = 0): void {
    if (!(codePoint >= 0 && codePoint <= 63)) throw new RangeError(`code point ${codePoint}`);
    if (!(hops >= 0 && hops <= 255)) throw new RangeError(`hop limit ${hops}`);
    this.codePoint = codePoint | 0;
    this.hops = hops | 0;
    this.#session.marking(this);
  }

  /** Resets the connection now. */
  abort(): void {
    this.#session.abort(this);
  }

  /** Hands over no more input until `resume`; the window closes when the peer goes on. */
  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.#session.resume(this);
  }

  /** Ready for its next use; session.ts only. */
  reset(): void {
    this.phase = PHASE.free;
    this.state = undefined;
    this.handle = 0;
    this.wants = 0;
    this.consumed = 0;
    this.sendCursor = -1;
    this.sendCursorDone = 0;
    this.isPaused = false;
    this.readsWhileBlocked = false;
    this.sendPending = false;
    this.isBlocked = false;
    this.isStarved = false;
    this.isHungry = false;
    this.hasEnded = false;
    this.endedTold = false;
    this.hasShutDown = false;
    this.keepaliveMs = 0;
    this.userTimeoutMs = 0;
    this.hops = 0;
    this.codePoint = 0;
  }
}
