// memjs: the binary protocol.
import assert from 'node:assert/strict';
import memjs from 'memjs';
import { BODY, digest, failure, REFUSED, times } from '../checks.mjs';

const PIECE_BYTES = 2 ** 19;

export async function ask(host) {
  const cache = memjs.Client.create(`${host}:11211`);
  const pieces = times(BODY.length / PIECE_BYTES, (i) =>
    BODY.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
  );
  await Promise.all(pieces.map((piece, i) => cache.set(`binary${i}`, piece, { expires: 60 })));
  const back = await Promise.all(pieces.map((_piece, i) => cache.get(`binary${i}`)));
  assert.equal(digest(Buffer.concat(back.map(({ value }) => value))), digest(BODY));
  assert.equal((await cache.get('nothing')).value, null);
  cache.close();
  const away = memjs.Client.create(`${host}:${REFUSED}`, { retries: 1 });
  assert.match((await failure(away.get('key'))).message, /ECONNREFUSED|No servers/i);
  away.close();
}
