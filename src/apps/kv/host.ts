/**
 * What the store needs of libix: the part of `Ix` and `Connection` it programs against.
 *
 * - libix's classes satisfy these structurally, and so does the fake of the tests
 *   (test/apps/kv/fake-ix.ts).
 * - Nothing here allocates per message.
 */

/** The arena, seen whole: offsets mean the same in every view. */
export interface Memory {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  readonly kernels: { copy(destination: number, source: number, length: number): void };
}

export interface KvConnection {
  /** Small and dense: an index for tables. */
  readonly id: number;
  readonly writable: boolean;
  /** Of answers, not acknowledged by the peer. */
  readonly queuedBytes: number;
  /** More would be taken now: it is read although it is not writable. */
  midRequest: boolean;
  send(offset: number, length: number, tag?: number): boolean;
  write(offset: number, length: number): boolean;
  /** No input is handed over from here on until `resume`. */
  pause(): void;
  resume(): void;
  close(): void;
  abort(): void;
}

export interface KvHandlers {
  /** A connection is never touched after `closed` (src/libix/handlers.ts). */
  readonly pooled: true;
  opened(c: KvConnection): void;
  received(c: KvConnection, offset: number, length: number): number;
  released(c: KvConnection, tag: number): void;
  closed(c: KvConnection, reason: number): void;
}

export interface KvHost extends Memory {
  readonly applicationFree: number;
  /** Most connections at a time. */
  readonly flows: number;
  /** The process as others see it. */
  readonly pid: number;
  alloc(bytes: number, alignment?: number): number;
  text(constant: string): { readonly offset: number; readonly length: number };
  /** Milliseconds of this batch, monotonic, int32 that wraps. */
  nowMs(): number;
  listen(port: number, handlers: KvHandlers): void;
  /** One call of `callback` after `delayUs` microseconds. */
  timer(delayUs: number, callback: () => void): void;
  every(intervalUs: number, callback: () => void): void;
}
