/**
 * An application in a process of its own: one worker per elastic thread, on that thread's core or (placement
 * split) on one of its own.
 *
 * - Its arena has the dataplane's size, and the four shared segments lie at the dataplane's offsets, so that every
 *   offset means the same bytes in both. The receive pool and the event array are mapped read-only: a write is
 *   SIGSEGV here and nothing anywhere else. Nothing else of the dataplane's memory is in this process.
 * - Says `ready` with the ports when the application listens.
 *
 * Started by main.ts. Read first: docs/ARCHITECTURE.md "Two protection domains".
 */
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { Arena, type Segment } from '../arena/arena.ts';
import type { ApplicationConfig, ApplicationMessage } from '../dataplane/config.ts';
import type { Application } from '../libix/index.ts';
import { Ix } from '../libix/ix.ts';
import { MAP_SHARED, must, PROT_READ, PROT_WRITE, sys } from '../native/sys.ts';
import { Turns } from './turns.ts';

interface WorkerInput {
  config: ApplicationConfig;
  index: number;
}

const { config, index } = workerData as WorkerInput;

function say(message: ApplicationMessage): void {
  parentPort?.postMessage(message);
}

function attach(): Arena {
  const { layout, shared } = config.threads[index]!;
  const taken = [layout.receivePool, layout.events, layout.calls, layout.memory];
  const arena = new Arena(layout.arenaBytes, undefined, taken);
  arena.bindNative();
  const map = ({ name, offset, bytes }: Segment, fd: number, protection: number) =>
    must(sys.mapAt(offset, bytes, protection, MAP_SHARED, fd, 0), `mmap of ${name}`);
  map(layout.receivePool, shared.receivePool, PROT_READ);
  map(layout.events, shared.events, PROT_READ);
  map(layout.calls, shared.calls, PROT_READ | PROT_WRITE);
  map(layout.memory, shared.memory, PROT_READ | PROT_WRITE);
  return arena;
}

async function start(): Promise<void> {
  const { idle, placement } = config;
  const { cpu, layout, shared, flows } = config.threads[index]!;
  if (cpu !== undefined) sys.pin(cpu);
  const arena = attach();
  let turns: Turns | undefined;
  const ix = new Ix({
    arena,
    layout,
    flows,
    thread: index,
    hooks: {
      report: (value) => say({ type: 'report', value }),
      stop: (exitCode) => say({ type: 'stopped', exitCode }),
      wake: () => turns?.askTurn(),
    },
  });
  const module = await import(pathToFileURL(config.app.module).href);
  const application = module.default as Application;
  if (typeof application !== 'function') {
    throw new TypeError(
      `${config.app.module} has no default export that is a function (ix) => void`,
    );
  }
  await application(ix, config.app.options);
  turns = new Turns({
    arena,
    ix,
    eventArray: layout.events.offset,
    callArray: layout.calls.offset,
    wakeFd: shared.wake,
    dataplaneFd: shared.bell,
    ...(placement === 'split' && { polls: idle ?? 'adaptive' }),
  });
  ix.whenSettled(() => say({ type: 'ready', ports: ix.ports }));
  turns.start();
}

start().catch((error) => {
  const code = (error as { code?: string }).code ?? 'IX_APPLICATION';
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  say({ type: 'failed', code, message });
});
