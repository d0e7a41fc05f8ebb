// axios, with its adapter for Node's http, and with fetch.
import assert from 'node:assert/strict';
import http from 'node:http';
import axios from 'axios';
import { BODY, failure, isBody, REFUSED, RESETS, times } from '../checks.mjs';

async function both(instance, host) {
  const options = { responseType: 'arraybuffer' };
  const posted = await instance.post('/echo', BODY, options);
  isBody(Buffer.from(posted.data));
  const asked = times(100, async (i) => {
    assert.deepEqual((await instance.get(`/${i}`)).data, { hello: `${i}` });
  });
  await Promise.all(asked);
  const late = await failure(instance.get('/silence', { timeout: 50 }));
  assert.match(late.code, /^(ECONNABORTED|ETIMEDOUT)$/);
  assert.equal(axios.isAxiosError(await failure(instance.get(`http://${host}:${RESETS}`))), true);
}

export async function ask(host) {
  const baseURL = `http://${host}:3003`;
  const httpAgent = new http.Agent({ keepAlive: true });
  await both(axios.create({ baseURL, httpAgent }), host);
  httpAgent.destroy();
  await both(axios.create({ baseURL, adapter: 'fetch' }), host);
  assert.equal((await failure(axios.get(`http://${host}:${REFUSED}`))).code, 'ECONNREFUSED');
}
