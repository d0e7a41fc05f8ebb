// Node's own http2, in clear and over TLS.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { BODY, failure, isBody, REFUSED, times } from '../checks.mjs';

async function send(session, headers, body) {
  const stream = session.request(headers);
  stream.end(body);
  return Buffer.concat(await stream.toArray());
}

async function both(session) {
  isBody(await send(session, { ':method': 'POST', ':path': '/echo' }, BODY));
  const asked = times(100, async (i) => {
    const body = await send(session, { ':path': `/${i}` });
    assert.deepEqual(JSON.parse(body), { hello: `${i}` });
  });
  await Promise.all(asked);
  const cancelled = session.request({ ':path': '/resets' });
  await once(cancelled, 'close');
  assert.equal(cancelled.rstCode, http2.constants.NGHTTP2_CANCEL);
  await new Promise((done, failed) => session.ping((error) => (error ? failed(error) : done())));
  session.close();
  await once(session, 'close');
}

export async function ask(host) {
  const maxSessionMemory = 64;
  await both(http2.connect(`http://${host}:3006`, { maxSessionMemory }));
  const ca = process.env.CERTIFICATE;
  await both(
    http2.connect(`https://${host}:3007`, { ca, servername: 'localhost', maxSessionMemory }),
  );
  const refused = http2.connect(`http://${host}:${REFUSED}`);
  assert.equal((await failure(once(refused, 'connect'))).code, 'ECONNREFUSED');
}
