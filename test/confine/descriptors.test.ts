/**
 * What a confined child takes with it, on kernels old and new. Each case in a process of its own:
 * it marks descriptors.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { EINVAL, ENOSYS, EPERM } from '../../src/native/sys.ts';

const url = (path: string): string => new URL(`../../src/${path}`, import.meta.url).href;

/**
 * Which of descriptors 0, 4 (meant), 50, 60 (not meant) would go through execve, when close_range
 * answers `result`.
 */
function kept(result: number | 'the kernel decides') {
  const script = `
    const { keepOnly } = await import('${url('confine/descriptors.ts')}');
    const { SYS, sys } = await import('${url('native/sys.ts')}');
    const [F_DUPFD, F_GETFD] = [0, 1];
    for (const fd of [50, 60]) sys.syscall(SYS.fcntl, 0, F_DUPFD, fd);
    keepOnly(4 ${typeof result === 'number' ? `, () => ${result}` : ''});
    const goesOn = (fd) => sys.syscall(SYS.fcntl, fd, F_GETFD) === 0;
    console.log(JSON.stringify([0, 4, 50, 60].filter(goesOn)));`;
  const words = ['--input-type=module', '-e', script];
  const stdio = ['pipe', 'pipe', 'pipe', 'ignore', 'ignore'] as const;
  return spawnSync(process.execPath, words, { encoding: 'utf8', stdio: [...stdio] });
}

for (const [name, result] of [
  ['kernelHere', 'the kernel decides'],
  ['withoutTheFlag', -EINVAL],
  ['withoutTheCall', -ENOSYS],
] as const) {
  test(`keepOnly_${name}_onlyWhatWasMeantGoesOn`, () => {
    const { stdout, stderr } = kept(result);
    assert.deepEqual(JSON.parse(stdout || 'null'), [0, 4], stderr);
  });
}

test('keepOnly_refused_isNotIgnored', () => {
  const { status, stderr } = kept(-EPERM);
  assert.match(stderr, /close_range failed: errno 1/);
  assert.notEqual(status, 0);
});
