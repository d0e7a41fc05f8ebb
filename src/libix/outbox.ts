/**
 * What connections have sent and the peer has not acknowledged: spans in order, the first part of
 * them at the dataplane (accepted), the rest unsent.
 *
 * - A span is the application's memory (`send`, with a tag) or a block of ours (`write`, tag =
 *   -block).
 * - `sendCursor` is the first node with unsent bytes (or the last node, wholly sent),
 *   `sendCursorDone` how many of its bytes the dataplane has accepted. The cursor moves only when
 *   the result of a sendv is known.
 * - Fair shares: a connection may hold as many spans and blocks as are free, so that a peer that
 *   does not read cannot starve the others.
 * - All fields are the connection's; nothing is allocated here per message.
 *
 * Called by session.ts.
 */
import { SENDV_SPANS_MAX, SENDV_VECTOR, SENDV_VECTOR_MAX } from '../gate/abi.ts';
import type { Life } from './life.ts';
import { type ApplicationMemory, Blocks, SEND_BLOCK_BYTES } from './memory.ts';
import { LENGTH, OFFSET, type SpanNodes, TAG } from './spans.ts';

/** Pairs of the vector area: sendv calls with more than four spans, per batch. */
const VECTOR_PAIRS = 8192;

/** The arena as libix writes to it. */
export interface ArenaAccess {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  copy(destination: number, source: number, length: number): void;
}

export class Outbox {
  readonly #arena: ArenaAccess;
  readonly #nodes: SpanNodes;
  readonly #blocks: Blocks;
  readonly #vectors: number;
  #vectorsUsed = 0;

  constructor(arena: ArenaAccess, nodes: SpanNodes, memory: ApplicationMemory, blocks: number) {
    this.#arena = arena;
    this.#nodes = nodes;
    this.#blocks = new Blocks(memory, blocks, SEND_BLOCK_BYTES);
    this.#vectors = memory.alloc(VECTOR_PAIRS * 8, 64);
  }

  allHome(): boolean {
    return this.#blocks.free === this.#blocks.count;
  }

  /**
   * Whether a starved connection may go on: when a quarter of everything is free, so that it reads
   * what it need not answer; or when its own share has room for what it lacked, though others hold
   * all the rest and never give it back.
   */
  isFed(c: Life): boolean {
    const blocks = this.#blocks;
    const nodes = this.#nodes;
    if (blocks.free * 4 >= blocks.count && nodes.free * 4 >= nodes.count) return true;
    const { missing } = c;
    if (missing === 0) return c.spanCount < nodes.free;
    return missing <= blocks.free && this.#hasShare(c, missing);
  }

  hasUnsent(c: Life): boolean {
    return c.inFlight < c.queuedBytes;
  }

  /** Queues a span of the application's; false when the connection's share is used up. */
  appendSpan(c: Life, offset: number, length: number, tag: number): boolean {
    if (c.spanCount >= this.#nodes.free) {
      c.missing = 0;
      return false;
    }
    this.#append(c, this.#nodes.take(offset, length, tag), length);
    return true;
  }

  /** Whether the connection's share has room for so many more blocks. */
  #hasShare(c: Life, blocks: number): boolean {
    const after = c.spanCount + blocks;
    return blocks === 0 || (after <= this.#blocks.free + 1 && after <= this.#nodes.free + 1);
  }

  /**
   * Queues a copy, filling the last block first; false, with nothing queued, when blocks are short.
   */
  appendCopy(c: Life, offset: number, length: number): boolean {
    const words = this.#nodes.words;
    let end = 0;
    let room = 0;
    if (c.sendTail >= 0 && words[c.sendTail + TAG]! < 0) {
      end = words[c.sendTail + OFFSET]! + words[c.sendTail + LENGTH]!;
      room = -words[c.sendTail + TAG]! + SEND_BLOCK_BYTES - end;
    }
    const missing = length - room;
    const blocks = missing > 0 ? ((missing + SEND_BLOCK_BYTES - 1) / SEND_BLOCK_BYTES) | 0 : 0;
    if (blocks > this.#blocks.free || !this.#hasShare(c, blocks)) {
      c.missing = blocks;
      return false;
    }
    if (room > 0) {
      const part = Math.min(length, room);
      this.#arena.copy(end, offset, part);
      words[c.sendTail + LENGTH] = words[c.sendTail + LENGTH]! + part;
      c.queuedBytes = (c.queuedBytes + part) | 0;
      offset += part;
      length -= part;
    }
    while (length > 0) {
      const part = Math.min(length, SEND_BLOCK_BYTES);
      const block = this.#blocks.take();
      this.#arena.copy(block, offset, part);
      this.#append(c, this.#nodes.take(block, part, -block), part);
      offset += part;
      length -= part;
    }
    return true;
  }

  /**
   * Queues `length` bytes of a JavaScript array from `from` on, or as many as there are blocks for:
   * how many. The last block is filled first.
   */
  appendSome(c: Life, bytes: Uint8Array, from: number, length: number): number {
    const words = this.#nodes.words;
    const end = from + length;
    let at = from;
    const tail = c.sendTail;
    if (tail >= 0 && words[tail + TAG]! < 0) {
      const to = words[tail + OFFSET]! + words[tail + LENGTH]!;
      const part = Math.min(length, -words[tail + TAG]! + SEND_BLOCK_BYTES - to);
      if (part > 0) {
        this.#arena.u8.set(bytes.subarray(at, at + part), to);
        words[tail + LENGTH] = words[tail + LENGTH]! + part;
        c.queuedBytes = (c.queuedBytes + part) | 0;
        at += part;
      }
    }
    while (at < end && this.#blocks.free > 0 && this.#hasShare(c, 1)) {
      const part = Math.min(end - at, SEND_BLOCK_BYTES);
      const block = this.#blocks.take();
      this.#arena.u8.set(bytes.subarray(at, at + part), block);
      this.#append(c, this.#nodes.take(block, part, -block), part);
      at += part;
    }
    return at - from;
  }

  /** Queues bytes of a JavaScript array; false, with nothing queued, when blocks are short. */
  appendBytes(c: Life, bytes: Uint8Array): boolean {
    const blocks = Math.ceil(bytes.length / SEND_BLOCK_BYTES);
    if (blocks > this.#blocks.free || !this.#hasShare(c, blocks)) {
      c.missing = blocks;
      return false;
    }
    for (let done = 0; done < bytes.length; done += SEND_BLOCK_BYTES) {
      const part = bytes.subarray(done, done + SEND_BLOCK_BYTES);
      const block = this.#blocks.take();
      this.#arena.u8.set(part, block);
      this.#append(c, this.#nodes.take(block, part.length, -block), part.length);
    }
    return true;
  }

  #append(c: Life, node: number, length: number): void {
    if (c.sendTail < 0) c.sendHead = node;
    else this.#nodes.words[c.sendTail] = node;
    c.sendTail = node;
    if (c.sendCursor < 0) {
      c.sendCursor = node;
      c.sendCursorDone = 0;
    }
    c.queuedBytes = (c.queuedBytes + length) | 0;
    c.spanCount = (c.spanCount + 1) | 0;
  }

  // --- the gate ---

  /** A batch has been executed: its vectors may be written over. */
  startBatch(): void {
    this.#vectorsUsed = 0;
  }

  /**
   * Spans that the next sendv of this connection names, or 0 when the batch has no room for its
   * vector.
   */
  spansToSend(c: Life): number {
    const words = this.#nodes.words;
    if (c.sendCursorDone === words[c.sendCursor + LENGTH]!) {
      c.sendCursor = words[c.sendCursor]!;
      c.sendCursorDone = 0;
    }
    let spans = 0;
    for (let n = c.sendCursor; n >= 0 && spans < SENDV_VECTOR_MAX; n = words[n]!) spans++;
    return spans > SENDV_SPANS_MAX && this.#vectorsUsed + spans > VECTOR_PAIRS ? 0 : spans;
  }

  /** Fills in the sendv call whose first word is `w`. */
  writeSendv(c: Life, spans: number, w: number): void {
    const words = this.#nodes.words;
    const i32 = this.#arena.i32;
    let pair = w + 3;
    if (spans > SENDV_SPANS_MAX) {
      const offset = this.#vectors + this.#vectorsUsed * 8;
      this.#vectorsUsed = (this.#vectorsUsed + spans) | 0;
      i32[w + 2] = SENDV_VECTOR;
      i32[w + 3] = offset;
      i32[w + 4] = spans;
      pair = offset >> 2;
    } else i32[w + 2] = spans;
    let skip = c.sendCursorDone;
    let node = c.sendCursor;
    for (let i = 0; i < spans; i++) {
      i32[pair] = words[node + OFFSET]! + skip;
      i32[pair + 1] = words[node + LENGTH]! - skip;
      skip = 0;
      pair += 2;
      node = words[node]!;
    }
  }

  /** The dataplane accepted `bytes` of what the last sendv named. */
  accepted(c: Life, bytes: number): void {
    const words = this.#nodes.words;
    c.inFlight = (c.inFlight + bytes) | 0;
    let left = bytes;
    while (left > 0) {
      const room = words[c.sendCursor + LENGTH]! - c.sendCursorDone;
      if (left <= room) {
        c.sendCursorDone = (c.sendCursorDone + left) | 0;
        return;
      }
      left -= room;
      c.sendCursor = words[c.sendCursor]!;
      c.sendCursorDone = 0;
    }
  }

  /** The peer acknowledged `bytes` more: whole spans are released. */
  acknowledged(c: Life, bytes: number): void {
    const words = this.#nodes.words;
    c.inFlight = (c.inFlight - bytes) | 0;
    c.queuedBytes = (c.queuedBytes - bytes) | 0;
    let left = (bytes + c.headAcked) | 0;
    while (c.sendHead >= 0 && left >= words[c.sendHead + LENGTH]!) {
      left = (left - words[c.sendHead + LENGTH]!) | 0;
      this.#releaseHead(c);
    }
    c.headAcked = left;
  }

  /** The connection died: every span is released. */
  releaseAll(c: Life): void {
    while (c.sendHead >= 0) this.#releaseHead(c);
    c.headAcked = c.queuedBytes = c.inFlight = 0;
  }

  #releaseHead(c: Life): void {
    const words = this.#nodes.words;
    const node = c.sendHead;
    const tag = words[node + TAG]!;
    if (node === c.sendCursor) {
      c.sendCursor = words[node]!;
      c.sendCursorDone = 0;
    }
    c.sendHead = words[node]!;
    if (c.sendHead < 0) c.sendTail = -1;
    this.#nodes.give(node);
    c.spanCount = (c.spanCount - 1) | 0;
    if (tag < 0) this.#blocks.give(-tag);
    else if (tag > 0) c.handlers.released?.(c, tag);
  }
}
