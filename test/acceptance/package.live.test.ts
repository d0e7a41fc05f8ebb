/**
 * What `npm pack` makes, installed into an empty project without install scripts: the main job and
 * an application of the user's run from there, and nothing is written where it lies. The native
 * part for the other machine loads in its Node under qemu-user.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { newestGlibc, withPackagePaths } from '../../tools/package.ts';
import { enterNamespace } from '../control/namespace.ts';
import { Client } from './client.ts';
import { needs } from './programs.ts';
import { ROOT, Serving } from './serving.ts';

const NPM = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
const MACHINES = { x64: 'x86_64', arm64: 'aarch64' } as const;
const other = process.arch === 'x64' ? 'arm64' : 'x64';
const emulator = `qemu-${MACHINES[other]}`;
const skip = needs('npm', 'objdump', `${MACHINES[other]}-linux-gnu-gcc`, emulator);

function must(cwd: string, program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `${program} ${words.join(' ')}: ${stdout}${stderr}`);
  return stdout.trim();
}

const project = mkdtempSync(join(tmpdir(), 'ix-project-'));
const installed = join(project, 'node_modules/ix-ts');
const ix = join(project, 'node_modules/.bin/ix');

/** As a user does it; from the registry, so before this process is in a namespace of its own. */
function install(): Error | undefined {
  try {
    must(project, 'chmod', '755', project);
    const tarball = must(ROOT, 'npm', 'pack', '--silent', '--pack-destination', project);
    writeFileSync(join(project, 'package.json'), '{ "name": "mine", "type": "module" }');
    must(project, 'npm', 'install', ...NPM, join(project, tarball));
    const node = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).optionalDependencies;
    const name = `node-linux-${other}`;
    must(project, 'npm', 'pack', '--silent', `${name}@${node[name]}`);
    must(project, 'tar', 'xzf', `${name}-${node[name]}.tgz`, 'package/bin/node');
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

const problem = skip === false ? install() : undefined;
enterNamespace();
after(() => rmSync(project, { recursive: true, force: true }));

/** Every file of the package and when it was changed last. */
const times = (): string[] =>
  globSync('**/*', { cwd: installed })
    .map((file) => `${file} ${statSync(join(installed, file)).mtimeMs}`)
    .sort();

function shout(): string {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const file = join(project, 'shout.ts');
  writeFileSync(file, /^```ts\n(\/\/ shout[\s\S]*?)^```$/m.exec(text)![1]!);
  return file;
}

describe('package', { skip, timeout: 120_000 }, () => {
  test('packed_installed_withoutScripts', () => {
    assert.equal(problem, undefined);
    assert.match(must(project, ix, '--version'), /^ix \d+\.\d+\.\d+ \([0-9a-f]{12}.*, Node v26\./);
  });

  test('kv_servedFromNodeModules_writesNothingThere', async () => {
    const before = times();
    await using serving = await Serving.start(['kv'], { ix });
    const client = await Client.open(serving.address, serving.port);
    await client.write('set a 0 0 5\r\nhello\r\nget a\r\n');
    const answer = 'STORED\r\nVALUE a 0 5\r\nhello\r\nEND\r\n';
    assert.equal(await client.text(answer.length), answer);
    await client.close();
    const { stdout } = spawnSync(ix, ['stat', '--json'], { encoding: 'utf8' });
    assert.equal(JSON.parse(stdout).instances.length, 1);
    await serving.stop();
    assert.deepEqual(times(), before);
  });

  test('usersApplication_inTypeScript_answers', async () => {
    await using serving = await Serving.start([shout()], { ix });
    const client = await Client.open(serving.address, 4000);
    await client.write('hello\n');
    assert.equal(await client.text(6), 'HELLO\n');
    await client.close();
    await serving.stop();
  });

  test('declarations_checkTheApplication', () => {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')];
    const words = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2025', ...types];
    const file = shout();
    must(project, process.execPath, tsc, ...words, file);
    writeFileSync(file, readFileSync(file, 'utf8').replace('ix.alloc(', 'ix.allocate('));
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...words, file], {
      cwd: project,
      encoding: 'utf8',
    });
    assert.notEqual(status, 0);
    assert.match(stdout, /'allocate' does not exist/);
  });

  test('whatNeedsTheRepository_oneLineAndExit2', () => {
    for (const command of ['test', 'sim', 'bench', 'setup', 'pack']) {
      const { status, stdout, stderr } = spawnSync(ix, [command], { encoding: 'utf8' });
      assert.deepEqual([status, stdout], [2, '']);
      assert.match(stderr, /^ix: [^\n]*clone of the repository[^\n]*\n$/);
    }
  });

  test('remedies_nameTheCommandAsItIsHere', () => {
    const { status, stderr } = spawnSync(ix, ['stop'], { encoding: 'utf8' });
    assert.equal(status, 2);
    assert.doesNotMatch(stderr, /bin\/ix|npm start/);
  });

  test('nativePart_otherMachine_loadsInItsNode', () => {
    const file = join(installed, `dist/build/linux-${other}/sys.node`);
    const code = `const sys = require('${file}'); console.log(process.arch, typeof sys.syscall)`;
    const libraries = ['-L', `/usr/${MACHINES[other]}-linux-gnu`];
    const said = must(project, emulator, ...libraries, 'package/bin/node', '-e', code);
    assert.equal(said, `${other} function`);
  });

  test('bothNativeParts_needNothingNewerThanGlibc228', () => {
    for (const arch of ['x64', 'arm64'] as const) {
      const file = join(installed, `dist/build/linux-${arch}/sys.node`);
      const [major, minor] = newestGlibc(
        must(project, `${MACHINES[arch]}-linux-gnu-objdump`, '-T', file),
      );
      assert.ok(major === 2 && minor > 0 && minor <= 28, `${arch}: ${minor}`);
    }
  });
});

test('newestGlibc_isTheLargestByNumber', () => {
  assert.deepEqual(newestGlibc('(GLIBC_2.3.4) a\n (GLIBC_2.17) b\n(GLIBC_2.9)'), [2, 17]);
});

test('packagePaths_ofSourcesOnly', () => {
  const code = "from './a.ts'; new URL('../b/c.ts', u); 'd.ts'; './e.tsx'; 'see bin/ix stat'";
  const made = "from './a.js'; new URL('../b/c.js', u); 'd.ts'; './e.tsx'; 'see npx ix stat'";
  assert.equal(withPackagePaths(code), made);
});
