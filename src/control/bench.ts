/**
 * `ix bench NAME ...`: runs bench/NAME.ts, whose default export takes the rest of the words.
 */
import { existsSync, readdirSync } from 'node:fs';
import { OptionError } from './errors.ts';

export type Bench = (words: string[]) => Promise<void>;

const BENCH = new URL('../../bench/', import.meta.url);

export async function bench(name: string, words: string[]): Promise<void> {
  const module = new URL(`${name}.ts`, BENCH);
  if (!/^[\w-]+$/.test(name) || !existsSync(module)) {
    const names = readdirSync(BENCH).filter((file) => file.endsWith('.ts'));
    const list = names.map((file) => file.slice(0, -3)).join(', ');
    throw new OptionError(`there is no benchmark ${name}`, `there are: ${list || 'none yet'}`);
  }
  const { default: run } = (await import(module.href)) as { default: Bench };
  await run(words);
}
