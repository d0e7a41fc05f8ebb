/**
 * Ordinary Node programs, unmodified, on their own stack: asked from outside by the kernel's TCP,
 * confined, in both domains.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { enterNamespace } from '../control/namespace.ts';
import { digest, pattern } from '../node/serving.ts';
import { Client } from './client.ts';
import { needs } from './programs.ts';
import { DOMAINS, IX, Serving } from './serving.ts';

enterNamespace();

const appOf = (name: string): string => fileURLToPath(new URL(`apps/${name}`, import.meta.url));
const PORT = 8080;
const BODY_BYTES = 10 * 2 ** 20;

async function ask(host: string, path: string, body?: Buffer): Promise<Buffer> {
  const method = body ? 'POST' : 'GET';
  const request = http.request({ host, port: PORT, path, method, agent: false }).end(body);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return Buffer.concat(await response.toArray());
}

describe('Node program', { skip: needs(), timeout: 120_000 }, () => {
  for (const domain of DOMAINS) {
    test(`${domain}_httpServer_unmodified_answersWhoeverAsks`, async () => {
      const words = [appOf('node-server.ts'), '--domain', domain, '--env', 'WHO=a tester'];
      await using serving = await Serving.start([...words, '--', `${PORT}`, '-v'], {
        verify: true,
      });
      const { facts, address } = serving;
      assert.deepEqual(facts.ports, [PORT]);
      assert.equal((facts as { kind?: string }).kind, 'program');
      assert.deepEqual(JSON.parse(`${await ask(address, '/about')}`), {
        args: [`${PORT}`, '-v'],
        who: 'a tester',
        remoteAddress: '::ffff:10.77.0.1',
        interfaces: ['lo', 'ix0'],
      });
      assert.equal(`${await ask(address, '/later')}`, 'later');
      assert.equal(`${await ask(address, '/self')}`, 'later');
      const body = pattern(BODY_BYTES);
      assert.equal(digest(await ask(address, '/', body)), digest(body));
      const all = await Promise.all(Array.from({ length: 100 }, () => ask(address, '/later')));
      assert.equal(all.filter((each) => `${each}` === 'later').length, 100);
      await assert.rejects(() => Promise.race([ask(address, '/throw'), late()]), /late/);
      assert.match(serving.errors, /own: later.*caught: thrown by a handler/s);
      assert.equal(`${await ask(address, '/later')}`, 'later', 'it goes on');
      serving.child.kill('SIGINT');
      assert.equal(await serving.exit, 0);
    });
  }

  test('process_commonJs_isTheMainModule', async () => {
    await using serving = await Serving.start([appOf('node-server.cjs')]);
    const client = await Client.open(serving.address, 7);
    await client.write('hello');
    assert.equal(await client.text(5), 'hello');
    await client.close();
    await serving.stop();
  });

  test('process_nothingLeftToDo_endsWithItsExitCode', async (t) => {
    const peer = net.createServer((socket) => socket.end('3')).listen(0);
    t.after(() => peer.close());
    await once(peer, 'listening');
    const { port } = peer.address() as net.AddressInfo;
    const words = [appOf('node-script.mjs'), '--', '10.77.0.1', `${port}`];
    await using serving = await Serving.start(words);
    assert.equal(await serving.exit, 3, serving.errors);
  });

  test('process_exits_theServiceEndsWithItsCode', async () => {
    await using serving = await Serving.start([appOf('node-server.ts'), '--', `${PORT}`]);
    await assert.rejects(() => ask(serving.address, '/exit'));
    assert.equal(await serving.exit, 7);
  });
});

test('process_refused_eachErrorSaysWhy_andWhatHelps', { skip: needs() }, () => {
  const options = ['--connect', '192.0.0.0/8,2001:db8::/32', '--quota', 'listeners=1'];
  const words = ['run', appOf('node-refused.mjs'), ...options];
  const { status, stdout } = spawnSync(IX, words, { encoding: 'utf8', timeout: 90_000 });
  assert.equal(status, 0);
  const errors = stdout.match(/^\{.*$/gm)!.map((line) => JSON.parse(line));
  assert.deepEqual(
    errors.map(({ code, address, port }) => [code, address, port]),
    [
      ['EACCES', '10.77.0.1', 9],
      ['ENETUNREACH', '192.0.2.1', 9],
      ['ENETUNREACH', '2001:db8::1', 9],
      ['EMFILE', '::', 8081],
    ],
  );
  const remedies = errors.map(({ message }) => /--\w+( nat)?/.exec(message)?.[0]);
  assert.deepEqual(remedies, ['--connect', '--outbound nat', '--outbound nat', '--quota']);
});

const ENDS = appOf('node-ends.mjs');
/** How it ends, when ('top': at once; '0': behind that), the command's exit code, what it says. */
const ENDINGS: readonly [how: string, ms: string, code: number, says: RegExp][] = [
  ['exit', 'top', 7, /^$/],
  ['exit', '0', 7, /^$/],
  ['exitCode', '0', 6, /^$/],
  ['caught', 'top', 8, /^$/],
  ['throw', 'top', 1, /^ix: .*failed to start: TypeError: thrown by a program\n +at .*node-ends/],
  ['throw', '0', 1, /^ix: TypeError: thrown by a program\n +at .*node-ends/],
  ['reject', 'top', 1, /^ix: TypeError: rejected by a program\n +at .*node-ends/],
];

describe('Node program ends', { skip: needs(), timeout: 300_000 }, () => {
  for (const [how, ms, code, says] of ENDINGS) {
    test(`process_${how}_${ms}_endsTheCommandAsNodeDoes`, () => {
      const words = ['run', ENDS, '--', how, ms];
      const { status, stderr } = spawnSync(IX, words, { encoding: 'utf8', timeout: 60_000 });
      assert.deepEqual([status, says.test(stderr)], [code, true], stderr);
    });
  }

  test('inline_exits_beforeAndAfterItIsReady_theServiceEnds_andPeersAreTold', async () => {
    const words = ['run', ENDS, '--domain', 'inline', '--', 'exit', 'top'];
    const { status, stderr } = spawnSync(IX, words, { encoding: 'utf8', timeout: 60_000 });
    assert.deepEqual([status, stderr], [7, '']);
    const later = [ENDS, '--domain', 'inline', '--', 'exit', '3000'];
    await using serving = await Serving.start(later);
    const socket = net.connect(8080, serving.address);
    await once(socket, 'connect');
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'ECONNRESET');
    assert.equal(await serving.exit, 7, serving.errors);
  });

  test('process_throwsWhenReady_isSaidAsNodeDoes_andStartedAgain', async () => {
    await using serving = await Serving.start([ENDS, '--', 'throw', '1500']);
    const ended = JSON.parse(await serving.line()) as { event: string; message: string };
    assert.deepEqual([ended.event, ended.message], ['ended', 'TypeError: thrown by a program']);
    assert.match(serving.errors, /^TypeError: thrown by a program\n +at .*node-ends.*\nix: /s);
    await serving.stop(/./);
  });
});

const late = (): Promise<never> =>
  new Promise((_resolve, reject) => setTimeout(() => reject(new Error('late')), 300));
