/**
 * Which module an application's name means, and what that application says of itself.
 *
 * - A name is one of src/apps/built-in.ts; anything with a slash or an extension is a path.
 * - An application of ours is that by whatever way it was found, so a path to it is as good as its
 *   name. Every other module says nothing: none of it is read here.
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUILT_IN } from '../../apps/built-in.ts';
import { OptionError } from '../../errors.ts';
import type { Wants } from '../../libix/wants.ts';
import { parseSettings } from './options.ts';

export interface Application {
  readonly name: string;
  /** Absolute path. */
  readonly module: string;
  readonly options: Record<string, string>;
  readonly wants: Wants;
  /** An ordinary Node program's arguments; absent: it is an application. */
  readonly args?: readonly string[];
}

/** How many names an error offers. */
const OFFERED = 2;

export function findApplication(name: string, options: Record<string, string> = {}): Application {
  const isPath = name.includes('/') || extname(name) !== '';
  const module = isPath ? resolve(name) : pathOf(name);
  if (module === undefined || !existsSync(module)) {
    const offered = Object.keys(BUILT_IN).slice(0, OFFERED).join(', ');
    throw new OptionError(
      isPath ? `there is no file ${name}` : `there is no application ${name}`,
      isPath ? 'give the path of a TypeScript module' : `use ${offered} or the path of a module`,
    );
  }
  // Its real path: a confined application does not see the links on the way.
  const real = realpathSync(module);
  return { name: basename(name, extname(name)), module: real, options, wants: wantsOf(real) };
}

/** A setting that nobody reads is a typing error, and the default in its place a surprise. */
function checkSettings({ name, wants: { settings } }: Application, given: string[]): void {
  const unknown = settings && given.find((each) => !settings.includes(each));
  if (unknown === undefined) return;
  throw new OptionError(`${name} has no setting '${unknown}'`, `it takes ${settings!.join(', ')}`);
}

/** `bin/ix serve` and `run`: what follows the name is the program's, or settings. */
export function applicationFor(name: string, words: readonly string[]): Application {
  const app = findApplication(name);
  const isOurs = Object.keys(BUILT_IN).some((each) => realpathSync(pathOf(each)!) === app.module);
  if (!isOurs && isProgram(readFileSync(app.module, 'utf8'))) return { ...app, args: [...words] };
  const options = parseSettings(words);
  checkSettings(app, Object.keys(options));
  return { ...app, options };
}

/**
 * Whether a module is an ordinary Node program: it exports no default. Looked at, not loaded;
 * what stands in a comment or a string like a statement that exports is taken for one.
 */
export const isProgram = (source: string): boolean =>
  !/(?:^|[;}])\s*export\s+(?:default\b|\{[^}]*(?:\bas\s+)?\bdefault\b)/m.test(source);

const pathOf = (name: string): string | undefined =>
  Object.hasOwn(BUILT_IN, name) ? fileURLToPath(BUILT_IN[name]!.module) : undefined;

function wantsOf(real: string): Wants {
  const names = Object.keys(BUILT_IN);
  const name = names.find((each) => realpathSync(pathOf(each)!) === real);
  return name === undefined ? {} : BUILT_IN[name]!.wants;
}

/** What people may try, now that it serves. */
export function commandsToTry(
  { wants }: Application,
  address: string,
  [port]: readonly number[],
): string[] {
  if (port === undefined || !wants.tries) return ['bin/ix stat'];
  return wants.tries.map((line) => line.replace('ADDRESS', address).replace('PORT', `${port}`));
}
