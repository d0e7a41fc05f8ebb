// Node's own http and https.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { BODY, failure, isBody, MANY, REFUSED, RESETS, times } from '../checks.mjs';

async function send(request, body) {
  request.end(body);
  const [response] = await once(request, 'response');
  const { reusedSocket } = request;
  return {
    status: response.statusCode,
    reusedSocket,
    body: Buffer.concat(await response.toArray()),
  };
}

async function keepAlive(host) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 20; i++) {
    const { reusedSocket, body } = await send(http.get({ agent, host, port: 3003, path: `/${i}` }));
    assert.deepEqual(JSON.parse(body), { hello: `${i}` });
    assert.equal(reusedSocket, i > 0);
  }
  agent.destroy();
}

async function many(host) {
  const agent = new http.Agent({ keepAlive: true });
  const asked = times(MANY, async (i) => {
    const { body } = await send(http.get({ agent, host, port: 3003, path: `/${i}` }));
    assert.deepEqual(JSON.parse(body), { hello: `${i}` });
  });
  await Promise.all(asked);
  assert.equal(Object.values(agent.freeSockets).flat().length > 0, true);
  agent.destroy();
}

async function upgrade(host) {
  const headers = { connection: 'Upgrade', upgrade: 'echo' };
  const request = http.get({ host, port: 3003, headers });
  const [response, socket] = await once(request, 'upgrade');
  assert.equal(response.statusCode, 101);
  socket.end(BODY);
  isBody(Buffer.concat(await socket.toArray()));
}

/** A whole request, and FIN behind it: it is answered. */
async function halfClosed(host) {
  const socket = net.connect({ port: 3003, host, allowHalfOpen: true });
  socket.end('GET /you HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(`${Buffer.concat(await socket.toArray())}`, /200 OK.*"hello":"you"/s);
}

async function goesWrong(host) {
  const refused = await failure(send(http.get({ host, port: REFUSED })));
  assert.deepEqual([refused.code, refused.port], ['ECONNREFUSED', REFUSED]);
  assert.equal((await failure(send(http.get({ host, port: RESETS })))).code, 'ECONNRESET');
  const silent = http.get({ host, port: 3003, path: '/silence', timeout: 50 });
  await once(silent, 'timeout');
  silent.destroy();
  assert.match((await failure(once(silent, 'response'))).message, /socket hang up/);
  const signal = AbortSignal.timeout(20);
  const cut = http.request({ host, port: 3003, path: '/echo', method: 'POST', signal });
  cut.write(BODY);
  assert.equal((await failure(once(cut, 'never'))).name, 'AbortError');
}

/** What a server that is in a hurry does to who is silent: before, within and after a request. */
async function impatience(host) {
  const slow = net.connect(3005, host);
  slow.write('GET / HTTP/1.1\r\n');
  assert.match(`${Buffer.concat(await slow.toArray())}`, /^HTTP\/1.1 408 /);
  const error = await failure(send(http.get({ host, port: 3005, path: '/silence' })));
  assert.equal(error.message, 'socket hang up');
  const idle = net.connect(3005, host);
  idle.write('GET /you HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(`${Buffer.concat(await idle.toArray())}`, /"hello":"you"/);
}

export async function ask(host) {
  const post = { host, path: '/echo', method: 'POST' };
  isBody((await send(http.request({ ...post, port: 3003 }), BODY)).body);
  const secure = { ca: process.env.CERTIFICATE, servername: 'localhost', agent: false };
  isBody((await send(https.request({ ...post, ...secure, port: 3004 }), BODY)).body);
  await keepAlive(host);
  await many(host);
  await upgrade(host);
  await halfClosed(host);
  await goesWrong(host);
  await impatience(host);
}
