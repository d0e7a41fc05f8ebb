/**
 * The two arrays of a gate: what their headers hold, and the sink of event conditions, which the
 * dataplane writes and the application reads.
 *
 * - A header of 64 bytes, then the descriptors of abi.ts. The application can write to the array of
 *   calls only: whatever it does, events are what the dataplane wrote.
 * - The array never overflows: the stack asks `space()` first and keeps what does not fit in its
 *   flows until the next iteration (IX's released code could overflow here).
 * - The application consumes all events of a batch; `clear` starts the next one.
 *
 * Used on both sides of the gate: by net/ and tcp/ (events), dataplane/ and domain/ (turns, calls),
 * and libix/. Read first: src/gate/abi.ts; OSDI'14 section 4.3.
 */
import type { Arena } from '../arena/arena.ts';
import { ADDRESSES6_MAX, DESCRIPTOR_WORDS, EVENTS_MAX } from '../limits.ts';

/** Bytes before the first descriptor, in both arrays of a gate. */
export const GATE_HEADER_BYTES = 64;
/** Both arrays: how many descriptors the batch has. */
export const GATE_COUNT = 0;
/** Events array: time of the batch, both modulo 2^32. */
export const GATE_US = 1;
export const GATE_MS = 2;
/** Events array: number of the turn that the application may take (domain process). */
export const GATE_TURN = 3;
/** Events array: the dataplane goes on alone; the application rings its bell when it is back. */
export const GATE_AWAY = 4;
/** Events array: the dataplane sleeps on the futex of GATE_DONE, and is to be woken. */
export const GATE_WAITED = 6;
/** Events array: how many calls a batch may hold; 0: CALLS_MAX. */
export const GATE_CALLS = 5;
/** Calls array: the application wants another turn even if no event comes. */
export const GATE_AGAIN = 1;
/** Calls array: number of the last turn that the application has finished. */
export const GATE_DONE = 2;
/** Calls array: how the application waits for its turn, one of WAITING. */
export const GATE_WAITING = 3;

export const WAITING = {
  /** polls the turn word: nothing needs to be done */
  polling: 0,
  /** in the kernel, on the turn word's futex */
  futex: 1,
  /** in its own event loop: write its pipe */
  eventLoop: 2,
  /** nobody is there */
  absent: 3,
} as const;

/** Behind the events: how many IPv6 addresses are ours, then each and its prefix's length. */
const ADDRESSES_OFFSET = GATE_HEADER_BYTES + EVENTS_MAX * DESCRIPTOR_WORDS * 4;
export const OWN_ADDRESS_WORDS = 5;
export const EVENT_ARRAY_BYTES = ADDRESSES_OFFSET + (1 + ADDRESSES6_MAX * OWN_ADDRESS_WORDS) * 4;
/** Word index of our addresses in an array of events at `offset`. */
export const addressesWord = (offset: number): number => (offset + ADDRESSES_OFFSET) >> 2;

export class EventSink {
  readonly #i32: Int32Array;
  /** Word index of the header. */
  readonly header: number;
  readonly #first: number;
  #count = 0;

  constructor(arena: Arena, offset: number) {
    this.#i32 = arena.i32;
    this.header = offset >> 2;
    this.#first = (offset + GATE_HEADER_BYTES) >> 2;
  }

  /** Once, before the application starts: its quota of calls. */
  announceCalls(most: number): void {
    this.#i32[this.header + GATE_CALLS] = most;
  }

  get count(): number {
    return this.#count;
  }

  space(): number {
    return (EVENTS_MAX - this.#count) | 0;
  }

  /**
   * Appends an event; answers its first word, of which the caller writes 3 and up. Needs `space()`.
   */
  push(kind: number, handle: number, cookie: number): number {
    const w = (this.#first + this.#count * DESCRIPTOR_WORDS) | 0;
    const i32 = this.#i32;
    i32[w] = kind;
    i32[w + 1] = handle;
    i32[w + 2] = cookie;
    this.#count = (this.#count + 1) | 0;
    return w;
  }

  /** Makes the batch visible: count and time in the header. */
  publish(us: number, ms: number): void {
    const i32 = this.#i32;
    i32[this.header + GATE_COUNT] = this.#count;
    i32[this.header + GATE_US] = us;
    i32[this.header + GATE_MS] = ms;
  }

  clear(): void {
    this.#count = 0;
  }
}
