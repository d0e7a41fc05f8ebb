/** Opening: LISTEN, SYN-SENT, SYN-RECEIVED, segment by segment (RFC 9293 3.5, 3.10.7.1-3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DEAD, EVENT, LISTEN_KNOCK_AT_SYN } from '../../src/gate/abi.ts';
import { spreadGroups } from '../../src/nic/flow-groups.ts';
import { keyFrom } from '../nic/flow-frames.ts';
import { Peer } from './peer.ts';

const ADDRESS = 0x0a4d0001;

test('closed_syn_resetAcknowledged', () => {
  const p = new Peer();
  p.send('S').expect({ flags: 'RA', ack: 1, length: 0 });
  assert.equal(p.host.count('tcpNoFlow'), 1);
  p.close();
});

test('closed_ack_resetWithItsNumber', () => {
  const p = new Peer();
  p.irs = 1000;
  p.send('A', { ack: 77 }).expect({ flags: 'R', seq: 77 });
  p.close();
});

test('closed_dataWithoutAck_resetAcknowledgesAllOfIt', () => {
  const p = new Peer();
  p.send('F', { data: 10 }).expect({ flags: 'RA', ack: 11 });
  p.close();
});

test('closed_rst_ignored', () => {
  const p = new Peer();
  p.send('R').expect();
  p.send('RA').expect();
  p.close();
});

test('listen_syn_synAckWithEverythingOffered', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S', { mss: 1400, scale: 5, sack: true, ts: [500, 0] });
  const [synAck] = p.expect({ flags: 'SA', seq: 0, ack: 1, mss: 1460, scale: 7, sack: true });
  assert.equal(synAck!.ts![1], 500, 'echoes our timestamp');
  assert.equal(synAck!.window, 65_535);
  assert.deepEqual(p.events(), [], 'nobody knocks before the handshake is complete');
  p.close();
});

test('listen_synWithoutOptions_synAckOffersOnlyMss', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  const [synAck] = p.expect({ flags: 'SA', mss: 1460 });
  assert.equal(synAck!.scale, undefined);
  assert.equal(synAck!.sack, undefined);
  assert.equal(synAck!.ts, undefined);
  p.close();
});

test('listen_synWithScaleOnly_synAckScalesOnly', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S', { scale: 2 });
  const [synAck] = p.expect({ flags: 'SA', scale: 7 });
  assert.equal(synAck!.ts, undefined);
  p.close();
});

test('listen_ack_reset', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.irs = 5;
  p.send('A', { ack: 100 }).expect({ flags: 'R', seq: 100 });
  p.send('SA', { ack: 100 }).expect({ flags: 'R', seq: 100 });
  p.close();
});

test('listen_rstOrDataOrSynFin_ignored', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('R').send('F').send('P', { data: 5 }).send('SF').expect();
  assert.equal(p.host.count('tcpListenBadSegment'), 4);
  p.close();
});

test('listen_onAnotherAddress_noRoute', () => {
  const p = new Peer();
  assert.equal(p.host.tcp.listen(9, ADDRESS, 7, 4, 0), CODE.NO_ROUTE);
  assert.equal(p.host.tcp.listen(9, 0, -1, 4, 0), CODE.BAD_RANGE);
  assert.equal(p.host.tcp.listen(9, 0, 65_536, 4, 0), CODE.BAD_RANGE);
  assert.equal(p.host.tcp.listen(9, 0, 7, 4, 2), CODE.BAD_CALL);
  assert.ok(p.host.tcp.listen(9, 0, 7, 4, 0) > 0);
  assert.equal(p.host.tcp.listen(9, 0, 7, 4, 0), CODE.IN_USE);
  p.close();
});

test('listen_specificAddress_comesBeforeAny', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 4, 0);
  p.host.tcp.listen(2, p.host.address, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('A');
  assert.equal(p.eventsOf(EVENT.knock)[0]!.cookie, 2);
  p.close();
});

test('listen_tooManyListeners_noFlow', () => {
  const p = new Peer({ environment: { limits: { listeners: 2 } } });
  assert.ok(p.host.tcp.listen(1, 0, 1, 4, 0) > 0);
  const second = p.host.tcp.listen(1, 0, 2, 4, 0);
  assert.equal(p.host.tcp.listen(1, 0, 3, 4, 0), CODE.NO_FLOW);
  assert.equal(p.host.tcp.unlisten(second), CODE.OK);
  assert.equal(p.host.tcp.unlisten(second), CODE.BAD_HANDLE);
  assert.ok(p.host.tcp.listen(1, 0, 3, 4, 0) > 0);
  p.close();
});

test('synReceived_ack_knocksWithAddressAndPorts', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('A').expect();
  const [knock] = p.eventsOf(EVENT.knock);
  assert.equal(knock!.cookie, 9);
  assert.deepEqual(knock!.words.slice(0, 5), [0, 0, 0xffff, ADDRESS, (7 << 16) | 40_000]);
  assert.deepEqual(knock!.words.slice(5, 9), [0, 0, 0xffff, p.host.address]);
  assert.equal(p.host.stateOf(knock!.handle), 'established');
  p.close();
});

test('synSent_synAck_connectedSaysOurAddressAndPort', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, ADDRESS, (p.port << 16) | p.sourcePort);
  p.host.turn();
  p.replies();
  p.send('SA').expect({ flags: 'A', seq: 1, ack: 1 });
  const [connected] = p.eventsOf(EVENT.connected);
  const ports = (p.port << 16) | p.sourcePort;
  assert.deepEqual(connected!.words.slice(0, 5), [0, 0, 0xffff, p.host.address, ports]);
  p.close();
});

test('synReceived_wrongAck_reset', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('A', { ack: 2 }).expect({ flags: 'R', seq: 2 });
  p.send('A', { ack: 0 }).expect({ flags: 'R', seq: 0 });
  p.send('A', { ack: 1 }).expect();
  assert.deepEqual(p.events(), ['knock']);
  p.close();
});

test('synReceived_synAgain_synAckAgain', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S').expect({ flags: 'SA', seq: 0 });
  p.send('S', { seq: 0 }).expect({ flags: 'SA', seq: 0, ack: 1 });
  p.close();
});

test('synReceived_rst_flowVanishesSilently', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('R').expect();
  assert.deepEqual(p.events(), []);
  assert.equal(p.host.tcp.openFlows, 0);
  p.close();
});

test('synReceived_noAnswer_synAckFiveTimesMoreThenGone', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S').expect({ flags: 'SA' });
  for (let second = 0, wait = 1; second < 5; second++, wait *= 2) {
    p.pass(wait * 1000 - 1).expect();
    p.pass(2).expect({ flags: 'SA', seq: 0 });
  }
  p.pass(33_000).expect();
  assert.equal(p.host.tcp.openFlows, 0);
  assert.deepEqual(p.events(), []);
  p.close();
});

test('synReceived_ackWithData_dataIsDelivered', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('PA', { data: 100 });
  const [knock, ...rest] = p.host.takeEvents();
  assert.equal(knock!.kind, EVENT.knock);
  assert.equal(rest.length, 0, 'nothing but the knock before accept');
  p.host.tcp.accept(knock!.handle, 3);
  p.host.turn();
  assert.equal(p.eventsOf(EVENT.recv)[0]!.words[1], 100);
  p.close();
});

test('backlog_halfOpenFull_countedAndNoMoreFlows', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 2, 0);
  const others = [1, 2, 3].map((i) => new Peer({ host: p.host, sourcePort: 41_000 + i }));
  for (const other of others) other.send('S');
  assert.equal(p.replies().length, 3, 'the third answer is a cookie (syn-cookies.test.ts)');
  assert.equal(p.host.count('tcpBacklogFull'), 1);
  assert.equal(p.host.tcp.openFlows, 2);
  p.host.env.nic.takeSent();
  p.close();
});

test('backlog_acceptQueueFull_lastAckDroppedUntilAccept', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 1, 0);
  const [x, y] = [1, 2].map((i) => new Peer({ host: p.host, sourcePort: 41_000 + i }));
  x!.send('S');
  x!.replies();
  x!.send('A');
  const [knock] = p.eventsOf(EVENT.knock);
  y!.send('S').expect();
  assert.equal(p.host.count('tcpBacklogFull'), 1, 'somebody waits: no more SYNs');
  p.host.tcp.accept(knock!.handle, 1);
  y!.send('S', { seq: 0 }).expect({ flags: 'SA' });
  y!.send('A');
  assert.equal(p.eventsOf(EVENT.knock).length, 1);
  p.close();
});

test('flowsFull_syn_droppedAndCounted', () => {
  const p = new Peer({ environment: { limits: { flows: 2 } } });
  for (let port = 1; port <= 3; port++) {
    p.host.tcp.listen(9, 0, port, 100, 0);
    new Peer({ host: p.host, port }).send('S');
  }
  assert.equal(p.host.count('tcpFlowsFull'), 1);
  assert.equal(p.host.tcp.connect(1, ADDRESS, 9), CODE.NO_FLOW);
  p.close();
});

test('knockAtSyn_accept_synAckThenEstablished', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, LISTEN_KNOCK_AT_SYN);
  p.send('S').expect();
  const [knock] = p.eventsOf(EVENT.knock);
  assert.equal(p.host.tcp.accept(knock!.handle, 4), CODE.OK);
  p.host.turn();
  p.expect({ flags: 'SA', ack: 1 });
  p.send('PA', { data: 3 });
  assert.deepEqual(p.events(), ['recv']);
  p.close();
});

test('knockAtSyn_reject_resetAndDead', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, LISTEN_KNOCK_AT_SYN);
  p.send('S');
  const [knock] = p.eventsOf(EVENT.knock);
  assert.equal(p.host.tcp.reject(knock!.handle), CODE.OK);
  p.host.turn();
  p.expect({ flags: 'RA', ack: 1 });
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.aborted);
  assert.equal(p.host.tcp.reject(knock!.handle), CODE.BAD_HANDLE);
  p.close();
});

test('knockAtSyn_noAnswer_resetAfterAMinute', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, LISTEN_KNOCK_AT_SYN);
  p.send('S').pass(59_000).expect();
  p.pass(2000).expect({ flags: 'RA' });
  assert.deepEqual(p.events(), ['knock', 'dead']);
  p.close();
});

test('knock_reject_resetAndDead', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('A');
  const [knock] = p.eventsOf(EVENT.knock);
  assert.equal(p.host.tcp.reject(knock!.handle), CODE.OK);
  p.host.turn();
  p.expect({ flags: 'RA', seq: 1, ack: 1 });
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.aborted);
  p.close();
});

test('knock_rstBeforeAccept_acceptOkThenDeadWithItsCookie', () => {
  const p = new Peer();
  p.host.tcp.listen(9, 0, 7, 4, 0);
  p.send('S');
  p.replies();
  p.send('A');
  const [knock] = p.eventsOf(EVENT.knock);
  p.deliver('R');
  assert.equal(p.host.tcp.accept(knock!.handle, 88), CODE.OK);
  p.host.turn();
  const [dead] = p.eventsOf(EVENT.dead);
  assert.equal(dead!.cookie, 88);
  assert.equal(dead!.words[0], DEAD.reset);
  p.close();
});

test('unlisten_halfOpenReset_knockedLivesOn', () => {
  const p = new Peer();
  const listener = p.host.tcp.listen(9, 0, 7, 4, 0);
  const half = new Peer({ host: p.host, sourcePort: 41_000 });
  p.send('S');
  p.replies();
  p.send('A');
  half.send('S').expect({ flags: 'SA' });
  assert.equal(p.host.tcp.unlisten(listener), CODE.OK);
  p.host.turn();
  half.expect({ flags: 'RA' });
  const [knock] = p.eventsOf(EVENT.knock);
  assert.equal(p.host.tcp.accept(knock!.handle, 1), CODE.OK);
  assert.ok(p.host.tcp.listen(9, 0, 7, 4, 0) > 0, 'the port is free');
  p.close();
});

test('synSent_synAck_connectedAndAcknowledged', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.expect({ flags: 'S', seq: 0, mss: 1460, scale: 7, sack: true, length: 0 });
  p.send('SA', { mss: 1000 }).expect({ flags: 'A', seq: 1, ack: 1 });
  assert.deepEqual(p.events(), ['connected']);
  assert.equal(p.host.field(p.handle, 'mss'), 1000, 'no timestamps agreed: nothing off');
  p.close();
});

test('synSent_rstWithAck_refused', () => {
  const p = new Peer();
  p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.replies();
  p.send('RA').expect();
  const [dead] = p.eventsOf(EVENT.dead);
  assert.equal(dead!.words[0], DEAD.refused);
  assert.equal(dead!.cookie, 55);
  p.close();
});

test('synSent_blindRst_ignored', () => {
  const p = new Peer();
  const handle = p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.replies();
  p.send('R').send('RA', { ack: 5 }).expect();
  assert.equal(p.host.stateOf(handle), 'synSent');
  p.close();
});

test('synSent_wrongAck_resetAndStillTrying', () => {
  const p = new Peer();
  const handle = p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.replies();
  p.send('A', { ack: 50 }).expect({ flags: 'R', seq: 50 });
  assert.equal(p.host.stateOf(handle), 'synSent');
  p.close();
});

test('synSent_noAnswer_sevenMoreThenTimeout', () => {
  const p = new Peer();
  p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.expect({ flags: 'S' });
  for (let second = 0; second < 200; second++) p.pass(1000);
  assert.equal(p.host.count('tcpRetransmits'), 7);
  assert.equal(p.eventsOf(EVENT.dead)[0]!.words[0], DEAD.timeout);
  p.close();
});

test('synSent_syn_simultaneousOpen', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.expect({ flags: 'S', seq: 0 });
  p.send('S', { mss: 1460 }).expect({ flags: 'SA', seq: 0, ack: 1 });
  assert.equal(p.state, 'synReceived');
  p.send('SA', { seq: 0, ack: 1 });
  assert.equal(p.state, 'established');
  assert.deepEqual(p.events(), ['connected']);
  p.write(0, 10).expect({ flags: 'PA', seq: 1, length: 10 });
  p.close();
});

test('synSent_close_deadAndNoSegment', () => {
  const p = new Peer();
  const handle = p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.host.turn();
  p.replies();
  assert.equal(p.host.tcp.close(handle), CODE.OK);
  p.host.turn();
  p.expect();
  assert.deepEqual(p.events(), ['dead']);
  p.send('SA').expect({ flags: 'R', seq: 1 });
  p.close();
});

test('synSent_sendBeforeConnected_goesOutAfterwards', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, ADDRESS, (7 << 16) | 40_000);
  p.write(0, 20).expect({ flags: 'S', length: 0 });
  p.send('SA').expect({ flags: 'PA', seq: 1, ack: 1, length: 20 });
  p.close();
});

test('connect_badArguments_codes', () => {
  const p = new Peer();
  const { tcp } = p.host;
  assert.equal(tcp.connect(1, ADDRESS, 0), CODE.BAD_RANGE);
  assert.equal(tcp.connect(1, p.host.address, 9), CODE.NO_ROUTE);
  assert.equal(tcp.connect(1, -1, 9), CODE.NO_ROUTE);
  assert.ok(tcp.connect(1, ADDRESS, (50_000 << 16) | 9) > 0);
  assert.equal(tcp.connect(1, ADDRESS, (50_000 << 16) | 9), CODE.IN_USE);
  p.close();
});

test('connect_portPicked_eachOnceAndUnpredictable', () => {
  const p = new Peer();
  const ports = new Set<number>();
  for (let i = 0; i < 40; i++) {
    assert.ok(p.host.tcp.connect(1, ADDRESS, 9) > 0);
    p.host.turn();
  }
  for (const frame of p.host.env.nic.takeSent()) ports.add((frame[34]! << 8) | frame[35]!);
  assert.equal(ports.size, 40);
  for (const port of ports) assert.ok(port >= 32_768 && port < 61_000);
  p.close();
});

test('connect_portOfAnotherThread_inUse', () => {
  const table = { key: keyFrom(7), threads: spreadGroups(2) };
  const p = new Peer({ environment: { config: { flowGroups: table, thread: 1 } } });
  let own = 0;
  for (let port = 1024; port < 1088; port++) {
    const code = p.host.tcp.connect(1, ADDRESS, (port << 16) | 9);
    if (code > 0) own += 1;
    else assert.equal(code, CODE.IN_USE);
  }
  assert.ok(own > 8 && own < 56, `${own} of 64`);
  p.close();
});

test('handles_staleForeignAndOfTheOtherKind_badHandle', () => {
  const p = new Peer();
  const listener = p.host.tcp.listen(1, 0, 99, 1, 0);
  p.open();
  const { tcp } = p.host;
  const all = (handle: number): number[] => [
    tcp.accept(handle, 1), tcp.reject(handle), tcp.close(handle), tcp.abort(handle),
    tcp.send(handle, p.host.at(0), 1), tcp.recvDone(handle, 1), tcp.shutdown(handle),
    tcp.keepalive(handle, 1),
  ]; // biome-ignore format: three lines
  for (const handle of [
    0,
    -1,
    1,
    listener,
    p.handle + 1,
    p.handle + (1 << 20),
    0x7fffffff,
    -0x80000000,
  ]) {
    assert.deepEqual(new Set(all(handle)), new Set([CODE.BAD_HANDLE]), `handle ${handle}`);
  }
  for (const handle of [0, -5, p.handle, listener + (1 << 20), 0x7fffffff]) {
    assert.equal(tcp.unlisten(handle), CODE.BAD_HANDLE);
  }
  assert.equal(tcp.accept(p.handle, 1), CODE.BAD_STATE, 'accepted twice');
  assert.equal(tcp.reject(p.handle), CODE.BAD_STATE);
  assert.equal(tcp.abort(p.handle), CODE.OK);
  p.host.turn();
  assert.deepEqual(new Set(all(p.handle)), new Set([CODE.BAD_HANDLE]), 'after dead');
  p.close();
});
