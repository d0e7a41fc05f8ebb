/**
 * The application's own process, and its life: started when the dataplane is attached, restarted when it ends
 * although nobody asked it to.
 *
 * - An end is first told to the dataplane (its flows are reset, everything it held comes back), then the application
 *   starts again: at once the first time, then after twice the last delay, up to RESTART_MAX_MS. An application that
 *   has run for STEADY_MS is forgiven.
 * - An application that cannot start the first time is the command's failure.
 * - An application that stops itself (`ix.stop`) is not restarted.
 *
 * Called by service.ts.
 */
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { type ApplicationConfig, ApplicationMessage } from '../dataplane/config.ts';
import { type Child, Inherited, startChild } from './child.ts';
import type { Confined } from './confine.ts';
import type { Confinement } from './confine-plan.ts';
import { DataplaneDiedError, DataplaneFailedError } from './errors.ts';
import type { Dataplane, End } from './launch.ts';
import { passShared } from './shared.ts';

const MAIN = fileURLToPath(new URL('../application/main.ts', import.meta.url));
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;
const STEADY_MS = 30_000;

export interface ApplicationProcess {
  readonly pid: number;
  readonly confined: Confined | undefined;
  /** Ports it listens on; fails when it cannot start. */
  readonly ready: Promise<number[]>;
  readonly ended: Promise<End>;
  stop(): Promise<void>;
  kill(): void;
}

/** `config` names descriptors of this process. */
export function launchApplication(
  config: ApplicationConfig,
  report: (value: unknown) => void,
  confinement?: Confinement,
  main: string = MAIN,
): ApplicationProcess {
  const ready = Promise.withResolvers<number[]>();
  const said: Omit<End, 'how'> = {};
  const inherited = new Inherited();
  const threads = config.threads.map((thread) => {
    return { ...thread, shared: passShared(thread.shared, inherited) };
  });
  const hear = (raw: unknown): void => {
    const parsed = v.safeParse(ApplicationMessage, raw);
    if (!parsed.success) return;
    const message = parsed.output;
    if (message.type === 'ready') ready.resolve(message.ports);
    else if (message.type === 'report') report(message.value);
    else if (message.type === 'stopped') said.stopped = message.exitCode;
    else {
      said.failure = message.message;
      ready.reject(new DataplaneFailedError(message.code, message.message));
    }
  };
  const theirs = { ...config, threads };
  const child: Child = startChild(main, inherited, theirs, hear, confinement);
  const ended = child.ended.then((how): End => ({ how, ...said }));
  ended.then(({ how }) =>
    ready.reject(new DataplaneDiedError(`the application ended before it was ready (${how})`)),
  );
  ready.promise.catch(() => {}); // nobody may be waiting
  return {
    pid: child.pid,
    get confined() {
      return child.confined;
    },
    ready: ready.promise,
    ended,
    stop: child.stop,
    kill: child.kill,
  };
}

export interface Supervised {
  /** Of the first start. */
  readonly ports: number[];
  /** Settles when the application has stopped itself. */
  readonly stopped: Promise<End>;
  readonly pid: number;
  readonly confined: Confined | undefined;
  stop(): Promise<void>;
  kill(): void;
}

/** Starts the application and keeps it alive. */
export async function superviseApplication(
  name: string,
  dataplane: Dataplane,
  start: () => ApplicationProcess,
): Promise<Supervised> {
  const stopped = Promise.withResolvers<End>();
  let isStopping = false;
  let delayMs = RESTART_MIN_MS;
  let current = start();
  const ports = await current.ready;
  const watch = async (process: ApplicationProcess, startedMs: number): Promise<void> => {
    const end = await process.ended;
    if (isStopping) return;
    await dataplane.dropApplication();
    if (end.stopped !== undefined) return stopped.resolve(end);
    if (Date.now() - startedMs > STEADY_MS) delayMs = RESTART_MIN_MS;
    const reason = end.failure?.split('\n')[0] ?? end.how;
    console.error(`ix: ${name} ended (${reason}); its connections were reset; restarting`);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    delayMs = Math.min(delayMs * 2, RESTART_MAX_MS);
    if (isStopping) return;
    current = start();
    watch(current, Date.now()).catch(stopped.reject);
  };
  watch(current, Date.now()).catch(stopped.reject);
  stopped.promise.catch(() => {}); // the dataplane died: its own end says so
  return {
    ports,
    stopped: stopped.promise,
    get pid() {
      return current.pid;
    },
    get confined() {
      return current.confined;
    },
    stop: async () => {
      isStopping = true;
      await current.stop();
    },
    kill: () => {
      isStopping = true;
      current.kill();
    },
  };
}
