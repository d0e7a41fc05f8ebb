/**
 * The protocol between connections and the dataplane: which call is made when, and what each event does.
 *
 * - Handlers only mark a connection dirty; at the end of a batch `flushDirty` writes, per connection, at most one
 *   accept or connect, one coalesced sendv that says what was received too (without anything to send: one recv_done), and
 *   one close or abort.
 * - The result of a sendv comes with the next batch; a prefix may have been accepted.
 * - `dead` ends a connection exactly once; its object is reused afterwards.
 *
 * Called by Ix (dispatch) and Connection. Read first: src/abi.ts, OSDI'14 section 4.3.
 */
import { CALL, CALL_RESULT, CODE, DEAD, SENDV_DONE } from '../abi.ts';
import { CALLS_MAX } from '../limits.ts';
import { Columns } from './columns.ts';
import { Connection, type Handlers, PHASE } from './connection.ts';
import { Inbox } from './inbox.ts';
import type { ApplicationMemory } from './memory.ts';
import { type ArenaAccess, Outbox } from './outbox.ts';
import type { RawGate } from './raw.ts';
import { SpanNodes } from './spans.ts';

const WANTS_ACCEPT = 1;
const WANTS_CONNECT = 2;
const WANTS_CLOSE = 4;
const WANTS_ABORT = 8;
const WANTS_SHUTDOWN = 16;
const WANTS_KEEPALIVE = 32;
const WANTS_USER_TIMEOUT = 64;
const WANTS_MARKING = 128;

/** Hungry connections that are asked again in one batch. */
const HUNGRY_MAX = 16;

export interface SessionSizes {
  /** Spans sent and not acknowledged, all connections. */
  spans: number;
  /** Spans received and held back: one for each receive frame is enough. */
  receiveSpans: number;
  sendBlocks: number;
  gatherBlocks: number;
}

export class Session {
  readonly #gate: RawGate;
  readonly #sendNodes: SpanNodes;
  readonly #receiveNodes: SpanNodes;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  /** With room for all that the dataplane gives: an array that grows leaves its smaller ones behind. */
  readonly #connections: Connection[];
  #made = 0;
  readonly columns: Columns;
  readonly #freeIds: number[] = [];
  readonly #starved: number[] = [];
  /** Connections whose sendv is to be repeated when others have given something back, oldest first. */
  readonly #hungry: number[] = [];
  /** An event of this batch has given something back to the dataplane: bytes were acknowledged, or a flow died. */
  #hasReleased = false;
  /** Connection of each call of the batch at the gate. */
  readonly #owners = new Int32Array(CALLS_MAX).fill(-1);
  #dirtyHead = -1;
  #dirtyTail = -1;
  #openCount = 0;
  readonly #wake: () => void;

  constructor(
    gate: RawGate,
    arena: ArenaAccess,
    memory: ApplicationMemory,
    sizes: SessionSizes,
    flows: number,
    wake: () => void,
  ) {
    this.#gate = gate;
    this.#connections = new Array(flows);
    this.columns = new Columns(flows);
    this.#sendNodes = new SpanNodes(sizes.spans);
    this.#receiveNodes = new SpanNodes(sizes.receiveSpans);
    this.#outbox = new Outbox(arena, this.#sendNodes, memory, sizes.sendBlocks);
    this.#inbox = new Inbox(this, arena, this.#receiveNodes, memory, sizes.gatherBlocks);
    this.#wake = wake;
  }

  get openCount(): number {
    return this.#openCount;
  }

  /** True when no connection borrows a node or a block: tests end with it. */
  allHome(): boolean {
    const [sent, held] = [this.#sendNodes, this.#receiveNodes];
    const isNodesHome = sent.free === sent.count && held.free === held.count;
    return isNodesHome && this.#outbox.allHome() && this.#inbox.allHome();
  }

  byId(id: number): Connection {
    return this.#connections[id]!;
  }

  byCookie(cookie: number): Connection | undefined {
    return this.#connections[cookie - 1];
  }

  /** A flow knocked: takes it. `address`: of four words. */
  accept(handle: number, address: number, port: number, handlers: Handlers): void {
    const c = this.#take(handlers, port);
    c.setRemote(this.#gate.i32, address);
    c.phase = PHASE.open;
    c.handle = handle;
    c.wants = WANTS_ACCEPT;
    this.#markDirty(c);
    handlers.opened?.(c);
  }

  /** `address` is four words (abi.ts), `ports` local << 16 | remote; it opens or dies later. */
  connect(address: ArrayLike<number>, ports: number, handlers: Handlers): Connection {
    const c = this.#take(handlers, ports);
    c.setRemote(address);
    c.phase = PHASE.connecting;
    c.wants = WANTS_CONNECT;
    this.#markDirty(c);
    return c;
  }

  connected(c: Connection): void {
    if (c.phase !== PHASE.connecting) return;
    c.phase = PHASE.open;
    c.remotePort &= 0xffff;
    if (c.queuedBytes > 0) this.#markDirty(c);
    c.handlers.opened?.(c);
  }

  #take(handlers: Handlers, port: number): Connection {
    this.#openCount = (this.#openCount + 1) | 0;
    const id = this.#freeIds.pop() ?? this.#made;
    if (id === this.#made) {
      this.#made = (id + 1) | 0;
      this.columns.reach(id);
      this.#connections[id] = new Connection(this, id, handlers);
    }
    const c = this.#connections[id]!;
    c.handlers = handlers;
    c.remotePort = port;
    return c;
  }

  // --- receiving ---

  received(c: Connection, offset: number, length: number): void {
    this.#inbox.received(c, offset, length);
  }

  resume(c: Connection): void {
    c.isPaused = false;
    this.#inbox.resume(c);
    if (c.hasEnded && !c.endedTold) this.ended(c);
  }

  ended(c: Connection): void {
    c.hasEnded = true;
    if (c.pendingHead >= 0 || !c.isOpen) return;
    c.endedTold = true;
    if (c.handlers.ended) c.handlers.ended(c);
    else this.close(c);
  }

  /** So many received bytes are done with; told to the dataplane at the end of the batch. */
  consume(c: Connection, bytes: number): void {
    if (bytes === 0) return;
    c.consumed = (c.consumed + bytes) | 0;
    this.#markDirty(c);
  }

  // --- sending ---

  send(c: Connection, offset: number, length: number, tag: number): boolean {
    if (!this.#maySend(c)) return false;
    if (length <= 0) {
      if (tag > 0) c.handlers.released?.(c, tag);
      return true;
    }
    return this.#queued(c, this.#outbox.appendSpan(c, offset, length, tag));
  }

  write(c: Connection, offset: number, length: number): boolean {
    if (!this.#maySend(c)) return false;
    return this.#queued(c, this.#outbox.appendCopy(c, offset, length));
  }

  writeBytes(c: Connection, bytes: Uint8Array): boolean {
    if (!this.#maySend(c)) return false;
    return this.#queued(c, this.#outbox.appendBytes(c, bytes));
  }

  #maySend(c: Connection): boolean {
    return (c.phase === PHASE.open || c.phase === PHASE.connecting) && !c.hasShutDown;
  }

  /** Nothing was queued: the connection's input waits until blocks and spans have come back. */
  #queued(c: Connection, done: boolean): boolean {
    if (done) this.#markDirty(c);
    else if (!c.isStarved) {
      c.isStarved = true;
      this.#starved.push(c.id);
    }
    return done;
  }

  /** Once a batch: goes on with those starved connections that can have what they lacked, and with some hungry ones. */
  feedStarved(): void {
    if (this.#hasReleased && this.#hungry.length > 0) this.#askAgain();
    this.#hasReleased = false;
    const list = this.#starved;
    const count = list.length;
    if (count === 0) return;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const c = this.#connections[list[i]!]!;
      if (c.isStarved && !this.#outbox.isFed(c)) list[kept++] = c.id;
      else if (c.isStarved) this.#feed(c); // it may starve again: then it is behind the others
    }
    for (let i = count; i < list.length; i++) list[kept++] = list[i]!;
    list.length = kept;
  }

  #feed(c: Connection): void {
    c.isStarved = false;
    if (c.isOpen && !c.isPaused) this.resume(c);
    if (c.queuedBytes === 0 && c.isOpen && !c.isStarved) c.handlers.drained?.(c);
  }

  /**
   * A few of them a batch: each that gets something has a `sent` coming, with which the next ones are asked; and none is
   * asked while there is nothing new to have.
   */
  #askAgain(): void {
    const list = this.#hungry;
    const asked = Math.min(list.length, HUNGRY_MAX);
    for (let i = 0; i < asked; i++) {
      const c = this.#connections[list[i]!]!;
      if (!c.isHungry) continue;
      c.isHungry = c.isBlocked = false;
      this.#markDirty(c);
    }
    list.copyWithin(0, asked);
    list.length -= asked;
  }

  /** The peer acknowledged `bytes` more. */
  sent(c: Connection, bytes: number): void {
    this.#hasReleased = true;
    const wasWritable = c.writable;
    c.isBlocked = false;
    this.#outbox.acknowledged(c, bytes);
    if (this.#outbox.hasUnsent(c) || c.wants !== 0) this.#markDirty(c);
    if (c.queuedBytes === 0 && c.isOpen && !c.isStarved) c.handlers.drained?.(c);
    if (!wasWritable && c.isOpen && c.mayRead) this.resume(c);
  }

  // --- closing ---

  close(c: Connection): void {
    if (c.phase === PHASE.connecting) return this.abort(c);
    if (c.phase !== PHASE.open) return;
    c.phase = PHASE.closing;
    c.wants |= WANTS_CLOSE;
    this.#inbox.drop(c);
    this.#markDirty(c);
  }

  /** FIN after what is queued; input goes on. */
  end(c: Connection): void {
    if (c.phase !== PHASE.open || c.hasShutDown) return;
    c.hasShutDown = true;
    c.wants |= WANTS_SHUTDOWN;
    this.#markDirty(c);
  }

  keepalive(c: Connection): void {
    if (c.phase === PHASE.free) return;
    c.wants |= WANTS_KEEPALIVE;
    this.#markDirty(c);
  }

  userTimeout(c: Connection): void {
    if (c.phase === PHASE.free) return;
    c.wants |= WANTS_USER_TIMEOUT;
    this.#markDirty(c);
  }

  marking(c: Connection): void {
    if (c.phase === PHASE.free) return;
    c.wants |= WANTS_MARKING;
    this.#markDirty(c);
  }

  abort(c: Connection): void {
    if (c.phase === PHASE.free) return;
    c.phase = PHASE.closing;
    c.wants = (c.wants & ~WANTS_CLOSE) | WANTS_ABORT;
    this.#inbox.drop(c);
    this.#markDirty(c);
  }

  /** The flow is gone: everything it held comes back, the object is free again. */
  dead(c: Connection, reason: number): void {
    if (c.phase === PHASE.free) return;
    this.#hasReleased = true;
    c.phase = PHASE.closing;
    this.#inbox.drop(c);
    this.#outbox.releaseAll(c);
    c.handlers.closed?.(c, reason);
    c.reset();
    this.#openCount = (this.#openCount - 1) | 0;
    if (!c.isDirty) this.#freeIds.push(c.id); // a dirty one when the dirty list lets go of it
  }

  // --- the batch ---

  #markDirty(c: Connection): void {
    if (c.isDirty) return;
    c.isDirty = true;
    c.nextDirty = -1;
    if (this.#dirtyTail < 0) {
      this.#dirtyHead = c.id;
      this.#wake();
    } else this.#connections[this.#dirtyTail]!.nextDirty = c.id;
    this.#dirtyTail = c.id;
  }

  get hasDirty(): boolean {
    return this.#dirtyHead >= 0;
  }

  /** Writes the calls of every dirty connection, as far as the batch holds them. */
  flushDirty(): void {
    this.#outbox.startBatch();
    let id = this.#dirtyHead;
    this.#dirtyHead = this.#dirtyTail = -1;
    while (id >= 0) {
      const c = this.#connections[id]!;
      id = c.nextDirty;
      c.isDirty = false;
      if (c.phase === PHASE.free) this.#freeIds.push(c.id);
      else if (!this.#flush(c)) this.#markDirty(c);
    }
  }

  /** False when the batch is full: the connection stays dirty. */
  #flush(c: Connection): boolean {
    if (c.wants & WANTS_CONNECT) return this.#connectCall(c);
    if (c.handle === 0) return true; // `results` marks it again when the handle is known
    if (c.wants & WANTS_ACCEPT) {
      const w = this.#call(CALL.accept, c);
      if (w < 0) return false;
      this.#gate.i32[w + 2] = c.id + 1;
      c.wants &= ~WANTS_ACCEPT;
    }
    const isWaiting = c.phase === PHASE.connecting || c.sendPending || c.isBlocked;
    const sends = !isWaiting && (c.wants & WANTS_ABORT) === 0 && this.#outbox.hasUnsent(c);
    if (c.consumed > 0 && !sends && !this.#recvDoneCall(c)) return false;
    if (c.wants & WANTS_ABORT) return this.#endCall(CALL.abort, c, WANTS_ABORT);
    if (c.wants & WANTS_USER_TIMEOUT && !this.#userTimeoutCall(c)) return false;
    if (c.wants & WANTS_MARKING && !this.#markingCall(c)) return false;
    if (isWaiting) return true;
    if (c.wants & WANTS_KEEPALIVE && !this.#keepaliveCall(c)) return false;
    if (sends) return this.#sendvCall(c);
    if (c.wants & WANTS_SHUTDOWN && !this.#endCall(CALL.shutdown, c, WANTS_SHUTDOWN)) return false;
    return c.wants & WANTS_CLOSE ? this.#endCall(CALL.close, c, WANTS_CLOSE) : true;
  }

  #call(kind: number, c: Connection): number {
    const index = this.#gate.callCount;
    const w = this.#gate.call(kind, c.handle);
    if (w >= 0) this.#owners[index] = c.id;
    return w;
  }

  #endCall(kind: number, c: Connection, want: number): boolean {
    if (this.#call(kind, c) < 0) return false;
    c.wants &= ~want;
    return true;
  }

  #recvDoneCall(c: Connection): boolean {
    const w = this.#call(CALL.recv_done, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.consumed;
    c.consumed = 0;
    return true;
  }

  #keepaliveCall(c: Connection): boolean {
    const w = this.#call(CALL.keepalive, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.keepaliveMs;
    c.wants &= ~WANTS_KEEPALIVE;
    return true;
  }

  #userTimeoutCall(c: Connection): boolean {
    const w = this.#call(CALL.user_timeout, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.userTimeoutMs;
    c.wants &= ~WANTS_USER_TIMEOUT;
    return true;
  }

  #markingCall(c: Connection): boolean {
    const w = this.#call(CALL.marking, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.hops;
    this.#gate.i32[w + 3] = c.codePoint;
    c.wants &= ~WANTS_MARKING;
    return true;
  }

  #connectCall(c: Connection): boolean {
    const w = this.#call(CALL.connect, c);
    if (w < 0) return false;
    const i32 = this.#gate.i32;
    i32[w + 1] = c.id + 1;
    i32[w + 2] = c.remote0;
    i32[w + 3] = c.remote1;
    i32[w + 4] = c.remote2;
    i32[w + 5] = c.remoteAddress;
    i32[w + 6] = c.remotePort;
    c.wants &= ~WANTS_CONNECT;
    return true;
  }

  #sendvCall(c: Connection): boolean {
    const spans = this.#outbox.spansToSend(c);
    if (spans === 0) return false;
    const w = this.#call(CALL.sendv, c);
    if (w < 0) return false;
    this.#outbox.writeSendv(c, spans, w);
    this.#gate.i32[w + SENDV_DONE] = c.consumed;
    c.consumed = 0;
    c.sendPending = true;
    return true;
  }

  /** Reads the results of the last batch. */
  results(): void {
    const gate = this.#gate;
    const i32 = gate.i32;
    const count = gate.callCount;
    for (let i = 0; i < count; i++) {
      const owner = this.#owners[i]!;
      if (owner < 0) continue;
      this.#owners[i] = -1;
      const w = gate.callAt(i);
      const kind = i32[w]!;
      const result = i32[w + CALL_RESULT]!;
      const c = this.#connections[owner]!;
      if (kind === CALL.sendv) {
        if (result === CODE.QUOTA) this.consume(c, i32[w + SENDV_DONE]!); // not made, if still there
        this.#sendvResult(c, result);
      } else if (kind === CALL.recv_done && result === CODE.QUOTA) this.consume(c, i32[w + 2]!);
      else if (kind === CALL.connect) this.#connectResult(c, result);
      else if (kind === CALL.accept && result < 0) this.dead(c, DEAD.reset);
    }
  }

  #connectResult(c: Connection, result: number): void {
    if (result <= 0) {
      return this.dead(c, result === CODE.NO_ROUTE ? DEAD.unreachable : DEAD.refused);
    }
    c.handle = result;
    if (c.wants !== 0) this.#markDirty(c);
  }

  #sendvResult(c: Connection, result: number): void {
    if (c.phase === PHASE.free) return;
    c.sendPending = false;
    if (result > 0) this.#outbox.accepted(c, result);
    if (this.#outbox.hasUnsent(c)) {
      const isGone = result < 0 && result !== CODE.AGAIN && result !== CODE.QUOTA; // `dead` will come
      // With bytes on the way `sent` will come; without any, others must give something back first.
      c.isBlocked = true;
      if (!isGone && c.inFlight === 0 && !c.isHungry) {
        c.isHungry = true;
        this.#hungry.push(c.id);
      }
    } else if (c.wants !== 0) this.#markDirty(c);
  }
}
