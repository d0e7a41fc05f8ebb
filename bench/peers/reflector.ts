/**
 * The limit of the machine for this driver: swaps the MAC addresses of every frame and sends it
 * back, nothing else.
 *
 * - Takes all frames of the interface.
 *
 * Usage: node bench/peers/reflector.ts IFNAME [--cpu N] [--seconds S] [--generic] [--lend FRAMES]
 * Prints one JSON object at the end: { frames, seconds, rate, mode }.
 */
import { parseArgs } from 'node:util';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { BATCH_MAX, limitsFor } from '../../src/limits.ts';
import { sys } from '../../src/native/sys.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cpu: { type: 'string' },
    seconds: { type: 'string' },
    lend: { type: 'string' },
    generic: { type: 'boolean' },
  },
});
const [ifname] = positionals;
if (ifname === undefined) throw new Error('usage: reflector.ts IFNAME [--cpu N] [--seconds S]');
if (values.cpu !== undefined) sys.pin(Number(values.cpu));

const limits = limitsFor();
const arena = new Arena(80 * 2 ** 20);
arena.bindNative();
const counters = new Counters(arena);
const frames = new Frames(arena, limits.receiveFrames, limits.transmitFrames);
const { nic, attachment, close } = openXdp(arena, frames, counters, {
  ifname,
  ipv4: [],
  everything: true,
  ringEntries: limits.ringEntries,
  ...(values.generic ? { mode: 'generic' } : {}),
  ...(values.lend === undefined ? {} : { lend: Number(values.lend) }),
});

const u16 = arena.u16;
/** One run to completion: what came in goes out. Returns how many. */
function reflect(): number {
  nic.reclaim();
  const count = nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) {
    const offset = nic.rxOffsets[i]!;
    const half = offset >> 1;
    for (let k = half; k < half + 3; k++) {
      const destination = u16[k]!;
      u16[k] = u16[k + 3]!;
      u16[k + 3] = destination;
    }
    nic.transmit(offset, nic.rxLengths[i]!);
  }
  nic.kick();
  return count;
}

let running = true;
const stop = (): void => {
  running = false;
};
process.on('SIGTERM', stop).on('SIGINT', stop);
if (values.seconds !== undefined) setTimeout(stop, Number(values.seconds) * 1000);

console.error(`reflecting on ${nic.name}, ${attachment.mode} mode`);
let total = 0;
let first = 0;
let last = 0;
/** Polls for a while, then lets signals and timers in. */
function turn(): void {
  let count = 0;
  for (let i = 0; i < 4096; i++) count += reflect();
  if (count > 0) {
    first ||= performance.now();
    last = performance.now();
    total += count;
  }
  if (running) setImmediate(turn);
  else {
    close();
    const seconds = (last - first) / 1000;
    const rate = seconds > 0 ? total / seconds : 0;
    console.log(JSON.stringify({ frames: total, seconds, rate, mode: attachment.mode }));
  }
}
turn();
