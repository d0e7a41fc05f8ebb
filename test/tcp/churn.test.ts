/** Many connections that come and go, on a bad cable, through few flows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEAD } from '../../src/gate/abi.ts';
import { randomFrom } from '../net/random.ts';
import { Endpoints } from './endpoints.ts';
import { HOST_B } from './host.ts';
import { Network } from './network.ts';

test('network_10PercentLossManyShortConnections_everyByteAndEveryDeath', (t) => {
  const random = randomFrom(t);
  const net = new Network({ loss: 10, delayUs: 200, jitterUs: 300 }, random.next());
  const server = new Endpoints(net.b, { send: 3000 });
  const client = new Endpoints(net.a);
  server.listen(7, 40);
  for (let wave = 0; wave < 6; wave++) {
    const from = client.connections.length;
    for (let i = 0; i < 10; i++) {
      client.connect(HOST_B, 7, { send: 1 + random.below(5000), shutdownAfterSend: true });
    }
    net.run(() => client.connections.slice(from).every((c) => c.dead >= 0), 900_000);
  }
  for (const c of client.connections) {
    assert.equal(c.dead, DEAD.closed);
    assert.equal(c.received, 3000);
    assert.equal(c.acknowledged, c.sent);
  }
  net.run(() => server.connections.every((c) => c.dead >= 0), 900_000);
  assert.equal(server.connections.length, 60, 'each was accepted once');
  net.close();
});

test('network_bothCloseAtOnce_closingTimeWaitOnBothSides', () => {
  const net = new Network({ delayUs: 1000 });
  const server = new Endpoints(net.b);
  const client = new Endpoints(net.a);
  server.listen();
  const c = client.connect(HOST_B);
  net.run(() => server.connections.length === 1 && c.isOpen);
  const s = server.connections[0]!;
  for (const [end, connection] of [
    [client, c],
    [server, s],
  ] as const) {
    connection.hasClosed = true;
    assert.equal(end.host.tcp.close(connection.handle), 0);
  }
  net.run(() => c.dead >= 0 && s.dead >= 0);
  assert.deepEqual([c.dead, s.dead], [DEAD.closed, DEAD.closed]);
  assert.equal(net.a.tcp.openFlows, 1, 'TIME-WAIT here');
  assert.equal(net.b.tcp.openFlows, 1, 'and there');
  net.close();
});

test('network_bothConnectAtOnce_oneConnection', () => {
  const net = new Network({ delayUs: 1000 });
  const [a, b] = [new Endpoints(net.a), new Endpoints(net.b)];
  // an ARP exchange first, so that both SYNs are under way at the same time
  b.listen(99);
  const first = a.connect(HOST_B, 99, { closeAfterSend: true });
  net.run(() => first.dead >= 0);
  const plan = { send: 50_000, shutdownAfterSend: true };
  const x = a.connect(HOST_B, (5000 << 16) | 6000, plan);
  const y = b.connect(net.a.address, (6000 << 16) | 5000, plan);
  net.run(() => x.dead >= 0 && y.dead >= 0);
  assert.deepEqual([x.received, y.received], [50_000, 50_000]);
  assert.deepEqual([x.dead, y.dead], [DEAD.closed, DEAD.closed]);
  net.close();
});

test('network_blackHole_bothDieByTimeoutOnlyOnceAndPoolsAreFull', () => {
  const net = new Network({ delayUs: 100 });
  const server = new Endpoints(net.b, { send: 100_000 });
  const client = new Endpoints(net.a);
  server.listen();
  const c = client.connect(HOST_B, 7, { send: 5_000_000, spanMax: 60_000 });
  net.run(() => c.received > 10_000);
  net.impairment = { loss: 100 };
  net.run(() => c.dead >= 0 && server.connections[0]!.dead >= 0, 1_000_000);
  assert.ok([DEAD.timeout, DEAD.unreachable].includes(c.dead as never));
  net.close();
});
