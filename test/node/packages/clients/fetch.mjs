// Node's own fetch.
import assert from 'node:assert/strict';
import { BODY, failure, isBody, REFUSED, RESETS, times } from '../checks.mjs';

export async function ask(host) {
  const url = `http://${host}:3003`;
  const posted = await fetch(`${url}/echo`, { method: 'POST', body: BODY });
  isBody(Buffer.from(await posted.arrayBuffer()));
  const body = new Blob([BODY]).stream();
  const streamed = await fetch(`${url}/echo`, { method: 'POST', body, duplex: 'half' });
  isBody(Buffer.from(await streamed.arrayBuffer()));
  const asked = times(100, async (i) => {
    assert.deepEqual(await (await fetch(`${url}/${i}`)).json(), { hello: `${i}` });
  });
  await Promise.all(asked);
  const late = await failure(fetch(`${url}/silence`, { signal: AbortSignal.timeout(50) }));
  assert.equal(late.name, 'TimeoutError');
  const refused = await failure(fetch(`http://${host}:${REFUSED}`));
  assert.equal(refused.cause.code, 'ECONNREFUSED');
  const reset = await failure(fetch(`http://${host}:${RESETS}`));
  assert.match(reset.cause.code, /^(ECONNRESET|UND_ERR_SOCKET)$/);
}
