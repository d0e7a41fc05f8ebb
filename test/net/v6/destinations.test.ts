/** The destination cache: one token an address, kept while it is held, and room for all others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Destinations, destinationCount, isToken } from '../../../src/net/v6/destinations.ts';
import { addressSum } from '../../../src/wire/ipv6.ts';
import { makeEnvironment, passTime } from '../harness.ts';
import { randomFrom } from '../random.ts';

test('any_address_hasOneTokenAndItsWords', (t) => {
  const random = randomFrom(t);
  const env = makeEnvironment();
  const destinations = new Destinations(env);
  const known = new Map<string, number>();
  for (let i = 0; i < 2000; i++) {
    const words = [0xfd770000 | 0, random.below(3), random.below(2), random.below(40)] as const;
    const token = destinations.token(...words);
    assert.ok(isToken(token) && token > 0);
    const before = known.get(words.join());
    if (before !== undefined) assert.equal(token, before);
    known.set(words.join(), token);
    const at = destinations.wordsOf(token);
    assert.deepEqual(Array.from(env.arena.i32.subarray(at, at + 4)), words);
    assert.equal(destinations.sumOf(token), addressSum(...words));
  }
  assert.equal(new Set(known.values()).size, known.size);
});

test('full_theOldestThatNobodyHolds_goes', () => {
  const env = makeEnvironment();
  const destinations = new Destinations(env);
  const count = destinationCount(env.limits);
  const first = destinations.token(1 << 24, 0, 0, 0);
  const second = destinations.token(1 << 24, 0, 0, 1);
  destinations.hold(first);
  for (let i = 2; i < count; i++) destinations.token(1 << 24, 0, 0, i);
  assert.equal(destinations.token(1 << 24, 0, 0, 2), 3, 'used again: not the oldest any more');
  const stranger = destinations.token(2 << 24, 0, 0, 0);
  assert.equal(stranger, second, 'has its place');
  assert.equal(destinations.token(1 << 24, 0, 0, 0), first);
  const again = destinations.token(1 << 24, 0, 0, 1);
  assert.notEqual(again, second);
  assert.equal(destinations.held, 1);
  destinations.release(first);
  assert.equal(destinations.held, 0);
});

test('any_randomUse_isWhatAMapSays', (t) => {
  const random = randomFrom(t);
  const env = makeEnvironment();
  const destinations = new Destinations(env);
  const held = new Map<string, { token: number; users: number }>();
  for (let i = 0; i < 40_000; i++) {
    const w3 = random.below(3000);
    const name = `${w3}`;
    const token = destinations.token(5 << 24, 0, 0, w3);
    const entry = held.get(name);
    if (entry) assert.equal(token, entry.token, 'what is held keeps its token');
    if (entry && random.below(2) === 0) {
      destinations.release(token);
      entry.users--;
      if (entry.users === 0) held.delete(name);
    } else if (held.size < 60) {
      destinations.hold(token);
      held.set(name, { token, users: (entry?.users ?? 0) + 1 });
    }
  }
  assert.equal(destinations.held, held.size);
});

test('pathMtu_isTheSmallestToldAndIsForgotten', () => {
  const env = makeEnvironment();
  const destinations = new Destinations(env);
  const token = destinations.token(5 << 24, 0, 0, 1);
  assert.equal(destinations.pathMtu(token, 1500), 1500);
  destinations.lowerPathMtu(token, 1400);
  destinations.lowerPathMtu(token, 1450);
  assert.equal(destinations.pathMtu(token, 1500), 1400);
  assert.equal(destinations.pathMtu(token, 1300), 1300, 'never more than the link');
  destinations.lowerPathMtu(token, 68);
  assert.equal(destinations.pathMtu(token, 1500), 1280);
  passTime(env, 600_000_000);
  passTime(env, 1_000_000);
  assert.equal(destinations.pathMtu(token, 1500), 1500);
});
