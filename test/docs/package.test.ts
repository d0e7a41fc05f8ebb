/**
 * package.json: what it exports has a source, and `npm run build` makes declarations that an
 * application can be checked against.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

const tsc = (cwd: string, ...words: string[]) =>
  spawnSync(process.execPath, [TSC, ...words], { cwd, encoding: 'utf8' });

/** `./dist/src/x.js` and `./dist/types/x.d.ts` are made of src/x.ts. */
const sourceOf = (path: string): string =>
  path.replace(/^\.\/dist\/(src|types)\//, 'src/').replace(/(\.d\.ts|\.js)$/, '.ts');

test('exports_each_isMadeOfASource', () => {
  const { './package.json': _, ...modules } = manifest.exports;
  const paths = Object.values<Record<string, string>>(modules).flatMap(Object.values);
  assert.ok(paths.length >= 2);
  for (const path of paths) assert.ok(existsSync(join(ROOT, sourceOf(path))), path);
});

test('build_declarations_checkAnApplicationAndHaveNoCode', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ix-build-'));
  try {
    const [program, ...words] = manifest.scripts.build.split(' ');
    assert.equal(program, 'tsc');
    const built = tsc(ROOT, ...words, '--outDir', directory);
    assert.equal(built.status, 0, built.stdout);
    const files = globSync('**/*.*', { cwd: directory });
    assert.deepEqual(
      files.filter((file) => !file.endsWith('.d.ts')),
      [],
    );
    const source = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(`${ROOT}README.md`, 'utf8'))![1]!;
    const good = source.replace("'ix-ts'", "'./libix/index.js'");
    writeFileSync(join(directory, 'good.ts'), good);
    writeFileSync(join(directory, 'bad.ts'), good.replace('ix.alloc(', 'ix.allocate('));
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2025'];
    const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
    const check = (name: string) => tsc(directory, ...options, ...types, name);
    assert.equal(check('good.ts').stdout, '');
    assert.match(check('bad.ts').stdout, /'allocate' does not exist/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
