/**
 * A generator and a server of ours at the two ends of a cable (src/nic/cable.ts): two processes,
 * shared memory, nothing of the kernel, no privilege.
 *
 * - What stands between them costs next to nothing, so it shows what the generator itself can do.
 * - Both end with the run, in reverse order, and the cable last.
 *
 * Called by point.ts.
 */
import type { Dataplane } from '../../control/children/launch.ts';
import { findApplication } from '../../control/wish/applications.ts';
import type { ApplicationPart } from '../../control/wish/plan.ts';
import { DataplaneDiedError } from '../../errors.ts';
import { closeCable, makeCable } from '../../nic/cable.ts';
import type { LoadReport } from '../result/result.ts';
import { CABLE_ENTRIES, startCableEnd } from './cable-end.ts';
import type { Generating } from './point.ts';

const SERVER_ADDRESS = '10.77.0.2';
const GENERATOR_ADDRESS = '10.77.0.1';
/** Room for a kv server of SERVER_VALUES_MIB and all that libix needs beside it. */
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

export async function runOnCable(
  generator: ApplicationPart,
  { app, cpu, serverCpu }: CableCarrier,
  limits: { applicationMiB: number; flows: number },
  hear: (value: unknown) => void,
  reported: PromiseWithResolvers<LoadReport>,
): Promise<Generating> {
  const cable = makeCable(CABLE_ENTRIES);
  const running: Dataplane[] = [];
  const stop = async (): Promise<void> => {
    for (const dataplane of running.reverse()) await dataplane.stop();
    closeCable(cable);
  };
  try {
    const served = findApplication(app);
    // Values for whoever keeps some, in the memory that every server has here.
    if (served.wants.memory) served.options['m'] = SERVER_VALUES_MIB;
    const room = { ...limits, applicationMiB: SERVER_MIB };
    const server = { side: 0, address: SERVER_ADDRESS, app: served, cpu: serverCpu } as const;
    running.push(await startCableEnd(cable, { ...server, idle: 'adaptive', limits: room }));
    const client = { side: 1, address: GENERATOR_ADDRESS, app: generator, cpu } as const;
    running.push(await startCableEnd(cable, { ...client, idle: 'spin', limits }, hear));
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
