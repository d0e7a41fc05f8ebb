// pg: in clear and by TLS, ten megabytes as a parameter, a pool, a query that fails, a server that
// ends the connection.
import assert from 'node:assert/strict';
import pg from 'pg';
import { BODY, failure, isBody, REFUSED, RESETS, times } from '../checks.mjs';

export async function ask(host) {
  const options = { host, port: 3017, user: 'us', database: 'ours', password: 'x' };
  const ssl = { ca: process.env.CERTIFICATE, servername: 'localhost' };
  for (const each of [options, { ...options, ssl }]) {
    const client = new pg.Client(each);
    await client.connect();
    const { rows } = await client.query('SELECT $1::bytea AS value', [BODY]);
    isBody(rows[0].value);
    const error = await failure(client.query('SELECT 1/0, $1', ['x']));
    assert.equal(error.code, '22012');
    await client.end();
  }
  const pool = new pg.Pool({ ...options, max: 20 });
  const asked = times(200, async (i) => {
    const { rows } = await pool.query('SELECT $1::bytea AS value', [Buffer.from(`${i}`)]);
    assert.equal(`${rows[0].value}`, `${i}`);
  });
  await Promise.all(asked);
  assert.equal(pool.totalCount, 20);
  const error = await failure(pool.query('SELECT terminate($1)', ['x']));
  assert.match(error.message, /Connection terminated unexpectedly/);
  await pool.end();
  const refused = new pg.Client({ ...options, port: REFUSED });
  assert.equal((await failure(refused.connect())).code, 'ECONNREFUSED');
  const reset = new pg.Client({ ...options, port: RESETS });
  assert.match(`${await failure(reset.connect())}`, /ECONNRESET|terminated unexpectedly/);
}
