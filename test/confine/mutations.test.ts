/**
 * The mutations of confinement are of today's source, docs/SECURITY.md has a row for each, and each
 * case of the attack suite has one of its own. Whether the tests notice them takes half an hour and
 * root: `bin/ix test --mutations confine`.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attackCases } from '../attacks/names.ts';
import { mutated, noticing } from './mutate.ts';
import { MUTATIONS, type TestName } from './mutations.ts';
import { attackFile, CASES } from './mutations-attacks.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Cases that are older than the rule that each has one. They may only become fewer. */
const CASES_WITHOUT_MAX = 181;

const isCase = ([file, name = '']: TestName): boolean => file === attackFile(name);

test('mutations_each_standsInTheSourceIsAProgramAndNamesATest', () => {
  assert.ok(MUTATIONS.length >= 140);
  assert.equal(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length);
  for (const mutation of MUTATIONS) {
    for (const [file, source] of mutated(mutation)) {
      if (file.endsWith('.ts')) assert.doesNotThrow(() => stripTypeScriptTypes(source), file);
    }
    const [file, name] = mutation.test;
    assert.ok(existsSync(`${ROOT}${file}`), file);
    if (name === undefined || isCase(mutation.test)) continue;
    const source = readFileSync(`${ROOT}${file}`, 'utf8');
    const rest = name.slice(name.indexOf('_'));
    assert.ok(source.includes(`'${name}'`) || source.includes(`}${rest}\``), `${file}: ${name}`);
  }
});

test('mutations_casesThatMustNotice_areThereAndNoNewOneIsWithout', async () => {
  const cases = (await attackCases()).flat();
  assert.equal(new Set(cases).size, cases.length);
  const named = new Set(
    MUTATIONS.flatMap(noticing)
      .filter(isCase)
      .map(([, name]) => name!),
  );
  for (const name of named) assert.ok(cases.includes(name), `${name} is no case`);
  for (const name of Object.keys(CASES)) {
    const isThere = MUTATIONS.some((each) => each.name === name);
    assert.ok(isThere, `${name} is taken away by nobody`);
  }
  const without = cases.filter((name) => !named.has(name));
  const remedy = 'give it a row in mutations-attacks.ts';
  assert.ok(without.length <= CASES_WITHOUT_MAX, `${without.length}: ${without.at(-1)}; ${remedy}`);
});

test('attackSuite_isAsLargeAsTheReadmeSays', async () => {
  const [applications, dataplanes, peers] = await attackCases();
  const [by, from, of] = [applications.length, dataplanes.length, peers.length];
  const others = `${from} by a hostile dataplane and ${of} by a hostile neighbour`;
  const said = `${by} attacks on it, ${others} are tests`;
  assert.ok(readFileSync(`${ROOT}README.md`, 'utf8').includes(said), said);
  assert.ok(by + from + of >= 220);
});

test('mutations_each_hasARowInTheDocument', () => {
  const document = readFileSync(`${ROOT}docs/SECURITY.md`, 'utf8');
  const [, section = ''] = document.split('## Each mechanism, taken away');
  const shown = section
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => /^\| .+ \| `/.test(line));
  const expected = MUTATIONS.map((mutation) => {
    const names = noticing(mutation).map(([file, name]) => {
      return `\`${name ?? file.replace(/^test\/|(\.live)?\.test\.ts$/g, '')}\``;
    });
    return `| ${mutation.name} | ${names.join(', ')} |`;
  });
  assert.deepEqual(shown, expected);
});
