/** What the kernel knows of a thread that calls itself elastic: by what it says of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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

test('threadThatHandsItsCoreOver_keepsItsSlice', async () => {
  const own = new DataView(new ArrayBuffer(48));
  sys.syscall(callNumber('sched_getattr'), 0, own, 48, 0);
  const { slack, sliceNs } = await inThread(false);
  assert.equal(slack, '1');
  assert.equal(sliceNs, Number(own.getBigUint64(24, true)));
});
