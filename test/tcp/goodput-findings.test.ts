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
