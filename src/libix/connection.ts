/**
 * One connection as an application sees it, and all that it may touch of it: bytes come in by
 * `Handlers.received`, go out by `send` or `write`.
 *
 * - An object is one life: from `closed` on it does nothing and answers false, for ever (life.ts).
 * - Nothing is allocated per message. What allocates says so.
 * - Who is given what cannot be throws IxArgumentError (arguments.ts); nothing else throws.
 *
 * Given to handlers (handlers.ts) and by `ix.connect`.
 */
import type { Handlers } from './handlers.ts';

/**
 * With more bytes queued a connection is not `writable`, and gets no more input (but:
 * `readsWhileBlocked`, `midRequest`).
 */
export const HIGH_WATER_BYTES = 262_144;

/** Where a connection whose `writeSome` took less than it was given has room again. */
export const LOW_WATER_BYTES: number = HIGH_WATER_BYTES / 2;

export interface Connection {
  /**
   * Small and dense, from 0 on, so that applications can keep their own state in arrays: after
   * `closed` another connection's.
   */
  readonly id: number;

  /** The application's own, undefined at first; a pooled one's is gone after `closed`. */
  state: unknown;

  /**
   * Those of `listen` or `connect`. Others may be put here at any time, and are called from now on.
   */
  handlers: Handlers;

  /** Until `closed`: false from then on, for ever. */
  readonly isAlive: boolean;

  /** The handshake is complete, and nobody here has closed or aborted. */
  readonly isOpen: boolean;

  /**
   * Whether more should be sent before the peer has taken what is queued: false above 256 KiB
   * (HIGH_WATER_BYTES), when libix is short of blocks or spans, and when the connection is closing
   * or gone. `send` and `write` may queue more all the same, within the connection's fair share.
   */
  readonly writable: boolean;

  /** Bytes of `send` and `write` that the peer has not acknowledged. */
  readonly queuedBytes: number;

  /** Between `pause` and `resume`. */
  readonly isPaused: boolean;

  /**
   * The application's own, to be set in `opened`, false at first: input comes also while the
   * connection is not `writable`.
   *
   * - False is right where input makes output, as in a server: who does not take its answers is not
   *   read.
   * - Where both ends stream on their own account one must set it, better both: with both queues
   *   full neither would read, and neither queue would ever drain.
   */
  readsWhileBlocked: boolean;

  /**
   * The application's own, at any time, false at first: a request has begun, and its rest has not
   * come yet. Input comes also while the connection is not `writable`, until this is false again.
   *
   * - For requests that are answered as they come, or behind earlier ones whose answers are not
   *   taken: a peer that writes its request to the end before it reads would wait for us, and we
   *   for it.
   * - The application must be able to take what comes, without answering: into memory of its own,
   *   with a limit.
   */
  midRequest: boolean;

  /**
   * The peer's address as text, of either version ('10.77.0.1', 'fd77::1'); '' after `closed`.
   * Allocates.
   */
  readonly remoteAddress: string;

  /** The peer's port; 0 after `closed`. */
  readonly remotePort: number;

  /**
   * Ours, which the peer talks to, as text; '' after `closed`, and before `opened` of a `connect`.
   * Allocates.
   */
  readonly localAddress: string;

  /**
   * Our port; 0 after `closed`. Of a `connect` that has not opened: what it was given, 0 if the
   * stack picks.
   */
  readonly localPort: number;

  /**
   * A word of the peer's address (index 0 to 3), big-endian as int32: for tables and comparisons.
   * IPv4 is 0, 0, 0xffff and the address (RFC 4291 2.5.5.2). 0 after `closed`.
   */
  remoteWord(index: number): number;

  /** The same of our address; 0 also where `localAddress` is ''. */
  localWord(index: number): number;

  /**
   * Queues `length` bytes at `offset` of application memory (`ix.alloc`, `ix.text`) without
   * copying; they must not change until `released(tag)`, a whole number above 0 (0: never told).
   * The order of `send` and `write` is kept.
   *
   * False: nothing was queued, because the connection is closing, has been ended or is gone; or
   * because it has its fair share of libix's spans, and then `drained` comes when there are some
   * again. Throws IxArgumentError for bytes that are not application memory, and for tags that are
   * no whole number from 0.
   */
  send(offset: number, length: number, tag?: number): boolean;

  /**
   * Queues a copy of `length` bytes at `offset`, anywhere in the arena: they may change at once.
   *
   * False: nothing was queued, not even a part, because the connection is closing, has been ended
   * or is gone; or because it has its fair share of libix's blocks, and then no input comes until
   * some are free, and `drained` says so, too. Who answers in `received` returns what it has not
   * answered as not consumed. Throws IxArgumentError for bytes that are not in the arena.
   */
  write(offset: number, length: number): boolean;

  /**
   * Queues a copy of `bytes`, an array anywhere in JavaScript's memory, from index `from` on
   * (default 0): as many as there is room for below HIGH_WATER_BYTES and within the connection's
   * fair share. Answers how many. Less than all: `drained` comes when there is room again, which is
   * at LOW_WATER_BYTES, before everything is acknowledged. 0 for a connection that is closing, has
   * been ended or is gone; then nothing comes. Allocates a little, for each 2 KiB.
   */
  writeSome(bytes: Uint8Array, from?: number): number;

  /** Queues text as UTF-8; false as of `write`. Allocates: for what is rare. */
  writeText(text: string): boolean;

  /**
   * Closes gracefully: FIN after what is queued; further input is dropped, and `closed` comes. A
   * connection that has not opened yet is given up. False: closing already, or gone.
   */
  close(): boolean;

  /**
   * Half-close: FIN after what is queued, while input goes on. Nothing can be sent afterwards.
   * False: not open, or ended already.
   */
  end(): boolean;

  /**
   * Resets the connection now: what is queued is not sent, and `closed` comes. False: gone already.
   */
  abort(): boolean;

  /**
   * Hands over no more input until `resume`; the window closes when the peer goes on. When both
   * sides have closed there is nothing to wait in any more, and what has come is handed over all
   * the same, before `ended` and `closed`. False: gone already.
   */
  pause(): boolean;

  /** Goes on with input, what has come meanwhile within this call. False: gone already. */
  resume(): boolean;

  /**
   * Asks the peer after `idleMs` of its silence whether it is still there, `count` times (127 at
   * most, default 9), `intervalMs` apart (1,000 s at most, default 75 s, as Linux); without an
   * answer the connection ends (DEAD.timeout). idleMs 0: never, which is the default unless
   * `--keepalive` says otherwise. Linux answers one connection's probes every 500 ms at most
   * (tcp_invalid_ratelimit): below that in all, `count` times `intervalMs` gives up peers that
   * live. False: gone already.
   */
  keepalive(idleMs: number, intervalMs?: number, count?: number): boolean;

  /**
   * Gives the connection up (DEAD.timeout) when the peer has acknowledged nothing for so many
   * milliseconds; 0: after the usual retries. False: gone already.
   */
  userTimeout(ms: number): boolean;

  /**
   * What routers read on our packets from the next batch on: DiffServ code point (0..63, RFC 2474),
   * and TTL or hop limit (1..255; 0, the default: the usual 64). False: gone already.
   */
  mark(codePoint: number, hops?: number): boolean;
}
