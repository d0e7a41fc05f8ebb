/**
 * The packages of test/node/packages: docs/ARCHITECTURE.md names each with its version, the lock
 * file has it, and a program uses it.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDER = join(ROOT, 'test/node/packages');
const read = (path: string): string => readFileSync(path, 'utf8');
const { dependencies } = JSON.parse(read(join(FOLDER, 'package.json')));
const packages = Object.entries(dependencies as Record<string, string>);

test('eachPackage_isDocumented_withTheVersionThatIsLocked', () => {
  const { packages: locked } = JSON.parse(read(join(FOLDER, 'package-lock.json')));
  const table = /### Packages\n[\s\S]*?\n\n##/.exec(read(join(ROOT, 'docs/ARCHITECTURE.md')))![0];
  for (const [name, version] of packages) {
    assert.equal(locked[`node_modules/${name}`].version, version);
    assert.ok(table.includes(` ${name} ${version}`), `docs/ARCHITECTURE.md: ${name} ${version}`);
  }
});

test('eachPackage_isUsed_byAProgram', () => {
  const programs = globSync('{servers,clients,caches}/*.mjs', { cwd: FOLDER });
  const all = programs.map((path) => read(join(FOLDER, path))).join();
  for (const [name] of packages) assert.match(all, new RegExp(`from '${name}(/.*)?'`));
});
