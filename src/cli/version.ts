/**
 * What `ix --version` says: the version of package.json, the commit that this or the package was
 * made of, and the Node that runs it. Synchronous, and asked only then: it starts git.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Of this copy, not of a repository that it may lie in; a mark where files differ from it. */
export function commitOf(root: string): string | undefined {
  if (!existsSync(`${root}/.git`)) return undefined;
  const words = ['describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'];
  const { status, stdout } = spawnSync('git', words, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** One line: `ix 0.1.0 (0123456789ab, Node v26.10.0)`. */
export function versionText(): string {
  const { version, commit } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
    version: string;
    commit?: string;
  };
  const from = [commit ?? commitOf(ROOT), `Node ${process.version}`].filter(
    (each) => each !== undefined,
  );
  return `ix ${version} (${from.join(', ')})`;
}
