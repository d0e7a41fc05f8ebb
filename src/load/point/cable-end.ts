/**
 * One end of a cable (src/nic/cable.ts): a dataplane of ours that drives it, in a process of its
 * own.
 *
 * - The cable is its maker's: an end has copies of the descriptors, so it may go before the other
 *   one, and the cable after both.
 * - It serves when the promise settles, or nothing of it is left.
 *
 * Called by cable.ts and bench/harness/cable.ts.
 */
import { closeSync } from 'node:fs';
import type { DataplaneConfig } from '../../child/config.ts';
import { type Dataplane, launch, type Report } from '../../control/children/launch.ts';
import { makeStatistics } from '../../control/record/statistics.ts';
import { parseAddress } from '../../libix/address.ts';
import { ETHERNET_MTU } from '../../limits.ts';
import type { CableParts, CableSide } from '../../nic/cable.ts';

export const CABLE_PREFIX_LENGTH = 24;
/** Frames under way in either direction. */
export const CABLE_ENTRIES = 4096;

export interface CableEnd extends Pick<DataplaneConfig, 'app' | 'idle' | 'limits' | 'batchMax'> {
  side: CableSide;
  address: string;
  cpu?: number | undefined;
}

export async function startCableEnd(
  cable: CableParts,
  { side, address, cpu, app, ...rest }: CableEnd,
  report?: Report,
): Promise<Dataplane> {
  const mac = [2, 0x69, 0x78, 0, 0, side + 1];
  const wakeFds: [number, number] = [...cable.wakeFds];
  const statisticsFd = makeStatistics(1);
  const config: DataplaneConfig = {
    ...rest,
    app: { name: app.name, module: app.module, options: app.options },
    nics: [{ kind: 'cable', ...cable, wakeFds, side, mac, mtu: ETHERNET_MTU }],
    address: parseAddress(address),
    prefixLength: CABLE_PREFIX_LENGTH,
    gateway: 0,
    ...(cpu === undefined ? {} : { cpu }),
    statisticsFd,
    trace: false,
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
