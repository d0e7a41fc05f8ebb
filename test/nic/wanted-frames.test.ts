/**
 * What the stack makes of every frame of the table: it uses what the filter lets through, and drops
 * the rest by name.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena } from '../../src/arena/arena.ts';
import type { CounterName } from '../../src/counters.ts';
import { CONCERN, concernOf } from '../../src/nic/around/siblings.ts';
import { Fixture } from '../net/fixture.ts';
import {
  HOST6_LINK,
  ipv6Choices,
  OURS6,
  OURS6_LINK,
  solicitation,
  words6,
} from '../net/packets6.ts';
import { tagged, WANTED } from './wanted-frames.ts';

/** "Not for us", in the words of every layer. */
const DROPS: readonly CounterName[] = [
  ...(['ethShort', 'ethNotForUs', 'ethUnknownType', 'ethVlan', 'arpBad'] as const),
  ...(['ipNotForUs', 'ipLinkBroadcast', 'ipBroadcastIgnored', 'ipBadSource', 'ipShort'] as const),
  ...([
    'ipBadLength',
    'ipBadChecksum',
    'ipFragmentBad',
    'icmpBadQuote',
    'icmpBadChecksum',
  ] as const),
  ...(['ip6NotForUs', 'ip6LinkGroup', 'ip6BadSource', 'ip6BadLength', 'icmp6BadQuote'] as const),
  ...(['icmp6BadChecksum', 'icmp6GroupIgnored', 'ndpBad', 'ndpBadOption'] as const),
  ...(['udpBadChecksum', 'udpBadLength', 'udpNoPort'] as const),
];

function met(detectsDuplicates = false): Fixture {
  const linkLocal = words6(OURS6_LINK);
  const f = new Fixture(ipv6Choices({ address: words6(OURS6), linkLocal, detectsDuplicates }));
  f.stack.udp.bind(0, 7, 0);
  f.meetHost();
  f.deliver(solicitation(OURS6), solicitation(OURS6_LINK, { source: HOST6_LINK }));
  f.sent();
  f.counted();
  return f;
}

for (const { name, frame, way } of WANTED) {
  const outcome = way === 'kernel' ? 'isDropped' : 'isUsed';
  test(`stack_${name}_${outcome}`, () => {
    const isClaim = name.startsWith('advertisement of our own address');
    const f = met(isClaim);
    f.deliver(frame);
    const counted = f.counted();
    if (isClaim && way === 'both') assert.equal(counted.ndpDuplicate, 1);
    const dropped = DROPS.filter((counter) => counted[counter] !== undefined);
    if (way === 'kernel') assert.ok(dropped.length > 0, JSON.stringify(counted));
    else assert.deepEqual(dropped, []);
    f.events();
    f.close();
  });
}

test('stack_priorityTag_isAnsweredAsWithoutIt', () => {
  for (const { name, frame } of WANTED.filter((each) => each.way === 'ours' && !each.isTagged)) {
    const [plain, behindTag] = [met(), met()];
    plain.deliver(frame);
    behindTag.deliver(tagged(frame, 0x2000));
    assert.deepEqual(behindTag.sent(), plain.sent(), name);
    for (const f of [plain, behindTag]) {
      f.events();
      f.close();
    }
  }
});

test('stack_tagCutOrTagBehindTag_isDroppedAndCounted', () => {
  const f = met();
  const [{ frame }] = WANTED as [(typeof WANTED)[number]];
  f.deliver(tagged(frame, 0).subarray(0, 17));
  assert.equal(f.counted().ethShort, 1);
  f.deliver(tagged(tagged(frame, 0), 0));
  assert.equal(f.counted().ethVlan, 1);
  assert.deepEqual(f.sent(), []);
  f.close();
});

test('siblings_whatConcernsAll_concernsThemBehindAPriorityTag_notInAVlan', () => {
  const arena = new Arena(2 ** 20);
  const told = (frame: Uint8Array): boolean => {
    arena.u8.set(frame, 4096);
    return concernOf(arena.u8, 4096, frame.length) !== CONCERN.none;
  };
  let count = 0;
  for (const { name, frame } of WANTED.filter((each) => !each.isTagged)) {
    if (told(frame)) count++;
    assert.equal(told(tagged(frame, 0xe000)), told(frame), name);
    assert.equal(told(tagged(frame, 0x0005)), false, name);
    assert.equal(told(tagged(frame, 0x0100)), false, name);
  }
  assert.ok(count >= 8);
  const gratuitous = WANTED.find((each) => each.name === 'gratuitous ARP request')!;
  assert.ok(told(gratuitous.frame), 'a neighbour that moves tells one queue');
});
