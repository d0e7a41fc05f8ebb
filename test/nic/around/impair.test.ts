/** The impairing wrapper: rates, the same run from the same SEED, time, bounds, no leaks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../../src/arena/clock.ts';
import { Impair, type ImpairOptions } from '../../../src/nic/around/impair.ts';
import { Cable, closeCable, makeCable } from '../../../src/nic/cable.ts';
import { buildFrame, collect, type End, makeEnds, nicSuite, RING, send, settle } from '../suite.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
console.log(`SEED=${SEED}`);

nicSuite({
  name: 'impaired by nothing',
  skip: false,
  capacity: RING,
  connect: (a, b) => {
    const parts = makeCable(RING);
    const inner = new Cable(a.arena, a.frames, a.counters, parts, 0);
    const impaired = new Impair(inner, a.arena, a.frames, new Clock(), { seed: SEED, holdMax: 8 });
    const peer = new Cable(b.arena, b.frames, b.counters, parts, 1);
    return { a: impaired, b: peer, remove: () => closeCable(parts) };
  },
});

interface Link {
  a: End;
  b: End;
  impair: Impair;
  clock: Clock;
}

/** Runs `body` on a cable whose side a is impaired; checks that all frames come home. */
function onLink(
  options: Omit<ImpairOptions, 'seed'> & { seed?: number },
  body: (link: Link) => void,
) {
  const ends = makeEnds();
  const parts = makeCable(RING);
  const clock = new Clock();
  clock.us = 0x7fffff00; // wraps soon
  const inner = new Cable(ends.arena, ends.a.frames, ends.a.counters, parts, 0);
  const impair = new Impair(inner, ends.arena, ends.a.frames, clock, { seed: SEED, ...options });
  const a: End = { ...ends.a, nic: impair };
  const b: End = {
    ...ends.b,
    nic: new Cable(ends.arena, ends.b.frames, ends.b.counters, parts, 1),
  };
  body({ a, b, impair, clock });
  settle(a);
  settle(b);
  a.nic.close();
  b.nic.close();
  closeCable(parts);
  assert.ok(a.frames.allHome() && b.frames.allHome());
}

const sequences = (got: [number, number][]): number[] => got.map(([sequence]) => sequence);

/** Sends `count` frames, 10 us apart, and says which arrive. */
function arrivals({ a, b, clock }: Link, count: number): number[] {
  const got: number[] = [];
  for (let i = 0; i < count; i++) {
    send(a, i, 60);
    clock.us = (clock.us + 10) | 0;
    got.push(...sequences(collect(b, 64, 0)), ...now(b));
  }
  for (let i = 0; i < 100; i++) {
    clock.us = (clock.us + 1000) | 0;
    a.nic.kick();
    got.push(...now(b));
  }
  return got;
}

/** What is there at this moment. */
function now(end: End): number[] {
  const count = end.nic.receive(64);
  const got: number[] = [];
  for (let i = 0; i < count; i++) {
    got.push(end.arena.view.getUint32(end.nic.rxOffsets[i]! + 14));
    end.frames.free(end.nic.rxOffsets[i]!);
  }
  return got;
}

const near = (actual: number, expected: number, tolerance: number, what: string): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, expected ${expected}`);

test('loss of one in ten loses about one in ten, in order', () => {
  onLink({ transmit: { loss: 0.1 } }, (link) => {
    const got = arrivals(link, 4000);
    near(got.length, 3600, 120, 'arrived');
    assert.equal(link.impair.transmitted.lost, 4000 - got.length);
    assert.deepEqual(
      got,
      [...got].sort((x, y) => x - y),
    );
  });
});

test('loss of everything lets nothing through, loss of nothing everything', () => {
  onLink({ transmit: { loss: 1 } }, (link) => assert.equal(arrivals(link, 500).length, 0));
  onLink({ transmit: { loss: 0 } }, (link) => assert.equal(arrivals(link, 500).length, 500));
});

test('burst loss loses runs of the mean length it was given', () => {
  onLink({ transmit: { burst: { enter: 0.01, exit: 0.1 } } }, (link) => {
    const got = new Set(arrivals(link, 20_000));
    let runs = 0;
    for (let i = 0; i < 20_000; i++) if (!got.has(i) && (i === 0 || got.has(i - 1))) runs++;
    const lost = 20_000 - got.size;
    near(lost / runs, 10, 3, 'mean run');
    near(lost / 20_000, 1 / 11, 0.035, 'lost part');
  });
});

test('duplicates arrive twice and whole', () => {
  onLink({ transmit: { duplicate: 0.25 } }, (link) => {
    const got = arrivals(link, 2000);
    near(got.length, 2500, 120, 'arrived');
    assert.equal(new Set(got).size, 2000);
    assert.equal(link.impair.transmitted.duplicated, got.length - 2000);
  });
});

test('corruption inverts one bit', () => {
  onLink({ transmit: { corrupt: 1 } }, ({ a, b }) => {
    for (let i = 0; i < 300; i++) {
      const length = 60 + (i % 500);
      const offset = buildFrame(a, i, length);
      const sent = a.arena.u8.slice(offset, offset + length);
      a.nic.transmit(offset, length);
      a.nic.kick();
      assert.equal(b.nic.receive(64), 1);
      const at = b.nic.rxOffsets[0]!;
      let bits = 0;
      for (let k = 0; k < length; k++) {
        for (let x = sent[k]! ^ b.arena.u8[at + k]!; x !== 0; x &= x - 1) bits++;
      }
      assert.equal(bits, 1);
      b.frames.free(at);
    }
  });
});

test('delayed frame comes when its time has come, not before, across the clock wrap', () => {
  onLink({ transmit: { delayUs: 500 }, receive: { delayUs: 300 } }, ({ a, b, clock }) => {
    for (let i = 0; i < 5; i++) {
      send(a, i, 100);
      clock.us = (clock.us + 499) | 0;
      a.nic.kick();
      assert.deepEqual(now(b), []);
      assert.equal(a.nic.prepareSleep?.(), false, 'something is held');
      clock.us = (clock.us + 1) | 0;
      a.nic.kick();
      assert.deepEqual(now(b), [i]);
      send(b, i, 100);
      assert.deepEqual(now(a), []);
      clock.us = (clock.us + 299) | 0;
      assert.deepEqual(now(a), []);
      clock.us = (clock.us + 1) | 0;
      assert.deepEqual(collect(a, 1), [[i, 100]]);
    }
  });
});

test('reordered frame is overtaken, all arrive', () => {
  onLink({ transmit: { reorder: 0.1, reorderUs: 35 } }, (link) => {
    const got = arrivals(link, 2000);
    assert.equal(got.length, 2000);
    assert.equal(new Set(got).size, 2000);
    const overtaken = got.filter((sequence, i) => i > 0 && sequence < got[i - 1]!).length;
    assert.ok(overtaken > 100, `${overtaken} came late`);
    for (let i = 0; i < got.length; i++) near(got[i]!, i, 5, 'place');
  });
});

test('jitter delays within its bounds', () => {
  onLink({ transmit: { delayUs: 100, jitterUs: 200 } }, ({ a, b, clock }) => {
    for (let round = 0; round < 50; round++) {
      const start = clock.us;
      send(a, round, 60);
      let got: number[] = [];
      while (got.length === 0 && ((clock.us - start) | 0) < 1000) {
        clock.us = (clock.us + 1) | 0;
        a.nic.kick();
        got = now(b);
      }
      const delay = (clock.us - start) | 0;
      assert.ok(delay >= 100 && delay <= 300, `${delay} us`);
    }
  });
});

test('held frames are bounded: what does not fit is lost and counted', () => {
  onLink({ transmit: { delayUs: 1000 }, holdMax: 10 }, ({ a, b, impair, clock }) => {
    for (let i = 0; i < 25; i++) send(a, i, 60);
    assert.equal(impair.transmitted.overflowed, 15);
    assert.ok(a.frames.allHome(), 'what is held is a copy');
    clock.us = (clock.us + 1000) | 0;
    a.nic.kick();
    assert.deepEqual(now(b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});

test('same seed and traffic, same fate; another seed, another', () => {
  const how = { loss: 0.1, duplicate: 0.1, reorder: 0.2, jitterUs: 50, corrupt: 0 };
  const run = (seed: number): number[] => {
    let got: number[] = [];
    onLink({ seed, transmit: how }, (link) => {
      got = arrivals(link, 1000);
    });
    return got;
  };
  assert.deepEqual(run(SEED), run(SEED));
  assert.notDeepEqual(run(SEED), run(SEED + 1));
});

test('received frames are impaired, too, and given back to their pool', () => {
  onLink({ receive: { loss: 0.5 } }, ({ a, b, impair }) => {
    let arrived = 0;
    for (let i = 0; i < 1000; i++) {
      send(b, i, 60);
      arrived += now(a).length;
    }
    near(arrived, 500, 80, 'arrived');
    assert.equal(impair.received.lost, 1000 - arrived);
  });
});
