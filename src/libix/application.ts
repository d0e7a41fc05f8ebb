/**
 * What an application is given: `Ix`, one for each elastic thread, and what it asks that for.
 *
 * - Everything here is called in the application's own turns or between them, never from another
 *   thread. What is asked for takes effect at the end of the turn.
 * - What cannot be (a port that is none, a function that is missing) throws IxArgumentError at
 *   once. What the dataplane refuses (a port in use, a quota) throws nowhere: while the application
 *   starts it makes the start fail, later it is one line on standard error. A listener may ask to
 *   be told (`refused`).
 * - Times are microseconds (`...Us`) or milliseconds (`...Ms`), sizes are bytes.
 *
 * The object behind it is in ix.ts.
 */
import type { Arena } from '../arena/arena.ts';
import type { Connection } from './connection.ts';
import type { Handlers } from './handlers.ts';
import type { IxCallError } from './refusals.ts';
import type { UdpHandlers, UdpSocket } from './udp.ts';

/** Bytes of application memory. */
export interface Span {
  offset: number;
  length: number;
}

/** Somebody who wants to be let in: overwritten by the next one. */
export interface Knock {
  /** The peer's address, four words: IPv4 is 0, 0, 0xffff and the address. */
  readonly remote: Int32Array;
  readonly remotePort: number;
  /** Which of our addresses it called, and on which port. */
  readonly local: Int32Array;
  readonly localPort: number;
}

export interface ListenOptions {
  /** Most half-open and most unaccepted connections, at least 1. Default 1024. */
  backlog?: number;
  /** One of this dataplane's addresses. Default: all of them, of both versions. */
  address?: string;
  /**
   * Whether this peer is let in: asked when its handshake is complete, so that the address is not a
   * spoofed one. False: it is reset, and no handler hears of it. Who throws or returns anything
   * else than true and false lets nobody in, which is told. Default: everybody is let in.
   */
  accept?(knock: Knock): boolean;
  /** From now on peers are heard: the dataplane has answered, in a later turn. */
  listening?(): void;
  /**
   * It was refused: told here alone, instead of making the start fail or being a line on standard
   * error. `error.result` is the ABI's code (IN_USE, NO_ROUTE, QUOTA, NO_FLOW).
   */
  refused?(error: IxCallError): void;
}

export interface Listener {
  /** What it listens on; asked for as 0: 0 until the dataplane has answered, in a later turn. */
  readonly port: number;
  /**
   * Nobody is let in any more, from now on; connections that are open live on. The port is free in
   * a later turn. Again, or when it was refused: nothing.
   */
  close(): void;
}

export interface ConnectOptions {
  /** Default 0: the stack picks. */
  localPort?: number;
}

export interface OwnAddress {
  /** As people write it. */
  readonly address: string;
  readonly prefixLength: number;
}

export interface Timer {
  /** Its callback is not called any more. When it is over already: nothing. */
  cancel(): void;
}

export interface Ix {
  /** The whole arena: an offset from a handler or from `alloc` indexes it directly. */
  readonly u8: Uint8Array;
  /** The same as words: offset >> 2. */
  readonly i32: Int32Array;
  /** The same as a DataView. */
  readonly view: DataView;
  /** WebAssembly over the arena: `copy`, checksums (src/wire/kernels.ts). */
  readonly kernels: Arena['kernels'];

  /** Bytes that `alloc` may still give. */
  readonly applicationFree: number;

  /** Number of this elastic thread, from 0 on: the application runs once on each. */
  readonly thread: number;

  /** Most connections at a time: a further one finds no control block, and its peer no answer. */
  readonly flows: number;

  /** This process as the machine's others see it; to itself it may be number 1 of a namespace. */
  readonly pid: number;

  /** Ports that are listened on, in the order in which they were asked for. Allocates. */
  readonly ports: number[];

  /**
   * Our IPv6 addresses as they are now, SLAAC's too, link-local left out; empty before they are
   * known not to be somebody else's. Allocates.
   */
  readonly addresses6: readonly OwnAddress[];

  /** Connections whose `closed` has not come, those that do not know yet included. */
  readonly openConnections: number;

  /**
   * `bytes` of application memory, for ever: an offset, a multiple of `alignment` (default 8). For
   * the start: there is no free. Throws ApplicationMemoryError when there is not so much
   * (`--memory`).
   */
  alloc(bytes: number, alignment?: number): number;

  /** Constant text (latin1) in application memory, to be sent any number of times. As `alloc`. */
  text(constant: string): Span;

  /** Milliseconds of this batch, monotonic, modulo 2^32 as int32: compare by difference. */
  nowMs(): number;

  /** The same in microseconds: they wrap after 71 minutes. */
  nowUs(): number;

  /**
   * Says a value to whoever started this service, as JSON of less than a MiB. False, and one line
   * on standard error says why: it is no JSON, too long or nested too deep, or earlier ones have
   * not been read yet. Then it was not sent, and nothing of it is kept.
   */
  report(value: unknown): boolean;

  /**
   * Ends the whole service with this exit code, 0 to 255 (default 0): all threads, all connections
   * (by RST). Returns before that has happened.
   */
  stop(exitCode?: number): void;

  /**
   * Lets peers connect to `port`; 0: one that the stack picks, the same on every thread of an
   * application that asks for the same (`Listener.port`). Refused: the port is in use on that
   * address, the address is not ours, a quota.
   */
  listen(port: number, handlers: Handlers, options?: ListenOptions): Listener;

  /**
   * Begins a connection to an address (text of either version, an IPv4 address as an integer, or
   * four words) and a port, 1 to 65535. `opened` comes when it is established, else `closed` with
   * the reason (DEAD); both in a later turn. What is sent before goes out behind the handshake.
   */
  connect(
    address: string | number | ArrayLike<number>,
    port: number,
    handlers: Handlers,
    options?: ConnectOptions,
  ): Connection;

  /**
   * A UDP socket on `port`, of all our addresses; 0: one that the stack picks. Refused as `listen`.
   */
  udp(port: number, handlers: UdpHandlers): UdpSocket;

  /**
   * One call of `callback` after `delayUs`, 0 to 2^31 - 1 microseconds. Refused (a quota): it is
   * never called.
   */
  timer(delayUs: number, callback: () => void): Timer;

  /** A call every `intervalUs`, each timed from when the one before was made. As `timer`. */
  every(intervalUs: number, callback: () => void): Timer;

  /** Calls back in every turn from now on, after all its events were handled. */
  onBatchEnd(callback: () => void): void;

  /**
   * A turn in every iteration, event or not, so that `onBatchEnd` comes as often as the thread goes
   * around: for work that is due by the microsecond (load generators). Meant for idle policy
   * `spin`.
   */
  keepTurning(on: boolean): void;

  /**
   * True: after each turn the thread goes around its event loop before it does anything else, and
   * an application process waits there for its next turn. For applications whose work goes on in
   * promises, timers and files: else that runs every 4 ms while turns come without a pause.
   */
  yieldAfterTurns(on: boolean): void;

  /**
   * True: an application process ends, as a Node program does, when nothing holds its event loop
   * any more; what is open on the stack does not. Inline: nothing.
   */
  mayEnd(on: boolean): void;

  /**
   * While turns are kept coming: none is needed for the next `us` microseconds, unless there is an
   * event. Said anew in every turn; what is not rested through is spun. Domain inline only.
   */
  rest(us: number): void;

  /**
   * Four words as people write them, of either version: `socket.source`, `knock.remote`. Text stays
   * as it is. Throws IxArgumentError for a number, which is IPv4's address but of IPv6 a quarter.
   */
  formatAddress(address: string | ArrayLike<number>): string;
}
