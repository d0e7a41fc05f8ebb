/**
 * What the tidy test holds a tree to: each check gives a tree's complaints, one line each, which
 * says what to do.
 *
 * - A check knows nothing but its tree, so that each is shown a small tree in which it complains,
 *   and one in which it does not (checks.test.ts).
 *
 * Called by tidy.test.ts, with this project's tree. The plan of rooms: rooms.ts.
 */
import { dirname, join } from 'node:path';
import { type Plan, roomOf } from './rooms.ts';
import type { Source, Tree } from './source.ts';

export const COLUMNS = 100;
export const FUNCTION_LINES = 70;
export const FILE_LINES = 500;
/** Types of fewer members may be alike by chance. */
const MEMBERS_ALIKE = 3;
/** What a reader of README writes. */
const EXAMPLES = ['shout.ts', 'app.ts'];

export type Check = (tree: Tree) => string[];

export const importsUp =
  (plan: Plan): Check =>
  ({ project }) =>
    project.flatMap(({ path, imports }) =>
      imports.map((to) => plan.judge(path, to)).filter((complaint) => complaint !== ''),
    );

export const roomsAsDrawn =
  (plan: Plan): Check =>
  ({ project }) => {
    const there = new Set(project.map(({ path }) => roomOf(path)).filter((room) => room !== ''));
    return [
      ...plan.rooms.filter((room) => !there.has(room)).map((room) => `${room} is drawn, not there`),
      ...[...there]
        .filter((room) => !plan.has(room))
        .map((room) => `${room} is not drawn: draw it`),
    ];
  };

/** The product knows nothing of its tests, its benchmarks and its simulator. */
export const importsOut: Check = ({ project }) =>
  project
    .filter(({ path }) => path.startsWith('src/'))
    .flatMap(({ path, imports }) =>
      imports
        .filter((to) => !to.startsWith('src/'))
        .map((to) => `${path} imports ${to}: src stands below`),
    );

/**
 * A string that stands alone is not broken: who searches for it shall find it. Tables are laid out
 * by hand, and say so in a line above.
 */
export const longLines: Check = ({ sources }) =>
  sources.flatMap(({ path, text }) => {
    const long: number[] = [];
    let tableIndent = -1;
    for (const [i, line] of text.split('\n').entries()) {
      const indent = line.search(/\S/);
      if (/^\s*\/\/ biome-ignore format/.test(line)) tableIndent = indent;
      else if (tableIndent >= 0 && indent <= tableIndent && /[;,]$/.test(line)) tableIndent = -1;
      const isAlone = /^\s*(?:['"].*['"]|`[^`]*`|\/(?![*/]).*\/\w*)[,;)]*(?: \+)?$/.test(line);
      if (line.length > COLUMNS && tableIndent < 0 && !isAlone) long.push(i + 1);
    }
    return long.map((line) => `${path}:${line}: more than ${COLUMNS} columns: break it`);
  });

export const longFunctions: Check = ({ project }) =>
  project.flatMap(({ path, functions }) =>
    functions
      .filter(({ lines }) => lines > FUNCTION_LINES)
      .map(({ name, lines }) => `${path}: ${name} has ${lines} lines: take a part out of it`),
  );

export const longFiles: Check = ({ project }) =>
  project.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1;
    return lines > FILE_LINES
      ? [`${path} has ${lines} lines: find the part that wants a file of its own`]
      : [];
  });

export const headless: Check = ({ project }) =>
  project
    .filter(({ comments }) => comments[0]?.line !== 1)
    .map(({ path }) => `${path} begins without its contract: say what it is and what it promises`);

export const pathsGone: Check = (tree) => [
  ...tree.project.flatMap(({ path, comments }) =>
    comments.flatMap(({ line, text }) =>
      pathsIn(text)
        .filter((name) => tree.named(name, path).length === 0)
        .map((name) => `${path}:${line} names ${name}, which is not there`),
    ),
  ),
  ...tree.documents.flatMap(([path, text]) =>
    pathsIn(text)
      .filter((name) => !EXAMPLES.includes(name) && tree.named(name, path).length === 0)
      .map((name) => `${path} names ${name}, which is not there`),
  ),
];

export const callersThatDoNotCall: Check = (tree) =>
  tree.project.flatMap(({ path, comments }) =>
    comments.flatMap(({ line, text }) =>
      callersIn(text)
        .filter((name) => !tree.named(name, path).some((caller) => calls(caller, path)))
        .map((name) => `${path}:${line}: ${name} does not use it: name who does`),
    ),
  );

/** Under one name, or under two; what only part of a type looks like another is not found. */
export const typesTwice: Check = ({ project }) => {
  const first = new Map<string, string>();
  return project.flatMap(({ path, types }) =>
    types.flatMap(({ name, members }) => {
      if (members.length < MEMBERS_ALIKE) return [];
      const key = [...members].sort().join();
      const other = first.get(key);
      if (other === undefined) first.set(key, `${name} of ${path}`);
      return other === undefined ? [] : [`${path}: ${name} is ${other} again: declare it once`];
    }),
  );
};

/**
 * Files of ours in a text: `arp.ts`, `net/v4/arp.ts`, `src/net/v4/arp.ts`; NAME.ts and *.ts are no
 * files.
 */
function pathsIn(text: string): string[] {
  return [
    ...text.matchAll(/(?<![\w./*<{}-])(?:[a-z][\w.-]*\/)*[a-z][\w-]*(?:\.(?:live|test))*\.ts\b/g),
  ].map(([path]) => path);
}

/** The files of a sentence `Called by a.ts, b.ts and the simulator (c.ts).` */
function callersIn(text: string): string[] {
  const sentences = text
    .replace(/\s+/g, ' ')
    .matchAll(
      /\b(?:called|used|started|made|read|written|run|implemented) by (.*?)(?:\. |\.$|;|$)/gi,
    );
  return [...sentences].flatMap(([, list]) => pathsIn(list!));
}

/** It imports the file itself, or one of its strings names the file: it starts it. */
const calls = (caller: Source, path: string): boolean =>
  caller.imports.includes(path) || caller.strings.some((text) => isPathOf(text, path, caller.path));

/** From the folder it stands in, when it begins with a dot; else the end of a path. */
const isPathOf = (text: string, path: string, from: string): boolean =>
  text.startsWith('.') ? join(dirname(from), text) === path : `/${path}`.endsWith(`/${text}`);
