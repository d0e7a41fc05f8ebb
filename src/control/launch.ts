/**
 * Starts a dataplane as a process of its own and listens to what it says.
 *
 * - The dataplane gets standard output and error, the channel as descriptor 3, and from 4 on what
 *   was opened for it; `launch` replaces our descriptor numbers in the configuration by those that
 *   the child will have.
 * - `ready` settles when the dataplane serves, or fails with the reason why it does not.
 * - `ended` settles when it is gone; by itself or because of `stop`.
 * - It is in a session of its own: a Ctrl-C at the terminal reaches the control plane only, which
 *   stops it in order.
 *
 * Called by serve.ts. The other end of the channel is src/dataplane/channel.ts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { CHANNEL_FD } from '../dataplane/channel.ts';
import { type DataplaneConfig, DataplaneMessage, type NicConfig } from '../dataplane/config.ts';
import { DataplaneDiedError, DataplaneFailedError } from './errors.ts';

/** How long a dataplane may take to close its connections after SIGTERM. */
const STOP_MS = 2000;
const MAIN = fileURLToPath(new URL('../dataplane/main.ts', import.meta.url));
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];

export interface Ready {
  ports: number[];
  nic: string;
}

/** How a dataplane ended. */
export interface End {
  /** 'exit code 1', 'signal SIGKILL' */
  how: string;
  /** What it said of the reason. */
  failure?: string;
  /** The application ended it, with this exit code. */
  stopped?: number;
}

export type Attached = Extract<DataplaneMessage, { type: 'attached' }>;

export interface Dataplane {
  readonly pid: number;
  /** Its drivers are bound and wait for `go`. */
  readonly attached: Promise<Attached>;
  readonly ready: Promise<Ready>;
  readonly ended: Promise<End>;
  /** Frames may flow. */
  go(): void;
  /** SIGTERM, then SIGKILL; settles when it is gone. */
  stop(): Promise<void>;
  /** SIGKILL, for when there is no time. */
  kill(): void;
}

/**
 * `config` names descriptors of this process; `main` is another program to start, `report` gets the
 * application's.
 */
export function launch(
  config: DataplaneConfig,
  main: string = MAIN,
  report: (value: unknown) => void = () => {},
): Dataplane {
  const inherited: number[] = [];
  const pass = (fd: number): number => CHANNEL_FD + inherited.push(fd);
  const theirs: DataplaneConfig = {
    ...config,
    nics: config.nics.map((nic) => withDescriptor(nic, pass)),
    statisticsFd: pass(config.statisticsFd),
    ...(config.captureFd === undefined ? {} : { captureFd: pass(config.captureFd) }),
  };
  const child = spawn(process.execPath, [...NODE_FLAGS, main], {
    detached: true,
    env: environment(),
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', ...inherited],
  });
  const exited = exitOf(child);
  const channel = child.stdio[CHANNEL_FD] as Duplex;
  channel.on('error', () => {}); // It died while we wrote: `ended` says so.
  const { attached, ready, ended } = listen(channel, exited, report);
  channel.write(`${JSON.stringify(theirs)}\n`);
  return {
    pid: child.pid ?? -1,
    attached,
    ready,
    ended,
    go: () => void channel.write('go\n'),
    stop: () => stop(child, exited),
    kill: () => child.kill('SIGKILL'),
  };
}

function withDescriptor(nic: NicConfig, pass: (fd: number) => number): NicConfig {
  if (nic.kind === 'afxdp') return { ...nic, socketFd: pass(nic.socketFd) };
  if (nic.kind === 'tap') return { ...nic, fd: pass(nic.fd) };
  const [mine, theirs] = nic.wakeFds;
  return { ...nic, memoryFd: pass(nic.memoryFd), wakeFds: [pass(mine), pass(theirs)] };
}

/** What a dataplane needs of our environment: nothing but its own switches. */
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

function listen(channel: Duplex, exited: Promise<string>, report: (value: unknown) => void) {
  const attached = Promise.withResolvers<Attached>();
  const ready = Promise.withResolvers<Ready>();
  const said: Omit<End, 'how'> = {};
  const lines = createInterface({ input: channel });
  lines.on('line', (line) => {
    const parsed = v.safeParse(DataplaneMessage, parseJson(line));
    if (!parsed.success) return;
    const message = parsed.output;
    if (message.type === 'attached') attached.resolve(message);
    if (message.type === 'ready') ready.resolve(message);
    if (message.type === 'report') report(message.value);
    if (message.type === 'stopped') said.stopped = message.exitCode;
    if (message.type !== 'failed') return;
    said.failure = message.message;
    const error = new DataplaneFailedError(message.code, message.message);
    attached.reject(error);
    ready.reject(error);
  });
  // A reset: it died with our line unread. What it said before comes first.
  lines.on('error', () => {});
  // The exit may be known before the last line is read: an end is both.
  const closed = new Promise<void>((resolve) => channel.once('close', () => resolve()));
  const ended = Promise.all([exited, closed]).then(([how]): End => ({ how, ...said }));
  ended.then(({ how }) => {
    const error = new DataplaneDiedError(`the dataplane ended before it was ready (${how})`);
    attached.reject(error);
    ready.reject(error);
  });
  for (const each of [attached, ready]) each.promise.catch(() => {}); // nobody may be waiting
  return { attached: attached.promise, ready: ready.promise, ended };
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
