/**
 * `ix serve` and `ix run` as a user meets them: the real dataplane, the host's kernel as the
 * client.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { liveInstances } from '../../src/control/record/instances.ts';
import { enterNamespace, linkNames, needsRoot } from '../control/namespace.ts';

enterNamespace();

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CLI = join(ROOT, 'src/cli/cli.ts');

class Running {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  readonly #lines: AsyncIterableIterator<string>;
  errors = '';

  constructor(words: string[]) {
    const child = spawn(process.execPath, [CLI, ...words], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (text) => {
      this.errors += text;
    });
    this.exit = once(child, 'close').then(([code]) => code);
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    assert.ok(!done, this.errors);
    return value;
  }
}

/** Sends `words` over the kernel's TCP and returns what comes back, as long as they. */
async function exchange(address: string, port: number, words: string): Promise<string> {
  const socket = connect(port, address);
  socket.setTimeout(5000, () => socket.destroy(new Error('no answer within 5 s')));
  socket.write(words);
  let answer = '';
  for await (const chunk of socket) {
    answer += chunk;
    if (answer.length >= words.length) break;
  }
  return answer;
}

describe('serve', { skip: needsRoot, timeout: 120_000 }, () => {
  afterEach(() => {
    assert.deepEqual(linkNames(), []);
    assert.deepEqual(liveInstances(), []);
  });

  for (const nic of ['veth', 'tap']) {
    test(`${nic}_serveAnswerInterrupt_nothingLeft`, async () => {
      const running = new Running(['serve', 'echo', '--nic', nic]);
      assert.equal(await running.line(), 'ix: echo ready at 10.77.0.2:7');
      if (nic === 'veth') {
        const driver = / {2}af_xdp ix\d+ queue 0: (native|generic) XDP, copy \(.*\)/;
        assert.match(await running.line(), driver);
      }
      assert.match(await running.line(), /^ {2}echo hello \| nc/);
      assert.equal(await running.line(), '  bin/ix stat');
      assert.equal(await exchange('10.77.0.2', 7, 'over our own TCP'), 'over our own TCP');
      const { stdout } = spawnSync(process.execPath, [CLI, 'stat', '--json'], { encoding: 'utf8' });
      const [{ counters }] = JSON.parse(stdout).instances;
      assert.ok(counters.rxFrames >= 3, `rxFrames ${counters.rxFrames}`);
      assert.equal(counters.tcpAccepted, 1);
      running.child.kill('SIGINT');
      assert.equal(await running.exit, 0, running.errors);
      assert.equal(running.errors, '');
    });
  }

  test('secondStart_sameAddress_oneLineAndExit2', async () => {
    const first = new Running(['serve', 'echo', '--json']);
    const { pid, address, ports } = JSON.parse(await first.line());
    assert.deepEqual([pid, address, ports], [first.child.pid, '10.77.0.2', [7]]);
    const second = new Running(['serve', 'kv']);
    assert.equal(await second.exit, 2);
    const problem = `ix: 10.77.0.2 is already served by ix pid ${pid}; `;
    assert.equal(second.errors, `${problem}stop it or choose another with --ip\n`);
    first.child.kill('SIGTERM');
    assert.equal(await first.exit, 0);
  });

  test('tied_dataplaneKilled_reportedCleanedUpExit1', async () => {
    const running = new Running(['serve', 'echo', '--tied', '--json']);
    const { dataplane } = JSON.parse(await running.line());
    process.kill(dataplane, 'SIGKILL');
    assert.equal(await running.exit, 1);
    assert.equal(running.errors, 'ix: the dataplane ended (signal SIGKILL)\n');
  });

  test('tied_controlPlaneKilled_nextStartSweepsAndServes', async () => {
    const first = new Running(['serve', 'echo', '--tied', '--json']);
    await first.line();
    first.child.kill('SIGKILL');
    await first.exit; // nobody holds its pipes: everything of it is dead
    assert.deepEqual(linkNames(), ['ix0', 'ix1'], 'a veth pair outlives its maker');
    const second = new Running(['serve', 'echo', '--json']);
    const facts = JSON.parse(await second.line());
    assert.equal(facts.adoptedFrom, undefined);
    assert.deepEqual(linkNames(), ['ix0', 'ix1']);
    assert.equal(await exchange('10.77.0.2', 7, 'again'), 'again');
    second.child.kill('SIGTERM');
    assert.equal(await second.exit, 0);
  });

  test('readme_firstApplication_worksAsWritten', async () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const source = /^```ts\n([\s\S]*?)^```$/m.exec(readme)?.[1] ?? '';
    assert.ok(source.trimEnd().split('\n').length <= 21);
    const directory = mkdtempSync(join(tmpdir(), 'ix-readme-'));
    chmodSync(directory, 0o755);
    try {
      writeFileSync(join(directory, 'shout.ts'), source);
      const running = new Running(['run', join(directory, 'shout.ts'), 'port=4321']);
      assert.equal(await running.line(), 'ix: shout ready at 10.77.0.2:4321');
      assert.equal(await exchange('10.77.0.2', 4321, 'hello\nworld\n'), 'HELLO\nWORLD\n');
      running.child.kill('SIGINT');
      assert.equal(await running.exit, 0, running.errors);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('applicationThatThrows_exit1AndNothingLeft', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ix-broken-'));
    chmodSync(directory, 0o755);
    try {
      writeFileSync(join(directory, 'broken.ts'), "throw new Error('not today');\n");
      const running = new Running(['run', join(directory, 'broken.ts')]);
      assert.equal(await running.exit, 1);
      assert.match(running.errors, /^ix: .*not today/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('noCapabilities_nicAskedFor_namesThemAndExit2', () => {
    const { status, stderr } = serveWithoutCapabilities('--nic', 'veth');
    assert.equal(status, 2);
    const missing = 'no CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF';
    const problem = `not allowed to make network interfaces and AF_XDP sockets (${missing})`;
    assert.equal(stderr, `ix: ${problem}; run as root, or: sudo npm start\n`);
  });

  test('noCapabilities_default_demonstrationOverTheCable', () => {
    const { status, stderr } = serveWithoutCapabilities();
    assert.match(stderr, /no CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF\); run as root/);
    assert.match(stderr, /ix: showing echo with a built-in client instead, in one process/);
    assert.equal(status, 0, stderr);
  });
});

/**
 * Root without the capabilities that networks need: dropped from the bounding set, so gone at exec.
 */
function serveWithoutCapabilities(...words: string[]) {
  const native = new URL('../../src/native/sys.ts', import.meta.url).href;
  const command = [CLI, 'serve', 'echo', ...words];
  const script = `
    const { sys, SYS } = await import('${native}');
    for (const capability of [12, 13, 21, 39]) sys.syscall(SYS.prctl, 24, capability);
    const { spawnSync } = await import('node:child_process');
    const options = { stdio: ['ignore', 'inherit', 'inherit'], timeout: 60_000 };
    process.exit(spawnSync(process.execPath, ${JSON.stringify(command)}, options).status ?? 99);`;
  const evaluate = ['--input-type=module', '-e', script];
  return spawnSync(process.execPath, evaluate, { encoding: 'utf8', timeout: 90_000 });
}
