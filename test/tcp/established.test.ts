/** ESTABLISHED, segment by segment (RFC 9293 3.10.7.4, RFC 5961). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import { isStream } from './host.ts';
import { Peer } from './peer.ts';

const ALL_OPTIONS = { mss: 1460, scale: 7, sack: true, ts: [1000, 0] as [number, number] };

for (const signed of [false, true]) {
  test(`established_dataAcross${signed ? 'Signed' : ''}Wrap_deliveredAndAcknowledged`, () => {
    const p = new Peer({ signed }).open();
    for (let i = 0; i < 40; i++) {
      const from = p.seq;
      p.send('PA', { data: 50 });
      const [recv] = p.eventsOf(EVENT.recv);
      assert.equal(recv!.words[1], 50);
      assert.ok(isStream(p.host, recv!.words[0]!, 50, from - 1));
      assert.equal(p.host.tcp.recvDone(p.handle, 50), CODE.OK);
      p.write(i * 50, 50).expect({ flags: 'PA', seq: 1 + i * 50, ack: p.seq, length: 50 });
      p.send('A');
    }
    assert.ok(p.host.count('tcpHeaderPredicted') >= 79);
    p.close();
  });
}

test('established_oneSmallSegment_ackAfter2Ms', () => {
  const p = new Peer().open();
  p.send('PA', { data: 10 }).expect();
  p.pass(1).expect();
  p.pass(2).expect({ flags: 'A', seq: 1, ack: 11, length: 0 });
  assert.equal(p.host.count('tcpDelayedAcks'), 1);
  p.pass(100).expect();
  p.close();
});

test('established_twoFullSegments_ackAtOnce', () => {
  const p = new Peer().open();
  p.send('A', { data: 1460 });
  p.send('A', { data: 1460 });
  p.replies();
  p.send('A', { data: 1460 }).expect();
  p.send('A', { data: 1460 }).expect({ flags: 'A', ack: 5841 });
  p.close();
});

test('established_reply_carriesTheAck', () => {
  const p = new Peer().open();
  p.deliver('PA', { data: 10 });
  p.host.tcp.send(p.handle, p.host.at(0), 5);
  p.host.turn();
  p.expect({ flags: 'PA', seq: 1, ack: 11, length: 5 });
  p.pass(100).send('A').expect();
  p.close();
});

test('established_badChecksum_droppedAndCounted', () => {
  const p = new Peer().open();
  p.send('PA', { data: 10, badChecksum: true, seq: 1 });
  p.pass(50).expect();
  assert.equal(p.host.count('tcpBadChecksum'), 1);
  p.close();
});

test('established_badDataOffset_droppedAndCounted', () => {
  const p = new Peer().open();
  p.send('PA', { data: 8, dataOffset: 4, seq: 1 }).send('PA', { data: 8, dataOffset: 15, seq: 1 });
  p.pass(50).expect();
  assert.equal(p.host.count('tcpBadOffset'), 2);
  p.close();
});

test('established_impossibleOption_droppedAndCounted', () => {
  const p = new Peer().open();
  for (const options of [
    [8, 0, 1, 1],
    [5, 1, 1, 1],
    [2, 4, 5, 0, 8, 200, 0, 0],
    [1, 1, 1, 8],
  ]) {
    p.send('PA', { data: 8, seq: 1, options });
  }
  p.pass(50).expect();
  assert.equal(p.host.count('tcpBadOption'), 4);
  p.send('PA', { data: 8, seq: 1, options: [254, 4, 1, 2] });
  assert.equal(p.host.field(p.handle, 'rcvNxt') - p.iss, 9, 'an unknown option is skipped');
  p.close();
});

test('established_outOfOrder_duplicateAckAtOnceThenHoleFilled', () => {
  const p = new Peer().open();
  p.send('A', { seq: 101, data: 100 }).expect({ flags: 'A', ack: 1 });
  p.send('A', { seq: 201, data: 100 }).expect({ flags: 'A', ack: 1 });
  assert.deepEqual(p.events(), []);
  p.send('A', { seq: 1, data: 100 }).expect({ flags: 'A', ack: 301 });
  const stretches = p.eventsOf(EVENT.recv).map(({ words }) => words[1]);
  assert.deepEqual(stretches, [100, 100, 100]);
  p.close();
});

test('established_duplicateAcksOfReceiver_sameWindow', () => {
  const p = new Peer().open();
  p.send('A', { seq: 1, data: 1000 }).send('A', { data: 1000 });
  p.replies();
  p.send('A', { seq: 3001, data: 1000 });
  const [first] = p.replies();
  p.host.tcp.recvDone(p.handle, 2000);
  p.send('A', { seq: 4001, data: 1000 });
  assert.equal(p.replies().at(-1)!.window, first!.window);
  p.close();
});

test('established_outOfOrderWithSack_blocksNameWhatArrived', () => {
  const p = new Peer().open(ALL_OPTIONS);
  p.send('A', { seq: 101, data: 100 }).expect({ ack: 1, blocks: [[101, 201]] });
  p.send('A', { seq: 301, data: 100 }).expect({
    ack: 1,
    blocks: [
      [301, 401],
      [101, 201],
    ],
  });
  p.send('A', { seq: 501, data: 100 });
  p.expect({
    ack: 1,
    blocks: [
      [501, 601],
      [301, 401],
      [101, 201],
    ],
  });
  p.send('A', { seq: 201, data: 100 }).expect({
    ack: 1,
    blocks: [
      [101, 401],
      [501, 601],
    ],
  });
  p.send('A', { seq: 1, data: 100 }).expect({ ack: 401, blocks: [[501, 601]] });
  p.close();
});

test('established_overlaps_everyByteOnce', () => {
  const p = new Peer().open();
  for (const [seq, data] of [
    [101, 100],
    [151, 100],
    [91, 30],
    [301, 50],
    [201, 200],
    [41, 300],
    [1, 60],
  ]) {
    p.send('A', { seq: seq!, data: data! });
  }
  let position = 0;
  for (const { words } of p.eventsOf(EVENT.recv)) {
    assert.ok(isStream(p.host, words[0]!, words[1]!, position));
    position += words[1]!;
  }
  assert.equal(position, 400);
  p.close();
});

test('established_oldDuplicate_ackAtOnce', () => {
  const p = new Peer().open();
  p.send('A', { data: 100 });
  p.pass(50).replies();
  p.send('A', { seq: 1, data: 100 }).expect({ flags: 'A', ack: 101 });
  p.send('A', { seq: 51, data: 100 }).expect({ flags: 'A', ack: 151 });
  p.close();
});

test('established_beyondWindow_ackAndDropped', () => {
  const p = new Peer().open();
  p.send('A', { seq: 70_000, data: 10 }).expect({ flags: 'A', ack: 1 });
  assert.equal(p.host.count('tcpOutOfWindow'), 1);
  p.close();
});

test('established_partlyBeyondWindow_trimmed', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 256 } } }).open();
  const edge = (p.host.field(p.handle, 'rcvEdge') - p.iss) | 0;
  p.send('A', { seq: edge - 10, data: 100 });
  assert.equal(p.host.field(p.handle, 'oooFrames'), 1);
  p.replies();
  p.close();
});

test('established_rstExact_dead', () => {
  const p = new Peer().open();
  p.send('R').expect();
  const [dead] = p.eventsOf(EVENT.dead);
  assert.equal(dead!.words[0], DEAD.reset);
  assert.equal(dead!.cookie, 55);
  assert.equal(p.host.tcp.send(p.handle, p.host.at(0), 1), CODE.BAD_HANDLE);
  p.close();
});

test('established_rstInWindow_challengeAck', () => {
  const p = new Peer().open();
  p.send('R', { seq: 100 }).expect({ flags: 'A', ack: 1, length: 0 });
  assert.equal(p.state, 'established');
  assert.equal(p.host.count('tcpChallengeAcks'), 1);
  p.close();
});

test('established_rstOutsideWindow_ignored', () => {
  const p = new Peer().open();
  p.send('R', { seq: -1 }).send('R', { seq: 1_000_000 }).expect();
  assert.equal(p.state, 'established');
  p.close();
});

test('established_syn_challengeAck', () => {
  const p = new Peer().open();
  p.send('S', { seq: 5000 }).expect({ flags: 'A', ack: 1 });
  p.send('S', { seq: 0 }).expect({ flags: 'A', ack: 1 });
  p.send('SA', { seq: 1 }).expect({ flags: 'A', ack: 1 });
  assert.equal(p.state, 'established');
  p.close();
});

test('established_manyChallenges_limitedPerFlow', () => {
  const p = new Peer().open();
  for (let i = 0; i < 30; i++) p.send('S', { seq: 5000 });
  assert.equal(p.replies().length, 10);
  assert.equal(p.host.count('tcpChallengeLimited'), 20);
  p.pass(5001).send('S', { seq: 5000 });
  assert.equal(p.replies().length, 1);
  p.close();
});

test('established_ackOfUnsentData_challengeAckAndDropped', () => {
  const p = new Peer().open();
  p.send('PA', { ack: 500, data: 10, seq: 1 }).expect({ flags: 'A', ack: 1 });
  assert.deepEqual(p.events(), []);
  assert.equal(p.host.count('tcpBadAck'), 1);
  p.close();
});

test('established_veryOldAck_challengeAck', () => {
  const p = new Peer().open();
  p.send('A', { ack: 1 - 70_000 }).expect({ flags: 'A', seq: 1 });
  p.close();
});

test('established_oldAckWithData_dataTaken', () => {
  const p = new Peer().open();
  p.write(0, 100);
  p.replies();
  p.send('A').send('PA', { ack: 1, data: 10 });
  assert.equal(p.eventsOf(EVENT.recv)[0]!.words[1], 10);
  p.close();
});

test('established_noAckBit_dropped', () => {
  const p = new Peer().open();
  p.send('P', { data: 10, seq: 1 }).expect();
  assert.equal(p.host.count('tcpBadFlags'), 1);
  p.close();
});

test('established_urgentData_isJustData', () => {
  const p = new Peer().open();
  p.send('AU', { data: 10 });
  assert.equal(p.eventsOf(EVENT.recv)[0]!.words[1], 10);
  p.close();
});

test('established_olderTimestamp_pawsDropsAndAcks', () => {
  const p = new Peer().open(ALL_OPTIONS);
  p.tsVal = 5000;
  p.send('PA', { data: 10 });
  p.pass(50).replies();
  p.send('PA', { data: 10, ts: [4999, 0], seq: 11 }).expect({ flags: 'A', ack: 11 });
  assert.equal(p.host.count('tcpPaws'), 1);
  p.send('PA', { data: 10, seq: 11 });
  p.pass(50).expect({ flags: 'A', ack: 21, ts: [p.tsEcr + 50, 5000] });
  p.close();
});

test('established_olderTimestampAfter24Days_taken', () => {
  const p = new Peer().open(ALL_OPTIONS);
  p.tsVal = 5000;
  p.send('PA', { data: 10 });
  p.replies();
  for (let day = 0; day < 25; day++) for (let hour = 0; hour < 240; hour++) p.pass(360_000);
  p.replies();
  p.send('PA', { data: 10, ts: [4000, 0] });
  assert.equal(p.host.count('tcpPaws'), 0);
  p.close();
});

test('established_rstWithoutTimestamp_ends', () => {
  const p = new Peer().open(ALL_OPTIONS);
  p.send('R', { seq: 1 }).expect();
  assert.deepEqual(p.events(), ['dead'], 'an RST needs none');
  p.close();
});

test('established_timestampEcho_ofFirstUnacknowledged', () => {
  const p = new Peer().open(ALL_OPTIONS);
  p.tsVal = 2000;
  p.deliver('A', { data: 10 });
  p.tsVal = 2001;
  p.deliver('A', { data: 10 });
  p.host.turn();
  p.pass(50);
  assert.equal(p.replies().at(-1)!.ts![1], 2000, 'RFC 7323 4.3 (A)');
  p.close();
});

test('recvDone_badCounts_badCount', () => {
  const p = new Peer().open();
  assert.equal(p.host.tcp.recvDone(p.handle, 1), CODE.BAD_COUNT);
  p.send('PA', { data: 10 });
  assert.equal(p.host.tcp.recvDone(p.handle, 11), CODE.BAD_COUNT);
  assert.equal(p.host.tcp.recvDone(p.handle, -1), CODE.BAD_COUNT);
  assert.equal(p.host.tcp.recvDone(p.handle, 4), CODE.OK);
  assert.equal(p.host.tcp.recvDone(p.handle, 7), CODE.BAD_COUNT);
  assert.equal(p.host.tcp.recvDone(p.handle, 6), CODE.OK);
  assert.equal(p.host.tcp.recvDone(p.handle, 0), CODE.OK);
  p.close();
});

test('established_slowReader_windowClosesAndReopens', () => {
  const p = new Peer().open();
  let sent = 0;
  while (((p.host.field(p.handle, 'rcvEdge') - p.iss) | 0) - p.seq > 0) {
    const left = ((p.host.field(p.handle, 'rcvEdge') - p.iss) | 0) - p.seq;
    const data = Math.min(1460, left);
    p.send('A', { data });
    sent += data;
  }
  p.pass(50);
  const last = p.replies().at(-1)!;
  assert.equal(last.window, 0);
  assert.ok(sent >= 65_535, `${sent}`);
  p.send('A', { data: 1, seq: p.seq }).expect({ flags: 'A', window: 0, ack: p.seq - 1 });
  p.seq -= 1; // it was a probe: nobody took it
  assert.equal(p.host.tcp.recvDone(p.handle, 1000), CODE.OK);
  p.host.turn();
  p.expect();
  assert.equal(p.host.tcp.recvDone(p.handle, 40_000), CODE.OK);
  p.host.turn();
  const [update] = p.expect({ flags: 'A', ack: p.seq });
  assert.ok(update!.window >= 40_000);
  p.close();
});

test('zeroWindow_finAtRcvNxt_taken', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 256 } } }).open();
  for (;;) {
    const left = ((p.host.field(p.handle, 'rcvEdge') - p.iss) | 0) - p.seq;
    if (left <= 0) break;
    p.send('A', { data: Math.min(1460, left) });
  }
  p.replies();
  p.send('FA').expect({ flags: 'A', ack: p.seq });
  assert.equal(p.state, 'closeWait');
  p.close();
});

test('established_bulkFromPeerWithoutScale_oneAckForTwoSegments', () => {
  const p = new Peer().open({ mss: 1460 });
  for (let i = 0; i < 200; i++) {
    p.send('A', { data: 1460 });
    assert.equal(p.host.tcp.recvDone(p.handle, 1460), CODE.OK);
    p.turn();
  }
  assert.ok(p.host.field(p.handle, 'rcvBuf') > 65_536, 'the buffer has grown beyond the window');
  const acks = p.replies().length;
  assert.ok(acks >= 99 && acks <= 105, `${acks} acknowledgements of 200 segments`);
  p.close();
});

test('established_bulkFromPeerWithScale_windowGrowsWithUse', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 2048 } } }).open(ALL_OPTIONS);
  for (let i = 0; i < 500; i++) {
    p.send('A', { data: 1448 });
    assert.equal(p.host.tcp.recvDone(p.handle, 1448), CODE.OK);
    p.turn();
  }
  const last = p.replies().at(-1)!;
  assert.ok(last.window << 7 >= 4 * 65_536, `${last.window << 7}`);
  p.close();
});

test('established_oddLengthsUnreadWithScale_rightEdgeNeverMovesLeft', () => {
  const p = new Peer().open(ALL_OPTIONS);
  for (let i = 0; i < 60; i++) {
    p.send('PA', { data: 1 + ((i * 37) % 300) });
    p.pass(50).replies(); // every reply's edge is checked there
  }
  p.close();
});

// An acknowledgement that is due by count and is held (HOLD_ACK_US).

const holding = (): Peer => new Peer({ offer: { holdAckUs: 5 } }).open(ALL_OPTIONS);

/**
 * Time passes, `count` full segments come, and what is due goes: the acknowledgements that left.
 */
function afterUs(p: Peer, us: number, count: number): number {
  p.host.env.clock.us += us;
  for (let i = 0; i < count; i++) p.deliver('A', { data: 1448 });
  p.host.stack.flush();
  return p.replies().length;
}

test('held_twoSegments_acknowledgedAfter5us', () => {
  const p = holding();
  assert.equal(afterUs(p, 0, 2), 0);
  assert.ok(p.host.tcp.hasOutput(), 'the thread goes on');
  assert.equal(afterUs(p, 4, 0), 0);
  assert.equal(afterUs(p, 1, 0), 1);
  assert.ok(!p.host.tcp.hasOutput());
  p.close();
});

test('held_moreComes_noLongerForThat', () => {
  const p = holding();
  assert.equal(afterUs(p, 0, 2), 0);
  assert.equal(afterUs(p, 4, 2), 0);
  assert.equal(afterUs(p, 1, 2), 1);
  assert.equal(afterUs(p, 0, 2), 0, 'and the next ones are held anew');
  assert.equal(afterUs(p, 5, 0), 1);
  p.close();
});

test('held_neverMoreThanEightSegments', () => {
  const p = holding();
  assert.equal(afterUs(p, 0, 7), 0);
  assert.equal(afterUs(p, 0, 1), 1);
  p.close();
});

test('held_reply_carriesIt', () => {
  const p = holding();
  assert.equal(afterUs(p, 0, 2), 0);
  p.write(0, 100);
  const [reply, ...more] = p.replies();
  assert.deepEqual([reply!.length, reply!.ack, more.length], [100, 1 + 2 * 1448, 0]);
  assert.equal(afterUs(p, 5, 0), 0);
  p.expect();
  p.close();
});

test('held_outOfOrder_notHeld', () => {
  const p = holding();
  assert.equal(afterUs(p, 0, 1), 0);
  p.deliver('A', { data: 1448, seq: p.seq + 1448 });
  assert.equal(p.replies().length, 1);
  p.close();
});
