/**
 * Benchmarks without a network: server and client at the two ends of a cable (src/nic/cable.ts),
 * shared memory between two processes on two cores. What is measured is the stacks, nothing of the
 * kernel.
 *
 * - Side 0 serves: our dataplane, or lwIP (peers/echo-lwip.c) in its place. Side 1 is always our
 *   client, polling.
 * - Needs no privilege. lwIP that is not installed is said to be missing, like every peer.
 */
import { existsSync } from 'node:fs';
import type { DataplaneConfig } from '../../src/child/config.ts';
import { findApplication } from '../../src/control/wish/applications.ts';
import { UserError } from '../../src/errors.ts';
import { CABLE_ENTRIES, startCableEnd } from '../../src/load/point/cable-end.ts';
import type { LoadResult } from '../../src/load/result/result.ts';
import { type CableParts, closeCable, makeCable } from '../../src/nic/cable.ts';
import { compilePeer } from './compile.ts';
import { CLIENT_ADDRESS } from './network.ts';
import { findProgram, startPinned } from './process.ts';
import { type ClientPlan, clientApplication, Report, type Server } from './run.ts';

export const CABLE_SERVER_ADDRESS = '10.78.0.3';
const START_MS = 5000;
const LWIP_HEADERS = '/usr/include/lwip';
const LWIP_FLAGS = ['-isystem', LWIP_HEADERS, '-llwip'];

export type CableServer = (cable: CableParts) => Promise<Server>;

export interface CableServerPlan {
  app: string;
  cpu: number;
  idle: DataplaneConfig['idle'];
  settings?: Record<string, string>;
  batch?: number;
}

/** Runs `client` against what `serve` starts at the other end. */
export async function onCable(serve: CableServer, client: ClientPlan): Promise<LoadResult> {
  const cable = makeCable(CABLE_ENTRIES);
  try {
    const server = await serve(cable);
    try {
      return await runCableClient(cable, client);
    } finally {
      await server.stop();
    }
  } finally {
    closeCable(cable);
  }
}

export const oursOnCable =
  ({ app, cpu, idle, settings, batch }: CableServerPlan): CableServer =>
  async (cable) => {
    const { name, module, options } = findApplication(app, settings);
    const dataplane = await startCableEnd(cable, {
      ...{ side: 0, address: CABLE_SERVER_ADDRESS, cpu, idle, limits: {} },
      ...(batch === undefined ? {} : { batchMax: batch }),
      app: { name, module, options },
    });
    return { pids: [dataplane.pid], stop: () => dataplane.stop() };
  };

export const lwipMissing = (): string | undefined => {
  if (!findProgram(process.env['CC'] || 'cc')) return 'C compiler: apt-get install gcc libc6-dev';
  return existsSync(`${LWIP_HEADERS}/lwip/tcp.h`) ? undefined : 'lwIP: apt-get install liblwip-dev';
};

export const lwipOnCable =
  (cpu: number, port: number): CableServer =>
  async ({ memoryFd, entries }) => {
    const program = compilePeer('echo-lwip', LWIP_FLAGS);
    const memory = `/proc/${process.pid}/fd/${memoryFd}`;
    const words = [memory, String(entries), CABLE_SERVER_ADDRESS, String(port)];
    const running = startPinned(cpu, [program, ...words]);
    if (await running.says('ready', START_MS)) return running;
    await running.stop();
    const reason = (await running.ended).errors.trim().split('\n')[0] ?? '';
    throw new UserError('IX_PEER', `lwIP does not start (${reason})`, '');
  };

async function runCableClient(cable: CableParts, plan: ClientPlan): Promise<LoadResult> {
  const waiting = new Report(plan);
  const { name, module, options } = clientApplication(plan);
  const end = { side: 1, address: CLIENT_ADDRESS, cpu: plan.cpu, limits: {} } as const;
  const app = { name, module, options };
  const dataplane = await startCableEnd(cable, { ...end, idle: 'spin', app }, waiting.hear);
  try {
    return await waiting.of(dataplane);
  } finally {
    await dataplane.stop();
  }
}
