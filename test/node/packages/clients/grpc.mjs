// grpc-js: one call, a stream both ways, an error by its code, a deadline.
import assert from 'node:assert/strict';
import { Client, credentials, status } from '@grpc/grpc-js';
import { BODY, failure, isBody, REFUSED, times } from '../checks.mjs';

const same = (data) => data;

const once = (client, data, options = {}) =>
  new Promise((done, failed) => {
    const answer = (error, value) => (error ? failed(error) : done(value));
    client.makeUnaryRequest('/Echo/Once', same, same, data, options, answer);
  });

export async function ask(host) {
  const options = { 'grpc.max_receive_message_length': 20 * 2 ** 20 };
  const client = new Client(`${host}:3010`, credentials.createInsecure(), options);
  isBody(await once(client, BODY));
  await Promise.all(
    times(100, async (i) => assert.equal(`${await once(client, Buffer.from(`${i}`))}`, `${i}`)),
  );
  const stream = client.makeBidiStreamRequest('/Echo/Stream', same, same);
  for (let at = 0; at < BODY.length; at += 65_536) stream.write(BODY.subarray(at, at + 65_536));
  stream.end();
  isBody(Buffer.concat(await stream.toArray()));
  assert.equal((await failure(once(client, Buffer.alloc(0)))).code, status.INVALID_ARGUMENT);
  client.close();
  const refused = new Client(`${host}:${REFUSED}`, credentials.createInsecure());
  const deadline = { deadline: Date.now() + 5000 };
  assert.equal((await failure(once(refused, BODY, deadline))).code, status.UNAVAILABLE);
  refused.close();
}
