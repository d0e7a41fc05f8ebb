/** What the kernel knows of a thread that calls itself elastic: by what it says of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { callNumber } from '../../src/confine/seccomp-numbers.ts';
import { sys } from '../../src/native/sys.ts';

/** In a thread of its own, so that no other test runs with it. */
function inThread(isInline: boolean): Promise<{ slack: string; sliceNs: number; read: number }> {
  const module = new URL('../../src/dataplane/schedule.ts', import.meta.url).href;
  const native = new URL('../../src/native/sys.ts', import.meta.url).href;
  const code = `
    import { readFileSync } from 'node:fs';
    import { parentPort } from 'node:worker_threads';
    import { scheduleElastic } from '${module}';
    import { sys } from '${native}';
    scheduleElastic(${isInline});
    const attr = new DataView(new ArrayBuffer(48));
    const read = sys.syscall(${callNumber('sched_getattr')}, 0, attr, 48, 0);
    const sliceNs = Number(attr.getBigUint64(24, true));
    const prctl = ${process.arch === 'arm64' ? 167 : 157};
    const slack = String(sys.syscall(prctl, 30, 0, 0, 0, 0));
    parentPort.postMessage({ slack, sliceNs, read });`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  return new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  });
}

/** Linux 6.12 and later say the slice of a fair thread. */
const saysSlice = (): boolean => {
  const [major = 0, minor = 0] = readFileSync('/proc/sys/kernel/osrelease', 'utf8')
    .split('.')
    .map(Number);
  return major > 6 || (major === 6 && minor >= 12);
};

test('inlineThread_hasExactTimersAndAShortSlice', async () => {
  const { slack, sliceNs, read } = await inThread(true);
  assert.equal(slack, '1');
  assert.equal(read, 0);
  if (saysSlice()) assert.equal(sliceNs, 100_000);
});

test('helpersOfV8_areNice_otherThreadsAreNot', () => {
  const module = new URL('../../src/dataplane/schedule.ts', import.meta.url).href;
  const code = `
    import { readdirSync, readFileSync } from 'node:fs';
    import { scheduleHelpers } from '${module}';
    scheduleHelpers();
    const of = (task) => readFileSync('/proc/self/task/' + task + '/stat', 'latin1');
    const fields = readdirSync('/proc/self/task').map((task) => of(task).trim().split(/[()] ?/));
    const nice = (isHelper) => fields
      .filter(([, name]) => (name === 'node-V8Worker') === isHelper)
      .map(([, , rest]) => Number(rest.split(' ')[16]));
    console.log(JSON.stringify({ helpers: nice(true), others: nice(false) }));`;
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code];
  const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
  assert.equal(stderr, '');
  const { helpers, others } = JSON.parse(stdout) as Record<'helpers' | 'others', number[]>;
  const own = getPriority();
  assert.ok(helpers.length > 0 && others.length > 0);
  assert.deepEqual(new Set(helpers), new Set([10]));
  assert.deepEqual(new Set(others), new Set([own]));
});

test('threadThatHandsItsCoreOver_keepsItsSlice', async () => {
  const own = new DataView(new ArrayBuffer(48));
  sys.syscall(callNumber('sched_getattr'), 0, own, 48, 0);
  const { slack, sliceNs } = await inThread(false);
  assert.equal(slack, '1');
  assert.equal(sliceNs, Number(own.getBigUint64(24, true)));
});
