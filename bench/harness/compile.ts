/**
 * Compiles the peers that are written in C, bench/peers/NAME.c to build/NAME, when the source is
 * newer: as their users would (-O2), and without a warning.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { builtBeside } from '../../src/built.ts';
import { UserError } from '../../src/errors.ts';

/** Path of a competitor's source, of a TypeScript program as it runs. */
export const peerSource = (file: string): string =>
  builtBeside(import.meta.url, `../peers/${file}`);

const modified = (path: string): number =>
  statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;

/** Path of the program; `flags` are those of its libraries. */
export function compilePeer(name: string, flags: readonly string[] = []): string {
  const source = peerSource(`${name}.c`);
  const program = fileURLToPath(new URL(`../../build/${name}`, import.meta.url));
  if (modified(program) > modified(source)) return program;
  mkdirSync(fileURLToPath(new URL('../../build/', import.meta.url)), { recursive: true });
  const compiler = process.env['CC'] || 'cc';
  try {
    const words = ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source, ...flags];
    execFileSync(compiler, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const reason = String((error as { stderr?: unknown }).stderr || error).split('\n')[0];
    const remedy = 'a C compiler is needed: apt-get install gcc libc6-dev';
    throw new UserError('IX_COMPILER', `compiling ${name}.c failed (${reason})`, remedy);
  }
  return program;
}
