/**
 * What an application does about its connections: the functions that libix calls, and one promise
 * it may make.
 *
 * - Called in the application's turn, one at a time, through guard.ts: an exception, or a result
 *   that cannot be, resets the connection and is reported once.
 * - They are looked up at each call: an application may change them, or put others into
 *   `Connection.handlers`.
 *
 * Given to `ix.listen` and `ix.connect`.
 */
import type { Connection } from './connection.ts';

export interface Handlers {
  /**
   * The promise never to touch a Connection after its `closed`: then its object is used again, and
   * connections that come and go allocate nothing. Without it each has an object of its own, for
   * which everything is over after `closed`: what an `await` or a timer does with it later does
   * nothing, whoever is connected by then.
   */
  readonly pooled?: boolean;
  /** Accepted, or connected. */
  opened?(c: Connection): void;
  /**
   * Bytes arrived at arena offset `offset`. Returns how many were consumed (0..length); the rest
   * comes again, with more behind it and contiguous. Up to 8 KiB are gathered: of a longer message
   * something must be taken before, else its connection is reset, which is told.
   */
  received(c: Connection, offset: number, length: number): number;
  /**
   * The peer calls the next `bytes` bytes that come urgent; they come in line (RFC 6093: nothing
   * new should use it).
   */
  urgent?(c: Connection, bytes: number): void;
  /**
   * A span sent with this tag is acknowledged, or the connection died. Exactly once per tagged
   * send.
   */
  released?(c: Connection, tag: number): void;
  /**
   * Everything sent has been acknowledged; or, for who was told by `writeSome` that there was not
   * room for all, there is room again.
   */
  drained?(c: Connection): void;
  /** The peer has closed its side. Default: close ours after what is queued. */
  ended?(c: Connection): void;
  /** The connection is gone; `reason` is one of gate/abi.ts DEAD. */
  closed?(c: Connection, reason: number): void;
}
