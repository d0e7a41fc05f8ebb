/** What tests of net share: a server that listens on the bed, and how both ends are awaited. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { SERVER } from './bed.ts';

export interface Serving {
  readonly server: net.Server;
  readonly port: number;
  close(): Promise<void>;
}

export async function serve(
  options: net.ServerOpts,
  listener?: (socket: net.Socket) => void,
  host: string | null = SERVER,
): Promise<Serving> {
  const server = net.createServer(options, listener);
  server.listen({ port: 0, ...(host !== null && { host }) });
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const close = async (): Promise<void> => {
    server.close();
    await once(server, 'close');
  };
  return { server, port, close };
}

export async function connected(
  port: number,
  options: Partial<net.TcpNetConnectOpts> & net.SocketConstructorOpts = {},
): Promise<net.Socket> {
  const socket = net.connect({ port, host: SERVER, ...options });
  await once(socket, 'connect');
  return socket;
}

/** Bytes that do not repeat soon. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let x = 1;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

export const digest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

export async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

export const textOf = async (stream: AsyncIterable<Buffer>): Promise<string> =>
  (await bytesOf(stream)).toString();

export async function digestOf(stream: AsyncIterable<Buffer>): Promise<[number, string]> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const piece of stream) {
    length += piece.length;
    hash.update(piece);
  }
  return [length, hash.digest('hex')];
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
