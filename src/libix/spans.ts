/**
 * Queues of spans (offset, length, tag) over one pool of nodes: what connections have sent or still
 * hold unread.
 *
 * - A queue is three int32 fields of its owner; the nodes live here, nothing is allocated per span.
 * - A node that was never taken has not been touched: memory stands behind no more nodes than were
 *   ever out at once.
 * - Words of a node: next, offset, length, tag.
 */
export const NEXT = 0;
export const OFFSET = 1;
export const LENGTH = 2;
export const TAG = 3;
const WORDS = 4;

export class SpanNodes {
  readonly words: Int32Array;
  readonly count: number;
  /** Nodes that came back, and the first of those that were never taken. */
  #freeHead = -1;
  #fresh = 0;
  #free: number;

  constructor(count: number) {
    this.count = count;
    this.words = new Int32Array(count * WORDS);
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** A node (its first word's index), or -1. */
  take(offset: number, length: number, tag: number): number {
    if (this.#free === 0) return -1;
    const words = this.words;
    let node = this.#freeHead;
    if (node >= 0) this.#freeHead = words[node]!;
    else {
      node = this.#fresh;
      this.#fresh = (node + WORDS) | 0;
    }
    this.#free = (this.#free - 1) | 0;
    words[node] = -1;
    words[node + OFFSET] = offset;
    words[node + LENGTH] = length;
    words[node + TAG] = tag;
    return node;
  }

  give(node: number): void {
    this.words[node] = this.#freeHead;
    this.#freeHead = node;
    this.#free = (this.#free + 1) | 0;
  }
}
