/** Neighbour discovery: who asks, who answers, who is believed, and when a neighbour is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE } from '../../../src/gate/abi.ts';
import { Fixture } from '../fixture.ts';
import { HOST_MAC, OUR_MAC } from '../packets.ts';
import {
  ALL_NODES,
  advertisement,
  bytes6,
  full6,
  groupMac,
  HOST6,
  HOST6_LINK,
  icmp6Frame,
  ipv6Choices,
  macOption,
  OURS6,
  OURS6_LINK,
  parseIcmp6,
  parseIpv6,
  solicitation,
  solicited6,
  text6,
  words6,
} from '../packets6.ts';

const OTHER_MAC = '02:00:00:00:00:99';

const fresh = (): Fixture => new Fixture(ipv6Choices());

/** Sends a UDP datagram to an address: something that wants a neighbour. */
function sendTo(f: Fixture, text: string): number {
  const [w0, w1, w2, w3] = words6(text) as [number, number, number, number];
  const socket = f.stack.udp.bind(0, 0, 1);
  const token = f.stack.ip.peerOf(w0, w1, w2, w3);
  const code = f.stack.udp.send(socket, 0, 16, token, 9);
  f.stack.udp.close(socket);
  return code;
}

const kindsOf = (f: Fixture): string[] =>
  f.sent().map((frame) => {
    const ip = parseIpv6(frame);
    return ip.next === 58 ? `${parseIcmp6(frame).icmpType} ${ip.to}` : `data ${ip.to}`;
  });

test('ours_solicitation_is_answeredAndTheSenderLearnt', () => {
  const f = fresh();
  f.deliver(solicitation());
  const [frame, ...others] = f.sent();
  assert.equal(others.length, 0);
  const told = parseIcmp6(frame!);
  assert.deepEqual(
    [told.to, told.from, told.source, told.destination, told.hopLimit, told.isSound, told.isWhole],
    [HOST_MAC, OUR_MAC, full6(OURS6), full6(HOST6), 255, true, true],
  );
  assert.deepEqual([told.icmpType, told.code, told.rest], [136, 0, 0x6000_0000]);
  assert.deepEqual(Array.from(told.data), [...bytes6(OURS6), ...macOption(2, OUR_MAC)]);
  assert.equal(sendTo(f, HOST6), 16);
  assert.deepEqual(kindsOf(f), [`data ${HOST_MAC}`], 'nothing has to be asked');
  f.close();
});

test('ours_unicastSolicitationWithoutMac_isAnsweredToAKnownNeighbourOnly', () => {
  const f = fresh();
  f.deliver(solicitation(OURS6, { destination: OURS6 }, []));
  assert.deepEqual(kindsOf(f), []);
  f.deliver(solicitation());
  f.sent();
  f.deliver(solicitation(OURS6, { destination: OURS6 }, []));
  assert.deepEqual(kindsOf(f), [`136 ${HOST_MAC}`]);
  f.close();
});

test('ours_probeFromNobody_isAnsweredToEverybody', () => {
  const f = fresh();
  f.deliver(solicitation(OURS6, { source: '::' }, []));
  const told = parseIcmp6(f.sent()[0]!);
  assert.deepEqual(
    [told.to, told.destination, told.rest],
    [groupMac(ALL_NODES), full6(ALL_NODES), 0x2000_0000],
  );
  f.close();
});

test('any_solicitationForAnother_isNotOurs', () => {
  const f = fresh();
  f.deliver(solicitation('fd78::2', { destination: solicited6(OURS6) }));
  assert.deepEqual(kindsOf(f), []);
  assert.deepEqual(f.counted(), { icmp6In: 1, ndpIn: 1 });
  assert.equal(f.stack.discovery.ndp.neighbours.count, 0);
  f.close();
});

test('any_brokenMessages_are_dropped_by_name', () => {
  const f = fresh();
  const target = [0, 0, 0, 0, ...bytes6(OURS6)];
  const ours = { destination: OURS6 };
  const cases: [Uint8Array, 'ndpBad' | 'ndpBadOption'][] = [
    [solicitation(OURS6, { hopLimit: 254 }), 'ndpBad'],
    [icmp6Frame(135, 1, target), 'ndpBad'],
    [icmp6Frame(135, 0, target.slice(0, 19)), 'ndpBad'],
    [solicitation('ff02::1', ours), 'ndpBad'],
    [solicitation(OURS6, { source: '::', destination: OURS6 }, []), 'ndpBad'],
    [solicitation(OURS6, { source: '::' }), 'ndpBad'],
    [solicitation(OURS6, {}, macOption(2)), 'ndpBad'],
    [solicitation(OURS6, {}, [1, 0, 2, 0, 0, 0, 0, 1]), 'ndpBadOption'],
    [solicitation(OURS6, {}, [1, 2, 2, 0, 0, 0, 0, 1]), 'ndpBadOption'],
    [solicitation(OURS6, {}, [1, 1, 2, 0]), 'ndpBadOption'],
    [solicitation(OURS6, {}, macOption(1, '03:00:00:00:00:01')), 'ndpBadOption'],
    [solicitation(OURS6, {}, macOption(1, '00:00:00:00:00:00')), 'ndpBadOption'],
    [advertisement('ff02::1', 0x60, { source: HOST6 }), 'ndpBad'],
    [advertisement(HOST6, 0x60, { destination: ALL_NODES }), 'ndpBad'],
    [advertisement(HOST6, 0x60, {}, macOption(1)), 'ndpBad'],
    [icmp6Frame(134, 0, [64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0], { source: HOST6_LINK }), 'ndpBad'],
    [icmp6Frame(134, 0, [64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], { source: HOST6 }), 'ndpBad'],
  ];
  for (const [frame, name] of cases) {
    f.deliver(frame);
    assert.deepEqual(f.counted(), { icmp6In: 1, ndpIn: 1, [name]: 1 });
  }
  assert.deepEqual(kindsOf(f), []);
  assert.equal(f.stack.discovery.ndp.neighbours.count, 0, 'nobody was learnt');
  f.deliver(icmp6Frame(137, 0, [0, 0, 0, 0, ...bytes6(HOST6), ...bytes6('fd78::1')]));
  assert.equal(f.counted().ndpRedirectIgnored, 1);
  f.close();
});

test('unknown_frame_waits_isAskedForAndGoesOut', () => {
  const f = fresh();
  assert.equal(sendTo(f, HOST6), 16);
  const asked = parseIcmp6(f.sent()[0]!);
  assert.deepEqual(
    [asked.to, asked.destination, asked.source, asked.hopLimit, asked.isSound],
    [groupMac(solicited6(HOST6)), full6(solicited6(HOST6)), full6(OURS6), 255, true],
  );
  assert.deepEqual(Array.from(asked.data), [...bytes6(HOST6), ...macOption(1, OUR_MAC)]);
  f.deliver(advertisement());
  assert.deepEqual(kindsOf(f), [`data ${HOST_MAC}`]);
  f.close();
});

test('incomplete_noAnswer_isGivenUpAfterThree', () => {
  const f = fresh();
  sendTo(f, HOST6);
  f.sent();
  const asked: string[] = [];
  for (let i = 0; i < 30; i++) {
    f.pass(100);
    asked.push(...kindsOf(f));
  }
  assert.equal(asked.length, 2, 'and one before');
  f.pass(200);
  assert.equal(f.tcp.failed.length, 1);
  assert.equal(f.counted().ndpUnresolved, 1);
  assert.equal(f.stack.discovery.ndp.neighbours.count, 0);
  assert.equal(f.stack.ip.v6.destinations.held, 0);
  f.close();
});

test('incomplete_advertisementWithoutMac_tellsNothing', () => {
  const f = fresh();
  sendTo(f, HOST6);
  f.sent();
  f.deliver(advertisement(HOST6, 0x60, {}, []));
  assert.deepEqual(kindsOf(f), []);
  f.close();
});

test('unasked_advertisement_makesNoEntry', () => {
  const f = fresh();
  f.deliver(advertisement());
  assert.equal(f.stack.discovery.ndp.neighbours.count, 0);
  f.close();
});

/** A neighbour that has just answered. */
function reachable(): Fixture {
  const f = fresh();
  sendTo(f, HOST6);
  f.deliver(advertisement());
  f.sent();
  return f;
}

test('reachable_advertisementOfAnotherMac_needsOverride', () => {
  const f = reachable();
  f.deliver(advertisement(HOST6, 0x40, {}, macOption(2, OTHER_MAC)));
  sendTo(f, HOST6);
  assert.deepEqual(kindsOf(f), [`data ${HOST_MAC}`], 'kept, but in doubt');
  f.deliver(advertisement(HOST6, 0x20, {}, macOption(2, OTHER_MAC)));
  sendTo(f, HOST6);
  assert.deepEqual(kindsOf(f), [`data ${OTHER_MAC}`]);
  f.close();
});

test('stale_use_asksAfterFiveSecondsByUnicastAndGivesUp', () => {
  const f = reachable();
  f.pass(50_000);
  f.pass(1);
  assert.deepEqual(kindsOf(f), [], 'nobody asks for whom nobody uses');
  sendTo(f, HOST6);
  assert.deepEqual(kindsOf(f), [`data ${HOST_MAC}`], 'sent at once');
  f.pass(4900);
  assert.deepEqual(kindsOf(f), []);
  f.pass(200);
  assert.deepEqual(kindsOf(f), [`135 ${HOST_MAC}`]);
  for (let i = 0; i < 4; i++) f.pass(1001);
  assert.deepEqual(kindsOf(f), [`135 ${HOST_MAC}`, `135 ${HOST_MAC}`]);
  assert.equal(f.stack.discovery.ndp.neighbours.count, 0);
  assert.deepEqual(f.tcp.failed, [], 'it had answered once: flows find out themselves');
  f.close();
});

test('reachable_doubted_useLeadsToAProbe', () => {
  const f = reachable();
  f.pass(2000);
  const [w0, w1, w2, w3] = words6(HOST6) as [number, number, number, number];
  const token = f.stack.ip.peerOf(w0, w1, w2, w3);
  f.stack.ip.doubt(token, f.stack.ip.neighbourFor(token));
  sendTo(f, HOST6);
  assert.deepEqual(kindsOf(f), [`data ${HOST_MAC}`]);
  f.pass(5001);
  assert.deepEqual(kindsOf(f), [`135 ${HOST_MAC}`]);
  f.close();
});

test('probe_answer_isReachableAgain', () => {
  const f = reachable();
  f.pass(50_000);
  f.pass(1);
  sendTo(f, HOST6);
  f.pass(5001);
  f.sent();
  f.deliver(advertisement(HOST6, 0x40, {}, []));
  f.pass(4000);
  assert.deepEqual(kindsOf(f), []);
  assert.equal(f.stack.discovery.ndp.neighbours.count, 1);
  f.close();
});

test('unused_neighbour_isForgotten', () => {
  const f = reachable();
  for (let i = 0; i < 36; i++) f.pass(10_000);
  assert.equal(f.stack.discovery.ndp.neighbours.count, 0);
  assert.equal(f.stack.ip.v6.destinations.held, 0);
  f.close();
});

test('full_newNeighbours_replaceTheOldest_strangersAreNotLearnt', () => {
  const f = fresh(); // 16 neighbours
  for (let i = 1; i <= 16; i++) {
    f.pass(5);
    sendTo(f, `fd77::1:${i.toString(16)}`);
  }
  f.counted();
  f.deliver(solicitation());
  assert.equal(f.counted().ndpTableFull, 1);
  sendTo(f, 'fd77::1:ff');
  assert.equal(f.counted().ndpReplaced, 1);
  assert.equal(f.stack.discovery.ndp.neighbours.count, 16);
  f.close();
});

test('ours_advertisedBySomebodyElse_isAConflict', () => {
  const f = fresh();
  f.deliver(advertisement(OURS6, 0x20, { source: HOST6 }));
  assert.equal(f.counted().ndpConflict, 1);
  f.close();
});

test('noRoute_beyondTheLink_isRefused', () => {
  const f = fresh();
  assert.equal(sendTo(f, 'fd78::1'), CODE.NO_ROUTE);
  assert.equal(sendTo(f, OURS6), CODE.NO_ROUTE);
  assert.equal(f.counted().noRoute, 2);
  f.close();
});

test('start_ofADataplane_joinsAnnouncesAndLooksForRouters', () => {
  const f = fresh();
  f.stack.start();
  const sent = f.sent().filter((frame) => frame[12] === 0x86);
  const told = sent.map(parseIcmp6);
  assert.ok(told.every((message) => message.isSound && message.isWhole));
  const report = told.find(({ icmpType }) => icmpType === 143)!;
  assert.deepEqual([report.hopLimit, report.next, report.destination], [1, 0, full6('ff02::16')]);
  assert.deepEqual(Array.from(report.payload.subarray(0, 8)), [58, 0, 5, 2, 0, 0, 1, 0]);
  assert.equal(report.rest, 2, 'two records');
  const groups = [0, 1].map((i) => text6(report.data.subarray(20 * i + 4, 20 * i + 20)));
  assert.deepEqual(groups, [full6(solicited6(OURS6_LINK)), full6(solicited6(OURS6))]);
  const announced = told.filter(({ icmpType }) => icmpType === 136).map(({ data }) => text6(data));
  assert.deepEqual(announced, [full6(OURS6_LINK), full6(OURS6)]);
  const asked = told.filter(({ icmpType }) => icmpType === 133);
  assert.deepEqual(
    asked.map(({ source, destination }) => [source, destination]),
    [[full6(OURS6_LINK), full6('ff02::2')]],
  );
  for (let i = 0; i < 6; i++) f.pass(4001);
  assert.equal(kindsOf(f).filter((kind) => kind.startsWith('133')).length, 2, 'three in all');
  f.close();
});

test('query_ofARouter_isAnsweredWithOurGroups', () => {
  const f = fresh();
  const body = [...Array<number>(4).fill(0), ...bytes6('::'), 2, 125, 0, 0];
  f.deliver(icmp6Frame(130, 0, body, { source: HOST6_LINK, destination: ALL_NODES, hopLimit: 1 }));
  const report = parseIcmp6(f.sent()[0]!);
  assert.deepEqual([report.icmpType, report.data[0], report.rest], [143, 2, 2]);
  f.deliver(icmp6Frame(130, 0, body, { source: HOST6, destination: ALL_NODES, hopLimit: 1 }));
  assert.equal(f.sent().length, 0, 'not from off the link');
  f.close();
});
