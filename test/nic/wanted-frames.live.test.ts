/**
 * Before the filter: every frame of the table, sent at a real XDP program and a real packet socket.
 * On an interface shared with the kernel each reaches those whom it is for; on a link of our own
 * all of them reach us.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameFile } from '../../src/nic/frame-file.ts';
import { readInterface } from '../../src/nic/privileged/interface.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { openOverhearing } from '../../src/nic/privileged/packet-socket.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { BROADCAST, ipv6, OURS, sendRaw, take } from './at-the-filter.ts';
import { makeVeth, openPacketSocket } from './links.ts';
import { type End, makeEnds, RING } from './suite.ts';
import { WANTED } from './wanted-frames.ts';

enterNamespace();
const skip = needsRoot;

for (const mode of ['native', 'generic'] as const) {
  test(`sharedInterface_everyFrame_reachesWhomItIsFor (${mode})`, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    const { a, b } = makeEnds();
    const given = { ipv4: [OURS], ipv6, ifname: 'ixta', mode, ringEntries: RING };
    const opened = openXdp(a.arena, a.frames, a.counters, given);
    const { index, mac, mtu } = readInterface('ixta');
    const fd = openOverhearing(index, BROADCAST, true);
    const heard = { fd, name: 'overheard', mac, mtu, entries: 1 };
    const ends = {
      ours: { ...a, nic: opened.nic },
      overheard: { ...a, nic: new FrameFile(a.arena, a.frames, a.counters, heard) },
      kernel: { ...b, nic: openPacketSocket(b, 'ixta') },
    };
    const sender: End = { ...b, nic: openPacketSocket(b, 'ixtb') };
    const expected = { ours: [1, 0, 0], both: [0, 1, 1], kernel: [0, 0, 1] };
    for (const { name, frame, way } of WANTED) {
      sendRaw(sender, frame);
      const got = [0, 0, 0];
      const until = performance.now() + 1000;
      const looks = way === 'both' ? 2 : 1;
      while (got[0]! + got[1]! + got[2]! < looks && performance.now() < until) {
        for (const [i, end] of Object.values(ends).entries()) got[i]! += take(end);
      }
      assert.deepEqual(got, expected[way], name);
    }
    // What came after it was found: the last one of each kind may have brought more.
    for (const [name, end] of Object.entries(ends)) assert.equal(take(end), 0, name);
    opened.close();
    for (const end of [ends.overheard, ends.kernel, sender]) end.nic.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  });

  test(`linkOfOurOwn_everyFrame_reachesUs (${mode})`, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    const { a, b } = makeEnds();
    const given = { ipv4: [OURS], everything: true, ifname: 'ixta', mode, ringEntries: RING };
    const opened = openXdp(a.arena, a.frames, a.counters, given);
    const ours: End = { ...a, nic: opened.nic };
    const sender: End = { ...b, nic: openPacketSocket(b, 'ixtb') };
    for (const { name, frame } of WANTED) {
      sendRaw(sender, frame);
      let got = 0;
      const until = performance.now() + 1000;
      while (got === 0 && performance.now() < until) got = take(ours);
      assert.equal(got, 1, name);
    }
    opened.close();
    sender.nic.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  });
}
