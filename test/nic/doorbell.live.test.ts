/**
 * The doorbell of an AF_XDP transmit ring is a write(2) of nothing: the kernel hears and answers as
 * it does a sendto(2) of nothing, in both modes.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { callNumber } from '../../src/confine/seccomp-numbers.ts';
import { must, SYS, sys } from '../../src/native/sys.ts';
import { attachXdp } from '../../src/nic/privileged/attach.ts';
import { openXdp } from '../../src/nic/privileged/open.ts';
import { enterNamespace, needsRoot } from '../control/namespace.ts';
import { makeVeth } from './links.ts';
import { buildFrame, collect, type End, makeEnds, RING, settle } from './suite.ts';

enterNamespace();
const skip = needsRoot;
const MSG_DONTWAIT = 0x40;
const [F_GETFL, F_SETFL, O_NONBLOCK] = [3, 4, 0o4000];
const [EBADF, ENXIO, EOPNOTSUPP, ENETDOWN] = [9, 6, 95, 100];
const [SOL_XDP, XDP_MAX_TX_SKB_BUDGET] = [283, 9];
const BUDGET = 32;
const FIONREAD = 0x541b;

/** What a kick says; sendto(2) must say the same. */
function answer(fd: number, flags = MSG_DONTWAIT): number {
  const said = sys.kick(fd);
  assert.equal(sys.syscall(callNumber('sendto'), fd, 0, 0, flags, 0, 0), said, 'sendto');
  return said;
}

for (const mode of ['native', 'generic'] as const) {
  test(`kick_whateverStateTheSocketIsIn_saysWhatSendtoSays (${mode})`, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    const { a } = makeEnds();
    const options = { ipv4: [], everything: true, ringEntries: RING, ifname: 'ixta', mode };
    const { nic, close } = openXdp(a.arena, a.frames, a.counters, options);
    const [fd] = nic.fds as [number];
    const flags = must(sys.syscall(SYS.fcntl, fd, F_GETFL, 0), 'F_GETFL');
    assert.equal(flags & O_NONBLOCK, O_NONBLOCK);
    assert.equal(answer(fd), 0, 'nothing to send');
    must(sys.syscall(SYS.fcntl, fd, F_SETFL, flags & ~O_NONBLOCK), 'F_SETFL');
    assert.equal(answer(fd, 0), -EOPNOTSUPP, 'one that would wait');
    must(sys.syscall(SYS.fcntl, fd, F_SETFL, flags), 'F_SETFL');
    execFileSync('ip', ['link', 'set', 'ixta', 'down']);
    assert.equal(answer(fd), -ENETDOWN);
    execFileSync('ip', ['link', 'set', 'ixta', 'up']);
    assert.equal(answer(fd), 0);
    close();
    assert.ok(a.frames.allHome());
    assert.equal(answer(fd), -EBADF);
  });

  test(`kick_moreThanOneSends_saysAgainUntilAllLeft_eachOnce (${mode})`, { skip }, (t) => {
    t.after(makeVeth('ixta', 'ixtb'));
    const { arena, a, b } = makeEnds();
    const options = { ipv4: [], everything: true, ringEntries: RING, mode };
    const first = openXdp(arena, a.frames, a.counters, { ...options, ifname: 'ixta' });
    const second = openXdp(arena, b.frames, b.counters, { ...options, ifname: 'ixtb' });
    const [left, right]: [End, End] = [
      { ...a, nic: first.nic },
      { ...b, nic: second.nic },
    ];
    // As before 6.17, where it is no option.
    const budget = Int32Array.of(BUDGET);
    const [fd] = first.nic.fds as [number];
    sys.syscall(SYS.setsockopt, fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, budget, 4);
    const count = 2 * BUDGET;
    for (let i = 0; i < count; i++) first.nic.transmit(buildFrame(left, i, 60), 60);
    first.nic.kick();
    assert.ok(a.counters.get('kickAgain') > 0, 'EAGAIN');
    assert.equal(first.nic.prepareSleep?.(), true, 'all of them left');
    const came = collect(right, count).map(([sequence]) => sequence);
    assert.deepEqual(
      came,
      Array.from({ length: count }, (_, i) => i),
    );
    assert.equal(collect(right, 1, 10).length, 0, 'once');
    settle(left);
    first.close();
    second.close();
    assert.ok(a.frames.allHome() && b.frames.allHome());
  });
}

test('kick_socketThatIsNotBound_enxio', { skip }, (t) => {
  t.after(makeVeth('ixta', 'ixtb'));
  const attachment = attachXdp({ ifname: 'ixta', ipv4: [], everything: true });
  const fd = attachment.openSocket();
  assert.equal(answer(fd), -ENXIO);
  // By this a case of test/attacks/cases/kernel.ts tells it from other sockets.
  assert.ok(sys.syscall(SYS.ioctl, fd, FIONREAD, new Uint8Array(4)) < 0, 'FIONREAD');
  sys.syscall(SYS.close, fd);
  attachment.detach();
});
