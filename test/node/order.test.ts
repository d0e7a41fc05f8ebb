/** What a program has seen before it sees the next thing: as over the kernel's sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import tls from 'node:tls';
import { layBed, SERVER } from './bed.ts';
import { CERTIFICATE, KEY } from './certificate.ts';
import { serve, sleep } from './serving.ts';

const bed = layBed();
after(() => bed.close());

const IDENTITY = { key: KEY, cert: CERTIFICATE };
const HOSTS = ['127.0.0.1', SERVER];
const TICKS = 20;

async function listening<T extends net.Server>(server: T, host: string): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

describe('order', { timeout: 30_000 }, () => {
  for (const host of HOSTS) {
    test(`recordsInOnePiece_eachIsReadableByItself, ${host}`, async () => {
      const server = tls.createServer(IDENTITY, (socket) => {
        for (const word of ['one', 'two', 'three']) socket.write(word);
      });
      const port = await listening(server, host);
      const client = tls.connect({ port, host, rejectUnauthorized: false });
      let heard = '';
      await new Promise<void>((done) => {
        client.on('readable', () => {
          heard += client.read() ?? '';
          if (heard === 'onetwothree') done();
        });
      });
      client.destroy();
      server.close();
      await once(server, 'close');
    });

    test(`serverSaysAllAtOnce_whoAwaitsTheHandshake_findsTheSocketAlive, ${host}`, async () => {
      const options = { ...IDENTITY, maxVersion: 'TLSv1.2' } as const;
      const server = tls.createServer(options, (socket) => socket.end('ok'));
      const port = await listening(server, host);
      const client = tls.connect({ port, host, rejectUnauthorized: false });
      client.resume();
      await once(client, 'secureConnect');
      assert.equal(client.isSessionReused(), false);
      await once(client, 'close');
      server.close();
      await once(server, 'close');
    });

    test(`framesInOnePiece_sessionEndedAtTheFirst_theNextIsNotSeen, ${host}`, async () => {
      const server = http2.createServer();
      server.on('stream', (stream: http2.ServerHttp2Stream) => {
        stream.on('error', () => {});
        stream.respond();
        stream.write('hello');
        stream.destroy(new Error('enough'));
      });
      const port = await listening(server as unknown as net.Server, host);
      const session = http2.connect(`http://${host}:${port}`);
      const request = session.request();
      request.on('error', (error) => assert.fail(error));
      request.once('data', () => session.destroy());
      await once(request, 'close');
      server.close();
      await once(server, 'close');
    });

    test(`destroyed_closeComesBehindImmediates, ${host}`, async () => {
      const { port, close } = await serve({}, (socket) => socket.end('x'), host);
      const socket = net.connect(port, host);
      await once(socket, 'data');
      const order: string[] = [];
      socket.on('close', () => order.push('close'));
      socket.destroy();
      setImmediate(() => order.push('immediate'));
      await once(socket, 'close');
      assert.deepEqual(order, ['immediate', 'close']);
      await close();
    });

    test(`ended_finishComesInALaterTurn, ${host}`, async () => {
      const { port, close } = await serve({}, (socket) => socket.resume(), host);
      const socket = net.connect(port, host);
      await once(socket, 'connect');
      let hasFinished = false;
      socket.end(() => {
        hasFinished = true;
      });
      for (let i = 0; i < TICKS; i++) await new Promise<void>((done) => process.nextTick(done));
      assert.equal(hasFinished, false);
      await once(socket, 'finish');
      socket.resume();
      await once(socket, 'close');
      await close();
    });
  }

  test('bothHaveEnded_theOtherEndIsFinished_whenEndIsHeard', async () => {
    let peer: net.Socket | undefined;
    const listener = (socket: net.Socket): void => {
      peer = socket.resume();
    };
    const { port, close } = await serve({}, listener, '127.0.0.1');
    const socket = net.connect(port, '127.0.0.1').resume();
    socket.end();
    await once(socket, 'end');
    assert.equal(peer?.writableFinished, true);
    await once(socket, 'close');
    await close();
  });

  test('localAddressOfLoopback_isWhatTheServerSees', async () => {
    const seen = Promise.withResolvers<string | undefined>();
    const { port, close } = await serve(
      {},
      (socket) => {
        seen.resolve(socket.remoteAddress);
        socket.end();
      },
      '127.0.0.1',
    );
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    assert.equal(await seen.promise, '127.0.0.2');
    assert.equal(socket.localAddress, '127.0.0.2');
    socket.resume();
    await once(socket, 'close');
    await close();
    await sleep(1);
  });
});
