/**
 * TAP: a virtual Ethernet link to this machine's kernel, one read or write a frame.
 *
 * - The kernel's end is the interface `ifname`, made here if it is not there yet, removed when the
 *   last descriptor is closed. Our end has an address of its own, locally administered.
 * - Rootless: works inside `unshare --user --map-root-user --net`, or on an interface that an
 *   administrator made for this user (`ip tuntap add IFNAME mode tap user NAME`).
 * - No offloads: without IFF_VNET_HDR and TUNSETOFFLOAD the kernel sends whole, checksummed frames.
 * - The interface still has to be brought up and given an address (control/link/netlink.ts).
 *
 * A service's control plane calls `openTapQueues` and hands the descriptors to a dataplane; tests
 * call `openTap`. Read first: Documentation/networking/tuntap.rst.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import type { Arena } from '../../arena/arena.ts';
import type { Frames } from '../../arena/frames.ts';
import type { Counters } from '../../counters.ts';
import { EBUSY, EPERM, SYS, sys } from '../../native/sys.ts';
import { granted, NIC_REFUSED, NicError } from '../errors.ts';
import { FrameFile } from '../frame-file.ts';
import { Struct } from '../struct.ts';
import { readInterface } from './interface.ts';

const DEVICE = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const IFF_TAP_NO_PI = 0x0002 | 0x1000;
const IFF_MULTI_QUEUE = 0x0100;

export interface TapOptions {
  ifname: string;
  mac?: Uint8Array;
  /** limits.ringEntries */
  entries: number;
}

const TAP_MEANINGS = {
  [EPERM]: [
    NIC_REFUSED.noPrivilege,
    'not permitted; run under `unshare --user --map-root-user --net`, as root, or on a tap made for you: `ip tuntap add IFNAME mode tap user NAME`',
  ],
  [EBUSY]: [
    NIC_REFUSED.interfaceBusy,
    'another program has this tap open; stop it or choose another name',
  ],
} as const;

function openDevice(): number {
  try {
    return openSync(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const isForbidden = (error as NodeJS.ErrnoException).code === 'EACCES';
    throw new NicError(
      isForbidden ? NIC_REFUSED.noPrivilege : NIC_REFUSED.noInterface,
      `opening ${DEVICE}`,
      (error as NodeJS.ErrnoException).errno ?? 0,
      isForbidden
        ? 'not permitted for this user; ' +
            `\`sudo chmod 666 ${DEVICE}\`, the usual mode, or run as root`
        : 'no such device; `sudo modprobe tun`, or give the container that device',
    );
  }
}

/** A random unicast address, locally administered (IEEE 802c). */
export function randomMac(): Uint8Array {
  const mac = Uint8Array.from(randomBytes(6));
  mac[0] = (mac[0]! & 0xfc) | 2;
  return mac;
}

/** The kernel's end becomes (or is) interface `ifname`; ours is the descriptor, for the caller. */
export const openTapDevice = (ifname: string): number => openQueue(ifname, IFF_TAP_NO_PI);

/**
 * The same with `count` queues, a descriptor each. A flow's frames come by the queue that it was
 * last sent by, the first ones by any.
 */
export function openTapQueues(ifname: string, count: number): number[] {
  const fds: number[] = [];
  const flags = count === 1 ? IFF_TAP_NO_PI : IFF_TAP_NO_PI | IFF_MULTI_QUEUE;
  try {
    while (fds.length < count) fds.push(openQueue(ifname, flags));
    return fds;
  } catch (error) {
    fds.forEach(closeSync);
    throw error;
  }
}

function openQueue(ifname: string, flags: number): number {
  const fd = openDevice();
  const request = new Struct(40).text(0, ifname, 16).u16(16, flags);
  const result = sys.syscall(SYS.ioctl, fd, TUNSETIFF, request.bytes);
  if (result < 0) closeSync(fd);
  granted(result, `tap ${ifname}`, TAP_MEANINGS);
  return fd;
}

/** Both halves in one step: the device, and the driver on it. */
export function openTap(
  arena: Arena,
  frames: Frames,
  counters: Counters,
  options: TapOptions,
): FrameFile {
  const { ifname, entries } = options;
  const fd = openTapDevice(ifname);
  try {
    const mac = options.mac ?? randomMac();
    const { mtu } = readInterface(ifname);
    return new FrameFile(arena, frames, counters, { fd, name: `tap ${ifname}`, mac, mtu, entries });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
