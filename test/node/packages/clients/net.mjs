// net and tls: half-close, refused, reset, timeout, a thousand connections at once.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { BODY, failure, isBody, MANY, REFUSED, RESETS, times } from '../checks.mjs';

/** Everything is sent and FIN behind it; everything comes back, and FIN behind it. */
async function halfClose(socket) {
  socket.end(BODY);
  isBody(Buffer.concat(await socket.toArray()));
}

/**
 * Not fewer than four bytes each: where more connect at once than its listener's queue holds, Linux
 * answers by SYN cookies, and takes a FIN up to three bytes behind its SYN for the handshake's end,
 * acknowledging bytes that it has dropped.
 */
async function many(host) {
  const sockets = times(MANY, () => net.connect(3011, host));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const echoes = sockets.map(async (socket, i) => {
    const text = `connection ${i}`;
    socket.end(text);
    assert.equal(`${Buffer.concat(await socket.toArray())}`, text);
  });
  await Promise.all(echoes);
}

export async function ask(host) {
  await halfClose(net.connect({ port: 3011, host, allowHalfOpen: true }));
  const ca = process.env.CERTIFICATE;
  await halfClose(tls.connect({ port: 3013, host, ca, servername: 'localhost' }));
  await many(host);
  const refused = await failure(once(net.connect(REFUSED, host), 'connect'));
  const { code, syscall, address, port } = refused;
  assert.deepEqual([code, syscall, address, port], ['ECONNREFUSED', 'connect', host, REFUSED]);
  const reset = net.connect(RESETS, host);
  reset.write('x');
  assert.equal((await failure(once(reset, 'end'))).code, 'ECONNRESET');
  const silent = net.connect({ port: 3011, host, timeout: 50 });
  await once(silent, 'timeout');
  assert.equal(silent.destroyed, false);
  silent.destroy();
}
