/**
 * Takes each mechanism of mutations.ts away, in a copy of the tree, and asks the tests that must
 * notice.
 *
 * - `bin/ix test --mutations confine [words...]`: a line each, exit code 1 when one is not noticed.
 *   Words choose by name, test and file. Needs root.
 * - Noticed means: each of its tests passes without the mutation and fails with it. A test that
 *   never passes notices nothing.
 * - What was made ready for a named test must not fail: a child that does not start shows nothing
 *   of what the test looks at. A case of the attack suite must fail by itself: that a case before
 *   it went wrong is not noticing, either. What it said is in the line.
 * - The copy lies below build/, where children can read it as they can read the tree; its packages
 *   are second names of ours.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MUTATIONS, type Mutation, type TestName } from './mutations.ts';
import { attackFile } from './mutations-attacks.ts';
import type { Outcome } from './outcomes.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['src', 'test', 'sim', 'docs', 'bin', 'native', 'wasm', 'tools', 'bench'];
const FILES = ['package.json', 'package-lock.json', 'README.md', 'STYLE.md', 'tsconfig.json'];
/** So that bin/ix finds itself set up. */
const BUILT = ['sys.node', 'native.stamp', 'packages.stamp'];
/** Of a run of one file, and of each test of it that is asked. */
const RUN_MS = 160_000;
const TEST_MS = 20_000;
/** Of the sources, which change; and in the attack suite without those who are not attacked. */
const SETTINGS = { IX_VERIFY: '1', IX_SOURCE: '1', IX_ATTACKS_ALONE: '1' };
const FLAGS = ['--disable-warning=ExperimentalWarning'];

/** The sources without the mechanism, by name. */
export function mutated(
  { name, behind = [], ...first }: Mutation,
  root: string = ROOT,
): Map<string, string> {
  const sources = new Map<string, string>();
  for (const { file, find, replace } of [first, ...behind]) {
    const source = sources.get(file) ?? readFileSync(join(root, file), 'utf8');
    const parts = source.split(find);
    if (parts.length !== 2) {
      const where = `${parts.length - 1} places in ${file} instead of one`;
      throw new Error(`${name}: ${where}; bring test/confine/mutations.ts up to date`);
    }
    sources.set(file, parts.join(replace));
  }
  return sources;
}

/** All that must notice. */
export const noticing = ({ test, cases = [] }: Mutation): TestName[] => [
  test,
  ...cases.map((each): TestName => [attackFile(each), each]),
];

function copyTree(): string {
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  const root = mkdtempSync(join(ROOT, 'build/mutation-'));
  for (const name of COPIED) cpSync(join(ROOT, name), join(root, name), { recursive: true });
  for (const name of FILES) cpSync(join(ROOT, name), join(root, name));
  mkdirSync(join(root, 'build'));
  for (const name of BUILT) cpSync(join(ROOT, 'build', name), join(root, 'build', name));
  // Second names of the same files: a link would lead out of what a child sees.
  const { status } = spawnSync('cp', ['-al', join(ROOT, 'node_modules'), root]);
  if (status !== 0) throw new Error('cp -al of node_modules failed');
  spawnSync('chmod', ['755', root]);
  return root;
}

interface Run {
  readonly outcomes: readonly Outcome[];
  /** It ended in time, and all that ran passed. */
  readonly isSound: boolean;
  /** It did not end in time, or died. */
  readonly isCut: boolean;
}

/** Runs these tests of a file, or all of it. */
function runTests(root: string, file: string, names: readonly string[]): Run {
  const chosen = names.length === 0 ? [] : [`--test-name-pattern=/(${names.join('|')})$/`];
  const reporter = `--test-reporter=${join(root, 'test/confine/outcomes.ts')}`;
  const node = join(root, process.execPath.slice(ROOT.length));
  const env: NodeJS.ProcessEnv = { ...process.env, ...SETTINGS };
  delete env['NODE_TEST_CONTEXT'];
  const { status, stdout } = spawnSync(node, [...FLAGS, ...chosen, reporter, join(root, file)], {
    env,
    cwd: root,
    encoding: 'utf8',
    timeout: RUN_MS + names.length * TEST_MS,
  });
  // What a test prints itself stands between.
  const lines = stdout.split('\n').filter((line) => line.startsWith('{"name":'));
  const outcomes = lines.map((line): Outcome => JSON.parse(line));
  const isSound = status === 0 && outcomes.length > 0 && outcomes.every(({ passed }) => passed);
  return { outcomes, isSound, isCut: status === null };
}

/** The same; once more if something was not even asked, as on a machine that is too busy. */
function runAgain(root: string, file: string, names: readonly string[]): Run {
  const run = runTests(root, file, names);
  if (!file.startsWith('test/attacks/')) return run;
  const wasAsked = (name: string) =>
    run.outcomes.some((each) => each.name === name && (each.passed || each.byItself));
  return names.every(wasAsked) ? run : runTests(root, file, names);
}

/** Why this test fails with the mutation; undefined: it does not. */
function failureOf({ outcomes, isSound, isCut }: Run, [file, name]: TestName): string | undefined {
  const own = outcomes.filter((each) => name === undefined || each.name === name);
  const failed = own.find(({ passed }) => !passed);
  if (name !== undefined && file === attackFile(name)) {
    return failed?.byItself ? failed.why : undefined;
  }
  if (failed) return name === undefined || failed.wasRun ? failed.why : undefined;
  const isMute = name === undefined ? !isSound : isCut && own.length === 0;
  return isMute ? 'it did not end' : undefined;
}

const called = ([file, name = file]: TestName): string => name;

/** The tests of a list, by file: none for all of it. */
function byFile(tests: readonly TestName[]): Map<string, string[]> {
  const files = new Map<string, string[]>();
  for (const [file, name] of tests) {
    const names = files.get(file) ?? [];
    files.set(file, name === undefined ? names : [...new Set([...names, name])]);
  }
  for (const [file, name] of tests) if (name === undefined) files.set(file, []);
  return files;
}

/** Which of the tests pass while nothing is taken away; what fails once has a second chance. */
function soundTests(root: string, tests: readonly TestName[]): Set<string> {
  const sound = new Set<string>();
  for (const [file, names] of byFile(tests)) {
    let { outcomes, isSound } = runTests(root, file, names);
    if (!isSound) ({ outcomes, isSound } = runTests(root, file, names));
    if (isSound) sound.add(file);
    for (const { name, passed, why } of outcomes) {
      if (passed) sound.add(name);
      else if (names.length === 0 || names.includes(name))
        console.log(`${name} fails although nothing is taken away: ${why}`);
    }
  }
  return sound;
}

/** What each test said with the mechanism gone, in words; undefined: all have noticed. */
function ask(root: string, mutation: Mutation, sound: ReadonlySet<string>): [boolean, string] {
  const tests = noticing(mutation);
  const sources = mutated(mutation, root);
  const originals = [...sources.keys()].map((file) => readFileSync(join(root, file)));
  for (const [file, text] of sources) writeFileSync(join(root, file), text);
  const runs = new Map<string, Run>();
  for (const [file, names] of byFile(tests)) runs.set(file, runAgain(root, file, names));
  [...sources.keys()].forEach((file, i) => {
    writeFileSync(join(root, file), originals[i]!);
  });
  let isNoticed = true;
  const said = tests.map((test) => {
    const why = failureOf(runs.get(test[0])!, test);
    if (!sound.has(called(test))) isNoticed = false;
    else if (why !== undefined) return `noticed by ${called(test)} (${why.slice(0, 200)})`;
    else isNoticed = false;
    return `NOT NOTICED by ${called(test)}${why === undefined ? '' : ' (fails anyway)'}`;
  });
  return [isNoticed, said.join('\n    ')];
}

export function mutate(words: readonly string[]): number {
  const isChosen = (each: Mutation) =>
    words.every((word) => `${each.name} ${noticing(each).flat()}`.includes(word));
  const chosen = MUTATIONS.filter(isChosen);
  const root = copyTree();
  let missed = 0;
  try {
    const sound = soundTests(root, chosen.flatMap(noticing));
    for (const mutation of chosen) {
      const [isNoticed, said] = ask(root, mutation, sound);
      if (!isNoticed) missed += 1;
      console.log(`${mutation.name}:\n    ${said}`);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
  console.log(`${chosen.length - missed} of ${chosen.length} noticed`);
  return missed === 0 && chosen.length > 0 ? 0 : 1;
}
