/**
 * The dataplane process: reads its configuration from the control plane, runs one worker per
 * elastic thread, and passes messages on.
 *
 * - Start: configuration in; `attached` out when every driver is bound and the process has locked
 *   itself down; `go` in when frames flow, within the time that a start may take; domain inline
 *   only: `ready` out when the application listens.
 * - Later: `application-gone N` in when the application's process has ended: its flows end, its
 *   buffers come back, `dropped` out; `state N` in, and out what every thread holds. N is the
 *   control plane's number of its question. `link-up` in when the link is up again.
 * - A thread that ends, by an exception or by process.exit() of an inline application, ends the
 *   process: `failed` says why. process.exit() of a Node program is its wish: `stopped`.
 * - SIGTERM closes every connection (RST) before the process ends. Exit codes: 0 stopped, 1 when a
 *   thread failed.
 * - Ends with the control plane until it has locked itself down; afterwards only if its service is
 *   not `lasting` (child/channel.ts). One that is told nothing more then has lost its control plane
 *   and ends by itself.
 */
import { Worker } from 'node:worker_threads';
import { builtBeside } from '../built.ts';
import { Channel, endWithParent, readConfig } from '../child/channel.ts';
import type {
  Copied,
  DataplaneConfig,
  DataplaneMessage,
  Tables,
  ThreadState,
} from '../child/config.ts';
import { lockDown } from '../child/lock.ts';
import { START_MS } from '../child/patience.ts';
import { type HandoverParts, makeHandover } from '../nic/around/handover.ts';
import { rowForm } from '../tcp/flow-facts.ts';
import { makeUnderWay, passedOn, type ReportMessage } from './reports.ts';
import { scheduleHelpers } from './schedule.ts';
import type { ElasticInput } from './worker.ts';

type WorkerMessage =
  | Exclude<DataplaneMessage, { type: 'attached' | 'dropped' | 'state' | 'report' }>
  | ReportMessage
  | Attached
  | { type: 'thread-dropped'; question: number }
  | { type: 'thread-state'; question: number; state: ThreadState }
  | { type: 'for-siblings'; frame: Uint8Array };
/** What is not only passed on. */
type Heard = Exclude<WorkerMessage, ReportMessage>;
type Stopped = Extract<DataplaneMessage, { type: 'stopped' }>;
interface Attached {
  type: 'thread-attached';
  /** Of the thread: they come in any order. */
  index: number;
  layout: Extract<DataplaneMessage, { type: 'attached' }>['layouts'][number];
  flows: number;
  nic: string;
  /** Of an AF_XDP socket. */
  copied: Copied | undefined;
  tables: Tables;
}

/** What the control plane tells every thread. */
const TOLD = /^(go|link-up|(application-gone|state) \d+)$/;
/** How long the threads may take to say goodbye to their peers. */
const CLOSE_MS = 500;

function run(config: DataplaneConfig): void {
  const channel = new Channel((line) => {
    if (line === 'go') clearTimeout(waiting);
    if (TOLD.test(line)) tell(line);
  });
  const { startMs = START_MS } = config;
  let waiting: NodeJS.Timeout | undefined;
  const attached: Attached[] = [];
  let readyCount = 0;
  let isStopping = false;
  const dropped = new Gathered<true>();
  const states = new Gathered<ThreadState>();
  const handover = handoverOf(config);
  const ended = new Set<Worker>();
  const workers = config.nics.map((_nic, index) =>
    startWorker({ config, index, handover }, channel, (worker, message) => {
      if (message.type === 'for-siblings') tellOthers(worker, message.frame);
      else if (message.type === 'stopped') stopped(worker, message);
      else heard(message);
    }),
  );
  const driverNames = (): string => attached.map(({ nic }) => nic).join(', ');
  const tell = (message: string): void => {
    for (const worker of workers) worker.postMessage(message);
  };
  const tellOthers = (one: Worker, message: string | Uint8Array): void => {
    for (const worker of workers) if (worker !== one) worker.postMessage(message);
  };
  /**
   * One that stops by itself stops all; the process ends when every thread has said goodbye to its
   * peers.
   */
  function stopped(worker: Worker, message: Stopped): void {
    ended.add(worker);
    const end = (): void => channel.last(message, message.exitCode);
    if (ended.size === workers.length) return end();
    if (isStopping) return;
    isStopping = true;
    tellOthers(worker, 'stop');
    setTimeout(end, CLOSE_MS);
  }
  function heard(message: Exclude<Heard, Stopped | { type: 'for-siblings' }>): void {
    if (message.type === 'thread-attached') {
      attached.push(message);
      if (attached.length < workers.length) return;
      attached.sort((a, b) => a.index - b.index);
      if (!locked(channel, config.lasting)) return;
      waiting = setTimeout(() => nobodySaidGo(channel, startMs), startMs);
      const copied = attached.flatMap((a) => a.copied ?? []);
      const said = { layouts: attached.map((a) => a.layout), nic: driverNames(), copied };
      const tables = { form: rowForm(), threads: attached.map((a) => a.tables) };
      channel.send({ type: 'attached', ...said, flows: message.flows, tables });
    } else if (message.type === 'ready') {
      readyCount += 1;
      if (readyCount === workers.length) channel.send({ ...message, nic: driverNames() });
    } else if (message.type === 'thread-dropped') {
      const { question } = message;
      if (dropped.all(question, true, workers.length)) channel.send({ type: 'dropped', question });
    } else if (message.type === 'thread-state') {
      const { question, state } = message;
      const threads = states.all(question, state, workers.length);
      if (threads) channel.send({ type: 'state', question, threads });
    } else channel.last(message, 1);
  }
  process.on('SIGTERM', () => {
    isStopping = true;
    tell('stop');
    setTimeout(() => process.exit(0), CLOSE_MS);
  });
}

const handoverOf = ({ nics }: DataplaneConfig): HandoverParts | undefined =>
  nics.length > 1 ? makeHandover(nics.length, true) : undefined;

/** One thread: its reports go on to the control plane, its end without our wish is a failure. */
function startWorker(
  input: Omit<ElasticInput, 'reports'>,
  channel: Channel,
  heard: (worker: Worker, message: Heard) => void,
): Worker {
  const reports = makeUnderWay();
  const worker = new Worker(builtBeside(import.meta.url, './worker.ts'), {
    workerData: { ...input, reports } satisfies ElasticInput,
  });
  worker.on('message', (message: WorkerMessage) => {
    if (message.type === 'report') {
      channel.report(message.json, () => passedOn(reports, message));
    } else heard(worker, message);
  });
  worker.on('error', (error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    channel.last({ type: 'failed', code: 'IX_WORKER', message: text }, 1);
  });
  // What it said last has been heard by now: nobody asked for this. A process without it would
  // serve nobody.
  worker.on('exit', (code) => {
    if (input.config.app.program && !input.config.shared) {
      return heard(worker, { type: 'stopped', exitCode: code & 0xff });
    }
    const what = `thread ${input.index} ended by itself (exit code ${code})`;
    const message = `${what}; an application ends with ix.stop`;
    channel.last({ type: 'failed', code: 'IX_WORKER', message }, 1);
  });
  return worker;
}

/** Answers of all threads to questions that may overlap. */
class Gathered<T> {
  readonly #answers = new Map<number, T[]>();

  /** One thread's answer; all of them, when it is the last of `count`. */
  all(question: number, answer: T, count: number): T[] | undefined {
    const answers = [...(this.#answers.get(question) ?? []), answer];
    this.#answers.set(question, answers);
    if (answers.length < count) return undefined;
    this.#answers.delete(question);
    return answers;
  }
}

/** The control plane is dead, or as slow as it lets nobody be. */
function nobodySaidGo(channel: Channel, startMs: number): void {
  const message = `its control plane did not let it begin within ${startMs / 1000} s`;
  channel.last({ type: 'failed', code: 'IX_START_TIMEOUT', message }, 1);
}

function locked(channel: Channel, lasting = false): boolean {
  try {
    lockDown(lasting);
    return true;
  } catch (error) {
    channel.last({ type: 'failed', code: 'IX_CONFINE', message: (error as Error).message }, 1);
    return false;
  }
}

endWithParent();
try {
  scheduleHelpers();
  run(readConfig());
} catch (error) {
  const code = (error as { code?: string }).code ?? 'IX_DATAPLANE';
  new Channel(() => {}).last({ type: 'failed', code, message: (error as Error).message }, 1);
}
