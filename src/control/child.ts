/**
 * A child process of the control plane: a dataplane, or an application. Descriptors in, one line of JSON each way.
 *
 * - The child gets standard output and error, the channel as descriptor 3, and from 4 on what was opened for it;
 *   `pass` answers which number a descriptor of ours will have there.
 * - It is in a session of its own: a Ctrl-C at the terminal reaches the control plane only, which stops it in order.
 * - An end is both: the exit, and the channel read to its last line.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { CHANNEL_FD } from '../dataplane/channel.ts';

/** How long a child may take to end in order after SIGTERM. */
const STOP_MS = 2000;
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];

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
  options: SpawnOptions = {},
): Child {
  const child = spawn(process.execPath, [...NODE_FLAGS, main], {
    detached: true,
    env: environment(),
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', ...inherited.fds],
    ...options,
  });
  const exited = exitOf(child);
  const channel = child.stdio[CHANNEL_FD] as Duplex;
  channel.on('error', () => {}); // It died while we wrote: `ended` says so.
  const lines = createInterface({ input: channel });
  lines.on('line', (line) => {
    const message = parseJson(line);
    if (message !== undefined) onMessage(message);
  });
  // A reset: it died with our line unread. What it said before comes first.
  lines.on('error', () => {});
  const closed = new Promise<void>((resolve) => channel.once('close', () => resolve()));
  const write = (line: string): void => void channel.write(`${line}\n`);
  write(JSON.stringify(config));
  return {
    pid: child.pid ?? -1,
    ended: Promise.all([exited, closed]).then(([how]) => how),
    write,
    stop: () => stop(child, exited),
    kill: () => void child.kill('SIGKILL'),
  };
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
