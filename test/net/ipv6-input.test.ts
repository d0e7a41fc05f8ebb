/** IPv6 at the border: what is taken, what dropped by which name, and what the sender is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTER_NAMES } from '../../src/counters.ts';
import { Fixture } from './fixture.ts';
import { OUR_MAC, pattern } from './packets.ts';
import {
  ALL_NODES,
  bytes6,
  extension,
  fragmentHeader,
  full6,
  HOST6,
  icmp6,
  icmp6Frame,
  ip6Frame,
  ipv6Choices,
  OURS6,
  OURS6_LINK,
  parseIcmp6,
  solicitation,
  solicited6,
  udp6,
} from './packets6.ts';
import { randomFrom } from './random.ts';

function met(): Fixture {
  const f = new Fixture(ipv6Choices());
  f.deliver(solicitation());
  f.sent();
  f.counted();
  return f;
}

const SEGMENT = pattern(20);
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const NONE = 59;
const OPTIONS = 60;
/** Router alert: an option that may be skipped. */
const ALERT = [5, 2, 0, 0];

test('off_ipv6Frame_is_anUnknownType', () => {
  const f = new Fixture();
  f.deliver(ip6Frame(SEGMENT));
  assert.deepEqual(f.counted(), { ethUnknownType: 1 });
  f.close();
});

test('any_segmentToOurAddress_reaches_tcpWithTokens', () => {
  const f = met();
  f.deliver(
    ip6Frame(SEGMENT, { next: 6 }),
    ip6Frame(SEGMENT, { next: 6, destination: OURS6_LINK }),
  );
  const [first, second] = f.tcp.segments;
  const { destinations } = f.stack.ip.v6;
  const words = destinations.wordsOf(first![4]!);
  assert.deepEqual(Array.from(f.env.arena.i32.subarray(words, words + 4)), [
    0xfd770000 | 0,
    0,
    0,
    1,
  ]);
  assert.equal(first![3], 20);
  assert.equal(first![2]! - first![1]!, 40);
  assert.equal(second![4], first![4], 'one token an address');
  assert.deepEqual([first![5], second![5]], [2, 1], 'configured, link-local');
  assert.deepEqual(f.counted(), {});
  f.close();
});

test('any_brokenHeader_is_dropped_by_name', () => {
  const f = met();
  const cases: [Uint8Array, string][] = [
    [ip6Frame([]).subarray(0, 53), 'ip6Short'],
    [ip6Frame(SEGMENT, { version: 4 }), 'ip6BadVersion'],
    [ip6Frame(SEGMENT, { version: 7 }), 'ip6BadVersion'],
    [ip6Frame(SEGMENT, { length: 21 }), 'ip6BadLength'],
    [ip6Frame(SEGMENT, { destination: 'fd77::3' }), 'ip6NotForUs'],
    [ip6Frame(SEGMENT, { destination: 'ff02::2' }), 'ip6NotForUs'],
    [ip6Frame(SEGMENT, { destination: 'ff05::1' }), 'ip6NotForUs'],
    [ip6Frame(SEGMENT, { destination: solicited6('fd77::3') }), 'ip6NotForUs'],
    [ip6Frame(SEGMENT, {}, 'ff:ff:ff:ff:ff:ff'), 'ip6LinkGroup'],
    [ip6Frame(SEGMENT, { next: 6, destination: ALL_NODES }), 'ip6LinkGroup'],
    [ip6Frame(SEGMENT, { next: 17, destination: ALL_NODES }), 'ip6LinkGroup'],
    [ip6Frame(SEGMENT, { source: 'ff02::1' }), 'ip6BadSource'],
    [ip6Frame(SEGMENT, { source: '::1' }), 'ip6BadSource'],
    [ip6Frame(SEGMENT, { source: '::ffff:a4d:1' }), 'ip6BadSource'],
    [ip6Frame(SEGMENT, { source: '::a4d:1' }), 'ip6BadSource'],
    [ip6Frame(SEGMENT, { source: OURS6 }), 'ip6BadSource'],
    [ip6Frame(SEGMENT, { source: OURS6_LINK }), 'ip6BadSource'],
    [ip6Frame(SEGMENT, { source: '::', next: 6 }), 'ip6BadSource'],
    [ip6Frame(udp6([1]), { source: '::', next: 17 }), 'ip6BadSource'],
    [ip6Frame([], { next: NONE }), 'ip6NoNextHeader'],
  ];
  for (const [frame, name] of cases) {
    f.deliver(frame);
    assert.deepEqual(f.counted(), { [name]: 1 }, name);
  }
  assert.equal(f.tcp.segments.length, 0);
  assert.equal(f.sent().length, 0, 'nobody is told');
  f.close();
});

test('any_paddingBehindThePacket_is_noPartOfIt', () => {
  const f = met();
  f.deliver(ip6Frame([...SEGMENT, 9, 9, 9], { next: 6, length: 20 }));
  assert.equal(f.tcp.segments[0]![3], 20);
  f.close();
});

test('any_chainOfHeaders_is_walked', () => {
  const f = met();
  const inner = extension(6, [...ALERT]);
  const chain = [
    ...extension(OPTIONS, [...ALERT, 0, 1, 3, 0, 0, 0]),
    ...extension(ROUTING, [0x1e, 4, 1, 2, 3, 4]), // an unknown option that may be skipped
    ...extension(OPTIONS, [0, 0, 0, 0, 0, 0]), // routing header without segments left
    ...inner,
  ];
  f.deliver(ip6Frame([...chain, ...SEGMENT], { next: HOP_BY_HOP }));
  assert.equal(f.tcp.segments[0]![2]! - f.tcp.segments[0]![1]!, 40 + chain.length);
  assert.equal(f.tcp.segments[0]![3], 20);
  f.deliver(ip6Frame([...fragmentHeader(6, 0, false, 7), ...SEGMENT], { next: FRAGMENT }));
  assert.equal(f.tcp.segments[1]![3], 20);
  assert.deepEqual(f.counted(), { ip6AtomicFragments: 1 });
  f.close();
});

/** What the stack tells the sender of a packet: code and pointer, or nothing. */
function toldAbout(f: Fixture, frame: Uint8Array): number[] {
  f.deliver(frame);
  const sent = f.sent();
  if (sent.length === 0) return [];
  const told = parseIcmp6(sent[0]!);
  assert.ok(told.isSound && told.isWhole);
  assert.deepEqual([told.icmpType, told.destination], [4, full6(HOST6)]);
  assert.deepEqual(told.data, frame.subarray(14, 14 + told.data.length), 'it quotes the packet');
  return [told.code, told.rest];
}

test('any_badExtensionHeader_is_dropped_by_nameAndTold', () => {
  const f = met();
  const many = (count: number): number[] =>
    Array.from({ length: count }, (_, i) =>
      extension(i === count - 1 ? 6 : OPTIONS, [...ALERT]),
    ).flat();
  const cases: [number, number[], string, number[]][] = [
    [OPTIONS, [6, 0, 1], 'ip6BadExtension', []],
    [OPTIONS, [6, 3, ...ALERT, 0, 0], 'ip6BadExtension', []],
    [OPTIONS, [6, 0, 5, 9, 0, 0, 0, 0], 'ip6BadOption', []],
    [OPTIONS, [6, 0, 0, 0, 0, 0, 0, 5], 'ip6BadOption', []],
    [OPTIONS, [6, 0, 1, 5, 0, 0, 0, 0], 'ip6BadOption', []],
    [OPTIONS, extension(6, [0x41, 0]), 'ip6BadOption', []],
    [OPTIONS, extension(6, [0x81, 0]), 'ip6BadOption', [2, 42]],
    [HOP_BY_HOP, extension(6, [0xc2, 4, 0, 1, 0, 0]), 'ip6BadOption', [2, 42]], // a jumbogram
    [
      OPTIONS,
      [...extension(HOP_BY_HOP, ALERT), ...extension(6, ALERT)],
      'ip6BadExtension',
      [1, 40],
    ],
    [ROUTING, extension(6, [0, 1, 0, 0, 0, 0]), 'ip6Routing', [0, 42]],
    [ROUTING, extension(6, [4, 2, 0, 0, 0, 0]), 'ip6Routing', [0, 42]],
    [OPTIONS, many(9), 'ip6LongChain', []],
    [OPTIONS, extension(6, Array.from({ length: 9 }, () => [0x1e, 0]).flat()), 'ip6LongChain', []],
    [FRAGMENT, fragmentHeader(6, 0, false, 1).slice(0, 7), 'ip6BadExtension', []],
    [50, [1, 2, 3, 4, 5, 6, 7, 8], 'ip6UnknownNextHeader', [1, 6]],
    [OPTIONS, extension(99, ALERT), 'ip6UnknownNextHeader', [1, 40]],
    [OPTIONS, extension(NONE, ALERT), 'ip6NoNextHeader', []],
  ];
  for (const [next, bytes, name, told] of cases) {
    const isWhole = bytes.length % 8 === 0;
    f.pass(10);
    assert.deepEqual(
      toldAbout(f, ip6Frame([...bytes, ...(isWhole ? SEGMENT : [])], { next })),
      told,
      name,
    );
    const moved = f.counted();
    assert.equal(moved[name as 'ip6Short'], 1, name);
  }
  const atomic = fragmentHeader(FRAGMENT, 0, false, 7);
  f.deliver(
    ip6Frame([...atomic, ...fragmentHeader(6, 0, false, 7), ...SEGMENT], { next: FRAGMENT }),
  );
  assert.equal(f.counted().ip6BadExtension, 1, 'a fragment header in a fragment');
  assert.equal(f.tcp.segments.length, 0);
  f.close();
});

test('any_eightHeadersAndEightOptions_are_stillTaken', () => {
  const f = met();
  const chain = Array.from({ length: 8 }, (_, i) =>
    extension(i === 7 ? 6 : OPTIONS, Array.from({ length: 8 }, () => [0x1e, 0]).flat()),
  ).flat();
  f.deliver(ip6Frame([...chain, ...SEGMENT], { next: OPTIONS }));
  assert.equal(f.tcp.segments.length, 1);
  f.close();
});

test('any_unknownOptionToAGroup_is_toldOnlyIfItAsksForThat', () => {
  const f = met();
  const group = { next: OPTIONS, destination: ALL_NODES };
  const message = icmp6(128, 0, [0, 0, 0, 0], { destination: ALL_NODES });
  f.deliver(ip6Frame([...extension(58, [0xc1, 0]), ...message], group));
  assert.equal(f.sent().length, 0);
  f.deliver(ip6Frame([...extension(58, [0x81, 0]), ...message], group));
  const told = parseIcmp6(f.sent()[0]!);
  assert.deepEqual([told.icmpType, told.code, told.source], [4, 2, full6(OURS6)]);
  f.close();
});

test('any_errorAboutAnIcmpError_is_never_sent', () => {
  const f = met();
  const error = icmp6(1, 4, [0, 0, 0, 0, ...pattern(48)]);
  f.deliver(ip6Frame([...extension(58, [0x81, 0]), ...error], { next: OPTIONS }));
  const ping = icmp6(128, 0, [0, 0, 0, 0]);
  f.deliver(ip6Frame([...extension(58, [0x81, 0]), ...ping], { next: OPTIONS }));
  assert.deepEqual(
    f.sent().map((frame) => parseIcmp6(frame).icmpType),
    [4],
    'about the second only',
  );
  assert.equal(f.counted().icmp6ErrorsIgnored, 1);
  f.close();
});

test('any_randomBytesBehindSoundHeaders_never_break_anything', (t) => {
  const random = randomFrom(t);
  const f = met();
  f.stack.udp.bind(0, 7, 1);
  const kinds = [HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS, NONE, 6, 17, 58, 50, 255];
  const group = solicited6(OURS6);
  for (let i = 0; i < 30_000; i++) {
    const length = random.below(120);
    const bytes = Array.from({ length }, () => random.below(random.pick([4, 64, 256])));
    // often a plausible chain: real header numbers and short lengths
    for (let at = 0; at < length && random.below(3) > 0; at += 8 * (1 + bytes[at + 1]!)) {
      bytes[at] = random.pick(kinds);
      if (at + 1 < length) bytes[at + 1] = random.below(3);
      else break;
    }
    const source = random.pick([HOST6, 'fe80::7', 'fd77::9', '::', 'ff02::1', OURS6]);
    const destination = random.pick([OURS6, OURS6_LINK, group, ALL_NODES, 'fd77::3']);
    const next = random.pick(kinds);
    let frame = ip6Frame(bytes, { next, source, destination, hopLimit: random.pick([255, 64, 0]) });
    if (random.below(4) === 0) {
      const type = random.pick([1, 2, 3, 4, 128, 130, 133, 134, 135, 136, 137, 143]);
      frame = icmp6Frame(type, random.below(3), bytes, { source, destination });
    }
    if (random.below(8) === 0) frame[random.below(frame.length)] = random.below(256);
    if (random.below(16) === 0) frame = frame.subarray(0, random.below(frame.length));
    f.deliver(frame);
    if (random.below(64) === 0) f.pass(random.below(3000));
    f.sent();
    for (const [, handle, , offset] of f.events()) f.stack.udp.recvDone(handle!, offset!);
  }
  const counted = f.counted();
  const named = COUNTER_NAMES.filter(
    (name) => /^(ip6|icmp6|ndp)/.test(name) && (counted[name] ?? 0) > 0,
  );
  assert.ok(named.length > 25, `many reasons were met: ${named.join(' ')}`);
  f.pass(200_000);
  f.close();
  assert.equal(f.stack.ip.v6.destinations.held, heldByRouters(f));
});

/** Default routers that random advertisements left behind. */
const heldByRouters = (f: Fixture): number => {
  const { routers } = f.stack.discovery;
  return routers.count;
};

test('any_frameOfTheMostBytes_is_taken', () => {
  const f = met();
  f.deliver(ip6Frame(pattern(1460), { next: 6 }, OUR_MAC));
  assert.equal(f.tcp.segments[0]![3], 1460);
  assert.equal(bytes6('::').length, 16);
  f.close();
});
