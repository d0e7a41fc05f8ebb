/** Which of Node's own tests test/node/suite/run takes, and what its table says of them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { deviates, type Outcome, type Row, table, type Verdict } from './result.ts';
import { choose } from './selection.ts';

function chosenOf(files: Record<string, string>, kinds = ['net']) {
  const folder = mkdtempSync(join(tmpdir(), 'ix-suite-'));
  for (const directory of ['parallel', 'sequential']) mkdirSync(join(folder, directory));
  for (const [name, source] of Object.entries(files)) writeFileSync(join(folder, name), source);
  try {
    return choose(folder, kinds);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('folder_ofManyTests_thoseOfTheKindAreChosen_inBothDirectories', () => {
  const files = {
    'parallel/test-net-b.js': '',
    'parallel/test-net-a.mjs': '',
    'parallel/test-network.js': '',
    'parallel/test-net-c.txt': '',
    'parallel/test-tls-a.js': '',
    'sequential/test-net-d.js': '',
  };
  const names = chosenOf(files).map(({ name }) => name);
  assert.deepEqual(names, [
    'parallel/test-net-a.mjs',
    'parallel/test-net-b.js',
    'sequential/test-net-d.js',
  ]);
  assert.equal(chosenOf(files, ['net', 'tls']).length, 4);
});

test('test_ofWhatIsNotTcp_isLeftOut_withItsReason', () => {
  const reasonOf = (source: string) => chosenOf({ 'parallel/test-net-a.js': source })[0]!.leftOut;
  assert.equal(reasonOf("require('net').connect(80)"), '');
  assert.equal(reasonOf("require('node:child_process')"), 'child processes');
  assert.equal(reasonOf("import dgram from 'dgram'"), 'dgram');
  assert.equal(reasonOf('server.listen(common.PIPE)'), 'unix sockets');
});

test('comments_atTheHead_areOptionsAndEnvironment', () => {
  const source = "'use strict';\n// Flags: --expose-gc --no-warnings\n// Env: A=1 B=x=y\n";
  const [{ flags, env } = assert.fail()] = chosenOf({ 'parallel/test-net-a.js': source });
  assert.deepEqual(flags, ['--expose-gc', '--no-warnings']);
  assert.deepEqual(env, { A: '1', B: 'x=y' });
});

function row(name: string, verdicts: Record<string, Verdict>, leftOut = ''): Row {
  const outcome = (verdict: Verdict): Outcome => ({ verdict, ms: 1, tries: 1, said: '' });
  const outcomes = Object.entries(verdicts).map(([arm, each]) => [arm, outcome(each)] as const);
  const test = { name: `parallel/test-net-${name}.js`, kind: 'net', flags: [], env: {}, leftOut };
  return { test, outcomes: new Map(outcomes) };
}

test('row_failsOverUsOnly_deviates_andTheTableCountsIt', () => {
  const rows = [
    row('good', { plain: 'pass', stacks: 'pass' }),
    row('ours', { plain: 'pass', stacks: 'timeout' }),
    row('theirs', { plain: 'fail' }),
    row('none', {}, 'dgram'),
  ];
  assert.deepEqual(rows.map(deviates), [false, true, false, false]);
  const text = table(rows, ['plain', 'stacks']);
  assert.match(text, /^\| net \| 4 \| 1 \| 1 \| 2 \| 1 \|$/m);
  assert.match(text, /^\| not known \(plain pass, stacks timeout\) \| 1 \| net-ours \|$/m);
  assert.match(text, /^\| dgram \| 1 \| net-none \|$/m);
});
