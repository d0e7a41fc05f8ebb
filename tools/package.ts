/**
 * Makes dist, of which `npm pack` makes the tarball: what src is, as JavaScript, because Node
 * strips no types below node_modules.
 *
 * - dist is laid out as the repository is (src, wasm, build), so that what finds a file by its
 *   place finds it there, too; `.ts` in a relative path is `.js`. Nothing of bench, sim and test
 *   travels. What remedies call `bin/ix` is `npx ix` there.
 * - `dist/build/code` has the bundles that tools/bundle.ts made: `bin/ix pack` is set up first.
 * - The native part is built for each machine that Node is shipped for: for another one than this
 *   by Debian's cross compiler, without which this ends. It asks the C library for nothing newer
 *   than Node itself asks for; that is looked up in what was made.
 * - `dist/types` are the declarations, `dist/package.json` what `ix --version` says.
 *
 * Called by bin/ix, for npm's prepack.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commitOf } from '../src/cli/version.ts';
import { printable } from '../src/printable.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');
/** What Node 26 itself needs. */
const GLIBC = [2, 28] as const;

interface Machine {
  /** As process.arch has it. */
  arch: 'x64' | 'arm64';
  /** As the cross compiler's names begin. */
  prefix: string;
  debian: string;
}

const MACHINES: Machine[] = [
  { arch: 'x64', prefix: 'x86_64-linux-gnu-', debian: 'gcc-x86-64-linux-gnu' },
  {
    arch: 'arm64',
    prefix: 'aarch64-linux-gnu-',
    debian: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross',
  },
];

class PackageError extends Error {}

function run(program: string, words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, words, {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status === 0) return stdout;
  throw new PackageError(`${program} failed: ${error?.message ?? `${stdout}${stderr}`.trim()}`);
}

/** `code` where each relative path of a source names what was made of it. */
export const withPackagePaths = (code: string): string =>
  code
    .replace(/(['"])(\.{1,2}\/[^'"\n]*)\.ts\1/g, '$1$2.js$1')
    .replace(/\bbin\/ix\b/g, 'npx ix')
    .replace(/\bnpm start\b/g, 'npx ix serve kv');

function write(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

function writeSources(): void {
  for (const file of globSync('src/**/*.ts', { cwd: ROOT })) {
    const code = stripTypeScriptTypes(readFileSync(join(ROOT, file), 'utf8'));
    write(join(DIST, file.replace(/\.ts$/, '.js')), withPackagePaths(code));
  }
  cpSync(join(ROOT, 'wasm/kernels.wasm'), join(DIST, 'wasm/kernels.wasm'));
}

function writeBundles(): void {
  const files = globSync('build/code/src/**/*.js', { cwd: ROOT });
  if (files.length === 0) throw new PackageError('there are no bundles: see build/bundle.log');
  for (const file of files) {
    const code = readFileSync(join(ROOT, file), 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '');
    write(join(DIST, file), withPackagePaths(code));
  }
}

/** The newest version of the C library that `file` names, as objdump tells. */
export function newestGlibc(symbols: string): [number, number] {
  const found = [...symbols.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  return [2, Math.max(0, ...found)];
}

function writeNative({ arch, prefix, debian }: Machine): void {
  const isOwn = arch === process.arch;
  const compiler = process.env['CC'] ?? 'cc';
  const [cc, objdump] = isOwn ? [compiler, 'objdump'] : [`${prefix}gcc`, `${prefix}objdump`];
  if (!isOwn && spawnSync(cc, ['--version']).status !== 0) {
    throw new PackageError(`${cc} is missing; install it (Debian: apt-get install ${debian})`);
  }
  const file = join(DIST, `build/linux-${arch}/sys.node`);
  mkdirSync(dirname(file), { recursive: true });
  // Node's headers are the same for every machine.
  const headers = join(dirname(process.execPath), '../include/node');
  const words = ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-s', '-I', headers];
  run(cc, [...words, '-o', file, 'native/sys.c']);
  const [major, minor] = newestGlibc(run(objdump, ['-T', file]));
  if (minor > GLIBC[1]) throw new PackageError(`${file} needs glibc ${major}.${minor}`);
}

function writeManifest(): void {
  const { name, version, type } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const manifest = { name, version, type, private: true, commit: commitOf(ROOT) };
  write(join(DIST, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

function main(): number {
  rmSync(DIST, { recursive: true, force: true });
  try {
    writeSources();
    writeBundles();
    for (const machine of MACHINES) writeNative(machine);
    run(process.execPath, [
      'node_modules/typescript/bin/tsc',
      ...['-p', 'tsconfig.build.json', '--outDir', 'dist/types'],
    ]);
    writeManifest();
    return 0;
  } catch (error) {
    if (!(error instanceof PackageError)) throw error;
    console.error(`ix: ${printable(error.message)}`);
    rmSync(DIST, { recursive: true, force: true });
    return 1;
  }
}

if (import.meta.main) process.exitCode = main();
