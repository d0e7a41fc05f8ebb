/** What the IPv4 border lets in: each rule of RFC 1122 3.2.1, in the order of the checks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CounterName } from '../../src/counters.ts';
import { KEEP_FRAME } from '../../src/net/both/environment.ts';
import { Fixture } from './fixture.ts';
import { address } from './harness.ts';
import {
  arp,
  type EthernetFields,
  EVERYBODY,
  ethernet,
  HOST,
  type Ipv4Fields,
  icmp,
  ipFrame,
  ipv4,
  OURS,
  parseIcmp,
  udp,
} from './packets.ts';

const TCP = 6;
const segment = new Uint8Array(20).fill(0x5a);

test('any_segmentForUs_reaches_tcp_with_its_offsets', () => {
  const f = new Fixture();
  f.deliver(ipFrame(segment, { protocol: TCP }));
  const [frame, ip, start, bytes, source, destination] = f.tcp.segments[0]!;
  assert.equal(ip! - frame!, 14);
  assert.equal(start! - ip!, 20);
  assert.deepEqual([bytes, source, destination], [20, address(HOST), address(OURS)]);
  f.close();
});

test('any_ethernetPadding_is_trimmed', () => {
  const f = new Fixture();
  const padded = new Uint8Array(60);
  padded.set(ipFrame(segment, { protocol: TCP }));
  f.deliver(padded);
  assert.equal(f.tcp.segments[0]![3], 20);
  f.close();
});

test('any_options_are_skipped', () => {
  const f = new Fixture();
  const options = [1, 7, 7, 4, 0, 0, 0, 0]; // no-op, record route with no room
  f.deliver(ipFrame(segment, { protocol: TCP, options }));
  const [, ip, start, bytes] = f.tcp.segments[0]!;
  assert.deepEqual([start! - ip!, bytes], [28, 20]);
  f.close();
});

test('tcpKeepsFrame_receive_does_not_free_it', () => {
  const f = new Fixture();
  f.tcp.answer = KEEP_FRAME;
  f.deliver(ipFrame(segment, { protocol: TCP }));
  assert.equal(f.env.frames.receiveFree, f.env.frames.receiveCount - 1);
  f.close();
});

test('any_ttlZero_is_counted_and_accepted', () => {
  const f = new Fixture();
  f.deliver(
    ipFrame(segment, { protocol: TCP, ttl: 0 }),
    ipFrame(segment, { protocol: TCP, ttl: 1 }),
  );
  assert.equal(f.tcp.segments.length, 2);
  assert.deepEqual(f.counted(), { ipTtlZero: 1 });
  f.close();
});

const drops: [string, CounterName, Ipv4Fields, EthernetFields?][] = [
  ['version6', 'ipBadVersion', { versionIhl: 0x65 }],
  ['version0', 'ipBadVersion', { versionIhl: 0x05 }],
  ['headerOf16Bytes', 'ipBadHeaderLength', { versionIhl: 0x44 }],
  ['headerLongerThanPacket', 'ipBadHeaderLength', { versionIhl: 0x4f }],
  ['totalBelowHeader', 'ipBadLength', { total: 19 }],
  ['totalBeyondFrame', 'ipBadLength', { total: 41 }],
  ['wrongChecksum', 'ipBadChecksum', { checksum: 0x1234 }],
  ['wrongChecksumWithOptions', 'ipBadChecksum', { checksum: 0x1234, options: [1, 1, 1, 0] }],
  ['looseSourceRoute', 'ipBadOption', { options: [131, 7, 4, 10, 0, 0, 1, 0] }],
  ['strictSourceRoute', 'ipBadOption', { options: [1, 137, 7, 4, 10, 0, 0, 1] }],
  ['optionOfLength0', 'ipBadOption', { options: [7, 0, 0, 0] }],
  ['optionOfLength1', 'ipBadOption', { options: [7, 1, 0, 0] }],
  ['optionBeyondHeader', 'ipBadOption', { options: [1, 7, 4, 0] }],
  ['optionWithoutLength', 'ipBadOption', { options: [1, 1, 1, 7] }],
  ['otherDestination', 'ipNotForUs', { destination: '10.77.0.3' }],
  ['multicastDestination', 'ipNotForUs', { destination: '224.0.0.1' }, { to: '01:00:5e:00:00:01' }],
  ['ownAddressByLinkBroadcast', 'ipLinkBroadcast', {}, { to: EVERYBODY }],
  ['limitedBroadcast', 'ipBroadcastIgnored', { destination: '255.255.255.255' }, { to: EVERYBODY }],
  ['directedBroadcast', 'ipBroadcastIgnored', { destination: '10.77.0.255' }, { to: EVERYBODY }],
  ['sourceOurs', 'ipBadSource', { source: OURS }],
  ['sourceZero', 'ipBadSource', { source: '0.0.0.0' }],
  ['sourceLoopback', 'ipBadSource', { source: '127.0.0.1' }],
  ['sourceMulticast', 'ipBadSource', { source: '224.0.0.5' }],
  ['sourceClassE', 'ipBadSource', { source: '240.0.0.1' }],
  ['sourceLimitedBroadcast', 'ipBadSource', { source: '255.255.255.255' }],
  ['sourceDirectedBroadcast', 'ipBadSource', { source: '10.77.0.255' }],
];
for (const [what, counter, fields, frame] of drops) {
  test(`any_${what}_is_dropped_as_${counter}`, () => {
    const f = new Fixture();
    f.meetHost();
    f.counted();
    f.deliver(ipFrame(segment, { protocol: TCP, ...fields }, frame));
    assert.deepEqual(f.tcp.segments, []);
    assert.equal(f.sent().length, 0);
    assert.deepEqual(f.counted(), { [counter]: 1 });
    f.close();
  });
}

test('order_manyFaults_are_counted_by_the_first', () => {
  const faults: Ipv4Fields = {
    versionIhl: 0x64,
    total: 10,
    checksum: 1,
    destination: '1.2.3.4',
    source: '127.0.0.1',
  };
  const cures: [CounterName, Ipv4Fields][] = [
    ['ipBadVersion', { versionIhl: 0x44 }],
    ['ipBadHeaderLength', { versionIhl: 0x45 }],
    ['ipBadLength', { total: 40 }],
    ['ipBadChecksum', { checksum: undefined as unknown as number }],
    ['ipNotForUs', { destination: OURS }],
    ['ipBadSource', { source: HOST }],
  ];
  const f = new Fixture();
  let fields = faults;
  for (const [counter, cure] of cures) {
    f.deliver(ipFrame(segment, { protocol: TCP, ...fields }));
    assert.deepEqual(f.counted(), { [counter]: 1 });
    fields = { ...fields, ...cure };
  }
  f.deliver(ipFrame(segment, { protocol: TCP, ...fields }));
  assert.equal(f.tcp.segments.length, 1);
  f.close();
});

test('any_truncatedAnywhere_is_dropped_and_counted_once', () => {
  const f = new Fixture();
  const whole = ipFrame(segment, { protocol: TCP });
  for (let length = 0; length < whole.length; length++) {
    f.deliver(whole.subarray(0, length));
    const counted = f.counted();
    const expected = length < 14 ? 'ethShort' : length < 34 ? 'ipShort' : 'ipBadLength';
    assert.deepEqual(counted, { [expected]: 1 }, `${length} bytes`);
  }
  assert.equal(f.tcp.segments.length, 0);
  f.close();
});

test('any_frameForAnotherMac_is_dropped', () => {
  const f = new Fixture();
  f.deliver(ipFrame(segment, { protocol: TCP }, { to: '02:00:00:00:00:03' }));
  f.deliver(ipFrame(segment, { protocol: TCP }, { to: '02:00:00:00:01:02' }));
  assert.deepEqual(f.counted(), { ethNotForUs: 2 });
  f.close();
});

test('any_unknownEtherType_is_dropped', () => {
  const f = new Fixture();
  f.deliver(ethernet(segment, { type: 0x86dd }), ethernet(segment, { type: 40 }));
  assert.deepEqual(f.counted(), { ethUnknownType: 2 });
  f.close();
});

test('any_unknownProtocol_is_answered_protocol_unreachable', () => {
  const f = new Fixture();
  f.meetHost();
  const packet = ipv4(segment, { protocol: 132 });
  f.deliver(ethernet(packet));
  const [answer, ...others] = f.sent();
  const told = parseIcmp(answer!);
  assert.equal(others.length, 0);
  assert.deepEqual(
    [told.icmpType, told.code, told.rest, told.tos, told.isSound, told.isIcmpSound],
    [3, 2, 0, 0xc0, true, true],
  );
  assert.deepEqual([told.source, told.destination], [OURS, HOST]);
  assert.deepEqual(Array.from(told.data), Array.from(packet), 'it quotes the datagram');
  f.close();
});

test('broadcast_udp_reaches_any_sockets_only', () => {
  const f = new Fixture();
  const any = f.stack.udp.bind(0, 68, 1);
  const ours = f.stack.udp.bind(address(OURS), 69, 2);
  assert.ok(any > 0 && ours > 0);
  for (const destination of ['255.255.255.255', '10.77.0.255']) {
    for (const port of [68, 69, 70]) {
      const datagram = udp([1, 2, 3], { port, destination });
      f.deliver(ipFrame(datagram, { destination }, { to: EVERYBODY }));
    }
  }
  const events = f.events();
  assert.deepEqual(
    events.map((e) => e[1]),
    [any, any],
  );
  assert.equal(f.sent().length, 0, 'no ICMP about a broadcast');
  assert.equal(f.counted().udpNoPort, 4);
  f.close();
});

test('broadcast_ping_is_not_answered', () => {
  const f = new Fixture();
  f.deliver(arp());
  f.sent();
  const ping = icmp(8, 0, 1, [1, 2]);
  f.deliver(ipFrame(ping, { protocol: 1, destination: '10.77.0.255' }, { to: EVERYBODY }));
  assert.equal(f.sent().length, 0);
  assert.equal(f.counted().icmpBroadcastIgnored, 1);
  f.close();
});

test('prefix31_allOnesHost_is_not_a_broadcast', () => {
  const f = new Fixture({
    config: { address: address('10.77.0.3'), prefixLength: 31, gateway: 0 },
  });
  f.deliver(ipFrame(segment, { protocol: TCP, source: '10.77.0.2', destination: '10.77.0.3' }));
  assert.equal(f.tcp.segments.length, 1, 'RFC 3021');
  f.close();
});
