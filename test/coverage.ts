/**
 * How many lines of the stack its own tests run: `ix test --coverage`.
 *
 * - Of src/tcp, src/net and src/wire each, at least FLOOR_PERCENT of the lines; as V8 counts them (Node's
 *   --experimental-test-coverage), so comments and types count as run.
 *
 * Called by run.ts.
 */
import { relative } from 'node:path';

export const COVERED_FOLDERS = ['tcp', 'net', 'wire'] as const;
export const FLOOR_PERCENT = 95;

/** What measures allocation or time says nothing while lines are counted. */
export const isCoverable = (file: string): boolean => !file.endsWith('cost.test.ts');

/** The part of Node's summary that is read here. */
export interface Coverage {
  files: {
    path: string;
    totalLineCount: number;
    coveredLineCount: number;
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
    const total = files.reduce((sum, file) => sum + file.totalLineCount, 0);
    const covered = files.reduce((sum, file) => sum + file.coveredLineCount, 0);
    const percent = (covered / total) * 100;
    const isFine = percent >= FLOOR_PERCENT;
    isEnough &&= isFine;
    const verdict = isFine ? '' : `, below ${FLOOR_PERCENT} %`;
    console.log(`src/${folder}: ${percent.toFixed(1)} % of ${total} lines${verdict}`);
  }
  return isEnough;
}
