/**
 * A tree as the tidy test sees it: of every source its text, what it imports, its comments,
 * strings, functions and types; of every document its text.
 *
 * - A tree is a record of texts by path, the project's (`Tree.ours`) or a made-up one: a check that
 *   is a function of a tree can be shown one in which it complains.
 * - Parsed, not searched: a string that looks like an import is none. Types are blanked first, as
 *   Node does it, so every position is the source's; types, and what is imported for its type
 *   alone, are therefore found by their words.
 */
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { basename, dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAst } from 'rollup/parseAst';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOURCES = '{src,sim,bench,tools,wasm,test}/**/*.ts';
const DOCUMENTS = ['README.md', 'STYLE.md', 'docs/**/*.md', 'findings/**/*.sh'];

export interface Source {
  readonly path: string;
  readonly text: string;
  /** Project files, by path. */
  readonly imports: readonly string[];
  /** What strings and templates say. */
  readonly strings: readonly string[];
  /** Without their marks; `line` is where each begins, from 1. */
  readonly comments: readonly { readonly line: number; readonly text: string }[];
  readonly functions: readonly { readonly name: string; readonly lines: number }[];
  /** Interfaces and object types, by their members' names. */
  readonly types: readonly { readonly name: string; readonly members: readonly string[] }[];
}

export class Tree {
  readonly sources: readonly Source[];
  /** Path and text. */
  readonly documents: readonly (readonly [path: string, text: string])[];
  readonly #byPath: ReadonlyMap<string, Source>;

  constructor(texts: Readonly<Record<string, string>>) {
    const files = Object.entries(texts);
    this.sources = files.flatMap(([path, text]) => (isSource(path) ? [parse(path, text)] : []));
    this.documents = files.filter(([path]) => !isSource(path));
    this.#byPath = new Map(this.sources.map((source) => [source.path, source]));
  }

  static ours(): Tree {
    const paths = globSync([SOURCES, ...DOCUMENTS], { cwd: ROOT }).sort();
    return new Tree(
      Object.fromEntries(paths.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')])),
    );
  }

  /** What is not a test. */
  get project(): readonly Source[] {
    return this.sources.filter(({ path }) => !path.startsWith('test/'));
  }

  /**
   * The files that a text means: written from the root, from src, test or the text's own folder, or
   * by the end of a path; a bare name may be any one file's.
   */
  named(name: string, from: string): readonly Source[] {
    const places = [name, `src/${name}`, `test/${name}`, join(dirname(from), name)];
    const at = places.flatMap((place) => this.#byPath.get(place) ?? []);
    if (at.length > 0 && name.includes('/')) return at;
    return this.sources.filter(({ path }) =>
      name.includes('/') ? path.endsWith(`/${name}`) : basename(path) === name,
    );
  }
}

const isSource = (path: string): boolean => path.endsWith('.ts');

/** What the parser gives: ESTree, of which only this is used. */
interface AstNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

const QUOTED = ['Literal', 'TemplateElement'];
const FUNCTIONS = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'];
const IMPORT = /^(?:import|export)\s[^;'"`]*?\bfrom '(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm;
const COMMENT = /\/\*[\s\S]*?\*\/|(?:\/\/[^\n]*(?:\n\s*(?=\/\/))?)+/g;
const TYPE = /^(?:export )?(?:interface (\w+)[^{;]*|type (\w+)(?:<.*>)? = )\{\n([\s\S]*?)^\}/gm;

export function parse(path: string, text: string): Source {
  const program = parseAst(stripTypeScriptTypes(text)) as unknown as AstNode;
  const lineOf = linesOf(text);
  const quoted: AstNode[] = [];
  const functions: { name: string; lines: number }[] = [];
  visit(program, 'its own function', (node, name) => {
    if (QUOTED.includes(node.type) && node.end - node.start > 1) quoted.push(node);
    if (!FUNCTIONS.includes(node.type)) return;
    functions.push({ name, lines: lineOf(node.end) - lineOf(node.start) + 1 });
  });
  const code = withoutQuoted(text, quoted);
  const bareCode = code.replace(COMMENT, blank);
  const imports = [...text.matchAll(IMPORT)]
    .filter(({ index }) => bareCode[index] !== ' ')
    .map(([, from, dynamic]) => normalize(join(dirname(path), (from ?? dynamic)!)));
  const strings = quoted.map(({ start, end }) =>
    text.slice(start, end).replace(/^['"]|['"]$/g, ''),
  );
  const comments = [...code.matchAll(COMMENT)].map(({ 0: { length }, index }) => ({
    line: lineOf(index),
    text: withoutMarks(text.slice(index, index + length)),
  }));
  const types = typesOf(text);
  return { path, text, imports: [...new Set(imports)], strings, comments, functions, types };
}

function visit(node: AstNode, name: string, each: (node: AstNode, name: string) => void): void {
  const key = (node['id'] ?? node['key'] ?? null) as { name?: string } | null;
  each(node, key?.name ?? name);
  for (const [field, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      const isNode = child !== null && typeof child === 'object' && 'type' in child;
      if (isNode && field !== 'key') visit(child, key?.name ?? name, each);
    }
  }
}

/** From a position to its line. */
function linesOf(text: string): (position: number) => number {
  const ends = [...text.matchAll(/\n/g)].map(({ index }) => index);
  return (position) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle]! < position) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  };
}

const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

/** The same length, with what strings, templates and regular expressions hold made blank. */
function withoutQuoted(text: string, quoted: readonly AstNode[]): string {
  let out = '';
  let from = 0;
  for (const { start, end } of [...quoted].sort((a, b) => a.start - b.start)) {
    if (start < from) continue;
    out += text.slice(from, start) + blank(text.slice(start, end));
    from = end;
  }
  return out + text.slice(from);
}

const withoutMarks = (comment: string): string =>
  comment
    .replace(/^\/\*+|\*\/$/g, '')
    .replace(/^[ \t]*(?:\/\/|\*) ?/gm, '')
    .trim();

function typesOf(text: string): Source['types'] {
  return [...text.matchAll(TYPE)].map(([, an, alias, body]) => ({
    name: (an ?? alias)!,
    members: [...body!.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member]) => member!),
  }));
}
