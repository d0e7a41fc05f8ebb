/** Real links that go down, come up, and are removed: what their drivers do meanwhile. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Clock } from '../../src/arena/clock.ts';
import { Wheel } from '../../src/arena/wheel.ts';
import { Nap } from '../../src/dataplane/nap.ts';
import { Runner } from '../../src/dataplane/runner.ts';
import type { Nic } from '../../src/nic/nic.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { openTap } from '../../src/nic/privileged/tap.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { bringUp, makeVeth, openPacketSocket, removeLink } from './links.ts';
import { buildFrame, type End, makeEnds, RING } from './suite.ts';

enterNamespace();
const skip = needsRoot;
const ip = (...words: string[]): Buffer => execFileSync('ip', words);

/** So many iterations of an elastic thread, `perMs` a millisecond of the stack's clock. */
function turns(nic: Nic, clock: Clock, count: number, perMs = 1000): void {
  for (let i = 0; i < count; i++) {
    if (i % perMs === 0) clock.ms++;
    nic.reclaim();
    nic.kick();
  }
}

function sendOne(end: End, sequence: number): void {
  end.nic.transmit(buildFrame(end, sequence, 100), 100);
  end.nic.kick();
}

/** Frames that an end has now. */
function taken(end: End): number {
  end.nic.reclaim();
  const count = end.nic.receive(64);
  for (let i = 0; i < count; i++) end.frames.free(end.nic.rxOffsets[i]!);
  return count;
}

for (const mode of ['native', 'generic'] as const) {
  test(`afXdp_interfaceDown_rarelyKicksAndMaySleep_thenUp_sendsAgain (${mode})`, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    const { a, b } = makeEnds();
    const clock = new Clock();
    const given = { ipv4: [], everything: true, ringEntries: RING, ifname: 'ixta', mode, clock };
    const opened = openXdp(a.arena, a.frames, a.counters, given);
    const ours: End = { ...a, nic: opened.nic };
    const peer: End = { ...b, nic: openPacketSocket(b, 'ixtb') };
    ip('link', 'set', 'ixta', 'down');
    sendOne(ours, 1);
    turns(ours.nic, clock, 1_000_000);
    assert.ok(ours.nic.prepareSleep?.(), 'the thread may sleep');
    const kicks = a.counters.get('kicks');
    assert.ok(kicks > 4 && kicks < 20, `${kicks} kicks in a second`);
    assert.equal(a.counters.get('linkRefused'), kicks);
    ip('link', 'set', 'ixta', 'up');
    turns(ours.nic, clock, 300, 1);
    assert.ok(taken(peer) >= 1, 'what waited has left');
    sendOne(ours, 2);
    assert.ok(taken(peer) >= 1);
    opened.close();
    peer.nic.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  });

  test(`afXdp_interfaceRemoved_rarelyKicksAndMaySleep (${mode})`, { skip }, () => {
    makeVeth('ixta', 'ixtb');
    const { a } = makeEnds();
    const clock = new Clock();
    const given = { ipv4: [], everything: true, ringEntries: RING, ifname: 'ixta', mode, clock };
    const opened = openXdp(a.arena, a.frames, a.counters, given);
    const ours: End = { ...a, nic: opened.nic };
    removeLink('ixtb');
    sendOne(ours, 1);
    turns(ours.nic, clock, 1_000_000);
    assert.ok(ours.nic.prepareSleep?.());
    assert.ok(a.counters.get('kicks') < 20);
    opened.close();
    assert.ok(a.frames.allHome());
  });
}

test('tap_interfaceDown_dropsAndCounts_thenUp_sendsAgain', { skip }, () => {
  const { a, b } = makeEnds();
  const nic = openTap(a.arena, a.frames, a.counters, { ifname: 'ixtap', entries: RING });
  bringUp('ixtap');
  const ours: End = { ...a, nic };
  ip('link', 'set', 'ixtap', 'down');
  sendOne(ours, 1);
  assert.equal(a.counters.get('txLinkDown'), 1);
  assert.equal(a.counters.get('txFull'), 0);
  assert.ok(nic.prepareSleep() && !nic.isGone());
  ip('link', 'set', 'ixtap', 'up');
  const kernel: End = { ...b, nic: openPacketSocket(b, 'ixtap') };
  sendOne(ours, 2);
  assert.equal(taken(kernel), 1);
  kernel.nic.close();
  nic.close();
  assert.ok(a.frames.allHome() && b.frames.allHome());
});

test('tap_deviceRemoved_threadSleeps', { skip }, async () => {
  const { a } = makeEnds();
  const nic = openTap(a.arena, a.frames, a.counters, { ifname: 'ixgone', entries: RING });
  bringUp('ixgone');
  let now = 0;
  let failure: unknown;
  const thread = {
    get us(): number {
      return now;
    },
    readClock(): number {
      now = (performance.now() * 1000) | 0;
      return now;
    },
    turn(): number {
      this.readClock();
      nic.reclaim();
      return nic.receive(64);
    },
  };
  const runner = new Runner({
    ...{ thread: thread as never, nic, counters: a.counters, policy: 'adaptive' },
    wheel: new Wheel(a.arena, 1),
    nap: new Nap(a.arena, nic.fds, undefined),
    failed: (error) => {
      failure = error;
    },
  });
  runner.start();
  await sleep(50);
  removeLink('ixgone');
  await sleep(100);
  const before = a.counters.get('sleeps');
  await sleep(500);
  const woken = a.counters.get('sleeps') - before;
  runner.stop();
  assert.equal(failure, undefined);
  assert.ok(nic.isGone());
  assert.ok(woken <= 2, `woken ${woken} times by a device that is not there`);
  nic.close();
  assert.ok(a.frames.allHome());
});
