/**
 * Which module an application's name means, and what to tell people about the built-in ones.
 *
 * - A name is `src/apps/<name>.ts` or `src/apps/<name>/index.ts`; anything with a slash or an
 *   extension is a path.
 */
import { existsSync, realpathSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OptionError } from '../../errors.ts';

export interface Application {
  name: string;
  /** Absolute path. */
  module: string;
  options: Record<string, string>;
  /** One of src/apps. */
  isBuiltIn: boolean;
}

const APPS = fileURLToPath(new URL('../../apps/', import.meta.url));

/** Why an application of ours cannot be several, each with the connections of one thread. */
const ONE_THREAD: Record<string, string> = {
  kv: 'kv keeps its values in one thread, where every connection must find them',
};

/** Throws an OptionError for an application that is one thread's. */
export function checkThreads(app: Application, threads: number): void {
  const why = threads > 1 && app.isBuiltIn ? ONE_THREAD[app.name] : undefined;
  if (why) throw new OptionError(why, 'use --threads 1, or an address for each kv');
}

/**
 * Seconds of a client's silence after which an application of ours has it asked whether it is
 * there: kv as memcached, which sets keepalive and leaves the times to Linux.
 */
const KEEPALIVE: Record<string, number> = { kv: 7200 };

/** Of an application whose user does not say (`--keepalive`); 0: never. */
export const keepaliveOf = (app: Application): number =>
  (app.module.startsWith(APPS) ? KEEPALIVE[app.name] : undefined) ?? 0;

/** Commands to try against a built-in application, in order of interest. */
const TRY: Record<string, (address: string, port: number) => string[]> = {
  kv: (address, port) => [
    `printf 'set a 0 0 5\\r\\nhello\\r\\nget a\\r\\nquit\\r\\n' | nc ${address} ${port}`,
    'bin/ix stat',
  ],
  echo: (address, port) => [`echo hello | nc -N ${address} ${port}`, 'bin/ix stat'],
};

export function findApplication(name: string, options: Record<string, string> = {}): Application {
  const isPath = name.includes('/') || extname(name) !== '';
  const candidates = isPath
    ? [resolve(name)]
    : [`${APPS}${name}.ts`, `${APPS}${name}/index.ts`, `${APPS}${name}/${name}.ts`];
  const module = candidates.find((path) => existsSync(path));
  if (!module) {
    throw new OptionError(
      isPath ? `there is no file ${name}` : `there is no application ${name}`,
      isPath ? 'give the path of a TypeScript module' : 'use kv, echo or the path of a module',
    );
  }
  // Its real path: a confined application does not see the links on the way.
  const real = realpathSync(module);
  const isBuiltIn = real.startsWith(APPS);
  return { name: basename(name, extname(name)), module: real, options, isBuiltIn };
}

export function commandsToTry(name: string, address: string, ports: readonly number[]): string[] {
  const [port] = ports;
  return (port !== undefined && TRY[name]?.(address, port)) || ['bin/ix stat'];
}
