/** TCP over IPv6: the same TCP, with longer addresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DEAD, EVENT, MAPPED_V4 } from '../../src/gate/abi.ts';
import { SPARE_DESTINATIONS } from '../../src/net/v6/destinations.ts';
import { FLAG, STATE, TCB } from '../../src/tcp/tcb.ts';
import { checksum } from '../net/packets.ts';
import { bytes6, icmp6Frame, ip6Frame, ipv6Choices, words6 } from '../net/packets6.ts';
import { Endpoints, type Plan } from './endpoints.ts';
import { HOST_B, type Host } from './host.ts';
import { type Impairment, Network } from './network.ts';

const A6 = 'fd77::2';
const B6 = 'fd77::3';
const LINK_A = 'fe80::a';
const LINK_B = 'fe80::b';

const makeNetwork = (impairment: Impairment = {}, seed = 1): Network =>
  new Network(
    impairment,
    seed,
    ipv6Choices({ address: words6(A6), linkLocal: words6(LINK_A) }),
    ipv6Choices({ address: words6(B6), linkLocal: words6(LINK_B) }),
  );

function peer(host: Host, text: string): number {
  const [w0, w1, w2, w3] = words6(text) as [number, number, number, number];
  return host.stack.ip.peerOf(w0, w1, w2, w3);
}

function own(host: Host, text: string): number {
  const [w0, w1, w2, w3] = words6(text) as [number, number, number, number];
  return host.stack.ip.localOf(w0, w1, w2, w3);
}

function finish(net: Network): void {
  net.close();
  for (const host of [net.a, net.b]) {
    assert.equal(host.stack.ip.v6.destinations.held, 0, 'no address is held for nothing');
  }
}

/** One connection from a to b; both follow their plans until both are dead. */
function transfer(impairment: Impairment, up: Plan, down: Plan, seed = 1, to = B6): Network {
  const net = makeNetwork(impairment, seed);
  const server = new Endpoints(net.b, down);
  const client = new Endpoints(net.a);
  server.listen();
  const c = client.connect(peer(net.a, to), 7, up);
  net.run(() => c.dead >= 0 && (server.connections[0]?.dead ?? -1) >= 0, 600_000);
  const s = server.connections[0]!;
  assert.deepEqual(
    [s.received, c.received, c.acknowledged, s.acknowledged, c.dead, s.dead],
    [up.send ?? 0, down.send ?? 0, up.send ?? 0, down.send ?? 0, DEAD.closed, DEAD.closed],
  );
  return net;
}

test('established_bothSend_allBytesArriveAsPredicted', () => {
  const net = transfer({}, { send: 400_000, shutdownAfterSend: true }, { send: 300_000 });
  assert.equal(net.a.count('tcpRetransmits') + net.b.count('tcpRetransmits'), 0);
  assert.ok(net.b.count('tcpHeaderPredicted') > 200);
  assert.equal(net.a.count('ipOut') + net.b.count('ipOut'), 0, 'nothing went by IPv4');
  finish(net);
});

test('established_betweenLinkLocalAddresses_allBytesArrive', () => {
  finish(transfer({}, { send: 50_000, shutdownAfterSend: true }, { send: 1000 }, 1, LINK_B));
});

for (const [name, impairment] of [
  ['loss', { loss: 2, delayUs: 500 }],
  ['reordering', { reorder: 5, delayUs: 500, jitterUs: 200 }],
  ['everything', { loss: 1, duplicate: 2, reorder: 3, delayUs: 2000, jitterUs: 1000 }],
] as const) {
  test(`${name}_2MBothWays_allBytesArrive`, (t) => {
    const seed = Number(process.env['SEED'] ?? 11);
    t.diagnostic(`SEED=${seed}`);
    const plan = { send: 2_000_000, spanMax: 65_000 };
    finish(transfer(impairment, { ...plan, shutdownAfterSend: true }, plan, seed));
  });
}

test('listener_onAny_hearsBothProtocols', () => {
  const net = makeNetwork();
  net.b.tcp.listen(1, 0, 7, 16, 0);
  const client = new Endpoints(net.a);
  client.connect(peer(net.a, B6), 7, {});
  client.connect(HOST_B, 7, {});
  net.run(() => net.b.events.filter(({ kind }) => kind === EVENT.knock).length === 2);
  const knocks = net.b.takeEvents().map(({ words }) => [words.slice(0, 4), words.slice(5, 9)]);
  knocks.sort((x, y) => x[0]![0]! - y[0]![0]!);
  const v4 = [net.a, net.b].map(({ address }) => [0, 0, MAPPED_V4, address]);
  assert.deepEqual(knocks, [[words6(A6), words6(B6)], v4], 'who knocks, and where');
  finish(net);
});

test('listener_onOneAddress_hearsItAlone', () => {
  const net = makeNetwork();
  assert.ok(net.b.tcp.listen(1, own(net.b, B6), 7, 16, 0) > 0);
  assert.ok(net.b.tcp.listen(1, net.b.address, 8, 16, 0) > 0);
  assert.equal(net.b.tcp.listen(1, own(net.b, B6), 7, 16, 0), CODE.IN_USE);
  assert.equal(own(net.b, A6), -1, 'not ours');
  const client = new Endpoints(net.a);
  const flows = [
    client.connect(peer(net.a, B6), 7, {}),
    client.connect(HOST_B, 7, {}),
    client.connect(peer(net.a, B6), 8, {}),
    client.connect(HOST_B, 8, {}),
    client.connect(peer(net.a, LINK_B), 7, {}),
  ];
  net.run(() => flows.every((flow) => flow.isOpen || flow.dead >= 0));
  assert.deepEqual(
    flows.map((flow) => (flow.isOpen ? 'open' : flow.dead)),
    ['open', DEAD.refused, DEAD.refused, 'open', DEAD.refused],
  );
  finish(net);
});

test('connect_toWhatNobodyCanHave_isNoPeer', () => {
  const net = makeNetwork();
  const { ip } = net.a.stack;
  for (const text of ['::', '::1', 'ff02::1', '::a4d:3']) assert.equal(peer(net.a, text), 0, text);
  assert.equal(ip.peerOf(0, 0, MAPPED_V4, 5), 0, '0/8 names no token');
  assert.equal(ip.peerOf(0, 0, MAPPED_V4, HOST_B), HOST_B);
  assert.equal(net.a.tcp.connect(1, peer(net.a, A6), 7), CODE.NO_ROUTE, 'our own');
  assert.equal(net.a.tcp.connect(1, peer(net.a, '2001:db8::1'), 7), CODE.NO_ROUTE, 'no router');
  finish(net);
});

test('connect_neighbourThatNeverAnswers_isUnreachable', () => {
  const net = makeNetwork();
  const client = new Endpoints(net.a);
  const c = client.connect(peer(net.a, 'fd77::77'), 7, {});
  net.run(() => c.dead >= 0);
  assert.equal(c.dead, DEAD.unreachable);
  assert.ok(net.now < 5e6, 'after three solicitations');
  finish(net);
});

test('syn_overIpv6_namesTheMssOfItsHeader', () => {
  const net = makeNetwork();
  const client = new Endpoints(net.a);
  const server = new Endpoints(net.b);
  server.listen();
  const mss: number[] = [];
  let longest = 0;
  net.impairment.filter = (frame) => {
    longest = Math.max(longest, frame.length);
    const isSyn = frame[12] === 0x86 && frame[20] === 6 && (frame[54 + 13]! & 2) !== 0;
    if (isSyn) mss.push((frame[54 + 22]! << 8) | frame[54 + 23]!);
    return true;
  };
  const c = client.connect(peer(net.a, B6), 7, { send: 100_000 });
  net.run(() => c.acknowledged === 100_000);
  assert.deepEqual(mss, [1440, 1440]);
  assert.equal(longest, 1514);
  finish(net);
});

test('tooBig_inFlight_lowersTheMssAndAllArrives', () => {
  const net = makeNetwork();
  const client = new Endpoints(net.a);
  const server = new Endpoints(net.b);
  server.listen();
  let told = 0;
  net.impairment.filter = (frame, fromA) => {
    if (!fromA || frame.length <= 14 + 1300) return true;
    if (told++ < 3) {
      const body = [0, 0, 5, 0x14, ...frame.subarray(14, 14 + 120)];
      const from = { source: B6, destination: A6 };
      net.a.env.nic.inject(icmp6Frame(2, 0, body, from));
    }
    return false;
  };
  const c = client.connect(peer(net.a, B6), 7, { send: 200_000 });
  net.run(() => c.acknowledged === 200_000);
  assert.ok(told >= 1);
  assert.equal(net.a.field(c.handle, 'mss'), 1300 - 60 - 12);
  finish(net);
});

/** A SYN from `source`, whose checksum is right. */
function syn(
  source: string,
  destination: string,
  sourcePort: number,
  offsetAndFlags = [0x50, 2],
): Uint8Array {
  const tcp = [
    sourcePort >> 8,
    sourcePort & 255,
    0,
    7,
    1,
    2,
    3,
    4,
    0,
    0,
    0,
    0,
    ...offsetAndFlags,
    16,
    0,
    0,
    0,
    0,
    0,
  ];
  const pseudo = [...bytes6(source), ...bytes6(destination), 0, 0, 0, tcp.length, 0, 0, 0, 6];
  const sum = checksum([...pseudo, ...tcp]);
  tcp[16] = sum >> 8;
  tcp[17] = sum & 255;
  return ip6Frame(tcp, { next: 6, source, destination }, '02:00:00:00:00:03');
}

test('synWithoutMss_overIpv6_1220', () => {
  const net = makeNetwork();
  const server = new Endpoints(net.b);
  server.listen();
  net.b.env.nic.inject(syn('fd77::77', B6, 9));
  net.settle();
  const { flows } = net.b.tcp;
  const rows = Array.from({ length: flows.count }, (_, flow) => flows.row(flow));
  const row = rows.find((each) => flows.i32[each + TCB.state] === STATE.synReceived)!;
  assert.equal(flows.i32[row + TCB.mss], 1220, 'what IPv6 guarantees (RFC 9293 3.7.1)');
  finish(net);
});

test('accurateEcnSyn_overIpv6_answeredAsRfc3168Says_againWithoutIfItCameWithout', () => {
  const net = makeNetwork();
  const server = new Endpoints(net.b);
  server.listen();
  const { flows } = net.b.tcp;
  const isAgreed = (): boolean => {
    const rows = Array.from({ length: flows.count }, (_, flow) => flows.row(flow));
    const row = rows.find((each) => flows.i32[each + TCB.state] === STATE.synReceived)!;
    return (flows.i32[row + TCB.flags]! & FLAG.ecn) !== 0;
  };
  net.b.env.nic.inject(syn('fd77::77', B6, 9, [0x51, 0xc2])); // AE, CWR, ECE, SYN
  net.settle();
  assert.ok(isAgreed());
  net.b.env.nic.inject(syn('fd77::77', B6, 9));
  net.settle();
  assert.ok(!isAgreed());
  finish(net);
});

test('backlogFull_synOverIpv6_cookieBecomesAConnection', () => {
  const net = makeNetwork();
  const server = new Endpoints(net.b);
  server.listen(7, 1);
  net.b.env.nic.inject(syn('fd77::77', B6, 9));
  net.settle();
  const client = new Endpoints(net.a);
  const c = client.connect(peer(net.a, B6), 7, { send: 30_000 });
  net.run(() => c.acknowledged === 30_000);
  assert.equal(net.b.count('tcpCookiesIn'), 1);
  finish(net);
});

test('flood_ofSynsFromEverywhere_leavesOpenFlowsTheirAddresses', () => {
  const net = makeNetwork();
  const server = new Endpoints(net.b);
  server.listen(7, 4);
  const client = new Endpoints(net.a);
  const c = client.connect(peer(net.a, B6), 7, { send: 2_000_000 });
  net.run(() => c.acknowledged > 1000);
  const count = SPARE_DESTINATIONS + 500;
  for (let i = 0; i < count; i++) {
    const source = `2001:db8::${(i >> 8).toString(16)}:${(i & 255).toString(16)}`;
    net.b.env.nic.inject(syn(source, B6, 9));
    if (i % 50 === 0) net.pass(100);
    if (i % 50 === 0) net.settle();
  }
  net.run(() => c.acknowledged === 2_000_000);
  assert.ok(net.b.count('tcpSynIn') > count / 2);
  assert.equal(net.b.stateOf(server.connections[0]!.handle), 'established');
  net.wait(70_000);
  finish(net);
});

test('sameTuple_againLater_beginsWithLargerNumbers', () => {
  const net = makeNetwork();
  const server = new Endpoints(net.b, {});
  server.listen();
  const numbers: number[] = [];
  for (let round = 0; round < 3; round++) {
    const to = peer(net.a, B6);
    const handle = net.a.tcp.connect(1, to, (5000 << 16) | 7);
    numbers.push(net.a.field(handle, 'iss'));
    net.a.tcp.abort(handle);
    net.wait(100);
    // so many others that the address loses its token in between
    for (let i = 0; i < 3000; i++) net.a.stack.ip.peerOf(0x2001_0db8, 0, round, i);
  }
  for (const i of [1, 2]) {
    const step = (numbers[i]! - numbers[i - 1]!) | 0;
    assert.ok(step > 0 && step < 16_000_000, `${step}`);
  }
  finish(net);
});

test('churn_200Connections_leaveNothing', () => {
  const net = makeNetwork({ loss: 1 }, 5);
  const server = new Endpoints(net.b, { send: 500 });
  server.listen(7, 64);
  const client = new Endpoints(net.a);
  for (let round = 0; round < 10; round++) {
    const flows = Array.from({ length: 20 }, () =>
      client.connect(peer(net.a, B6), 7, { send: 700, shutdownAfterSend: true }),
    );
    net.run(() => flows.every((flow) => flow.dead >= 0), 300_000);
    assert.ok(flows.every((flow) => flow.received === 500));
    net.wait(61_000);
  }
  finish(net);
});
