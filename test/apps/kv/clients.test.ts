/**
 * Real clients against the store: libmemcached's conformance suite (memccapable) and the npm
 * client, through a socket server that feeds the fake. (The same clients against the whole stack:
 * test/acceptance.)
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { after, before, test } from 'node:test';
import type { FakeConnection } from './fake-ix.ts';
import { assertAllHome, type Fixture, startKv } from './fixture.ts';

type Done = (error: unknown, data: unknown) => void;
/** What is used of the npm client, which has no types. */
interface NpmClient {
  set(key: string, value: unknown, seconds: number, done: Done): void;
  cas(key: string, value: unknown, cas: string, seconds: number, done: Done): void;
  incr(key: string, by: number, done: Done): void;
  touch(key: string, seconds: number, done: Done): void;
  get(key: string, done: Done): void;
  gets(key: string, done: Done): void;
  getMulti(keys: string[], done: Done): void;
  del(key: string, done: Done): void;
  stats(done: Done): void;
  version(done: Done): void;
  flush(done: Done): void;
  end(): void;
}
const Client = createRequire(import.meta.url)('memcached') as new (server: string) => NpmClient;

const SUITE = '/usr/bin/memccapable';
let kv: Fixture;
let server: net.Server;
let port = 0;

const forward = (c: FakeConnection, socket: net.Socket): void => {
  c.acknowledge();
  const bytes = c.output();
  if (bytes.length > 0) socket.write(Buffer.from(bytes, 'latin1'));
  if (c.isClosing) socket.end();
};

before(async () => {
  kv = startKv(16);
  const start = Date.now();
  server = net.createServer((socket) => {
    const c = kv.ix.connect();
    socket.on('data', (bytes) => {
      kv.ix.ms = Date.now() - start;
      c.deliver(bytes);
      forward(c, socket);
    });
    socket.on('error', () => {});
    socket.on('close', () => c.die());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as net.AddressInfo).port;
});
after(async () => {
  await new Promise((resolve) => server.close(resolve));
  assertAllHome(kv);
});

const suiteMissing = (): string | false => {
  try {
    accessSync(SUITE);
    return false;
  } catch {
    return `${SUITE} is not installed`;
  }
};

test('memccapable_asciiSuite_passes', { skip: suiteMissing() }, async () => {
  const child = spawn(SUITE, ['-h', '127.0.0.1', '-p', `${port}`, '-a'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let told = '';
  child.stdout.on('data', (text) => (told += text));
  child.stderr.on('data', (text) => (told += text));
  const code = await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(code, 0, told);
  assert.ok(/All tests passed/.test(told) && (told.match(/\[pass\]/g) ?? []).length >= 20, told);
});

test('npmClient_everydayCalls_work', async () => {
  const client = new Client(`127.0.0.1:${port}`);
  const call = <T>(run: (done: Done) => void): Promise<T> =>
    new Promise((resolve, reject) =>
      run((error, data) => (error ? reject(error) : resolve(data as T))),
    );
  await call((done) => client.set('a', { deep: [1, 2, 3] }, 10, done));
  assert.deepEqual(await call((done) => client.get('a', done)), { deep: [1, 2, 3] });
  await call((done) => client.set('n', 5, 10, done));
  assert.equal(await call((done) => client.incr('n', 3, done)), 8);
  assert.deepEqual(await call((done) => client.getMulti(['n', 'none'], done)), { n: 8 });
  const { cas } = await call<{ cas: string }>((done) => client.gets('n', done));
  assert.equal(await call((done) => client.cas('n', 9, cas, 10, done)), true);
  assert.equal(await call((done) => client.cas('n', 10, cas, 10, done)), false);
  assert.equal(await call((done) => client.touch('n', 100, done)), true);
  assert.equal(await call((done) => client.del('n', done)), true);
  const [stats] = await call<Record<string, unknown>[]>((done) => client.stats(done));
  assert.equal(stats!['version'], '1.6.18');
  // It takes three numbers apart, and what is none of them ends its user's process.
  const [told] = await call<Record<string, unknown>[]>((done) => client.version(done));
  assert.deepEqual([told!['major'], told!['minor'], told!['bugfix']], ['1', '6', '18']);
  await call((done) => client.flush(done));
  assert.equal(await call((done) => client.get('a', done)), undefined);
  client.end();
});
