/** http, https and http2 over two stacks of ours: Node's own, unchanged. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import tls from 'node:tls';
import { layBed, SERVER } from './bed.ts';
import { CERTIFICATE, KEY } from './certificate.ts';
import { bytesOf, digest, pattern, textOf } from './serving.ts';

const bed = layBed();
after(() => bed.close());

const BODY_BYTES = 2 ** 20;

async function listening(server: Server): Promise<number> {
  server.listen(0, SERVER);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
  await bed.settled();
}

/** What is posted comes back, and what it was. */
const mirror: http.RequestListener = async (request, response) => {
  const body = await bytesOf(request);
  response.setHeader('x-method', request.method!);
  response.end(body);
};

async function ask(
  request: http.ClientRequest,
  body?: Buffer,
): Promise<{ status: number; method: string; body: Buffer }> {
  request.end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const method = `${response.headers['x-method']}`;
  return { status: response.statusCode!, method, body: await bytesOf(response) };
}

describe('http', () => {
  test('megabyte_posted_comesBack_overAndOver_onOneConnection', async () => {
    let connections = 0;
    const server = http.createServer(mirror).on('connection', () => connections++);
    const port = await listening(server);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const body = pattern(BODY_BYTES);
    for (let i = 0; i < 3; i++) {
      const request = http.request({ agent, host: SERVER, port, method: 'POST' });
      const answer = await ask(request, body);
      assert.deepEqual([answer.status, answer.method], [200, 'POST']);
      assert.equal(digest(answer.body), digest(body));
    }
    assert.equal(connections, 1);
    agent.destroy();
    await closed(server);
  });

  test('requestsAtOnce_pipelined_answeredInOrder', async () => {
    const server = http.createServer((request, response) => response.end(request.url));
    const port = await listening(server);
    const socket = (await import('node:net')).connect(port, SERVER);
    const paths = Array.from({ length: 50 }, (_v, i) => `/${i}`);
    const asked = paths.map((path, i) => {
      const last = i === paths.length - 1 ? 'Connection: close\r\n' : '';
      return `GET ${path} HTTP/1.1\r\nHost: x\r\n${last}\r\n`;
    });
    socket.write(asked.join(''));
    const bodies = [...(await textOf(socket)).matchAll(/\r\n\r\n(\/\d+)/g)].map(([, path]) => path);
    assert.deepEqual(bodies, paths);
    await closed(server);
  });

  test('chunked_writtenInTurns_allComes', async () => {
    const server = http.createServer(async (_request, response) => {
      for (let i = 0; i < 20; i++) {
        response.write(`${i} `);
        await new Promise((done) => setImmediate(done));
      }
      response.end();
    });
    const port = await listening(server);
    const { body } = await ask(http.request({ host: SERVER, port, agent: false }));
    assert.equal(`${body}`, Array.from({ length: 20 }, (_v, i) => `${i} `).join(''));
    await closed(server);
  });

  test('upgraded_bothSpeakRaw_afterwards', async () => {
    const server = http.createServer().on('upgrade', (_request, socket, head) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n',
      );
      socket.write(`head ${head.length}, `);
      socket.on('data', (piece: Buffer) => socket.write(`heard ${piece}`));
      socket.on('end', () => socket.end());
    });
    const port = await listening(server);
    const headers = { Connection: 'Upgrade', Upgrade: 'raw' };
    const request = http.request({ host: SERVER, port, headers, agent: false }).end();
    const [, socket, head] = (await once(request, 'upgrade')) as [unknown, Socket, Buffer];
    socket.end('words');
    assert.equal(`${head}${await textOf(socket)}`, 'head 0, heard words');
    await closed(server);
  });

  test('clientGoesAway_serverHearsClose', async () => {
    const gone = Promise.withResolvers<void>();
    const server = http.createServer((request) => void request.on('close', gone.resolve));
    const port = await listening(server);
    const request = http.request({ host: SERVER, port, agent: false }).end();
    request.on('error', () => {});
    await once(server, 'request');
    request.destroy();
    await gone.promise;
    await closed(server);
  });

  test('headersDoNotCome_serverAnswers408', async () => {
    const options = { headersTimeout: 50, connectionsCheckingInterval: 20 };
    const server = http.createServer(options, mirror);
    const port = await listening(server);
    const socket = (await import('node:net')).connect(port, SERVER);
    socket.write('GET / HTTP/1.1\r\n');
    assert.match(await textOf(socket), /^HTTP\/1\.1 408 /);
    await closed(server);
  });
});

describe('tls', () => {
  const identity = { key: KEY, cert: CERTIFICATE };
  const trust = { ca: CERTIFICATE, servername: 'localhost' };

  test('https_megabyte_posted_comesBack', async () => {
    const server = https.createServer(identity, mirror);
    const port = await listening(server);
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const body = pattern(BODY_BYTES);
    for (let i = 0; i < 2; i++) {
      const request = https.request({ ...trust, agent, host: SERVER, port, method: 'POST' });
      const answer = await ask(request, body);
      assert.equal(digest(answer.body), digest(body));
    }
    agent.destroy();
    await closed(server);
  });

  test('tls_bothWays_halfAMegabyte_andTheEnd', async () => {
    const bytes = pattern(BODY_BYTES / 2);
    const server = tls.createServer(identity, (socket) => socket.end(bytes));
    const port = await listening(server);
    const socket = tls.connect({ ...trust, host: SERVER, port });
    await once(socket, 'secureConnect');
    assert.equal(socket.authorized, true);
    assert.equal(socket.remoteAddress, SERVER);
    assert.equal(digest(await bytesOf(socket)), digest(bytes));
    await closed(server);
  });

  test('peerResets_tlsSocketHearsEconnreset', async () => {
    const server = tls.createServer(identity, () => {});
    const raw = once(server, 'connection') as Promise<[Socket]>;
    const port = await listening(server);
    const socket = tls.connect({ ...trust, host: SERVER, port });
    await once(socket, 'secureConnect');
    (await raw)[0].resetAndDestroy();
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'ECONNRESET');
    await closed(server);
  });

  test('nobodyListens_tlsConnect_isRefused', async () => {
    const socket = tls.connect({ ...trust, host: SERVER, port: 4998 });
    const [error] = await once(socket, 'error');
    assert.deepEqual([error.code, error.address, error.port], ['ECONNREFUSED', SERVER, 4998]);
    await bed.settled();
  });
});

describe('http2', () => {
  for (const isSecure of [false, true]) {
    const name = isSecure ? 'h2' : 'h2c';
    test(`${name}_streamsAtOnce_eachMirrored`, async () => {
      const identity = { key: KEY, cert: CERTIFICATE };
      const server = isSecure ? http2.createSecureServer(identity) : http2.createServer();
      server.on('stream', (stream: http2.ServerHttp2Stream) => {
        stream.respond({ ':status': 200 });
        stream.pipe(stream);
      });
      const port = await listening(server);
      const url = `${isSecure ? 'https' : 'http'}://${SERVER}:${port}`;
      const client = http2.connect(url, { ca: CERTIFICATE, servername: 'localhost' });
      const body = pattern(200_000);
      const one = async (): Promise<void> => {
        const stream = client.request({ ':method': 'POST' });
        stream.end(body);
        assert.equal(digest(await bytesOf(stream)), digest(body));
      };
      await Promise.all(Array.from({ length: 8 }, one));
      client.close();
      await once(client, 'close');
      await closed(server);
    });
  }
});

test('fetch_asksOurServer_sameConnectionAgain', async () => {
  const server = http.createServer(mirror);
  const port = await listening(server);
  for (let i = 0; i < 3; i++) {
    const options = { method: 'PUT', body: `number ${i}` };
    const response = await fetch(`http://${SERVER}:${port}/`, options);
    assert.equal(await response.text(), `number ${i}`);
  }
  server.closeAllConnections();
  await closed(server);
});
