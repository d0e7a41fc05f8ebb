/**
 * What `ix --version` says: the version of package.json, the commit where this is a repository, and
 * the Node that runs it. Synchronous, and asked only then: it starts git.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Of this copy, not of a repository that it may lie in; a mark where files differ from it. */
function commit(): string | undefined {
  if (!existsSync(`${ROOT}.git`)) return undefined;
  const words = ['describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'];
  const { status, stdout } = spawnSync('git', words, { cwd: ROOT, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** One line: `ix 0.1.0 (0123456789ab, Node v26.10.0)`. */
export function versionText(): string {
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
    version: string;
  };
  const from = [commit(), `Node ${process.version}`].filter((each) => each !== undefined);
  return `ix ${version} (${from.join(', ')})`;
}
