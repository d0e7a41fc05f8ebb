// The driver of MongoDB: its handshake and its pool, what is inserted is found.
import assert from 'node:assert/strict';
import { MongoClient } from 'mongodb';
import { BODY, failure, isBody, REFUSED, times } from '../checks.mjs';

export async function ask(host) {
  const client = new MongoClient(`mongodb://${host}:3019/?directConnection=true`);
  await client.connect();
  const ours = client.db('ours');
  assert.equal((await ours.command({ ping: 1 })).ok, 1);
  const things = ours.collection('things');
  const name = `${Math.random()}`;
  await things.insertOne({ name, data: BODY });
  const { data } = await things.findOne({ name });
  isBody(Buffer.from(data.buffer));
  await Promise.all(times(100, () => ours.command({ ping: 1 })));
  await client.close();
  const options = { serverSelectionTimeoutMS: 200 };
  const away = new MongoClient(`mongodb://${host}:${REFUSED}`, options);
  assert.match((await failure(away.connect())).message, /ECONNREFUSED/);
  await away.close();
}
