/**
 * The small parts: sequence arithmetic, round trips, congestion, initial numbers, timers, lists.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WireKey } from '../../src/arena/siphash.ts';
import { describeIpv4 } from '../../src/net/ip.ts';
import { NewReno } from '../../src/tcp/congestion.ts';
import { RTO_INITIAL_US, RTO_MAX_US, RTO_MIN_US } from '../../src/tcp/constants.ts';
import { Flows, RowList } from '../../src/tcp/flows.ts';
import { ConnectionHash, initialSequence, SequenceClock } from '../../src/tcp/iss.ts';
import { backedOff, backOff, initRto, sampleRtt } from '../../src/tcp/rto.ts';
import { geq, gt, isAcceptable, leq, lt } from '../../src/tcp/seq.ts';
import { ROW_WORDS, TCB, TIMER } from '../../src/tcp/tcb.ts';
import { Timers } from '../../src/tcp/timers.ts';
import { makeEnvironment, passTime } from '../net/harness.ts';
import { randomFrom } from '../net/random.ts';

test('seq_aroundBothWraps_ordered', () => {
  for (const base of [0, -1, 0x7fff_ffff, -0x8000_0000, 12_345]) {
    const next = (base + 1) | 0;
    const far = (base + 0x3fff_ffff) | 0;
    assert.ok(lt(base, next) && leq(base, next) && gt(next, base) && geq(next, base));
    assert.ok(lt(base, far) && !lt(far, base) && leq(base, base) && !gt(base, base));
  }
});

test('isAcceptable_againstCountingOneByOne', (t) => {
  const random = randomFrom(t);
  for (let round = 0; round < 5000; round++) {
    const next = random.pick([0, -3, 0x7fff_fffe, random.next() | 0]);
    const window = random.below(12);
    const length = random.below(8);
    const seq = (next + random.below(30) - 15) | 0;
    const inside = (n: number): boolean => ((n - next) | 0) >= 0 && ((n - next) | 0) < window;
    let wanted = false;
    if (length === 0) wanted = window === 0 ? seq === next : inside(seq);
    else for (let i = 0; i < length; i++) wanted ||= inside((seq + i) | 0);
    assert.equal(
      isAcceptable(seq, length, next, window),
      wanted,
      `${seq - next} ${length} ${window}`,
    );
  }
});

test('rto_firstSampleThenSmoothing_asInRfc6298', () => {
  const row = new Int32Array(ROW_WORDS);
  initRto(row, 0);
  assert.equal(row[TCB.rto], RTO_INITIAL_US);
  sampleRtt(row, 0, 400_000);
  assert.equal(row[TCB.rto], 400_000 + 4 * 200_000);
  let srtt = 400_000;
  let rttvar = 200_000;
  for (const sample of [300_000, 500_000, 450_000, 100_000, 900_000, 400_000]) {
    sampleRtt(row, 0, sample);
    rttvar = 0.75 * rttvar + 0.25 * Math.abs(srtt - sample);
    srtt = 0.875 * srtt + 0.125 * sample;
    assert.ok(Math.abs(row[TCB.rto]! - (srtt + 4 * rttvar)) < 20, `${row[TCB.rto]}`);
  }
});

for (const rtt of [50, 10_000, 160_000, 250_000, 2_000_000]) {
  test(`rto_steadyRoundTrip${rtt}us_always200msMore`, () => {
    const row = new Int32Array(ROW_WORDS);
    initRto(row, 0);
    for (let i = 0; i < 100; i++) sampleRtt(row, 0, rtt);
    assert.ok(Math.abs(row[TCB.rto]! - (rtt + RTO_MIN_US)) < 10, `${row[TCB.rto]}`);
  });
}

test('rto_extremes_staysWithinItsBounds', () => {
  const row = new Int32Array(ROW_WORDS);
  initRto(row, 0);
  for (let i = 0; i < 50; i++) sampleRtt(row, 0, 0);
  assert.ok(row[TCB.rto]! - RTO_MIN_US < 10, `${row[TCB.rto]}`);
  for (let i = 0; i < 50; i++) sampleRtt(row, 0, 0x7fff_ffff);
  assert.equal(row[TCB.rto], RTO_MAX_US);
  sampleRtt(row, 0, -5);
  initRto(row, 0);
  for (let i = 0; i < 40; i++) backOff(row, 0);
  assert.equal(row[TCB.rto], RTO_MAX_US);
  assert.equal(backedOff(200_000, 3), 1_600_000);
  assert.equal(backedOff(200_000, 40), RTO_MAX_US);
});

test('newReno_slowStart_countsBytesAndStopsAtSsthresh', () => {
  const row = new Int32Array(ROW_WORDS);
  const reno = new NewReno(row);
  row[TCB.mss] = 1000;
  reno.opened(0, false);
  assert.equal(row[TCB.cwnd], 10_000);
  reno.acknowledged(0, 10_000, 10_000);
  assert.equal(row[TCB.cwnd], 20_000);
  reno.acknowledged(0, 2000, 9000);
  assert.equal(row[TCB.cwnd], 20_000, 'half of it unused: it does not grow');
  row[TCB.ssthresh] = 25_000;
  reno.acknowledged(0, 20_000, 20_000);
  assert.equal(row[TCB.cwnd], 25_000);
  reno.acknowledged(0, 24_000, 25_000);
  assert.equal(row[TCB.cwnd], 25_000);
  reno.acknowledged(0, 1000, 25_000);
  assert.equal(row[TCB.cwnd], 26_000, 'one segment for a window of bytes');
});

test('newReno_synLost_oneSegment', () => {
  const row = new Int32Array(ROW_WORDS);
  row[TCB.mss] = 1000;
  new NewReno(row).opened(0, true);
  assert.equal(row[TCB.cwnd], 1000);
});

test('newReno_timeout_ssthreshHalvedOnce', () => {
  const row = new Int32Array(ROW_WORDS);
  const reno = new NewReno(row);
  row[TCB.mss] = 1000;
  reno.opened(0, false);
  reno.timedOut(0, 10_000, true);
  assert.deepEqual([row[TCB.cwnd], row[TCB.ssthresh]], [1000, 5000]);
  reno.timedOut(0, 1000, false);
  assert.deepEqual([row[TCB.cwnd], row[TCB.ssthresh]], [1000, 5000]);
  reno.timedOut(0, 1000, true);
  assert.equal(row[TCB.ssthresh], 2000, 'never below two segments');
});

test('iss_fourTupleAndTime_differAndIncrease', () => {
  const key: WireKey = [5, 6, 7, 8];
  const hash = new ConnectionHash(key, { describe: describeIpv4 });
  const at = (ms: number, ports: number): number => {
    hash.of(10, ports, 20);
    return initialSequence(ms, hash);
  };
  assert.equal((at(1001, 7) - at(1000, 7)) | 0, 15_625, '64 ns a tick');
  assert.equal((at(0, 7) - at(-1, 7)) | 0, 15_625, 'across the wrap of the clock');
  const seen = new Set(Array.from({ length: 1000 }, (_, ports) => at(0, ports)));
  assert.equal(seen.size, 1000);
  const stamps = new Set(Array.from({ length: 1000 }, (_, ports) => at(0, ports) && hash.stamp));
  assert.equal(stamps.size, 1000);
  for (let word = 0; word < 4; word++) {
    const other = new ConnectionHash(key.with(word, 9) as unknown as WireKey, {
      describe: describeIpv4,
    });
    other.of(10, 7, 20);
    hash.of(10, 7, 20);
    assert.notEqual(other.sequence, hash.sequence);
    assert.notEqual(other.stamp, hash.stamp);
    assert.notEqual(hash.stamp, hash.sequence);
  }
});

test('sequenceClock_anyTimes_neverTheSameTwiceNorBack', (t) => {
  const random = randomFrom(t);
  const clock = new SequenceClock();
  let us = 2 ** 32 - 3000;
  let last = -1;
  for (let i = 0; i < 2000; i++) {
    if (random.below(3) === 0) us += random.below(random.pick([3, 400, 5000]));
    const ms = Math.floor(us / 1000);
    const now = ms * 15_625 + clock.fraction(ms | 0, us | 0);
    assert.ok(now > last, `${now} after ${last}`);
    assert.ok(
      now <= us * 15.625 + 2000,
      'no faster than the clock, but for what is opened at once',
    );
    last = now;
  }
});

test('timers_laterDeadline_noWheelOperation', () => {
  const env = makeEnvironment();
  const flows = new Flows(env);
  const timers = new Timers(flows.i32, env.wheel);
  const row = flows.take();
  const flow = flows.i32[row + TCB.flow]!;
  const from = env.clock.us;
  const at = (us: number): number => (from + us) | 0;
  timers.set(row, TIMER.rto, TCB.rtoAt, at(200_000));
  timers.set(row, TIMER.rto, TCB.rtoAt, at(900_000));
  assert.equal(flows.i32[row + TCB.armedAt], at(200_000), 'still at the first');
  timers.set(row, TIMER.delack, TCB.delackAt, at(40_000));
  assert.equal(flows.i32[row + TCB.armedAt], at(40_000), 'an earlier one arms it');
  timers.clear(row, TIMER.delack);
  passTime(env, 50_000);
  assert.equal(env.wheel.expire(env.clock.us), flow);
  timers.clear(row, TIMER.armed);
  assert.ok(!timers.isDue(row, TIMER.delack, TCB.delackAt, env.clock.us));
  timers.rearm(row, env.clock.us);
  assert.equal(flows.i32[row + TCB.armedAt], at(900_000));
  timers.cancel(row);
  assert.ok(!env.wheel.isArmed(flow));
});

test('rowList_randomOperations_asAnArray', (t) => {
  const random = randomFrom(t);
  const i32 = new Int32Array(ROW_WORDS * 20);
  const list = new RowList(i32, TCB.readyNext, TCB.readyPrev, 1);
  let model: number[] = [];
  for (let step = 0; step < 5000; step++) {
    const row = ROW_WORDS * (1 + random.below(19));
    if (random.below(2) === 0) {
      list.push(row);
      if (!model.includes(row)) model.push(row);
    } else {
      list.remove(row);
      model = model.filter((other) => other !== row);
    }
    const rows: number[] = [];
    for (let r = list.head; r !== 0; r = list.next(r)) rows.push(r);
    assert.deepEqual(rows, model);
    assert.equal(list.tail, model.at(-1) ?? 0);
  }
});

test('flows_handles_generationsWrapAndSkipZero', () => {
  const env = makeEnvironment({ limits: { flows: 2 } });
  const flows = new Flows(env);
  const row = flows.take();
  const seen = new Set<number>();
  for (let i = 0; i < 2047; i++) {
    const handle = flows.handle(row);
    assert.ok(handle > 0 && !seen.has(handle));
    seen.add(handle);
    flows.newGeneration(row);
  }
  assert.ok(seen.has(flows.handle(row)), 'after 2047 generations the first again');
});
