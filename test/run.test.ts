/**
 * `ix test` as it is asked: what is not understood is one line and exit code 2, and no test runs.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const RUN = fileURLToPath(new URL('run.ts', import.meta.url));

function ask(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  // Node's runner tells its children that they are its children, and one would report to us.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawnSync(process.execPath, [RUN, ...words], { encoding: 'utf8', env });
}

for (const words of [
  ['--nonsense'],
  ['test/no-such.test.ts'],
  ['--coverage', 'test/run.test.ts'],
  ['--mutations', 'nothing'],
  ['docs'],
]) {
  test(`run_${words.join(' ')}_oneLineAndExit2`, () => {
    const { status, stdout, stderr } = ask(...words);
    assert.equal(status, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /^ix: [^\n]+\n$/);
  });
}

test('run_help_namesEveryOption', () => {
  const { status, stdout } = ask('--help');
  assert.equal(status, 0);
  for (const option of ['--coverage', '--mutations confine', 'IX_REQUIRE_ALL']) {
    assert.ok(stdout.includes(option), option);
  }
});
