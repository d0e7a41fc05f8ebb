// undici: a pool, pipelining, an upgrade, its own timeouts, its WebSocket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Client, Pool, request, WebSocket } from 'undici';
import { BODY, failure, isBody, MANY, REFUSED, RESETS, times } from '../checks.mjs';

async function pooled(origin) {
  const pool = new Pool(origin, { connections: MANY });
  const asked = times(MANY, async (i) => {
    const { body } = await pool.request({ path: `/${i}`, method: 'GET' });
    assert.deepEqual(await body.json(), { hello: `${i}` });
  });
  await Promise.all(asked);
  await pool.close();
}

async function pipelined(origin) {
  const client = new Client(origin, { pipelining: 10 });
  let connections = 0;
  client.on('connect', () => connections++);
  const asked = times(50, async (i) => {
    const { body } = await client.request({ path: `/${i}`, method: 'GET' });
    assert.deepEqual(await body.json(), { hello: `${i}` });
  });
  await Promise.all(asked);
  assert.equal(connections, 1);
  await client.close();
}

export async function ask(host) {
  const origin = `http://${host}:3003`;
  const { body } = await request(`${origin}/echo`, { method: 'POST', body: BODY });
  isBody(Buffer.from(await body.arrayBuffer()));
  await pooled(origin);
  await pipelined(origin);
  const client = new Client(origin);
  const { socket } = await client.upgrade({ path: '/', protocol: 'echo' });
  socket.end(BODY);
  isBody(Buffer.concat(await socket.toArray()));
  await client.destroy();
  const late = await failure(request(`${origin}/silence`, { headersTimeout: 50 }));
  assert.equal(late.code, 'UND_ERR_HEADERS_TIMEOUT');
  assert.equal((await failure(request(`http://${host}:${REFUSED}`))).code, 'ECONNREFUSED');
  const reset = await failure(request(`http://${host}:${RESETS}`));
  assert.match(reset.code, /^(ECONNRESET|UND_ERR_SOCKET)$/);
  const ws = new WebSocket(`ws://${host}:3008`);
  await once(ws, 'open');
  ws.send('to and fro');
  const [{ data }] = await once(ws, 'message');
  assert.equal(data, 'to and fro');
  ws.close();
  await once(ws, 'close');
}
