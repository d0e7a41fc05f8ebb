/**
 * The other process of cable.test.ts: sends every frame back until one has sequence number 2^32-1;
 * sleeps after each whose number is a multiple of SLEEP_EVERY, spins after the others. Descriptors
 * 3, 4, 5: memory, wake side 0, wake side 1. Exit code 0: all frames home.
 */
import { BATCH_MAX } from '../../src/limits.ts';
import { POLLIN, sys } from '../../src/native/sys.ts';
import { Cable } from '../../src/nic/cable.ts';
import { makeEnds } from './suite.ts';

const SLEEP_EVERY = 10;
const LAST = 0xffff_ffff;
const { arena, b } = makeEnds();
const nic = new Cable(
  arena,
  b.frames,
  b.counters,
  { memoryFd: 3, wakeFds: [4, 5], entries: 64 },
  1,
);
const poll = arena.carve('poll', 8, 8) >> 2;
console.log('ready');

let sleepy = false;
for (let last = false; !last; ) {
  nic.reclaim();
  const count = nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) {
    const number = arena.view.getUint32(nic.rxOffsets[i]! + 14);
    last ||= number === LAST;
    sleepy = number % SLEEP_EVERY === 0;
    nic.transmit(nic.rxOffsets[i]!, nic.rxLengths[i]!);
  }
  nic.kick();
  if (!sleepy || last || !nic.prepareSleep()) continue;
  arena.i32[poll] = nic.fds[0]!;
  arena.i32[poll + 1] = POLLIN;
  sys.wait(poll << 2, 1, 10_000_000);
  nic.wake();
}
nic.close();
process.exitCode = b.frames.allHome() ? 0 : 1;
