/**
 * How many lines of the stack its own tests run: `ix test --coverage`.
 *
 * - Of src/tcp, src/net and src/wire each, at least FLOOR_PERCENT of the lines that do something,
 *   as V8 counts them (Node's --experimental-test-coverage). V8 counts every line of a file, so
 *   those that can only be run by being there are left out: empty ones, comments, types, imports,
 *   closing brackets.
 *
 * Called by run.ts.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { relative } from 'node:path';

export const COVERED_FOLDERS = ['tcp', 'net', 'wire'] as const;
export const FLOOR_PERCENT = 95;

/** What measures allocation or time says nothing while lines are counted. */
export const isCoverable = (file: string): boolean => !file.endsWith('cost.test.ts');

/** The part of Node's summary that is read here. */
export interface Coverage {
  files: {
    path: string;
    lines: { line: number; count: number }[];
  }[];
}

export const coverageOptions = (root: string) => ({
  cwd: root,
  coverage: true,
  coverageIncludeGlobs: COVERED_FOLDERS.map((folder) => `src/${folder}/**/*.ts`),
});

/** '12-14, 20' */
function rangesOf(lines: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const line of lines) {
    const last = ranges.at(-1);
    if (last && last[1] === line - 1) last[1] = line;
    else ranges.push([line, line]);
  }
  return ranges.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(', ');
}

/**
 * Of each line (from 1 on), whether it does something. Comments begin their lines in this
 * repository.
 */
export function executableLines(source: string): boolean[] {
  const lines = stripTypeScriptTypes(source).split('\n');
  let isImport = false;
  const isExecutable = lines.map((text) => {
    const line = text.trim();
    isImport ||= /^import\b/.test(line);
    const isCode = !isImport && !/^(\/\/|\/\*|\*|[\])};,]*$)/.test(line);
    if (isImport && /['"];$/.test(line)) isImport = false;
    return isCode;
  });
  return [false, ...isExecutable];
}

/** Prints the lines that nothing runs, and each folder's share. False: below the floor. */
export function judgeCoverage(root: string, coverage: Coverage | undefined): boolean {
  if (!coverage) throw new Error('this Node reports no coverage');
  console.log('\nlines of the stack that no test runs:');
  for (const { path, lines } of coverage.files) {
    const missed = lines.filter(({ count }) => count === 0).map(({ line }) => line);
    if (missed.length > 0) console.log(`  ${relative(root, path)}: ${rangesOf(missed)}`);
  }
  let isEnough = true;
  for (const folder of COVERED_FOLDERS) {
    const files = coverage.files.filter(({ path }) =>
      relative(root, path).startsWith(`src/${folder}/`),
    );
    let total = 0;
    let covered = 0;
    for (const { path, lines } of files) {
      const isExecutable = executableLines(readFileSync(path, 'utf8'));
      const counted = lines.filter(({ line }) => isExecutable[line]);
      total += counted.length;
      covered += counted.filter(({ count }) => count > 0).length;
    }
    const percent = (covered / total) * 100;
    const isFine = percent >= FLOOR_PERCENT;
    isEnough &&= isFine;
    const verdict = isFine ? '' : `, below ${FLOOR_PERCENT} %`;
    console.log(`src/${folder}: ${percent.toFixed(1)} % of ${total} lines${verdict}`);
  }
  return isEnough;
}
