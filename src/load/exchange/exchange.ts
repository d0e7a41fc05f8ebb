/**
 * What a load generator says on a connection, and how it knows the answer: one implementation a
 * protocol.
 *
 * - A *slot* is one request in flight: connection * depth + turn. Slots of a connection are
 *   answered in order.
 * - Per request and answer nothing is allocated; a generator has one exchange, so that its calls
 *   stay monomorphic.
 *
 * Implemented by echo.ts and memcached.ts, called by generator.ts.
 */
import type { Connection, Ix } from '../../libix/index.ts';
import type { LoadResult } from '../result/result.ts';

/** The part of libix that a generator uses; kernel/host.ts has it on ordinary sockets. */
export interface LoadHost
  extends Pick<
    Ix,
    'u8' | 'i32' | 'view' | 'alloc' | 'report' | 'connect' | 'onBatchEnd' | 'keepTurning' | 'rest'
  > {
  /** One call of `callback` after `delayUs` microseconds. */
  timer(delayUs: number, callback: () => void): void;
}

export interface Exchange {
  /** Queues the next request and remembers it in the slot; false: nothing was queued. */
  request(c: Connection, slot: number): boolean;
  /**
   * Reads the answer to a slot's request. Returns the bytes done with, 0: more must lie together
   * first, -1: it is not the answer. `isWhole` says whether these bytes ended it.
   */
  answer(k: number, slot: number, offset: number, length: number): number;
  readonly isWhole: boolean;
  /** Connection k begins anew. */
  reset(k: number): void;
  /** From here on what is answered counts. */
  count(on: boolean): void;
  /** What the protocol adds to the result. */
  summary(): Partial<LoadResult>;
}

/** An exchange that must store its keys first. */
export interface FillingExchange extends Exchange {
  /** While filling, `request` stores the next key; false from `mayStore`: none is left to send. */
  mayStore(): boolean;
  /** Every key is stored. */
  isFilled(): boolean;
  /** Filling is over (or not wanted). */
  endFill(): void;
}
