/**
 * Runs the tests: `ix test [files or folders...]`, all of test/**\/*.test.ts when none is named.
 *
 * - Two passes: `*.live.test.ts` make network links, need root, measure time or talk to other
 *   programs, and run one file at a time; all others are pure and run side by side.
 * - A test that cannot run on this machine skips itself and says what is missing; the reasons are
 *   listed at the end. With IX_REQUIRE_ALL=1 (as .ci/run sets it) a test left out is a failure.
 * - A live file that fails is run once more, alone, after all others: what it measures, or waits
 *   for, is the machine's too, and machines have bad seconds. Failing twice is failing; one that
 *   passes then is named at the end, with what had failed. Not the pure ones: what they do is
 *   theirs alone, and they draw their cases by chance, so that a second run proves nothing.
 * - The last line is `N passed, N failed, N skipped`; exit code 1 when anything failed.
 * - `ix test --mutations confine [words]`: each mechanism of confinement taken away in a copy of
 *   the tree, and whether its test notices (confine/mutate.ts); not part of the tests, because it
 *   takes a quarter of an hour.
 * - `ix test --coverage`: the pure tests of the stack, and how many lines of it they run
 *   (coverage.ts); below its floor that is a failure too.
 */
import { existsSync, globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { INLINING_FLAGS } from '../src/control/children/node-flags.ts';
import { printable } from '../src/printable.ts';
import { mutate } from './confine/mutate.ts';
import {
  COVERED_FOLDERS,
  type Coverage,
  coverageOptions,
  isCoverable,
  judgeCoverage,
} from './coverage.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/**
 * How long a whole pass may take; what still runs then is killed, and fails. Not
 * `--test-force-exit`: with many quick tests in a file it loses results, without a word.
 */
const PURE_MS = 10 * 60_000;
const LIVE_MS = 30 * 60_000;
/** More failing files than these are not a machine's bad second. */
const REPEATED_MAX = 4;
const SLOWEST = 10;
/** Characters of a reason. */
const WHY_MAX = 160;
const FILE_FLAGS = ['--disable-warning=ExperimentalWarning', ...INLINING_FLAGS];
const isLive = (file: string): boolean => file.endsWith('.live.test.ts');
const USAGE = `usage: ix test [files or folders...]
       ix test --coverage
       ix test --mutations confine [words]

  files or folders       only these; without any, types and format are checked first
  --coverage             the pure tests of the stack, and how many lines of it they run
  --mutations confine    takes each mechanism of confinement away in a copy of the tree, and asks
                         whether its test notices; with words, those that mention them (17 minutes)

  IX_REQUIRE_ALL=1       a test that is left out is a failure
  exit code              0 all passed, 1 something failed, 2 not understood
`;

interface Tally {
  passed: number;
  /** Each test that failed, its file, and the first line of why. */
  failures: { file: string; name: string; why: string }[];
  /** Milliseconds that the tests of a file took. */
  spent: Map<string, number>;
  /** One line each: file, test, reason. */
  left: string[];
  coverage?: Coverage;
}

async function pass(
  files: string[],
  concurrency: number,
  limit: number,
  isCovered = false,
): Promise<Tally> {
  const tally: Tally = { passed: 0, failures: [], spent: new Map(), left: [] };
  if (files.length === 0) return tally;
  const signal = AbortSignal.timeout(limit);
  const covered = isCovered ? coverageOptions(ROOT) : {};
  const events = run({ files, concurrency, signal, execArgv: FILE_FLAGS, ...covered });
  events.on('test:coverage', ({ summary }) => {
    tally.coverage = summary;
  });
  events.on('test:pass', ({ name, file, details, skip, todo }) => {
    if (details.type === 'suite' && !skip) return;
    const why = skip ?? todo;
    if (why === undefined || why === false) tally.passed += 1;
    else tally.left.push(`${named(file ?? '')}: ${name}: ${why === true ? 'no reason' : why}`);
  });
  events.on('test:fail', ({ details, file, name }) => {
    // A suite fails because of a test in it, which is counted.
    if (details.type === 'suite') return;
    tally.failures.push({ file: file ?? '', name, why: firstLine(details.error) });
  });
  events.on('test:complete', ({ details, file, name, nesting }) => {
    // A file is told of, too, as a test of its own name.
    if (nesting !== 0 || file === undefined || name.endsWith('.test.ts')) return;
    tally.spent.set(file, (tally.spent.get(file) ?? 0) + details.duration_ms);
  });
  const report = events.compose(new spec());
  report.pipe(process.stdout, { end: false });
  await finished(report, { writable: false });
  return tally;
}

/** What failed in `live`, once more; what is left of it. */
async function repeated(live: Tally): Promise<Tally> {
  const files = [...new Set(live.failures.map(({ file }) => file))];
  if (files.length > REPEATED_MAX || !files.every((file) => file !== '' && isLive(file)))
    return live;
  if (files.length > 0) console.log(`\nonce more, alone: ${files.map(named).join(', ')}`);
  const again = await pass(files, 1, LIVE_MS);
  const failing = new Set(again.failures.map(({ file }) => file));
  for (const { file, name } of live.failures) {
    if (!failing.has(file)) console.log(`passed only when repeated: ${named(file)}: ${name}`);
  }
  return again;
}

/** Of what a test threw: the runner wraps it. */
function firstLine(error: Error): string {
  const { cause } = error;
  const message = cause instanceof Error ? cause.message : String(cause ?? error.message);
  return printable(message.trim().split('\n', 1)[0]!.slice(0, WHY_MAX));
}

/** What somebody who sees only the end of the output has to know. */
function tellEnd(live: Tally, failures: Tally['failures']): void {
  const slowest = [...live.spent].sort((a, b) => b[1] - a[1]).slice(0, SLOWEST);
  const seconds = slowest.map(([file, ms]) => `${named(file)} ${Math.round(ms / 1000)} s`);
  if (seconds.length > 1) console.log(`\nslowest live files: ${seconds.join(', ')}`);
  if (failures.length > 0) console.log('\nfailed:');
  for (const { file, name, why } of failures) console.log(`  ${named(file)}: ${name}: ${why}`);
}

const named = (file: string): string => relative(ROOT, file);

/** A folder's test files, or the file itself. */
function within(path: string): string[] {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  return globSync('**/*.test.ts', { cwd: path }).map((file) => join(path, file));
}

/** What was asked for, or the line that says what is wrong with it. */
function asked(words: string[]): { isCovered: boolean; paths: string[] } | string {
  const isCovered = words.includes('--coverage');
  const chosen = words.filter((word) => word !== '--coverage');
  const option = chosen.find((word) => word.startsWith('-'));
  if (option !== undefined) return `ix: no option ${printable(option)}; see ix test --help`;
  if (isCovered && chosen.length > 0) return 'ix: --coverage is of all tests, without files';
  if (chosen.length === 0) {
    const all = isCovered
      ? `test/{${COVERED_FOLDERS.join(',')}}/**/*.test.ts`
      : 'test/**/*.test.ts';
    const found = globSync(all, { cwd: ROOT }).filter((file) => !isCovered || isCoverable(file));
    return { isCovered, paths: found.sort().map((file) => resolve(ROOT, file)) };
  }
  const missing = chosen.find((path) => !existsSync(path));
  if (missing !== undefined) return `ix: there is no ${printable(missing)} here`;
  const paths = chosen.flatMap(within).map((file) => resolve(file));
  if (paths.length === 0) return `ix: no *.test.ts in ${printable(chosen.join(' '))}`;
  return { isCovered, paths };
}

async function main(words: string[]): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (words[0] === '--mutations' && words[1] === 'confine') return mutate(words.slice(2));
  const wish = asked(words);
  if (typeof wish === 'string') {
    console.error(wish);
    return 2;
  }
  const { isCovered, paths } = wish;
  const pure = await pass(
    paths.filter((file) => !isLive(file)),
    availableParallelism(),
    PURE_MS,
    isCovered,
  );
  const isThorough = !isCovered || judgeCoverage(ROOT, pure.coverage);
  const live = await pass(isCovered ? [] : paths.filter(isLive), 1, LIVE_MS);
  const again = await repeated(live);
  const left = [...pure.left, ...live.left];
  const recovered = Math.max(0, live.failures.length - again.failures.length);
  const passed = pure.passed + live.passed + recovered;
  const failed = pure.failures.length + again.failures.length;
  const isComplete = left.length === 0 || process.env['IX_REQUIRE_ALL'] !== '1';
  if (left.length > 0) {
    console.log(`\nleft out${isComplete ? '' : ', which IX_REQUIRE_ALL=1 does not allow'}:`);
    for (const line of left) console.log(`  ${line}`);
  }
  tellEnd(live, [...pure.failures, ...again.failures]);
  console.log(`\n${passed} passed, ${failed} failed, ${left.length} skipped`);
  return failed === 0 && passed > 0 && isComplete && isThorough ? 0 : 1;
}

process.env['IX_VERIFY'] = '1';
// Whatever a test left running and holding our output must not keep us.
process.exit(await main(process.argv.slice(2)));
