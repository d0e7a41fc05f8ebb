/** Ports that connect picks: in turn for one peer, and telling nothing of others' (RFC 6056). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeIpv4 } from '../../src/net/ip.ts';
import { EPHEMERAL_COUNT, EPHEMERAL_FIRST } from '../../src/tcp/constants.ts';
import { EphemeralPorts } from '../../src/tcp/ephemeral-ports.ts';
import { Flows } from '../../src/tcp/flows.ts';
import type { IpLayer } from '../../src/tcp/segment.ts';
import { makeEnvironment } from '../net/harness.ts';

const LOCAL = 0x0a4d0002;

function make(choices: Parameters<typeof makeEnvironment>[0] = {}) {
  const env = makeEnvironment(choices);
  const flows = new Flows(env);
  const ip = { describe: describeIpv4 } as unknown as IpLayer;
  return { flows, ports: new EphemeralPorts(env, flows.table, ip) };
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
  // Steps are 1 to 8 of themselves, whatever goes to others (of which one in a thousand shares the
  // cell).
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
  const { flows, ports } = make({ limits: { flows: 30_000 }, arenaMiB: 128 });
  const free = EPHEMERAL_FIRST + 12_345;
  for (let port = EPHEMERAL_FIRST; port < EPHEMERAL_FIRST + EPHEMERAL_COUNT; port++) {
    if (port !== free) flows.table.insert(5, (80 << 16) | port, LOCAL, 1);
  }
  assert.equal(ports.pick(5, 80, LOCAL), free);
  flows.table.insert(5, (80 << 16) | free, LOCAL, 1);
  assert.equal(ports.pick(5, 80, LOCAL), 0, 'all are taken');
  assert.notEqual(ports.pick(5, 81, LOCAL), 0, 'but not with another port');
});
