/**
 * What runs in place of a source file: its bundle in build/code (tools/bundle.ts), if there is one.
 *
 * - `bin/ix` makes a bundle anew when a source has changed. IX_SOURCE=1 runs the sources.
 * - Inside a bundle `import.meta.url` is still the source file's, so relative paths mean the same.
 */
import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const CODE = resolve(ROOT, 'build/code');

/** Where the bundle of `source`, a path in this project, is or would be. */
export const bundleOf = (source: string): string =>
  resolve(CODE, relative(ROOT, source)).replace(/\.ts$/, '.js');

/** Path of the file to run for `source`. */
export function built(source: string): string {
  if (process.env['IX_SOURCE'] || relative(ROOT, source).startsWith('..')) return source;
  const bundle = bundleOf(source);
  return existsSync(bundle) ? bundle : source;
}

/** The same for a file beside the caller: `builtBeside(import.meta.url, './worker.ts')`. */
export const builtBeside = (url: string, file: string): string =>
  built(fileURLToPath(new URL(file, url)));
