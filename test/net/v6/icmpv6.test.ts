/** ICMPv6: echo, errors out, errors in, and the path MTU that they change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from '../fixture.ts';
import { HOST_MAC, pattern } from '../packets.ts';
import {
  ALL_NODES,
  fragmentHeader,
  full6,
  HOST6,
  type Ipv6Fields,
  icmp6,
  icmp6Frame,
  ip6Frame,
  ipv6,
  ipv6Choices,
  OURS6,
  OURS6_LINK,
  parseIcmp6,
  parseIpv6,
  reassemble6,
  solicitation,
  udp6,
} from '../packets6.ts';

function met(): Fixture {
  const f = new Fixture(ipv6Choices());
  f.deliver(solicitation());
  f.sent();
  f.counted();
  return f;
}

test('any_echo_is_answered_as_asked', () => {
  const f = met();
  for (const size of [0, 1, 2, 3, 56, 1452]) {
    const data = pattern(size);
    const message = icmp6(128, 0, [0x12, 0x34, 0, 7, ...data]);
    f.deliver(ip6Frame(message, { next: 58, trafficClass: 0xb8 }));
    const told = parseIcmp6(f.sent()[0]!);
    assert.deepEqual(
      [told.to, told.source, told.destination, told.trafficClass, told.hopLimit],
      [HOST_MAC, full6(OURS6), full6(HOST6), 0xb8, 64],
    );
    assert.ok(told.isSound && told.isWhole);
    assert.deepEqual([told.icmpType, told.code, told.rest], [129, 0, 0x1234_0007]);
    assert.deepEqual(told.data, data, `${size} bytes`);
  }
  assert.deepEqual(f.counted(), { icmp6In: 6, icmp6EchoIn: 6, icmp6EchoOut: 6, ip6Out: 6 });
  f.close();
});

test('any_echoWhoseChecksumWraps_is_answered_right', () => {
  const f = met();
  for (let i = 0; i < 0x10000; i += 97) {
    f.deliver(icmp6Frame(128, 0, [0, 0, 0, 0, i >> 8, i & 255]));
    assert.ok(parseIcmp6(f.sent()[0]!).isSound);
  }
  f.close();
});

test('any_echoToOurLinkLocalAddress_isAnsweredFromThere', () => {
  const f = met();
  f.deliver(solicitation(OURS6_LINK, { source: 'fe80::1' }));
  f.sent();
  f.deliver(icmp6Frame(128, 0, [0, 0, 0, 0], { source: 'fe80::1', destination: OURS6_LINK }));
  assert.equal(parseIcmp6(f.sent()[0]!).source, full6(OURS6_LINK));
  f.close();
});

test('any_badMessages_are_dropped_by_name', () => {
  const f = met();
  const wrong = icmp6(128, 0, [0, 0, 0, 1, 1, 2, 3]);
  wrong[10]! ^= 1;
  f.deliver(ip6Frame(wrong, { next: 58 }));
  assert.deepEqual(f.counted(), { icmp6In: 1, icmp6BadChecksum: 1 });
  f.deliver(ip6Frame(icmp6(128, 0, []).subarray(0, 4), { next: 58 }));
  assert.deepEqual(f.counted(), { icmp6In: 1, icmp6Short: 1 });
  for (const type of [129, 131, 132, 138, 143, 200]) f.deliver(icmp6Frame(type, 0, [0, 0, 0, 0]));
  assert.deepEqual(f.counted(), { icmp6In: 6, icmp6Unknown: 6 });
  f.deliver(icmp6Frame(128, 0, [0, 0, 0, 0], { destination: ALL_NODES }));
  assert.deepEqual(f.counted(), { icmp6In: 1, icmp6GroupIgnored: 1 });
  f.deliver(icmp6Frame(128, 0, [0, 0, 0, 0], { source: '::' }));
  assert.deepEqual(f.counted(), { icmp6In: 1, icmp6EchoIn: 1, icmp6ErrorsIgnored: 1 });
  assert.equal(f.sent().length, 0);
  f.close();
});

test('closedPort_datagram_isToldAndLimited', () => {
  const f = met();
  const frame = ip6Frame(udp6(pattern(1400), 9));
  f.deliver(frame);
  const told = parseIcmp6(f.sent()[0]!);
  assert.deepEqual([told.icmpType, told.code, told.rest, told.isSound], [1, 4, 0, true]);
  assert.deepEqual(told.data, frame.subarray(14, 14 + 1232), 'as much as 1280 bytes hold');
  for (let i = 0; i < 100; i++) f.deliver(frame);
  const more = f.sent().length;
  assert.ok(more > 3 && more < 30, `${more} errors: ten on average`);
  assert.equal(f.counted().icmp6RateLimited, 100 - more);
  f.close();
});

/** A segment that we might have sent, as an error quotes it. */
function quoted(fields: Ipv6Fields = {}, bytes = 8): Uint8Array {
  const segment = [0x1f, 0x90, 0x00, 0x50, 0x89, 0xab, 0xcd, 0xef, 0, 0].slice(0, bytes);
  return ipv6(segment, { next: 6, source: OURS6, destination: '2001:db8::8', ...fields });
}

test('any_errorAboutOurSegment_reaches_tcpInIpv4sWords', () => {
  const f = met();
  const cases: [number, number, number, number[]][] = [
    [1, 0, 0, [3, 1, 0]],
    [1, 1, 0, [3, 10, 0]],
    [1, 4, 0, [3, 3, 0]],
    [2, 0, 1400, [3, 4, 1400]],
    [2, 0, 100, [3, 4, 1280]],
    [2, 0, 0xffff_ffff, [3, 4, 65_535]],
    [3, 0, 0, [11, 0, 0]],
    [4, 0, 40, [12, 0, 0]],
    [4, 1, 40, [3, 2, 0]],
  ];
  for (const [type, code, rest, [v4Type, v4Code, mtu]] of cases) {
    const body = [rest >>> 24, (rest >>> 16) & 255, (rest >>> 8) & 255, rest & 255, ...quoted()];
    f.deliver(icmp6Frame(type, code, body, { source: 'fd77::99' }));
    const error = f.tcp.errors.pop()!;
    const token = error[4]!;
    assert.deepEqual(error, [v4Type, v4Code, 2, 8080, token, 80, 0x89abcdef | 0, mtu]);
    const words = f.stack.ip.v6.destinations.wordsOf(token);
    assert.equal(f.env.arena.i32[words + 3], 8);
  }
  assert.equal(f.counted().icmp6ErrorsIn, cases.length);
  f.close();
});

test('any_errorAboutForeignPacket_is_not_believed', () => {
  const f = met();
  const fragment = [...fragmentHeader(6, 0, true, 1), ...pattern(8)];
  const wrong: Uint8Array[] = [
    quoted({ source: 'fd77::9' }),
    quoted({ version: 4 }),
    quoted({ next: 50 }),
    quoted({ next: 43 }),
    ipv6(fragment, { next: 44, source: OURS6 }),
    ipv6([...fragmentHeader(17, 8, true, 1), ...pattern(8)], { next: 44, source: OURS6 }),
    quoted({}, 7),
    quoted({}, 0),
    quoted().subarray(0, 39),
    new Uint8Array(0),
  ];
  for (const quote of wrong) f.deliver(icmp6Frame(1, 0, [0, 0, 0, 0, ...quote]));
  assert.deepEqual(f.tcp.errors, []);
  assert.equal(f.counted().icmp6BadQuote, wrong.length);
  f.close();
});

test('tooBig_aboutADatagram_makesSmallerFragmentsForTenMinutes', () => {
  const f = met();
  const socket = f.stack.udp.bind(0, 7, 1);
  const at = f.env.arena.carve('application', 4096, 8);
  f.env.arena.u8.set(pattern(1400), at);
  f.deliver(ip6Frame(udp6([1])));
  const [, handle, , offset] = f.events()[0]!;
  f.stack.udp.recvDone(handle!, offset!);
  const { destinations } = f.stack.ip.v6;
  const host = destinations.token(0xfd770000 | 0, 0, 0, 1);
  const send = (): Uint8Array[] => {
    assert.equal(f.stack.udp.send(socket, at, 1400, host, 4000), 1400);
    return f.sent();
  };
  const whole = send();
  assert.equal(whole.length, 1);
  const quote = whole[0]!.subarray(14, 14 + 200);
  f.deliver(icmp6Frame(2, 0, [0, 0, 5, 0x14, ...quote], { source: 'fd77::99' }));
  const pieces = send();
  assert.equal(pieces.length, 2);
  assert.ok(pieces.every((frame) => frame.length <= 14 + 1300));
  assert.deepEqual(reassemble6(pieces).subarray(8), pattern(1400));
  assert.equal(parseIpv6(pieces[0]!).next, 44);
  for (let i = 0; i < 11; i++) {
    f.pass(60_000);
    f.deliver(solicitation());
  }
  f.sent();
  assert.equal(send().length, 1, 'tried again');
  f.close();
});
