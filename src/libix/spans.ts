/**
 * Queues of spans (offset, length, tag) over one pool of nodes: what connections have sent or still hold unread.
 *
 * - A queue is three int32 fields of its owner; the nodes live here, nothing is allocated per span.
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
  #freeHead = 0;
  #free: number;

  constructor(count: number) {
    this.count = count;
    this.words = new Int32Array(count * WORDS);
    for (let i = 0; i < count; i++) this.words[i * WORDS] = i + 1 < count ? (i + 1) * WORDS : -1;
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** A node (its first word's index), or -1. */
  take(offset: number, length: number, tag: number): number {
    const node = this.#freeHead;
    if (node < 0) return -1;
    const words = this.words;
    this.#freeHead = words[node]!;
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
