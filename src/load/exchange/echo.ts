/**
 * The echo exchange: messages of one size, each the next of a pool of constant pseudo-random bytes.
 *
 * - So sending copies nothing, and every answer is known beforehand: its length is checked always,
 *   and the first and last word of every piece that arrives.
 */
import type { Connection } from '../../libix/index.ts';
import { endsAreEqual, fillRandom } from './bytes.ts';
import type { Exchange, LoadHost } from './exchange.ts';

/** Bytes of constant messages: more gives no better check, and leaves the cache. */
const POOL_BYTES = 65_536;
const POOL_MESSAGES_MIN = 16;

export class EchoExchange implements Exchange {
  isWhole = false;
  readonly #view: DataView;
  readonly #size: number;
  readonly #depth: number;
  readonly #mask: number;
  readonly #base: number;
  /**
   * Per slot: the message in flight. Per connection: the next message; bytes of the awaited one
   * that are here.
   */
  readonly #sent: Int32Array;
  readonly #next: Int32Array;
  readonly #position: Int32Array;

  constructor(host: LoadHost, connections: number, depth: number, size: number) {
    this.#view = host.view;
    this.#size = size;
    this.#depth = depth;
    let messages = POOL_MESSAGES_MIN;
    while (messages * size * 2 <= POOL_BYTES) messages *= 2;
    this.#mask = messages - 1;
    this.#base = host.alloc(messages * size, 64);
    fillRandom(host.u8, this.#base, messages * size);
    this.#sent = new Int32Array(connections * depth);
    this.#next = Int32Array.from({ length: connections }, (_, k) => k * 37);
    this.#position = new Int32Array(connections);
  }

  request(c: Connection, slot: number): boolean {
    const k = (slot / this.#depth) | 0;
    const message = this.#next[k]! & this.#mask;
    if (!c.send(this.#base + message * this.#size, this.#size)) return false;
    this.#sent[slot] = message;
    this.#next[k] = (message + 1) | 0;
    return true;
  }

  answer(k: number, slot: number, offset: number, length: number): number {
    const position = this.#position[k]!;
    const part = Math.min(length, this.#size - position);
    const expected = this.#base + this.#sent[slot]! * this.#size + position;
    if (!endsAreEqual(this.#view, offset, expected, part)) return -1;
    this.isWhole = position + part === this.#size;
    this.#position[k] = this.isWhole ? 0 : position + part;
    return part;
  }

  reset(k: number): void {
    this.#position[k] = 0;
  }

  count(): void {}

  summary(): { size: number } {
    return { size: this.#size };
  }
}
