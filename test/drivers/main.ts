/**
 * What test/drivers/run does once packages and image are there: machine after machine, then the
 * table.
 *
 * - A case that has a right result keeps it (`--again`: none does), so a run that was stopped goes
 *   on where it was. One that does not end in its time is given up with its machine; those after it
 *   get another machine.
 * - Every case of every kernel that was asked for is in the table, also one that did not run, with
 *   the reason.
 * - Results: RESULTS/KERNEL/CASE.json (all that was said), RESULTS/KERNEL/*.log (consoles),
 *   RESULTS/drivers.md and .json.
 *
 * Called by run, within a network namespace of its own; result.ts says what is right.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CASES, type Case, hasQueues, numberOf, planned } from './cases.ts';
import { type Outcome, runMachine } from './machine.ts';
import { type Result, Results, resultOf, table } from './result.ts';

const TEXT = { type: 'string', default: '' } as const;
const SWITCH = { type: 'boolean', default: false } as const;
const { values: asked } = parseArgs({
  options: {
    ...{ folder: TEXT, results: TEXT, kernels: TEXT, cases: TEXT, options: TEXT },
    ...{ limit: { type: 'string', default: '600' }, again: SWITCH, json: SWITCH },
  },
});

function refuse(what: string): never {
  console.error(`drivers: ${what}`);
  process.exit(2);
}

/** In the order in which they were asked for. */
function wantedCases(): Case[] {
  const names = asked.cases === '' ? CASES.map(({ name }) => name) : asked.cases.split(',');
  const unknown = names.filter((name) => !CASES.some((each) => each.name === name));
  if (unknown.length > 0)
    refuse(`no case ${unknown.join(', ')}; there are: ${CASES.map(({ name }) => name).join(' ')}`);
  return [...new Set(names)].map((wanted) => CASES.find(({ name }) => name === wanted)!);
}

function makeTap(each: Case): void {
  const number = numberOf(each);
  const name = `t${number}`;
  const ip = (words: string): Buffer => execFileSync('ip', words.split(' '));
  ip(`tuntap add ${name} mode tap${hasQueues(each) ? ' multi_queue' : ''}`);
  ip(`addr add 10.88.${number}.1/24 dev ${name}`);
  ip(`link set ${name} up`);
}

class Run {
  readonly #results = new Results(asked.results);
  readonly #kernels = asked.kernels.split(',');
  readonly #cases = wantedCases();
  readonly #limitMs = Number(asked.limit) * 1000;
  readonly #stop = new AbortController();
  readonly #product = readFileSync(join(asked.folder, 'product'), 'utf8');
  readonly #began = Date.now();

  constructor() {
    if (!(this.#limitMs > 0)) refuse('--limit is a number of seconds');
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => this.#stop.abort());
  }

  #say(line: string): void {
    console.error(`drivers: ${Math.round((Date.now() - this.#began) / 1000)} s ${line}`);
  }

  async all(): Promise<void> {
    for (const each of this.#cases) if (each.device !== undefined) makeTap(each);
    for (const kernel of this.#kernels) {
      const due = this.#cases.filter(
        ({ name }) => asked.again || this.#results.get(kernel, name)?.verdict !== 'right',
      );
      this.#say(`${kernel}: ${due.length} of ${this.#cases.length} cases to run`);
      await this.#kernel(kernel, due);
    }
    this.#tell();
  }

  /** Machine after machine, until no case waits, or none could begin. */
  async #kernel(kernel: string, due: readonly Case[]): Promise<void> {
    let waiting = [...due];
    while (waiting.length > 0 && !this.#stop.signal.aborted) {
      const done = await this.#machine(kernel, waiting);
      if (done.size === 0) {
        this.#say(`${kernel}: the machine came to no case; see its console`);
        return;
      }
      waiting = waiting.filter(({ name }) => !done.has(name));
    }
  }

  /** Names of the cases that it came to. */
  async #machine(kernel: string, cases: readonly Case[]): Promise<Set<string>> {
    const folder = join(asked.results, kernel);
    mkdirSync(folder, { recursive: true });
    const path = join(asked.folder, `kernels/${kernel}.release`);
    const release = readFileSync(path, 'utf8').trim();
    const about = { kernel, release, product: this.#product, options: asked.options };
    const outcomes = await runMachine(
      { folder: asked.folder, kernel, limitMs: this.#limitMs, ...planned(cases, asked.options) },
      join(folder, `from-${cases[0]?.name}.log`),
      (line) => this.#say(`${kernel}: ${line}`),
      this.#stop.signal,
      (outcome) => this.#keep(about, outcome),
    );
    return new Set(
      outcomes.filter(({ state }) => state !== 'waiting').map(({ step }) => step.name),
    );
  }

  #keep(about: Parameters<typeof resultOf>[0], outcome: Outcome): void {
    const each = this.#cases.find(({ name }) => name === outcome.step.name)!;
    const result = resultOf(about, each, outcome);
    this.#results.put(result);
    this.#say(`${about.kernel}: ${each.name}: ${result.verdict}: ${result.detail}`);
  }

  #tell(): void {
    const wanted = new Set(this.#cases.map(({ name }) => name));
    const why = (name: string): string => {
      if (!wanted.has(name)) return 'not asked for';
      return this.#stop.signal.aborted ? 'the run was interrupted before it' : 'not reached';
    };
    const results = this.#results.all(this.#kernels, why);
    const short = results.map(({ outcome: _, ...rest }) => rest);
    writeFileSync(join(asked.results, 'drivers.json'), `${JSON.stringify(short, null, 1)}\n`);
    writeFileSync(join(asked.results, 'drivers.md'), table(results));
    process.stdout.write(asked.json ? `${JSON.stringify(short, null, 1)}\n` : table(results));
    const own = results.filter(({ name }) => wanted.has(name));
    process.exitCode = exitCodeOf(own);
  }
}

/** 1: something is wrong; 3: nothing is, but something did not come to its end. */
function exitCodeOf(results: readonly Result[]): number {
  if (results.some(({ verdict }) => verdict === 'wrong')) return 1;
  return results.every(({ verdict }) => verdict === 'right') ? 0 : 3;
}

await new Run().all();
