/** ARP: what is learned, what is answered, who is asked and when everybody is forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE } from '../../../src/gate/abi.ts';
import { TRANSMIT_HEADROOM } from '../../../src/limits.ts';
import { Fixture } from '../fixture.ts';
import { address } from '../harness.ts';
import { arp, EVERYBODY, HOST, HOST_MAC, OUR_MAC, OURS, parseArp, parseIpv4 } from '../packets.ts';

/** Sends one small UDP-like packet to `destination`. */
function send(f: Fixture, destination: string): number {
  const to = address(destination);
  const neighbour = f.stack.ip.v4.neighbourFor(to);
  if (neighbour < 0) return neighbour;
  const frame = f.env.frames.takeTransmit() + TRANSMIT_HEADROOM;
  f.stack.ip.v4.writeHeader(frame, to, f.stack.ip.v4.address, 17, 0, 8);
  f.stack.ip.v4.transmit(frame, 28, neighbour);
  return neighbour;
}

const isArp = (frame: Uint8Array): boolean => frame[12] === 8 && frame[13] === 6;

test('unknown_request_for_us_is_answered_and_learned', () => {
  const f = new Fixture();
  f.deliver(arp());
  const [reply, ...others] = f.sent();
  assert.equal(others.length, 0);
  assert.deepEqual(parseArp(reply!), {
    to: HOST_MAC,
    from: OUR_MAC,
    type: 0x0806,
    fixed: [0, 1, 8, 0, 6, 4],
    operation: 2,
    senderMac: OUR_MAC,
    sender: OURS,
    targetMac: HOST_MAC,
    target: HOST,
  });
  assert.equal(reply!.length, 42);
  send(f, HOST);
  const [packet] = f.sent();
  assert.equal(parseIpv4(packet!).to, HOST_MAC);
  assert.deepEqual(f.counted(), { arpIn: 1, arpRepliesOut: 1, ipOut: 1 });
  f.close();
});

test('unknown_request_for_another_is_neither_answered_nor_learned', () => {
  const f = new Fixture();
  f.deliver(arp({ target: '10.77.0.9' }));
  assert.equal(f.sent().length, 0);
  assert.equal(f.stack.arp.neighbours.count, 0);
  f.close();
});

test('unknown_unsolicitedReply_is_not_learned', () => {
  const f = new Fixture();
  f.deliver(arp({ operation: 2 }, { to: OUR_MAC }));
  assert.equal(f.stack.arp.neighbours.count, 0);
  f.close();
});

test('unknown_probe_is_answered_without_learning', () => {
  const f = new Fixture();
  f.deliver(arp({ sender: '0.0.0.0' }));
  const [reply] = f.sent();
  assert.equal(parseArp(reply!).target, '0.0.0.0');
  assert.equal(f.stack.arp.neighbours.count, 0);
  f.close();
});

test('unknown_requestFromOffLink_is_answered_without_learning', () => {
  const f = new Fixture();
  f.deliver(arp({ sender: '192.168.1.1' }));
  assert.equal(f.sent().length, 1);
  assert.equal(f.stack.arp.neighbours.count, 0);
  f.close();
});

test('any_packetWithOurAddressAsSender_is_a_conflict', () => {
  const f = new Fixture();
  f.deliver(arp({ sender: OURS }));
  assert.equal(f.sent().length, 0);
  assert.deepEqual(f.counted(), { arpIn: 1, arpConflict: 1 });
  f.close();
});

for (const [what, frame] of [
  ['short', arp().subarray(0, 41)],
  ['hardwareType', arp({ hardware: 6 })],
  ['lengths', arp({ lengths: 0x0604 + 1 })],
  ['operation', arp({ operation: 3 })],
  ['groupMac', arp({ senderMac: '03:00:00:00:00:01' })],
  ['zeroMac', arp({ senderMac: '00:00:00:00:00:00' })],
  ['loopbackSender', arp({ sender: '127.0.0.1' })],
  ['multicastSender', arp({ sender: '224.0.0.1' })],
] as const) {
  test(`any_${what}_is_dropped_as_bad`, () => {
    const f = new Fixture();
    f.deliver(frame);
    assert.equal(f.sent().length, 0);
    assert.deepEqual(f.counted(), { arpIn: 1, arpBad: 1 });
    f.close();
  });
}

test('new_send_asks_and_holds_the_newest_frames', () => {
  const f = new Fixture();
  send(f, '10.77.0.9');
  const [request, ...others] = f.sent();
  assert.equal(others.length, 0);
  const asked = parseArp(request!);
  assert.equal(asked.to, EVERYBODY);
  assert.equal(asked.operation, 1);
  assert.equal(asked.target, '10.77.0.9');
  assert.equal(asked.sender, OURS);
  assert.equal(asked.targetMac, '00:00:00:00:00:00');
  for (let i = 0; i < 8; i++) send(f, '10.77.0.9');
  assert.equal(f.sent().length, 0, 'a second frame asks nobody');
  assert.equal(f.counted().arpHeldReplaced, 1, 'eight are held');
  const mac = '02:00:00:00:00:09';
  f.deliver(arp({ operation: 2, sender: '10.77.0.9', senderMac: mac, targetMac: OUR_MAC }));
  const [held, ...more] = f.sent();
  assert.equal(parseIpv4(held!).to, mac);
  assert.equal(more.length, 7);
  f.close();
});

test('incomplete_noAnswer_asks_three_times_and_forgets', () => {
  const f = new Fixture();
  const neighbour = send(f, '10.77.0.9');
  const asked = [f.sent().length];
  for (let second = 1; second <= 4; second++) {
    f.pass(998);
    assert.equal(f.sent().length, 0, 'not more than once a second (RFC 1122 2.3.2.1)');
    f.pass(2);
    f.pass(1);
    asked.push(f.sent().filter(isArp).length);
  }
  assert.deepEqual(asked, [1, 1, 1, 0, 0]);
  assert.equal(f.counted().arpUnresolved, 1);
  assert.deepEqual(f.tcp.failed, [neighbour], 'TCP is told');
  assert.equal(f.stack.arp.neighbours.count, 0);
  assert.ok(f.env.frames.allHome());
  assert.ok(
    !f.env.wheel.isArmed(f.env.limits.flows + f.env.limits.timers),
    'an empty table sleeps',
  );
  f.close();
});

test('reachable_after60Seconds_probesByUnicastOnUse_andStaysWhenAnswered', () => {
  const f = new Fixture();
  f.meetHost();
  f.pass(59_000);
  send(f, HOST);
  assert.deepEqual(f.sent().map(isArp), [false], 'still fresh');
  f.pass(1_100);
  f.pass(10_000);
  assert.equal(f.sent().length, 0, 'nobody asks about a neighbour that is not used');
  send(f, HOST);
  send(f, HOST);
  const sent = f.sent();
  assert.deepEqual(sent.map(isArp), [true, false, false], 'one probe, and no packet waits for it');
  assert.equal(parseArp(sent[0]!).to, HOST_MAC);
  f.deliver(arp({ operation: 2, targetMac: OUR_MAC }, { to: OUR_MAC }));
  f.pass(50_000);
  send(f, HOST);
  assert.deepEqual(f.sent().map(isArp), [false], 'confirmed for another minute');
  f.close();
});

test('reachable_doubted_asksByUnicastOnUse_atMostOnceASecond', () => {
  const f = new Fixture();
  f.meetHost();
  const table = f.stack.arp.neighbours;
  const neighbour = table.neighbourFor(address(HOST));
  table.doubt(neighbour);
  send(f, HOST);
  assert.deepEqual(f.sent().map(isArp), [false], 'confirmed a moment ago');
  f.pass(1001);
  table.doubt(neighbour);
  table.doubt(neighbour);
  send(f, HOST);
  const sent = f.sent();
  assert.deepEqual(sent.map(isArp), [true, false]);
  assert.equal(parseArp(sent[0]!).to, HOST_MAC);
  f.close();
});

test('probe_noAnswer_is_removed_and_asked_anew', () => {
  const f = new Fixture();
  f.meetHost();
  f.pass(60_100);
  send(f, HOST);
  for (let i = 0; i < 35; i++) f.pass(100);
  assert.equal(f.sent().filter(isArp).length, 3);
  assert.equal(f.stack.arp.neighbours.count, 0);
  send(f, HOST);
  const [request] = f.sent();
  assert.equal(parseArp(request!).to, EVERYBODY);
  f.close();
});

test('stale_unusedFor5Minutes_is_forgotten', () => {
  const f = new Fixture();
  f.meetHost();
  f.pass(60_100);
  f.pass(299_000);
  assert.equal(f.stack.arp.neighbours.count, 1);
  f.pass(2_000);
  assert.equal(f.stack.arp.neighbours.count, 0);
  f.close();
});

test('reachable_gratuitousWithNewMac_is_believed_and_probed', () => {
  const f = new Fixture();
  f.meetHost();
  const mac = '02:00:00:00:00:77';
  f.deliver(arp({ senderMac: mac, target: HOST }));
  send(f, HOST);
  const sent = f.sent();
  assert.deepEqual(sent.map(isArp), [true, false]);
  assert.equal(parseIpv4(sent[1]!).to, mac);
  f.close();
});

test('reachable_gratuitousWithSameMac_proves_nothing', () => {
  const f = new Fixture();
  f.meetHost();
  f.pass(59_000);
  f.deliver(arp({ target: HOST }));
  f.pass(2_000);
  send(f, HOST);
  assert.deepEqual(
    f.sent().map(isArp),
    [true, false],
    'the minute counts from the last answer to us',
  );
  f.close();
});

test('full_requestForUs_is_answered_but_not_learned', () => {
  const f = new Fixture({ limits: { neighbours: 4 } });
  for (let i = 1; i <= 5; i++) f.deliver(arp({ sender: `10.77.0.${i * 10}` }));
  assert.equal(f.sent().length, 5);
  assert.equal(f.stack.arp.neighbours.count, 4);
  assert.equal(f.counted().arpTableFull, 1);
  f.close();
});

test('full_ownNeed_replaces_the_one_used_longest_ago', () => {
  const f = new Fixture({ limits: { neighbours: 4 } });
  for (let i = 1; i <= 4; i++) {
    f.deliver(arp({ sender: `10.77.0.${i * 10}` }));
    f.pass(10);
  }
  send(f, '10.77.0.10');
  f.pass(10);
  f.sent();
  send(f, '10.77.0.99');
  assert.equal(f.counted().arpReplaced, 1);
  assert.equal(f.sent().length, 1);
  send(f, '10.77.0.10');
  assert.deepEqual(f.sent().map(isArp), [false], 'the one in use is still known');
  send(f, '10.77.0.20');
  assert.deepEqual(f.sent().map(isArp), [true], 'the oldest had to go');
  f.close();
});

test('full_scanOfAbsentAddresses_does_not_push_out_who_is_there', () => {
  const f = new Fixture({ limits: { neighbours: 8 } });
  f.meetHost();
  for (let i = 100; i < 140; i++) {
    f.pass(1);
    send(f, `10.77.0.${i}`);
  }
  f.sent();
  send(f, HOST);
  assert.deepEqual(f.sent().map(isArp), [false]);
  f.close();
});

test('reused_transmitByOldIndex_goes_to_the_right_neighbour', () => {
  const f = new Fixture({ limits: { neighbours: 4 } });
  const old = send(f, '10.77.0.50');
  for (let i = 0; i < 40; i++) f.pass(100);
  assert.equal(f.stack.arp.neighbours.count, 0);
  const mac = '02:00:00:00:00:60';
  f.deliver(arp({ sender: '10.77.0.60', senderMac: mac }));
  f.sent();
  assert.ok(f.stack.arp.neighbours.isFor(old, address('10.77.0.60')), 'the index was reused');
  const frame = f.env.frames.takeTransmit() + TRANSMIT_HEADROOM;
  f.stack.ip.v4.writeHeader(frame, address('10.77.0.50'), f.stack.ip.v4.address, 6, 0, 20);
  f.stack.ip.v4.transmit(frame, 40, old);
  const [request, ...others] = f.sent();
  assert.equal(parseArp(request!).target, '10.77.0.50');
  assert.equal(others.length, 0, 'the frame waits for the right neighbour');
  f.close();
});

test('start_announce_is_a_gratuitous_request', () => {
  const f = new Fixture();
  f.stack.arp.announce();
  const [frame] = f.sent();
  const told = parseArp(frame!);
  assert.deepEqual(
    [told.to, told.operation, told.sender, told.target, told.senderMac],
    [EVERYBODY, 1, OURS, OURS, OUR_MAC],
  );
  f.close();
});

test('offLink_send_goes_to_the_gateway', () => {
  const f = new Fixture();
  f.meetHost();
  send(f, '8.8.8.8');
  const [packet] = f.sent();
  assert.equal(parseIpv4(packet!).to, HOST_MAC);
  assert.equal(parseIpv4(packet!).destination, '8.8.8.8');
  f.close();
});

test('noGateway_sendOffLink_has_no_route', () => {
  const f = new Fixture({ config: { gateway: 0 } });
  assert.equal(send(f, '8.8.8.8'), CODE.NO_ROUTE);
  for (const odd of ['10.77.0.255', '255.255.255.255', '127.0.0.1', '224.0.0.1', '0.0.0.0', OURS]) {
    assert.equal(send(f, odd), CODE.NO_ROUTE, odd);
  }
  assert.equal(f.counted().noRoute, 7);
  f.close();
});

test('noTransmitFrames_request_is_counted', () => {
  const f = new Fixture({ limits: { transmitFrames: 2 } });
  const a = f.env.frames.takeTransmit();
  const b = f.env.frames.takeTransmit();
  f.deliver(arp());
  assert.equal(f.counted().txNoFrame, 1);
  f.env.frames.free(a);
  f.env.frames.free(b);
  f.close();
});
