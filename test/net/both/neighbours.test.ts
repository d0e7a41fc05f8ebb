/**
 * The neighbour table under those who make entries: one more costs the same however many there are.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTER } from '../../../src/counters.ts';
import { timerRanges } from '../../../src/net/both/environment.ts';
import { LOOKS, Neighbours, REACHABLE, STATE } from '../../../src/net/both/neighbours.ts';
import { Fixture } from '../fixture.ts';
import { makeEnvironment, passTime } from '../harness.ts';
import { icmp, ipFrame } from '../packets.ts';

const COUNT = 1024;

function make() {
  const env = makeEnvironment({ limits: { neighbours: COUNT } });
  const table = new Neighbours(env, {
    name: 'neighbour of the test',
    timer: timerRanges(env.limits).ndp,
    replaced: COUNTER.ndpReplaced,
    heldReplaced: COUNTER.ndpHeldReplaced,
    unresolved: COUNTER.ndpUnresolved,
    begun: () => {},
    ended: () => {},
  });
  /** Whoever is new makes room for himself. */
  const meet = (address: number, isThere: boolean): number => {
    const before = table.steps;
    if (table.isFull) table.replace();
    const neighbour = table.make(address);
    if (isThere) {
      table.resolve(table.at(neighbour), 1, address);
      env.arena.i32[table.at(neighbour) + STATE] = REACHABLE;
    }
    assert.ok(table.steps - before <= LOOKS, `${table.steps - before} entries looked at`);
    return neighbour;
  };
  const use = (neighbour: number): void => {
    table.use(table.at(neighbour));
  };
  return { env, table, meet, use };
}

test('full_strangersOneByOne_eachLooksAtFewAndTheBusyStay', () => {
  const { env, table, meet, use } = make();
  const busy = Array.from({ length: 100 }, (_, i) => meet(1000 + i, true));
  for (let i = 0; i < 5000; i++) {
    meet(100_000 + i, true);
    if (i % 50 === 0) busy.forEach(use);
    passTime(env, 1000);
  }
  for (const [i, neighbour] of busy.entries()) assert.ok(table.isFor(neighbour, 1000 + i));
  assert.equal(table.used, COUNT);
  table.clear();
  assert.equal(table.used, 0);
  assert.equal(env.wheel.armed, 0);
});

test('full_allWereUsed_fewAreLookedAt', () => {
  const { env, table, meet, use } = make();
  const all = Array.from({ length: COUNT }, (_, i) => meet(1000 + i, true));
  for (let round = 0; round < 200; round++) {
    passTime(env, 1000);
    all.forEach(use);
    meet(100_000 + round, true);
  }
  assert.equal(table.used, COUNT);
  table.clear();
});

test('full_scanOfTheAbsent_takesTheirOwnPlaces', () => {
  const { env, table, meet } = make();
  const there = Array.from({ length: 700 }, (_, i) => meet(1000 + i, true));
  for (let i = 0; i < 3000; i++) {
    passTime(env, 100);
    meet(100_000 + i, false);
  }
  for (const [i, neighbour] of there.entries()) assert.ok(table.isFor(neighbour, 1000 + i));
  table.clear();
});

test('manyAbsent_eachHasATimerOfItsOwn_allAreForgottenInTime', () => {
  const f = new Fixture({ limits: { neighbours: COUNT }, config: { prefixLength: 16 } });
  for (let i = 0; i < 1020; i++) {
    f.deliver(
      ipFrame(icmp(8, 0, 0x10002, []), {
        protocol: 1,
        source: `10.77.${1 + (i >> 8)}.${i & 255}`,
      }),
    );
  }
  assert.ok(f.stack.arp.neighbours.count > 1000);
  for (let second = 0; second < 4; second++) f.pass(1001);
  assert.equal(f.stack.arp.neighbours.count, 0);
  assert.ok(f.tcp.failed.length > 1000);
  assert.equal(f.env.wheel.armed, 0);
  f.close();
});
