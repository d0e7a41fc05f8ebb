/** CUBIC and HyStart++ by themselves: growth, decrease, the end of slow start (RFC 9438, 9406). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../src/arena/clock.ts';
import { Cubic } from '../../src/tcp/cubic.ts';
import { ROW_WORDS, TCB } from '../../src/tcp/tcb.ts';

const MSS = 1000;

/**
 * A flow whose round trip takes `rttMs`; `round` acknowledges a window of bytes, segment by
 * segment.
 */
class Flow {
  readonly row = new Int32Array(ROW_WORDS);
  readonly clock = new Clock();
  readonly cubic = new Cubic(this.row, this.clock);
  rttMs = 20;

  constructor() {
    this.clock.ms = 1000;
    this.row[TCB.mss] = MSS;
    this.cubic.opened(0, false);
  }

  get cwnd(): number {
    return this.row[TCB.cwnd]!;
  }

  round(extraUs = 0): void {
    const { row } = this;
    const window = this.cwnd;
    row[TCB.sndNxt] = row[TCB.sndUna]! + window;
    row[TCB.srtt] = (this.rttMs * 1000) << 3;
    this.clock.ms += this.rttMs;
    for (let acked = 0; acked < window; acked += MSS) {
      row[TCB.sndUna] = row[TCB.sndUna]! + Math.min(MSS, window - acked);
      row[TCB.rackRtt] = this.rttMs * 1000 + extraUs;
      this.cubic.acknowledged(0, Math.min(MSS, window - acked), window);
    }
  }
}

test('cubic_slowStart_doublesEachRound', () => {
  const flow = new Flow();
  for (let i = 0; i < 4; i++) flow.round();
  assert.equal(flow.cwnd, 160_000);
});

test('cubic_loss_beta07AndBackToThePlateau', () => {
  const flow = new Flow();
  flow.rttMs = 100; // long enough that Reno would be slower
  flow.row[TCB.cwnd] = 1_000_000;
  flow.cubic.enterRecovery(0, 1_000_000);
  assert.equal(flow.row[TCB.ssthresh], 700_000);
  flow.row[TCB.cwnd] = 700_000;
  const k = Math.cbrt(300 / 0.4); // RFC 9438 equation (2), seconds
  const start = flow.clock.ms;
  while (flow.clock.ms - start < k * 1000) flow.round();
  assert.ok(Math.abs(flow.cwnd - 1_000_000) < 20_000, `${flow.cwnd} after K = ${k} s`);
  const plateau = flow.cwnd;
  while (flow.clock.ms - start < (k + 5) * 1000) flow.round();
  const beyond = flow.cwnd - plateau;
  assert.ok(beyond > 0.8 * 0.4 * 125 * MSS && beyond < 80_000, `${beyond} beyond it in 5 s`);
});

test('cubic_twoLossesInARow_plateauLower', () => {
  const flow = new Flow();
  flow.row[TCB.cwnd] = 1_000_000;
  flow.cubic.enterRecovery(0, 1_000_000);
  flow.row[TCB.cwnd] = 700_000;
  flow.cubic.enterRecovery(0, 700_000);
  assert.equal(flow.row[TCB.cubicMax], 595_000, 'fast convergence');
  flow.cubic.undone(0);
  assert.equal(flow.row[TCB.cubicMax], 1_000_000);
});

test('cubic_smallWindowShortRoundTrip_asFastAsReno', () => {
  const flow = new Flow();
  flow.rttMs = 1;
  flow.row[TCB.cwnd] = 20_000;
  flow.cubic.enterRecovery(0, 20_000);
  flow.row[TCB.cwnd] = 14_000;
  for (let i = 0; i < 20; i++) flow.round();
  const grown = flow.cwnd - 14_000;
  assert.ok(grown > 9000 && grown < 16_000, `${grown} in 20 round trips`);
});

test('cubic_twoLossesInARow_asCarefulAsRenoUpToTheSecond', () => {
  const flow = new Flow();
  flow.rttMs = 1;
  flow.row[TCB.cwnd] = 100_000;
  flow.cubic.enterRecovery(0, 100_000);
  flow.row[TCB.cwnd] = 70_000;
  flow.cubic.enterRecovery(0, 70_000);
  flow.row[TCB.cwnd] = 49_000;
  let rounds = 0;
  for (; flow.cwnd < 70_000; rounds++) flow.round();
  assert.ok(Math.abs(rounds - 21 / 0.529) < 3, `${rounds} round trips (RFC 9438 4.3: alpha)`);
  const before = flow.cwnd;
  for (let i = 0; i < 20; i++) flow.round();
  assert.ok(Math.abs(flow.cwnd - before - 20 * MSS) < 2 * MSS, 'then a segment each round');
});

test('cubic_applicationLimited_doesNotGrow', () => {
  const flow = new Flow();
  flow.row[TCB.ssthresh] = 10_000;
  for (let i = 0; i < 100; i++) {
    flow.clock.ms += 100;
    flow.cubic.acknowledged(0, MSS, 3000);
  }
  assert.equal(flow.cwnd, 10_000);
});

test('cubic_timeout_oneSegmentAndSlowStartToSsthresh', () => {
  const flow = new Flow();
  flow.row[TCB.cwnd] = 100_000;
  flow.cubic.timedOut(0, 100_000, true);
  assert.deepEqual([flow.cwnd, flow.row[TCB.ssthresh]], [1000, 70_000]);
  for (let i = 0; i < 6; i++) flow.round();
  assert.equal(flow.cwnd, 64_000);
  flow.cubic.timedOut(0, 1000, false);
  assert.deepEqual([flow.cwnd, flow.row[TCB.ssthresh]], [1000, 70_000], 'once a loss');
});

test('cubic_afterATimeout_plateauIsWhereAvoidanceBegins', () => {
  const flow = new Flow();
  flow.rttMs = 100;
  flow.row[TCB.cwnd] = 1_000_000;
  flow.cubic.enterRecovery(0, 1_000_000);
  flow.row[TCB.cwnd] = 900_000;
  flow.cubic.timedOut(0, 900_000, true);
  while (flow.cwnd < 630_000) flow.round();
  const start = flow.clock.ms;
  while (flow.clock.ms - start < 5000) flow.round();
  assert.equal(flow.row[TCB.cubicKMs], 0);
  assert.equal(flow.row[TCB.cubicMax], 630_000, 'and fast convergence compares with it');
  const beyond = flow.cwnd - 630_000;
  const cubed = 0.4 * 5 ** 3 * MSS;
  assert.ok(beyond > 0.8 * cubed && beyond < 1.3 * cubed, `${beyond} in 5 s`);
});

test('cubic_timeoutUndone_oldPlateau', () => {
  const flow = new Flow();
  flow.row[TCB.cwnd] = 1_000_000;
  flow.cubic.enterRecovery(0, 1_000_000);
  flow.row[TCB.cwnd] = 900_000;
  flow.cubic.timedOut(0, 900_000, true);
  flow.cubic.undone(0);
  assert.equal(flow.row[TCB.cubicMax], 1_000_000);
});

test('hyStart_roundTripGrows_slowStartEndsAfterFiveCarefulRounds', () => {
  const flow = new Flow();
  for (let i = 0; i < 3; i++) flow.round();
  const before = flow.cwnd;
  flow.round(8000); // a queue builds up
  assert.ok(flow.row[TCB.cssRounds]! > 0);
  for (let i = 0; i < 6; i++) flow.round(8000);
  assert.equal(flow.row[TCB.cssRounds], 0);
  assert.ok(flow.row[TCB.ssthresh]! < 12 * before, 'it ended');
  assert.ok(flow.cwnd < 12 * before, `${flow.cwnd / before} times in 7 rounds`);
});

test('hyStart_onlyJitter_slowStartGoesOn', () => {
  const flow = new Flow();
  for (let i = 0; i < 3; i++) flow.round();
  flow.round(8000);
  flow.round();
  flow.round();
  assert.equal(flow.row[TCB.cssRounds], 0);
  const before = flow.cwnd;
  flow.round();
  assert.equal(flow.cwnd, 2 * before);
});
