/**
 * The mutations of confinement are of today's source, and docs/SECURITY.md has a row for each.
 * Whether the tests notice them takes a quarter of an hour and root: `bin/ix test --mutations
 * confine`.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mutated } from './mutate.ts';
import { MUTATIONS } from './mutations.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('mutations_each_standsInTheSourceAndNamesATest', () => {
  assert.ok(MUTATIONS.length >= 60);
  assert.equal(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length);
  for (const mutation of MUTATIONS) {
    const [file, name] = mutation.test;
    mutated(mutation);
    assert.ok(existsSync(`${ROOT}${file}`), file);
    if (name === undefined) continue;
    const source = readFileSync(`${ROOT}${file}`, 'utf8');
    const rest = name.slice(name.indexOf('_'));
    assert.ok(source.includes(`'${name}'`) || source.includes(`}${rest}\``), `${file}: ${name}`);
  }
});

test('mutations_each_hasARowInTheDocument', () => {
  const document = readFileSync(`${ROOT}docs/SECURITY.md`, 'utf8');
  const [, section = ''] = document.split('## Each mechanism, taken away');
  const rows = [...section.split('\n## ')[0]!.matchAll(/^\| (.+) \| `(.+)` \|$/gm)];
  const shown = rows.map(([, name, by]) => [name, by]);
  const expected = MUTATIONS.map(({ name, test: [file, by] }) => {
    return [name, by ?? file.replace(/^test\/|(\.live)?\.test\.ts$/g, '')];
  });
  assert.deepEqual(shown, expected);
});
