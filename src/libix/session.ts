/**
 * The lives of connections: what each event and each wish of the application does to one, and when
 * it is over.
 *
 * - Handlers only mark a connection dirty; at the end of a batch `flushDirty` writes its calls
 *   (calls.ts).
 * - `dead` ends a connection exactly once. Its id is another's from the end of that batch on: a
 *   result or an event that is still on the way finds nobody. Events name the flow's handle too,
 *   and no later flow has the same.
 * - An id whose connection is over stands for `#nobody`, unless its handlers are `pooled`: then the
 *   object waits there for its next life.
 *
 * Called by ix.ts (dispatch), calls.ts and listeners.ts. Read first: src/gate/abi.ts, OSDI'14
 * section 4.3.
 */
import { CONNECTED, DEAD, KNOCK, WORD } from '../gate/abi.ts';
import { badBytes, badSpan, IxArgumentError, isInt, shown } from './arguments.ts';
import { Calls, refusalText, WANTS } from './calls.ts';
import { Columns } from './columns.ts';
import { HIGH_WATER_BYTES, LOW_WATER_BYTES } from './connection.ts';
import type { Faults } from './guard.ts';
import type { Handlers } from './handlers.ts';
import { Inbox } from './inbox.ts';
import { PHASE } from './inside.ts';
import { Life } from './life.ts';
import type { ApplicationMemory } from './memory.ts';
import { type ArenaAccess, Outbox } from './outbox.ts';
import type { RawGate } from './raw.ts';
import { SpanNodes } from './spans.ts';

/** Hungry connections that are asked again in one batch. */
const HUNGRY_MAX = 16;

/** The handlers of nobody. */
const DEAF: Handlers = { received: (_c, _offset, length) => length };

export interface SessionSizes {
  /** Spans sent and not acknowledged, all connections. */
  spans: number;
  /** Spans received and held back: one for each receive frame is enough. */
  receiveSpans: number;
  sendBlocks: number;
  gatherBlocks: number;
}

export interface SessionParts {
  readonly gate: RawGate;
  readonly arena: ArenaAccess;
  readonly memory: ApplicationMemory;
  readonly sizes: SessionSizes;
  /** Most connections that the dataplane gives. */
  readonly flows: number;
  readonly faults: Faults;
  wake(): void;
  /** Handlers as libix calls them (guard.ts). */
  guard(own: Handlers): Handlers;
}

export class Session {
  readonly #parts: SessionParts;
  readonly #memory: ApplicationMemory;
  readonly #arenaBytes: number;
  readonly #sendNodes: SpanNodes;
  readonly #receiveNodes: SpanNodes;
  readonly #outbox: Outbox;
  readonly #inbox: Inbox;
  /**
   * With room for all that the dataplane gives: an array that grows leaves its smaller ones behind.
   */
  readonly #connections: Life[];
  readonly #nobody: Life;
  readonly #calls: Calls;
  #made = 0;
  readonly columns: Columns;
  readonly #freeIds: number[] = [];
  readonly #starved: number[] = [];
  /**
   * Connections whose sendv is to be repeated when others have given something back, oldest first.
   */
  readonly #hungry: number[] = [];
  /**
   * An event of this batch has given something back to the dataplane: bytes were acknowledged, or a
   * flow died.
   */
  #hasReleased = false;
  #dirtyHead = -1;
  #dirtyTail = -1;
  #openCount = 0;

  constructor(parts: SessionParts) {
    const { gate, arena, memory, sizes, flows, faults } = parts;
    this.#parts = parts;
    this.#memory = memory;
    this.#arenaBytes = arena.u8.length;
    this.#nobody = new Life(this, -1, DEAF);
    this.#connections = new Array(flows);
    this.columns = new Columns(flows);
    this.#sendNodes = new SpanNodes(sizes.spans);
    this.#receiveNodes = new SpanNodes(sizes.receiveSpans);
    this.#outbox = new Outbox(arena, this.#sendNodes, memory, sizes.sendBlocks);
    const { gatherBlocks } = sizes;
    this.#inbox = new Inbox(this, arena, this.#receiveNodes, memory, gatherBlocks, faults);
    this.#calls = new Calls(this, gate, this.#outbox, faults);
  }

  guard(own: Handlers): Handlers {
    return this.#parts.guard(own);
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

  byId(id: number): Life {
    return this.#connections[id]!;
  }

  /** The connection that an event is about, if it is still that flow's. */
  byCookie(cookie: number, handle: number): Life | undefined {
    const c = this.#connections[cookie - 1];
    return c !== undefined && c.handle === handle ? c : undefined;
  }

  /** A flow knocked, by the event at `w`: takes it. */
  accept(w: number, handlers: Handlers): void {
    const { i32 } = this.#parts.gate;
    const c = this.#take(handlers, PHASE.open);
    c.handle = i32[w + WORD.handle]!;
    c.ports = i32[w + KNOCK.ports]!;
    c.setRemote(i32, w + KNOCK.remote);
    c.setLocal(i32, w + KNOCK.local);
    c.wants = WANTS.accept;
    this.markDirty(c);
    handlers.opened?.(c);
  }

  /**
   * `address` is four words (gate/abi.ts), `ports` local << 16 | remote; it opens or dies later.
   */
  connect(address: ArrayLike<number>, ports: number, handlers: Handlers): Life {
    const c = this.#take(handlers, PHASE.connecting);
    c.ports = ports;
    c.setRemote(address);
    c.wants = WANTS.connect;
    this.markDirty(c);
    return c;
  }

  /** By the event at `w`. */
  connected(c: Life, w: number): void {
    if (c.phase !== PHASE.connecting) return;
    const { i32 } = this.#parts.gate;
    c.phase = PHASE.open;
    c.ports = i32[w + CONNECTED.ports]!;
    c.setLocal(i32, w + CONNECTED.local);
    if (c.queuedBytes > 0) this.markDirty(c);
    c.handlers.opened?.(c);
  }

  #take(handlers: Handlers, phase: number): Life {
    this.#openCount = (this.#openCount + 1) | 0;
    const id = this.#freeIds.pop() ?? this.#made;
    let c = this.#nobody;
    if (id === this.#made) {
      this.#made = (id + 1) | 0;
      this.columns.reach(id);
    } else c = this.#connections[id]!;
    if (c === this.#nobody) {
      c = new Life(this, id, handlers);
      this.#connections[id] = c;
    }
    c.begin(handlers, phase);
    return c;
  }

  // --- receiving ---

  received(c: Life, offset: number, length: number): void {
    this.#inbox.received(c, offset, length);
  }

  resume(c: Life): boolean {
    if (c.phase === PHASE.free) return false;
    c.isPaused = false;
    this.#inbox.resume(c);
    if (c.hasEnded && !c.endedTold) this.ended(c);
    return true;
  }

  ended(c: Life): void {
    c.hasEnded = true;
    if (c.pendingHead >= 0 || !c.isOpen) return;
    c.endedTold = true;
    if (c.handlers.ended) c.handlers.ended(c);
    else this.close(c);
  }

  /** So many received bytes are done with; told to the dataplane at the end of the batch. */
  consume(c: Life, bytes: number): void {
    if (bytes === 0) return;
    c.consumed = (c.consumed + bytes) | 0;
    this.markDirty(c);
  }

  // --- sending ---

  send(c: Life, offset: number, length: number, tag: number): boolean {
    if (!this.#maySend(c)) return false;
    if (!isInt(tag) || tag < 0) {
      throw new IxArgumentError(`send: a tag is a whole number from 0, not ${shown(tag)}`);
    }
    if (length === 0) {
      if (tag > 0) c.handlers.released?.(c, tag);
      return true;
    }
    if (!this.#memory.holds(offset, length)) throw badSpan('send', offset, length);
    return this.#queued(c, this.#outbox.appendSpan(c, offset, length, tag));
  }

  write(c: Life, offset: number, length: number): boolean {
    if (!this.#maySend(c)) return false;
    const isBytes = isInt(offset) && isInt(length) && offset >= 0 && length >= 0;
    if (!isBytes || length > this.#arenaBytes - offset) throw badBytes('write', offset, length);
    return this.#queued(c, this.#outbox.appendCopy(c, offset, length));
  }

  writeBytes(c: Life, bytes: Uint8Array): boolean {
    if (!this.#maySend(c)) return false;
    return this.#queued(c, this.#outbox.appendBytes(c, bytes));
  }

  writeSome(c: Life, bytes: Uint8Array, from: number): number {
    if (!this.#maySend(c)) return 0;
    const wanted = bytes.length - from;
    const room = Math.max(0, Math.min(wanted, HIGH_WATER_BYTES - c.queuedBytes));
    const taken = this.#outbox.appendSome(c, bytes, from, room);
    if (taken > 0) this.markDirty(c);
    if (taken < wanted) c.isShort = true;
    if (taken < room) {
      c.missing = 1;
      this.#starve(c);
    }
    return taken;
  }

  #maySend(c: Life): boolean {
    return (c.phase === PHASE.open || c.phase === PHASE.connecting) && !c.hasShutDown;
  }

  /** Nothing was queued: the connection's input waits until blocks and spans have come back. */
  #queued(c: Life, done: boolean): boolean {
    if (done) this.markDirty(c);
    else this.#starve(c);
    return done;
  }

  #starve(c: Life): void {
    if (c.isStarved) return;
    c.isStarved = true;
    this.#starved.push(c.id);
  }

  /** Nothing is queued, or a writeSome had not room for all and now there is some. */
  #tellRoom(c: Life): void {
    if (!c.isOpen || c.isStarved) return;
    if (c.queuedBytes > LOW_WATER_BYTES) return;
    c.isShort = false;
    c.handlers.drained?.(c);
  }

  /** The dataplane took nothing of it, and nothing of it is on the way. */
  hunger(c: Life): void {
    if (c.isHungry) return;
    c.isHungry = true;
    this.#hungry.push(c.id);
  }

  /**
   * Once a batch: goes on with those starved connections that can have what they lacked, and with
   * some hungry ones.
   */
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

  #feed(c: Life): void {
    c.isStarved = false;
    if (c.isOpen && !c.isPaused) this.resume(c);
    if (c.queuedBytes === 0 || c.isShort) this.#tellRoom(c);
  }

  /**
   * A few of them a batch: each that gets something has a `sent` coming, with which the next ones
   * are asked; and none is asked while there is nothing new to have.
   */
  #askAgain(): void {
    const list = this.#hungry;
    const asked = Math.min(list.length, HUNGRY_MAX);
    for (let i = 0; i < asked; i++) {
      const c = this.#connections[list[i]!]!;
      if (!c.isHungry) continue;
      c.isHungry = c.isBlocked = false;
      this.markDirty(c);
    }
    list.copyWithin(0, asked);
    list.length -= asked;
  }

  /** The peer acknowledged `bytes` more. */
  sent(c: Life, bytes: number): void {
    this.#hasReleased = true;
    const wasWritable = c.writable;
    c.isBlocked = false;
    this.#outbox.acknowledged(c, bytes);
    if (this.#outbox.hasUnsent(c) || c.wants !== 0) this.markDirty(c);
    if (c.queuedBytes === 0 || c.isShort) this.#tellRoom(c);
    if (!wasWritable && c.isOpen && c.mayRead) this.resume(c);
  }

  // --- closing ---

  // Each answers whether it will be done.

  close(c: Life): boolean {
    if (c.phase === PHASE.connecting) return this.abort(c);
    if (c.phase !== PHASE.open) return false;
    c.phase = PHASE.closing;
    c.wants |= WANTS.close;
    this.#inbox.drop(c);
    this.markDirty(c);
    return true;
  }

  /** FIN after what is queued; input goes on. */
  end(c: Life): boolean {
    if (c.phase !== PHASE.open || c.hasShutDown) return false;
    c.hasShutDown = true;
    return this.#want(c, WANTS.shutdown);
  }

  keepalive(c: Life): boolean {
    return this.#want(c, WANTS.keepalive);
  }

  userTimeout(c: Life): boolean {
    return this.#want(c, WANTS.userTimeout);
  }

  marking(c: Life): boolean {
    return this.#want(c, WANTS.marking);
  }

  #want(c: Life, want: number): boolean {
    if (c.phase === PHASE.free) return false;
    c.wants |= want;
    this.markDirty(c);
    return true;
  }

  abort(c: Life): boolean {
    if (c.phase === PHASE.free) return false;
    c.phase = PHASE.closing;
    c.wants = (c.wants & ~WANTS.close) | WANTS.abort;
    this.#inbox.drop(c);
    this.markDirty(c);
    return true;
  }

  /**
   * The flow is gone: everything it held comes back, and its id when the dirty list lets go of it.
   */
  dead(c: Life, reason: number): void {
    if (c.phase === PHASE.free) return;
    this.#hasReleased = true;
    if (reason === DEAD.closed && c.pendingHead >= 0) this.#readOut(c);
    c.phase = PHASE.closing;
    this.#inbox.drop(c);
    this.#outbox.releaseAll(c);
    if (c.refusal !== 0 && reason === DEAD.aborted) {
      this.#parts.faults.tell(refusalText(c.refusal));
    }
    c.handlers.closed?.(c, reason);
    c.reset();
    this.#openCount = (this.#openCount - 1) | 0;
    this.markDirty(c);
  }

  /**
   * Both sides have closed, and its frames go with the flow: what was held back is handed over now,
   * to a paused connection too, as far as its handler takes it.
   */
  #readOut(c: Life): void {
    c.readsWhileBlocked = true;
    for (let was = -1; c.pendingHead >= 0 && c.isOpen && c.consumed !== was; ) {
      was = c.consumed;
      this.resume(c);
    }
  }

  #letGo(c: Life): void {
    if (!c.isPooled) this.#connections[c.id] = this.#nobody;
    this.#freeIds.push(c.id);
  }

  // --- the batch ---

  markDirty(c: Life): void {
    if (c.isDirty) return;
    c.isDirty = true;
    c.nextDirty = -1;
    if (this.#dirtyTail < 0) {
      this.#dirtyHead = c.id;
      this.#parts.wake();
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
      if (c.phase === PHASE.free) this.#letGo(c);
      else this.#flush(c);
    }
  }

  #flush(c: Life): void {
    if (c.isRefused) {
      c.isRefused = false;
      this.abort(c);
    }
    if (!this.#calls.write(c)) this.markDirty(c); // the batch is full
  }

  /** Reads the results of the last batch. */
  results(): void {
    this.#calls.results();
  }
}
