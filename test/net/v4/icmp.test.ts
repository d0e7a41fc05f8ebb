/** ICMP: what is answered, what is reported, what is believed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from '../fixture.ts';
import { address } from '../harness.ts';
import {
  ethernet,
  fragments,
  HOST,
  HOST_MAC,
  type Ipv4Fields,
  icmp,
  ipFrame,
  ipv4,
  OURS,
  parseIcmp,
  parseIpv4,
  pattern,
  reassemble,
  udp,
} from '../packets.ts';

const ICMP = 1;
const met = (): Fixture => {
  const f = new Fixture();
  f.meetHost();
  f.counted();
  return f;
};

test('any_echo_comes_back_with_its_bytes', () => {
  const f = met();
  for (const size of [0, 1, 2, 55, 56, 1472]) {
    const data = pattern(size, size);
    f.deliver(ipFrame(icmp(8, 0, 0x1234_0007, data), { protocol: ICMP, tos: 0x10, ttl: 3 }));
    const [answer, ...others] = f.sent();
    const told = parseIcmp(answer!);
    assert.equal(others.length, 0);
    assert.deepEqual(
      [told.to, told.source, told.destination, told.tos, told.ttl, told.isSound],
      [HOST_MAC, OURS, HOST, 0x10, 64, true],
    );
    assert.deepEqual(told.payload, icmp(0, 0, 0x1234_0007, data), `${size} bytes`);
  }
  assert.deepEqual(f.counted(), { icmpIn: 6, icmpEchoIn: 6, icmpEchoOut: 6, ipOut: 6 });
  f.close();
});

test('any_echoWhoseChecksumWraps_is_answered_right', () => {
  const f = met();
  for (let i = 0; i < 0x10000; i += 97) {
    const request = icmp(8, 0, i, [i >> 8, i & 255]);
    f.deliver(ipFrame(request, { protocol: ICMP }));
    assert.ok(parseIcmp(f.sent()[0]!).isIcmpSound);
  }
  f.close();
});

test('any_echoOf3000Bytes_is_answered_in_fragments', () => {
  const f = met();
  const data = pattern(3000);
  f.deliver(...fragments(icmp(8, 0, 1, data), { protocol: ICMP, id: 77 }));
  const sent = f.sent();
  assert.equal(sent.length, 3);
  for (const frame of sent) assert.equal(parseIpv4(frame).fragment & 0x4000, 0, 'no DF');
  assert.deepEqual(reassemble(sent), icmp(0, 0, 1, data));
  f.close();
});

test('any_badMessages_are_dropped_by_name', () => {
  const f = met();
  const wrong = icmp(8, 0, 1, [1, 2, 3]);
  wrong[10]! ^= 1;
  f.deliver(ipFrame(wrong, { protocol: ICMP }));
  assert.deepEqual(f.counted(), { icmpIn: 1, icmpBadChecksum: 1 });
  f.deliver(ipFrame(icmp(8, 0, 1, []).subarray(0, 7), { protocol: ICMP }));
  assert.deepEqual(f.counted(), { icmpIn: 1, icmpShort: 1 });
  for (const type of [0, 9, 10, 13, 15, 17, 42]) {
    f.deliver(ipFrame(icmp(type, 0, 1, [1]), { protocol: ICMP }));
  }
  assert.deepEqual(f.counted(), { icmpIn: 7, icmpUnknown: 7 });
  f.deliver(ipFrame(icmp(4, 0, 1, [1]), { protocol: ICMP }));
  f.deliver(ipFrame(icmp(5, 0, 1, [1]), { protocol: ICMP }));
  assert.deepEqual(f.counted(), { icmpIn: 2, icmpErrorsIgnored: 2 });
  assert.equal(f.sent().length, 0);
  f.close();
});

/** A datagram that we might have sent, as an error quotes it. */
function quoted(fields: Ipv4Fields = {}, bytes = 8): Uint8Array {
  const segment = [0x1f, 0x90, 0x00, 0x50, 0x89, 0xab, 0xcd, 0xef, 0, 0].slice(0, bytes);
  return ipv4(segment, { protocol: 6, source: OURS, destination: '8.8.8.8', ...fields });
}
const segmentOf = [address(OURS), 8080, address('8.8.8.8'), 80, 0x89abcdef | 0];

test('any_errorAboutOurSegment_reaches_tcp', () => {
  const f = met();
  for (const [type, code] of [
    [3, 1],
    [3, 3],
    [11, 0],
    [12, 0],
  ] as const) {
    f.deliver(
      ipFrame(icmp(type, code, 0x0000_0578, quoted()), { protocol: ICMP, source: '9.9.9.9' }),
    );
    assert.deepEqual(f.tcp.errors.pop(), [type, code, ...segmentOf, 0]);
  }
  f.deliver(ipFrame(icmp(3, 4, 0x0000_0578, quoted()), { protocol: ICMP }));
  assert.deepEqual(f.tcp.errors.pop(), [3, 4, ...segmentOf, 1400]);
  assert.equal(f.counted().icmpUnreachableIn, 5);
  f.close();
});

test('any_errorAboutForeignPacket_is_not_believed', () => {
  const f = met();
  const wrong: Uint8Array[] = [
    quoted({ source: '10.77.0.9' }),
    quoted({ fragment: 1 }),
    quoted({ versionIhl: 0x65 }),
    quoted({ versionIhl: 0x46 }),
    quoted({ protocol: 1 }),
    quoted({ protocol: 50 }),
    quoted({}, 7),
    quoted({}, 0),
    new Uint8Array(0),
  ];
  for (const quote of wrong) f.deliver(ipFrame(icmp(3, 3, 0, quote), { protocol: ICMP }));
  assert.deepEqual(f.tcp.errors, []);
  assert.equal(f.counted().icmpBadQuote, wrong.length);
  f.close();
});

test('any_errorAboutOurDatagram_is_counted', () => {
  const f = met();
  f.deliver(ipFrame(icmp(3, 3, 0, quoted({ protocol: 17 })), { protocol: ICMP }));
  assert.deepEqual(f.tcp.errors, []);
  assert.equal(f.counted().icmpUnreachableIn, 1);
  f.close();
});

test('noPort_datagram_is_reported_with_up_to_548_bytes', () => {
  const f = met();
  for (const size of [0, 100, 1400]) {
    const packet = ipv4(udp(pattern(size), { port: 9 }), {
      options: size === 100 ? [1, 1, 1, 0] : [],
    });
    f.deliver(ethernet(packet));
    const told = parseIcmp(f.sent()[0]!);
    assert.deepEqual(
      [told.icmpType, told.code, told.isIcmpSound, told.isSound],
      [3, 3, true, true],
    );
    assert.ok(told.total <= 576);
    assert.deepEqual(told.data, packet.subarray(0, 548));
  }
  f.close();
});

test('never_errorAboutAnError', () => {
  const f = met();
  f.stack.icmp.unreachable(placed(f, ipv4(icmp(3, 3, 0, quoted()), { protocol: ICMP })), 2);
  f.stack.icmp.unreachable(placed(f, ipv4(icmp(11, 0, 0, quoted()), { protocol: ICMP })), 2);
  f.stack.icmp.unreachable(placed(f, ipv4(udp([1]), { fragment: 8 })), 3);
  f.stack.icmp.unreachable(placed(f, ipv4(udp([1]), { destination: '10.77.0.255' })), 3);
  f.stack.icmp.unreachable(placed(f, ipv4(udp([1]), { source: '0.0.0.0' })), 3);
  assert.equal(f.sent().length, 0);
  assert.deepEqual(f.counted(), { icmpErrorsIgnored: 5 });
  f.stack.icmp.unreachable(placed(f, ipv4(icmp(8, 0, 0, []), { protocol: ICMP })), 2);
  assert.equal(f.sent().length, 1, 'echo is a question, not an error');
  f.close();
});

/** A packet in application memory, where nothing else looks. */
function placed(f: Fixture, packet: Uint8Array): number {
  const at = f.env.arena.carve('packet', packet.length, 4);
  f.env.arena.u8.set(packet, at);
  return at;
}

test('closedPort_manyDatagramsOfOne_areToldAFewTimes', () => {
  const f = met();
  const frame = ipFrame(udp([1], { port: 9 }));
  for (let i = 0; i < 200; i++) f.deliver(frame);
  const told = f.sent().length;
  assert.ok(told > 4 && told < 30, `${told} errors: ten on average`);
  assert.equal(f.counted().icmpRateLimited, 200 - told);
  f.close();
});

test('unknownSource_error_asks_for_the_neighbour_first', () => {
  const f = new Fixture();
  f.deliver(ipFrame(udp([1], { port: 9 })));
  const [request] = f.sent();
  assert.deepEqual([request![12], request![13]], [8, 6]);
  f.close();
});

test('noTransmitFrames_echo_and_error_are_counted', () => {
  const f = new Fixture({ limits: { transmitFrames: 2 } });
  f.meetHost();
  const taken = [f.env.frames.takeTransmit(), f.env.frames.takeTransmit()];
  f.counted();
  f.deliver(ipFrame(icmp(8, 0, 1, []), { protocol: ICMP }), ipFrame(udp([1])));
  assert.deepEqual(f.counted().txNoFrame, 2);
  for (const frame of taken) f.env.frames.free(frame);
  f.deliver(...fragments(icmp(8, 0, 1, pattern(3000)), { protocol: ICMP, id: 1 }));
  assert.equal(f.sent().length, 0, 'three fragments need three frames: all or none');
  f.close();
});
