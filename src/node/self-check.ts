/**
 * Tries out, before a program starts, what Node does not document and what can only be seen by
 * using it: a Node in which one of these has changed gets one line instead of a subtle fault.
 *
 * - Nothing leaves: the conduit is an array. It takes less than a millisecond or two.
 *
 * Called by program.ts, after `install`.
 */
import dns from 'node:dns';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import type { Above, Conduit } from './conduit.ts';
import { Handle } from './handle.ts';
import { NodeInternalsError, need, node } from './internals.ts';
import type { Network } from './network.ts';

/** Takes up to `room` bytes, and keeps them. */
class Drawer implements Conduit {
  above: Above | undefined;
  readonly queuedBytes = 0;
  readonly localAddress = '192.0.2.1';
  readonly localPort = 1;
  readonly remoteAddress = '192.0.2.2';
  readonly remotePort = 2;
  room = Number.POSITIVE_INFINITY;
  said = '';

  write(bytes: Uint8Array, from: number): number {
    const taken = Math.min(this.room, bytes.length - from);
    this.said += Buffer.from(bytes.subarray(from, from + taken)).toString('latin1');
    return taken;
  }

  writeText(text: string): number {
    if (text.length > this.room) return -1;
    this.said += text;
    return text.length;
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  close(): void {}
  abort(): void {}
  keepalive(): void {}
  mark(): void {}
}

/** A socket over a drawer, and what it was made of. */
function over(network: Network) {
  const handle = new Handle(network);
  const drawer = new Drawer();
  handle.take(drawer);
  const socket = new net.Socket({ handle } as unknown as net.SocketConstructorOpts);
  const hears = (text: string): void => {
    handle.arrived(Buffer.from(text), 0, text.length);
    node.tick();
  };
  return { handle, drawer, socket, hears };
}

type Over = ReturnType<typeof over>;

/** Whatever comes of it, nothing is left that would hold the event loop. */
function using(network: Network, check: (over: Over) => void): void {
  const made = over(network);
  try {
    check(made);
  } finally {
    made.socket.destroy();
  }
}

export function checkNode(network: Network): void {
  tried('net.Socket', () => using(network, checkSocket));
  tried('http', () => using(network, checkHttp));
  tried('TLS', checkTls);
  tried('dns', checkLookup);
}

/** What Node itself throws meanwhile is a sign, too. */
function tried(what: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof NodeInternalsError) throw error;
    const [problem] = `${error instanceof Error ? error.message : error}`.split('\n');
    throw new NodeInternalsError(`${what} fails with: ${problem}`);
  }
}

function checkSocket({ handle, drawer, socket, hears }: Over): void {
  let heard = '';
  socket.on('data', (piece) => {
    heard += piece;
  });
  node.tick();
  need(handle.inward.isReading, 'a socket does not read its handle');
  hears('ping');
  need(heard === 'ping', 'onread does not hand bytes to its socket');
  let done = 0;
  socket.write('pong', () => done++);
  node.tick();
  need(drawer.said === 'pong' && done === 1, 'a write that answers 0 is not done');
  drawer.room = 1;
  socket.write('!!', () => done++);
  node.tick();
  need(done === 1, 'a write that answers a request is done too early');
  drawer.room = 10;
  handle.drained();
  node.tick();
  need(done === 2 && drawer.said === 'pong!!', 'a request of a write is not completed');
  let hasEnded = false;
  socket.on('end', () => {
    hasEnded = true;
  });
  handle.ended();
  node.tick();
  need(hasEnded, 'a socket is not told the end');
}

function checkHttp({ handle, drawer, socket, hears }: Over): void {
  const server = http.createServer((request, response) => response.end(request.url));
  server.emit('connection', socket);
  need(handle.inward.isNative, 'http reads its socket in another way');
  hears('GET /checked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  need(/^HTTP\/1\.1 200 .*\/checked$/s.test(drawer.said), 'http does not answer');
}

function checkTls(): void {
  const socket = new tls.TLSSocket(undefined as unknown as net.Socket, {});
  const { _handle } = socket as unknown as { _handle: { _parent?: unknown } };
  need(_handle?._parent instanceof Handle, 'TLS does not take our handle');
  socket.destroy();
}

function checkLookup(): void {
  const { names } = node;
  const { getaddrinfo } = names;
  let asked = '';
  names.getaddrinfo = (_request, name) => {
    asked = name;
    return 0;
  };
  try {
    dns.lookup('checked.invalid', () => {});
  } finally {
    names.getaddrinfo = getaddrinfo;
  }
  need(asked === 'checked.invalid', 'dns.lookup does not ask getaddrinfo of cares_wrap');
}
