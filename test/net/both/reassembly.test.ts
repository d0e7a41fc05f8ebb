/** Fragments: any order is one datagram, anything dishonest is none, nothing is kept for long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from '../fixture.ts';
import { address } from '../harness.ts';
import { fragments, HOST, icmp, ipFrame, parseIcmp, pattern, reassemble, udp } from '../packets.ts';
import { randomFrom } from '../random.ts';

const UDP = 17;
const MF = 0x2000;

/** A fragment of `length` bytes at `start` of a datagram filled with `pattern`. */
function piece(start: number, length: number, isLast: boolean, fill = 1): Uint8Array {
  const bytes = pattern(start + length, fill).subarray(start);
  return ipFrame(bytes, { protocol: UDP, id: 9, fragment: (isLast ? 0 : MF) | (start >> 3) });
}

test('any_fragmentsInAnyOrder_are_one_datagram', (t) => {
  const random = randomFrom(t);
  const f = new Fixture();
  const socket = f.stack.udp.bind(0, 7, 5);
  for (let round = 0; round < 200; round++) {
    const data = pattern(random.below(1600) + 400, round);
    const mtu = 68 + random.below(300);
    const pieces = fragments(udp(data), { protocol: UDP, id: round }, mtu);
    f.deliver(...random.shuffle(pieces));
    const [event, ...others] = f.events();
    assert.equal(others.length, 0);
    const [kind, handle, cookie, offset, length, ...rest] = event!;
    assert.deepEqual([kind, handle, cookie, length], [7, socket, 5, data.length]);
    assert.deepEqual(rest.slice(3, 6), [address(HOST), (7 << 16) | 4000, 0]);
    assert.deepEqual(f.env.arena.u8.slice(offset!, offset! + length!), data);
    assert.equal(f.stack.udp.recvDone(handle!, offset!), 0);
  }
  assert.equal(f.counted().ipReassembled, 200);
  f.close();
});

test('any_twoDatagramsInterleaved_are_kept_apart', () => {
  const f = new Fixture();
  f.stack.udp.bind(0, 7, 0);
  const a = fragments(udp(pattern(900, 1)), { protocol: UDP, id: 1 }, 400);
  const b = fragments(udp(pattern(900, 2)), { protocol: UDP, id: 2 }, 400);
  a.forEach((frame, i) => {
    f.deliver(frame, b[i]!);
  });
  const got = f.events().map(([, , , offset]) => f.env.arena.u8[offset!]);
  assert.deepEqual(got, [pattern(1, 1)[0], pattern(1, 2)[0]]);
  f.close();
});

test('any_exactDuplicate_is_dropped_alone', () => {
  const f = new Fixture();
  f.stack.udp.bind(0, 7, 0);
  const [first, second, third] = fragments(udp(pattern(900)), { protocol: UDP, id: 1 }, 400);
  f.deliver(first!, first!, third!, first!, second!);
  assert.equal(f.events().length, 1);
  assert.equal(f.counted().ipFragmentDuplicate, 2);
  f.close();
});

for (const [what, frames] of [
  ['partialOverlap', [piece(0, 64, false), piece(56, 64, true)]],
  ['sameRangeOtherBytes', [piece(0, 64, false, 1), piece(0, 64, false, 2)]],
  ['coveringFragment', [piece(16, 16, false), piece(0, 64, false)]],
  ['coveredFragment', [piece(0, 64, false), piece(16, 16, false, 3)]],
] as const) {
  test(`any_${what}_drops_the_whole_datagram`, () => {
    const f = new Fixture();
    f.deliver(...frames);
    assert.deepEqual(f.counted(), { ipFragmentsIn: 2, ipFragmentOverlap: 1 });
    f.pass(31_000);
    assert.deepEqual(f.counted(), {}, 'nothing is left to time out');
    f.close();
  });
}

for (const [what, frames, kept] of [
  ['oddMiddle', [piece(0, 63, false)], 0],
  ['empty', [piece(64, 0, true)], 0],
  ['secondEnd', [piece(64, 16, true), piece(80, 16, true)], 0],
  ['endBelowData', [piece(64, 64, false), piece(32, 16, true)], 0],
  ['dataBeyondEnd', [piece(64, 16, true), piece(128, 16, false)], 0],
] as const) {
  test(`any_${what}_is_dropped_as_bad`, () => {
    const f = new Fixture();
    f.deliver(...frames);
    assert.deepEqual(f.counted(), { ipFragmentsIn: frames.length, ipFragmentBad: 1 });
    f.pass(31_000);
    assert.equal(f.counted().ipReassemblyTimeout ?? 0, kept);
    f.close();
  });
}

test('any_datagramBeyond65535_is_dropped', () => {
  const f = new Fixture();
  f.deliver(ipFrame(pattern(100), { protocol: 1, id: 1, fragment: 0x1fff }));
  assert.deepEqual(f.counted(), { ipFragmentsIn: 1, ipFragmentBad: 1 });
  f.close();
});

test('incomplete_30Seconds_times_out_with_time_exceeded', () => {
  const f = new Fixture();
  f.meetHost();
  const [first, second] = fragments(udp(pattern(900)), { protocol: UDP, id: 1 }, 400);
  f.deliver(second!);
  f.pass(15_000);
  f.deliver(first!);
  f.pass(14_999);
  assert.equal(f.sent().length, 0);
  f.counted();
  f.pass(2);
  const [message] = f.sent();
  const told = parseIcmp(message!);
  assert.deepEqual([told.icmpType, told.code, told.destination], [11, 1, HOST]);
  assert.deepEqual(Array.from(told.data), Array.from(first!.subarray(14)));
  const { ipReassemblyTimeout, icmpTimeExceededOut } = f.counted();
  assert.deepEqual([ipReassemblyTimeout, icmpTimeExceededOut], [1, 1]);
  f.close();
});

test('incompleteWithoutFirst_30Seconds_times_out_in_silence', () => {
  const f = new Fixture();
  f.meetHost();
  f.deliver(piece(64, 16, true));
  f.pass(31_000);
  assert.equal(f.sent().length, 0);
  assert.equal(f.counted().ipReassemblyTimeout, 1);
  f.close();
});

test('full_newDatagram_replaces_the_oldest', () => {
  const f = new Fixture({ limits: { reassemblies: 4 } });
  f.stack.udp.bind(0, 7, 0);
  const halves = [1, 2, 3, 4, 5].map((id) =>
    fragments(udp(pattern(700, id)), { protocol: UDP, id }, 400),
  );
  for (const [first] of halves) f.deliver(first!);
  assert.equal(f.counted().ipReassemblyFull, 1);
  for (const [, second] of halves.slice(1)) f.deliver(second!);
  assert.equal(f.events().length, 4);
  f.close();
});

test('whole_icmpOf65507Bytes_is_answered_in_fragments', () => {
  const f = new Fixture();
  f.meetHost();
  const data = pattern(65_507);
  f.deliver(...fragments(icmp(8, 0, 0x0001_0002, data), { protocol: 1, id: 3 }));
  const answer = reassemble(f.sent());
  assert.deepEqual(answer, icmp(0, 0, 0x0001_0002, data));
  const { ipFragmentsOut, icmpEchoOut } = f.counted();
  assert.deepEqual([ipFragmentsOut, icmpEchoOut], [45, 1]);
  f.close();
});

test('whole_udpBeyondAFrame_is_delivered_truncated', () => {
  const f = new Fixture();
  f.stack.udp.bind(0, 7, 0);
  const data = pattern(5000);
  f.deliver(...fragments(udp(data), { protocol: UDP, id: 3 }));
  const [[, handle, , offset, length, , , , , , isTruncated]] = f.events() as [number[]];
  assert.deepEqual([length, isTruncated], [2048, 1]);
  assert.deepEqual(f.env.arena.u8.slice(offset!, offset! + length!), data.subarray(0, 2048));
  assert.equal(f.stack.udp.recvDone(handle!, offset!), 0);
  assert.ok(f.env.frames.allHome());
  f.close();
});

test('whole_udpWithWrongChecksum_is_dropped', () => {
  const f = new Fixture();
  f.stack.udp.bind(0, 7, 0);
  for (const size of [1800, 5000]) {
    const datagram = udp(pattern(size));
    datagram[size]! ^= 1;
    f.deliver(...fragments(datagram, { protocol: UDP, id: size }));
  }
  assert.equal(f.events().length, 0);
  assert.equal(f.counted().udpBadChecksum, 2);
  f.close();
});

test('whole_segmentBeyondAFrame_is_dropped', () => {
  const f = new Fixture();
  f.deliver(...fragments(pattern(3000), { protocol: 6, id: 3 }));
  assert.equal(f.counted().ipReassemblyTooLong, 1);
  f.deliver(...fragments(pattern(1900), { protocol: 6, id: 4 }));
  assert.equal(f.tcp.segments.length, 1);
  assert.equal(f.tcp.segments[0]![3], 1900);
  f.close();
});

test('whole_noPort_quotes_the_whole_datagram', () => {
  const f = new Fixture();
  f.meetHost();
  f.deliver(...fragments(udp(pattern(700)), { protocol: UDP, id: 3 }, 400));
  const told = parseIcmp(f.sent()[0]!);
  assert.deepEqual([told.icmpType, told.code, told.total], [3, 3, 576]);
  assert.deepEqual([told.data[2], told.data[3], told.data[6]], [(728 >> 8) & 255, 728 & 255, 0]);
  f.close();
});

test('whole_noReceiveFrame_is_counted', () => {
  const f = new Fixture();
  f.stack.udp.bind(0, 7, 0);
  const [first, second] = fragments(udp(pattern(700)), { protocol: UDP, id: 3 }, 400);
  f.deliver(first!);
  const taken: number[] = [];
  while (f.env.frames.receiveFree > 1) taken.push(f.env.frames.takeReceive());
  f.deliver(second!);
  assert.equal(f.counted().rxNoFrame, 1);
  for (const frame of taken) f.env.frames.free(frame);
  f.close();
});
