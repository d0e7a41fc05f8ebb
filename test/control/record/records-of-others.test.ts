/**
 * Records that another user has written, as root reads them: a user who is not root makes the files
 * and runs the processes.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { STATISTICS_BYTES } from '../../../src/child/config.ts';
import {
  allInstances,
  holderOf,
  type Instance,
  isOrphan,
  liveInstances,
  mayEnd,
  orphans,
  ownInstances,
  record,
  usersOf,
  withLock,
} from '../../../src/control/record/instances.ts';
import { stateDirectory } from '../../../src/control/record/state.ts';
import { readStatistics } from '../../../src/control/record/statistics.ts';
import { sweep } from '../../../src/control/record/sweep.ts';
import { orphanAt } from '../../../src/control/service/adopt.ts';
import {
  isAlive,
  networkNamespace,
  type ProcessName,
  processName,
} from '../../../src/native/process.ts';
import { must, SYS, sys } from '../../../src/native/sys.ts';

const CLI = fileURLToPath(new URL('../../../src/cli/cli.ts', import.meta.url));
const THEM = 4242;
const ESCAPES = 'echo\x1b]0;mine\x07\x9b2J';
const notRoot = process.geteuid?.() !== 0 && 'needs root: it takes two users';

let directory = '';
let before: string | undefined;
let children: ChildProcess[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ix-others-'));
  chmodSync(directory, 0o755);
  chownSync(directory, THEM, THEM);
  before = process.env['IX_STATE_DIR'];
  process.env['IX_STATE_DIR'] = directory;
});
afterEach(() => {
  process.env['IX_STATE_DIR'] = before;
  for (const { pid } of children) process.kill(-pid!, 'SIGKILL');
  children = [];
  rmSync(directory, { recursive: true });
});

/** A process of `user` that lasts; it has `ninth` as descriptor 9. */
async function start(
  user: number,
  ninth: number | 'ignore' = 'ignore',
  script = '',
): Promise<ProcessName> {
  const stdio = ['ignore', 'pipe', 'inherit', ...Array(6).fill('ignore'), ninth];
  const words = ['-c', `${script} sleep 60 & echo ready; wait`];
  const child = spawn('sh', words, { uid: user, gid: user, cwd: '/', stdio, detached: true });
  children.push(child);
  await Promise.race([once(child.stdout!, 'data'), once(child, 'exit').then(() => assert.fail())]);
  return processName(child.pid!)!;
}

const dead: ProcessName = { pid: 4_194_303, start: 1, program: '' };
const held = { fd: 9, what: 'memfd' };
const child = (name: ProcessName) => ({ ...name, channel: held, outputs: [] });
const estate = {
  wish: '{}',
  network: {
    kind: 'link' as const,
    linkKind: 'veth',
    ifname: 'ix1',
    ifindex: 2,
    mac: [2, 0, 0, 0, 0, 1],
    mtu: 1500,
    gateway: 0,
  },
  ...{ statistics: held, layouts: [], flows: 1, driver: 'x' },
} satisfies Instance['estate'];

function theirs(changes: Partial<Instance>): Instance {
  return {
    control: dead,
    users: [0, THEM],
    namespace: networkNamespace(),
    address: '10.77.0.2',
    app: ESCAPES,
    ports: [7],
    nic: 'veth',
    links: ['ix0', 'ix1'],
    statisticsFd: 9,
    counters: ['rxFrames'],
    threads: 1,
    ...changes,
  };
}

/** What they write under the name that it should have. */
function write(instance: object, owner = THEM, at = directory): void {
  const { address, namespace } = instance as Instance;
  const file = join(at, `${address}@${namespace}.json`.replaceAll('/', '_'));
  writeFileSync(file, JSON.stringify(instance));
  chownSync(file, owner, owner);
}

/** As the counters of a dataplane. */
function counters(): number {
  const fd = must(sys.syscall(SYS.memfd_create, Buffer.from('x\0'), 3), 'memfd_create');
  must(sys.syscall(SYS.ftruncate, fd, STATISTICS_BYTES), 'ftruncate');
  must(sys.syscall(SYS.fcntl, fd, 1033, 7), 'F_ADD_SEALS');
  return fd;
}

function cli(...words: string[]) {
  const options = { encoding: 'utf8', timeout: 20_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...words], options);
  return { status, stdout, stderr };
}

describe('records of others', { skip: notRoot, timeout: 120_000 }, () => {
  test('theirRecordOfOurProcess_isNotBelieved', async () => {
    const ours = await start(0);
    write(theirs({ dataplane: child(ours) }));
    write(theirs({ address: '10.77.0.3', dataplane: child(ours), estate }));
    write(theirs({ address: '10.77.0.4', control: ours }));
    assert.deepEqual(allInstances(), []);
    assert.throws(ownInstances, /no directory for state is ours alone/);
    assert.throws(() => sweep(() => assert.fail('no link is theirs to remove')));
    cli('stop', '--all');
    assert.equal(isAlive(ours), true);
  });

  test('theirRecordOfTheirProcess_isShownAndEndedButNeitherHeldNorAdoptedNorSwept', async () => {
    const [control, dataplane] = [await start(THEM), await start(THEM)];
    write(theirs({ control }));
    write(theirs({ address: '10.77.0.3', dataplane: child(dataplane), estate }));
    assert.deepEqual([liveInstances().length, orphans().length], [1, 1]);
    const [live, orphan] = [liveInstances()[0]!, orphans()[0]!];
    assert.deepEqual([usersOf(live), usersOf(orphan)], [[THEM], [THEM]], 'whatever it says');
    assert.deepEqual([mayEnd(live), mayEnd(orphan), isOrphan(orphan)], [true, true, true]);
    assert.equal(holderOf('10.77.0.2'), undefined, 'an address is not kept from root');
    assert.equal(holderOf('10.77.0.3'), undefined);
    assert.equal(orphanAt('10.77.0.3'), undefined);
  });

  test('theirNames_printed_areShownAsEscapes', async () => {
    write(theirs({ control: await start(THEM, counters()) }));
    const { stdout, stderr } = cli('stat');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the point
    assert.doesNotMatch(stdout + stderr, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    assert.match(stdout, /^echo\\x1b\]0;mine\\x07\\x9b2J at 10\.77\.0\.2:7 /m);
  });

  test('fifoInPlaceOfTheCounters_statDoesNotWait', async () => {
    const fifo = join(directory, 'fifo');
    spawnSync('mkfifo', ['-m', '666', fifo]);
    const control = await start(THEM, 'ignore', `exec 8<>${fifo} 9<${fifo} 8<&-;`);
    write(theirs({ control }));
    // Nobody has it open to write: who opened it to read would wait.
    const { status, stderr } = cli('stat');
    assert.deepEqual([status, /cannot be read/.test(stderr)], [2, true]);
    assert.throws(() => readStatistics(liveInstances()[0]!), /counters of .* cannot be read/);
    // What one of them does to his own does not keep root from the others.
    write(theirs({ address: '10.77.0.3', control: await start(THEM, counters()) }));
    const { stdout } = cli('stat', '--json');
    const shown = JSON.parse(stdout).instances.map((each: Instance) => each.address);
    assert.deepEqual(shown, ['10.77.0.3']);
  });

  test('fileThatCanShrinkInPlaceOfTheCounters_isNotRead', async () => {
    const file = join(directory, 'counters');
    writeFileSync(file, Buffer.alloc(65_536), { mode: 0o666 });
    const control = await start(THEM, openSync(file, 'r'));
    write(theirs({ control }));
    assert.throws(() => readStatistics(liveInstances()[0]!), /counters of .* cannot be read/);
  });

  test('namesThatAreNoRecords_areNotWaitedForNorFollowed', async () => {
    const control = await start(THEM);
    const good = theirs({ control });
    spawnSync('mkfifo', ['-m', '666', join(directory, 'fifo.json')]);
    mkdirSync(join(directory, 'folder.json'));
    writeFileSync(join(directory, 'huge.json'), ' '.repeat((1 << 20) + 1));
    chownSync(join(directory, 'huge.json'), THEM, THEM);
    const elsewhere = join(directory, 'elsewhere');
    mkdirSync(elsewhere);
    write(good, THEM, elsewhere);
    const [name = ''] = readdirSync(elsewhere);
    symlinkSync(join(elsewhere, name), join(directory, name));
    assert.deepEqual(allInstances(), []);
  });

  test('fileOfAThirdUserInTheirDirectory_countsForNothing', () => {
    write(theirs({}), THEM + 1);
    write(theirs({ address: '10.77.0.3' }), 0); // a hard link to one of root's
    assert.deepEqual(allInstances(), []);
  });

  test('directoryThatOthersMayWriteTo_countsForNothing', () => {
    chownSync(directory, 0, 0);
    chmodSync(directory, 0o777);
    write(theirs({}), 0);
    assert.deepEqual(allInstances(), []);
    assert.throws(stateDirectory, /no directory for state is ours alone/);
    chmodSync(directory, 0o755);
    assert.equal(allInstances().length, 1);
    assert.equal(stateDirectory(), directory);
  });

  test('linkInPlaceOfTheDirectory_isNotFollowed', () => {
    const real = join(directory, 'real');
    mkdirSync(real);
    const link = join(directory, 'link');
    symlinkSync(real, link);
    process.env['IX_STATE_DIR'] = link;
    assert.throws(stateDirectory, /no directory for state is ours alone/);
  });

  test('fieldsOutOfForm_areNoRecord', async () => {
    chownSync(directory, 0, 0);
    const control = processName(process.pid)!;
    const good = theirs({ control, users: [0] });
    const wrong = [
      { address: '../../etc/passwd' },
      { namespace: '../x' },
      { links: ['eth0'] },
      { links: ['ix0', '../ix1'] },
      { threads: 1e9 },
      { threads: 0 },
      { counters: ['rx\x1b[2J'] },
      { ports: [-1] },
      { control: { ...control, pid: -1 } },
      { control: { ...control, pid: 0 } },
      { statisticsFd: '0/../../1/fd/3' },
    ];
    for (const changes of wrong) {
      write({ ...good, ...changes }, 0);
      assert.deepEqual(allInstances(), [], JSON.stringify(changes));
    }
    write(good, 0);
    assert.equal(allInstances().length, 1);
    const name = `10.77.0.2@${good.namespace}.json`;
    writeFileSync(join(directory, `10.77.0.9@1.json`), JSON.stringify(good)); // not its name
    assert.deepEqual(
      allInstances().map(({ file }) => file),
      [join(directory, name)],
    );
  });

  test('ownRecordOfAProcessThatIsAnother_isNeitherShownNorSignalled', async () => {
    chownSync(directory, 0, 0);
    const ours = await start(0);
    record(theirs({ dataplane: child({ ...ours, program: '1:1' }), users: [0] }));
    record(theirs({ address: '10.77.0.3', dataplane: child(ours), users: [THEM] }));
    sweep(() => assert.fail('not swept'));
    assert.equal(isAlive(ours), true);
  });

  test('lock_readByAnother_cannotBeHeld', () => {
    chownSync(directory, 0, 0);
    writeFileSync(join(directory, 'lock'), '', { mode: 0o644 });
    const mode = withLock(() => statSync(join(directory, 'lock')).mode & 0o777);
    assert.equal(mode, 0o600);
  });

  test('root_readsEveryUsersAndBelievesEachForItself', async () => {
    delete process.env['IX_STATE_DIR'];
    const mine = join(tmpdir(), `ix-${THEM}`);
    mkdirSync(mine, { mode: 0o755 });
    try {
      chownSync(mine, THEM, THEM);
      const control = await start(THEM);
      write(theirs({ address: '10.99.0.1', control }), THEM, mine);
      write(theirs({ address: '10.99.0.2', control: await start(0) }), THEM, mine);
      const found = allInstances().filter(({ instance }) => instance.owner === THEM);
      assert.deepEqual(
        found.map(({ instance }) => instance.address),
        ['10.99.0.1'],
      );
    } finally {
      rmSync(mine, { recursive: true });
    }
  });

  test('directoryOfRootsNumberInTmp_isNotRoots', async () => {
    delete process.env['IX_STATE_DIR'];
    // A folder for temporary files of the test's own: the machine's may have one of that name.
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = mkdtempSync(join(tmpdir(), 'ix-tmp-'));
    chmodSync(process.env['TMPDIR'], 0o1777);
    const trap = join(tmpdir(), 'ix-0');
    mkdirSync(trap, { mode: 0o755 });
    try {
      chownSync(trap, THEM, THEM);
      write(theirs({ address: '10.99.0.1', dataplane: child(await start(0)) }), THEM, trap);
      assert.deepEqual(
        allInstances().filter(({ file }) => file.startsWith(trap)),
        [],
      );
      assert.equal(
        ownInstances().some(({ file }) => file.startsWith(trap)),
        false,
      );
      assert.equal(stateDirectory(), '/run/ix');
    } finally {
      rmSync(tmpdir(), { recursive: true });
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });
});
