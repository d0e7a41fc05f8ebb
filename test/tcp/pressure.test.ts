/**
 * Frames run out: shares, compaction, what is dropped first, and that nothing is stuck afterwards.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, EVENT } from '../../src/gate/abi.ts';
import { Endpoints } from './endpoints.ts';
import { HOST_B, isStream } from './host.ts';
import { Network } from './network.ts';
import { Peer } from './peer.ts';

test('established_oneByteSegments_packedIntoFewFrames', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 128 } } }).open();
  for (let i = 0; i < 5000; i++) p.send('A', { data: 1 });
  assert.ok(
    p.host.field(p.handle, 'rxFrames') <= 24,
    `${p.host.field(p.handle, 'rxFrames')} frames`,
  );
  assert.equal(p.host.count('tcpReceivePressure'), 0);
  let position = 0;
  for (const { words } of p.eventsOf(EVENT.recv)) {
    assert.ok(isStream(p.host, words[0]!, words[1]!, position));
    position += words[1]!;
  }
  assert.equal(position, 5000);
  assert.equal(p.host.tcp.recvDone(p.handle, 5000), CODE.OK);
  assert.equal(p.host.env.frames.receiveFree, 128);
  p.close();
});

test('established_outOfOrderOneByteSegments_boundedFrames', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 128 } } }).open();
  for (let i = 0; i < 300; i++) p.send('A', { seq: 10 + 2 * i, data: 1 });
  assert.equal(p.host.field(p.handle, 'oooFrames'), 32);
  assert.equal(p.host.count('tcpOutOfOrderTiny'), 300 - 32);
  p.replies();
  for (let i = 0; i < 32; i++) p.send('A', { seq: 9 + 2 * i, data: 1 });
  assert.equal(p.host.field(p.handle, 'oooRuns'), 1, 'what touches a run is kept');
  assert.equal(p.host.field(p.handle, 'oooFrames') <= 64, true);
  p.replies();
  p.close();
});

test('pressure_outOfOrderDroppedForInOrder', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 64 } } }).open();
  for (let i = 0; i < 20; i++) p.send('A', { seq: 1461 + i * 1460, data: 1460 });
  assert.ok(p.host.field(p.handle, 'oooFrames') > 10);
  const others: number[] = [];
  const { frames } = p.host.env;
  while (frames.receiveFree > 2) others.push(frames.takeReceive());
  p.send('A', { seq: 1, data: 1460 });
  assert.ok(
    ((p.host.field(p.handle, 'rcvNxt') - p.iss) | 0) >= 1461,
    'the data in order was taken',
  );
  for (const frame of others) frames.free(frame);
  p.replies();
  p.close();
});

test('pressure_stuckReader_holdsAtMostHalf', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 64 } } }).open(
    { mss: 1460, scale: 7, sack: true },
  ); // biome-ignore format: one line
  for (let i = 0; i < 1000; i++) {
    const left = ((p.host.field(p.handle, 'rcvEdge') - p.iss) | 0) - p.seq;
    if (left <= 0) break;
    p.send('A', { data: Math.min(1460, left) });
  }
  assert.ok(p.host.field(p.handle, 'rxFrames') <= 32, `${p.host.field(p.handle, 'rxFrames')}`);
  p.replies();
  const other = new Peer({ host: p.host, sourcePort: 41_000 });
  other.handle = -1;
  other.open();
  other.send('A', { data: 1460 }).send('A', { data: 1460 });
  assert.equal(other.replies().at(-1)!.ack, 2921, 'another flow is served');
  p.close();
});

test('pressure_manyStuckReaders_someFramesAreLeftForTheNic', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 96 } } });
  p.host.tcp.listen(1, 0, 7, 64, 0);
  const peers = Array.from({ length: 40 }, (_, i) => {
    const peer = new Peer({ host: p.host, sourcePort: 41_000 + i });
    peer.handle = -1;
    return peer.open();
  });
  for (let round = 0; round < 4; round++) {
    for (const peer of peers) {
      peer.send('A', { seq: 1 + round * 1460, data: 1460 });
      peer.send('A', { seq: 20_001 + round * 1460, data: 1460 });
    }
  }
  assert.ok(p.host.env.frames.receiveFree >= 6, `${p.host.env.frames.receiveFree} free`);
  assert.ok(p.host.count('tcpReceivePressure') > 0);
  for (const peer of peers) peer.replies();
  p.close();
});

test('pressure_manyStuckReaders_aNewFlowStillGetsItsFirstSegmentIn', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 256 } } });
  p.host.tcp.listen(1, 0, 7, 64, 0);
  const open = (sourcePort: number): Peer => {
    const peer = new Peer({ host: p.host, sourcePort });
    peer.handle = -1;
    return peer.open();
  };
  const peers = Array.from({ length: 20 }, (_, i) => open(41_000 + i));
  for (let round = 0; round < 20; round++) {
    for (const peer of peers) peer.send('A', { seq: 1 + round * 1460, data: 1460 });
  }
  p.host.env.nic.takeSent();
  const fresh = open(45_000);
  fresh.send('PA', { data: 13 });
  assert.equal((fresh.host.field(fresh.handle, 'rcvNxt') - fresh.iss) | 0, 14);
  p.close();
});

test('network_slowReadersOfManyFlows_allBytesInTheEnd', () => {
  const limits = { receiveFrames: 256, ringEntries: 32 };
  const net = new Network({ delayUs: 100 }, 5, {}, { limits });
  const server = new Endpoints(net.b, { consumes: false });
  const client = new Endpoints(net.a);
  server.listen();
  const plan = { send: 150_000, shutdownAfterSend: true };
  for (let i = 0; i < 12; i++) client.connect(HOST_B, 7, plan);
  net.wait(3000);
  assert.ok(net.b.env.frames.receiveFree > 0, 'never all of them');
  const pump = (): boolean => {
    for (const c of server.connections) if (c.held > 0 && c.dead < 0) server.consume(c, c.held);
    return server.connections.every((c) => c.dead >= 0);
  };
  net.run(pump, 900_000);
  assert.equal(server.connections.length, 12);
  for (const c of server.connections) assert.equal(c.received, 150_000);
  net.close();
});

test('network_closedWindows_reopenByUpdateNotByProbe', () => {
  const net = new Network({ delayUs: 100 }, 5);
  const server = new Endpoints(net.b, { consumes: false });
  const client = new Endpoints(net.a);
  server.listen();
  const c = client.connect(HOST_B, 7, { send: 300_000, shutdownAfterSend: true });
  for (let i = 0; i < 10; i++) {
    net.wait(50);
    for (const s of server.connections) if (s.held > 0 && s.dead < 0) server.consume(s, s.held);
  }
  assert.equal(net.a.count('tcpProbes'), 0);
  net.run(() => {
    for (const s of server.connections) if (s.held > 0 && s.dead < 0) server.consume(s, s.held);
    return c.dead >= 0;
  });
  net.close();
});

test('eventArrayFull_eventsWaitAndNoneIsLost', () => {
  const p = new Peer();
  p.host.tcp.listen(1, 0, 7, 64, 0);
  const peers = Array.from({ length: 40 }, (_, i) => {
    const peer = new Peer({ host: p.host, sourcePort: 41_000 + i });
    peer.handle = -1;
    return peer.open();
  });
  const { nic } = p.host.env;
  nic.takeSent();
  for (let round = 0; round < 11; round++)
    for (const peer of peers) peer.deliver('A', { data: 100 });
  for (const peer of peers) peer.deliver('R', {});
  const handles = new Set(peers.map(({ handle }) => handle));
  p.turn();
  assert.equal(p.host.count('eventsDeferred'), 0, '480 events fit');
  assert.equal(p.host.takeEvents().filter(({ kind }) => kind === EVENT.dead).length, handles.size);
  p.close();
});

test('eventArrayTooSmall_restComesWithTheNextEmit', () => {
  const p = new Peer({ environment: { limits: { receiveFrames: 1024 } } });
  p.host.tcp.listen(1, 0, 7, 64, 0);
  const peers = Array.from({ length: 40 }, (_, i) => {
    const peer = new Peer({ host: p.host, sourcePort: 41_000 + i });
    peer.handle = -1;
    return peer.open();
  });
  p.host.env.nic.takeSent();
  for (let round = 0; round < 12; round++)
    for (const peer of peers) peer.deliver('A', { data: 100 });
  for (const peer of peers) peer.deliver('R', {});
  p.turn();
  assert.equal(p.host.count('eventsDeferred'), 1);
  assert.ok(p.host.tcp.hasEvents());
  p.turn();
  const events = p.host.takeEvents();
  assert.equal(events.filter(({ kind }) => kind === EVENT.recv).length, 480);
  assert.equal(events.filter(({ kind }) => kind === EVENT.dead).length, 40);
  for (const { handle } of peers) {
    const own = events.filter((event) => event.handle === handle);
    assert.equal(own.at(-1)!.kind, EVENT.dead, 'dead comes last');
    assert.equal(own.length, 13);
  }
  p.close();
});
