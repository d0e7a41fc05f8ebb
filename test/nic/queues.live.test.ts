/**
 * AF_XDP on a link of two queues, as elastic threads have them: a socket and pools each, one
 * program.
 *
 * - A veth pair gives a frame of the sender's queue n to the receiver's queue n, which is what
 *   tells them apart here; a NIC does the same by its hash. Native mode only: in generic mode it is
 *   the queue before that, and of two the first gets all.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { AfXdp } from '../../src/nic/afxdp.ts';
import { type Attachment, attachXdp } from '../../src/nic/privileged/attach.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { makeVeth, openPacketSocket } from './links.ts';
import { collect, type End, nicSuite, RING, send, settle } from './suite.ts';

enterNamespace();
const skip = needsRoot;
const QUEUES = 2;
const FRAMES = 1024;
const everything = { ipv4: [], everything: true, ringEntries: RING, mode: 'native' } as const;

nicSuite({
  name: 'af_xdp queue 1',
  skip,
  capacity: RING,
  connect(a, b) {
    const remove = makeVeth('ixta', 'ixtb', QUEUES);
    const options = { ...everything, queue: 1 };
    const first = openXdp(a.arena, a.frames, a.counters, { ...options, ifname: 'ixta' });
    const second = openXdp(b.arena, b.frames, b.counters, { ...options, ifname: 'ixtb' });
    return {
      a: first.nic,
      b: second.nic,
      remove() {
        first.close();
        second.close();
        remove();
      },
    };
  },
});

interface Port {
  attachment: Attachment;
  /** By queue. */
  ends: End[];
  close(): void;
}

/** Every queue of an interface, each with pools of its own, as threads have them. */
function openPort(arena: Arena, ifname: string, queues: readonly number[]): Port {
  const attachment = attachXdp({ ...everything, ifname });
  const { index, mac, mtu } = attachment.interface;
  const ends = queues.map((queue): End => {
    const frames = new Frames(arena, FRAMES, FRAMES);
    const counters = new Counters(arena, `${ifname} ${queue}`);
    const fd = attachment.openSocket();
    const nic = new AfXdp(arena, frames, counters, {
      ...{ fd, ifname, ifindex: index, queue, mac, mtu, ringEntries: RING },
    });
    attachment.enable(queue, fd);
    return { arena, frames, counters, nic };
  });
  const close = (): void => {
    ends.forEach(({ nic, frames }, i) => {
      attachment.disable(queues[i]!);
      nic.close();
      assert.ok(frames.allHome());
    });
    attachment.detach();
  };
  return { attachment, ends, close };
}

function makeArena(): Arena {
  const arena = new Arena(48 * 2 ** 20);
  arena.bindNative();
  return arena;
}

/** What comes on each queue within a moment. */
const collectAll = (ends: readonly End[]): number[][] =>
  ends.map((end) => collect(end, Number.POSITIVE_INFINITY, 100).map(([sequence]) => sequence));

test('twoQueues_eachHasItsOwnFramesBothWays', { skip }, (t) => {
  t.after(makeVeth('ixta', 'ixtb', QUEUES));
  const arena = makeArena();
  const near = openPort(arena, 'ixta', [0, 1]);
  const far = openPort(arena, 'ixtb', [0, 1]);
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    for (let i = 0; i < 100; i++) send(from.ends[i % QUEUES]!, i, 60 + i);
    const [even = [], odd = []] = collectAll(to.ends);
    const sent = Array.from({ length: 100 }, (_, i) => i);
    assert.deepEqual(
      even,
      sent.filter((i) => i % 2 === 0),
    );
    assert.deepEqual(
      odd,
      sent.filter((i) => i % 2 === 1),
    );
  }
  for (const end of [...near.ends, ...far.ends]) settle(end);
  near.close();
  far.close();
});

test('oneSocketCloses_theOtherQueueGoesOnAndItsFramesGoToTheKernel', { skip }, (t) => {
  t.after(makeVeth('ixta', 'ixtb', QUEUES));
  const arena = makeArena();
  const near = openPort(arena, 'ixta', [0, 1]);
  const far = openPort(arena, 'ixtb', [0, 1]);
  const rest = { arena, frames: new Frames(arena, FRAMES, FRAMES) };
  const counters = new Counters(arena, 'kernel');
  const kernel: End = {
    ...{ ...rest, counters },
    nic: openPacketSocket({ ...rest, counters }, 'ixtb'),
  };
  far.attachment.disable(1);
  far.ends[1]!.nic.close();
  for (let i = 0; i < 20; i++) send(near.ends[i % QUEUES]!, i, 60);
  const [first, others] = collectAll([far.ends[0]!, kernel]);
  assert.deepEqual(first, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  assert.deepEqual(others, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
  for (const end of [...near.ends, far.ends[0]!]) settle(end);
  kernel.nic.close();
  near.close();
  far.close();
});
