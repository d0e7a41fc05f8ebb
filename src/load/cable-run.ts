/**
 * A generator and a server of ours at the two ends of a cable (src/nic/cable.ts): two processes,
 * shared memory, nothing of the kernel, no privilege. What the generator itself can do.
 *
 * Called by point.ts.
 */
import { closeSync } from 'node:fs';
import type { DataplaneConfig } from '../child/config.ts';
import { type Dataplane, launch } from '../control/children/launch.ts';
import { makeStatistics } from '../control/record/statistics.ts';
import { findApplication } from '../control/wish/applications.ts';
import type { ApplicationPart, DataplanePart } from '../control/wish/plan.ts';
import { DataplaneDiedError } from '../errors.ts';
import { parseAddress } from '../libix/address.ts';
import { ETHERNET_MTU } from '../limits.ts';
import { type CableParts, type CableSide, closeCable, makeCable } from '../nic/cable.ts';
import type { Generating } from './point.ts';
import type { LoadReport } from './result.ts';

const SERVER_ADDRESS = '10.77.0.2';
const GENERATOR_ADDRESS = '10.77.0.1';
const ENTRIES = 4096;
const SERVER_MIB = 768;
const SERVER_VALUES_MIB = '512';

export interface CableCarrier {
  /** The server is started with the generator. */
  via: 'cable';
  /** An application of ours. */
  app: string;
  cpu?: number;
  serverCpu?: number;
}

/** Where the server of a cable is. */
export const CABLE_HOST = SERVER_ADDRESS;

interface EndPlan {
  side: CableSide;
  address: string;
  app: ApplicationPart;
  dataplane: DataplanePart;
}

export async function runOnCable(
  generator: ApplicationPart,
  { app, cpu, serverCpu }: CableCarrier,
  limits: { applicationMiB: number; flows: number },
  hear: (value: unknown) => void,
  reported: PromiseWithResolvers<LoadReport>,
): Promise<Generating> {
  const cable = makeCable(ENTRIES);
  const running: Dataplane[] = [];
  const stop = async (): Promise<void> => {
    for (const dataplane of running.reverse()) await dataplane.stop();
    closeCable(cable);
  };
  try {
    const served = findApplication(app);
    // Values for whoever keeps some, in the memory that every server has here.
    if (served.wants.memory) served.options['m'] = SERVER_VALUES_MIB;
    const server = { side: 0, address: SERVER_ADDRESS, app: served } as const;
    const serving = { ...limits, applicationMiB: SERVER_MIB };
    running.push(
      await start(cable, { ...server, dataplane: dataplaneOf('adaptive', serving, serverCpu) }),
    );
    const client = { side: 1, address: GENERATOR_ADDRESS, app: generator } as const;
    running.push(
      await start(cable, { ...client, dataplane: dataplaneOf('spin', limits, cpu) }, hear),
    );
    for (const dataplane of running) {
      void dataplane.ended.then(({ how, failure }) =>
        reported.reject(new DataplaneDiedError(`an end of the cable ended: ${failure ?? how}`)),
      );
    }
    return { report: reported.promise, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const dataplaneOf = (
  idle: DataplanePart['idle'],
  limits: DataplanePart['limits'],
  cpu: number | undefined,
): DataplanePart => ({ idle, ...(cpu !== undefined && { cpu }), limits, trace: false });

async function start(
  cable: CableParts,
  { side, address, app, dataplane: given }: EndPlan,
  report?: (value: unknown) => void,
): Promise<Dataplane> {
  const mac = [2, 0x69, 0x78, 0, 0, side + 1];
  const wakeFds: [number, number] = [...cable.wakeFds];
  const statisticsFd = makeStatistics(1);
  const config: DataplaneConfig = {
    nics: [{ kind: 'cable', ...cable, wakeFds, side, mac, mtu: ETHERNET_MTU }],
    address: parseAddress(address),
    prefixLength: 24,
    gateway: 0,
    ...given,
    app: { name: app.name, module: app.module, options: app.options },
    statisticsFd,
  };
  const dataplane = launch(config, undefined, report);
  try {
    await dataplane.attached;
    dataplane.go();
    await dataplane.ready;
    return dataplane;
  } catch (error) {
    dataplane.kill();
    throw error;
  } finally {
    closeSync(statisticsFd);
  }
}
