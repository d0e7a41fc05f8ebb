// Socket.IO: by long polling, then upgraded, and by WebSocket at once.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { BODY, isBody, REFUSED, times } from '../checks.mjs';

const connect = async (host, options) => {
  const socket = io(`http://${host}:3009`, { forceNew: true, ...options });
  await new Promise((done, failed) => socket.on('connect', done).on('connect_error', failed));
  return socket;
};

export async function ask(host) {
  const polling = await connect(host);
  const { engine } = polling.io;
  if (engine.transport.name === 'polling') await once(engine, 'upgrade');
  isBody(await polling.emitWithAck('echo', BODY));
  const others = await Promise.all(times(50, () => connect(host, { transports: ['websocket'] })));
  await Promise.all(others.map((other) => other.emitWithAck('join', 'room')));
  const heard = others.map((other) => new Promise((done) => other.on('said', done)));
  polling.emit('say', 'room', 'hello');
  assert.deepEqual([...new Set(await Promise.all(heard))], ['hello']);
  for (const each of [polling, ...others]) each.disconnect();
  const refused = io(`http://${host}:${REFUSED}`, { reconnection: false, forceNew: true });
  await new Promise((done) => refused.on('connect_error', done));
}
