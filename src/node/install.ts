/**
 * Puts our handles into Node's own classes: from here on net, tls, http, http2 and whatever stands
 * on them, in this thread, talk over `network`.
 *
 * - Prototypes are changed, not modules: so it holds for `import`, `require`, getBuiltinModule and
 *   what Node uses by itself.
 * - Sockets of the kernel's other kinds (pipes, descriptors) are left as they are; confinement
 *   answers them.
 * - For the whole thread, and for good.
 *
 * Called by program.ts, and by tests. Read first: lib/net.js and lib/internal/tls/wrap.js of Node.
 */
import net from 'node:net';
import tls from 'node:tls';
import { Handle } from './handle.ts';
import { type JsStream, node } from './internals.ts';
import type { Network } from './network.ts';

type Method = (this: Record<string | symbol, unknown>, ...args: unknown[]) => unknown;
type Prototype = Record<string | symbol, Method>;

const isKernels: (value: unknown) => boolean = Function.prototype[Symbol.hasInstance].bind(
  node.TCP,
);

export function install(network: Network): void {
  // `instanceof TCP` is what net.js asks of a handle before it resets it.
  Object.defineProperty(node.TCP, Symbol.hasInstance, {
    value: (value: unknown) => value instanceof Handle || isKernels(value),
    configurable: true,
  });
  listenWith(network, net.Server.prototype as unknown as Prototype);
  connectWith(network, net.Socket.prototype as unknown as Prototype);
  wrapWith(network, tls.TLSSocket.prototype as unknown as Prototype);
}

/** `_listen2(address, port, addressType, backlog, fd, flags)` makes a handle if there is none. */
function listenWith(network: Network, server: Prototype): void {
  const listen = server['_listen2']!;
  server['_listen2'] = function (...args) {
    const [address, port, family, , fd, flags] = args as [
      string | null,
      number,
      number,
      ...number[],
    ];
    if (!this['_handle'] && typeof fd !== 'number' && port !== -1) {
      const handle = new Handle(network);
      const any = network.hasIpv6 ? '::' : '0.0.0.0';
      const at = address || any;
      const is6 = family === 6 || at.includes(':');
      // What bind answers is told by the handle's listen, and becomes Node's own error.
      if (is6) handle.bind6(at, port, flags);
      else handle.bind(at, port, flags);
      // Node takes what it says of the server, also in errors, from these.
      if (!address) [args[0], args[2]] = [at, is6 ? 6 : 4];
      this['_handle'] = handle;
    }
    const answer = listen.apply(this, args);
    const handle = this['_handle'];
    if (handle instanceof Handle && !handle.isUp) hold(this as never, handle);
    return answer;
  };
}

interface HeldServer {
  _handle: unknown;
  emit(name: string, ...args: unknown[]): boolean;
}

/**
 * net.js says 'listening' in the next tick, but libix hears peers from a later turn on: until then
 * the word is held back, and becomes 'error' if it is refused.
 */
function hold(server: HeldServer, handle: Handle): void {
  const { emit } = server;
  const isOwn = Object.hasOwn(server, 'emit');
  server.emit = function (name, ...args) {
    return name === 'listening' && handle.onlistening ? true : emit.call(this, name, ...args);
  };
  handle.onlistening = (outcome) => {
    if (isOwn) server.emit = emit;
    else delete (server as Partial<HeldServer>).emit;
    if (outcome === 'closed' || server._handle !== handle) return;
    if (outcome === 'up') return void server.emit('listening');
    server._handle = null;
    handle.close();
    server.emit('error', outcome);
  };
}

interface ConnectOptions {
  port?: unknown;
  path?: unknown;
}

/** What `connect` was given, if it is about TCP; net.js says what is wrong with everything else. */
function isTcp([first]: readonly unknown[]): boolean {
  // net.js's own: an array of options and callback.
  const options = Array.isArray(first) ? first[0] : first;
  if (typeof options !== 'object' || options === null) {
    return typeof options === 'number' || Number(options) >= 0;
  }
  const { port, path } = options as ConnectOptions;
  return port !== undefined && !path;
}

function connectWith(network: Network, socket: Prototype): void {
  const connect = socket['connect']!;
  const reinitialize = socket[node.reinitialize]!;
  socket['connect'] = function (...args) {
    const isConnecting = (this['_parent'] as net.Socket | null)?.connecting;
    const isBare = !this['_handle'] || this['destroyed'];
    if (isBare && !isConnecting && isTcp(args)) {
      this['_handle'] = this['_peername'] = this['_sockname'] = null;
      reinitialize.call(this, new Handle(network));
    }
    return connect.apply(this, args);
  };
  // Happy eyeballs bring a socket of the kernel's for each further address.
  socket[node.reinitialize] = function (handle) {
    return reinitialize.call(this, isKernels(handle) ? new Handle(network) : handle);
  };
}

/** TLS makes a socket of the kernel's when it is given none. */
function wrapWith(network: Network, socket: Prototype): void {
  const wrapHandle = socket['_wrapHandle']!;
  socket['_wrapHandle'] = function (wrap, handle, ...rest) {
    const { pipe } = this['_tlsOptions'] as { pipe?: unknown };
    let own = handle;
    if (isKernels(handle) || (!handle && !pipe)) {
      own = new Handle(network);
      (own as Record<symbol, unknown>)[node.owner] = this;
    }
    const wrapped = wrapHandle.call(this, wrap, own, ...rest);
    if (own instanceof Handle) own.inward.wrap = wrapped as JsStream;
    return wrapped;
  };
}
