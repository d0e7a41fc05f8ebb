/**
 * From configuration to driver: the descriptors were opened by the control plane, this process only
 * uses them.
 *
 * - `--trace` and `--capture` are wrappers around whatever driver it is, and so is `--impair`: they
 *   show what the stack sees of a bad network, and what it sends into one.
 * - One of several threads tells the others what concerns them all (nic/around/siblings.ts): `tell`
 *   takes a frame there, `hear` takes theirs. What is one's alone goes by `handover`.
 */
import { type DataplaneConfig, type NicConfig, STATISTICS_BYTES } from '../child/config.ts';
import type { Counters } from '../counters.ts';
import { MAP_SHARED, must, PROT_READ, PROT_WRITE, sys } from '../native/sys.ts';
import { AfXdp } from '../nic/afxdp.ts';
import { Capture } from '../nic/around/capture.ts';
import { Handover, type HandoverParts } from '../nic/around/handover.ts';
import { Impair } from '../nic/around/impair.ts';
import { Overheard } from '../nic/around/overheard.ts';
import { Siblings } from '../nic/around/siblings.ts';
import { Trace } from '../nic/around/trace.ts';
import { Cable } from '../nic/cable.ts';
import { FrameFile } from '../nic/frame-file.ts';
import type { Nic } from '../nic/nic.ts';
import type { NicParts } from './thread.ts';

export interface OpenedNic {
  readonly nic: Nic;
  /** A frame that another thread has received. */
  hear(frame: Uint8Array): void;
}

export function openNicFor(
  config: DataplaneConfig,
  index: number,
  parts: NicParts,
  tell: (frame: Uint8Array) => void,
  shared?: HandoverParts,
): OpenedNic {
  const driver = openDriver(config.nics[index]!, parts);
  const handover = shared && new Handover(shared, index, parts.arena);
  const siblings = handover && new Siblings(driver, { ...parts, handover, tell });
  const nic = wrapped(config, index, parts, overhearing(config, index, parts, siblings ?? driver));
  return { nic, hear: (frame) => siblings?.hear(frame) };
}

/** Outside of the siblings: every thread overhears for itself. */
function overhearing(config: DataplaneConfig, index: number, parts: NicParts, driver: Nic): Nic {
  const nic = config.nics[index]!;
  const fd = nic.kind === 'afxdp' ? nic.overheardFd : undefined;
  return fd === undefined ? driver : new Overheard(driver, fd, parts);
}

function wrapped(config: DataplaneConfig, index: number, parts: NicParts, driver: Nic): Nic {
  let nic = driver;
  if (config.impair !== undefined) {
    const { seed = 1, ...how } = config.impair;
    const both = { seed: seed + index, receive: how, transmit: how };
    nic = new Impair(nic, parts.arena, parts.frames, parts.clock, both);
  }
  if (config.captureFd !== undefined && index === 0) {
    nic = new Capture(nic, parts.arena, parts.clock, {
      path: config.captureFd,
      startMs: Date.now(),
    });
  }
  if (config.trace) nic = new Trace(nic, parts.arena, (line) => process.stderr.write(`${line}\n`));
  return nic;
}

function openDriver(config: NicConfig, { arena, frames, counters, clock, limits }: NicParts): Nic {
  const mac = Uint8Array.from(config.mac);
  const { mtu } = config;
  switch (config.kind) {
    case 'afxdp':
      return new AfXdp(arena, frames, counters, {
        fd: config.socketFd,
        ifindex: config.ifindex,
        ifname: config.ifname,
        queue: config.queue,
        mac,
        mtu,
        ringEntries: limits.ringEntries,
        copy: config.copy,
        copyWhy: config.copyWhy,
        clock,
      });
    case 'tap':
      return new FrameFile(arena, frames, counters, {
        fd: config.fd,
        name: `tap ${config.ifname}`,
        mac,
        mtu,
        entries: limits.ringEntries,
      });
    case 'cable':
      return new Cable(arena, frames, counters, config, config.side, { mac, mtu });
  }
}

/**
 * Maps the statistics memfd over this thread's counters, so that the control plane can read them.
 */
export function shareCountersFor(config: DataplaneConfig, index: number, counters: Counters): void {
  must(
    sys.mapAt(
      counters.base * 8,
      STATISTICS_BYTES,
      PROT_READ | PROT_WRITE,
      MAP_SHARED,
      config.statisticsFd,
      index * STATISTICS_BYTES,
    ),
    'mmap of the statistics segment',
  );
}
