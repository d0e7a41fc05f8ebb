// What a framework's server is asked: its parameter, its body, its error; a thousand at once.
import assert from 'node:assert/strict';
import { Pool } from 'undici';
import { BODY, isBody, MANY, times } from './checks.mjs';

export async function framework(origin) {
  const pool = new Pool(origin, { connections: MANY });
  const headers = { 'content-type': 'application/octet-stream' };
  const echo = { path: '/echo', method: 'POST', headers, body: BODY };
  isBody(Buffer.from(await (await pool.request(echo)).body.arrayBuffer()));
  const asked = times(MANY, async (i) => {
    const { body } = await pool.request({ path: `/hello/${i}`, method: 'GET' });
    assert.deepEqual(await body.json(), { hello: `${i}` });
  });
  await Promise.all(asked);
  const { statusCode, body } = await pool.request({ path: '/fails', method: 'GET' });
  assert.equal(statusCode, 500);
  assert.match(await body.text(), /of a handler/);
  await pool.close();
}
