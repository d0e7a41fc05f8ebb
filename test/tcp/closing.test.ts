/**
 * Closing: FIN-WAIT, CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT, half-close, abort, ICMP (RFC 9293
 * 3.6, 3.10.4, 3.10.5).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import { icmp, ipFrame } from '../net/packets.ts';
import { Peer } from './peer.ts';

const STAMPS = { mss: 1460, scale: 7, sack: true, ts: [1000, 0] as [number, number] };

/** The host closes first and ends in TIME-WAIT. */
function toTimeWait(p: Peer): Peer {
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  p.turn().expect({ flags: 'FA', seq: 1, ack: 1 });
  p.send('A').send('FA').expect({ flags: 'A', seq: 2, ack: 2 });
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.closed);
  return p;
}

test('established_peerCloses_recvEndThenLastAck', () => {
  const p = new Peer().open();
  p.send('PFA', { data: 10 }).expect({ flags: 'A', ack: 12 });
  assert.deepEqual(p.events(), ['recv', 'recv_end']);
  assert.equal(p.state, 'closeWait');
  assert.equal(p.host.tcp.recvDone(p.handle, 10), CODE.OK);
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  p.turn().expect({ flags: 'FA', seq: 1, ack: 12 });
  assert.equal(p.state, 'lastAck');
  p.send('A').expect();
  const [dead] = p.eventsOf(EVENT.dead);
  assert.deepEqual([dead!.words[0], dead!.cookie], [DEAD.closed, 55]);
  assert.equal(p.host.tcp.openFlows, 0);
  p.close();
});

test('established_finBelowDataThatCameBefore_thatDataIsDropped', () => {
  const p = new Peer().open();
  p.send('PA', { seq: 12, data: 20 }); // beyond the FIN to come: no part of the stream
  p.send('PFA', { seq: 1, data: 10 });
  assert.equal(p.state, 'closeWait');
  assert.deepEqual(p.events(), ['recv', 'recv_end']);
  assert.equal(p.host.tcp.recvDone(p.handle, 10), CODE.OK);
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  p.turn();
  p.close();
});

test('established_closeWithDataQueued_finOnTheLastSegment', () => {
  const p = new Peer().open({ mss: 1000 });
  p.host.tcp.send(p.handle, p.host.at(0), 1500);
  p.host.tcp.close(p.handle);
  p.turn().expect({ flags: 'A', length: 1000 }, { flags: 'FPA', seq: 1001, length: 500 });
  assert.equal(p.host.tcp.send(p.handle, p.host.at(0), 1), CODE.BAD_STATE);
  assert.equal(p.host.tcp.close(p.handle), CODE.BAD_STATE);
  p.send('A', { ack: 1502 });
  assert.equal(p.state, 'finWait2');
  assert.deepEqual(p.events(), ['sent']);
  p.close();
});

test('finWait1_finLost_sentAgain', () => {
  const p = new Peer().open();
  p.host.tcp.close(p.handle);
  p.turn().expect({ flags: 'FA', seq: 1 });
  p.pass(1001).expect({ flags: 'FA', seq: 1 });
  p.send('A', { ack: 2 });
  assert.equal(p.state, 'finWait2');
  p.close();
});

test('finWait1_dataAndFinLost_bothSentAgain', () => {
  const p = new Peer().open({ mss: 1000 });
  p.host.tcp.send(p.handle, p.host.at(0), 1500);
  p.host.tcp.close(p.handle);
  p.turn().replies();
  p.pass(1001).expect({ seq: 1, length: 1000 });
  p.send('A', { ack: 1001 }).expect({ flags: 'FPA', seq: 1001, length: 500 });
  p.send('A', { ack: 1501 }).expect();
  p.pass(4000).expect({ flags: 'FA', seq: 1501, length: 0 });
  p.close();
});

test('finWait1_ackAndFinTogether_timeWait', () => {
  const p = new Peer().open();
  p.host.tcp.close(p.handle);
  p.turn().replies();
  p.send('FA').expect({ flags: 'A', seq: 2, ack: 2 });
  assert.deepEqual(p.events(), ['dead']);
  assert.equal(p.host.tcp.openFlows, 1, 'TIME-WAIT');
  p.pass(59_000);
  assert.equal(p.host.tcp.openFlows, 1);
  p.pass(2000);
  assert.equal(p.host.tcp.openFlows, 0);
  p.close();
});

test('finWait1_finWithoutAck_closingThenTimeWait', () => {
  const p = new Peer().open();
  p.host.tcp.close(p.handle);
  p.turn().expect({ flags: 'FA', seq: 1 });
  p.send('FA', { ack: 1 }).expect({ flags: 'A', ack: 2 });
  assert.equal(p.state, 'closing');
  p.send('A');
  assert.deepEqual(p.events(), ['dead']);
  assert.equal(p.host.tcp.openFlows, 1);
  p.close();
});

test('finWait2_nobodyReads_forgottenAfterAMinuteWithoutReset', () => {
  const p = new Peer().open();
  p.host.tcp.close(p.handle);
  p.turn().replies();
  p.send('A').pass(59_000).expect();
  p.pass(2000).expect();
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.timeout);
  p.send('FA').expect({ flags: 'R', seq: 2 });
  p.close();
});

test('finWait2_dataAfterClose_resetCountedAborted', () => {
  const p = new Peer().open();
  p.host.tcp.close(p.handle);
  p.turn().replies();
  p.send('A').send('PA', { data: 10 }).expect({ flags: 'RA', seq: 2 });
  assert.equal(p.host.count('tcpAfterClose'), 1);
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.aborted);
  p.close();
});

test('finWait2_oldDataAgain_ackNotReset', () => {
  const p = new Peer().open();
  p.send('PA', { data: 10 });
  p.events();
  p.host.tcp.recvDone(p.handle, 10);
  p.host.tcp.close(p.handle);
  p.turn().replies();
  p.send('A').send('PA', { seq: 1, data: 10 }).expect({ flags: 'A', ack: 11 });
  assert.equal(p.state, 'finWait2');
  p.close();
});

test('close_withBytesNotEmitted_reset', () => {
  const p = new Peer().open();
  p.deliver('PA', { data: 10 });
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  p.turn().expect({ flags: 'RA', seq: 1, ack: 11 });
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.aborted);
  p.close();
});

test('close_withBytesEmittedButNotDone_graceful', () => {
  const p = new Peer().open();
  p.send('PA', { data: 10 });
  assert.deepEqual(p.events(), ['recv']);
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  p.turn().expect({ flags: 'FA', ack: 11 });
  assert.equal(p.host.tcp.recvDone(p.handle, 10), CODE.OK);
  p.close();
});

test('shutdown_halfClose_dataStillComes', () => {
  const p = new Peer().open();
  assert.equal(p.host.tcp.shutdown(p.handle), CODE.OK);
  p.turn().expect({ flags: 'FA', seq: 1 });
  assert.equal(p.host.tcp.shutdown(p.handle), CODE.BAD_STATE);
  p.send('A');
  for (let i = 0; i < 5; i++) {
    p.pass(100_000).send('PA', { data: 100 });
    assert.deepEqual(p.events(), ['recv']);
    p.host.tcp.recvDone(p.handle, 100);
    p.turn().replies();
  }
  assert.equal(p.state, 'finWait2');
  p.send('PFA', { data: 5 }).expect({ flags: 'A', ack: p.seq });
  assert.deepEqual(p.events(), ['recv', 'recv_end', 'dead']);
  p.close();
});

test('shutdownThenClose_inFinWait2_orphanTimer', () => {
  const p = new Peer().open();
  p.host.tcp.shutdown(p.handle);
  p.turn().replies();
  p.send('A').pass(100_000);
  assert.equal(p.state, 'finWait2');
  assert.equal(p.host.tcp.close(p.handle), CODE.OK);
  p.pass(61_000).expect();
  assert.deepEqual(p.events(), ['dead']);
  p.close();
});

test('closeWait_peerHalfClosed_weGoOnSending', () => {
  const p = new Peer().open({ mss: 1000 });
  p.send('FA').replies();
  for (let i = 0; i < 20; i++) {
    p.write(i * 1000, 1000).expect({ flags: 'PA', seq: 1 + i * 1000, length: 1000 });
    p.send('A');
  }
  assert.equal(p.state, 'closeWait');
  p.host.tcp.close(p.handle);
  p.turn().expect({ flags: 'FA' });
  p.send('A');
  assert.ok(p.events().includes('dead'));
  p.close();
});

test('closeWait_dataAfterFin_ignored', () => {
  const p = new Peer().open();
  p.send('FA').replies();
  p.send('PA', { data: 10 });
  assert.deepEqual(p.events(), ['recv_end']);
  p.close();
});

test('finBeforeMissingData_waitsForIt', () => {
  const p = new Peer().open();
  p.send('FA', { seq: 101, data: 50 }).expect({ flags: 'A', ack: 1 });
  assert.deepEqual(p.events(), []);
  p.send('A', { seq: 1, data: 100 }).expect({ flags: 'A', ack: 152 });
  assert.deepEqual(p.events(), ['recv', 'recv', 'recv_end']);
  p.close();
});

test('bareFinBeforeMissingData_waitsForIt', () => {
  const p = new Peer().open();
  p.send('FA', { seq: 101 }).expect({ flags: 'A', ack: 1 });
  p.send('A', { seq: 1, data: 100 }).expect({ flags: 'A', ack: 102 });
  assert.deepEqual(p.events(), ['recv', 'recv_end']);
  p.close();
});

test('lastAck_rst_deadClosed', () => {
  const p = new Peer().open();
  p.send('FA');
  p.host.tcp.close(p.handle);
  p.turn().replies();
  p.events();
  p.send('RA').expect();
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.closed);
  p.close();
});

test('timeWait_finAgain_ackAndWaitsAnew', () => {
  const p = toTimeWait(new Peer().open());
  p.pass(50_000).send('FA', { seq: 1 }).expect({ flags: 'A', seq: 2, ack: 2 });
  p.pass(50_000);
  assert.equal(p.host.tcp.openFlows, 1);
  p.pass(11_000);
  assert.equal(p.host.tcp.openFlows, 0);
  p.close();
});

test('timeWait_rst_ignored', () => {
  const p = toTimeWait(new Peer().open());
  p.send('R').send('RA').expect();
  assert.equal(p.host.tcp.openFlows, 1);
  p.close();
});

test('timeWait_handle_badHandle', () => {
  const p = toTimeWait(new Peer().open());
  assert.equal(p.host.tcp.close(p.handle), CODE.BAD_HANDLE);
  assert.equal(p.host.tcp.abort(p.handle + (1 << 20)), CODE.BAD_HANDLE);
  p.close();
});

test('timeWait_newerSyn_reopened', () => {
  const p = toTimeWait(new Peer().open());
  const old = p.ack;
  const syn = p.seq + 1000;
  p.send('S', { seq: syn });
  const [synAck] = p.expect({ flags: 'SA', ack: syn + 1 });
  assert.ok(synAck!.seq > old, 'our numbers lie beyond the old ones');
  p.send('A', { seq: syn + 1, ack: synAck!.seq + 1 });
  assert.deepEqual(p.events(), ['knock']);
  p.close();
});

test('timeWait_olderSyn_challengeAck', () => {
  const p = toTimeWait(new Peer().open());
  p.send('S', { seq: -5000 }).expect({ flags: 'A', seq: 2, ack: 2 });
  p.close();
});

test('timeWait_synWithNewerTimestamp_reopenedWhateverItsNumber', () => {
  const p = toTimeWait(new Peer().open(STAMPS));
  p.send('S', { seq: -5000, ts: [1001, 0] }).expect({ flags: 'SA', ack: -4999 });
  p.close();
});

test('timeWait_synWithOlderTimestamp_refused', () => {
  const p = toTimeWait(new Peer().open(STAMPS));
  p.send('S', { seq: 50_000, ts: [999, 0] }).expect({ flags: 'A', ack: 2 });
  p.close();
});

test('timeWait_noListenerAnyMore_synNotTaken', () => {
  const p = new Peer();
  const listener = p.host.tcp.listen(1, 0, 7, 4, 0);
  p.handle = -1; // `open` must not listen again
  toTimeWait(p.open());
  p.host.tcp.unlisten(listener);
  p.send('S', { seq: 5000 }).expect({ flags: 'A', ack: 2 });
  p.close();
});

test('flowsFull_oldestTimeWaitRecycled', () => {
  const p = new Peer({ environment: { limits: { flows: 3 } } });
  p.host.tcp.listen(1, 0, 7, 4, 0);
  const others: Peer[] = [];
  for (let i = 0; i < 3; i++) {
    const other = new Peer({ host: p.host, sourcePort: 41_000 + i });
    other.handle = -1;
    toTimeWait(other.open());
    others.push(other);
    p.turn();
  }
  assert.equal(p.host.tcp.openFlows, 3);
  const fourth = new Peer({ host: p.host, sourcePort: 42_000 });
  fourth.handle = -1;
  fourth.open();
  assert.equal(p.host.tcp.openFlows, 3);
  others[0]!.send('A', { seq: 2, ack: 2 }).expect({ flags: 'R', seq: 2 });
  others[1]!.send('FA', { seq: 1, ack: 2 }).expect({ flags: 'A', ack: 2 });
  p.close();
});

test('abort_established_resetDeadAndMemoryBack', () => {
  const p = new Peer().open({ mss: 1000 });
  p.host.tcp.send(p.handle, p.host.at(0), 50_000);
  p.send('PA', { data: 100 });
  p.events();
  assert.equal(p.host.tcp.abort(p.handle), CODE.OK);
  p.turn();
  const rst = p.replies().at(-1)!;
  assert.equal(rst.flags, 'RA');
  assert.equal(rst.seq, p.ack, 'exactly where the peer expects it');
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.aborted);
  p.turn();
  assert.ok(p.host.tcp.allHome());
  p.close();
});

test('dead_framesStayUntilTheNextEmit', () => {
  const p = new Peer().open();
  const { frames } = p.host.env;
  p.send('PA', { data: 100 });
  const free = frames.receiveFree;
  p.deliver('R');
  assert.deepEqual(p.host.emit().length, 1);
  assert.equal(frames.receiveFree, free, 'the application may still be reading');
  p.host.emit();
  assert.equal(frames.receiveFree, free + 1);
  p.close();
});

/** An ICMP error that quotes what the host sent last. */
function icmpError(p: Peer, type: number, code: number, rest = 0): void {
  const frame = p.host.env.nic.sent.at(-1)!;
  p.host.env.nic.inject(
    ipFrame(icmp(type, code, rest, frame.subarray(14, 14 + 28)), { protocol: 1 }),
  );
  p.turn();
}

test('synSent_portUnreachable_refused', () => {
  const p = new Peer();
  p.host.tcp.connect(55, 0x0a4d0001, (7 << 16) | 40_000);
  p.turn();
  icmpError(p, 3, 3);
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.refused);
  p.close();
});

test('synSent_hostUnreachable_unreachable', () => {
  const p = new Peer();
  p.host.tcp.connect(55, 0x0a4d0001, (7 << 16) | 40_000);
  p.turn();
  icmpError(p, 3, 1);
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.unreachable);
  p.close();
});

test('established_hostUnreachable_softUntilTimeout', () => {
  const p = new Peer().open();
  p.write(0, 100);
  icmpError(p, 3, 1);
  assert.equal(p.state, 'established');
  for (let second = 0; second < 600; second++) p.pass(1000);
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.unreachable);
  p.close();
});

test('established_icmpAboutNothingInFlight_ignored', () => {
  const p = new Peer().open();
  p.write(0, 100);
  p.host.env.nic.sent.push(p.host.env.nic.sent.at(-1)!);
  p.send('A', { ack: 101 });
  icmpError(p, 3, 1);
  p.write(0, 100);
  assert.equal(p.host.field(p.handle, 'flags') & (1 << 17), 0);
  p.close();
});

test('established_fragmentationNeeded_smallerSegments', () => {
  const p = new Peer().open();
  p.write(0, 3000);
  const [first] = p.host.env.nic.sent;
  p.host.env.nic.sent = [first!];
  icmpError(p, 3, 4, 1000);
  const lengths = p
    .replies()
    .slice(1)
    .map(({ length }) => length);
  assert.deepEqual(lengths, [960, 960, 960, 120]);
  p.close();
});

test('established_fragmentationNeededTo68_notBelow512', () => {
  const p = new Peer().open();
  p.write(0, 1000);
  icmpError(p, 3, 4, 68);
  assert.equal(p.host.field(p.handle, 'mss'), 512);
  p.close();
});
