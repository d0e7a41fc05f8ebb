/** Sending, segment by segment: full ones, windows, retransmission, recovery, probes, keepalive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import { Peer } from './peer.ts';

const STAMPS = { mss: 1460, scale: 7, sack: true, ts: [1000, 0] as [number, number] };

/** A peer that has let cwnd grow: `rounds` windows were acknowledged. */
function warm(p: Peer, rounds: number): number {
  let from = 0;
  for (let round = 0; round < rounds; round++) {
    const length = p.host.field(p.handle, 'cwnd');
    p.host.tcp.send(p.handle, p.host.at(from), length);
    p.host.turn();
    p.replies();
    p.send('A');
    from += length;
  }
  p.replies();
  p.events();
  return from;
}

test('established_send_fullSegmentsAndARest', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 2500);
  p.expect(
    { flags: 'A', seq: 1, length: 1000 },
    { flags: 'A', seq: 1001, length: 1000 },
    { flags: 'PA', seq: 2001, length: 500 },
  );
  p.close();
});

test('established_sendWithTimestamps_optionsComeOffTheMss', () => {
  const p = new Peer().open(STAMPS);
  p.write(0, 1449);
  p.expect({ flags: 'A', length: 1448 }, { flags: 'PA', length: 1 });
  p.close();
});

test('established_oddSpans_oneSegmentWithTheirBytes', () => {
  const p = new Peer().open();
  const lengths = [1, 3, 7, 64, 65, 2, 99, 500];
  let at = 0;
  for (const length of lengths) {
    // not adjacent in memory, so that each is a span of its own
    assert.equal(p.host.tcp.send(p.handle, p.host.at(at * 3), length), length);
    at += length;
  }
  p.host.turn();
  const [segment] = p.expect({ flags: 'PA', length: at });
  let from = 0;
  let done = 0;
  for (const length of lengths) {
    const wanted = p.host.env.arena.u8.subarray(p.host.at(from * 3), p.host.at(from * 3) + length);
    assert.deepEqual([...segment!.data.subarray(done, done + length)], [...wanted]);
    done += length;
    from += length;
  }
  p.close();
});

test('established_noMssFromPeer_536', () => {
  const p = new Peer().open({});
  p.write(0, 600).expect({ flags: 'A', length: 536 }, { flags: 'PA', length: 64 });
  p.close();
});

test('established_tinyMss_believedDownTo64', () => {
  const p = new Peer().open({ mss: 1 });
  p.write(0, 65).expect({ flags: 'A', length: 64 }, { flags: 'PA', length: 1 });
  p.close();
});

test('established_initialWindow_tenSegments', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 20_000);
  assert.equal(p.replies().length, 10);
  p.send('A', { ack: 2001 });
  assert.equal(p.replies().length, 4, 'slow start: two acknowledged, four go');
  p.close();
});

test('established_sent_reportedOnceAndOnlyAcknowledged', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 3000);
  p.replies();
  p.send('A', { ack: 1001 });
  const [first] = p.eventsOf(EVENT.sent);
  assert.equal(first!.words[0], 1000);
  assert.equal(first!.words[1], 4 * 2 ** 20 - 2000);
  p.deliver('A', { ack: 1501 });
  p.deliver('A', { ack: 3001 });
  p.host.turn();
  assert.deepEqual(
    p.eventsOf(EVENT.sent).map(({ words }) => words[0]),
    [2000],
    'coalesced',
  );
  p.send('A', { ack: 3001 });
  assert.deepEqual(p.events(), []);
  p.close();
});

test('established_peerWindow_respectedWithScale', () => {
  const p = new Peer();
  p.window = 100;
  p.open({ mss: 1000, scale: 4 });
  p.write(0, 5000);
  p.expect({ flags: 'A', length: 1000 });
  p.send('A', { window: 300 });
  assert.equal(
    p.replies().reduce((sum, { length }) => sum + length, 0),
    4000,
  );
  p.close();
});

test('established_sillyWindow_smallRestWaits', () => {
  const p = new Peer();
  p.window = 4000;
  p.open({ mss: 1000 });
  p.write(0, 10_000);
  assert.equal(p.replies().length, 4);
  p.send('A', { ack: 1001, window: 3100 }).expect();
  p.send('A', { ack: 2001, window: 3000 }).expect({ seq: 4001, length: 1000 });
  p.close();
});

test('established_windowShrinks_nothingBeyondIt', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 20_000);
  p.replies();
  p.send('A', { ack: 1001, window: 2000 }).expect();
  p.send('A', { ack: 10_001, window: 2000 });
  p.expect({ seq: 10_001, length: 1000 }, { seq: 11_001, length: 1000 });
  p.close();
});

test('established_oldSeqWithNewAck_itsWindowIsTaken', () => {
  const p = new Peer();
  p.window = 5000;
  p.open({ mss: 1000 });
  p.write(0, 8000);
  assert.equal(p.replies().length, 5);
  p.send('A', { seq: 101, data: 100, ack: 1 }).replies();
  p.send('A', { seq: 1, data: 100, ack: 3001, window: 2000 });
  for (const { seq, length } of p.replies()) assert.ok(seq + length <= 5001, 'the edge stands');
  p.close();
});

test('established_newerSeqWithOlderAck_itsWindowIsNotTaken', () => {
  const p = new Peer();
  p.window = 5000;
  p.open({ mss: 1000 });
  p.write(0, 12_000);
  assert.equal(p.replies().length, 5);
  p.send('A', { seq: 1, data: 100, ack: 5001, window: 1000 });
  p.send('A', { seq: 101, data: 100, ack: 3001, window: 5000 }); // sent before the other
  for (const { seq, length } of p.replies()) assert.ok(seq + length <= 6001, 'the edge stands');
  p.close();
});

test('established_noAck_retransmitsWithBackoff', () => {
  const p = new Peer().open({ ...STAMPS, sack: false });
  p.write(0, 100).expect({ seq: 1, length: 100 });
  const rto = p.host.field(p.handle, 'rto') / 1000;
  assert.ok(rto >= 200 && rto <= 1000, `${rto} ms`);
  for (let i = 0, wait = rto; i < 4; i++, wait *= 2) {
    p.pass(wait - 1).expect();
    p.pass(2).expect({ flags: 'PA', seq: 1, length: 100 });
  }
  assert.equal(p.host.count('tcpTimeouts'), 4);
  p.send('A');
  assert.deepEqual(
    p.eventsOf(EVENT.sent).map(({ words }) => words[0]),
    [100],
  );
  p.close();
});

test('established_neverAnAck_deadByTimeout', () => {
  const p = new Peer().open();
  p.write(0, 100);
  for (let second = 0; second < 600; second++) p.pass(1000);
  const [dead] = p.eventsOf(EVENT.dead);
  assert.equal(dead!.words[0], DEAD.timeout);
  assert.equal(p.host.count('tcpTimeouts'), 13);
  p.close();
});

test('established_thirdTimeout_theNeighbourIsAskedAgain', () => {
  const p = new Peer().open();
  p.write(0, 100);
  const asked = p.host.count('arpRequestsOut');
  for (let tenth = 0; p.host.count('tcpTimeouts') < 3; tenth++) {
    assert.equal(p.host.count('arpRequestsOut'), asked, `after ${tenth / 10} s`);
    p.pass(100);
  }
  assert.equal(p.host.count('arpRequestsOut'), asked + 1);
  p.send('A', { ack: 101 }).close();
});

test('timeout_everythingAgain_fromOneSegment', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 5000);
  assert.equal(p.replies().length, 5);
  p.pass(1001).expect({ seq: 1, length: 1000 });
  p.send('A', { ack: 1001 }).expect({ seq: 1001 }, { seq: 2001 });
  p.send('A', { ack: 5001 }).expect();
  assert.equal(p.host.field(p.handle, 'txBytes'), 0);
  p.close();
});

test('timeout_ackCoversMoreThanSentAgain_goesOnBehindIt', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 5000);
  p.replies();
  p.pass(1001).replies();
  p.send('A', { ack: 4501 }).expect({ seq: 4501, length: 500 });
  p.close();
});

test('threeDuplicates_fastRetransmitThenPartialThenFull', () => {
  const p = new Peer({ congestion: 'newReno' }).open({ mss: 1000 });
  p.write(0, 10_000);
  assert.equal(p.replies().length, 10);
  p.send('A', { ack: 1 }).send('A', { ack: 1 }).expect();
  p.send('A', { ack: 1 }).expect({ seq: 1, length: 1000 });
  assert.equal(p.host.field(p.handle, 'ssthresh'), 5000);
  assert.equal(p.host.field(p.handle, 'cwnd'), 8000);
  p.send('A', { ack: 3001 }).expect({ seq: 3001, length: 1000 });
  p.send('A', { ack: 10_001 }).expect();
  assert.ok(p.host.field(p.handle, 'cwnd') <= 5000);
  assert.equal(p.host.count('tcpFastRetransmits'), 1);
  assert.equal(p.host.count('tcpTimeouts'), 0);
  p.close();
});

test('twoDuplicates_limitedTransmitSendsNewData', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 15_000);
  assert.equal(p.replies().length, 10);
  p.send('A', { ack: 1 }).expect({ seq: 10_001 });
  p.send('A', { ack: 1 }).expect({ seq: 11_001 });
  p.close();
});

test('recovery_moreDuplicates_inflateTheWindow', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 30_000);
  p.replies();
  for (let i = 0; i < 3; i++) p.send('A', { ack: 1 });
  assert.equal(p.replies().at(-1)!.seq, 1);
  for (let i = 0; i < 9; i++) p.send('A', { ack: 1 });
  assert.ok(p.replies().length > 0, 'new data for segments that have left');
  p.close();
});

test('duplicateAcksWithWindowUpdate_areNotDuplicates', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 10_000);
  p.replies();
  for (let i = 0; i < 5; i++) p.send('A', { ack: 1, window: 30_000 + i });
  p.expect();
  assert.equal(p.host.count('tcpFastRetransmits'), 0);
  p.close();
});

test('afterTimeout_duplicatesOfOldData_noFastRetransmit', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 10_000);
  p.replies();
  p.pass(1001).replies();
  for (let i = 0; i < 5; i++) p.send('A', { ack: 1 });
  assert.equal(p.host.count('tcpFastRetransmits'), 0);
  p.close();
});

test('congestionAvoidance_oneSegmentPerWindow', () => {
  const p = new Peer().open({ mss: 1000 });
  p.write(0, 10_000);
  p.replies();
  for (let i = 0; i < 3; i++) p.send('A', { ack: 1 });
  p.replies();
  p.send('A', { ack: 10_001 });
  const before = p.host.field(p.handle, 'cwnd');
  let from = 10_000;
  for (let round = 0; round < 6; round++) {
    const length = p.host.field(p.handle, 'cwnd');
    p.write(from, length);
    p.replies();
    p.send('A');
    from += length;
  }
  const grown = (p.host.field(p.handle, 'cwnd') - before) / 1000;
  assert.ok(grown >= 3 && grown <= 9, `grew by ${grown} segments in 6 windows`);
  p.close();
});

test('applicationLimited_cwndDoesNotGrow', () => {
  const p = new Peer().open({ mss: 1000 });
  for (let i = 0; i < 50; i++) {
    p.write(i * 100, 100);
    p.replies();
    p.send('A');
  }
  assert.equal(p.host.field(p.handle, 'cwnd'), 10_000);
  p.close();
});

test('idle_longerThanRto_cwndBackToInitial', () => {
  const p = new Peer();
  p.window = 65_000;
  p.open({ mss: 1000, scale: 7 });
  const from = warm(p, 3);
  assert.ok(p.host.field(p.handle, 'cwnd') > 40_000);
  p.pass(2000).write(from, 60_000);
  assert.equal(p.replies().length, 10);
  p.close();
});

test('zeroWindow_probedWithBackoffForAsLongAsAnswered', () => {
  const p = new Peer();
  p.window = 1000;
  p.open({ mss: 1000 });
  p.write(0, 3000).expect({ seq: 1, length: 1000 });
  p.send('A', { window: 0 }).expect();
  const rto = p.host.field(p.handle, 'rto') / 1000;
  p.pass(rto + 1).expect({ flags: 'A', seq: 1001, length: 1 });
  p.send('A', { ack: 1001, window: 0 }).expect();
  p.pass(rto).expect();
  p.pass(rto + 1).expect({ seq: 1001, length: 1 });
  let probes = 0;
  for (let second = 0; second < 2000; second++) {
    const sent = p.pass(1000).host.count('tcpProbes');
    if (sent > probes) p.send('A', { ack: 1001, window: 0 });
    probes = sent;
  }
  assert.ok(probes > 25, `${probes} probes`);
  assert.equal(p.state, 'established');
  p.replies();
  p.send('A', { ack: 1001, window: 5000 });
  p.expect({ seq: 1001, length: 1000 }, { seq: 2001, length: 1000 });
  p.close();
});

test('zeroWindow_probeTaken_goesOnBehindIt', () => {
  const p = new Peer();
  p.window = 1000;
  p.open({ mss: 1000 });
  p.write(0, 3000);
  p.replies();
  p.send('A', { window: 0 }).pass(1001).expect({ seq: 1001, length: 1 });
  p.send('A', { ack: 1002, window: 4000 });
  p.expect({ seq: 1002, length: 1000 }, { seq: 2002, length: 999 });
  p.close();
});

test('zeroWindow_probesNotAnswered_deadByTimeout', () => {
  const p = new Peer();
  p.window = 1000;
  p.open({ mss: 1000 });
  p.write(0, 3000);
  p.replies();
  p.send('A', { window: 0 });
  for (let second = 0; second < 900; second++) p.pass(1000);
  assert.equal(p.eventsOf(EVENT.dead)[0]?.words[0], DEAD.timeout);
  p.close();
});

/**
 * A window that has closed over 2000 bytes; `seconds` pass, probes are answered or not. Returns how
 * many there were.
 */
function probed(p: Peer, seconds: number, isAnswering: boolean): number {
  const before = p.host.count('tcpProbes');
  let probes = before;
  for (let second = 0; second < seconds; second++) {
    const sent = p.pass(1000).host.count('tcpProbes');
    if (sent > probes && isAnswering) p.send('A', { ack: 1001, window: 0 });
    probes = sent;
  }
  return probes - before;
}

for (const [kind, isAnswering, most] of [
  ['Silent', false, 8],
  ['Answering', true, 13],
] as const) {
  test(`zeroWindow_ofClosedFlow${kind}Peer_givenUpAfter${most}Probes`, () => {
    const p = new Peer();
    p.window = 1000;
    p.open({ mss: 1000 });
    p.write(0, 3000);
    p.replies();
    p.send('A', { window: 0 });
    assert.equal(p.host.tcp.close(p.handle), CODE.OK);
    assert.equal(probed(p, 900, isAnswering), most);
    assert.equal(p.eventsOf(EVENT.dead)[0]?.words[0], DEAD.timeout);
    p.close();
  });
}

test('zeroWindow_closedAfterManyAnsweredProbes_countedAnew', () => {
  const p = new Peer();
  p.window = 1000;
  p.open({ mss: 1000 });
  p.write(0, 3000);
  p.replies();
  p.send('A', { window: 0 });
  assert.ok(probed(p, 1200, true) > 13);
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  assert.ok(probed(p, 240, true) > 3);
  p.replies();
  p.send('A', { ack: 1001, window: 5000 });
  p.expect({ seq: 1001, length: 1000 }, { flags: 'FPA', seq: 2001, length: 1000 });
  p.close();
});

test('send_queueFull_prefixAcceptedUntilAcknowledged', () => {
  const p = new Peer().open();
  let accepted = 0;
  for (;;) {
    const taken = p.host.tcp.send(p.handle, p.host.at(accepted), 60_000);
    accepted += taken;
    if (taken < 60_000) break;
  }
  assert.equal(accepted, 4 * 2 ** 20);
  assert.equal(p.host.tcp.send(p.handle, p.host.at(0), 1), 0);
  p.close();
});

test('send_spansUsedUp_zeroAcceptedAndCounted', () => {
  const p = new Peer({ environment: { limits: { sendSpans: 32 } } }).open();
  let spans = 0;
  while (p.host.tcp.send(p.handle, p.host.at(spans * 10), 5) === 5) spans++;
  assert.ok(spans >= 16 && spans < 32, `${spans}: half of what there is`);
  assert.equal(p.host.count('tcpNoSpan'), 1);
  p.close();
});

test('flush_noTransmitFrame_triesAgainAtNextFlush', () => {
  const p = new Peer().open();
  const { frames } = p.host.env;
  const taken: number[] = [];
  for (let frame = frames.takeTransmit(); frame >= 0; frame = frames.takeTransmit())
    taken.push(frame);
  p.write(0, 3000).expect();
  assert.ok(p.host.tcp.hasOutput());
  frames.free(taken.pop()!);
  p.host.turn();
  p.replies();
  for (const frame of taken) frames.free(frame);
  p.host.turn();
  p.replies();
  assert.equal(p.ack, 3001);
  assert.ok(!p.host.tcp.hasOutput());
  p.close();
});

test('keepalive_silentPeer_nineProbesThenDead', () => {
  const p = new Peer().open();
  assert.equal(p.host.tcp.keepalive(p.handle, 7_200_000), CODE.OK);
  for (let minute = 0; minute < 119; minute++) p.pass(60_000).expect();
  p.pass(61_000);
  assert.equal(p.host.count('tcpKeepalives'), 1);
  p.pass(1000);
  for (let second = 0; second < 800; second++) p.pass(1000);
  assert.equal(p.host.count('tcpKeepalives'), 9);
  assert.equal(p.eventsOf(EVENT.dead)[0]?.words[0], DEAD.timeout);
  p.close();
});

test('keepalive_answered_flowLives', () => {
  const p = new Peer().open();
  p.host.tcp.keepalive(p.handle, 10_000);
  for (let i = 0; i < 5; i++) {
    p.pass(10_001).expect({ flags: 'A', seq: 0, ack: 1, length: 0 });
    p.send('A');
    p.replies();
  }
  assert.equal(p.state, 'established');
  p.host.tcp.keepalive(p.handle, 0);
  p.pass(60_000).expect();
  p.close();
});

test('keepaliveOfPeer_isAnswered', () => {
  const p = new Peer().open();
  p.send('A', { seq: 0 }).expect({ flags: 'A', seq: 1, ack: 1 });
  p.send('A', { seq: 0, data: 1 }).expect({ flags: 'A', seq: 1, ack: 1 });
  p.close();
});
