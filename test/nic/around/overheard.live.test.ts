/** What is overheard on an interface shared with the kernel: when a thread looks, and no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../../src/arena/clock.ts';
import { SYS, sys } from '../../../src/native/sys.ts';
import { Overheard } from '../../../src/nic/around/overheard.ts';
import { readInterface } from '../../../src/nic/privileged/interface.ts';
import { openXdp } from '../../../src/nic/privileged/open.ts';
import { openOverhearing } from '../../../src/nic/privileged/packet-socket.ts';
import { Struct } from '../../../src/nic/struct.ts';
import { enterNamespace, needsRoot } from '../../control/namespace.ts';
import { BROADCAST, ipv6, OURS, sendRaw, take } from '../at-the-filter.ts';
import { makeVeth, openPacketSocket } from '../links.ts';
import { type End, makeEnds, RING } from '../suite.ts';
import { WANTED } from '../wanted-frames.ts';

enterNamespace();
const skip = needsRoot;

test('overheard_busyThread_looksOnceAMillisecondAndGivesAllFramesBack', { skip }, (t) => {
  t.after(makeVeth('ixta', 'ixtb'));
  const { a, b } = makeEnds();
  const clock = new Clock();
  const given = { ipv4: [OURS], ipv6, ifname: 'ixta', ringEntries: RING };
  const opened = openXdp(a.arena, a.frames, a.counters, given);
  const fd = openOverhearing(readInterface('ixta').index, BROADCAST, true);
  const nic = new Overheard(opened.nic, fd, { ...a, clock });
  assert.deepEqual(nic.fds, [...opened.nic.fds, fd]);
  const ours: End = { ...a, nic };
  const sender: End = { ...b, nic: openPacketSocket(b, 'ixtb') };
  const [request, , , , gratuitous] = WANTED as (typeof WANTED)[number][];
  assert.equal(take(ours), 0);
  for (let i = 0; i < 3; i++) sendRaw(sender, gratuitous!.frame);
  sendRaw(sender, request!.frame);
  let got = 0;
  for (let i = 0; i < 1000; i++) got += take(ours);
  assert.equal(got, 1, 'this millisecond it has looked already');
  clock.ms++;
  for (let i = 0; i < 1000; i++) got += take(ours);
  assert.equal(got, 4);
  assert.equal(a.counters.get('rxOverheard'), 3);
  assert.equal(a.counters.get('rxFrames'), 4);
  assert.ok(a.frames.allHome(nic.receiveLent()));
  nic.close();
  opened.attachment.detach();
  sender.nic.close();
  assert.ok(a.frames.allHome() && b.frames.allHome());
});

test('filterOnceSet_isNotReplacedOrTakenOff', { skip }, (t) => {
  t.after(makeVeth('ixta', 'ixtb'));
  const fd = openOverhearing(readInterface('ixta').index, BROADCAST, true);
  const SOL_SOCKET = 1;
  const SO_ATTACH_FILTER = 26;
  const SO_DETACH_FILTER = 27;
  const EPERM = 1;
  const all = new Struct(8).u16(0, 0x06).u32(4, 0xffff).bytes;
  const program = new Struct(16).u16(0, 1).pointer(8, all).bytes;
  for (const option of [SO_ATTACH_FILTER, SO_DETACH_FILTER]) {
    assert.equal(sys.syscall(SYS.setsockopt, fd, SOL_SOCKET, option, program, 16), -EPERM);
  }
  sys.syscall(SYS.close, fd);
});
