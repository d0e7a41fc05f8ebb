/** What net.Server and net.Socket say of addresses, ports, limits and order, on our stack. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { CLIENT, layBed, SERVER } from './bed.ts';
import { connected, digest, digestOf, serve, sleep, textOf } from './serving.ts';

const MEGABYTES = 10 * 2 ** 20;

const bed = layBed();
after(() => bed.close());

const echo = (socket: net.Socket): void => void socket.pipe(socket);

async function errorOf(server: net.Server): Promise<Record<string, unknown>> {
  const [{ code, syscall, address, port, message }] = await once(server, 'error');
  return { code, syscall, address, port, message };
}

describe('listening', () => {
  test('anyPort_isKnownAtOnce_andListeningComesLater', async () => {
    const server = net.createServer();
    let isTold = false;
    server.listen(0, () => {
      isTold = true;
    });
    assert.equal(server.listening, true);
    assert.equal(isTold, false);
    const { address, family, port } = server.address() as net.AddressInfo;
    assert.deepEqual([address, family], ['0.0.0.0', 'IPv4'], 'the bed has no IPv6');
    assert.ok(port >= 49_152);
    await once(server, 'listening');
    assert.equal(isTold, true);
    assert.equal(Object.hasOwn(server, 'emit'), false, 'nothing is left on it');
    server.close();
    assert.equal(server.address(), null);
    await once(server, 'close');
  });

  test('portInUse_errorIsEaddrinuse_andTheFirstGoesOn', async () => {
    const first = await serve({}, echo);
    const second = net.createServer().listen(first.port, SERVER);
    assert.deepEqual(await errorOf(second), {
      ...{ code: 'EADDRINUSE', syscall: 'listen', address: SERVER, port: first.port },
      message: `listen EADDRINUSE: address already in use ${SERVER}:${first.port}`,
    });
    assert.equal(second.listening, false);
    const socket = await connected(first.port);
    socket.end('still here');
    assert.equal(await textOf(socket), 'still here');
    await first.close();
    second.listen(first.port, SERVER);
    await once(second, 'listening');
    second.close();
    await bed.settled();
  });

  test('portInUse_noAddressAskedFor_errorNamesTheAddressThatIsTaken', async () => {
    const first = await serve({}, echo, null);
    const { address, code, message } = await errorOf(net.createServer().listen(first.port));
    assert.deepEqual([address, code], ['0.0.0.0', 'EADDRINUSE']);
    assert.ok(message?.toString().endsWith(` 0.0.0.0:${first.port}`));
    const { _connectionKey } = first.server as unknown as { _connectionKey: string };
    assert.equal(_connectionKey, '4:0.0.0.0:0');
    await first.close();
  });

  test('portOfLibixItself_inUse_errorComesInsteadOfListening', async () => {
    const handlers = { received: (_c: unknown, _offset: number, length: number) => length };
    const taken = bed.server.ix.listen(5055, handlers, { address: SERVER });
    await sleep(20);
    const server = net.createServer().listen(5055, SERVER);
    server.on('listening', () => assert.fail('it does not listen'));
    const { code, port } = await errorOf(server);
    assert.deepEqual([code, port, server.listening], ['EADDRINUSE', 5055, false]);
    taken.close();
  });

  test('addressOfSomebodyElse_isEaddrnotavail', async () => {
    const { code, address } = await errorOf(net.createServer().listen(0, '192.0.2.1'));
    assert.deepEqual([code, address], ['EADDRNOTAVAIL', '192.0.2.1']);
  });

  test('closedBeforeItIsHeard_neverListens_andThePortIsFree', async () => {
    const server = net.createServer().listen(5056, SERVER);
    server.on('listening', () => assert.fail('closed'));
    server.close();
    await once(server, 'close');
    assert.equal(Object.hasOwn(server, 'emit'), false, 'nothing is left on it');
    const again = net.createServer().listen(5056, SERVER);
    await once(again, 'listening');
    again.close();
    await once(again, 'close');
  });

  test('closed_connectionsLiveOn_closeComesBehindTheLast', async () => {
    const { port, server } = await serve({}, echo);
    const accepting = once(server, 'connection');
    const socket = await connected(port);
    await accepting;
    let isClosed = false;
    server.close(() => {
      isClosed = true;
    });
    socket.write('on');
    const [piece] = await once(socket, 'data');
    assert.deepEqual([`${piece}`, isClosed], ['on', false]);
    await sleep(20); // from the next turn on
    const refused = net.connect(port, SERVER);
    assert.equal((await once(refused, 'error'))[0].code, 'ECONNREFUSED');
    socket.end();
    await once(server, 'close');
    await bed.settled();
  });

  test('handlesAreAliases_listenTwice_throws', async () => {
    const { server, port, close } = await serve({}, echo);
    assert.throws(() => server.listen(port), { code: 'ERR_SERVER_ALREADY_LISTEN' });
    await close();
  });
});

describe('names', () => {
  test('bothEnds_knowBothAddresses', async () => {
    const accepted = Promise.withResolvers<net.Socket>();
    const { port, close } = await serve({}, (socket) => accepted.resolve(socket));
    const socket = await connected(port);
    const peer = await accepted.promise;
    assert.deepEqual(
      [socket.remoteAddress, socket.remotePort, socket.remoteFamily, socket.localAddress],
      [SERVER, port, 'IPv4', CLIENT],
    );
    assert.deepEqual(peer.address(), { address: SERVER, family: 'IPv4', port });
    assert.deepEqual([peer.remoteAddress, peer.remotePort], [CLIENT, socket.localPort]);
    socket.destroy();
    assert.equal(socket.localPort, undefined);
    await once(peer, 'close');
    await close();
    await bed.settled();
  });

  test('localPort_isUsed_andTwiceIsRefused', async () => {
    const { port, close } = await serve({}, echo);
    const own = { localAddress: CLIENT, localPort: 6001 };
    const socket = await connected(port, own);
    assert.equal(socket.localPort, 6001);
    const second = net.connect({ port, host: SERVER, ...own });
    const [error] = await once(second, 'error');
    assert.deepEqual([error.code, error.syscall, error.port], ['EADDRINUSE', 'bind', 6001]);
    socket.destroy();
    await close();
    await bed.settled();
  });
});

describe('limits', () => {
  test('maxConnections_furtherOnesAreDropped_andTold', async () => {
    const { server, port, close } = await serve({}, echo);
    server.maxConnections = 1;
    const first = await connected(port);
    const dropping = once(server, 'drop');
    const second = net.connect(port, SERVER);
    second.on('error', () => {});
    const [data] = await dropping;
    assert.deepEqual([data.remoteAddress, data.localPort], [CLIENT, port]);
    await once(second.resume(), 'close');
    first.destroy();
    await close();
    await bed.settled();
  });

  test('blockList_peerIsNotLetIn_andOursIsNotCalled', async () => {
    const blockList = new net.BlockList();
    blockList.addAddress(CLIENT);
    const { port, close } = await serve({ blockList }, () => assert.fail('blocked'));
    const socket = net.connect(port, SERVER);
    socket.on('error', () => {});
    await once(socket.resume(), 'close');
    const mine = new net.BlockList();
    mine.addAddress(SERVER);
    const blocked = net.connect({ port, host: SERVER, blockList: mine });
    assert.equal((await once(blocked, 'error'))[0].code, 'ERR_IP_BLOCKED');
    await close();
    await bed.settled();
  });

  test('pauseOnConnect_nothingIsReadUntilItIsResumed', async () => {
    const accepted = Promise.withResolvers<net.Socket>();
    const { port, close } = await serve({ pauseOnConnect: true }, (s) => accepted.resolve(s));
    const socket = await connected(port);
    socket.end('held');
    const peer = await accepted.promise;
    await sleep(30);
    assert.equal(peer.bytesRead, 0);
    assert.equal(await textOf(peer), 'held');
    await close();
    await bed.settled();
  });
});

describe('order', () => {
  test('ticksAndPromises_runBehindEachEvent', async () => {
    const order: string[] = [];
    const { port, close } = await serve({}, (socket) => {
      socket.on('data', (piece) => {
        order.push(`data ${piece}`);
        process.nextTick(() => order.push(`tick ${piece}`));
        Promise.resolve().then(() => order.push(`promise ${piece}`));
      });
      socket.on('end', () => order.push('end'));
    });
    const sockets = await Promise.all([connected(port), connected(port)]);
    for (const [i, socket] of sockets.entries()) socket.resume().end(`${i}`);
    await Promise.all(sockets.map((socket) => once(socket, 'close')));
    for (const i of [0, 1]) {
      const at = order.indexOf(`data ${i}`);
      assert.deepEqual(order.slice(at, at + 3), [`data ${i}`, `tick ${i}`, `promise ${i}`]);
    }
    await close();
    await bed.settled();
  });

  test('socketCallbacks_throw_uncaughtExceptionGetsEach_andTheRestGoesOn', async () => {
    const caught: string[] = [];
    const { server, port } = await serve({}, echo);
    server.on('connection', () => {
      throw new Error('connection');
    });
    const heard = process.rawListeners('uncaughtException') as NodeJS.UncaughtExceptionListener[];
    const rejected = process.rawListeners('unhandledRejection') as never[];
    for (const name of ['uncaughtException', 'unhandledRejection'])
      process.removeAllListeners(name);
    process.on('uncaughtException', (error, origin) => {
      caught.push(origin === 'uncaughtException' ? error.message : `${error.message}, ${origin}`);
    });
    try {
      const socket = await connected(port);
      for (const name of ['data', 'close'] as const) {
        socket.on(name, () => {
          Promise.reject(new Error(`promise of ${name}`));
          throw new Error(name);
        });
      }
      socket.end('once');
      for (let looks = 0; caught.length < 5 && looks < 500; looks++) await sleep(10);
      await once(server.close(), 'close');
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const each of heard) process.on('uncaughtException', each);
      for (const each of rejected) process.on('unhandledRejection', each);
    }
    const each = ['data', 'close'].flatMap((name) => [
      name,
      `promise of ${name}, unhandledRejection`,
    ]);
    assert.deepEqual(caught, ['connection', ...each]);
    await bed.settled();
  });

  test('asyncContext_connectionHasThatOfListen_clientThatOfConnect', async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const server = net.createServer((socket) => {
      seen.push(context.getStore());
      socket.end('x');
      socket.resume();
    });
    context.run('of listen', () => server.listen(0, SERVER));
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const socket = context.run('of connect', () => net.connect(port, SERVER));
    socket.on('data', () => seen.push(context.getStore()));
    await once(socket, 'close');
    assert.deepEqual(seen, ['of listen', 'of connect']);
    server.close();
    await once(server, 'close');
    await bed.settled();
  });

  test('writtenBeforeConnected_goesOut_andIsCounted', async () => {
    const { port, close } = await serve({}, echo);
    const socket = net.connect(port, SERVER);
    socket.write('before ');
    socket.end('connect');
    assert.equal(socket.bytesWritten, 14);
    assert.equal(socket.pending, true);
    assert.equal(await textOf(socket), 'before connect');
    await close();
    await bed.settled();
  });
});

describe('loopback', () => {
  test('textOfTenMegabytes_bytesBehindIt_oneWritev_allArrive', async () => {
    const text = 'é'.repeat(MEGABYTES / 2);
    const bytes = Buffer.alloc(MEGABYTES, 7);
    const { port, close } = await serve(
      {},
      (socket) => {
        socket.cork();
        socket.write(text);
        socket.end(bytes);
        socket.uncork();
      },
      '127.0.0.1',
    );
    const [length, hash] = await digestOf(net.connect(port, '127.0.0.1'));
    assert.equal(length, 2 * MEGABYTES);
    assert.equal(hash, digest(Buffer.concat([Buffer.from(text), bytes])));
    await close();
  });

  test('ownAddresses_stayInTheThread_refusedAndReset', async () => {
    const { port, close } = await serve({ allowHalfOpen: true }, echo, '127.0.0.1');
    const bytes = Buffer.alloc(2 ** 21, 'loop');
    const socket = net.connect(port, 'localhost');
    socket.end(bytes);
    assert.equal((await textOf(socket)).length, bytes.length);
    assert.equal(socket.bytesWritten, bytes.length);
    const outside = net.connect(port, SERVER);
    assert.equal((await once(outside, 'error'))[0].code, 'ECONNREFUSED');
    const nobody = net.connect(port + 1, '127.0.0.1');
    assert.equal((await once(nobody, 'error'))[0].code, 'ECONNREFUSED');
    await close();
  });

  test('peerResets_errorIsEconnreset', async () => {
    const { port, close } = await serve({}, (socket) => socket.resetAndDestroy(), '127.0.0.1');
    const socket = net.connect(port, '127.0.0.1');
    assert.equal((await once(socket, 'error'))[0].code, 'ECONNRESET');
    await close();
  });

  test('happyEyeballs_firstAddressIsRefused_secondIsTaken', async () => {
    const { port, close } = await serve({}, echo, '127.0.0.1');
    const addresses = [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ];
    const lookup = (_name: string, _options: object, done: (...args: unknown[]) => void) =>
      done(null, addresses);
    const socket = net.connect({ port, host: 'both.example', lookup: lookup as never });
    await once(socket, 'connect');
    assert.equal(socket.remoteAddress, '127.0.0.1');
    assert.deepEqual(socket.autoSelectFamilyAttemptedAddresses, [
      `::1:${port}`,
      `127.0.0.1:${port}`,
    ]);
    socket.end();
    await once(socket.resume(), 'close');
    await close();
  });
});
