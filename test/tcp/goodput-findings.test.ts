/** What `ix bench goodput` found, one test each: flows that were right and slow. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG, TCB } from '../../src/tcp/tcb.ts';
import { type Fields, Peer } from './peer.ts';

const SACK: Fields = { mss: 1000, sack: true };
const field = (p: Peer, name: keyof typeof TCB): number => p.host.field(p.handle, name);

/** `count` segments of 1000 bytes are out, sent 10 ms ago, on a path of 10 ms. */
function flight(count: number): Peer {
  const p = new Peer().open(SACK);
  p.write(0, 1000).replies();
  p.pass(10).send('A').replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.srtt] = 10_000 << 3;
  i32[row + TCB.minRtt] = 10_000;
  i32[row + TCB.rto] = 200_000;
  p.write(1000, count * 1000).replies();
  p.pass(10);
  return p;
}

test('recovery_holeFilledInTheSameBatch_windowRestored', () => {
  const p = flight(10);
  const cwnd = field(p, 'cwnd');
  for (const end of [3001, 4001, 5001]) p.deliver('A', { ack: 1001, blocks: [[2001, end]] });
  assert.notEqual(field(p, 'flags') & FLAG.recovery, 0, 'the segment was called lost');
  p.deliver('A', { ack: 5001 });
  p.turn();
  assert.equal(field(p, 'flags') & FLAG.recovery, 0);
  assert.ok(field(p, 'cwnd') >= cwnd, `${field(p, 'cwnd')} of ${cwnd}`);
  assert.deepEqual(p.replies(), [], 'nothing is sent again');
  p.close();
});

for (const signed of [false, true]) {
  test(`open_reorderingRound_beginsAtTheIss${signed ? '_below2^31' : ''}`, () => {
    const p = new Peer({ signed }).open(SACK);
    assert.equal(field(p, 'reoRound'), field(p, 'iss'), 'the first DSACK counts, whatever the ISS');
    p.close();
  });
}

/** We connect; our SYN is lost once, and the second one's answer echoes `echo(first, second)`. */
function connectAgain(stamps: boolean): Peer {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn().replies();
  p.pass(1001);
  const [again] = p.replies();
  assert.equal(again!.flags, 'S');
  p.pass(50);
  const options: Fields = { mss: 1460, sack: true };
  if (stamps) options.ts = [5000, again!.ts![0]];
  p.send('SA', options).replies();
  return p;
}

test('synSent_synSentAgainWithTimestamps_roundTripKnown', () => {
  const p = connectAgain(true);
  assert.ok(field(p, 'rto') <= 250_000, `${field(p, 'rto')} us`);
  assert.equal(field(p, 'cwnd'), 10 * field(p, 'mss'), 'one SYN lost is chance (RFC 6928 2)');
  p.close();
});

test('synSent_synSentAgainWithoutTimestamps_threeSeconds', () => {
  const p = connectAgain(false);
  assert.equal(field(p, 'rto'), 3_000_000, 'RFC 6298 5.7');
  p.close();
});

test('synSent_twoSynsLost_oneSegment', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  p.turn();
  p.pass(1001).pass(2001);
  assert.equal(p.replies().length, 3);
  p.send('SA', { mss: 1460 });
  assert.equal(field(p, 'cwnd'), field(p, 'mss'));
  p.close();
});

test('established_holeWithSack_windowGoesOn', () => {
  const p = new Peer().open({ ...SACK, scale: 2 });
  p.send('A', { seq: 1, data: 1000 }).send('A', { data: 1000 });
  p.replies();
  p.send('A', { seq: 3001, data: 1000 });
  const [first] = p.replies();
  p.host.tcp.recvDone(p.handle, 2000);
  p.send('A', { seq: 4001, data: 1000 });
  const last = p.replies().at(-1)!;
  assert.ok(last.window > first!.window, `${last.window} after ${first!.window}`);
  p.close();
});

test('established_quarterOfTheBufferUsed_bufferDoubles', () => {
  const p = new Peer().open({ ...SACK, scale: 2 });
  const before = field(p, 'rcvBuf');
  for (let sent = 0; sent < before >> 2; sent += 1000) {
    p.send('A', { data: 1000 });
    p.host.tcp.recvDone(p.handle, 1000);
  }
  assert.equal(field(p, 'rcvBuf'), before << 1);
  p.close();
});

/** Ten segments of the first window have left and nothing has come back. */
function firstWindow(fields: Fields): Peer {
  const p = new Peer().open(fields);
  const mss = field(p, 'mss');
  p.write(0, 40 * mss).replies();
  return p;
}

for (const [name, fields] of Object.entries({ sack: SACK, noSack: { mss: 1000 } })) {
  test(`slowStart_oneBurst_${name}_everyAckOpensTheWindow`, () => {
    const p = new Peer().open(fields);
    p.write(0, 10_000).replies(); // the first window, and nothing behind it
    for (let ack = 1001; ack <= 10_001; ack += 1000) p.pass(1).send('A', { ack });
    // By what is out at each acknowledgement it would be 14 segments.
    assert.equal(field(p, 'cwnd'), 20_000, 'as Linux');
    p.write(10_000, 1000).replies();
    p.pass(1).send('A', { ack: 11_001 });
    assert.equal(field(p, 'cwnd'), 20_000, 'a window of which a twentieth is used');
    p.close();
  });
} // biome-ignore format: one line

test('timeout_withSack_theAckThatEndsIt_opensTheWindow', () => {
  const p = firstWindow(SACK);
  for (let i = 0; i < 2; i++) p.pass(300).replies(); // the probe, then the timeout
  assert.equal(field(p, 'cwnd'), 1000);
  p.send('A', { ack: 10_001 });
  assert.ok(field(p, 'cwnd') >= 2000, `${field(p, 'cwnd')}`);
  assert.ok(p.replies().length >= 2, 'the next burst is more than one segment');
  p.close();
});

// --- PRR (RFC 9937 6) ---

/** In recovery: the first of twenty segments is lost, and less is in the network than ssthresh. */
function belowThreshold(): Peer {
  const p = flight(10);
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  for (const end of [3001, 4001, 5001, 6001]) p.send('A', { ack: 1001, blocks: [[2001, end]] });
  assert.notEqual(field(p, 'flags') & FLAG.recovery, 0);
  i32[row + TCB.ssthresh] = 50_000;
  i32[row + TCB.prrOut] = i32[row + TCB.prrDelivered]!;
  p.replies();
  return p;
}
const pipe = (p: Peer): number =>
  field(p, 'sndNxt') - field(p, 'sndUna') - field(p, 'sacked') - field(p, 'lost');

test('prr_ackThatOnlySacks_noMoreThanWasDelivered', () => {
  const p = belowThreshold();
  const before = pipe(p);
  p.deliver('A', { ack: 1001, blocks: [[2001, 7001]] });
  assert.equal(field(p, 'cwnd') - pipe(p), 1000, 'as much as has left, not a segment more');
  assert.equal(pipe(p), before - 1000);
  p.turn();
  p.close();
});

test('prr_ackThatAdvances_oneSegmentMoreThanWasDelivered', () => {
  const p = belowThreshold();
  p.send('A', { ack: 1001, blocks: [[2001, 11_001]] }).replies(); // nothing is left to be lost
  p.write(11_000, 9000).replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.recover] = i32[row + TCB.sndNxt]!;
  i32[row + TCB.prrOut] = i32[row + TCB.prrDelivered]!;
  const delivered = field(p, 'prrDelivered');
  p.pass(20).deliver('A', { ack: 11_001 });
  const more = field(p, 'prrDelivered') - delivered;
  assert.equal(field(p, 'cwnd') - pipe(p), more + 1000);
  p.turn();
  p.close();
});

test('prr_ackThatAdvancesAndTellsOfALoss_noMoreThanWasDelivered', () => {
  const p = belowThreshold();
  p.write(11_000, 9000).replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.recover] = i32[row + TCB.sndNxt]!;
  i32[row + TCB.prrOut] = i32[row + TCB.prrDelivered]!;
  const delivered = field(p, 'prrDelivered');
  const lost = field(p, 'lost');
  p.pass(20).deliver('A', { ack: 6001, blocks: [[8001, 11_001]] });
  assert.ok(field(p, 'lost') > lost, 'one more is lost');
  const more = field(p, 'prrDelivered') - delivered;
  assert.equal(field(p, 'cwnd') - pipe(p), more);
  p.turn();
  p.close();
});
