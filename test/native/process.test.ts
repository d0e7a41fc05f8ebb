/** Processes by pid and start time, whatever their command is called; what this machine is. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { requireKernel } from '../../src/control/wish/privilege.ts';
import { UserError } from '../../src/errors.ts';
import { isAlive, kernelIsOld, networkNamespace, processName } from '../../src/native/process.ts';

test('process_running_isAliveUntilItEnds', async () => {
  // A command with a space and a bracket in its name: /proc/pid/stat must still be read right.
  const child = spawn(
    process.execPath,
    ['-e', "process.title = 'a) b'; console.log(1); setInterval(() => {}, 1e3)"],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(child.stdout, 'data');
  const name = processName(child.pid!)!;
  const mine = processName(process.pid)!;
  assert.ok(name.start >= mine.start, 'a child starts after its parent');
  assert.ok(isAlive(name));
  assert.ok(!isAlive({ ...name, start: name.start + 1 }), 'another process with that pid');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(!isAlive(name));
  assert.equal(processName(child.pid!), undefined);
});

test('networkNamespace_here_isAnInode', () => {
  assert.match(networkNamespace(), /^\d{5,}$/);
});

for (const [version, isOld] of [
  [[4, 19], true],
  [[5, 10], true],
  [[5, 11], false],
  [[5, 15], false],
  [[6, 1], false],
] as const) {
  test(`kernel_${version.join('.')}_${isOld ? 'isOld' : 'isNewEnough'}`, () => {
    assert.equal(kernelIsOld([version[0], version[1]]), isOld);
  });
}

test('requireKernel_oldOne_refusedWithWhatWorksThere', () => {
  const { code, exitCode, message } = refusalOf([5, 10]);
  const remedy = 'Linux 5.11 or newer is needed; or choose --nic tap';
  assert.equal(message, `Linux 5.10 is too old for AF_XDP links; ${remedy}`);
  assert.equal(code, 'IX_KERNEL');
  assert.equal(exitCode, 2);
  requireKernel([5, 11]);
});

function refusalOf(version: [number, number]): UserError {
  try {
    requireKernel(version);
  } catch (error) {
    assert.ok(error instanceof UserError);
    return error;
  }
  assert.fail('it was not refused');
}
