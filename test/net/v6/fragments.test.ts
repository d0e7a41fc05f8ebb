/**
 * Fragments of IPv6: any order is one packet, anything dishonest none, nobody keeps all buffers.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from '../fixture.ts';
import { pattern } from '../packets.ts';
import {
  extension,
  fragmentHeader,
  fragments6,
  full6,
  HOST6,
  icmp6,
  ip6Frame,
  ipv6Choices,
  parseIcmp6,
  reassemble6,
  solicitation,
  udp6,
  words6,
} from '../packets6.ts';
import { randomFrom } from '../random.ts';

const UDP = 17;
const FRAGMENT = 44;

function met(reassemblies = 4): Fixture {
  const f = new Fixture({ ...ipv6Choices(), limits: { reassemblies } });
  f.deliver(solicitation());
  f.sent();
  f.counted();
  return f;
}

/** A fragment of `length` bytes at `start` of a datagram filled with `pattern`. */
function piece(
  start: number,
  length: number,
  isLast: boolean,
  id = 9,
  source = HOST6,
  fill = 1,
): Uint8Array {
  const bytes = pattern(start + length, fill).subarray(start);
  const header = fragmentHeader(UDP, start, !isLast, id);
  return ip6Frame([...header, ...bytes], { next: FRAGMENT, source });
}

test('any_fragmentsInAnyOrder_are_one_datagram', (t) => {
  const random = randomFrom(t);
  const f = met();
  const socket = f.stack.udp.bind(0, 7, 5);
  for (let round = 0; round < 200; round++) {
    const data = pattern(random.below(1600) + 400, round);
    const pieces = fragments6(udp6(data), UDP, round * 0x1234567, 88 + random.below(300));
    f.deliver(...random.shuffle(pieces));
    const [event, ...others] = f.events();
    assert.equal(others.length, 0);
    const [kind, handle, cookie, offset, length, ...rest] = event!;
    assert.deepEqual([kind, handle, cookie, length], [7, socket, 5, data.length]);
    assert.deepEqual(rest.slice(0, 6), [...words6(HOST6), (7 << 16) | 4000, 0]);
    assert.deepEqual(f.env.arena.u8.slice(offset!, offset! + length!), data);
    assert.equal(f.stack.udp.recvDone(handle!, offset!), 0);
  }
  assert.equal(f.counted().ipReassembled, 200);
  f.close();
  assert.equal(f.stack.ip.v6.destinations.held, 0);
});

test('any_echoOf9000Bytes_isAnsweredInFragments', () => {
  const f = met();
  const data = pattern(9000);
  f.deliver(...fragments6(icmp6(128, 0, [0, 1, 0, 2, ...data]), 58, 77));
  const sent = f.sent();
  assert.equal(sent.length, 7);
  const source = { source: 'fd77::2', destination: HOST6 };
  assert.deepEqual(reassemble6(sent), icmp6(129, 0, [0, 1, 0, 2, ...data], source));
  f.close();
});

test('any_duplicate_is_dropped_alone_overlapEndsTheDatagram', () => {
  const f = met();
  f.deliver(piece(0, 64, false), piece(0, 64, false));
  assert.deepEqual(f.counted(), { ipFragmentsIn: 2, ipFragmentDuplicate: 1 });
  f.deliver(piece(56, 64, false));
  assert.deepEqual(f.counted(), { ipFragmentsIn: 1, ipFragmentOverlap: 1 });
  f.deliver(piece(0, 64, false), piece(0, 64, false, 9, HOST6, 2));
  assert.deepEqual(f.counted(), { ipFragmentsIn: 2, ipFragmentOverlap: 1 });
  assert.equal(f.stack.ip.v6.destinations.held, 1, 'the neighbour alone');
  f.close();
});

test('any_brokenFragment_is_dropped_andToldWhereTheRfcSaysSo', () => {
  const f = met();
  const frame = (header: number[], bytes: number[], next = FRAGMENT): Uint8Array =>
    ip6Frame([...header, ...bytes], { next });
  const told = (): number[] => {
    const [first] = f.sent();
    if (first === undefined) return [];
    const { icmpType, code, rest } = parseIcmp6(first);
    return [icmpType, code, rest];
  };
  f.deliver(frame(fragmentHeader(UDP, 0, true, 1), [1, 2, 3]));
  assert.deepEqual(told(), [4, 0, 4], 'no multiple of 8: the payload length');
  f.deliver(frame(fragmentHeader(UDP, 0xfff8, false, 1), Array.from(pattern(16))));
  assert.deepEqual(told(), [4, 0, 42], 'beyond 65,535: the offset');
  f.deliver(frame(fragmentHeader(UDP, 8, true, 1), []));
  assert.deepEqual(told(), [], 'empty');
  f.deliver(frame(fragmentHeader(60, 0, true, 1), extension(60, [0x1e, 0])));
  assert.deepEqual(told(), [4, 3, 0], 'the chain does not end in the first one');
  assert.deepEqual(f.counted().ipFragmentBad, 4);
  f.deliver(piece(0, 64, true).subarray(0, 14 + 40 + 8)); // cut: its length says more
  assert.equal(f.counted().ip6BadLength, 1);
  f.close();
});

test('any_fragmentInAReassembledPacket_is_dropped', () => {
  const f = met();
  const inner = [...fragmentHeader(UDP, 8, true, 5), ...pattern(24)];
  const outer = Uint8Array.from(inner);
  const first = ip6Frame(
    [
      ...fragmentHeader(60, 0, true, 6),
      ...extension(FRAGMENT, [0x1e, 0]),
      ...outer.subarray(0, 16),
    ],
    { next: FRAGMENT },
  );
  const rest = ip6Frame([...fragmentHeader(60, 24, false, 6), ...outer.subarray(16)], {
    next: FRAGMENT,
  });
  f.deliver(first, rest);
  assert.equal(f.counted().ipFragmentBad, 1);
  f.close();
});

test('any_destinationOptionsInFragments_areWalkedWhenWhole', () => {
  const f = met();
  f.stack.udp.bind(0, 7, 5);
  const chain = Uint8Array.from([...extension(UDP, [5, 2, 0, 0]), ...udp6(pattern(500))]);
  f.deliver(...fragments6(chain, 60, 3, 300));
  assert.equal(f.events().length, 1);
  f.close();
});

test('sixtySeconds_without_theRest_isToldIfTheFirstWasThere', () => {
  const f = met();
  f.deliver(piece(0, 64, false, 1), piece(64, 64, false, 2));
  f.pass(59_000);
  assert.equal(f.sent().length, 0);
  f.pass(1001);
  const sent = f.sent().filter((frame) => parseIcmp6(frame).icmpType === 3);
  assert.equal(sent.length, 1);
  const told = parseIcmp6(sent[0]!);
  assert.deepEqual([told.code, told.destination, told.data.length], [1, full6(HOST6), 104]);
  assert.equal(f.counted().ipReassemblyTimeout, 2);
  f.close();
});

test('oneSource_hasAQuarterOfTheBuffers', () => {
  const f = met(32);
  for (let id = 0; id < 20; id++) f.deliver(piece(0, 64, false, id));
  assert.equal(f.counted().ipReassemblySource, 12, 'its own oldest went');
  for (let i = 0; i < 40; i++) f.deliver(piece(0, 64, false, 1, `fd77::1:${i.toString(16)}`));
  assert.equal(f.counted().ipReassemblyFull, 16);
  f.pass(61_000);
  f.close();
  assert.equal(f.stack.ip.v6.destinations.held, 0);
});

test('any_randomPieces_leave_nothing', (t) => {
  const random = randomFrom(t);
  const f = met(8);
  f.stack.udp.bind(0, 7, 5);
  for (let i = 0; i < 20_000; i++) {
    const start = random.below(4) * 8;
    const length = random.below(8) === 0 ? random.below(200) : (1 + random.below(3)) * 8;
    const source = `fd77::${1 + (random.below(3) << 1)}`;
    f.deliver(
      piece(
        start,
        length,
        random.below(3) === 0,
        random.below(20),
        source,
        random.below(30) === 0 ? 2 : 1,
      ),
    );
    if (random.below(100) === 0) f.pass(random.below(30_000));
    f.sent();
    for (const [, handle, , offset] of f.events()) f.stack.udp.recvDone(handle!, offset!);
  }
  assert.ok((f.counted().ipReassembled ?? 0) > 10, 'some were whole');
  for (let i = 0; i < 10; i++) f.pass(61_000);
  f.close();
  assert.equal(f.stack.ip.v6.destinations.held, 0);
});
