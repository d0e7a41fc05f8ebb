/**
 * Takes each mechanism of mutations.ts away, in a copy of the tree, and asks the test that must
 * notice.
 *
 * - `bin/ix test --mutations confine [words of names...]`: a line each, exit code 1 when one is not
 *   noticed. Needs root.
 * - Noticed means: the test passes without the mutation and fails with it. A test that never passes
 *   notices nothing.
 * - The copy lies below build/, where children can read it as they can read the tree; its packages
 *   are second names of ours.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MUTATIONS, type Mutation } from './mutations.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['src', 'test', 'sim', 'docs', 'bin', 'native', 'wasm', 'tools', 'bench'];
const FILES = ['package.json', 'package-lock.json', 'README.md', 'STYLE.md', 'tsconfig.json'];
const TEST_MS = 180_000;
const FLAGS = ['--disable-warning=ExperimentalWarning'];

/** The source without the mechanism. */
export function mutated({ name, file, find, replace }: Mutation): string {
  const parts = readFileSync(join(ROOT, file), 'utf8').split(find);
  if (parts.length === 2) return parts.join(replace);
  const where = `${parts.length - 1} places in ${file} instead of one`;
  throw new Error(`${name}: ${where}; bring test/confine/mutations.ts up to date`);
}

function copyTree(): string {
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  const root = mkdtempSync(join(ROOT, 'build/mutation-'));
  for (const name of COPIED) cpSync(join(ROOT, name), join(root, name), { recursive: true });
  for (const name of FILES) cpSync(join(ROOT, name), join(root, name));
  mkdirSync(join(root, 'build'));
  cpSync(join(ROOT, 'build/sys.node'), join(root, 'build/sys.node'));
  // Second names of the same files: a link would lead out of what a child sees.
  const { status } = spawnSync('cp', ['-al', join(ROOT, 'node_modules'), root]);
  if (status !== 0) throw new Error('cp -al of node_modules failed');
  spawnSync('chmod', ['755', root]);
  return root;
}

/** Whether the test passes in this tree. */
function passes(root: string, [file, name]: Mutation['test']): boolean {
  const chosen = name === undefined ? [] : [`--test-name-pattern=/${name}/`];
  const words = [...FLAGS, ...chosen, '--test-reporter=tap', join(root, file)];
  const node = join(root, process.execPath.slice(ROOT.length));
  const env: NodeJS.ProcessEnv = { ...process.env, IX_VERIFY: '1', IX_SOURCE: '1' };
  delete env['NODE_TEST_CONTEXT'];
  const { status, stdout } = spawnSync(node, words, {
    env,
    cwd: root,
    encoding: 'utf8',
    timeout: TEST_MS,
  });
  return status === 0 && /^# pass [1-9]/m.test(stdout) && /^# skipped 0$/m.test(stdout);
}

export function mutate(words: readonly string[]): number {
  const isChosen = ({ name }: Mutation) => words.every((word) => name.includes(word));
  const chosen = MUTATIONS.filter(isChosen);
  const root = copyTree();
  const sound = new Map<string, boolean>();
  let missed = 0;
  try {
    for (const mutation of chosen) {
      const { name, file, test } = mutation;
      const key = test.join(' ');
      if (!sound.has(key)) sound.set(key, passes(root, test));
      const original = readFileSync(join(root, file));
      writeFileSync(join(root, file), mutated(mutation));
      const isNoticed = sound.get(key)! && !passes(root, test);
      writeFileSync(join(root, file), original);
      if (!isNoticed) missed += 1;
      const how = isNoticed
        ? 'noticed'
        : sound.get(key)
          ? 'NOT NOTICED'
          : 'NOT NOTICED (fails anyway)';
      console.log(`${name}: ${how} by ${key}`);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
  console.log(`${chosen.length - missed} of ${chosen.length} noticed`);
  return missed === 0 && chosen.length > 0 ? 0 : 1;
}
