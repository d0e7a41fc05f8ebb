/**
 * One elastic thread as a worker: pinned to its core, with its own V8 isolate, heap and collector.
 *
 * - Started by main.ts with the configuration and its number. Says `thread-attached` when its
 *   driver is bound, waits for `go`, and (domain inline) says `ready` when the application listens.
 * - Says `for-siblings` with a frame that every thread has to see; a message that is bytes is such
 *   a frame of another's.
 * - Says `failed` (one sentence, with the remedy) when it cannot start or an invariant of ours
 *   broke, `report` for the application.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { DataplaneConfig } from '../child/config.ts';
import { failureOf, loadApplication } from '../child/module.ts';
import type { Side } from '../domain/domain.ts';
import { type InlineSide, openInlineSide } from '../domain/inline.ts';
import { backWith, openProcessSide } from '../domain/process-side.ts';
import { connectionsOf } from '../limits.ts';
import { sys } from '../native/sys.ts';
import type { HandoverParts } from '../nic/around/handover.ts';
import type { Nic } from '../nic/nic.ts';
import { openNicFor, shareCountersFor } from './nics.ts';
import { reporter, type WorkerInput } from './reports.ts';
import { scheduleElastic } from './schedule.ts';
import { tablesOf } from './tables.ts';
import { type DataplaneThread, type NicParts, openThread } from './thread.ts';

export interface ElasticInput extends WorkerInput<DataplaneConfig> {
  /** Absent: one thread. */
  readonly handover: HandoverParts | undefined;
}

const { config, index, reports, handover } = workerData as ElasticInput;

const say = (message: unknown): void => parentPort?.postMessage(message);

function failed(error: unknown): void {
  const code = (error as { code?: string }).code ?? 'IX_DATAPLANE';
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  say({ type: 'failed', code, message });
}

let hear = (_frame: Uint8Array): void => {};

function openNic(parts: NicParts): Nic {
  const tell = (frame: Uint8Array): void => say({ type: 'for-siblings', frame });
  const opened = openNicFor(config, index, parts, tell, handover);
  hear = opened.hear;
  return opened.nic;
}

/** What both domains have in common. */
const common = {
  limits: config.limits,
  net: { ...config, thread: index, threads: config.nics.length },
  policy: config.idle,
  ...(config.tcp === undefined ? {} : { tcp: config.tcp }),
  ...(config.batchMax === undefined ? {} : { batchMax: config.batchMax }),
  ...(config.stallUs === undefined ? {} : { stallUs: config.stallUs }),
  ...(config.egress === undefined ? {} : { egress: config.egress }),
  openNic,
  shareCounters: (counters: Parameters<typeof shareCountersFor>[2]) =>
    shareCountersFor(config, index, counters),
  failed,
};

function applicationFailed(error: unknown): void {
  say({ type: 'failed', ...failureOf(error, config.app.module) });
}

/** Every connection is reset: nobody would be there for the rest of a FIN's conversation. */
function end<S extends Side>(dataplane: DataplaneThread<S>, exitCode: number): void {
  dropAll(dataplane);
  say({ type: 'stopped', exitCode });
}

function dropAll<S extends Side>(dataplane: DataplaneThread<S>): void {
  dataplane.dropApplication();
  dataplane.close();
}

/**
 * A Node program may call process.exit() anywhere; what throws and is not caught ends the thread as
 * it is, for who knows in which state.
 */
function beforeExit(drop: () => void): void {
  let hasFailed = false;
  process.on('uncaughtExceptionMonitor', () => {
    hasFailed = process.listenerCount('uncaughtException') === 0;
  });
  process.on('exit', () => {
    if (!hasFailed) drop();
  });
}

function listen<S extends Side>(dataplane: DataplaneThread<S>, go: () => void): void {
  const { counters, layout, limits, nic, stack } = dataplane;
  parentPort?.on('message', (message: string | Uint8Array) => {
    if (typeof message !== 'string') {
      hear(message);
      return dataplane.runner.wake();
    }
    if (message === 'go') {
      dataplane.thread.readClock();
      dataplane.stack.start();
      go();
    }
    // What is asked comes with a number, which goes back with the answer.
    const [word, number] = message.split(' ');
    const question = Number(number);
    if (word === 'application-gone') {
      dataplane.dropApplication(config.onCrash === 'fin');
      say({ type: 'thread-dropped', question });
    }
    if (word === 'link-up') {
      dataplane.thread.readClock();
      dataplane.stack.linkUp();
      dataplane.runner.wake();
    }
    if (word === 'state') say({ type: 'thread-state', question, state: dataplane.state() });
    if (message === 'stop') end(dataplane, 0);
  });
  const { name, copied } = nic;
  const flows = connectionsOf(limits);
  const tables = tablesOf(counters, stack);
  say({ type: 'thread-attached', index, layout, flows, nic: name, copied, tables });
}

async function startInline(): Promise<void> {
  const application = await loadApplication(config.app).catch(applicationFailed);
  if (!application) return;
  const hooks = {
    report: reporter(reports, say),
    // From inside a turn, which must come to its end before the driver is closed.
    stop: (exitCode: number) => {
      dataplane.runner.stop();
      setImmediate(() => end(dataplane, exitCode));
    },
  };
  const openSide = (parts: Parameters<typeof openInlineSide>[0]): InlineSide =>
    openInlineSide(parts, index, hooks, { pid: config.pid });
  const dataplane = openThread({ ...common, openSide });
  const { ix } = dataplane.side;
  if (config.app.program) beforeExit(() => dropAll(dataplane));
  listen(dataplane, () => {
    // Async, so that what the application throws at once is a refusal like what it throws later.
    // It runs meanwhile: an application may await the network before it says that it is ready.
    const load = async (): Promise<void> => {
      dataplane.runner.start();
      await application(ix, config.app.options);
      ix.whenSettled((refused) => {
        if (refused) applicationFailed(refused);
        else say({ type: 'ready', ports: ix.ports, nic: dataplane.nic.name });
      });
    };
    load().catch(applicationFailed);
  });
}

function startProcess(shared: NonNullable<DataplaneConfig['shared']>[number]): void {
  const dataplane = openThread({
    ...common,
    openSide: (parts) => openProcessSide(parts, shared, config.placement),
    back: backWith(shared),
  });
  listen(dataplane, () => dataplane.runner.start());
}

if (config.cpu !== undefined) sys.pin(config.cpu + index);
const shared = config.shared?.[index];
scheduleElastic(shared === undefined);
if (shared === undefined) startInline().catch(failed);
else {
  try {
    startProcess(shared);
  } catch (error) {
    failed(error);
  }
}
