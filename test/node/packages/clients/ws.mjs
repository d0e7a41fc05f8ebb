// ws: ten megabytes, compressed; a thousand clients that all hear the same; an end by its code.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { BODY, failure, isBody, MANY, REFUSED, RESETS, times } from '../checks.mjs';

const open = async (host) => {
  const ws = new WebSocket(`ws://${host}:3008`);
  await once(ws, 'open');
  return ws;
};

export async function ask(host) {
  const ws = await open(host);
  ws.send(BODY);
  const [echo] = await once(ws, 'message');
  isBody(echo);
  const others = await Promise.all(times(MANY, () => open(host)));
  const heard = others.map(async (other) => `${(await once(other, 'message'))[0]}`);
  ws.send('all:hello');
  assert.deepEqual([...new Set(await Promise.all(heard))], ['all:hello']);
  for (const other of others) other.close(1000, 'enough');
  const codes = await Promise.all(others.map(async (other) => (await once(other, 'close'))[0]));
  assert.deepEqual([...new Set(codes)], [1000]);
  ws.ping('are you there');
  assert.equal(`${(await once(ws, 'pong'))[0]}`, 'are you there');
  ws.terminate();
  const at = (port) => once(new WebSocket(`ws://${host}:${port}`), 'open');
  assert.equal((await failure(at(REFUSED))).code, 'ECONNREFUSED');
  assert.equal((await failure(at(RESETS))).code, 'ECONNRESET');
}
