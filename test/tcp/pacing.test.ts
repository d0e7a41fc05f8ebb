/** Bursts: what would fill the transmit ring is spread over the round trip, when that is long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BURST_SEGMENTS } from '../../src/tcp/constants.ts';
import { TCB } from '../../src/tcp/tcb.ts';
import { Peer } from './peer.ts';

const MSS = 1000;

/** A flow with `segments` of window on both sides, and a round trip of `ms`. */
function wide(segments: number, ms: number): Peer {
  const limits = { transmitFrames: 1024, receiveFrames: 512 };
  const p = new Peer({ environment: { limits } }).open({ mss: MSS, sack: true, scale: 7 });
  p.window = 0xffff;
  p.send('A').replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.cwnd] = segments * MSS;
  i32[row + TCB.ssthresh] = segments * MSS;
  i32[row + TCB.srtt] = (ms * 1000) << 3;
  i32[row + TCB.rto] = 1_000_000;
  for (let at = 0; at < segments * MSS; at += 50_000) {
    p.host.tcp.send(p.handle, p.host.at(at), Math.min(50_000, segments * MSS - at));
  }
  return p;
}

test('burst_longPath_spreadOverTheRoundTrip', () => {
  const p = wide(600, 100);
  const counts: number[] = [];
  p.turn();
  for (let ms = 0; ms < 100; ms++) {
    const count = p.replies().length;
    if (count > 0) counts.push(count);
    p.pass(1);
  }
  assert.deepEqual(
    counts,
    [128, 128, 128, 128, 88],
    'a burst each 128/600 / 1.25 of the round trip',
  );
  assert.equal(p.host.count('tcpPaced'), 4);
  p.close();
});

test('burst_paced_atItsRate', () => {
  const p = wide(600, 100);
  const at: number[] = [];
  p.turn();
  for (let ms = 0; ms < 100; ms++) {
    if (p.replies().length > 0) at.push(ms);
    p.pass(1);
  }
  const gap = (BURST_SEGMENTS / 600 / 1.25) * 100;
  at.forEach((ms, i) => {
    assert.ok(Math.abs(ms - i * gap) <= 2 + i, `burst ${i} at ${ms} ms`);
  });
  p.close();
});

test('burst_shortPath_nextFlush', () => {
  const p = wide(600, 1);
  p.turn();
  assert.equal(p.replies().length, 128);
  p.turn();
  assert.equal(p.replies().length, 128);
  assert.equal(p.host.count('tcpPaced'), 0);
  p.close();
});

test('burst_acknowledgementWhilePaced_doesNotWait', () => {
  const p = wide(600, 100);
  p.turn();
  assert.equal(p.replies().length, 128);
  p.pass(5).send('A', { ack: 64_001 });
  assert.equal(p.replies().length, 128);
  p.close();
});

test('smallWindow_neverPaced', () => {
  const p = wide(100, 100);
  p.turn();
  assert.equal(p.replies().length, 100);
  assert.equal(p.host.count('tcpPaced'), 0);
  p.close();
});
