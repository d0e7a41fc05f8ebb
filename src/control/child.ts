/**
 * A child process of the control plane: a dataplane, or an application. Descriptors in, one line of JSON each way.
 *
 * - The child gets standard output and error, the channel as descriptor 3, and from 4 on what was opened for it;
 *   `pass` answers which number a descriptor of ours will have there.
 * - It is in a session of its own: a Ctrl-C at the terminal reaches the control plane only, which stops it in order.
 * - With a `confinement` it confines itself before it becomes `main` (confine.ts), and `confined` is what it said of that.
 * - An end is both: the exit, and the channel read to its last line.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import * as v from 'valibot';
import { CHANNEL_FD } from '../dataplane/channel.ts';
import { Confined, confinedArguments, confinedEnvironment, inOwnPidNamespace } from './confine.ts';
import type { Confinement } from './confine-plan.ts';

/** How long a child may take to end in order after SIGTERM. */
const STOP_MS = 2000;
/** IX_NODE_FLAGS adds Node's own switches, to profile: `--perf-basic-prof`, `--cpu-prof`, `--trace-deopt`. What writes
 * files needs --unconfined. */
const NODE_FLAGS = [
  '--disable-warning=ExperimentalWarning',
  // V8 inlines up to these sizes (its defaults: 460 and 920). The way of a segment is many small functions: an echoed message
  // takes 580 instead of 675 ns of JavaScript.
  '--max-inlined-bytecode-size=1000',
  '--max-inlined-bytecode-size-cumulative=4000',
  ...(process.env['IX_NODE_FLAGS']?.split(' ').filter(Boolean) ?? []),
];

/** Descriptors that a child inherits. */
export class Inherited {
  readonly fds: number[] = [];

  /** The number that our `fd` will have in the child. */
  pass(fd: number): number {
    const at = this.fds.indexOf(fd);
    return CHANNEL_FD + (at >= 0 ? at + 1 : this.fds.push(fd));
  }
}

export interface Child {
  readonly pid: number;
  /** How it ended, in words: 'exit code 1', 'signal SIGKILL'. */
  readonly ended: Promise<string>;
  /** Settled before `main` says anything; undefined without a confinement. */
  readonly confined: Confined | undefined;
  write(line: string): void;
  /** SIGTERM, then SIGKILL; settles when it is gone. */
  stop(): Promise<void>;
  /** SIGKILL, for when there is no time. */
  kill(): void;
}

/** Starts `main` under this Node; `onMessage` gets every line of the channel that is JSON. */
export function startChild(
  main: string,
  inherited: Inherited,
  config: unknown,
  onMessage: (message: unknown) => void,
  confinement?: Confinement,
): Child {
  const child = forkAndExec([...NODE_FLAGS, main], inherited, confinement);
  let confined: Confined | undefined;
  const exited = exitOf(child);
  const channel = child.stdio[CHANNEL_FD] as Duplex;
  channel.on('error', () => {}); // It died while we wrote: `ended` says so.
  const lines = createInterface({ input: channel });
  lines.on('line', (line) => {
    const message = parseJson(line);
    const said = v.safeParse(Confined, message);
    if (said.success) confined = said.output;
    else if (message !== undefined) onMessage(message);
  });
  // A reset: it died with our line unread. What it said before comes first.
  lines.on('error', () => {});
  const closed = new Promise<void>((resolve) => channel.once('close', () => resolve()));
  const write = (line: string): void => void channel.write(`${line}\n`);
  write(JSON.stringify(config));
  return {
    pid: child.pid ?? -1,
    ended: Promise.all([exited, closed]).then(([how]) => how),
    get confined() {
      return confined;
    },
    write,
    stop: () => stop(child, exited),
    kill: () => void child.kill('SIGKILL'),
  };
}

function forkAndExec(
  argv: readonly string[],
  inherited: Inherited,
  confinement: Confinement | undefined,
): ChildProcess {
  const start = (all: readonly string[], env: NodeJS.ProcessEnv): ChildProcess =>
    spawn(process.execPath, all, {
      detached: true,
      env,
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', ...inherited.fds],
    });
  if (confinement === undefined) return start(argv, environment());
  const all = confinedArguments(confinement, CHANNEL_FD + inherited.fds.length, argv);
  const { PATH: _, ...rest } = environment(); // it starts nothing
  const env = { ...rest, ...confinedEnvironment(confinement) };
  return inOwnPidNamespace(confinement.isStrict, () => start(all, env));
}

/** What a child needs of our environment: nothing but its own switches. */
function environment(): NodeJS.ProcessEnv {
  const wanted = Object.entries(process.env).filter(([name]) => /^(IX_|PATH$|TZ$)/.test(name));
  return Object.fromEntries(wanted);
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) =>
      resolve(signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

async function stop(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}
