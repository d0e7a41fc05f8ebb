/**
 * Flow groups: what is hashed, and that flows are spread whatever they have in common. That the
 * program in the kernel comes to the same result: privileged/flow-group-program.live.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOW_GROUPS, FlowGroups, spreadGroups } from '../../src/nic/flow-groups.ts';
import { randomFrom, SEED } from '../arena/property.ts';
import { type Flow, flowFrom, groupOf, keyFrom } from './flow-frames.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const OURS = bytes(10, 77, 0, 2);
const make = (seed: number, threads = 2): FlowGroups =>
  new FlowGroups({ key: keyFrom(seed), threads: spreadGroups(threads) });

test('spreadGroups_anyCount_sharesDifferByOneAtMost', () => {
  for (let threads = 1; threads <= 64; threads++) {
    const counts = new Array<number>(threads).fill(0);
    for (const thread of spreadGroups(threads)) counts[thread]! += 1;
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${threads}: ${counts}`);
  }
});

test('groupOf_oneKnownFlow_isWhatTheHeadSays', () => {
  // 198.51.100.7:40000 -> 10.77.0.2:80, each half with the word i + 1, and 1000 beside: by hand.
  const key = Array.from({ length: 19 }, (_, i) => (i === 18 ? 1000 : i + 1));
  const groups = new FlowGroups({ key, threads: spreadGroups(2) });
  const halves = [0, 0, 0, 0, 0, 0xffff, 0x33c6, 0x0764, 0, 0, 0, 0, 0, 0xffff, 0x4d0a, 0x0200];
  const sum = [...halves, 0x409c, 0x5000].reduce((all, half, i) => all + half * (i + 1), 1000) | 0;
  const once = Math.imul(sum ^ (sum >>> 16), 0x9e3779b1);
  const twice = Math.imul(once ^ (once >>> 16), 0x85ebca77) >>> 25;
  const remote = bytes(198, 51, 100, 7);
  assert.equal(groupOf(groups, { remote, local: OURS, remotePort: 40_000, localPort: 80 }), twice);
});

test('groupOf_anyBitOfTheFlowChanges_groupsDifferAsOftenAsByChance', () => {
  const next = randomFrom(SEED);
  let same = 0;
  let tried = 0;
  for (let round = 0; round < 200; round++) {
    const groups = make(next());
    const flow = flowFrom(next, 16);
    const before = groupOf(groups, flow);
    for (const field of ['remote', 'local'] as const) {
      for (let bit = 0; bit < 128; bit++) {
        const other = flow[field].slice();
        other[bit >> 3] = other[bit >> 3]! ^ (1 << (bit & 7));
        if (groupOf(groups, { ...flow, [field]: other }) === before) same += 1;
      }
    }
    for (const field of ['remotePort', 'localPort'] as const) {
      for (let bit = 0; bit < 16; bit++) {
        const other = { ...flow, [field]: flow[field] ^ (1 << bit) };
        if (groupOf(groups, other) === before) same += 1;
      }
    }
    tried += 288;
  }
  const rate = (same / tried) * FLOW_GROUPS;
  assert.ok(rate > 0.8 && rate < 1.2, `${rate} of what chance gives`);
});

/** Flows that have nearly everything in common, as real ones do. */
const FAMILIES: readonly [string, (i: number) => Flow][] = [
  [
    'ports of one peer in turn',
    (i) => ({ remote: bytes(10, 77, 0, 1), local: OURS, remotePort: 32_768 + i, localPort: 7 }),
  ],
  [
    'every other port of one peer',
    (i) => ({ remote: bytes(10, 77, 0, 1), local: OURS, remotePort: 32_768 + 2 * i, localPort: 7 }),
  ],
  [
    'neighbours with one port',
    (i) => ({
      remote: bytes(10, 0, i >> 8, i & 255),
      local: OURS,
      remotePort: 40_000,
      localPort: 7,
    }),
  ],
  [
    'IPv6 neighbours with one port',
    (i) => ({
      remote: bytes(0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i >> 8, i & 255),
      local: bytes(0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2),
      remotePort: 40_000,
      localPort: 7,
    }),
  ],
  [
    'our ports in turn',
    (i) => ({ remote: bytes(10, 77, 0, 1), local: OURS, remotePort: 80, localPort: 32_768 + i }),
  ],
];

for (const [name, flowAt] of FAMILIES) {
  test(`groupOf_${name}_spreadAsByChanceUnderEveryKey`, () => {
    // 4096 flows, 32 a group: chi-square over 127 degrees of freedom has mean 127, deviation 16.
    const next = randomFrom(SEED);
    const all: number[] = [];
    for (let round = 0; round < 200; round++) {
      const groups = make(next());
      const counts = new Int32Array(FLOW_GROUPS);
      for (let i = 0; i < 4096; i++) counts[groupOf(groups, flowAt(i))]! += 1;
      all.push(counts.reduce((sum, count) => sum + (count - 32) ** 2 / 32, 0));
    }
    const mean = all.reduce((sum, each) => sum + each, 0) / all.length;
    assert.ok(mean < 140, `chi-square ${mean} in the mean`);
    assert.ok(Math.max(...all) < 127 + 16 * 10, `${Math.max(...all)} with the worst key`);
  });

  test(`threadOf_${name}_32AreNeverOnOneOfTwoThreads`, () => {
    const next = randomFrom(SEED + 1);
    for (let round = 0; round < 2000; round++) {
      const groups = make(next());
      let first = 0;
      for (let i = 0; i < 32; i++) first += groupOf(groups, flowAt(i)) & 1;
      assert.ok(first > 0 && first < 32, `round ${round}: ${first} of 32`);
    }
  });
}

test('threadOf_tableOfAnyShape_isTheGroupsEntry', () => {
  const key = keyFrom(SEED);
  const threads = Array.from({ length: FLOW_GROUPS }, (_, group) => (group * 7) % 64);
  const groups = new FlowGroups({ key, threads });
  const next = randomFrom(SEED);
  for (let i = 0; i < 1000; i++) {
    const flow = flowFrom(next, 4);
    const group = groupOf(groups, flow);
    assert.equal(groups.threadOf(groups.sumOf(flow.remotePort), flow.localPort), threads[group]);
  }
});
