/**
 * What connections have received: handed to the handler in place, gathered when a message comes in
 * pieces, left in the receive pool while the connection is paused or not writable (so that only its
 * own peer is slowed down).
 *
 * - `consumed` bytes are told to the dataplane once a batch (one coalesced recv_done per
 *   connection).
 * - When gather blocks run out, the connection that has held one longest is reset: whoever sends
 *   half messages and waits cannot stop the others. One whose message fills its block, and is not
 *   taken, is reset too. Both are told.
 * - Gathered bytes are copied, and consumed at once; bytes that are kept are spans in `pending`,
 *   not consumed.
 *
 * Called by session.ts.
 */
import { FRAME_SHIFT } from '../limits.ts';
import { type Faults, Seldom } from './guard.ts';
import type { Life } from './life.ts';
import { type ApplicationMemory, Blocks, GATHER_BYTES } from './memory.ts';
import type { ArenaAccess } from './outbox.ts';
import type { Session } from './session.ts';
import { LENGTH, OFFSET, type SpanNodes } from './spans.ts';

const TOO_LONG =
  `received has taken nothing of ${GATHER_BYTES} bytes, and more are not gathered, so its ` +
  'connection was reset; take a long message in the pieces it comes in';
const TOO_MANY =
  'too many connections have sent half a message, so the one that has waited longest was reset; take messages in the pieces they come in, or start with more memory (--memory MiB)';

export class Inbox {
  readonly #session: Session;
  readonly #arena: ArenaAccess;
  readonly #nodes: SpanNodes;
  readonly #gathers: Blocks;
  readonly #tooLong: Seldom;
  readonly #tooMany: Seldom;
  /** Holders of gather blocks, oldest first: connection ids, linked through the connections. */
  #oldest = -1;
  #youngest = -1;

  constructor(
    session: Session,
    arena: ArenaAccess,
    nodes: SpanNodes,
    memory: ApplicationMemory,
    gathers: number,
    faults: Faults,
  ) {
    this.#session = session;
    this.#arena = arena;
    this.#nodes = nodes;
    this.#gathers = new Blocks(memory, gathers, GATHER_BYTES);
    this.#tooLong = new Seldom(faults);
    this.#tooMany = new Seldom(faults);
  }

  allHome(): boolean {
    return this.#gathers.free === this.#gathers.count;
  }

  /** In-order bytes of the receive pool. */
  received(c: Life, offset: number, length: number): void {
    if (!c.isOpen) this.#session.consume(c, length);
    else if (c.mayRead && c.pendingHead < 0) this.#deliver(c, offset, length);
    else this.#keep(c, offset, length);
  }

  /** Hands one stretch over, behind what was gathered before. */
  #deliver(c: Life, offset: number, length: number): void {
    const direct = c.isGathering ? this.#deliverGathered(c, offset, length) : 0;
    if (direct === length) return;
    offset += direct;
    length -= direct;
    if (!c.isOpen) return this.#session.consume(c, length);
    if (!c.mayRead || c.isGathering) return this.#keep(c, offset, length);
    const taken = c.handlers.received(c, offset, length);
    this.#session.consume(c, taken);
    if (taken < length) this.#leftOver(c, offset + taken, length - taken);
  }

  /**
   * Completes the gathered message with bytes of this stretch; returns how many of them were used.
   */
  #deliverGathered(c: Life, offset: number, length: number): number {
    let used = 0;
    while (used < length && c.isOpen && c.mayRead) {
      const old = c.gatherLength;
      const room = GATHER_BYTES - old;
      const added = Math.min(length - used, room);
      const block = c.gatherBlock;
      this.#arena.copy(block + old, offset + used, added);
      const taken = c.handlers.received(c, block, old + added);
      if (!c.isOpen) return used; // the handler closed: its gather block is gone already
      if (taken >= old) {
        this.#dropGather(c);
        this.#session.consume(c, taken - old);
        return used + taken - old;
      }
      this.#session.consume(c, added);
      used += added;
      c.gatherLength = (old + added - taken) | 0;
      if (taken > 0) this.#arena.u8.copyWithin(block, block + taken, block + old + added);
      else if (c.gatherLength === GATHER_BYTES && c.mayRead) {
        this.#tooLong.tell(TOO_LONG);
        this.#session.abort(c); // it cannot go on
      }
    }
    return used;
  }

  /** What a handler did not take: kept in place while it is blocked, else gathered. */
  #leftOver(c: Life, offset: number, length: number): void {
    if (!c.isOpen) return this.#session.consume(c, length);
    if (!c.mayRead || length > GATHER_BYTES) return this.#keep(c, offset, length);
    if (this.#gathers.free === 0) {
      this.#tooMany.tell(TOO_MANY);
      this.#session.abort(this.#session.byId(this.#oldest));
    }
    c.isGathering = true;
    c.gatherBlock = this.#gathers.take();
    c.gatherLength = length;
    this.#arena.copy(c.gatherBlock, offset, length);
    this.#linkHolder(c);
    this.#session.consume(c, length);
  }

  #linkHolder(c: Life): void {
    c.gatherOlder = this.#youngest;
    c.gatherYounger = -1;
    if (this.#youngest < 0) this.#oldest = c.id;
    else this.#session.byId(this.#youngest).gatherYounger = c.id;
    this.#youngest = c.id;
  }

  #unlinkHolder(c: Life): void {
    const { gatherOlder, gatherYounger } = c;
    if (gatherOlder < 0) this.#oldest = gatherYounger;
    else this.#session.byId(gatherOlder).gatherYounger = gatherYounger;
    if (gatherYounger < 0) this.#youngest = gatherOlder;
    else this.#session.byId(gatherYounger).gatherOlder = gatherOlder;
  }

  #keep(c: Life, offset: number, length: number): void {
    const words = this.#nodes.words;
    const tail = c.pendingTail;
    // Small payloads are packed behind each other in one frame: one node for all of them, so that
    // there is a node for each receive frame and none can be missing.
    const isAdjacent = tail >= 0 && words[tail + OFFSET]! + words[tail + LENGTH]! === offset;
    if (isAdjacent && words[tail + OFFSET]! >> FRAME_SHIFT === offset >> FRAME_SHIFT) {
      words[tail + LENGTH] = words[tail + LENGTH]! + length;
      return;
    }
    const node = this.#nodes.take(offset, length, 0);
    if (node < 0) {
      this.#session.consume(c, length);
      this.#session.abort(c);
      return;
    }
    if (tail < 0) c.pendingHead = node;
    else words[tail] = node;
    c.pendingTail = node;
  }

  /** Goes on with bytes that were held back, as far as the connection lets it. */
  resume(c: Life): void {
    const words = this.#nodes.words;
    if (c.isGathering && c.isOpen && c.mayRead) this.#retryGather(c);
    while (c.pendingHead >= 0 && c.isOpen && c.mayRead) {
      const node = c.pendingHead;
      const offset = words[node + OFFSET]!;
      const length = words[node + LENGTH]!;
      // What this stretch leaves over goes before the rest of the queue.
      const rest = words[node]!;
      const tail = c.pendingTail;
      c.pendingHead = c.pendingTail = -1;
      this.#nodes.give(node);
      this.#deliver(c, offset, length);
      if (rest < 0) continue;
      if (!c.isOpen) this.#dropPending(c, rest);
      else {
        if (c.pendingTail < 0) c.pendingHead = rest;
        else words[c.pendingTail] = rest;
        c.pendingTail = tail;
      }
    }
  }

  /** The handler left these bytes because it was blocked; now it may go on. */
  #retryGather(c: Life): void {
    const old = c.gatherLength;
    const block = c.gatherBlock;
    const taken = c.handlers.received(c, block, old);
    if (!c.isOpen || taken === 0) return;
    if (taken >= old) return this.#dropGather(c);
    this.#arena.u8.copyWithin(block, block + taken, block + old);
    c.gatherLength = (old - taken) | 0;
  }

  /** Nobody will read what is held: it goes back. */
  drop(c: Life): void {
    this.#dropGather(c);
    const head = c.pendingHead;
    c.pendingHead = c.pendingTail = -1;
    this.#dropPending(c, head);
  }

  #dropPending(c: Life, head: number): void {
    const words = this.#nodes.words;
    for (let node = head; node >= 0; ) {
      const next = words[node]!;
      this.#session.consume(c, words[node + LENGTH]!);
      this.#nodes.give(node);
      node = next;
    }
  }

  #dropGather(c: Life): void {
    if (!c.isGathering) return;
    this.#gathers.give(c.gatherBlock);
    this.#unlinkHolder(c);
    c.isGathering = false;
    c.gatherBlock = -1;
    c.gatherLength = 0;
  }
}
