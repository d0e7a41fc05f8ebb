/**
 * `lru_crawler metadump`: what it lists, for readers of every speed; memcached's own tool ends on
 * it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { assertAllHome, assertSame, type Fixture, startKv } from './fixture.ts';
import { Memcached } from './memcached.ts';

const TOOL = '/usr/share/memcached/scripts/memcached-tool';
const SETS =
  'set a 0 0 1\r\n1\r\nset b%~-_.!\xe9 5 100 3\r\nabc\r\nset dead 0 -1 1\r\nx\r\nget a\r\n';

const lines = (answer: string): string[] => {
  assert.ok(answer.endsWith('END\r\n'), answer.slice(-50));
  return answer.slice(0, -'END\r\n'.length).split('\n').slice(0, -1).sort();
};
/** Without what is the store's own: times, cas, class and size. */
const plain = (line: string): string =>
  line.replace(/ (exp=\d|la=|cas=|cls=|size=)\S+/g, ' $1').replace(/\d(?= la)/, '');

test('fewItems_metadump_linesAsMemcacheds', { skip: Memcached.missing() ?? false }, async (t) => {
  const oracle = await Memcached.start();
  t.after(() => oracle.stop());
  const kv = startKv();
  const peer = await oracle.connect();
  await peer.ask(SETS, (answer) => answer.endsWith('END\r\n'));
  await peer.finish();
  kv.c.ask(SETS);
  for (const which of ['all', 'hash', '1', '1,2', 'x', '0', '999', '1,x', 'all more', '']) {
    const request = `lru_crawler metadump ${which}\r\n`;
    const asker = await oracle.connect();
    await asker.ask(request, (answer) => /(END|ERROR|invalid class id)\r\n$/.test(answer));
    const theirs = await asker.finish();
    const ours = kv.c.ask(request);
    if (!theirs.endsWith('END\r\n')) assert.equal(ours, theirs, which);
    else assert.deepEqual(lines(ours).map(plain), lines(theirs).map(plain), which);
  }
  assertAllHome(kv);
});

test('oneItem_metadump_saysWhatIsTrue', () => {
  const kv = startKv();
  kv.c.ask('set a 0 100 3\r\nabc\r\n');
  const cas = / (\d+)\r\nabc/.exec(kv.c.ask('gets a\r\n'))![1]!;
  kv.ix.advance(3);
  const now = Number(/STAT time (\d+)/.exec(kv.c.ask('stats\r\n'))![1]);
  const [line] = lines(kv.c.ask('lru_crawler metadump all\r\n'));
  const size = kv.store.counts.get('bytes');
  const expected = `key=a exp=${now + 97} la=${now - 3} cas=${cas} fetch=yes cls=1 size=${size}`;
  assert.equal(line, expected);
  assert.equal(kv.c.ask('lru_crawler metadump 2\r\n'), 'END\r\n');
  kv.c.ask('flush_all\r\n');
  assert.equal(kv.c.ask('lru_crawler metadump all\r\n'), 'END\r\n');
  assertAllHome(kv);
});

const fill = (kv: Fixture, count: number): string[] => {
  const keys = Array.from({ length: count }, (_, i) => `\xff${i}`.padEnd(60, '\xe9'));
  for (const key of keys) kv.c.deliver(`set ${key} 0 0 1 noreply\r\n1\r\n`);
  return keys;
};
const keysOf = (answer: string): string[] =>
  lines(answer).map((line) =>
    decodeURIComponent(/^key=(\S+)/.exec(line)![1]!.replaceAll('%E9', 'e').replaceAll('%FF', 'y')),
  );

test('manyItems_slowReader_eachKeyOnceAndTheNextCommandAfterIt', () => {
  const kv = startKv(4);
  const keys = fill(kv, 5000).map((key) => key.replaceAll('\xe9', 'e').replace('\xff', 'y'));
  kv.c.isEager = false;
  kv.c.deliver('lru_crawler metadump all\r\nversion\r\n');
  assert.ok(kv.c.queuedBytes < 264_000, 'no more than for anybody at a time');
  let answer = '';
  while (kv.c.queuedBytes > 0) {
    kv.c.acknowledge(3);
    answer += kv.c.output();
  }
  assert.ok(answer.endsWith('VERSION 1.6.18\r\n'));
  const listed = keysOf(answer.slice(0, -'VERSION 1.6.18\r\n'.length));
  assertSame(listed.sort().join('\n'), keys.sort().join('\n'));
  assertAllHome(kv);
});

test('fewSpans_metadump_sameLines', () => {
  const answerOf = (roomFor: number): string => {
    const kv = startKv(2, { roomFor });
    for (let i = 0; i < 100; i++) {
      kv.c.ask(`set ${'k'.repeat(100)}${i} 0 0 1\r\n1\r\n`);
    }
    kv.c.isEager = false;
    kv.c.deliver('lru_crawler metadump all\r\n');
    let answer = '';
    for (let n = 0; n < 200; n++) {
      kv.c.acknowledge(1);
      answer += kv.c.output();
    }
    assertAllHome(kv);
    return lines(answer).map(plain).join('\n'); // their clocks may differ by a second
  };
  const expected = answerOf(1000);
  for (const room of [1, 2, 7]) assertSame(answerOf(room), expected, `room for ${room}`);
});

const toolMissing = (): string | false => {
  try {
    accessSync(TOOL);
    return false;
  } catch {
    return `${TOOL} is not installed`;
  }
};

test('memcachedTool_everyMode_endsAndShowsTheItems', { skip: toolMissing() }, async (t) => {
  const kv = startKv(4);
  const server = net.createServer((socket) => {
    const c = kv.ix.connect();
    socket.on('data', (piece) => {
      c.deliver(piece);
      c.acknowledge();
      socket.write(Buffer.from(c.output(), 'latin1'));
    });
    socket.on('error', () => {});
    socket.on('close', () => c.die());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  kv.c.ask('set a 5 0 3\r\nabc\r\nset b%c 0 0 1\r\nx\r\n');
  const run = async (...mode: string[]): Promise<string> => {
    const child = spawn(TOOL, [`127.0.0.1:${port}`, ...mode], { timeout: 10_000 });
    let told = '';
    child.stdout.on('data', (text) => (told += text));
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0, `${mode} did not end: ${told}`);
    return told;
  };
  const dumped = await run('dump');
  assert.ok(dumped.includes('add a 5 0 3\r\nabc\r\n'), dumped);
  assert.ok(dumped.includes('add b%c 0 0 1\r\nx\r\n'), dumped);
  assert.match(await run('keys'), /^key=a exp=-1 .*\n/m);
  assert.match(await run('stats'), /version\s+1\.6\.18/);
  assert.match(await run('settings'), /maxconns\s+\d+/);
  assert.match(await run('display'), /^ +1 .* 2 /m);
  assert.match(await run('sizes'), /./);
});

/** A store in which a dump that wants nothing has a lot to look at. */
function large() {
  const kv = startKv(4);
  for (let i = 0; i < 20_000; i++) kv.c.deliver(`set k${i} 0 0 1 noreply\r\n1\r\n`);
  return kv;
}

test('manyItemsNoneWanted_metadump_nobodyWaitsForIt', () => {
  const kv = large();
  const other = kv.ix.connect();
  kv.c.deliver('lru_crawler metadump 30\r\nversion\r\n');
  other.deliver('lru_crawler metadump 30\r\nversion\r\n');
  kv.c.deliver('get k1\r\n'.repeat(1000));
  assert.equal(kv.c.output() + other.output(), '', 'it is not at the end yet');
  assert.equal(kv.ix.connect().ask('get k1\r\n'), 'VALUE k1 0 1\r\n1\r\nEND\r\n');
  kv.ix.run(1);
  assert.equal(other.output(), 'END\r\nVERSION 1.6.18\r\n');
  const answer = 'VALUE k1 0 1\r\n1\r\nEND\r\n'.repeat(1000);
  assertSame(kv.c.output(), `END\r\nVERSION 1.6.18\r\n${answer}`);
  assertAllHome(kv);
});

test('metadumpPaused_connectionEnds_theNextOfItsIdIsNotTouched', () => {
  const kv = large();
  kv.c.deliver('lru_crawler metadump 30\r\n');
  kv.c.die();
  const next = kv.ix.connect();
  assert.equal(next.id, kv.c.id);
  kv.ix.run(1);
  assert.equal(next.output(), '');
  assert.equal(next.ask('version\r\n'), 'VERSION 1.6.18\r\n');
  assertAllHome(kv);
});

test('metadumpPaused_timerRefused_goesOnOnceASecond', () => {
  const kv = startKv(4, { hasTimers: false });
  for (let i = 0; i < 5000; i++) kv.c.deliver(`set k${i} 0 0 1 noreply\r\n1\r\n`);
  kv.c.deliver('lru_crawler metadump 30\r\n');
  assert.equal(kv.c.output(), '');
  kv.ix.run(5);
  assert.equal(kv.c.output(), 'END\r\n');
  assertAllHome(kv);
});
