// memcached: the classic protocol, by a pool of connections. Values are small, and text: it parses
// line by line, and everything that it has of a value again when more of it comes.
import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import Memcached from 'memcached';
import { BODY, digest, failure, REFUSED, times } from '../checks.mjs';

const PIECE_BYTES = 2 ** 14;
const SECONDS = 60;

export async function ask(host) {
  const cache = new Memcached(`${host}:11211`, { poolSize: 20, timeout: 20_000 });
  const [set, get] = [cache.set, cache.get].map((method) => promisify(method.bind(cache)));
  const pieces = times(BODY.length / PIECE_BYTES, (i) =>
    BODY.toString('base64', i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
  );
  await Promise.all(pieces.map((piece, i) => set(`piece${i}`, piece, SECONDS)));
  const back = [];
  for (let i = 0; i < pieces.length; i++) back.push(await get(`piece${i}`));
  assert.equal(
    digest(Buffer.concat(back.map((text) => Buffer.from(text, 'base64')))),
    digest(BODY),
  );
  await Promise.all(times(500, (i) => set(`key${i}`, i, SECONDS)));
  const many = promisify(cache.getMulti.bind(cache));
  assert.equal((await many(times(100, (i) => `key${i}`))).key99, 99);
  cache.end();
  const away = new Memcached(`${host}:${REFUSED}`, { retries: 0, failures: 0, remove: true });
  const error = await failure(promisify(away.get.bind(away))('key'));
  assert.match(error.message, /ECONNREFUSED|not available/);
  away.end();
}
