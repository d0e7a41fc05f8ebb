/**
 * What a service's drivers do with a frame that is too short or too long to be sent: VERIFY is off,
 * so it is dropped. Prints one line of JSON, a driver each.
 *
 * Called by bad-lengths.test.ts.
 */
import { constants, openSync } from 'node:fs';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { AfXdp } from '../../src/nic/afxdp.ts';
import { Cable, makeCable } from '../../src/nic/cable.ts';
import { FrameFile } from '../../src/nic/frame-file.ts';
import type { Nic } from '../../src/nic/nic.ts';
import { FakeKernel, LINUX_6_18 } from './fake-kernel.ts';

const MAC = new Uint8Array(6);
const arena = new Arena(24 * 2 ** 20);
arena.bindNative();
const frames = new Frames(arena, 2048, 1024);

function tried(open: (counters: Counters) => Nic): Record<string, unknown> {
  const counters = new Counters(arena);
  const nic = open(counters);
  for (const length of [-1, 0, 13, 2048, 0x7fff_ffff]) {
    nic.transmit(frames.takeTransmit() + 2, length);
  }
  nic.transmit(frames.takeTransmit() + 2, 60);
  nic.kick();
  nic.reclaim();
  nic.close();
  const { txBadLength, txFull, txRefused, txFrames } = counters.snapshot();
  return { txBadLength, txFull, txRefused, txFrames, allHome: frames.allHome() };
}

const kernel = new FakeKernel(arena, LINUX_6_18);
const parts = makeCable(64);
const report = {
  cable: tried((counters) => new Cable(arena, frames, counters, parts, 0)),
  frameFile: tried((counters) => {
    const fd = openSync('/dev/null', constants.O_RDWR | constants.O_NONBLOCK);
    const options = { fd, name: 'null', mac: MAC, mtu: 1500, entries: 64 };
    return new FrameFile(arena, frames, counters, options);
  }),
  afXdp: tried((counters) => {
    kernel.install();
    const link = { ifindex: 1, ifname: 'fake', queue: 0, mac: MAC, mtu: 1500 };
    const options = { fd: kernel.fd, ...link, ringEntries: 64 };
    return new AfXdp(arena, frames, counters, options);
  }),
};
console.log(JSON.stringify(report));
