/** AF_XDP against fake-kernel.ts: the rings as other kernels and drivers treat them. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Arena } from '../../src/arena/arena.ts';
import { Frames } from '../../src/arena/frames.ts';
import { Counters } from '../../src/counters.ts';
import { BATCH_MAX } from '../../src/limits.ts';
import { EAGAIN, EBUSY, EINVAL, ENOBUFS } from '../../src/native/sys.ts';
import { AfXdp, type AfXdpOptions } from '../../src/nic/afxdp.ts';
import { NIC_REFUSED, NicError } from '../../src/nic/errors.ts';
import {
  type Behaviour,
  COPY,
  FakeKernel,
  IGB_ZERO_COPY,
  LINUX_6_1,
  LINUX_6_18,
  VIRTIO_ZERO_COPY,
  ZEROCOPY,
} from './fake-kernel.ts';
import { buildFrame, checkFrame, type End, RING } from './suite.ts';

interface Bench extends End {
  nic: AfXdp;
  kernel: FakeKernel;
}

type Wanted = Partial<Pick<AfXdpOptions, 'ringEntries' | 'lend' | 'copy' | 'copyWhy'>>;

/** A socket that is not bound yet, in a kernel that does so; `open` binds it. */
function socketIn(t: TestContext, how: Behaviour, wanted: Wanted = {}) {
  const arena = new Arena(24 * 2 ** 20);
  arena.bindNative();
  const frames = new Frames(arena, 2048, 1024);
  const counters = new Counters(arena, 'counters');
  const kernel = new FakeKernel(arena, how);
  kernel.install();
  let nic: AfXdp | undefined;
  const open = (): AfXdp => {
    nic = new AfXdp(arena, frames, counters, {
      ...{ fd: kernel.fd, ifindex: 1, ifname: 'fake', queue: 0, mac: new Uint8Array(6), mtu: 1500 },
      ...{ ringEntries: RING, ...wanted },
    });
    return nic;
  };
  t.after(() => {
    nic?.close();
    kernel.remove();
    assert.ok(frames.allHome(), 'all frames home after close');
    assert.equal(kernel.isOpen, false, 'the socket is closed');
  });
  return { arena, frames, counters, kernel, open };
}

function bound(t: TestContext, how: Behaviour, wanted: Wanted = {}): Bench {
  const { open, ...parts } = socketIn(t, how, wanted);
  return { ...parts, nic: open() };
}

function transmit(bench: Bench, count: number, first = 0): void {
  for (let i = 0; i < count; i++) bench.nic.transmit(buildFrame(bench, first + i, 60), 60);
}

/** Sequence numbers of what was transmitted. */
const onWire = ({ kernel }: Bench): number[] =>
  kernel.wire.map((frame) => new DataView(frame.buffer).getUint32(14));
const upTo = (count: number): number[] => [...Array(count).keys()];

const LATER: Behaviour = { ...LINUX_6_1, completesLater: true };

for (const [name, how] of [
  ['6.1', LINUX_6_1],
  ['6.1 with a NIC that completes later', LATER],
  ['6.18', LINUX_6_18],
] as const) {
  test(`linux ${name}: batchOf64_oneKick_allLeave`, (t) => {
    const bench = bound(t, how);
    for (let round = 1; round <= 20; round++) {
      transmit(bench, BATCH_MAX, (round - 1) * BATCH_MAX);
      bench.nic.kick();
      assert.deepEqual(onWire(bench), upTo(round * BATCH_MAX));
      bench.kernel.complete();
      bench.nic.reclaim();
    }
    assert.equal(bench.nic.prepareSleep(), true, 'nothing waits');
    assert.equal(bench.counters.get('txFull'), 0);
  });
}

for (const [name, how] of [
  ['6.1', LINUX_6_1],
  ['6.18', LINUX_6_18],
] as const) {
  test(`linux ${name}: fullRing_oneKick_allLeaveAndTheRingTakesAsManyAgain`, (t) => {
    const bench = bound(t, how);
    for (const round of [0, 1, 2]) {
      transmit(bench, RING, round * RING);
      assert.equal(bench.counters.get('txFull'), 0, `round ${round}`);
      bench.nic.kick();
      assert.equal(bench.kernel.wire.length, (round + 1) * RING);
      bench.nic.reclaim();
    }
    assert.ok(bench.frames.allHome(bench.nic.receiveLent()));
    transmit(bench, RING + 100, 5000);
    assert.equal(bench.counters.get('txFull'), 100, 'and no more than that');
    bench.nic.kick();
  });
}

test('lazyConsumer_ringHalfSent_whatCompletedMakesRoom', (t) => {
  const bench = bound(t, LATER);
  transmit(bench, RING);
  bench.nic.kick();
  const sent = bench.kernel.wire.length;
  assert.ok(sent >= 64 && sent < RING, `${sent} left`);
  assert.equal(bench.nic.prepareSleep(), false, 'the rest waits');
  bench.kernel.complete(32);
  bench.nic.reclaim();
  transmit(bench, 33, RING);
  assert.equal(bench.counters.get('txFull'), 1, 'what came back has left the ring');
  for (let turn = 0; turn < 20 && !bench.nic.prepareSleep(); turn++) {
    bench.nic.kick();
    bench.kernel.complete();
    bench.nic.reclaim();
  }
  assert.deepEqual(onWire(bench), upTo(RING + 32));
  assert.ok(bench.frames.allHome(bench.nic.receiveLent()));
});

test('busyDevice_nothingLeaves_kicksAreFewAndTheRestWaits', (t) => {
  const bench = bound(t, LINUX_6_1);
  transmit(bench, 256);
  bench.kernel.kickAnswers = Array(100).fill(-EAGAIN);
  bench.nic.kick();
  assert.ok(bench.kernel.kicks <= 4, `${bench.kernel.kicks} kicks`);
  assert.equal(bench.nic.prepareSleep(), false);
  assert.ok(bench.counters.get('kickAgain') > 0);
  bench.kernel.kickAnswers = [];
  bench.nic.kick();
  assert.deepEqual(onWire(bench), upTo(256), 'and goes when it can');
  assert.equal(bench.nic.prepareSleep(), true);
});

test('refusedKick_otherReason_notRepeatedAtOnce', (t) => {
  const bench = bound(t, LINUX_6_18);
  transmit(bench, 10);
  bench.kernel.kickAnswers = [-ENOBUFS];
  bench.nic.kick();
  assert.equal(bench.kernel.kicks, 1);
  assert.equal(bench.nic.prepareSleep(), false);
  bench.nic.kick();
  assert.deepEqual(onWire(bench), upTo(10));
});

test('ringsOf64_burstsOfAllSizes_eachLeavesWhole', (t) => {
  const bench = bound(t, LINUX_6_1, { ringEntries: 64 });
  let sent = 0;
  for (let round = 0; round < 100; round++) {
    const count = 1 + ((round * 7) % 64);
    transmit(bench, count, sent);
    bench.nic.kick();
    bench.nic.reclaim();
    sent += count;
  }
  assert.deepEqual(onWire(bench), upTo(sent));
});

/** A frame of ours as the other end sends it. */
function frameFrom(bench: Bench, sequence: number, length: number): Uint8Array {
  const offset = buildFrame(bench, sequence, length);
  const frame = bench.arena.u8.slice(offset, offset + length);
  bench.frames.free(offset);
  return frame;
}

function received(bench: Bench): number[] {
  const got: number[] = [];
  const count = bench.nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) {
    got.push(checkFrame(bench, bench.nic.rxOffsets[i]!, bench.nic.rxLengths[i]!));
    bench.frames.free(bench.nic.rxOffsets[i]!);
  }
  bench.nic.reclaim();
  return got;
}

for (const [name, how] of [
  ['linux 6.1', LINUX_6_1],
  ['linux 6.18', LINUX_6_18],
  ['virtio zero-copy', VIRTIO_ZERO_COPY],
  ['igb zero-copy', IGB_ZERO_COPY],
] as const) {
  test(`${name}: bound_framesCome_allAreReceived`, (t) => {
    const bench = bound(t, how);
    for (let i = 0; i < 2000; i++) {
      assert.ok(bench.kernel.deliver(frameFrom(bench, i, 60 + (i % 1400))), `frame ${i} is lost`);
      assert.deepEqual(received(bench), [i]);
    }
    assert.equal(bench.counters.get('rxFrames'), 2000);
  });
}

const wish = (how: Behaviour, copy?: AfXdpOptions['copy']) => (t: TestContext) => {
  const bench = bound(t, how, { ...(copy && { copy }), copyWhy: 'not wished' });
  const { nic, kernel } = bench;
  return { ...nic.copied, binds: kernel.binds.map((f) => f & BOTH) };
};
const BOTH = COPY | ZEROCOPY;

test('auto_zeroCopyGranted_isZeroCopyWithoutAReason', (t) => {
  const granted = { zeroCopy: true, why: '', binds: [ZEROCOPY] };
  assert.deepEqual(wish(VIRTIO_ZERO_COPY)(t), granted);
});

test('auto_zeroCopyRefused_isCopyWithTheKernelsReason', (t) => {
  const { why, ...rest } = wish(LINUX_6_18)(t);
  assert.deepEqual(rest, { zeroCopy: false, binds: [ZEROCOPY, COPY] });
  assert.match(why, /zero-copy refused: ENOTSUP/);
});

test('auto_driverIsPicky_isCopyWithTheKernelsReason', (t) => {
  const { why, zeroCopy } = wish({ ...LINUX_6_18, zeroCopy: 'picky' })(t);
  assert.equal(zeroCopy, false);
  assert.match(why, /zero-copy refused: EINVAL/);
});

test('copyWished_zeroCopyAvailable_isCopyForTheGivenReason', (t) => {
  const copied = { zeroCopy: false, why: 'not wished', binds: [COPY] };
  assert.deepEqual(wish(VIRTIO_ZERO_COPY, 'copy')(t), copied);
});

for (const [errno, zeroCopy] of [
  ['has no zero-copy', 'none'],
  ['the driver refuses it', 'picky'],
] as const) {
  test(`zeroCopyInsisted_${zeroCopy}_saysSoAndBindsNothingElse`, (t) => {
    const { kernel, open } = socketIn(t, { ...LINUX_6_18, zeroCopy }, { copy: 'zerocopy' });
    assert.throws(open, (error) => {
      assert.ok(error instanceof NicError);
      assert.equal(error.code, NIC_REFUSED.refused);
      assert.ok(error.message.includes(errno) && error.message.includes('--xdp zerocopy'));
      return !error.message.includes('\n');
    });
    assert.deepEqual(
      kernel.binds.map((flags) => flags & BOTH),
      [ZEROCOPY],
    );
  });
}

test('everyBindRefused_framesComeHomeAndTheSocketCloses', (t) => {
  for (const errno of [EINVAL, ENOBUFS, 100]) {
    const { kernel, open, frames } = socketIn(t, LINUX_6_18);
    kernel.bindAnswers = Array(10).fill(-errno);
    assert.throws(open, NicError);
    assert.ok(frames.allHome(), `errno ${errno}`);
    assert.equal(kernel.isOpen, false);
    kernel.remove();
  }
});

test('busyQueue_freedAMomentLater_isBound', (t) => {
  const { kernel, open } = socketIn(t, VIRTIO_ZERO_COPY);
  kernel.bindAnswers = Array(5).fill(-EBUSY);
  assert.equal(open().copied.zeroCopy, true);
  assert.equal(kernel.binds.length, 6);
});

test('busyQueue_staysBusy_isRefusedInEitherMode', (t) => {
  const { kernel, open } = socketIn(t, VIRTIO_ZERO_COPY);
  kernel.bindAnswers = Array(100_000).fill(-EBUSY);
  assert.throws(open, (error) => (error as NicError).code === NIC_REFUSED.queueBusy);
});

test('copyMode_fillRingEmpty_eachLostFrameIsCountedOnce', (t) => {
  const bench = bound(t, LINUX_6_18, { lend: 8 });
  const frames = Array.from({ length: 20 }, (_, i) => frameFrom(bench, i, 60));
  const lost = frames.filter((frame) => !bench.kernel.deliver(frame)).length;
  assert.equal(lost, 12);
  const drops = bench.nic.kernelDrops();
  assert.deepEqual(drops, { rxDropped: 0, rxRingFull: 0, fillRingEmpty: 12 });
  received(bench);
});

test('zeroCopy_nicLooksForBuffersInVain_isNoLoss', (t) => {
  const bench = bound(t, VIRTIO_ZERO_COPY, { lend: 64 });
  for (let i = 0; i < 100; i++) {
    assert.ok(bench.kernel.deliver(frameFrom(bench, i, 60)));
    received(bench);
  }
  assert.ok(bench.nic.statistics().fillRingEmpty > 0, 'the kernel counts it');
  assert.deepEqual(bench.nic.kernelDrops(), { rxDropped: 0, rxRingFull: 0 });
});

test('received_ofNoLengthThatAFrameHas_isCountedAsShortOrTooLong', (t) => {
  const bench = bound(t, LINUX_6_18);
  for (const length of [0, 13, 14, 1790, 1791]) bench.kernel.deliver(new Uint8Array(length));
  const count = bench.nic.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) bench.frames.free(bench.nic.rxOffsets[i]!);
  assert.equal(count, 2);
  assert.equal(bench.counters.get('rxShort'), 2);
  assert.equal(bench.counters.get('rxTooLong'), 1);
});
