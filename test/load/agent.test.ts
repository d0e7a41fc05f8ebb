/**
 * What strangers may send to an agent: it hears one line of a bounded length, and keeps nothing of
 * what comes before or behind it.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { firstLine } from '../../src/load/agent.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const MIB = 2 ** 20;

let server: Server;
let heard: string[] = [];
before(async () => {
  server = createServer((socket) =>
    firstLine(
      socket.on('error', () => {}),
      (line) => heard.push(line),
    ),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => server.close());

function dial(): Promise<Socket> {
  const { port } = server.address() as { port: number };
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const socket = connect({ host: '127.0.0.1', port }, () => resolve(socket)).on('error', () => {});
  heard = [];
  return promise;
}

const sent = (socket: Socket, data: Buffer | string): Promise<void> =>
  new Promise((resolve) => socket.write(data, () => resolve()));

test('agent_firstLine_inPieces_isHeardOnce', async () => {
  const socket = await dial();
  for (const piece of ['{"ver', 'sion":1}', '\nmore\n', 'and more\n']) await sent(socket, piece);
  const closed = new Promise((resolve) => socket.resume().once('close', resolve));
  socket.end();
  await closed;
  assert.deepEqual(heard, ['{"version":1}']);
});

test('agent_floodBehindTheLine_isNotKept', async () => {
  const socket = await dial();
  await sent(socket, '{}\n');
  collect();
  const before = process.memoryUsage().heapUsed;
  const piece = Buffer.alloc(MIB, 'x');
  for (let i = 0; i < 64; i++) await sent(socket, piece);
  collect();
  const grown = process.memoryUsage().heapUsed - before;
  socket.destroy();
  assert.ok(grown < 8 * MIB, `${Math.round(grown / MIB)} MiB kept`);
  assert.deepEqual(heard, ['{}']);
});

test('agent_lineTooLong_isClosed', async () => {
  const socket = await dial();
  const closed = new Promise((resolve) => socket.resume().once('close', resolve));
  socket.write(Buffer.alloc(2 * MIB, 'x'));
  await closed;
  assert.deepEqual(heard, []);
});
