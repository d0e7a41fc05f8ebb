// mysql2: a long query, a large answer, a pool, a query that fails.
import assert from 'node:assert/strict';
import mysql from 'mysql2/promise';
import { BODY, digest, failure, REFUSED, times } from '../checks.mjs';

export async function ask(host) {
  const options = { host, port: 3018, user: 'us', password: 'x' };
  const connection = await mysql.createConnection(options);
  await connection.ping();
  const long = `SELECT '${BODY.toString('base64')}'`;
  const [[{ length }]] = await connection.query(long);
  assert.equal(Number(length), long.length);
  const [[{ data }]] = await connection.query('SELECT long');
  assert.equal(digest(data), digest('mysql'.repeat(2 * 2 ** 20)));
  assert.equal((await failure(connection.query('SELECT 1/0'))).errno, 1365);
  await connection.end();
  const pool = mysql.createPool({ ...options, connectionLimit: 20 });
  await Promise.all(times(200, (i) => pool.query(`SELECT ${i}`)));
  await pool.end();
  const at = (port) => failure(mysql.createConnection({ ...options, port }));
  assert.equal((await at(REFUSED)).code, 'ECONNREFUSED');
  const silent = mysql.createConnection({ ...options, port: 3011, connectTimeout: 100 });
  assert.equal((await failure(silent)).code, 'ETIMEDOUT');
}
