/**
 * Recovery with SACK, segment by segment: RACK, PRR, TLP, F-RTO, DSACK (RFC 8985, 9937, 5682,
 * 2883).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG, TCB } from '../../src/tcp/tcb.ts';
import { type Fields, Peer } from './peer.ts';

const SACK: Fields = { mss: 1000, sack: true };
const STAMPED: Fields = { mss: 1012, sack: true, ts: [1000, 0] };

/** A peer to which `count` segments of 1000 bytes are on the way, the round trip being 10 ms. */
function flight(count: number, options: Fields = SACK, cubic = true): Peer {
  const p = new Peer({ congestion: cubic ? 'cubic' : 'newReno' }).open(options);
  p.write(0, 1000).replies();
  p.pass(10).send('A').replies();
  const { i32 } = p.host.env.arena;
  const row = p.host.tcp.flows.resolve(p.handle);
  i32[row + TCB.srtt] = 10_000 << 3; // the handshake took no time at all
  i32[row + TCB.rttvar] = 1000 << 2;
  i32[row + TCB.minRtt] = 10_000;
  i32[row + TCB.rto] = 200_000;
  p.write(1000, count * 1000).replies();
  p.pass(10);
  p.events();
  return p;
}

const has = (p: Peer, flag: number): boolean => (p.host.field(p.handle, 'flags') & flag) !== 0;
const field = (p: Peer, name: keyof typeof TCB): number => p.host.field(p.handle, name);
const seqs = (p: Peer): number[] => p.replies().map(({ seq }) => seq);

test('recovery_threeSegmentsBehindAHole_resentAtOnce', () => {
  const p = flight(10);
  p.send('A', { ack: 1001, blocks: [[2001, 3001]] }).expect();
  p.send('A', { ack: 1001, blocks: [[2001, 4001]] }).expect();
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, length: 1000 });
  assert.ok(has(p, FLAG.recovery));
  assert.equal(field(p, 'ssthresh'), 7000, 'CUBIC: 0.7');
  p.send('A', { ack: 11_001 });
  assert.ok(!has(p, FLAG.recovery | FLAG.disorder));
  assert.equal(field(p, 'cwnd'), 7000);
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.close();
});

test('recovery_newReno_halves', () => {
  const p = flight(10, SACK, false);
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, length: 1000 });
  assert.equal(field(p, 'ssthresh'), 5000);
  p.close();
});

test('recovery_begunByALargeAcknowledgement_isPartOfWhatWasOut', () => {
  const p = flight(10);
  p.write(11_000, 20_000);
  p.send('A', { ack: 5001, blocks: [[6001, 9001]] });
  assert.equal(field(p, 'prrFlight'), 10_000, 'its 4000 bytes are in prrDelivered, too');
  assert.equal(field(p, 'prrDelivered'), 7000);
  assert.ok(field(p, 'cwnd') <= 7000, `${field(p, 'cwnd')}: no more than ssthresh`);
  p.send('A', { ack: 31_001 }).close();
});

test('disorder_hole_resentAfterAQuarterOfTheRoundTrip', () => {
  const p = flight(3);
  p.send('A', { ack: 1001, blocks: [[2001, 3001]] }).expect();
  p.pass(2).expect();
  p.pass(1).expect({ seq: 1001, length: 1000 });
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.close();
});

test('disorder_holeFilledInTime_nothingResent', () => {
  const p = flight(3);
  p.send('A', { ack: 1001, blocks: [[2001, 3001]] });
  p.pass(1).send('A', { ack: 3001 });
  assert.ok(has(p, FLAG.reorders));
  p.pass(5).expect();
  p.send('A', { ack: 4001 }).pass(100).expect();
  assert.equal(field(p, 'cwnd'), 10_000);
  p.close();
});

test('reordersSeen_threeSegmentsBehindAHole_waitsAllTheSame', () => {
  const p = flight(3);
  p.send('A', { ack: 1001, blocks: [[2001, 3001]] }).send('A', { ack: 3001 });
  p.send('A', { ack: 4001 }).write(4000, 8000).replies();
  p.pass(10)
    .send('A', { ack: 4001, blocks: [[5001, 9001]] })
    .expect();
  p.pass(3).expect({ seq: 4001, length: 1000 });
  p.close();
});

test('disorder_selectiveAck_sendsNewDataForIt', () => {
  const p = flight(15);
  const sent = field(p, 'sndNxt');
  p.send('A', { ack: 1001, blocks: [[2001, 3001]] });
  assert.equal((field(p, 'sndNxt') - sent) | 0, 1000, 'limited transmit');
  p.close();
});

test('recovery_manyHoles_allResentWithoutTimeout', () => {
  const p = flight(11);
  p.send('A', {
    ack: 1001,
    blocks: [
      [2001, 3001],
      [4001, 5001],
      [6001, 7001],
    ],
  });
  p.send('A', {
    ack: 1001,
    blocks: [
      [8001, 11_001],
      [6001, 7001],
      [4001, 5001],
    ],
  });
  const again = seqs(p);
  for (let i = 0; i < 4 && again.length < 4; i++) {
    p.pass(10).send('A', { ack: again.at(-1)! + 1000, blocks: [[8001, 11_001]] });
    again.push(...seqs(p));
  }
  assert.deepEqual(again.slice(0, 4), [1001, 3001, 5001, 7001], 'the holes, in order, once');
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.close();
});

test('recovery_windowFallsInProportion', () => {
  const p = flight(10);
  p.write(11_000, 30_000);
  p.replies();
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] });
  let out = p.replies().reduce((sum, { length }) => sum + length, 0);
  const flightThen = field(p, 'prrFlight');
  for (let end = 6001; end <= 11_001; end += 1000) {
    p.send('A', { ack: 1001, blocks: [[2001, end]] });
    out += p.replies().reduce((sum, { length }) => sum + length, 0);
  }
  const delivered = field(p, 'prrDelivered');
  const most = (delivered * field(p, 'ssthresh')) / flightThen + 2000;
  assert.ok(out >= 3000 && out <= most, `${out} bytes for ${delivered} delivered, at most ${most}`);
  assert.ok(field(p, 'cwnd') >= field(p, 'ssthresh') - 1000, 'it ends near ssthresh');
  p.close();
});

test('recovery_retransmissionLost_resentAgainWithoutTimeout', () => {
  const p = flight(10);
  p.write(11_000, 10_000).replies();
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] });
  assert.equal(seqs(p)[0], 1001);
  p.pass(5)
    .send('A', { ack: 1001, blocks: [[2001, 9001]] })
    .replies(); // new data goes out for it
  p.pass(11).send('A', { ack: 1001, blocks: [[2001, 14_001]] });
  assert.ok(seqs(p).includes(1001), 'what left after the retransmission has arrived');
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.close();
});

test('recovery_answerTooSoonForTheRetransmission_isTheOriginals', () => {
  const p = flight(10);
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, length: 1000 });
  p.pass(1).send('A', { ack: 2001, blocks: [[2001, 5001]] });
  assert.equal(field(p, 'rackRtt') >= 10_000, true, `${field(p, 'rackRtt')} us`);
  p.pass(1).send('A', { ack: 5001 }).expect();
  assert.equal(p.host.count('tcpRetransmits'), 1, 'what left before it is not lost for that');
  p.send('A', { ack: 11_001 }).close();
});

test('tailLoss_twoSegments_probeAndThenRecovery', () => {
  const p = flight(5);
  p.send('A', { ack: 4001 }).expect();
  p.pass(60).expect({ seq: 5001, length: 1000 });
  p.pass(10).send('A', { ack: 4001, blocks: [[5001, 6001]] });
  p.expect({ seq: 4001, length: 1000 });
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.pass(10).send('A', { ack: 6001 }).pass(300).expect();
  p.close();
});

test('tailLoss_oneSegment_probeRepairsAndTheWindowPays', () => {
  const p = flight(5);
  p.send('A', { ack: 5001 });
  const cwnd = field(p, 'cwnd');
  p.pass(250).expect({ seq: 5001, length: 1000 });
  p.pass(10).send('A', { ack: 6001 }).expect();
  assert.equal(field(p, 'cwnd'), cwnd, 'perhaps a DSACK follows');
  p.write(6000, 1000).replies();
  p.pass(10).send('A', { ack: 7001 });
  assert.ok(field(p, 'cwnd') < cwnd);
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.close();
});

test('tailProbe_dsack_nothingWasLost', () => {
  const p = flight(5);
  p.send('A', { ack: 5001 });
  const cwnd = field(p, 'cwnd');
  p.pass(250).expect({ seq: 5001, length: 1000 });
  p.pass(1).send('A', { ack: 6001 });
  p.pass(9).send('A', { ack: 6001, blocks: [[5001, 6001]] });
  p.write(6000, 1000).replies();
  p.pass(10).send('A', { ack: 7001 });
  assert.ok(field(p, 'cwnd') >= cwnd);
  assert.ok(!has(p, FLAG.tail));
  p.close();
});

test('tailProbe_unsentData_isSentInstead', () => {
  const p = flight(20);
  const next = (field(p, 'sndNxt') - field(p, 'iss')) | 0;
  p.pass(60).expect({ seq: next, length: 1000 });
  assert.equal(p.host.count('tcpRetransmits'), 0);
  assert.equal(p.host.count('tcpLossProbes'), 1);
  p.close();
});

test('tailProbe_unanswered_timeoutFromTheFront', () => {
  const p = flight(3);
  p.pass(60).expect({ seq: 3001, length: 1000 });
  p.pass(150).expect();
  p.pass(100).expect({ seq: 1001, length: 1000 });
  assert.equal(p.host.count('tcpTimeouts'), 1);
  p.close();
});

test('timeout_originalsArriveAfterAll_windowRestored', () => {
  const p = flight(15);
  const cwnd = field(p, 'cwnd');
  p.pass(60).replies();
  p.pass(300).expect({ seq: 1001, length: 1000 });
  assert.equal(field(p, 'cwnd'), 1000);
  const next = (field(p, 'sndNxt') - field(p, 'iss')) | 0;
  p.send('A', { ack: 2001 }); // either transmission of the first
  assert.equal(seqs(p)[0], next, 'new data, not old: F-RTO');
  p.send('A', { ack: 3001 }); // this one was never sent again
  assert.ok(field(p, 'cwnd') >= cwnd, `${field(p, 'cwnd')}`);
  assert.ok(!has(p, FLAG.loss));
  assert.equal(p.host.count('tcpUndone'), 1);
  assert.ok(!seqs(p).includes(3001));
  p.close();
});

test('timeout_echoOfTheFirstTransmission_windowRestored', () => {
  const p = flight(10, STAMPED);
  const cwnd = field(p, 'cwnd');
  const echo = p.tsEcr;
  p.pass(60).replies();
  p.pass(300).expect({ seq: 1001, length: 1000 });
  p.send('A', { ack: 2001, ts: [2000, echo] }).expect();
  assert.ok(field(p, 'cwnd') >= cwnd);
  p.close();
});

test('timeout_genuine_restSentAgainButNotWhatIsSacked', () => {
  const p = flight(6);
  p.send('A', { ack: 1001, blocks: [[3001, 4001]] }).replies();
  p.pass(3).replies(); // the hole, by RACK
  p.pass(1000);
  assert.equal(p.replies().at(-1)!.seq, 1001);
  assert.ok(has(p, FLAG.loss));
  p.pass(10).send('A', { ack: 2001, blocks: [[3001, 4001]] });
  p.pass(10).send('A', { ack: 4001 });
  const again = seqs(p);
  assert.ok(again.includes(2001) && again.includes(4001) && !again.includes(3001), `${again}`);
  p.pass(10).send('A', { ack: 7001 });
  assert.ok(!has(p, FLAG.loss));
  p.close();
});

test('timeout_peerForgetsWhatItHad_allSentAgain', () => {
  const p = flight(3);
  p.send('A', { ack: 1001, blocks: [[2001, 4001]] });
  p.pass(3).replies();
  p.pass(10).send('A', { ack: 2001 }).replies(); // without blocks: it has dropped them
  p.pass(1000);
  const again = seqs(p);
  assert.ok(again.includes(2001), `${again}`);
  p.send('A', { ack: 3001 }).expect({ seq: 3001, length: 1000 });
  p.send('A', { ack: 4001 });
  p.close();
});

test('recovery_dsackOfTheRetransmission_windowRestoredAndPatienceGrows', () => {
  const p = flight(10);
  const cwnd = field(p, 'cwnd');
  p.send('A', { ack: 1001, blocks: [[2001, 5001]] }).expect({ seq: 1001, length: 1000 });
  p.pass(1).send('A', { ack: 5001 });
  p.pass(9).send('A', { ack: 6001, blocks: [[1001, 2001]] });
  assert.ok(!has(p, FLAG.recovery));
  assert.ok(field(p, 'cwnd') >= cwnd);
  assert.equal(field(p, 'reoSteps'), 1);
  p.close();
});

test('sackBlocks_impossibleOnes_ignored', () => {
  const p = flight(5);
  const blocks: [number, number][] = [
    [3001, 2001],
    [5001, 90_000],
    [900_000, 900_100],
    [2001, 2001],
  ];
  p.send('A', { ack: 1001, blocks: blocks.slice(0, 3) });
  p.send('A', { ack: 1001, blocks: blocks.slice(3) });
  assert.equal(field(p, 'sacked'), 0);
  p.send('A', { ack: 1001, options: [1, 1, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0] });
  assert.equal(p.host.count('tcpBadOption'), 1);
  p.close();
});

test('sackBlocks_everySecondByte_boundedAndNothingLost', () => {
  const p = flight(10, { ...SACK }, true);
  for (let at = 1002; at < 6000; at += 2) {
    p.send('A', { ack: 1001, blocks: [[at, at + 1]] });
  }
  assert.ok(field(p, 'runs') <= 512 + 10, `${field(p, 'runs')} runs`);
  p.replies();
  p.send('A', { ack: 11_001 });
  assert.equal(field(p, 'runs'), 0);
  p.close();
});

test('fin_lost_probedAndAcknowledged', () => {
  const p = flight(2);
  p.host.tcp.shutdown(p.handle);
  p.turn().expect({ flags: 'FA', seq: 3001 });
  p.pass(1).send('A', { ack: 3001 });
  p.pass(400);
  assert.ok(p.replies().some(({ flags, seq }) => flags === 'FA' && seq === 3001));
  p.send('A', { ack: 3002 });
  assert.equal(p.state, 'finWait2');
  p.close();
});

test('established_duplicates_dsackNamesThem', () => {
  const p = new Peer().open(SACK);
  p.send('A', { data: 100 }).send('A', { data: 100 });
  p.pass(50).replies();
  p.send('A', { seq: 1, data: 100 }).expect({ ack: 201, blocks: [[1, 101]] });
  p.send('A', { seq: 301, data: 100 }).expect({ ack: 201, blocks: [[301, 401]] });
  p.send('A', { seq: 301, data: 100 }).expect({
    ack: 201,
    blocks: [
      [301, 401],
      [301, 401],
    ],
  });
  p.send('A', { seq: 501, data: 100 }).expect({
    ack: 201,
    blocks: [
      [501, 601],
      [301, 401],
    ],
  });
  p.close();
});

test('timeouts_peerAnswersButTakesNothing_flowLives', () => {
  const p = flight(3);
  for (let i = 0; i < 40; i++) p.pass(60_000).send('A', { ack: 1001 }).replies();
  assert.equal(p.state, 'established');
  p.send('A', { ack: 4001 });
  p.close();
});

test('timers_longWaitSetWhileOneFires_retransmissionNotLate', () => {
  const p = new Peer().open({ mss: 1000 });
  p.host.tcp.keepalive(p.handle, 1); // fires at once, and again in an hour, with data in flight
  p.write(0, 1000).replies();
  const { i32 } = p.host.env.arena;
  i32[p.host.tcp.flows.resolve(p.handle) + TCB.keepIdleMs] = 3_600_000;
  p.pass(5).expect();
  p.pass(1000).expect({ seq: 1, length: 1000 });
  p.close();
});
