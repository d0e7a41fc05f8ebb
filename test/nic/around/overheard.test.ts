/** What is overheard comes into the driver's batches: once a millisecond, whatever else comes. */
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import { Arena } from '../../../src/arena/arena.ts';
import { Clock } from '../../../src/arena/clock.ts';
import { Frames } from '../../../src/arena/frames.ts';
import { callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { Counters } from '../../../src/counters.ts';
import { BATCH_MAX, TRANSMIT_HEADROOM } from '../../../src/limits.ts';
import { must, SYS, sys } from '../../../src/native/sys.ts';
import { Overheard } from '../../../src/nic/around/overheard.ts';
import type { Nic } from '../../../src/nic/nic.ts';

const AF_UNIX = 1;
const DATAGRAMS_NOW = 2 | 0o4000 | 0o2000000; // SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
const FRAME_BYTES = 60;
const OURS = 1;
const OVERHEARD = 2;

function make() {
  const arena = new Arena(8 * 2 ** 20);
  arena.bindNative();
  const frames = new Frames(arena, 512, 64);
  const counters = new Counters(arena);
  const clock = new Clock();
  /** As many frames as it is asked for: a flood. */
  const flood: Nic & { left: number } = {
    ...{ name: 'flood', mac: new Uint8Array(6), mtu: 1500, fds: [] },
    rxOffsets: new Int32Array(BATCH_MAX),
    rxLengths: new Int32Array(BATCH_MAX),
    left: 0,
    receive(max) {
      const count = Math.min(max, this.left);
      this.left -= count;
      for (let i = 0; i < count; i++) {
        const offset = frames.takeReceive() + TRANSMIT_HEADROOM;
        arena.u8[offset] = OURS;
        this.rxOffsets[i] = offset;
        this.rxLengths[i] = FRAME_BYTES;
      }
      return count;
    },
    transmit: () => {},
    kick: () => {},
    reclaim: () => {},
    receiveLent: () => 0,
    close: () => {},
  };
  const ends = new Int32Array(2);
  must(sys.syscall(callNumber('socketpair'), AF_UNIX, DATAGRAMS_NOW, 0, ends), 'socketpair');
  const nic = new Overheard(flood, ends[0]!, { arena, frames, clock, counters });
  const say = (): number => writeSync(ends[1]!, new Uint8Array(FRAME_BYTES).fill(OVERHEARD));
  /** One batch: how many frames of each kind; they go home. */
  const batch = (max = BATCH_MAX): [ours: number, overheard: number] => {
    nic.reclaim();
    const count = nic.receive(max);
    assert.ok(count <= max);
    const of: [number, number] = [0, 0];
    for (let i = 0; i < count; i++) {
      const offset = nic.rxOffsets[i]!;
      of[arena.u8[offset] === OURS ? 0 : 1]++;
      assert.equal(nic.rxLengths[i], FRAME_BYTES);
      frames.free(offset);
    }
    return of;
  };
  const close = (): void => {
    nic.close();
    sys.syscall(SYS.close, ends[1]!);
    assert.ok(frames.allHome());
  };
  return { flood, clock, counters, say, batch, close };
}

test('quiet_overheardOnceAMillisecond', () => {
  const { flood, clock, counters, say, batch, close } = make();
  say();
  assert.deepEqual(batch(), [0, 1]);
  say();
  flood.left = 3;
  assert.deepEqual(batch(), [3, 0], 'looked already in this millisecond');
  clock.ms += 1;
  assert.deepEqual(batch(), [0, 1]);
  assert.equal(counters.get('rxOverheard'), 2);
  close();
});

for (const max of [1, 2, 3, BATCH_MAX]) {
  test(`flood_batchesOf${max}AlwaysFull_overheardAllTheSame`, () => {
    const { flood, clock, say, batch, close } = make();
    for (let ms = 0; ms < 20; ms++) {
      flood.left = 1000;
      clock.ms = ms;
      say();
      const [ours, overheard] = batch(max);
      assert.equal(overheard, 1);
      assert.ok(ours >= Math.floor((max * 3) / 4), 'the rest of the batch is not lost to it');
      assert.deepEqual(batch(max), [max, 0]);
    }
    close();
  });
}
