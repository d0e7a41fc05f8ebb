/**
 * Packages of other people, for tests that run them: installed as a user would, exactly those of
 * test/node/packages/package-lock.json, into build/packages, beside the programs that use them.
 *
 * - Not the project's own: `npm start` and its `npm ci` bring none of them.
 * - Installed once, and again when the lock file changes; it needs the npm registry.
 * - Programs are copied each time. They are a package of their own, so a confined application may
 *   read them and what they import.
 *
 * Called before `enterNamespace`, behind which there is no registry.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../node/packages', import.meta.url));
const PLACE = fileURLToPath(new URL('../../build/packages', import.meta.url));
const LOCK = 'package-lock.json';
const LIMIT_MS = 5 * 60_000;
const COMMAND = 'ci --ignore-scripts --no-audit --no-fund --loglevel=error'.split(' ');
/** Answered quickly or not at all; without it npm tries again for minutes. */
const QUESTION = 'view ws version --prefer-online --fetch-retries=1 --fetch-timeout=5000'.split(
  ' ',
);
const QUESTION_MS = 20_000;

const npm = (words: readonly string[], timeout: number) =>
  spawnSync('npm', words, { cwd: PLACE, timeout, encoding: 'utf8' });

const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

/** Returns where the programs are. */
export function installPackages(): string {
  const isDue = text(`${PLACE}/installed`) !== text(`${SOURCE}/${LOCK}`);
  mkdirSync(PLACE, { recursive: true });
  for (const old of ['servers', 'clients', 'caches'])
    rmSync(`${PLACE}/${old}`, { recursive: true, force: true });
  cpSync(SOURCE, PLACE, { recursive: true });
  if (!isDue) return PLACE;
  rmSync(`${PLACE}/installed`, { force: true });
  const isThere = npm(QUESTION, QUESTION_MS).status === 0;
  // Without a registry: what npm's cache has.
  const from = isThere ? '--prefer-offline' : '--offline';
  const { status, stderr, error } = npm([...COMMAND, from], LIMIT_MS);
  if (status !== 0) {
    const said = stderr.match(/npm error (.*)/)?.[1] ?? error?.message ?? `exit code ${status}`;
    const why = isThere ? said : 'the npm registry does not answer';
    throw new Error(
      `npm ci in ${PLACE} failed (${why}); check the network and the npm registry, then try again`,
    );
  }
  cpSync(`${PLACE}/${LOCK}`, `${PLACE}/installed`);
  return PLACE;
}
