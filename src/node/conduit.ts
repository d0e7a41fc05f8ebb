/**
 * What a handle stands on, and what it is told from below: the seam between Node's classes and
 * whatever carries their bytes. flows.ts carries them over libix, loopback.ts within the thread.
 *
 * - A conduit is one connection's life. After `close`, `abort` or `Above.died` neither side calls
 *   the other again.
 * - `write` takes what it has room for; having taken less than it was given, it tells `drained`
 *   when there is room again.
 * - Nothing is told from within a call of the handle's: what comes, comes later.
 */

/** One end of a connection. */
export interface Conduit {
  /** Who uses it; undefined: nobody yet, or any more. */
  above: Above | undefined;
  /** Bytes taken that the other end has not acknowledged. */
  readonly queuedBytes: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** '' when it is over. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Takes a copy of bytes from index `from` on: how many. */
  write(bytes: Uint8Array, from: number): number;
  /** The same with text: its bytes, or -1 and nothing taken when they do not fit as a whole. */
  writeText(text: string, encoding: TextEncoding): number;
  /** No more input until `resume`; what has come stays, and slows the other end down. */
  pause(): void;
  /** Goes on with input, in a turn to come. */
  resume(): void;
  /** FIN behind what was taken; input goes on. */
  end(): void;
  /** FIN behind what was taken, and nobody reads any more. */
  close(): void;
  /** RST. */
  abort(): void;
  keepalive(idleMs: number, intervalMs?: number, count?: number): void;
  /** DiffServ code point of what is sent. */
  mark(codePoint: number): void;
}

export type TextEncoding = 'utf8' | 'latin1' | 'ucs2';

/** Who uses a conduit: a handle. */
export interface Above {
  /** A `connect` is answered: 0, or -errno. */
  connected(status: number): void;
  /** Bytes at `offset` of `memory`, which are only there until this returns. */
  arrived(memory: Buffer, offset: number, length: number): void;
  drained(): void;
  /** The other end has closed its side. */
  ended(): void;
  /** It is over: 0 in order, else -errno. */
  died(status: number): void;
}

/** Whom a listener tells of a connection. */
export interface Knocked {
  /** It is to use the conduit, or to abort it. */
  accepted(conduit: Conduit): void;
  /** From now on it is heard (0), or it cannot be: -errno. Told once, unless `isUp` said so. */
  listening(status: number): void;
}

export interface Listening {
  /** It is heard already. */
  readonly isUp: boolean;
  close(): void;
}

export type Family = 4 | 6;

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly family: Family;
}

export interface BindWish extends Endpoint {
  /** :: does not hear IPv4. */
  readonly isOnly6: boolean;
  /** Others who say so, too, may have the same (reusePort). */
  readonly isReused: boolean;
}

/** What carries connections. */
export interface Carrier {
  listen(at: BindWish, backlog: number, knocked: Knocked): Listening;
  /** Begins; -errno when it cannot. `localPort` 0: any. `localAddress`: absent, whichever fits. */
  connect(to: Endpoint, localPort: number, above: Above, localAddress?: string): Conduit | number;
}
