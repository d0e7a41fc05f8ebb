/**
 * AF_XDP in one step, for a process that may do both halves: attach, socket, rings, bind, enable.
 *
 * - The arena must be the bound one. `close` takes the frames home and detaches the program.
 *
 * Called by tests and benchmarks: a service's control plane does one half, its dataplane the other.
 */
import type { Arena } from '../../arena/arena.ts';
import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import type { Counters } from '../../counters.ts';
import { AfXdp } from '../afxdp.ts';
import { copyingFor } from '../drivers.ts';
import { type Attachment, type AttachOptions, attachXdp } from './attach.ts';
import { readDriver } from './interface.ts';

export interface OpenXdpOptions extends AttachOptions {
  queue?: number;
  /** limits.ringEntries */
  ringEntries: number;
  lend?: number;
  clock?: Clock;
}

export interface OpenXdp {
  nic: AfXdp;
  attachment: Attachment;
  close(): void;
}

export function openXdp(
  arena: Arena,
  frames: Frames,
  counters: Counters,
  options: OpenXdpOptions,
): OpenXdp {
  const queue = options.queue ?? 0;
  const attachment = attachXdp(options);
  try {
    const { name, index, mac, mtu } = attachment.interface;
    const nic = new AfXdp(arena, frames, counters, {
      fd: attachment.openSocket(),
      ifindex: index,
      ifname: name,
      queue,
      mac,
      mtu,
      ringEntries: options.ringEntries,
      copy: copyingFor(attachment.mode, readDriver(name)).wish,
      ...(options.lend === undefined ? {} : { lend: options.lend }),
      ...(options.clock && { clock: options.clock }),
    });
    attachment.enable(queue, nic.fds[0]!);
    const close = (): void => {
      attachment.disable(queue);
      nic.close();
      attachment.detach();
    };
    return { nic, attachment, close };
  } catch (error) {
    attachment.detach();
    throw error;
  }
}
