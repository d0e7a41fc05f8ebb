/** The cable: the shared suite in one process; two arenas; two processes; a hostile other end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FRAME_BYTES } from '../../src/limits.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE, sys } from '../../src/native/sys.ts';
import { Cable, closeCable, makeCable } from '../../src/nic/cable.ts';
import { collect, type End, makeEnds, nicSuite, RING, send, settle } from './suite.ts';

/** What the process of cable-echo.ts goes by; the word of a cable that says side 1 is asleep. */
const SLEEP_EVERY = 10;
const ASLEEP_1 = 32;

nicSuite({
  name: 'cable',
  skip: false,
  capacity: RING,
  connect: (a, b) => {
    const parts = makeCable(RING);
    return {
      a: new Cable(a.arena, a.frames, a.counters, parts, 0),
      b: new Cable(b.arena, b.frames, b.counters, parts, 1),
      remove: () => closeCable(parts),
    };
  },
});

test('cable: two arenas are joined', () => {
  const parts = makeCable(64);
  const [first, second] = [makeEnds(), makeEnds()];
  first.arena.bindNative(); // mapping needs the arena it maps into
  const a: End = {
    ...first.a,
    nic: new Cable(first.arena, first.a.frames, first.a.counters, parts, 0),
  };
  second.arena.bindNative();
  const nic = new Cable(second.arena, second.a.frames, second.a.counters, parts, 1);
  const b: End = { ...second.a, nic };
  for (let i = 0; i < 200; i++) {
    send(a, i, 60 + i);
    send(b, i, 1514 - i);
    assert.deepEqual(collect(b, 1), [[i, 60 + i]]);
    assert.deepEqual(collect(a, 1), [[i, 1514 - i]]);
  }
  settle(a);
  settle(b);
  b.nic.close();
  first.arena.bindNative();
  a.nic.close();
  closeCable(parts);
});

test('cable: an end opened anew goes on where the last one stopped', () => {
  const parts = makeCable(64);
  const ends = makeEnds();
  const open = (end: Omit<End, 'nic'>, side: 0 | 1): End => ({
    ...end,
    nic: new Cable(end.arena, end.frames, end.counters, parts, side),
  });
  const a = open(ends.a, 0);
  let b = open(ends.b, 1);
  send(a, 1, 60);
  assert.equal(collect(b, 1).length, 1);
  b.nic.close();
  send(a, 2, 60);
  b = open(ends.b, 1);
  assert.deepEqual(collect(b, 1), [[2, 60]]);
  send(b, 3, 60);
  assert.deepEqual(collect(a, 1), [[3, 60]]);
  settle(a);
  settle(b);
  a.nic.close();
  b.nic.close();
  closeCable(parts);
});

test('cable: garbage from the other end is dropped and counted', () => {
  const entries = 64;
  const parts = makeCable(entries);
  const ends = makeEnds();
  const b: End = {
    ...ends.b,
    nic: new Cable(ends.b.arena, ends.b.frames, ends.b.counters, parts, 1),
  };
  // The other end writes as it likes.
  const bytes = 4096 + 2 * (128 + entries * FRAME_BYTES);
  const shared = sys.map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, parts.memoryFd, 0);
  const words = new Int32Array(shared as ArrayBuffer, 4096);
  const lengths = [0, -1, 13, 2033, 0x7fffffff, -0x80000000];
  lengths.forEach((length, i) => {
    words[32 + (i * FRAME_BYTES) / 4] = length;
  });
  Atomics.store(words, 0, lengths.length);
  assert.equal(b.nic.receive(64), 0);
  assert.equal(b.counters.get('rxShort'), 4);
  assert.equal(b.counters.get('rxTooLong'), 2);
  for (const index of [lengths.length + entries + 1, -5, 0x7fffffff, -0x80000000]) {
    Atomics.store(words, 0, index);
    assert.equal(b.nic.receive(64), 0, `index ${index} counts as nothing new`);
  }
  Atomics.store(words, 0, lengths.length);
  // An index of frames taken that never were: the ring counts as full, nothing else happens.
  const taken = 32 + (entries * FRAME_BYTES) / 4 + 16;
  for (const index of [1, -1, 0x7fffffff, -0x80000000]) {
    Atomics.store(words, taken, index);
    for (let i = 0; i < 2 * entries; i++) send(b, i, 60);
  }
  assert.ok(b.counters.get('txFull') > 0);
  settle(b);
  b.nic.close();
  closeCable(parts);
  assert.ok(b.frames.allHome());
});

test('cable: two processes, a sleeping one woken, an awake one not', {
  timeout: 120_000, // two that spin, on a machine whose cores are all busy: 9 s were seen
}, async (t) => {
  const parts = makeCable(64);
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('cable-echo.ts', import.meta.url))],
    { stdio: ['ignore', 'pipe', 'inherit', parts.memoryFd, ...parts.wakeFds] },
  );
  const exited = once(child, 'exit');
  t.after(() => child.kill('SIGKILL')); // it would spin for ever
  await once(child.stdout!, 'data'); // ready
  const ends = makeEnds();
  const a: End = {
    ...ends.a,
    nic: new Cable(ends.a.arena, ends.a.frames, ends.a.counters, parts, 0),
  };
  const shared = sys.map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, parts.memoryFd, 0);
  const flags = new Int32Array(shared as ArrayBuffer);
  const rounds = 100;
  for (let i = 0; i < rounds; i++) {
    send(a, i, 60 + ((i * 17) % 1400));
    assert.deepEqual(collect(a, 1, 20_000), [[i, 60 + ((i * 17) % 1400)]]);
    if (i % SLEEP_EVERY !== 0) continue;
    while (Atomics.load(flags, ASLEEP_1) === 0)
      await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.equal(a.counters.get('kicks'), rounds / SLEEP_EVERY, 'once for each sleep, never else');
  send(a, 0xffff_ffff, 60); // the end
  const [status] = await exited;
  assert.equal(status, 0);
  settle(a);
  a.nic.close();
  closeCable(parts);
});
