/**
 * Confinement as the kernel enforces it: what an application and a dataplane can still do, asked of
 * themselves, and what they are, read from outside.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { landlockAbi } from '../../src/confine/landlock.ts';
import { planConfinement } from '../../src/confine/plan.ts';
import { launch } from '../../src/control/children/launch.ts';
import { makeStatistics } from '../../src/control/record/statistics.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';

enterNamespace();

const CLI = fileURLToPath(new URL('../../src/cli/cli.ts', import.meta.url));
const PROBE = fileURLToPath(new URL('./application.ts', import.meta.url));
const TRAITOR = fileURLToPath(new URL('./dataplane.ts', import.meta.url));
const APPLICATIONS_GROUP = 64322;
const NO_CAPABILITY = '0000000000000000';

const directory = mkdtempSync(join(tmpdir(), 'ix-confine-'));
const secret = join(directory, 'secret');
writeFileSync(secret, 'secret');
chmodSync(secret, 0o644);
after(() => rmSync(directory, { recursive: true }));

interface Report {
  pid: number;
  calls: Record<string, number>;
  files: Record<string, string>;
  memory: Record<string, number[]>;
  node: Record<string, string>;
}
interface Facts {
  pid: number;
  dataplane: number;
  application?: number;
  confined: Record<string, string[]>;
}

class Running {
  readonly #child;
  readonly #lines: AsyncIterableIterator<string>;
  errors = '';

  constructor(words: string[], command: string[] = []) {
    const [file = process.execPath, ...rest] = [...command, process.execPath, CLI, ...words];
    this.#child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stderr.on('data', (text) => {
      this.errors += text;
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line of JSON. */
  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    assert.ok(!done, this.errors);
    return JSON.parse(value);
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    await exit;
  }
}

async function probe(domain: string): Promise<Report> {
  const allowed = mkdtempSync(join(directory, 'allowed-'));
  chownSync(allowed, 0, APPLICATIONS_GROUP);
  chmodSync(allowed, 0o775);
  const given = ['--allow-write', allowed, `allowed=${allowed}`, `secret=${secret}`];
  const running = new Running(['run', PROBE, '--domain', domain, '--json', ...given]);
  // The report and what is ready come in either order.
  const lines = [await running.next<Partial<Report>>(), await running.next<Partial<Report>>()];
  await running.stop();
  return lines.find((line) => line.calls) as Report;
}

/** status of every thread, as field -> distinct values. */
function threadsOf(pid: number): Record<string, string[]> {
  const seen: Record<string, Set<string>> = {};
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
    for (const [, name = '', value = ''] of status.matchAll(/^(\w+):\t(.*)$/gm)) {
      (seen[name] ??= new Set()).add(value);
    }
  }
  return Object.fromEntries(Object.entries(seen).map(([name, values]) => [name, [...values]]));
}

const namespaceOf = (pid: number | 'self', kind: string) => readlinkSync(`/proc/${pid}/ns/${kind}`);

function assertConfined(pid: number): void {
  const threads = threadsOf(pid);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    assert.deepEqual(threads[set], [NO_CAPABILITY], set);
  }
  assert.deepEqual(threads['NoNewPrivs'], ['1']);
  assert.deepEqual([threads['Seccomp'], threads['Seccomp_filters']], [['2'], ['2']]);
  assert.deepEqual(threads['Groups'], [' ']);
  const [uid = '0'] = threads['Uid']![0]!.split('\t');
  assert.deepEqual(threads['Uid'], [Array(4).fill(uid).join('\t')]);
  assert.ok(Number(uid) > 0x7fff);
  for (const kind of ['net', 'pid', 'mnt', 'ipc']) {
    assert.notEqual(namespaceOf(pid, kind), namespaceOf('self', kind), kind);
  }
  assert.match(readFileSync(`/proc/${pid}/limits`, 'latin1'), /^Max core file size +1 +1/m);
  // What is not dumpable belongs to root in /proc, whoever runs it.
  assert.equal(statSync(`/proc/${pid}/maps`).uid, 0);
}

/** What each descriptor is, numbers of sockets and pipes left out. */
function descriptorsOf(pid: number): Set<string> {
  const names = readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) > 2);
  return new Set(names.map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:?\[\d+\]/, '')));
}

describe('confinement', { skip: needsRoot, timeout: 180_000 }, () => {
  test('domainProcess_running_bothChildrenConfinedInEveryThread', async () => {
    const running = new Running(['serve', 'kv', '--domain', 'process', '--json']);
    const { pid, dataplane, application, confined } = await running.next<Facts>();
    try {
      assertConfined(dataplane);
      assertConfined(application!);
      assert.notDeepEqual(threadsOf(dataplane)['Uid'], threadsOf(application!)['Uid']);
      assert.equal(namespaceOf(pid, 'pid'), namespaceOf('self', 'pid'), 'the control plane stays');
      assert.deepEqual(confined['application'], confined['dataplane']);
      assert.ok(confined['application']?.includes('landlock') || landlockAbi() === 0);
      const limits = readFileSync(`/proc/${application}/limits`, 'latin1');
      assert.match(limits, /^Max processes +128 +128/m);
      const known = /^(socket|pipe|anon_inode:\[(eventfd|eventpoll)\]|\/dev\/null|\/memfd:ix.*)$/;
      const kept = /^anon_inode:bpf[-_](map|link)$/; // for an adopter; it may not call bpf(2)
      for (const name of descriptorsOf(application!)) assert.match(name, known);
      for (const name of descriptorsOf(dataplane)) {
        if (!kept.test(name)) assert.match(name, known);
      }
      assert.equal(running.errors, '');
    } finally {
      await running.stop();
    }
  });

  test('application_killed_restartsConfined', async () => {
    const running = new Running(['serve', 'echo', '--domain', 'process', '--json']);
    const { pid, application } = await running.next<Facts>();
    try {
      process.kill(application!, 'SIGKILL');
      const children = () =>
        readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').map(Number);
      const isNew = (child: number) => {
        try {
          return child > application! && threadsOf(child)['Seccomp_filters']?.[0] === '2';
        } catch {
          return false; // a thread of it has come and gone while we looked
        }
      };
      let again: number | undefined;
      for (let i = 0; i < 200 && again === undefined; i++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        again = children().find((child) => child !== application && isNew(child));
      }
      assert.ok(again, running.errors);
      assertConfined(again);
    } finally {
      await running.stop();
    }
  });

  test('application_writesEvents_diesAloneAndIsRestarted', async () => {
    const running = new Running([
      'run',
      PROBE,
      '--domain',
      'process',
      '--json',
      'then=write events',
    ]);
    const { dataplane, application } = await running.next<Facts>();
    try {
      const hasSaid = () => running.errors.includes('killed by SIGSEGV');
      for (let i = 0; i < 200 && !hasSaid(); i++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.match(
        running.errors,
        /^ix: application application \(pid \d+\): killed by SIGSEGV, restarted in 0.1 s \(1st time\)/,
      );
      assert.ok(threadsOf(dataplane)['Uid']);
      assert.throws(() => threadsOf(application!));
    } finally {
      await running.stop();
    }
  });

  for (const domain of ['process', 'inline']) {
    test(`${domain}_nodeApis_workExceptWhatLeavesTheProcess`, async () => {
      const { node, calls, files, memory, pid } = await probe(domain);
      const { connect, listen, exec, fetch, killAll, killParent, ...working } = node;
      assert.deepEqual(
        Object.entries(working).filter(([, result]) => result !== 'done'),
        [],
      );
      const refused = { connect, listen, exec, killAll, killParent };
      assert.deepEqual([...new Set(Object.values(refused))], ['EPERM']);
      assert.equal(fetch, 'fetch failed');
      assert.equal(pid, 1);
      for (const [name, result] of Object.entries(calls)) {
        assert.ok(result === -1 || result === -38, `${name}: ${result}`);
      }
      const { writeAllowed, copyAllowed, utimes, mkdtemp, watchFile, readOwn } = files;
      const given = { writeAllowed, copyAllowed, utimes, mkdtemp, watchFile, readOwn };
      assert.deepEqual([...new Set(Object.values(given))], ['done'], JSON.stringify(given));
      assert.equal(files['watch'], 'EPERM');
      const { readSecret, readPasswords, writeOwn, writeTmp, memory: ownMemory, listRoot } = files;
      assert.deepEqual([readSecret, readPasswords, writeTmp], ['ENOENT', 'ENOENT', 'EROFS']);
      assert.deepEqual([writeOwn, ownMemory, listRoot], ['EROFS', 'EACCES', 'EACCES']);
      assert.equal(files['processes'], '1');
      if (domain === 'inline') return assert.deepEqual(memory, {});
      // Mapping writable, the same through a new descriptor, writing, resizing, unsealing.
      const all = [-1, -1, -1, -1, -1];
      const shared = { 'receive pool': all, events: all, calls: [0, 0, 8, -1, -1] };
      assert.deepEqual(memory, shared);
    });
  }

  test('dataplane_lockedDown_keepsNothingAndMayNothing', async () => {
    const statisticsFd = makeStatistics(1);
    const given = { read: [], write: [] };
    const options = { domain: 'process', module: PROBE, given, locksMemory: true } as const;
    const { dataplane: confinement } = planConfinement(options);
    const reports: { before: string[]; results: Record<string, number> }[] = [];
    const config = {
      nics: [{ kind: 'tap', ifname: 'ix0', fd: statisticsFd, mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }],
      ...{ address: 0x0a4d0002, prefixLength: 24, gateway: 0, idle: 'adaptive', trace: false },
      app: { name: 'echo', module: '/echo.ts', options: {} },
      ...{ limits: {}, statisticsFd },
    } as const satisfies Record<string, unknown>;
    const hear = (value: unknown) => reports.push(value as (typeof reports)[number]);
    const child = launch(
      { ...config, nics: [...config.nics] } as never,
      TRAITOR,
      hear,
      confinement,
    );
    try {
      await child.ready;
      const [{ before, results } = { before: [], results: {} }] = reports;
      const ipcLock = '0000000000004000';
      // In the order of /proc: inheritable, permitted, effective, bounding, ambient.
      const kept = [ipcLock, ipcLock, ipcLock, NO_CAPABILITY, ipcLock].join(' ');
      assert.deepEqual([...new Set(before)], [kept]);
      assertConfined(child.pid);
      for (const [name, result] of Object.entries(results)) {
        const isItself = name === 'kill'; // process 1, signal 0
        assert.ok(isItself ? result === 0 : result === -1 || result === -38, `${name}: ${result}`);
      }
    } finally {
      await child.stop();
      closeSync(statisticsFd);
    }
  });

  test('rootOfAUserNamespace_servesAndSaysWhatIsMissing', async () => {
    const words = ['serve', 'echo', '--domain', 'process', '--nic', 'tap', '--json'];
    const running = new Running(words, ['unshare', '-Urn']);
    const { application, confined } = await running.next<Facts>();
    try {
      const [first, second = ''] = confined['notEnforced'] ?? [];
      assert.equal(first, 'process ids');
      assert.match(second, /^user \(no other users/);
      assert.ok(confined['application']?.includes('landlock') || landlockAbi() === 0);
      const { Seccomp_filters, CapEff, CapBnd, NoNewPrivs } = threadsOf(application!);
      const expected = [['2'], [NO_CAPABILITY], [NO_CAPABILITY], ['1']];
      assert.deepEqual([Seccomp_filters, CapEff, CapBnd, NoNewPrivs], expected);
    } finally {
      await running.stop();
    }
  });

  test('allowReadOfNothing_oneLineAndExit2', () => {
    const words = [CLI, 'serve', 'echo', '--allow-read', '/nothing/here'];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    assert.equal(status, 2);
    assert.match(stderr, /^ix: --allow-read \/nothing\/here: ENOENT; give the path.*\n$/);
  });

  test('unconfined_running_isOurselves', async () => {
    const running = new Running(['serve', 'echo', '--unconfined', '--json']);
    const { dataplane, confined } = await running.next<Facts>();
    assert.deepEqual(confined['dataplane'], []);
    assert.deepEqual(threadsOf(dataplane)['Seccomp'], ['0']);
    await running.stop();
  });
});
