/** Several servers of one program on one port, on our stack. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, test } from 'node:test';
import { layBed, SERVER } from './bed.ts';
import { textOf } from './serving.ts';

const bed = layBed();
after(() => bed.close());

async function naming(name: string, options: net.ListenOptions): Promise<net.Server> {
  const server = net.createServer((socket) => socket.end(name)).listen(options);
  await once(server, 'listening');
  return server;
}

async function askTimes(count: number, port: number, host = SERVER): Promise<string[]> {
  const names: string[] = [];
  for (let i = 0; i < count; i++) names.push(await textOf(net.connect(port, host)));
  return names;
}

async function closed(...servers: net.Server[]): Promise<void> {
  for (const server of servers) {
    server.close();
    await once(server, 'close');
  }
  await bed.settled();
}

for (const host of [SERVER, '127.0.0.1']) {
  test(`portShared_twoServers_eachHearsInTurn_atHost ${host}`, async () => {
    const options = { host, port: 5077, reusePort: true };
    const [first, second] = [await naming('first', options), await naming('second', options)];
    assert.deepEqual((await askTimes(4, 5077, host)).sort(), [
      ...['first', 'first', 'second', 'second'],
    ]);
    first.close();
    await once(first, 'close');
    assert.deepEqual(await askTimes(2, 5077, host), ['second', 'second']);
    await closed(second);
    await closed(await naming('again', options));
  });
}

test('oneServerForEachIpVersion_samePort_eachHearsItsOwn', async () => {
  const six = await naming('six', { host: '::', port: 5078, ipv6Only: true });
  const four = await naming('four', { host: '0.0.0.0', port: 5078 });
  assert.deepEqual(await askTimes(2, 5078), ['four', 'four']);
  await closed(four);
  const refused = net.connect(5078, SERVER);
  await once(refused, 'error');
  await closed(six);
});

test('portShared_libixRefuses_everyServerHearsOfIt', async () => {
  const handlers = { received: (_c: unknown, _offset: number, length: number) => length };
  const taken = bed.server.ix.listen(5079, handlers, { address: SERVER });
  await new Promise((done) => setTimeout(done, 20));
  const options = { host: SERVER, port: 5079, reusePort: true };
  const servers = [net.createServer().listen(options), net.createServer().listen(options)];
  const errors = await Promise.all(servers.map((server) => once(server, 'error')));
  assert.deepEqual(
    errors.map(([{ code }]) => code),
    ['EADDRINUSE', 'EADDRINUSE'],
  );
  taken.close();
});
