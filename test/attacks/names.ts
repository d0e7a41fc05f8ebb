/**
 * The names of all cases of the attack suite, as its tests have them: by applications (modules),
 * and by hostile dataplanes and neighbours, which are found in the text of their tests.
 *
 * Called by test/confine/mutations.test.ts and test/docs/security.test.ts.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Case } from './case.ts';

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(name, import.meta.url)), 'utf8');

/** By applications, dataplanes, peers. */
export async function attackCases(): Promise<[string[], string[], string[]]> {
  const cases = fileURLToPath(new URL('cases/', import.meta.url));
  const files = globSync('*.ts', { cwd: cases });
  const modules = await Promise.all(files.map((file) => import(`${cases}${file}`)));
  const names = modules.flatMap(({ cases }: { cases: Case[] }) => cases.map(({ name }) => name));
  const source = read('dataplane.live.test.ts');
  const attacks = /const ATTACKS[^{]*\{\n(.*?)\n\};/s.exec(source)?.[1]?.matchAll(/^ {2}(\w+):/gm);
  const tried = [...(attacks ?? [])].map(([, name]) => `dataplane_${name}_nobodyElseNotices`);
  const written = (text: string): string[] =>
    [...text.matchAll(/test\('((dataplane|peer)_\w+)'/g)].map(([, name]) => name!);
  const others = written(source);
  const byPeers = written(read('peers.live.test.ts'));
  assert.ok(tried.length > 10 && others.length > 3 && byPeers.length > 2);
  return [names, [...tried, ...others], byPeers];
}
