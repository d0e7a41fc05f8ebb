/**
 * Starts a dataplane as a process of its own and listens to what it says.
 *
 * - `launch` replaces our descriptor numbers in the configuration by those that the child will
 *   have.
 * - `attached` settles when its drivers are bound and wait for `go`; `ready` when an inline
 *   application listens, or has stopped itself before. Both fail with the reason when it ends
 *   otherwise.
 * - One that does not answer `dropApplication` within APPLICATION_GONE_MS hangs: it is killed, and
 *   `ended` says why.
 * - `ended` settles when it is gone; by itself or because of `stop`.
 * - `adoptDataplane` is the same for one that serves already and whose control plane has died.
 * - What is asked carries a number, and so does its answer: several may ask at once, and an answer
 *   to who asked before an adoption is not taken for ours.
 *
 * Called by control/service/life.ts. The other end of the channel is src/child/channel.ts.
 */
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import {
  type DataplaneConfig,
  DataplaneMessage,
  type NicConfig,
  type ThreadState,
} from '../../child/config.ts';
import type { Confined } from '../../confine/confine.ts';
import type { Confinement } from '../../confine/plan.ts';
import { DataplaneDiedError, DataplaneFailedError } from '../../errors.ts';
import { APPLICATION_GONE_MS } from '../../limits.ts';
import type { Held } from '../record/descriptors.ts';
import { type Adoptable, adoptChild, type Child, Inherited, startChild } from './child.ts';
import { DATAPLANE_FLAGS } from './node-flags.ts';
import { passShared } from './shared.ts';

const MAIN = fileURLToPath(new URL('../../dataplane/main.ts', import.meta.url));

export interface Ready {
  ports: number[];
  nic: string;
}

/** How a child ended. */
export interface End {
  /** 'exit code 1', 'signal SIGKILL' */
  how: string;
  /** What it said of the reason. */
  failure?: string;
  /** The application ended it, with this exit code. */
  stopped?: number;
  /** It is the link's end: which, and how. */
  link?: string;
}

export type Attached = Extract<DataplaneMessage, { type: 'attached' }>;

export interface Dataplane {
  readonly pid: number;
  /** Our end of its channel, as it holds it. */
  readonly channel: Held;
  readonly outputs: readonly string[];
  readonly confined: Confined | undefined;
  readonly attached: Promise<Attached>;
  readonly ready: Promise<Ready>;
  /** The application has stopped itself: `ended` is on the way. */
  readonly hasStopped: boolean;
  readonly ended: Promise<End>;
  /** Frames may flow. */
  go(): void;
  /** Its link is up again: it sends what waits, and announces itself. */
  linkUp(): void;
  /**
   * The application's process has ended; settles when all it held is back, fails when the dataplane
   * ends instead.
   */
  dropApplication(): Promise<void>;
  /** What its pools hold, one entry a thread. */
  state(): Promise<ThreadState[]>;
  /** SIGTERM, then SIGKILL; settles when it is gone. */
  stop(): Promise<void>;
  /** SIGKILL, for when there is no time. */
  kill(): void;
}

export type Report = (value: unknown) => void;

/**
 * `config` names descriptors of this process; `main` is another program to start, `report` gets the
 * application's messages (domain inline), `inherited` has what the dataplane only keeps.
 */
export function launch(
  config: DataplaneConfig,
  main: string = MAIN,
  report?: Report,
  confinement?: Confinement,
  inherited = new Inherited(),
): Dataplane {
  const given = theirs(config, inherited);
  const start = (hear: (message: unknown) => void) =>
    startChild(main, inherited, given, hear, confinement, DATAPLANE_FLAGS);
  return converse(start, report);
}

/** `attached` and `ready` are what it said then. */
export function adoptDataplane(
  record: Adoptable,
  attached: Attached,
  ready: Ready,
  report?: Report,
): Dataplane {
  return converse((hear) => {
    const child = adoptChild(record, hear);
    hear(attached);
    hear({ type: 'ready', ...ready });
    return child;
  }, report);
}

function converse(
  begin: (listen: (message: unknown) => void) => Child,
  report: Report = () => {},
): Dataplane {
  const attached = Promise.withResolvers<Attached>();
  const ready = Promise.withResolvers<Ready>();
  const questions = new Questions();
  const said: Omit<End, 'how'> = {};
  const hear = (message: DataplaneMessage): void => {
    if (message.type === 'attached') attached.resolve(message);
    else if (message.type === 'ready') ready.resolve(message);
    else if (message.type === 'dropped') questions.answered(message.question, undefined);
    else if (message.type === 'state') questions.answered(message.question, message.threads);
    else if (message.type === 'report') report(message.value);
    else if (message.type === 'stopped') said.stopped = message.exitCode;
    else {
      said.failure = message.message;
      fail(new DataplaneFailedError(message.code, message.message));
    }
  };
  const fail = (error: Error): void => {
    for (const each of [attached, ready, questions]) each.reject(error);
  };
  const child = begin((message) => {
    const parsed = v.safeParse(DataplaneMessage, message);
    if (parsed.success) hear(parsed.output);
  });
  const ended = child.ended.then((how): End => ({ how, ...said }));
  ended.then(({ how, stopped }) => {
    if (stopped !== undefined) ready.resolve({ ports: [], nic: '' });
    fail(new DataplaneDiedError(`the dataplane ended before it was ready (${how})`));
  });
  for (const each of [attached, ready]) each.promise.catch(() => {}); // nobody may be waiting
  return {
    ...{ pid: child.pid, channel: child.channel, outputs: child.outputs },
    get confined() {
      return child.confined;
    },
    attached: attached.promise,
    ready: ready.promise,
    get hasStopped() {
      return said.stopped !== undefined;
    },
    ended,
    go: () => child.write('go'),
    linkUp: () => child.write('link-up'),
    dropApplication: () => {
      const { number, answer } = questions.ask<void>();
      const hung = setTimeout(() => {
        const limit = `${APPLICATION_GONE_MS / 1000} s`;
        said.failure = `it hung: it did not answer for ${limit} that its application has ended`;
        child.kill();
      }, APPLICATION_GONE_MS);
      const settled = (): void => clearTimeout(hung);
      answer.then(settled, settled);
      child.write(`application-gone ${number}`);
      return answer;
    },
    state: () => {
      const { number, answer } = questions.ask<ThreadState[]>();
      child.write(`state ${number}`);
      return answer;
    },
    stop: child.stop,
    kill: child.kill,
  };
}

/** What was asked and is not answered yet. */
class Questions {
  /**
   * No number is used twice, by nobody who ever talks to this dataplane: they begin at the time of
   * day.
   */
  #next = Date.now();
  readonly #open = new Map<
    number,
    { resolve(answer: unknown): void; reject(error: Error): void }
  >();
  #failure: Error | undefined;

  ask<T>(): { number: number; answer: Promise<T> } {
    const number = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    promise.catch(() => {}); // nobody may be waiting
    if (this.#failure) reject(this.#failure);
    else this.#open.set(number, { resolve: (answer) => resolve(answer as T), reject });
    return { number, answer: promise };
  }

  answered(number: number, answer: unknown): void {
    this.#open.get(number)?.resolve(answer);
    this.#open.delete(number);
  }

  /** There will be no answers any more. */
  reject(error: Error): void {
    this.#failure ??= error;
    for (const question of this.#open.values()) question.reject(error);
    this.#open.clear();
  }
}

/** The configuration with the child's descriptor numbers. */
function theirs(config: DataplaneConfig, inherited: Inherited): DataplaneConfig {
  const { captureFd, shared } = config;
  return {
    ...config,
    nics: config.nics.map((nic) => withDescriptor(nic, inherited)),
    statisticsFd: inherited.pass(config.statisticsFd),
    ...(captureFd === undefined ? {} : { captureFd: inherited.pass(captureFd) }),
    ...(shared === undefined ? {} : { shared: shared.map((s) => passShared(s, inherited)) }),
  };
}

function withDescriptor(nic: NicConfig, inherited: Inherited): NicConfig {
  if (nic.kind === 'afxdp') {
    const { socketFd, overheardFd } = nic;
    const overheard = overheardFd === undefined ? {} : { overheardFd: inherited.pass(overheardFd) };
    return { ...nic, socketFd: inherited.pass(socketFd), ...overheard };
  }
  if (nic.kind === 'tap') return { ...nic, fd: inherited.pass(nic.fd) };
  const [mine, other] = nic.wakeFds;
  const wakeFds: [number, number] = [inherited.pass(mine), inherited.pass(other)];
  return { ...nic, memoryFd: inherited.pass(nic.memoryFd), wakeFds };
}
