/** TTL or hop limit and DiffServ of a flow's packets, as its application asks (RFC 9293 3.9.2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT, LISTEN_KNOCK_AT_SYN } from '../../src/gate/abi.ts';
import { checksum } from '../net/packets.ts';
import { ipv6Choices, words6 } from '../net/packets6.ts';
import { Endpoints } from './endpoints.ts';
import { Network } from './network.ts';
import { Peer } from './peer.ts';

const SACK = { mss: 1000, sack: true };
const SIN = 14;

/** [type of service, TTL] of each packet that left; their headers' checksums are right. */
function marks(p: Peer): number[][] {
  return p.host.env.nic.takeSent().map((frame) => {
    assert.equal(checksum([...frame.subarray(SIN, SIN + 20)]), 0, 'checksum of the IP header');
    return [frame[SIN + 1]!, frame[SIN + 8]!];
  });
}

test('established_marked_everySegmentSaysSo', () => {
  const p = new Peer().open(SACK);
  p.write(0, 100);
  assert.deepEqual(marks(p), [[0, 64]]);
  assert.equal(p.host.tcp.marking(p.handle, 255, 46), CODE.OK);
  p.write(100, 100);
  assert.deepEqual(marks(p), [[46 << 2, 255]]);
  p.send('PA', { data: 10, ack: 201 }).pass(50);
  assert.deepEqual(marks(p), [[46 << 2, 255]], 'an acknowledgement');
  p.write(200, 100);
  p.pass(1000);
  const sent = marks(p);
  assert.ok(sent.length >= 2, 'a retransmission');
  for (const mark of sent) assert.deepEqual(mark, [46 << 2, 255]);
  assert.equal(p.host.tcp.abort(p.handle), CODE.OK);
  p.turn();
  assert.deepEqual(marks(p), [[46 << 2, 255]], 'the reset');
  p.close();
});

test('established_anyTtlAndClass_checksumIsRight', () => {
  const p = new Peer().open(SACK);
  for (let hops = 0; hops < 256; hops++) {
    const codePoint = (hops * 7) & 63;
    assert.equal(p.host.tcp.marking(p.handle, hops, codePoint), CODE.OK);
    p.write(hops, 1);
    const sent = marks(p);
    assert.ok(sent.length > 0);
    for (const mark of sent) assert.deepEqual(mark, [codePoint << 2, hops === 0 ? 64 : hops]);
    p.send('A', { ack: hops + 2 });
    marks(p);
  }
  p.close();
});

test('established_markedAndEcn_bothInOneField', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, 0);
  p.send('SEW', SACK).expect({ flags: 'SAE' });
  p.seq = p.ack = 1;
  p.send('A');
  p.handle = p.host.takeEvents()[0]!.handle;
  p.host.tcp.accept(p.handle, 55);
  p.host.tcp.marking(p.handle, 0, 63);
  p.write(0, 100);
  assert.deepEqual(marks(p), [[(63 << 2) | 2, 64]]);
  p.close();
});

test('connect_markedAtOnce_synSaysSo', () => {
  const p = new Peer();
  p.handle = p.host.tcp.connect(55, 0x0a4d0001, (p.port << 16) | p.sourcePort);
  assert.equal(p.host.tcp.marking(p.handle, 3, 10), CODE.OK);
  p.turn();
  assert.deepEqual(marks(p), [[10 << 2, 3]]);
  p.close();
});

test('knockAtSyn_acceptedAndMarked_synAckSaysSo', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, p.port, 16, LISTEN_KNOCK_AT_SYN);
  p.send('S', SACK);
  assert.deepEqual(marks(p), []);
  p.handle = p.eventsOf(EVENT.knock)[0]!.handle;
  p.host.tcp.accept(p.handle, 55);
  assert.equal(p.host.tcp.marking(p.handle, 9, 1), CODE.OK);
  p.turn();
  assert.deepEqual(marks(p), [[1 << 2, 9]]);
  p.close();
});

test('nextFlowInTheRow_isNotMarked', () => {
  const p = new Peer({ environment: { limits: { flows: 1 } } }).open(SACK);
  p.host.tcp.marking(p.handle, 255, 46);
  p.host.tcp.abort(p.handle);
  p.turn().turn().replies();
  const next = new Peer({ host: p.host, sourcePort: 41_000 });
  next.host.tcp.listen(1, 0, next.port, 16, 0);
  next.send('S', SACK);
  assert.deepEqual(marks(next), [[0, 64]]);
  next.close();
});

test('marking_badArguments_codes', () => {
  const p = new Peer().open(SACK);
  const { tcp } = p.host;
  for (const [hops, codePoint] of [[-1, 0], [256, 0], [0, -1], [0, 64]]) {
    assert.equal(tcp.marking(p.handle, hops!, codePoint!), CODE.BAD_RANGE);
  } // biome-ignore format: pairs
  assert.equal(tcp.marking(p.handle + 1, 1, 1), CODE.BAD_HANDLE);
  p.write(0, 1);
  assert.deepEqual(marks(p), [[0, 64]]);
  p.close();
});

test('overIpv6_marked_trafficClassAndHopLimit', () => {
  const sent: Uint8Array[] = [];
  const filter = (frame: Uint8Array, fromA: boolean): boolean => {
    if (fromA) sent.push(frame);
    return true;
  };
  const net = new Network(
    { filter },
    1,
    ipv6Choices({ address: words6('fd77::2'), linkLocal: words6('fe80::a') }),
    ipv6Choices({ address: words6('fd77::3'), linkLocal: words6('fe80::b') }),
  );
  const server = new Endpoints(net.b, {});
  const client = new Endpoints(net.a);
  server.listen();
  const [w0, w1, w2, w3] = words6('fd77::3') as [number, number, number, number];
  const c = client.connect(net.a.stack.ip.peerOf(w0, w1, w2, w3), 7, { send: 5000 });
  assert.equal(net.a.tcp.marking(c.handle, 200, 34), CODE.OK);
  net.run(() => c.acknowledged === 5000, 60_000);
  const segments = sent.filter((frame) => frame[12] === 0x86 && frame[SIN + 6] === 6);
  assert.ok(segments.length >= 5, `${segments.length} segments`);
  for (const frame of segments) {
    assert.equal(((frame[SIN]! & 15) << 4) | (frame[SIN + 1]! >> 4), 34 << 2);
    assert.equal(frame[SIN + 7], 200);
  }
  net.close();
});
