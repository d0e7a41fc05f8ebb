/** Streams over Node's own net.Server and net.Socket, on two stacks of ours: bytes, their end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { layBed, SERVER } from './bed.ts';
import { bytesOf, connected, digest, digestOf, pattern, serve, sleep, textOf } from './serving.ts';

const bed = layBed();
after(() => bed.close());

const MEGABYTES = 10 * 2 ** 20;
const echo = (socket: net.Socket): void => void socket.pipe(socket);

describe('bytes', () => {
  test('line_sent_isEchoed_inEveryEncoding', async () => {
    const { port, close } = await serve({}, echo);
    const socket = await connected(port);
    assert.ok(socket instanceof net.Socket);
    socket.write('latin é', 'latin1');
    socket.write(' utf8 é€', 'utf8');
    socket.write('2026', 'hex');
    socket.write('wide', 'utf16le');
    socket.write('');
    socket.end(Buffer.from('!'));
    const expected = Buffer.concat([
      Buffer.from('latin é', 'latin1'),
      Buffer.from(' utf8 é€'),
      Buffer.from('2026', 'hex'),
      Buffer.from('wide', 'utf16le'),
      Buffer.from('!'),
    ]);
    assert.deepEqual(await bytesOf(socket), expected);
    assert.deepEqual([socket.bytesWritten, socket.bytesRead], [expected.length, expected.length]);
    await close();
    await bed.settled();
  });

  test('tenMegabytes_up_andDown_everyByteByChecksum', async () => {
    const bytes = pattern(MEGABYTES);
    const up = Promise.withResolvers<[number, string]>();
    const { port, close } = await serve({ allowHalfOpen: true }, (socket) => {
      digestOf(socket).then(up.resolve, up.reject);
      socket.end(bytes);
    });
    const socket = await connected(port);
    socket.end(bytes);
    assert.deepEqual(await digestOf(socket), [MEGABYTES, digest(bytes)]);
    assert.deepEqual(await up.promise, [MEGABYTES, digest(bytes)]);
    assert.equal(socket.bytesRead, MEGABYTES);
    assert.equal(socket.bytesWritten, MEGABYTES);
    await close();
    await bed.settled();
  });

  test('manyPieces_cork_andWritev_arriveInOrder', async () => {
    const { port, close } = await serve({}, echo);
    const socket = await connected(port);
    const pieces = Array.from({ length: 500 }, (_v, i) => `${i},`);
    socket.cork();
    for (const [i, piece] of pieces.entries()) {
      socket.write(i % 3 === 0 ? Buffer.from(piece) : piece, i % 3 === 1 ? 'latin1' : 'utf8');
    }
    socket.uncork();
    socket.end();
    assert.equal(await textOf(socket), pieces.join(''));
    await close();
    await bed.settled();
  });

  test('readerIsSlow_writerIsToldToWait_andNothingIsLost', async () => {
    const bytes = pattern(2 ** 20 * 4);
    const { port, close } = await serve({}, async (socket) => {
      let waits = 0;
      for (let at = 0; at < bytes.length; at += 65_536) {
        if (!socket.write(bytes.subarray(at, at + 65_536))) {
          waits++;
          await once(socket, 'drain');
        }
      }
      socket.end();
      assert.ok(waits > 0, 'back-pressure');
    });
    const socket = await connected(port);
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      if (pieces.length % 16 !== 0) return;
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
    await once(socket, 'end');
    assert.equal(digest(Buffer.concat(pieces)), digest(bytes));
    await close();
    await bed.settled();
  });

  test('pausedReader_writerStops_queueIsBounded_resumed_allComes', async () => {
    const bytes = pattern(2 ** 20 * 4);
    const written = Promise.withResolvers<void>();
    let server: net.Socket | undefined;
    const { port, close } = await serve({}, (socket) => {
      server = socket;
      socket.end(bytes, written.resolve);
    });
    const socket = await connected(port);
    socket.pause();
    const isWritten = written.promise.then(() => true);
    assert.equal(await Promise.race([isWritten, sleep(100).then(() => false)]), false);
    const { _handle } = server as unknown as { _handle: { writeQueueSize: number } };
    assert.ok(_handle.writeQueueSize > 0);
    assert.ok(socket.readableLength < 2 ** 20, 'the reader holds little');
    assert.deepEqual(await digestOf(socket), [bytes.length, digest(bytes)]);
    await written.promise;
    await close();
    await bed.settled();
  });

  test('pausedReader_bothSidesHaveClosed_theRestIsStillThere', async () => {
    const bytes = pattern(300_000);
    const { port, close } = await serve({}, (socket) => socket.resume().end(bytes));
    const socket = await connected(port, { allowHalfOpen: true });
    socket.pause();
    socket.end();
    await sleep(100);
    assert.deepEqual(await digestOf(socket), [bytes.length, digest(bytes)]);
    await close();
    await bed.settled();
  });

  test('onread_ownBuffer_isFilledAgainAndAgain_andFalsePauses', async () => {
    const bytes = pattern(200_000);
    const { port, close } = await serve({}, (socket) => socket.end(bytes));
    const buffer = Buffer.alloc(1000);
    const seen: Buffer[] = [];
    const socket = net.connect({
      ...{ port, host: SERVER },
      onread: {
        buffer,
        callback(count, given) {
          assert.equal(given, buffer);
          seen.push(Buffer.from(given.subarray(0, count)));
          if (seen.length % 50 !== 0) return true;
          setTimeout(() => socket.resume(), 1);
          return false;
        },
      },
    });
    await once(socket, 'end');
    assert.equal(digest(Buffer.concat(seen)), digest(bytes));
    await close();
    await bed.settled();
  });
});

describe('ends', () => {
  test('halfClosed_serverAnswersAfterwards_clientReadsIt', async () => {
    const { port, close } = await serve({ allowHalfOpen: true }, (socket) => {
      let asked = '';
      socket.on('data', (piece) => {
        asked += piece;
      });
      socket.on('end', () => setTimeout(() => socket.end(`heard ${asked}`), 20));
    });
    const socket = await connected(port);
    socket.end('question');
    await once(socket, 'finish');
    assert.equal(socket.readyState, 'readOnly');
    assert.equal(await textOf(socket), 'heard question');
    await close();
    await bed.settled();
  });

  test('peerEnds_noHalfOpen_socketEndsItself_andWritesFail', async () => {
    const { port, close } = await serve({}, (socket) => socket.end('bye'));
    const socket = await connected(port);
    socket.resume();
    await once(socket, 'end');
    const errors: unknown[] = [];
    socket.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code));
    await once(socket, 'close');
    socket.write('late', (error) => errors.push((error as NodeJS.ErrnoException).code));
    await sleep(10);
    assert.deepEqual(errors.slice(0, 1), ['EPIPE']);
    await close();
    await bed.settled();
  });

  test('refused_errorHasCodeSyscallAddressPort', async () => {
    const socket = net.connect(4999, SERVER);
    const [error] = await once(socket, 'error');
    const { code, syscall, address, port, errno, message } = error;
    assert.deepEqual(
      { code, syscall, address, port, errno, message },
      {
        ...{ code: 'ECONNREFUSED', syscall: 'connect', address: SERVER, port: 4999, errno: -111 },
        message: `connect ECONNREFUSED ${SERVER}:4999`,
      },
    );
    assert.equal(socket.destroyed, true);
    await bed.settled();
  });

  test('peerResets_errorIsEconnreset_onRead', async () => {
    const { port, close } = await serve({}, (socket) => socket.resetAndDestroy());
    const socket = net.connect(port, SERVER);
    const [error] = await once(socket, 'error');
    assert.deepEqual([error.code, error.syscall, error.errno], ['ECONNRESET', 'read', -104]);
    await close();
    await bed.settled();
  });

  test('peerResets_pendingWrite_fails', async () => {
    const accepted = Promise.withResolvers<net.Socket>();
    const { port, close } = await serve({}, (socket) => accepted.resolve(socket.pause()));
    const socket = await connected(port);
    const wrote = Promise.withResolvers<Error | null | undefined>();
    socket.write(pattern(2 ** 22), wrote.resolve);
    socket.on('error', () => {});
    await sleep(50);
    (await accepted.promise).resetAndDestroy();
    assert.ok(await wrote.promise, 'the callback hears of it');
    if (!socket.closed) await once(socket, 'close');
    await close();
    await bed.settled();
  });

  test('destroyed_whileConnecting_nothingIsLeft', async () => {
    const { port, close } = await serve({}, echo);
    const socket = net.connect(port, SERVER);
    socket.on('connect', () => assert.fail('connected'));
    socket.destroy();
    await once(socket, 'close');
    await close();
    await bed.settled();
  });

  test('aborted_bySignal_errorIsAbortError', async () => {
    const { port, close } = await serve({}, echo);
    const abort = new AbortController();
    const socket = await connected(port, { signal: abort.signal });
    abort.abort();
    const [error] = await once(socket, 'error');
    assert.equal(error.name, 'AbortError');
    await close();
    await bed.settled();
  });

  test('idle_timeoutIsTold_andTrafficPutsItOff', async () => {
    const { port, close } = await serve({}, echo);
    const socket = await connected(port);
    socket.setTimeout(60);
    const from = performance.now();
    const ticking = setInterval(() => socket.write('.'), 20);
    socket.on('data', () => {});
    setTimeout(() => clearInterval(ticking), 150);
    await once(socket, 'timeout');
    assert.ok(performance.now() - from > 180, 'not while there was traffic');
    assert.equal(socket.destroyed, false);
    socket.destroy();
    await close();
    await bed.settled();
  });

  test('destroyed_connectedAgain_sameSocketHasAnotherLife', async () => {
    const { port, close } = await serve({}, echo);
    const socket = await connected(port);
    socket.destroy();
    await once(socket, 'close');
    socket.connect(port, SERVER);
    await once(socket, 'connect');
    socket.end('again');
    assert.equal(await textOf(socket), 'again');
    await close();
    await bed.settled();
  });
});

test('thousandConnections_eachEchoed', async () => {
  const { port, server, close } = await serve({}, echo);
  const one = async (i: number): Promise<void> => {
    const socket = net.connect(port, SERVER);
    socket.end(`number ${i}`);
    assert.equal(await textOf(socket), `number ${i}`);
  };
  const sockets = Array.from({ length: 1000 }, (_v, i) => one(i));
  await once(server, 'connection');
  await Promise.all(sockets);
  await close();
  await bed.settled();
});
