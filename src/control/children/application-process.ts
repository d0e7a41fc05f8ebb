/**
 * The application's own process, and its life: started when the dataplane is attached, restarted
 * when it ends although nobody asked it to.
 *
 * - An end is first told to the dataplane (its flows are reset, everything it held comes back),
 *   then the application starts again, after a while (backoff.ts).
 * - An application that cannot start the first time, or not within START_MS, is the command's
 *   failure.
 * - One that hangs (application-watch.ts) is killed, and started again like any other. Who ended,
 *   and why, is reported (incidents.ts).
 * - An application that stops itself (`ix.stop`) is not restarted, also when it was not ready yet.
 *
 * Called by control/service/life.ts.
 */
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import {
  type ApplicationConfig,
  type ApplicationDescriptors,
  ApplicationMessage,
} from '../../child/config.ts';
import { START_MS, StartTimeoutError, within } from '../../child/patience.ts';
import type { Confined } from '../../confine/confine.ts';
import type { Confinement } from '../../confine/plan.ts';
import { DataplaneDiedError, DataplaneFailedError } from '../../errors.ts';
import type { Held } from '../record/descriptors.ts';
import { Backoff } from './backoff.ts';
import { type Adoptable, adoptChild, type Child, Inherited, startChild } from './child.ts';
import type { Ended, Incident } from './incidents.ts';
import type { Attached, Dataplane, End } from './launch.ts';
import { passShared } from './shared.ts';

const MAIN = fileURLToPath(new URL('../../application/main.ts', import.meta.url));

export interface ApplicationProcess {
  readonly pid: number;
  /** Our end of its channel, as it holds it. */
  readonly channel: Held;
  readonly outputs: readonly string[];
  readonly confined: Confined | undefined;
  /** Ports it listens on, none when it has stopped itself before; fails when it cannot start. */
  readonly ready: Promise<number[]>;
  /** It has stopped itself: `ended` is on the way. */
  readonly hasStopped: boolean;
  readonly ended: Promise<End>;
  stop(): Promise<void>;
  kill(): void;
}

/** What an application is started with; `shared` names descriptors of this process. */
export interface ApplicationPlan extends Omit<ApplicationConfig, 'threads'> {
  readonly shared: readonly ApplicationDescriptors[];
  /** Core of the first thread; the others follow. */
  readonly cpu?: number | undefined;
  /** How long it waits for the dataplane to be attached; absent: START_MS. */
  readonly startMs?: number;
}

/**
 * Starts the process at once, so that Node starts while the dataplane does. It loads the
 * application when `attached` is known: when everything shared is mapped and sealed.
 */
export function launchApplication(
  plan: ApplicationPlan,
  attached: Attached | Promise<Attached>,
  report: (value: unknown) => void,
  confinement?: Confinement,
  main: string = MAIN,
): ApplicationProcess {
  const inherited = new Inherited();
  const { cpu, shared, startMs = START_MS, ...rest } = plan;
  const theirs = shared.map((each) => passShared(each, inherited));
  const configOf = ({ layouts, flows }: Attached): ApplicationConfig => ({
    ...rest,
    threads: layouts.map((layout, index) => ({
      ...{ layout, shared: theirs[index]!, flows },
      ...(cpu === undefined ? {} : { cpu: cpu + index }),
    })),
  });
  const config = Promise.resolve(attached).then(configOf);
  const start = (hear: (message: unknown) => void) =>
    startChild(main, inherited, config, hear, confinement, [], [`${Math.ceil(startMs)}`]);
  return converse(start, report);
}

/** One that serves already, and whose control plane has died. */
export function adoptApplication(
  record: Adoptable,
  ports: number[],
  report: (value: unknown) => void,
): ApplicationProcess {
  return converse((hear) => {
    const child = adoptChild(record, hear);
    hear({ type: 'ready', ports });
    return child;
  }, report);
}

function converse(
  begin: (listen: (message: unknown) => void) => Child,
  report: (value: unknown) => void,
): ApplicationProcess {
  const ready = Promise.withResolvers<number[]>();
  const said: Omit<End, 'how'> = {};
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
  const child = begin(hear);
  const ended = child.ended.then((how): End => ({ how, ...said }));
  ended.then(({ how, stopped }) => {
    if (stopped !== undefined) ready.resolve([]);
    ready.reject(new DataplaneDiedError(`the application ended before it was ready (${how})`));
  });
  ready.promise.catch(() => {}); // nobody may be waiting
  return {
    ...{ pid: child.pid, channel: child.channel, outputs: child.outputs },
    get confined() {
      return child.confined;
    },
    ready: ready.promise,
    get hasStopped() {
      return said.stopped !== undefined;
    },
    ended,
    stop: child.stop,
    kill: child.kill,
  };
}

export interface Supervised {
  /** Of the first start. */
  readonly ports: number[];
  /** It has stopped itself; `stopped` may be on the way. */
  readonly hasStopped: boolean;
  /** Settles when the application has stopped itself. */
  readonly stopped: Promise<End>;
  readonly pid: number;
  readonly confined: Confined | undefined;
  /** It hangs, for so long already: it is killed, reported and started again. */
  restartHung(ms: number): void;
  stop(): Promise<void>;
  kill(): void;
}

export interface SuperviseParts {
  /** Of the application, for messages. */
  readonly name: string;
  readonly dataplane: Pick<Dataplane, 'dropApplication'>;
  start(): ApplicationProcess;
  incident(incident: Incident): void;
  /** How long a start may take. */
  readonly startMs?: number;
}

/** Starts the application and keeps it alive. */
export async function superviseApplication(parts: SuperviseParts): Promise<Supervised> {
  const current = parts.start();
  try {
    const ports = await within(current.ready, `application ${parts.name}`, 'ready', parts.startMs);
    return new Supervisor(parts, current, ports);
  } catch (error) {
    current.kill();
    throw error;
  }
}

/** Why we killed it ourselves. */
interface Verdict {
  cause: 'hang' | 'start';
  seconds: number;
}

class Supervisor implements Supervised {
  readonly ports: number[];
  readonly #parts: SuperviseParts;
  readonly #stopped = Promise.withResolvers<End>();
  #current: ApplicationProcess;
  #verdict: Verdict | undefined;
  #isStopping = false;
  readonly #backoff = new Backoff();
  #restarts = 0;

  constructor(parts: SuperviseParts, current: ApplicationProcess, ports: number[]) {
    this.#parts = parts;
    this.#current = current;
    this.ports = ports;
    this.#stopped.promise.catch(() => {}); // the dataplane died: its own end says so
    this.#watch(current, Date.now()).catch(this.#stopped.reject);
  }

  get stopped(): Promise<End> {
    return this.#stopped.promise;
  }

  get hasStopped(): boolean {
    return this.#current.hasStopped;
  }

  get pid(): number {
    return this.#current.pid;
  }

  get confined(): Confined | undefined {
    return this.#current.confined;
  }

  restartHung(ms: number): void {
    this.#condemn({ cause: 'hang', seconds: ms / 1000 });
  }

  #condemn(verdict: Verdict): void {
    this.#verdict = verdict;
    this.#current.kill();
  }

  async #watch(process: ApplicationProcess, startedMs: number): Promise<void> {
    const end = await process.ended;
    if (this.#isStopping) return;
    await this.#parts.dataplane.dropApplication();
    if (end.stopped !== undefined) return this.#stopped.resolve(end);
    const delayMs = this.#backoff.delayAfter(Date.now() - startedMs);
    this.#restarts += 1;
    const { name, incident } = this.#parts;
    const named = { application: name, pid: process.pid };
    const again = { restartInSeconds: delayMs / 1000, restarts: this.#restarts };
    incident({ event: 'ended', ...named, ...causeOf(end, this.#verdict), ...again });
    this.#verdict = undefined;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (!this.#isStopping) this.#restart();
  }

  #restart(): void {
    const { name, incident, startMs = START_MS } = this.#parts;
    const process = this.#parts.start();
    this.#current = process;
    this.#watch(process, Date.now()).catch(this.#stopped.reject);
    within(process.ready, `application ${name}`, 'ready', startMs).then(
      () => {
        const { pid } = process;
        incident({ event: 'restarted', application: name, pid, restarts: this.#restarts });
      },
      (error) => {
        // Anything else is its end, which #watch reports.
        if (!(error instanceof StartTimeoutError)) return;
        this.#condemn({ cause: 'start', seconds: startMs / 1000 });
      },
    );
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#current.stop();
  }

  kill(): void {
    this.#isStopping = true;
    this.#current.kill();
  }
}

/** Why it ended, as incidents.ts names it. */
function causeOf(
  { how, failure }: End,
  verdict: Verdict | undefined,
): Pick<Ended, 'cause' | 'signal' | 'exitCode' | 'message' | 'seconds'> {
  if (verdict) return verdict;
  if (failure !== undefined) return { cause: 'failure', message: failure.split('\n')[0]! };
  const signal = /^signal (\w+)$/.exec(how)?.[1];
  if (signal !== undefined) return { cause: 'signal', signal };
  const code = /^exit code (\d+)$/.exec(how)?.[1];
  if (code !== undefined) return { cause: 'exit', exitCode: Number(code) };
  return { cause: 'failure', message: how };
}
