/**
 * Starts a dataplane as a process of its own and listens to what it says.
 *
 * - The dataplane gets standard output and error, the channel as descriptor 3, and from 4 on what was opened for it;
 *   `launch` replaces our descriptor numbers in the configuration by those that the child will have.
 * - `ready` settles when the dataplane serves, or fails with the reason why it does not.
 * - `ended` settles when it is gone; by itself or because of `stop`.
 * - It is in a session of its own: a Ctrl-C at the terminal reaches the control plane only, which stops it in order.
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
import { DataplaneDiedError, UserError } from './errors.ts';

/** How long a dataplane may take to close its connections after SIGTERM. */
const STOP_MS = 2000;
const MAIN = fileURLToPath(new URL('../dataplane/main.ts', import.meta.url));
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];

export interface Ready {
  ports: number[];
  nic: string;
}

export interface Dataplane {
  readonly pid: number;
  readonly ready: Promise<Ready>;
  /** How it ended, in words: 'exit code 1', 'signal SIGKILL'. */
  readonly ended: Promise<string>;
  /** SIGTERM, then SIGKILL; settles when it is gone. */
  stop(): Promise<void>;
  /** SIGKILL, for when there is no time. */
  kill(): void;
}

/** `config` names descriptors of this process. */
export function launch(config: DataplaneConfig, main = MAIN): Dataplane {
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
  const ended = endOf(child);
  const ready = readiness(child, ended);
  const channel = child.stdio[CHANNEL_FD] as Duplex;
  channel.on('error', () => {}); // It died while we wrote: `ended` says so.
  channel.write(`${JSON.stringify(theirs)}\n`);
  return {
    pid: child.pid ?? -1,
    ready,
    ended,
    stop: () => stop(child, ended),
    kill: () => child.kill('SIGKILL'),
  };
}

function withDescriptor(nic: NicConfig, pass: (fd: number) => number): NicConfig {
  return nic.kind === 'afxdp'
    ? { ...nic, socketFd: pass(nic.socketFd) }
    : { ...nic, fd: pass(nic.fd) };
}

/** What a dataplane needs of our environment: nothing but its own switches. */
function environment(): NodeJS.ProcessEnv {
  const wanted = Object.entries(process.env).filter(([name]) => /^(IX_|PATH$|TZ$)/.test(name));
  return Object.fromEntries(wanted);
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) =>
      resolve(signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
}

function readiness(child: ChildProcess, ended: Promise<string>): Promise<Ready> {
  const { promise, resolve, reject } = Promise.withResolvers<Ready>();
  const lines = createInterface({ input: child.stdio[CHANNEL_FD] as Duplex });
  lines.on('line', (line) => {
    const parsed = v.safeParse(DataplaneMessage, parseJson(line));
    if (!parsed.success) return;
    const message = parsed.output;
    if (message.type === 'ready') resolve(message);
    else reject(new UserError(message.code, message.message, ''));
  });
  // The last line may still be in the channel when the exit is known: let it come first.
  lines.once('close', async () => {
    reject(new DataplaneDiedError(`the dataplane ended before it was ready (${await ended})`));
  });
  promise.catch(() => {}); // Whoever waits for it gets the rejection; nobody may.
  return promise;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

async function stop(child: ChildProcess, ended: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(timer);
}
