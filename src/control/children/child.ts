/**
 * A child process of the control plane: a dataplane, or an application. Descriptors in, one line of
 * JSON each way.
 *
 * - The child gets /dev/null to read, pipes for standard output and error (output.ts), the channel
 *   as descriptor 3, and from 4 on what was opened for it; `pass` answers which number a descriptor
 *   of ours will have there.
 * - The last of these is a copy of our own end of the channel: it keeps the channel open when we
 *   die, and is where the control plane that adopts the child finds it (`adoptChild`). The child
 *   never uses it.
 * - It is in a session of its own: a Ctrl-C at the terminal reaches the control plane only, which
 *   stops it in order.
 * - With a `confinement` it confines itself before it becomes `main` (confine/confine.ts), and
 *   `confined` is what it said of that.
 * - An end is both: the exit, and the channel read to its last line.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import * as v from 'valibot';
import { built } from '../../built.ts';
import { CHANNEL_FD } from '../../child/channel.ts';
import {
  Confined,
  confinedArguments,
  confinedEnvironment,
  inOwnPidNamespace,
} from '../../confine/confine.ts';
import type { Confinement } from '../../confine/plan.ts';
import type { ProcessName } from '../../native/process.ts';
import { must, SIGKILL, sys, type Watch } from '../../native/sys.ts';
import {
  type Held,
  identityOf,
  openProcess,
  signalProcess,
  socketPair,
  takeDescriptor,
} from '../record/descriptors.ts';
import { ChannelEnd } from './channel-end.ts';
import { INLINING_FLAGS } from './node-flags.ts';
import { makeOutputs, type Output, outputsAgain } from './output.ts';

/** How long a child may take to end in order after SIGTERM. */
const STOP_MS = 2000;
const SIGTERM = 15;
/**
 * IX_NODE_FLAGS adds Node's own switches, to profile: `--perf-basic-prof`, `--cpu-prof`,
 * `--trace-deopt`. What writes files needs --unconfined.
 */
const NODE_FLAGS = [
  '--disable-warning=ExperimentalWarning',
  ...INLINING_FLAGS,
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

  /** The child's copy of our `fd`, for the record. */
  held(fd: number): Held {
    return { fd: this.pass(fd), what: identityOf(fd) };
  }
}

export interface Child {
  readonly pid: number;
  /** Our end of the channel, as the child holds it. */
  readonly channel: Held;
  /** Which pipes it prints into. */
  readonly outputs: readonly string[];
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

/**
 * Starts `main` with `words` under this Node, with `flags` beside the usual ones; `onMessage` gets
 * every line of the channel that is JSON. A `config` that comes later is waited for; should it
 * never come, somebody kills the child.
 */
export function startChild(
  main: string,
  inherited: Inherited,
  config: unknown,
  onMessage: (message: unknown) => void,
  confinement?: Confinement,
  flags: readonly string[] = [],
  words: readonly string[] = [],
): Child {
  const [ours, theirs] = socketPair();
  const held = inherited.held(ours);
  const outputs = makeOutputs();
  const stdio = ['ignore' as const, ...outputs.theirs, theirs, ...inherited.fds];
  const child = forkAndExec([...NODE_FLAGS, ...flags, built(main), ...words], stdio, confinement);
  for (const fd of [theirs, ...outputs.theirs]) closeSync(fd);
  let confined: Confined | undefined;
  const exited = drained(exitOf(child), outputs.ours);
  const signal = (name: NodeJS.Signals) => void child.kill(name);
  const hear = (message: unknown): void => {
    // Said once, by the step before Node: what comes later is the program's own claim.
    const said = confinement && !confined ? v.safeParse(Confined, message) : undefined;
    if (said?.success) confined = said.output;
    else onMessage(message);
  };
  const channel = openChannel(ours, hear, () => signal('SIGKILL'));
  // Not before our caller has put it on record: who dies in between leaves a child that nobody
  // knows, and that does nothing.
  Promise.resolve(config).then(
    // It learns its own number by this: in a PID namespace it is 1 to itself.
    (known) => channel.write(JSON.stringify({ ...(known as object), pid: child.pid })),
    () => {},
  );
  return {
    pid: child.pid ?? -1,
    channel: held,
    outputs: outputs.ours.map(({ what }) => what),
    ended: Promise.all([exited, channel.closed]).then(([how]) => how),
    get confined() {
      return confined;
    },
    write: (line) => channel.write(line),
    stop: () => stop(signal, exited),
    kill: () => signal('SIGKILL'),
  };
}

/** What the record says of a child that is to be adopted. */
export interface Adoptable extends ProcessName {
  /** Who it may be. */
  users: readonly number[];
  channel: Held;
  outputs: string[];
  confined?: Confined | undefined;
}

/** A child that another control plane started and left behind: we are not told its exit code. */
export function adoptChild(
  { users, channel: held, outputs, confined, ...process }: Adoptable,
  onMessage: (message: unknown) => void,
): Child {
  const pidfd = openProcess(process, users);
  let fd: number;
  try {
    fd = takeDescriptor(pidfd, held);
  } catch (error) {
    closeSync(pidfd);
    throw error;
  }
  const exited = drained(exitByDescriptor(pidfd), outputsAgain(process.pid, outputs));
  const signal = (name: NodeJS.Signals) =>
    void signalProcess(pidfd, name === 'SIGKILL' ? SIGKILL : SIGTERM);
  const channel = openChannel(fd, onMessage, () => signal('SIGKILL'));
  channel.write(''); // ends a line that the other one may not have ended
  return {
    ...{ pid: process.pid, channel: held, outputs, confined },
    write: (line) => channel.write(line),
    ended: Promise.all([exited, channel.closed]).then(() => 'adopted, so without an exit code'),
    stop: () => stop(signal, exited),
    kill: () => signal('SIGKILL'),
  };
}

/** What it has said last is printed before anything is said of its end. */
async function drained(exited: Promise<string>, outputs: readonly Output[]): Promise<string> {
  const how = await exited;
  for (const output of outputs) output.drain();
  return how;
}

/**
 * Readable when the process has ended; it stays open, so that a signal can never reach another one.
 */
function exitByDescriptor(pidfd: number): Promise<string> {
  return new Promise((resolve) => {
    const watch = sys.watch(pidfd, () => {
      sys.armWatch(watch as Watch, false);
      resolve('ended');
    });
    if (typeof watch === 'number') must(watch, 'watch of a process');
    sys.armWatch(watch as Watch, true);
  });
}

/** `endIt`: it says a line that does not end. */
const openChannel = (
  fd: number,
  onMessage: (message: unknown) => void,
  endIt: () => void,
): ChannelEnd =>
  new ChannelEnd(fd, {
    message: onMessage,
    tooLong: () => {
      onMessage({ type: 'failed', code: 'IX_CHANNEL', message: 'it said a line without an end' });
      endIt();
    },
  });

function forkAndExec(
  argv: readonly string[],
  stdio: (number | 'ignore')[],
  confinement: Confinement | undefined,
): ChildProcess {
  const start = (all: readonly string[], env: NodeJS.ProcessEnv): ChildProcess =>
    spawn(process.execPath, all, { detached: true, env, stdio });
  if (confinement === undefined) return start(argv, environment());
  const all = confinedArguments(confinement, stdio.length - 1, argv);
  const { PATH: _, ...rest } = environment(); // it starts nothing
  const env = { ...rest, ...confinedEnvironment(confinement) };
  return inOwnPidNamespace(confinement.isStrict, () => start(all, env));
}

/**
 * What a child needs of our environment: nothing but its own switches. Of IX_ only these: the
 * others name what is not its business.
 */
function environment(): NodeJS.ProcessEnv {
  const wanted = Object.entries(process.env).filter(([name]) =>
    /^(IX_VERIFY|IX_SOURCE|PATH|TZ)$/.test(name),
  );
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

async function stop(
  signal: (name: NodeJS.Signals) => void,
  exited: Promise<string>,
): Promise<void> {
  signal('SIGTERM');
  const timer = setTimeout(() => signal('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(timer);
}
