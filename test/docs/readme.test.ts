/** README.md names every option of `serve` and `run`, and no other. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const optionsIn = (text: string): string[] =>
  [...new Set([...text.matchAll(/(?<![\w-])--?[a-z][a-z0-9-]*/g)].map(([name]) => name))].sort();

test('options_ofServe_areThoseOfTheReadme', () => {
  const readme = readFileSync(`${ROOT}README.md`, 'utf8');
  const listed = /^Options of `serve` and `run`.*?\n\n(?!\|)/ms.exec(readme)?.[0] ?? '';
  const { stdout } = spawnSync(`${ROOT}bin/ix`, ['serve', '--help'], { encoding: 'utf8' });
  const offered = [...stdout.matchAll(/^ {2}(-\S.*?)(?: {2}|$)/gm)].map(([, flags]) => flags!);
  // The short form where there is one; help is not one of ours.
  const written = offered.map((flags) => /^-\w(?=, )/.exec(flags)?.[0] ?? optionsIn(flags)[0]!);
  assert.ok(written.length > 20, stdout);
  assert.deepEqual(optionsIn(listed), written.filter((name) => name !== '-h').sort());
});
