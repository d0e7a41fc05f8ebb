/**
 * Plants each bug of mutations.ts in a copy of the source and lets the simulator look for it.
 *
 * - `node sim/mutate.ts [--seeds 1000] [name...]`: a line each, exit code 1 when one is not found.
 * - Found means: a seed fails that does not fail without the bug.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { MUTATIONS, type Mutation } from './mutations.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const COPIED = ['src', 'sim', 'wasm', 'package.json'];
const LINKED = ['node_modules', 'build'];
const TIMEOUT_MS = 10 * 60_000;

export class MutationError extends Error {
  readonly code = 'IX_SIM_MUTATION';
}

/** The source with the bug planted. */
export function mutated(mutation: Mutation): string {
  const path = join(ROOT, 'src', mutation.file);
  const parts = readFileSync(path, 'utf8').split(mutation.find);
  if (parts.length !== 2) {
    throw new MutationError(
      `${mutation.name}: ${parts.length - 1} places in ${mutation.file} instead of one; bring sim/mutations.ts up to date`,
    );
  }
  return parts.join(mutation.replace);
}

interface Failure {
  seed: number;
  message: string;
}

function simulate(root: string, first: number, count: number): Promise<Failure | undefined> {
  const args = [join(root, 'sim/main.ts'), '--json', '--seed', `${first}`, '--seeds', `${count}`];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      // a run that hangs or dies shows the bug as well
      if (error?.killed) return resolve({ seed: first, message: 'the simulator hangs' });
      try {
        resolve(JSON.parse(stdout).sim.failures[0]);
      } catch {
        reject(new MutationError(`the simulator said nothing: ${stderr.slice(-2000)}`));
      }
    });
  });
}

/** The first seed below `count` that shows the bug, and how; undefined: none does. */
export async function findMutation(
  mutation: Mutation,
  count: number,
): Promise<Failure | undefined> {
  const root = mkdtempSync(join(tmpdir(), 'ix-mutation-'));
  try {
    for (const name of COPIED) cpSync(join(ROOT, name), join(root, name), { recursive: true });
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(root, name));
    writeFileSync(join(root, 'src', mutation.file), mutated(mutation));
    for (let first = 1; first <= count; ) {
      const failure = await simulate(root, first, count - first + 1);
      if (!failure) return undefined;
      const without = await simulate(ROOT, failure.seed, 1);
      if (!without) return failure;
      first = failure.seed + 1;
    }
    return undefined;
  } finally {
    rmSync(root, { recursive: true });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seeds: { type: 'string', default: '1000' } },
  });
  const chosen = MUTATIONS.filter((m) => positionals.length === 0 || positionals.includes(m.name));
  const waiting = [...chosen];
  let missed = 0;
  const work = async (): Promise<void> => {
    for (let m = waiting.shift(); m; m = waiting.shift()) {
      const failure = await findMutation(m, Number(values.seeds));
      if (!failure) missed++;
      const how = failure ? `seed ${failure.seed}: ${failure.message}` : 'NOT FOUND';
      console.log(`${m.name}\n  ${how}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  console.log(`${chosen.length - missed} of ${chosen.length} found`);
  process.exitCode = missed > 0 ? 1 : 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
