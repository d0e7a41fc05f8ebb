/**
 * Another commit of this project as a contender: its server, made from its sources, beside the
 * working tree's.
 *
 * - `prepareBase` puts the commit's files into build/base/COMMIT, once, and lets its own `bin/ix
 *   setup` make what it needs. Its packages are ours where its lockfile is ours (hard links), else
 *   npm's.
 * - `startTree` serves an application by a tree's own `bin/ix`, as users do: both arms of a
 *   comparison are started so, that nothing but the tree differs. The client is always the working
 *   tree's.
 * - Options are those that both know; defaults are each tree's own, since they are part of what is
 *   compared.
 */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../../src/errors.ts';
import { PREFIX_LENGTH, SERVER_LINK } from './network.ts';
import type { OursPlan, Server } from './run.ts';

export const WORKING_TREE = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const START_MS = 60_000;

export type Tell = (line: string) => void;

/** Runs it to its end; what it printed, or an error with its last words. */
function output(directory: string, command: string, words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, {
    cwd: directory,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status === 0) return stdout;
  const last = (error?.message ?? stderr).trim().split('\n').slice(-3).join('; ');
  throw new UserError(
    'IX_BASE',
    `${command} ${words[0]}: ${last}`,
    'see: bin/ix bench base --help',
  );
}

/** The whole name of a commit; an error that says so if there is none. */
export function commitOf(ref: string): string {
  const words = ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`];
  const { status, stdout } = spawnSync('git', words, { cwd: WORKING_TREE, encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  const remedy = 'name a commit of this repository: git log --oneline (a shallow clone has few)';
  throw new UserError('IX_BASE', `there is no commit ${ref}`, remedy);
}

/**
 * The folder of a commit that is ready to serve. Needs the npm registry if its packages are others.
 */
export function prepareBase(commit: string, tell: Tell): string {
  const directory = join(WORKING_TREE, 'build/base', commit.slice(0, 12));
  if (!existsSync(directory)) {
    tell(`taking ${commit.slice(0, 12)} out of the repository`);
    const half = `${directory}.half`;
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half, { recursive: true, mode: 0o755 });
    const archive = `git archive ${commit} | tar -x -C '${half}'`;
    output(WORKING_TREE, 'sh', ['-c', archive]);
    takePackages(half);
    renameSync(half, directory);
  }
  tell(`setting ${commit.slice(0, 12)} up`);
  output(directory, 'bin/ix', ['setup']);
  return directory;
}

/** Ours serve it as well, if they are what its lockfile asks for. */
function takePackages(directory: string): void {
  const lockOf = (tree: string): string => readFileSync(join(tree, 'package-lock.json'), 'utf8');
  if (lockOf(directory) !== lockOf(WORKING_TREE)) return;
  output(WORKING_TREE, 'cp', ['-al', 'node_modules', `${directory}/node_modules`]);
  mkdirSync(join(directory, 'build'), { recursive: true, mode: 0o755 });
  const stamp = 'build/packages.stamp';
  cpSync(join(WORKING_TREE, stamp), join(directory, stamp));
}

const optional = (name: string, value: number | string | undefined): string[] =>
  value === undefined ? [] : [`--${name}`, String(value)];

/** An application served by `tree`'s own command, until it is stopped. */
export async function startTree(tree: string, plan: OursPlan): Promise<Server> {
  const words = [
    ...['serve', plan.app, '--json', '--nic', SERVER_LINK, '--xdp', 'generic', '--ip6', 'none'],
    ...['--ip', `${plan.address}/${PREFIX_LENGTH}`, '--cpu', String(plan.cpu)],
    ...['--idle', plan.idle, ...optional('domain', plan.domain)],
    ...optional('memory', plan.memory),
  ];
  const child = spawn(join(tree, 'bin/ix'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // A benchmark that ends takes its servers along.
  const kill = (): void => void child.kill('SIGTERM');
  process.once('exit', kill);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ready = new Promise<boolean>((resolve) => {
    child.stdout.once('data', () => resolve(true));
    child.once('error', (error) => (errors += error.message));
    void ended.then(() => resolve(false));
    setTimeout(resolve, START_MS, false).unref();
  });
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    kill();
    await ended;
  };
  if (await ready) return { stop };
  await stop();
  throw new UserError('IX_BASE', `${tree} did not serve: ${errors.trim()}`, 'try it by hand');
}
