/**
 * Which of Node's own tests are about TCP over IP, and why the others are left out: by rule, on
 * their text.
 *
 * Called by main.ts.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Chosen {
  /** parallel/test-net-....js */
  readonly name: string;
  readonly kind: string;
  /** Options of Node that the test asks for. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** '': it is run. */
  readonly leftOut: string;
}

const moduleRule = (module: string): RegExp => new RegExp(`['"](?:node:)?${module}['"]`);

/** The first that matches is the reason. */
const RULES: readonly (readonly [RegExp, string])[] = [
  [moduleRule('child_process'), 'child processes'],
  [moduleRule('cluster'), 'cluster'],
  [moduleRule('worker_threads'), 'threads of its own'],
  [moduleRule('dgram'), 'dgram'],
  [/common\.PIPE|pipe_wrap|\.sock['"`]/, 'unix sockets'],
  [/BoundSocket/, 'net.BoundSocket'],
  [/tcp_wrap/, "makes the kernel's handles itself"],
  [/\bfd: ?\d|createPair|openSync\('\/dev/, 'descriptors'],
  [/inspector['"]\)|skipIfInspectorDisabled/, 'the debugger'],
];

const DIRECTORIES = ['parallel', 'sequential'] as const;
/** The comment is within the first bytes, as test/common itself looks for it. */
const HEAD_BYTES = 1500;

const words = (head: string, what: string): string[] =>
  (new RegExp(`^// ${what}:\\s+(.*)$`, 'm').exec(head)?.[1] ?? '').split(/\s+/).filter(Boolean);

function chosen(name: string, kind: string, source: string): Chosen {
  const head = source.slice(0, HEAD_BYTES);
  return {
    ...{ name, kind, flags: words(head, 'Flags') },
    env: Object.fromEntries(words(head, 'Env').map((word) => word.split(/=(.*)/s, 2))),
    leftOut: RULES.find(([pattern]) => pattern.test(source))?.[1] ?? '',
  };
}

/** All tests of these kinds, in the order of their names. */
export function choose(testFolder: string, kinds: readonly string[]): Chosen[] {
  return DIRECTORIES.flatMap((directory) =>
    readdirSync(join(testFolder, directory))
      .filter((file) => /\.m?js$/.test(file))
      .sort()
      .flatMap((file) => {
        const kind = kinds.find((each) => file.startsWith(`test-${each}-`));
        if (kind === undefined) return [];
        const source = readFileSync(join(testFolder, directory, file), 'utf8');
        return [chosen(`${directory}/${file}`, kind, source)];
      }),
  );
}
