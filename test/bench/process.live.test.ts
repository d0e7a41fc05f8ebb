import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findProgram, startPinned } from '../../bench/harness/process.ts';

const MODULE = fileURLToPath(new URL('../../bench/harness/process.ts', import.meta.url));
const skip = !findProgram('taskset') && 'taskset is missing: apt-get install util-linux';

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 200 && isAlive(pid); i++) await sleep(10);
  return !isAlive(pid);
}

test('program_that_ends_by_itself_yields_its_output_and_exit_code', { skip }, async () => {
  const running = startPinned(0, ['sh', '-c', 'echo out; echo err >&2; exit 7']);
  assert.deepEqual(await running.ended, { exitCode: 7, output: 'out\n', errors: 'err\n' });
  assert.equal(running.hasEnded, true);
  await running.stop();
});

test('program_runs_on_its_core_only', { skip }, async () => {
  const { output } = await startPinned(0, ['grep', 'Cpus_allowed_list', '/proc/self/status']).ended;
  assert.match(output, /^Cpus_allowed_list:\s+0\n$/);
});

test('stopped_program_is_gone_even_if_it_ignores_signals', { skip }, async () => {
  const script = 'trap "" TERM INT HUP; echo $$; while :; do sleep 0.01; done';
  const running = startPinned(0, ['sh', '-c', script]);
  await sleep(200);
  assert.equal(running.hasEnded, false);
  await running.stop();
  const { output } = await running.ended;
  assert.ok(await gone(Number(output)));
});

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

const nameOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

test('program_dies_with_the_process_that_started_it_even_by_SIGKILL', { skip }, async () => {
  const script = `import { startPinned } from ${JSON.stringify(MODULE)};
    const running = startPinned(0, ['sh', '-c', 'exec sleep 60']);
    await running.ended;`;
  const starter = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const find = (): number | undefined =>
    childrenOf(starter.pid!)
      .filter((guard) => guard > 0)
      .flatMap(childrenOf)
      .find((pid) => pid > 0 && nameOf(pid) === 'sleep');
  let pid = find();
  for (let i = 0; i < 500 && pid === undefined; i++) {
    await sleep(10);
    pid = find();
  }
  assert.ok(pid !== undefined, 'the program has started');
  starter.kill('SIGKILL');
  assert.ok(await gone(pid), 'and is gone');
});
