/**
 * What of Node this layer stands on that Node does not document: fetched here, once, and nowhere
 * else.
 *
 * - `JSStream` is a real StreamBase: TLS, http's parser and nghttp2 take it as they take a socket
 *   of the kernel's. A subclass of it may do everything else in JavaScript.
 * - `streamBaseState` is how a handle says with its return value, or before it calls `onread`, how
 *   many bytes there were.
 * - `process._tickCallback` runs ticks and promises, as Node does behind every callback from C++.
 * - What is not there, or not as it was in Node 26.10, is a NodeInternalsError with one line
 *   (self-check.ts tries out what can only be seen by using it).
 */
import net from 'node:net';
import tls from 'node:tls';

/** A request of a native stream's, to be finished by the handle. */
export type NativeRequest = object;

/** The native class, as far as it is used. */
export interface JsStream {
  readBuffer(view: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: NativeRequest, status: number): void;
  finishShutdown(request: NativeRequest, status: number): void;
  /** What net.js or a native consumer wants to be called with what was read. */
  onread: (this: object, memory?: ArrayBuffer) => unknown;
}

interface LookupRequest extends NativeRequest {
  oncomplete(status: number | null, addresses?: string[]): void;
}

/** What of the binding of names is used; `order` as dns.lookup's option of that name says. */
export interface NameBinding {
  getaddrinfo(
    request: LookupRequest,
    name: string,
    family: 0 | 4 | 6,
    hints: number,
    order: number,
  ): number;
  readonly DNS_ORDER_IPV6_FIRST: number;
}

/** Indexes of streamBaseState, and itself. */
export interface StreamState {
  readonly words: Int32Array;
  readonly read: number;
  readonly offset: number;
  readonly written: number;
  readonly error: number;
}

export interface Internals {
  readonly JSStream: new () => JsStream;
  /** Class of the kernel's sockets. */
  readonly TCP: new (
    type: number,
  ) => { close(callback: () => void): void };
  readonly state: StreamState;
  /** A handle's way to its socket. */
  readonly owner: symbol;
  /** Gives a socket another handle: when happy eyeballs try the next address. */
  readonly reinitialize: symbol;
  /** What dns.lookup asks. */
  readonly names: NameBinding;
  /** Runs ticks and promises; what they throw comes out. */
  tick(): void;
}

export class NodeInternalsError extends Error {
  readonly code = 'IX_NODE';
  constructor(what: string) {
    const problem = `this Node (${process.version}) is not as 26.10 is: ${what}`;
    super(`${problem}; run the program with the Node that comes with ix`);
  }
}

/** Throws what is wrong with this Node if `holds` is false. */
export function need(holds: boolean, what: string): void {
  if (!holds) throw new NodeInternalsError(what);
}

type Undocumented = { binding(name: string): Record<string, unknown>; _tickCallback(): void };

const bindingOf = (name: string): Record<string, unknown> => {
  const { binding } = process as unknown as Partial<Undocumented>;
  need(typeof binding === 'function', 'process.binding is missing');
  try {
    return (process as unknown as Undocumented).binding(name);
  } catch {
    throw new NodeInternalsError(`process.binding('${name}') is refused`);
  }
};

const symbolOf = (object: object, name: string): symbol => {
  const found = Object.getOwnPropertySymbols(object).find((each) => each.description === name);
  need(found !== undefined, `${name} is missing`);
  return found!;
};

const NATIVE_METHODS = ['readBuffer', 'emitEOF', 'finishWrite', 'finishShutdown'] as const;

function internals(): Internals {
  const { JSStream } = bindingOf('js_stream') as Pick<Internals, 'JSStream'>;
  const { TCP } = bindingOf('tcp_wrap') as Pick<Internals, 'TCP'>;
  need(typeof JSStream === 'function', 'JSStream is missing');
  need(typeof TCP === 'function', 'TCP is missing');
  for (const name of NATIVE_METHODS) {
    need(typeof JSStream.prototype[name] === 'function', `JSStream has no ${name}`);
  }
  need(JSStream.prototype.isStreamBase === true, 'JSStream is no StreamBase');
  need(typeof net.Server.prototype['_listen2' as never] === 'function', 'Server._listen2');
  need(typeof tls.TLSSocket.prototype['_wrapHandle' as never] === 'function', '_wrapHandle');
  const { _tickCallback } = process as unknown as Partial<Undocumented>;
  need(typeof _tickCallback === 'function', 'process._tickCallback is missing');
  const idle = { readStart: () => 0, readStop: () => 0, close: () => {} };
  new net.Socket({ handle: idle } as unknown as net.SocketConstructorOpts);
  const names = bindingOf('cares_wrap') as unknown as NameBinding;
  need(typeof names.getaddrinfo === 'function', 'cares_wrap has no getaddrinfo');
  return {
    ...{ JSStream, TCP, state: streamState(), names, tick: _tickCallback! },
    owner: symbolOf(idle, 'owner_symbol'),
    reinitialize: symbolOf(net.Socket.prototype, 'kReinitializeHandle'),
  };
}

function streamState(): StreamState {
  const wrap = bindingOf('stream_wrap');
  const words = wrap['streamBaseState'];
  need(words instanceof Int32Array, 'streamBaseState is no Int32Array');
  const index = (name: string): number => {
    const at = wrap[name];
    need(typeof at === 'number', `stream_wrap has no ${name}`);
    return at as number;
  };
  return {
    words: words as Int32Array,
    read: index('kReadBytesOrError'),
    offset: index('kArrayBufferOffset'),
    written: index('kBytesWritten'),
    error: index('kLastWriteErr'),
  };
}

/** Of this thread. */
export const node: Internals = internals();
