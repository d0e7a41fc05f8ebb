/** Identifications: none comes again soon, and nobody can count what goes to others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Identifications } from '../../../src/net/both/identification.ts';
import { Fixture } from '../fixture.ts';
import { address } from '../harness.ts';
import { arp, HOST, parseIpv4 } from '../packets.ts';
import { HOST6, ipv6Choices, OURS6, solicitation, words6 } from '../packets6.ts';

const OTHER = '10.77.0.9';

test('next16_halfOfAll_noneComesAgain', () => {
  const ids = new Identifications([1, 2, 3, 4]);
  const last = new Int32Array(65_536).fill(-1);
  for (let i = 0; i < 300_000; i++) {
    const id = ids.next16();
    if (last[id]! >= 0) assert.ok(i - last[id]! >= 32_768, `${i - last[id]!} later`);
    last[id] = i;
  }
  assert.ok(last.filter((i) => i >= 0).length > 65_000, 'nearly all were used');
});

test('next_otherKey_otherNumbers', () => {
  const draw = (ids: Identifications): number[] =>
    Array.from({ length: 64 }, (_, i) => (i & 1 ? ids.next16() : ids.next32()));
  const first = draw(new Identifications([1, 2, 3, 4]));
  assert.deepEqual(draw(new Identifications([1, 2, 3, 4])), first);
  const other = draw(new Identifications([1, 2, 3, 5]));
  const same = first.filter((id, i) => id === other[i]).length;
  assert.ok(same <= 1, `${same} are the same`);
});

/**
 * Steps between what an observer is sent, while `between` datagrams go to others, as a share of
 * 2^bits.
 */
function steps(f: Fixture, observed: () => number, other: () => void, bits: number): number[] {
  const size = 2 ** bits;
  const seen: number[] = [];
  let last = observed();
  for (let round = 0; round < 300; round++) {
    for (let i = 0; i < 37; i++) other();
    const now = observed();
    seen.push(((((now - last) % size) + size) % size) / size);
    last = now;
  }
  f.close();
  return seen;
}

/** Neither 37 nor anything else is usual, and all parts of the range are met. */
function assertUncountable(seen: number[], bits: number): void {
  const small = seen.filter((step) => step * 2 ** bits < 1000).length;
  assert.ok(small < 15, `${small} of ${seen.length} steps are small`);
  const quarters = [0, 1, 2, 3].map((q) => seen.filter((s) => Math.floor(s * 4) === q).length);
  assert.ok(Math.min(...quarters) > 40, `${quarters}`);
}

test('ipv4_datagramsToOthers_cannotBeCounted', () => {
  const f = new Fixture();
  f.deliver(arp(), arp({ sender: OTHER, senderMac: '02:00:00:00:00:09' }));
  f.sent();
  const socket = f.stack.udp.bind(0, 7, 0);
  const at = f.env.arena.carve('application', 8);
  const send = (to: string): number => {
    assert.equal(f.stack.udp.send(socket, at, 8, address(to), 9), 8);
    return parseIpv4(f.sent()[0]!).id;
  };
  assertUncountable(
    steps(
      f,
      () => send(HOST),
      () => send(OTHER),
      16,
    ),
    16,
  );
});

test('ipv6_fragmentsToOthers_cannotBeCounted', () => {
  const f = new Fixture(ipv6Choices());
  f.deliver(solicitation(), solicitation(OURS6, { source: 'fd77::9' }));
  f.sent();
  const socket = f.stack.udp.bind(0, 7, 0);
  const at = f.env.arena.carve('application', 2000);
  const send = (to: string): number => {
    const [w0, w1, w2, w3] = words6(to) as [number, number, number, number];
    const token = f.stack.ip.peerOf(w0, w1, w2, w3);
    assert.equal(f.stack.udp.send(socket, at, 2000, token, 9), 2000);
    const [first, second] = f.sent().map((frame) => new DataView(frame.buffer).getUint32(14 + 44));
    assert.equal(first, second, 'one packet, one identification');
    return first!;
  };
  assertUncountable(
    steps(
      f,
      () => send(HOST6),
      () => send('fd77::9'),
      32,
    ),
    32,
  );
});
