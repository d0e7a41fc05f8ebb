/**
 * The sources as the tidy test sees them: every file's text, what it imports, its comments and its
 * functions.
 *
 * - Parsed, not searched: a string that looks like an import is none. Types are blanked first, as
 *   Node does it, so every position is the source's; what is imported for its type alone is
 *   therefore found by its words.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAst } from 'rollup/parseAst';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export const found = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).sort();
export const SOURCES: readonly string[] = found('{src,sim,bench,tools,test}/**/*.ts');
export const ours = (path: string): boolean => !path.startsWith('test/');

export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
export const exists = (path: string): boolean => existsSync(join(ROOT, path));

export interface Source {
  readonly path: string;
  readonly text: string;
  /** Project files, by path. */
  readonly imports: readonly string[];
  /** Without their marks; `line` is where each begins, from 1. */
  readonly comments: readonly { readonly line: number; readonly text: string }[];
  readonly functions: readonly { readonly name: string; readonly lines: number }[];
}

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

/** `text` can be given for a file that is not there. */
export function parse(path: string, text = read(path)): Source {
  const program = parseAst(stripTypeScriptTypes(text)) as unknown as AstNode;
  const lineOf = linesOf(text);
  const quoted: AstNode[] = [];
  const functions: { name: string; lines: number }[] = [];
  visit(program, 'its own function', (node, name) => {
    if (QUOTED.includes(node.type) && node.end - node.start > 1) quoted.push(node);
    if (!FUNCTIONS.includes(node.type)) return;
    functions.push({ name, lines: lineOf(node.end) - lineOf(node.start) + 1 });
  });
  const imports = [...text.matchAll(IMPORT)].map(([, from, dynamic]) =>
    normalize(join(dirname(path), (from ?? dynamic)!)),
  );
  const comments = commentsOf(withoutQuoted(text, quoted), text, lineOf);
  return { path, text, imports: [...new Set(imports)], comments, functions };
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

/** The same length, with what strings, templates and regular expressions hold made blank. */
function withoutQuoted(text: string, quoted: readonly AstNode[]): string {
  let out = '';
  let from = 0;
  for (const { start, end } of [...quoted].sort((a, b) => a.start - b.start)) {
    if (start < from) continue;
    out += text.slice(from, start) + text.slice(start, end).replace(/[^\n]/g, ' ');
    from = end;
  }
  return out + text.slice(from);
}

function commentsOf(
  code: string,
  text: string,
  lineOf: (position: number) => number,
): Source['comments'] {
  return [...code.matchAll(/\/\*[\s\S]*?\*\/|(?:\/\/[^\n]*(?:\n\s*(?=\/\/))?)+/g)].map(
    ({ 0: comment, index }) => ({
      line: lineOf(index),
      text: bare(text.slice(index, index + comment.length)),
    }),
  );
}

const bare = (comment: string): string =>
  comment
    .replace(/^\/\*+|\*\/$/g, '')
    .replace(/^[ \t]*(?:\/\/|\*) ?/gm, '')
    .trim();
