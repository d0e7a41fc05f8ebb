import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { commitOf } from '../../bench/harness/base.ts';

const IX = fileURLToPath(new URL('../../bin/ix', import.meta.url));
const bench = (...words: string[]) =>
  spawnSync(IX, ['bench', 'base', ...words], { encoding: 'utf8', timeout: 60_000 });

const CASES: readonly [string, string[], RegExp][] = [
  ['noCommit', [], /^ix: a commit to compare with is missing; ix bench base/],
  ['commitUnknown', ['no-such-commit'], /^ix: there is no commit no-such-commit; name a commit/],
  ['kindUnknown', ['HEAD', '--only', 'echo,udp'], /takes some of echo,kv,echoProcess,kvProcess/],
  ['roundsWrong', ['HEAD', '--rounds', '0'], /takes a whole number from 1 to 100/],
];

for (const [name, words, expected] of CASES) {
  test(`base_${name}_oneLineAndExit2`, () => {
    const { status, stderr } = bench(...words);
    assert.match(stderr, expected);
    assert.equal(stderr.trim().split('\n').length, 1);
    assert.equal(status, 2);
  });
}

test('commitOf_aName_isTheWholeName', () => {
  assert.match(commitOf('HEAD'), /^[0-9a-f]{40}$/);
  assert.throws(() => commitOf('--help'), /there is no commit/);
});
