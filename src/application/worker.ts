/**
 * An application in a process of its own: one worker per elastic thread, on that thread's core or
 * (placement split) on one of its own.
 *
 * - Its arena has the dataplane's size, and the four shared segments lie at the dataplane's
 *   offsets, so that every offset means the same bytes in both. The receive pool and the event
 *   array are mapped read-only: a write is SIGSEGV here and nothing anywhere else. Nothing else of
 *   the dataplane's memory is in this process.
 * - Says `ready` with the ports when the application listens.
 *
 * Started by main.ts. Read first: docs/ARCHITECTURE.md "Two protection domains".
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Arena } from '../arena/arena.ts';
import type { ApplicationConfig, ApplicationMessage } from '../child/config.ts';
import { failureOf, loadApplication } from '../child/module.ts';
import { type ReportMessage, reporter, type WorkerInput } from '../dataplane/reports.ts';
import { Turns } from '../domain/turns.ts';
import { Ix } from '../libix/ix.ts';
import { PROT_READ, PROT_WRITE, sys } from '../native/sys.ts';

const { config, index, reports } = workerData as WorkerInput<ApplicationConfig>;

function say(message: Exclude<ApplicationMessage, { type: 'report' }> | ReportMessage): void {
  parentPort?.postMessage(message);
}

function attach(): Arena {
  const { layout, shared } = config.threads[index]!;
  const taken = [layout.receivePool, layout.events, layout.calls, layout.memory];
  const arena = new Arena(layout.arenaBytes, undefined, taken);
  arena.bindNative();
  arena.mapShared(layout.receivePool, shared.receivePool, PROT_READ);
  arena.mapShared(layout.events, shared.events, PROT_READ);
  arena.mapShared(layout.calls, shared.calls, PROT_READ | PROT_WRITE);
  arena.mapShared(layout.memory, shared.memory, PROT_READ | PROT_WRITE);
  return arena;
}

async function start(): Promise<void> {
  const { idle, placement } = config;
  const { cpu, layout, shared, flows } = config.threads[index]!;
  if (cpu !== undefined) sys.pin(cpu);
  const arena = attach();
  let turns: Turns | undefined;
  let isYielding = false;
  let mayEnd = false;
  const ix = new Ix({
    arena,
    layout,
    flows,
    pid: config.pid,
    thread: index,
    hooks: {
      report: reporter(reports, say),
      stop: (exitCode) => say({ type: 'stopped', exitCode }),
      wake: () => turns?.askTurn(),
      yields: (on) => {
        isYielding = on;
      },
      mayEnd: (on) => {
        mayEnd = on;
      },
    },
  });
  const application = await loadApplication(config.app);
  turns = new Turns({
    arena,
    ix,
    eventArray: layout.events.offset,
    callArray: layout.calls.offset,
    wakeFd: shared.wake,
    dataplaneFd: shared.bell,
    ...(placement === 'split' && { polls: idle ?? 'adaptive' }),
  });
  // Turns come meanwhile: an application may await the network before it says that it is ready.
  turns.yields = true;
  turns.start();
  await application(ix, config.app.options);
  turns.yields = isYielding;
  ix.whenSettled((refused) => {
    if (refused) failed(refused);
    else say({ type: 'ready', ports: ix.ports });
    turns?.stay(!mayEnd); // not before it is known to have started
  });
}

function failed(error: unknown): void {
  say({ type: 'failed', ...failureOf(error, config.app.module) });
}

start().catch(failed);
