/**
 * docs/SECURITY.md: every test and every attack it names exists, every attack is named, and its
 * numbers are the code's (README's: confine/mutations.test.ts).
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Profile, rulesFor } from '../../src/confine/list.ts';
import { callNumber } from '../../src/confine/seccomp-numbers.ts';
import { limitsFor, packetBytesOf } from '../../src/limits.ts';
import { attackCases } from '../attacks/names.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${ROOT}${path}`, 'utf8');
const document = read('docs/SECURITY.md');

/** What stands behind each claim: the last cells of the tables that have a column `test`. */
const shown = document
  .split(/\n(?=\| )/)
  .filter((row) => row.split(' | ').length === 4)
  .map((row) => row.split('\n')[0]!.split(' | ').at(-1)!);

/** Short names of test files; others are named by where they are: 'control/record/descriptors'. */
const FILES: Record<string, string> = {
  live: 'test/confine/confine.live.test.ts',
  filter: 'test/confine/confine.test.ts',
  gate: 'test/dataplane/gate.test.ts',
};

/** A name may stand for two: that of what needs root, and that of what does not. */
const filesNamed = (name: string): string[] =>
  [FILES[name] ?? `test/${name}.test.ts`, `test/${name}.live.test.ts`].filter((path) =>
    existsSync(`${ROOT}${path}`),
  );

/** Names in italics, without the dots that stand for the rest. */
const beginnings = shown.flatMap((cell) =>
  [...cell.matchAll(/\*([^*]+)\*/g)].flatMap(([, names]) =>
    names!.split(', ').map((name) => name.replace(/\.\.\.$/, '')),
  ),
);

/**
 * Whether a test of this source has a name like `pattern`; its first word may be a parameter there.
 */
function hasTest(source: string, pattern: string): boolean {
  const like = (text: string): string => text.split('...').map(RegExp.escape).join("[^'`]*");
  const rest = pattern.slice(pattern.indexOf('_'));
  const parametric = `\\$\\{\\w+\\}${like(rest)}`;
  return new RegExp(`test\\(\\s*['\`](?:${like(pattern)}|${parametric})['\`]`).test(source);
}

test('attacks_everyOneNamed_exists', async () => {
  const all = (await attackCases()).flat();
  // Those of a dataplane are named without the word as well.
  const names = [...all, ...all.map((name) => name.replace(/^dataplane_/, ''))];
  assert.ok(beginnings.length > 70, `${beginnings.length} are named`);
  const missing = beginnings.filter((each) => !names.some((name) => name.startsWith(each)));
  assert.deepEqual(missing, []);
});

test('attacks_everyOneThatIs_isNamed', async () => {
  const all = (await attackCases()).flat();
  const isNamed = (name: string): boolean =>
    beginnings.some(
      (each) => name.startsWith(each) || name.replace(/^dataplane_/, '').startsWith(each),
    );
  assert.deepEqual(
    all.filter((name) => !isNamed(name)),
    [],
  );
});

test('tests_everyOneNamed_exists', () => {
  let count = 0;
  const missing: string[] = [];
  for (const cell of shown) {
    for (const [path] of cell.matchAll(/test\/[\w/.-]+\.test\.ts/g)) {
      if (!existsSync(`${ROOT}${path}`)) missing.push(path);
    }
    for (const [, file, pattern] of cell.matchAll(/([\w/-]+)(?: \([^)]*\))? `([^`]+)`/g)) {
      const paths = filesNamed(file!);
      count += 1;
      if (!paths.some((path) => hasTest(read(path), pattern!))) missing.push(`${file}: ${pattern}`);
    }
  }
  assert.deepEqual(missing, []);
  assert.ok(count >= 12, `${count} tests are named`);
});

interface Package {
  version: string;
  integrity?: string;
  os?: string[];
  cpu?: string[];
}

test('installed_everyPackage_isListedWithTheHashOfTheLockfile', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, Package>;
  };
  const expected = Object.entries(packages).flatMap(([path, { version, integrity, os, cpu }]) => {
    const isHere =
      (os === undefined || os.includes('linux')) &&
      (cpu === undefined || ['x64', 'arm64'].some((each) => cpu.includes(each)));
    if (path === '' || !isHere || path.includes('musl')) return [];
    assert.match(integrity ?? '', /^sha512-/, path);
    return [[path.slice('node_modules/'.length), version, integrity!.slice('sha512-'.length)]];
  });
  const rows = document.matchAll(/^\| (\S+) \| (\d\S+) \| ([\w+/]{86}==) \|$/gm);
  const listed = [...rows].map(([, ...cells]) => cells);
  assert.ok(listed.length > 20);
  assert.deepEqual(listed.sort(), expected.sort());
});

test('environment_everyVariableThatIsRead_isListed', () => {
  const files = globSync('src/**/*.ts', { cwd: ROOT });
  const names = files.flatMap((file) =>
    [...read(file).matchAll(/process\.env\[(?:'(\w+)'|CONFINED)\]/g)].map(
      ([, name]) => name ?? 'IX_CONFINED',
    ),
  );
  assert.ok(names.length > 8);
  const [, section = ''] = document.split('## What root reads');
  const missing = new Set(names.filter((name) => !section.split('\n## ')[0]!.includes(name)));
  assert.deepEqual([...missing], []);
});

test('lists_howManyCallsEachHas_asTheDocumentSays', () => {
  const count = (profile: Profile): string => {
    const allowed = rulesFor(profile, 1).filter(({ call, answer }) => {
      return answer === 'allow' && callNumber(call, 'x64') >= 0;
    });
    return `${profile} ${allowed.length}`;
  };
  for (const profile of ['dataplane', 'application', 'inline'] as const) {
    assert.ok(document.includes(count(profile)), count(profile));
  }
});

test('lockedMemory_asTheDocumentSays', () => {
  const needed = packetBytesOf(limitsFor()) / 2 ** 20;
  assert.match(document, new RegExp(`RLIMIT_MEMLOCK \\(8 MiB by default, ${needed} MiB needed\\)`));
});
