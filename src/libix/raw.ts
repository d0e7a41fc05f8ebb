/**
 * The raw gate, application side: read events, write calls, read their results. Nothing is hidden.
 *
 * - One crossing per batch: `submit` publishes the calls; when the dataplane hands over the next
 *   batch of events, the same call descriptors hold their results (word CALL_RESULT).
 * - `call` returns the first word of a fresh descriptor, or -1 when the batch is full: keep the
 *   call for the next batch.
 * - Works the same in both protection domains: offsets mean the same bytes in both.
 *
 * Read first: src/gate/abi.ts.
 */
import { SENDV_DONE } from '../gate/abi.ts';
import {
  addressesWord,
  GATE_AGAIN,
  GATE_CALLS,
  GATE_COUNT,
  GATE_HEADER_BYTES,
  GATE_MS,
  GATE_US,
  OWN_ADDRESS_WORDS,
} from '../gate/arrays.ts';
import { ADDRESSES6_MAX, CALLS_MAX, DESCRIPTOR_WORDS } from '../limits.ts';

export class RawGate {
  readonly i32: Int32Array;
  readonly #events: number;
  readonly #addresses: number;
  readonly #calls: number;
  readonly #firstEvent: number;
  readonly #firstCall: number;
  /** CALLS_MAX, or this application's quota of calls. */
  readonly #callsMax: number;
  #callCount = 0;
  /** Calls may be written: between `begin` and `submit`. */
  isOpen = false;

  constructor(i32: Int32Array, eventArray: number, callArray: number) {
    this.i32 = i32;
    this.#events = eventArray >> 2;
    this.#addresses = addressesWord(eventArray);
    this.#calls = callArray >> 2;
    this.#firstEvent = (eventArray + GATE_HEADER_BYTES) >> 2;
    this.#firstCall = (callArray + GATE_HEADER_BYTES) >> 2;
    this.#callsMax = i32[this.#events + GATE_CALLS] || CALLS_MAX;
  }

  /** Microseconds and milliseconds of this batch, modulo 2^32. */
  get us(): number {
    return this.i32[this.#events + GATE_US]!;
  }

  get ms(): number {
    return this.i32[this.#events + GATE_MS]!;
  }

  get eventCount(): number {
    return this.i32[this.#events + GATE_COUNT]!;
  }

  /** First word of event i. */
  event(i: number): number {
    return (this.#firstEvent + i * DESCRIPTOR_WORDS) | 0;
  }

  /**
   * Calls written so far in this batch; before the first new one, those of the last batch with
   * their results.
   */
  get callCount(): number {
    return this.#callCount;
  }

  /** First word of call i, this batch's or (after `submit`) the last one's. */
  callAt(i: number): number {
    return (this.#firstCall + i * DESCRIPTOR_WORDS) | 0;
  }

  /** Starts a batch: the results of the last one have been read. */
  begin(): void {
    this.#callCount = 0;
    this.isOpen = true;
    this.i32[this.#calls + GATE_AGAIN] = 0;
  }

  call(kind: number, handle: number): number {
    if (this.#callCount === this.#callsMax) return -1;
    const w = this.callAt(this.#callCount);
    this.#callCount = (this.#callCount + 1) | 0;
    this.i32[w] = kind;
    this.i32[w + 1] = handle;
    this.i32[w + SENDV_DONE] = 0;
    return w;
  }

  /** Publishes the batch. */
  submit(): void {
    this.isOpen = false;
    this.i32[this.#calls + GATE_COUNT] = this.#callCount;
  }

  /** Asks for another turn even if no event comes. */
  askAgain(): void {
    this.i32[this.#calls + GATE_AGAIN] = 1;
  }

  /** Our IPv6 addresses, link-local left out, each with the length of its prefix. Allocates. */
  ownAddresses(): { words: number[]; prefixLength: number }[] {
    const { i32 } = this;
    const count = Math.min(ADDRESSES6_MAX, Math.max(0, Atomics.load(i32, this.#addresses)));
    return Array.from({ length: count }, (_v, i) => {
      const w = this.#addresses + 1 + i * OWN_ADDRESS_WORDS;
      return { words: [...i32.subarray(w, w + 4)], prefixLength: i32[w + 4]! };
    });
  }
}
