/**
 * `bin/ix serve` as a process of its own, for tests that look at it from outside.
 *
 * - The test file calls `enterNamespace` first: server and peers are alone in a network namespace,
 *   with a state directory of their own.
 * - Without IX_VERIFY: what runs is what a user runs. `verify: true` for the tests that look for
 *   broken invariants.
 * - `stop` interrupts it and asserts an end in order: exit code 0, nothing said on standard error,
 *   no link left.
 * - `kill9` is the end of its control plane alone; what goes on without it holds our pipes.
 *   Whatever a test leaves is ended when it is disposed of.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { liveInstances } from '../../src/control/record/instances.ts';
import { readStatistics } from '../../src/control/record/statistics.ts';
import { linkNames } from '../control/namespace.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const IX = `${ROOT}bin/ix`;
export const DOMAINS = ['inline', 'process'] as const;
const START_MS = 30_000;

/** What `serve --json` prints. */
interface Facts {
  address: string;
  ports: number[];
  nic: string;
  pid: number;
  dataplane: number;
  application?: number;
  xdp?: { mode: string; copy: string; why: string };
  /** Pid of the control plane that it was adopted from. */
  adoptedFrom?: number;
}

export interface ServingOptions {
  verify?: boolean;
  /** What starts bin/ix: 'unshare -Urn', for instance. It must replace itself by it. */
  prefix?: readonly string[];
  /** State directory, if not that of the test: for another user. */
  state?: string;
  /** How long its start may take; absent: 30 s. */
  startMs?: number;
  /** Another copy than this one. */
  ix?: string;
}

export class Serving {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  readonly #lines: AsyncIterableIterator<string>;
  facts!: Facts;
  readonly #env: NodeJS.ProcessEnv;
  errors = '';

  private constructor(words: readonly string[], options: ServingOptions) {
    const env: NodeJS.ProcessEnv = { ...process.env, IX_VERIFY: options.verify ? '1' : '0' };
    this.#env = env;
    const { ix = IX } = options;
    if (options.state !== undefined) env['IX_STATE_DIR'] = options.state;
    const [command = '', ...more] = words; // which may end with a program's own arguments
    const [program = '', ...rest] = [...(options.prefix ?? []), ix, command, '--json', ...more];
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (text) => {
      this.errors += text;
    });
    this.exit = once(child, 'close').then(([code]) => code);
  }

  /** Returns when it serves. */
  static async start(words: readonly string[], options: ServingOptions = {}): Promise<Serving> {
    const serving = new Serving(['serve', ...words], options);
    try {
      serving.facts = JSON.parse(await serving.line(options.startMs ?? START_MS));
      return serving;
    } catch (error) {
      await serving[Symbol.asyncDispose]();
      throw error;
    }
  }

  get address(): string {
    return this.facts.address;
  }

  get port(): number {
    return this.facts.ports[0]!;
  }

  /** Pids of everything that it consists of. */
  get pids(): number[] {
    const { pid, dataplane, application } = this.facts;
    return application === undefined ? [pid, dataplane] : [pid, dataplane, application];
  }

  /** The next line of standard output: what the application reports. */
  async line(limitMs = 60_000): Promise<string> {
    const late = new Promise<never>((_resolve, reject) => {
      const fail = () => reject(new Error(`no line within ${limitMs} ms; ${this.errors}`));
      setTimeout(fail, limitMs).unref();
    });
    const { value, done } = await Promise.race([this.#lines.next(), late]);
    assert.ok(!done, `it ended: ${this.errors}`);
    return value;
  }

  /**
   * Reads what else it says and keeps nothing: it does not end before what it printed is out.
   * (Resuming its output is not enough: readline pauses it again at 1024 lines.)
   */
  discard(): void {
    const read = async (): Promise<void> => {
      while (!(await this.#lines.next()).done);
    };
    void read();
  }

  counters(): Record<string, number> {
    const instance = liveInstances().find((each) => each.control.pid === this.facts.pid);
    assert.ok(instance, 'it is recorded');
    return readStatistics(instance);
  }

  /** `says`: what it may have said on standard error. */
  async stop(says = /^$/): Promise<void> {
    this.child.kill('SIGINT');
    assert.equal(await this.exit, 0, this.errors);
    assert.match(this.errors, says);
    assert.deepEqual(linkNames(), []);
  }

  /** The control plane dies, nothing else. */
  async kill9(): Promise<void> {
    const died = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await died;
  }

  /** For a test that has failed: nothing must be left running. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null) return;
    if (this.child.signalCode === null) {
      const died = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000);
      await died;
      clearTimeout(timer);
    }
    if (this.child.signalCode !== null)
      spawnSync(IX, ['stop', this.facts?.address ?? '--all'], { env: this.#env });
  }
}

/** User and system time of processes so far, seconds: fields 14 and 15 of /proc/pid/stat. */
export function cpuSeconds(pids: readonly number[]): number {
  const CLOCK_TICK_HZ = 100;
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICK_HZ;
}
