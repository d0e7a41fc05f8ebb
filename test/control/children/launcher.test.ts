/**
 * bin/ix on machines that lack something: a copy of the launcher in a small tree, with a PATH made
 * for the case.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { whereIs } from '../../../src/cli/doctor.ts';
import { processName } from '../../../src/native/process.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PACKAGE = `node-linux-${process.arch}`;
/** What is on every machine. */
const TOOLS = [
  'sh',
  'dirname',
  'readlink',
  'uname',
  'cksum',
  'cat',
  'mkdir',
  'head',
  'tail',
  'grep',
  'mv',
  'ln',
  'rm',
  'sed',
  'cut',
  'sleep',
];

let tree = '';
let tools = '';
beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'ix-launcher-'));
  tools = join(tree, 'tools');
  for (const folder of ['bin', 'native', 'tools', 'build']) mkdirSync(join(tree, folder));
  for (const file of ['bin/ix', 'native/build.sh', 'native/sys.c', 'package-lock.json']) {
    copyFileSync(join(ROOT, file), join(tree, file));
  }
  for (const name of TOOLS) {
    const path = whereIs(name);
    if (path) symlinkSync(path, join(tools, name));
  }
});
afterEach(() => rmSync(tree, { recursive: true }));

function script(name: string, text: string): void {
  writeFileSync(join(tools, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(tools, name), 0o755);
}

/** Packages as they are here, and their stamp. */
function withPackages(): void {
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  const { stdout } = spawnSync('cksum', ['package-lock.json'], { cwd: tree, encoding: 'utf8' });
  writeFileSync(join(tree, 'build/packages.stamp'), stdout);
}

/**
 * An `npm ci` that takes a moment and leaves a Node package behind; counts how often it is called.
 */
function withNpm(): void {
  script('node', 'echo 22');
  const made = `node_modules/${PACKAGE}`;
  script(
    'npm',
    `echo "$*" >>npm.calls; sleep 0.3; mkdir -p ${made}/bin; : >${made}/package.json
     cat ${join(ROOT, made, 'bin/node')} >${made}/bin/node; /bin/chmod 755 ${made}/bin/node`,
  );
}

/** A compiler that makes an empty file. */
const COMPILER = 'for word do out=$last; last=$word; case $out in -o) : >"$word" ;; esac; done';

const environment = () => ({ PATH: tools, CC: '' });

function ix(...words: string[]) {
  const options = { encoding: 'utf8', env: environment() } as const;
  const { status, stderr } = spawnSync(join(tree, 'bin/ix'), words, options);
  return { status, stderr };
}

test('launcher_noNpm_oneSentenceAndExit2', () => {
  const { status, stderr } = ix('setup');
  assert.equal(status, 2);
  assert.equal(
    stderr,
    'ix: npm is missing; install Node 20 or newer with it (Debian: apt-get install npm)\n',
  );
});

test('launcher_oldNode_namesTheVersion', () => {
  script('npm', 'exit 1');
  script('node', 'case $1 in -p) echo 18 ;; *) echo v18.19.0 ;; esac');
  const { status, stderr } = ix('setup');
  assert.equal(status, 2);
  assert.match(stderr, /^ix: npm needs Node 20 or newer, found v18\.19\.0; see https:.*\n$/);
});

test('launcher_npmFails_showsWhyAndExit2', () => {
  script('node', 'echo 22');
  script('npm', 'echo "npm error network down" >&2; exit 1');
  const { status, stderr } = ix('setup');
  assert.equal(status, 2);
  assert.match(stderr, /npm error network down\nix: npm ci failed .*check the network/);
});

/** All sources and what is built of them, as another machine has set it up. */
function setUpElsewhere(): void {
  withPackages();
  for (const folder of ['src', 'bench', 'test/dataplane', 'tools']) {
    cpSync(join(ROOT, folder), join(tree, folder), { recursive: true });
  }
  for (const file of ['sys.node', 'native.stamp', 'bundle.stamp']) {
    copyFileSync(join(ROOT, 'build', file), join(tree, 'build', file));
  }
}

for (const lacks of ['cksum', 'flock']) {
  test(`launcher_setUpElsewhere_no${lacks}_nothingIsDue`, () => {
    setUpElsewhere();
    rmSync(join(tools, lacks), { force: true });
    for (const name of ['find', 'sort', 'xargs']) symlinkSync(whereIs(name)!, join(tools, name));
    assert.deepEqual(ix('setup'), { status: 0, stderr: 'ix: set up; next: npm start\n' });
    const other = join(tree, 'native/sys.c');
    writeFileSync(other, `${readFileSync(other, 'utf8')}\n`);
    assert.match(ix('setup').stderr, /C compiler is missing/, 'a change is seen');
  });
}

test('checksum_ours_isCksums', () => {
  const files = ['package.json', 'bin/ix', 'docs/RESULTS.md', 'src/nic/afxdp.ts'];
  const of = (program: string, words: string[], input?: string): string =>
    spawnSync(program, words, { cwd: ROOT, encoding: 'utf8', ...(input && { input }) }).stdout;
  const ours = [join(ROOT, 'tools/cksum.ts')];
  assert.equal(of(process.execPath, [...ours, ...files]), of('cksum', files));
  assert.equal(of(process.execPath, ours, 'one two'), of('cksum', [], 'one two'));
});

test('launcher_noCompiler_oneSentenceAndExit2', () => {
  withPackages();
  const { status, stderr } = ix('setup');
  assert.equal(status, 2);
  assert.equal(
    stderr,
    'ix: a C compiler is missing; install one (Debian: apt-get install gcc libc6-dev)\n',
  );
});

test('launcher_compilerFails_showsItsErrorAndNoStamp', () => {
  withPackages();
  script('cc', 'echo "sys.c:1: fatal error: stdlib.h: No such file" >&2; exit 1');
  const { status, stderr } = ix('setup');
  assert.equal(status, 2);
  assert.match(stderr, /fatal error: stdlib\.h.*\nix: compiling native\/sys\.c failed/);
  assert.equal(existsSync(join(tree, 'build/native.stamp')), false);
});

test('launcher_sourceChanged_compilesAgainOnce', () => {
  withPackages();
  script('cc', COMPILER);
  assert.match(ix('setup').stderr, /compiling native/);
  assert.doesNotMatch(ix('setup').stderr, /compiling/);
  writeFileSync(join(tree, 'native/sys.c'), '/* changed */');
  assert.match(ix('setup').stderr, /compiling native/);
  assert.doesNotMatch(ix('setup').stderr, /compiling/);
});

/** Who does a set-up, as bin/ix writes it down. */
const atWork = ({ pid, start }: { pid: number; start: number }): void =>
  writeFileSync(
    join(tree, 'build/setting-up'),
    `${pid} ${readlinkSync('/proc/self/ns/pid')} ${start}\n`,
  );

test('launcher_readersLockWhatTheySee_nobodyWaits', {
  skip: !whereIs('flock') && 'needs flock: apt-get install util-linux',
}, async () => {
  withPackages();
  script('cc', COMPILER);
  // What an application could do when all of this was a lock on a file in its sight.
  const seen = ['build', 'build/setup.lock', 'build/packages.stamp', 'bin/ix', 'native/sys.c'];
  writeFileSync(join(tree, 'build/setup.lock'), '');
  const holders = seen.map((name) => {
    const words = ['-x', join(tree, name), '-c', 'echo held; exec sleep 60'];
    const child = spawn('flock', words, { detached: true });
    return { child, held: once(child.stdout, 'data') };
  });
  await Promise.all(holders.map(({ held }) => held));
  const { status, stderr } = ix('setup');
  for (const { child } of holders) process.kill(-child.pid!, 'SIGKILL');
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /waiting/);
});

test('launcher_setUpThatWasKilled_isTakenOver', () => {
  withPackages();
  script('cc', COMPILER);
  atWork({ pid: spawnSync('true').pid, start: 1 });
  const { status, stderr } = ix('setup');
  assert.equal(status, 0, stderr);
  const left = readdirSync(join(tree, 'build')).filter((name) => name.startsWith('setting-up'));
  assert.deepEqual(left, []);
});

test('launcher_anotherSetsUp_isWaitedFor', async () => {
  withPackages();
  script('cc', COMPILER);
  atWork(processName(process.pid)!);
  const child = spawn(join(tree, 'bin/ix'), ['setup'], { env: environment() });
  const exit = once(child, 'exit');
  const [said] = await once(child.stderr, 'data');
  assert.match(`${said}`, /^ix: another set-up is running, waiting for it\n/);
  assert.equal(existsSync(join(tree, 'build/native.stamp')), false);
  rmSync(join(tree, 'build/setting-up'));
  assert.deepEqual(await exit, [0, null]);
});

// A folder that is full, or read-only where the shell's -w is always yes for root (busybox).
test('launcher_buildTakesNoByte_saysSoAtOnce', () => {
  withPackages();
  script('cc', COMPILER);
  const full = `trap '' XFSZ; ulimit -f 0; exec ${join(tree, 'bin/ix')} setup`;
  const options = { encoding: 'utf8', env: environment(), timeout: 10_000 } as const;
  const { status, stderr } = spawnSync('/bin/sh', ['-c', full], options);
  assert.equal(status, 2, stderr);
  assert.match(stderr, /^ix: cannot write to .*build; .*\n$/);
});

test('launcher_fileSystemWithoutHardLinks_saysSoAtOnce', () => {
  withPackages();
  script('cc', COMPILER);
  rmSync(join(tools, 'ln'));
  script('ln', 'exit 1');
  const options = { encoding: 'utf8', env: environment(), timeout: 20_000 } as const;
  const { status, stderr } = spawnSync(join(tree, 'bin/ix'), ['setup'], options);
  assert.equal(status, 2, stderr);
  assert.match(stderr, /^ix: cannot make .*setting-up.*\n$/);
  assert.deepEqual(readdirSync(join(tree, 'build')), ['packages.stamp']);
});

test('launcher_stopAndStat_setNothingUpAndWaitForNobody', () => {
  withPackages();
  writeFileSync(join(tree, 'build/sys.node'), 'of an older source');
  atWork(processName(process.pid)!);
  mkdirSync(join(tree, 'src/cli'), { recursive: true });
  writeFileSync(join(tree, 'src/cli/cli.ts'), 'console.error(process.argv[2]);');
  for (const word of ['stop', 'stat']) assert.equal(ix(word).stderr, `${word}\n`);
});

test('launcher_twoAtOnce_installOnce', async () => {
  withNpm();
  script('cc', COMPILER);
  const exits = [0, 1, 2].map(async () => {
    const child = spawn(join(tree, 'bin/ix'), ['setup'], { cwd: tree, env: environment() });
    const [status] = await once(child, 'exit');
    return status;
  });
  assert.deepEqual(await Promise.all(exits), [0, 0, 0]);
  const calls = readFileSync(join(tree, 'npm.calls'), 'utf8').trim().split('\n');
  assert.equal(calls.length, 1);
  assert.match(calls[0]!, /^ci --include=dev --include=optional --ignore-scripts/);
});
