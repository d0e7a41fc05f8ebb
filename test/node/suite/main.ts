/**
 * What test/node/suite/run does once the tests are there: each of them, in each arm, in a process
 * of its own; then the table.
 *
 * - A test runs on plain Node first. What does not pass there is not run over our layer: the tests
 *   may be of another version than our Node.
 * - One that fails is tried a second time: machines are busy, and some of these tests have short
 *   timeouts.
 * - What has passed is kept; what has not runs again in the next run.
 * - test/parallel runs --jobs at a time, test/sequential one after the other, as its tests demand.
 *
 * Called by run. selection.ts says what is run, preload.ts is our layer.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { deviates, isGood, type Outcome, Outcomes, type Row, reasonOf, table } from './result.ts';
import { type Chosen, choose } from './selection.ts';

const ARMS = ['plain', 'loopback', 'stacks'];
const ROOT = resolve(import.meta.dirname, '../../..');
const SAID_CHARACTERS = 2000;
const TRIES = 2;

const { values: asked } = parseArgs({
  options: {
    folder: { type: 'string', default: join(ROOT, 'build/node-suite') },
    kinds: { type: 'string', default: 'net' },
    arms: { type: 'string', default: ARMS.join(',') },
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '2' },
    limit: { type: 'string', default: '60' },
    again: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

function refuse(what: string): never {
  console.error(`suite: ${what}`);
  process.exit(2);
}

/** The commit, and what is changed on top of it. */
function keyOfTree(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: ROOT }).toString();
  const parts = ['src', 'test/node', 'native', 'package-lock.json'];
  const tree = git('log', '-1', '--format=%h', '--', ...parts).trim();
  const changes = git('diff', 'HEAD', '--', ...parts);
  if (changes === '') return tree;
  return `${tree}+${createHash('sha256').update(changes).digest('hex').slice(0, 8)}`;
}

interface Once {
  readonly code: number | null;
  readonly isLate: boolean;
  readonly said: string;
}

class Run {
  readonly #testFolder = join(asked.folder, 'node/test');
  readonly #outcomes = new Outcomes(asked.folder);
  readonly #arms = [...new Set(['plain', ...asked.arms.split(',')])];
  readonly #limitMs = Number(asked.limit) * 1000;
  readonly #key = keyOfTree();
  readonly #began = Date.now();
  #done = 0;

  constructor() {
    const unknown = this.#arms.filter((arm) => !ARMS.includes(arm));
    if (unknown.length > 0) refuse(`no arm ${unknown.join(', ')}; there are: ${ARMS.join(' ')}`);
    if (!(this.#limitMs > 0)) refuse('--limit is a number of seconds');
    if (!(Number(asked.jobs) >= 1)) refuse('--jobs is a number, at least 1');
  }

  #say(line: string): void {
    console.error(`suite: ${Math.round((Date.now() - this.#began) / 1000)} s ${line}`);
  }

  /** One run in a process group of its own, of which nothing is left. */
  #once({ name, flags, env }: Chosen, arm: string, job: number): Promise<Once> {
    const preload = join(ROOT, 'test/node/suite/preload.ts');
    const ours = arm === 'plain' ? [] : ['--import', preload];
    const temporary = join(asked.folder, 'tmp', arm);
    mkdirSync(temporary, { recursive: true });
    const child = spawn(process.execPath, [...ours, ...flags, join(this.#testFolder, name)], {
      env: {
        ...{ PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
        ...{ IX_SUITE_ARM: arm, NODE_TEST_DIR: temporary, TEST_THREAD_ID: `${job}` },
        NODE_SKIP_FLAG_CHECK: '1',
        ...(arm !== 'plain' && { NODE_COMPILE_CACHE: join(asked.folder, 'cache') }),
      },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    const hear = (piece: Buffer): void => {
      said = (said + piece).slice(-SAID_CHARACTERS * 4);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    let isLate = false;
    const end = (): void => {
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {} // all of them have ended
    };
    const late = setTimeout(() => {
      isLate = true;
      end();
    }, this.#limitMs);
    return new Promise((done) => {
      child.on('exit', end);
      child.on('close', (code) => {
        clearTimeout(late);
        done({ code, isLate, said });
      });
    });
  }

  async #tried(test: Chosen, arm: string, job: number): Promise<Outcome> {
    for (let tries = 1; ; tries++) {
      const began = Date.now();
      const { code, isLate, said } = await this.#once(test, arm, job);
      const ms = Date.now() - began;
      if (code === 0) {
        const isSkipped = /^1\.\.0 # Skipped/m.test(said);
        return { verdict: isSkipped ? 'skipped' : 'pass', ms, tries, said: isSkipped ? said : '' };
      }
      if (tries < TRIES) continue;
      if (asked.only !== '') console.error(said);
      const verdict = isLate ? 'timeout' : 'fail';
      return { verdict, ms, tries, said: said.slice(-SAID_CHARACTERS) };
    }
  }

  async #row(test: Chosen, job: number): Promise<Row> {
    const outcomes = new Map<string, Outcome>();
    for (const arm of this.#arms) {
      const key = arm === 'plain' ? process.version : this.#key;
      let outcome = asked.again ? undefined : this.#outcomes.get(key, arm, test.name);
      if (outcome === undefined || !isGood(outcome)) {
        outcome = await this.#tried(test, arm, job);
        this.#outcomes.put(key, arm, test.name, outcome);
        if (outcome.verdict !== 'pass') this.#say(`${test.name}: ${arm}: ${outcome.verdict}`);
      }
      outcomes.set(arm, outcome);
      if (arm === 'plain' && outcome.verdict !== 'pass') break;
    }
    if (++this.#done % 25 === 0) this.#say(`${this.#done} done`);
    return { test, outcomes };
  }

  async #all(tests: readonly Chosen[], jobs: number): Promise<Row[]> {
    const waiting = [...tests];
    const rows: Row[] = [];
    const worker = async (job: number): Promise<void> => {
      for (let test = waiting.shift(); test !== undefined; test = waiting.shift()) {
        const isRun = test.leftOut === '';
        rows.push(isRun ? await this.#row(test, job) : { test, outcomes: new Map() });
      }
    };
    await Promise.all(Array.from({ length: jobs }, (_v, job) => worker(job)));
    return rows.sort((a, b) => (a.test.name < b.test.name ? -1 : 1));
  }

  async whole(): Promise<void> {
    const kinds = asked.kinds.split(',');
    const tests = choose(this.#testFolder, kinds).filter(({ name }) => name.includes(asked.only));
    if (tests.length === 0) refuse('no such test');
    const version = readFileSync(join(asked.folder, 'version'), 'utf8').trim();
    this.#say(`${tests.length} tests of ${version}, on Node ${process.version}, ${this.#key}`);
    const isParallel = ({ name }: Chosen): boolean => name.startsWith('parallel');
    const rows = [
      ...(await this.#all(tests.filter(isParallel), Number(asked.jobs))),
      ...(await this.#all(
        tests.filter((test) => !isParallel(test)),
        1,
      )),
    ];
    const head = `nodejs ${version}; Node ${process.version}; ${this.#key}\n\n`;
    writeFileSync(join(asked.folder, 'suite.md'), head + table(rows, this.#arms));
    const plain = rows.map(({ test, outcomes }) => ({ ...test, ...Object.fromEntries(outcomes) }));
    const json = { version, node: process.version, key: this.#key, rows: plain };
    writeFileSync(join(asked.folder, 'suite.json'), `${JSON.stringify(json, null, 1)}\n`);
    process.stdout.write(
      asked.json ? `${JSON.stringify(json, null, 1)}\n` : head + table(rows, this.#arms),
    );
    process.exitCode = rows.some((row) => deviates(row) && reasonOf(row) === '') ? 1 : 0;
  }
}

await new Run().whole();
