/**
 * `ix bench NAME ...`: runs bench/NAME.ts, whose default export takes the rest of the words.
 * `--help` in place of a name lists the names; after one it is the benchmark's own.
 */
import { existsSync, readdirSync } from 'node:fs';
import { OptionError } from '../errors.ts';

export type Bench = (words: string[]) => Promise<void>;

const BENCH = new URL('../../bench/', import.meta.url);

const namesOf = (): string[] =>
  readdirSync(BENCH)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3));

export async function bench(name: string, words: string[]): Promise<void> {
  if (name === '--help' || name === '-h') {
    const names = namesOf().map((each) => `  ${each}\n`);
    const more = 'what one takes: ix bench <name> --help';
    process.stdout.write(`Usage: ix bench <name> [options]\n\n${names.join('')}\n${more}\n`);
    return;
  }
  const module = new URL(`${name}.ts`, BENCH);
  if (!/^[\w-]+$/.test(name) || !existsSync(module)) {
    const list = namesOf().join(', ');
    throw new OptionError(`there is no benchmark ${name}`, `there are: ${list || 'none yet'}`);
  }
  const { default: run } = (await import(module.href)) as { default: Bench };
  await run(words);
}
