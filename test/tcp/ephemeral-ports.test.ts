/** Ports that connect picks: in turn for one peer, and telling nothing of others' (RFC 6056). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALLS_MAX } from '../../src/limits.ts';
import { describeIpv4 } from '../../src/net/ip.ts';
import { FlowGroups, spreadGroups } from '../../src/nic/flow-groups.ts';
import { EPHEMERAL_COUNT, EPHEMERAL_FIRST } from '../../src/tcp/constants.ts';
import { EphemeralPorts } from '../../src/tcp/ephemeral-ports.ts';
import { Flows } from '../../src/tcp/flows.ts';
import type { IpLayer } from '../../src/tcp/segment.ts';
import { makeEnvironment } from '../net/harness.ts';
import { keyFrom } from '../nic/flow-frames.ts';

const LOCAL = 0x0a4d0002;
/** For as many connections as there are ports. */
const ROOMY = { limits: { flows: 60_000 }, arenaMiB: 256 };

function make(choices: Parameters<typeof makeEnvironment>[0] = {}) {
  const env = makeEnvironment(choices);
  const flows = new Flows(env);
  const ip = { describe: describeIpv4, describeLocal: describeIpv4 } as unknown as IpLayer;
  const { clock, counters } = env;
  return { flows, clock, counters, ports: new EphemeralPorts(env, flows.table, ip) };
}

test('pick_onePeer_noPortComesAgainSoon', () => {
  const { ports } = make();
  const last = new Map<number, number>();
  for (let i = 0; i < 20_000; i++) {
    const port = ports.pick(5, 80, LOCAL);
    assert.ok(port >= EPHEMERAL_FIRST && port < EPHEMERAL_FIRST + EPHEMERAL_COUNT);
    const before = last.get(port);
    if (before !== undefined) assert.ok(i - before > 3000, `${i - before} later`);
    last.set(port, i);
  }
});

test('pick_othersBetween_cannotBeCounted', () => {
  const { ports } = make();
  const steps = (between: number): number[] => {
    const seen: number[] = [];
    let last = ports.pick(5, 80, LOCAL);
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < between; i++) ports.pick(1000 + i, 443, LOCAL);
      const port = ports.pick(5, 80, LOCAL);
      seen.push((port - last + EPHEMERAL_COUNT) % EPHEMERAL_COUNT);
      last = port;
    }
    return seen;
  };
  // Steps are 1 to 8 of themselves, whatever goes to others (one in a thousand shares the cell).
  for (const between of [0, 37]) {
    const mean = steps(between).reduce((sum, step) => sum + step, 0) / 200;
    assert.ok(mean > 3.5 && mean < 5.5, `${mean} a step with ${between} to others`);
  }
});

test('pick_startsOfPeers_areSpread', () => {
  const { ports } = make();
  const quarters = [0, 0, 0, 0];
  for (let remote = 1; remote <= 1000; remote++) {
    const port = ports.pick(remote, 80, LOCAL);
    quarters[Math.floor((4 * (port - EPHEMERAL_FIRST)) / EPHEMERAL_COUNT)]!++;
  }
  assert.ok(Math.min(...quarters) > 180, `${quarters}`);
});

test('pick_allButOneTaken_findsIt', () => {
  const { flows, ports } = make(ROOMY);
  const free = EPHEMERAL_FIRST + 12_345;
  for (let port = EPHEMERAL_FIRST; port < EPHEMERAL_FIRST + EPHEMERAL_COUNT; port++) {
    if (port !== free) flows.table.insert(5, (80 << 16) | port, LOCAL, 1);
  }
  assert.equal(ports.pick(5, 80, LOCAL), free);
  flows.table.insert(5, (80 << 16) | free, LOCAL, 1);
  assert.equal(ports.pick(5, 80, LOCAL), 0, 'all are taken');
  assert.notEqual(ports.pick(5, 81, LOCAL), 0, 'but not with another port');
});

test('pick_allTakenAskedByTheBatch_costsOneSearchAMillisecond', () => {
  const { flows, clock, counters, ports } = make(ROOMY);
  for (let port = EPHEMERAL_FIRST; port < EPHEMERAL_FIRST + EPHEMERAL_COUNT; port++) {
    flows.table.insert(5, (80 << 16) | port, LOCAL, 1);
  }
  const find = flows.table.find.bind(flows.table);
  let looks = 0;
  flows.table.find = (k0, k1, k2) => {
    looks += 1;
    return find(k0, k1, k2);
  };
  for (const now of [1, 2, -7]) {
    clock.ms = now;
    looks = 0;
    for (let i = 0; i < CALLS_MAX; i++) assert.equal(ports.pick(5, 80, LOCAL), 0);
    assert.ok(looks <= 3 * EPHEMERAL_COUNT, `${looks} looks`);
    assert.notEqual(ports.pick(6, 80, LOCAL), 0, 'others have their port');
  }
  assert.equal(counters.get('tcpPortsUsedUp'), 3 * CALLS_MAX);
});

test('pick_searchCutShort_goesOnWhereItWas', () => {
  const { flows, clock, ports } = make(ROOMY);
  const free = EPHEMERAL_FIRST + 12_345;
  for (let port = EPHEMERAL_FIRST; port < EPHEMERAL_FIRST + EPHEMERAL_COUNT; port++) {
    flows.table.insert(7, (80 << 16) | port, LOCAL, 1);
    if (port !== free) flows.table.insert(5, (80 << 16) | port, LOCAL, 1);
  }
  clock.ms += 1;
  assert.equal(ports.pick(7, 80, LOCAL), 0, 'this millisecond is used up');
  // Within it a search has 64 tries, and begins up to 8 behind the last.
  const most = Math.ceil(EPHEMERAL_COUNT / 64);
  const found = Array.from({ length: 6 * most }, () => ports.pick(5, 80, LOCAL));
  assert.ok(found.includes(free));
});

/** One of `threads`, each with a stack of its own and what all of them know. */
function makeThread(thread: number, threads: number, choices = {}) {
  const table = { key: keyFrom(threads), threads: spreadGroups(threads) };
  const groups = new FlowGroups(table);
  const made = make({ ...choices, config: { flowGroups: table, thread } });
  const threadOf = (remote: number, remotePort: number, port: number): number => {
    describeIpv4(remote, 0, groups.words);
    describeIpv4(LOCAL, 4, groups.words);
    return groups.threadOf(groups.sumOf(remotePort), port);
  };
  return { ...made, threadOf };
}

test('pick_oneOfSeveralThreads_answersComeBackToIt', () => {
  for (const threads of [2, 3, 64]) {
    for (const thread of [0, 1, threads - 1]) {
      const { ports, threadOf } = makeThread(thread, threads);
      for (let remote = 1; remote <= 200; remote++) {
        const port = ports.pick(remote, 443, LOCAL);
        assert.equal(threadOf(remote, 443, port), thread, `${threads} threads`);
        assert.ok(ports.comesBack(remote, 443, LOCAL, port));
      }
    }
  }
});

test('pick_twoThreadsOfOnePeer_haveAllPortsBetweenThemAndNoneInCommon', () => {
  const sets = [0, 1].map((thread) => {
    const { flows, clock, ports } = makeThread(thread, 2, ROOMY);
    const seen = new Set<number>();
    for (;;) {
      clock.ms += 1; // each search to its end
      const port = ports.pick(5, 80, LOCAL);
      if (port === 0) return seen;
      assert.ok(!seen.has(port));
      seen.add(port);
      flows.table.insert(5, (80 << 16) | port, LOCAL, 1);
    }
  });
  assert.equal(sets[0]!.size + sets[1]!.size, EPHEMERAL_COUNT);
  assert.equal(new Set([...sets[0]!, ...sets[1]!]).size, EPHEMERAL_COUNT);
  assert.ok(Math.min(sets[0]!.size, sets[1]!.size) > 0.4 * EPHEMERAL_COUNT);
});

test('pick_noneOfOursLeft_isCounted', () => {
  const table = { key: keyFrom(1), threads: new Array<number>(128).fill(1) };
  const { ports, counters } = make({ config: { flowGroups: table } });
  assert.equal(ports.pick(5, 80, LOCAL), 0, "every group is the other thread's");
  assert.equal(counters.get('tcpPortsUsedUp'), 1);
});
