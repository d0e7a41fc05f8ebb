/**
 * The peers, each for itself over loopback: a competitor that loses or reorders bytes would make a
 * void comparison.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { compilePeer } from '../../bench/harness/compile.ts';
import { type PeerName, peerNamed, startPeer } from '../../bench/harness/peers.ts';
import { findProgram, startPinned } from '../../bench/harness/process.ts';
import { randomFrom, SEED } from '../arena/property.ts';

const noCompiler = !findProgram('cc') && 'a C compiler is missing: apt-get install gcc libc6-dev';
const noTaskset = !findProgram('taskset') && 'taskset is missing: apt-get install util-linux';
const skip = noCompiler || noTaskset;

/** Of its own, so that nothing else on this machine is in the way of the well-known ports. */
const ADDRESS = '127.77.0.2';

function randomBytes(length: number): Buffer {
  const random = randomFrom(SEED ^ length);
  return Buffer.from(Uint8Array.from({ length }, () => random() & 255));
}

/**
 * Writes everything at once, reads nothing for a while, then reads it all: exercises the peer's
 * back-pressure.
 */
async function echoed(port: number, bytes: Buffer, pauseMs: number): Promise<Buffer> {
  const socket = connect({ host: ADDRESS, port });
  await once(socket, 'connect');
  socket.pause();
  socket.write(bytes);
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  const answer = await readBytes(socket, bytes.length);
  socket.destroy();
  return answer;
}

async function readBytes(socket: Socket, length: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let got = 0;
  for await (const piece of socket as AsyncIterable<Buffer>) {
    pieces.push(piece);
    got += piece.length;
    if (got >= length) break;
  }
  return Buffer.concat(pieces);
}

for (const name of ['epoll', 'epollSpin', 'nodeNet'] satisfies PeerName[]) {
  test(`${name}_echoes_every_byte_in_order_to_slow_readers_too`, { skip }, async () => {
    const peer = peerNamed(name);
    assert.equal(peer.missing(), undefined);
    const running = await startPeer(peer, ADDRESS, 0);
    try {
      const streams = [1, 64, 65_537, 8_000_000].map(randomBytes);
      const answers = await Promise.all(streams.map((bytes) => echoed(peer.port, bytes, 200)));
      streams.forEach((bytes, i) => {
        assert.ok(bytes.equals(answers[i]!), `stream of ${bytes.length} bytes`);
      });
      // A client that resets must not take the server with it.
      const rude = connect({ host: ADDRESS, port: peer.port });
      await once(rude, 'connect');
      rude.resetAndDestroy();
      assert.equal((await echoed(peer.port, Buffer.from('after'), 0)).toString(), 'after');
      assert.equal(running.hasEnded, false);
    } finally {
      await running.stop();
    }
  });
}

test('memcached_answers_when_it_is_said_to_run', {
  skip: noTaskset || (!findProgram('memcached') && 'memcached: apt-get install memcached'),
}, async () => {
  const peer = peerNamed('memcached');
  const running = await startPeer(peer, ADDRESS, 0);
  try {
    const socket = connect({ host: ADDRESS, port: peer.port });
    socket.write('set k 0 0 2\r\nhi\r\nget k\r\n');
    const want = 'STORED\r\nVALUE k 0 2\r\nhi\r\nEND\r\n';
    assert.equal((await readBytes(socket, want.length)).toString(), want);
    socket.destroy();
  } finally {
    await running.stop();
  }
});

test('nodeKv_gives_the_answers_of_memcached', { skip: noTaskset }, async () => {
  const peer = peerNamed('nodeKv');
  const running = await startPeer(peer, ADDRESS, 0);
  const exchanges = [
    ['set k 5 0 2\r\nhi\r\n', 'STORED\r\n'],
    ['get k none k\r\n', 'VALUE k 5 2\r\nhi\r\nVALUE k 5 2\r\nhi\r\nEND\r\n'],
    ['add k 0 0 1\r\nx\r\n', 'NOT_STORED\r\n'],
    ['append k 0 0 1\r\n!\r\n', 'STORED\r\n'],
    ['prepend k 0 0 1\r\n-\r\n', 'STORED\r\n'],
    ['replace none 0 0 1\r\nx\r\n', 'NOT_STORED\r\n'],
    ['gets k\r\n', 'VALUE k 5 4 3\r\n-hi!\r\nEND\r\n'],
    ['cas k 0 0 1 9\r\nx\r\n', 'EXISTS\r\n'],
    ['cas k 0 0 2 3\r\n41\r\n', 'STORED\r\n'],
    ['incr k 1\r\ndecr k 100\r\nincr none 1\r\n', '42\r\n0\r\nNOT_FOUND\r\n'],
    ['touch k 100\r\ndelete k\r\ndelete k\r\n', 'TOUCHED\r\nDELETED\r\nNOT_FOUND\r\n'],
    [
      'set q 0 0 1 noreply\r\ny\r\nset e 0 -1 1\r\nz\r\nget e q\r\n',
      'STORED\r\nVALUE q 0 1\r\ny\r\nEND\r\n',
    ],
    ['bogus\r\nset\r\n', 'ERROR\r\nCLIENT_ERROR bad command line format\r\n'],
  ] as const;
  try {
    const socket = connect({ host: ADDRESS, port: peer.port });
    for (const [request, want] of exchanges) {
      // Byte by byte: requests arrive in any pieces.
      for (const byte of request) socket.write(byte);
      const got: Buffer[] = [];
      while (Buffer.concat(got).length < want.length) got.push((await once(socket, 'data'))[0]);
      assert.equal(Buffer.concat(got).toString(), want);
    }
    socket.destroy();
  } finally {
    await running.stop();
  }
});

test('netpipe_answers_whole_messages_of_every_size', { skip }, async () => {
  const peer = peerNamed('netpipe');
  const running = await startPeer(peer, ADDRESS, 0);
  try {
    const words = ['measure', ADDRESS, String(peer.port), '20', '4', '64', '1000000'];
    const client = startPinned(1, [compilePeer('netpipe'), ...words]);
    const { exitCode, output } = await client.ended;
    assert.equal(exitCode, 0);
    const results = JSON.parse(output) as { size: number; rttNs: number; exchanges: number }[];
    assert.deepEqual(
      results.map(({ size }) => size),
      [4, 64, 1_000_000],
    );
    for (const { rttNs, exchanges } of results) assert.ok(rttNs > 0 && exchanges >= 3);
  } finally {
    await running.stop();
  }
});

test('a_peer_that_cannot_start_says_why', { skip }, async () => {
  // An address of no interface here (RFC 5737).
  await assert.rejects(startPeer(peerNamed('epoll'), '192.0.2.1', 0), /does not start \(bind/);
});

/** What `bulk` makes of a seed: xorshift32, little-endian words. */
function seeded(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4);
  let x = seed;
  for (let i = 0; i < bytes.length; i += 4) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes.writeInt32LE(x, i);
  }
  return bytes.subarray(0, length);
}

const hex = (bytes: Buffer): string => crc32(bytes).toString(16).padStart(8, '0');

async function bulk(...words: (string | number)[]) {
  const running = startPinned(0, [compilePeer('bulk'), ...words.map(String)]);
  const { exitCode, output, errors } = await running.ended;
  return { exitCode, errors, result: output === '' ? undefined : JSON.parse(output) };
}

async function withServer(
  serve: (socket: Socket) => void,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, ADDRESS);
  await once(server, 'listening');
  try {
    await use((server.address() as { port: number }).port);
  } finally {
    server.close();
  }
}

test('bulk_sends_the_stream_of_its_seed_and_waits_for_the_other_side', { skip }, async () => {
  for (const length of [1, 65_536, 3_000_001]) {
    const want = seeded(9, length);
    const pieces: Buffer[] = [];
    const serve = (socket: Socket) =>
      socket.on('data', (piece: Buffer) => pieces.push(piece)).on('end', () => socket.end());
    await withServer(serve, async (port) => {
      const { exitCode, result } = await bulk('send', ADDRESS, port, length, 9);
      assert.equal(exitCode, 0);
      assert.deepEqual([result.bytes, result.crc], [length, hex(want)]);
      assert.ok(result.seconds > 0);
    });
    assert.ok(Buffer.concat(pieces).equals(want));
  }
});

test('bulk_receives_to_the_end_and_finds_what_is_wrong', { skip }, async () => {
  const length = 1_000_003;
  const right = seeded(9, length);
  const wrong = Buffer.from(right);
  wrong[700_000] = wrong[700_000]! ^ 0x10;
  const receive = async (bytes: Buffer, expected: number, seed: number) => {
    let outcome: Awaited<ReturnType<typeof bulk>> | undefined;
    const serve = (socket: Socket) => socket.on('error', () => {}).end(bytes);
    await withServer(serve, async (port) => {
      outcome = await bulk('recv', ADDRESS, port, expected, seed);
    });
    return outcome!;
  };
  const whole = await receive(right, length, 9);
  assert.deepEqual([whole.exitCode, whole.result.crc], [0, hex(right)]);
  const toTheEnd = await receive(right, 0, 0);
  assert.deepEqual([toTheEnd.exitCode, toTheEnd.result.bytes], [0, length]);
  const corrupted = await receive(wrong, length, 9);
  assert.equal(corrupted.exitCode, 1);
  assert.match(corrupted.errors, /differs from its seed's/);
  const unseeded = await receive(wrong, length, 0);
  assert.deepEqual([unseeded.exitCode, unseeded.result.crc], [0, hex(wrong)]);
  const short = await receive(right.subarray(0, 5000), length, 9);
  assert.deepEqual([short.exitCode, short.result.bytes], [1, 5000]);
});
