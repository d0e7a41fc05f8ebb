/**
 * One elastic thread as a worker: pinned to its core, with its own V8 isolate, heap and collector.
 *
 * - Started by main.ts with the configuration and its number; says `ready` when the application listens, `failed`
 *   (one sentence, with the remedy) when it cannot start or an invariant of ours broke, `report` for the application.
 */
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { Application } from '../libix/index.ts';
import { sys } from '../native/sys.ts';
import type { DataplaneConfig, DataplaneMessage } from './config.ts';
import { openInlineSide } from './inline-domain.ts';
import { openNicFor, shareCountersFor } from './nics.ts';
import { openThread } from './thread.ts';

interface WorkerInput {
  config: DataplaneConfig;
  index: number;
}

const { config, index } = workerData as WorkerInput;

function say(message: DataplaneMessage): void {
  parentPort?.postMessage(message);
}

function failed(error: unknown): void {
  const code = (error as { code?: string }).code ?? 'IX_DATAPLANE';
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  say({ type: 'failed', code, message });
}

async function start(): Promise<void> {
  if (config.cpu !== undefined) sys.pin(config.cpu + index);
  const module = await import(pathToFileURL(config.app.module).href);
  const application = module.default as Application;
  if (typeof application !== 'function') {
    throw new TypeError(
      `${config.app.module} has no default export that is a function (ix) => void`,
    );
  }
  const hooks = {
    report: (value: unknown) => say({ type: 'report', value }),
    stop: (exitCode: number) => {
      dataplane.close();
      say({ type: 'stopped', exitCode });
    },
  };
  const dataplane = openThread({
    limits: config.limits,
    net: config,
    policy: config.idle,
    openNic: (parts) => openNicFor(config, index, parts),
    openSide: (parts) => openInlineSide(parts, index, hooks),
    shareCounters: (counters) => shareCountersFor(config, index, counters),
    failed,
  });
  const { ix } = dataplane.side;
  await application(ix, config.app.options);
  // The first turn makes the application's calls, the second one hands it their results: a refused listen ends here.
  dataplane.thread.turn();
  dataplane.thread.turn();
  say({ type: 'ready', ports: ix.ports, nic: dataplane.nic.name });
  dataplane.runner.start();
}

start().catch(failed);
