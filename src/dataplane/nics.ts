/**
 * From configuration to driver: the descriptors were opened by the control plane, this process only uses them.
 */
import type { Arena } from '../arena/arena.ts';
import { COUNTERS_BYTES, type Counters } from '../counters.ts';
import { MAP_SHARED, must, PROT_READ, PROT_WRITE, sys } from '../native/sys.ts';
import { AfXdp } from '../nic/afxdp.ts';
import type { Nic } from '../nic/nic.ts';
import type { DataplaneConfig } from './config.ts';
import type { NicParts } from './thread.ts';

const PAGE = 4096;
/** Bytes of the statistics memfd that one thread's counters take. */
export const STATISTICS_BYTES = Math.ceil(COUNTERS_BYTES / PAGE) * PAGE;

export function openNicFor(config: DataplaneConfig, index: number, parts: NicParts): Nic {
  const nic = config.nics[index]!;
  const { arena, frames, counters, limits } = parts;
  const mac = Uint8Array.from(nic.mac);
  const open = (): Nic => {
    switch (nic.kind) {
      case 'afxdp':
        return new AfXdp(arena, frames, counters, {
          fd: nic.socketFd,
          ifindex: nic.ifindex,
          ifname: nic.ifname,
          queue: nic.queue,
          mac,
          mtu: nic.mtu,
          ringEntries: limits.ringEntries,
          copyOnly: nic.mode === 'generic',
        });
      default:
        throw new Error(`no driver for ${nic.kind}`);
    }
  };
  return open();
}

/** Maps the statistics memfd over this thread's counters, so that the control plane can read them. */
export function shareCountersFor(
  config: DataplaneConfig,
  index: number,
  _arena: Arena,
  counters: Counters,
): void {
  const protection = PROT_READ | PROT_WRITE;
  must(
    sys.mapAt(
      counters.base * 8,
      STATISTICS_BYTES,
      protection,
      MAP_SHARED,
      config.statisticsFd,
      index * STATISTICS_BYTES,
    ),
    'mmap of the statistics segment',
  );
}
