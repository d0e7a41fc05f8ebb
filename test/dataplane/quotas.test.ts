/**
 * Quotas of an application: what it gets that wants more than it may have, what is counted, and
 * that the rest goes on.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CounterName } from '../../src/counters.ts';
import { CALL, CODE, EVENT } from '../../src/gate/abi.ts';
import { CALLS_MAX, limitsFor, type Quotas } from '../../src/limits.ts';
import { FakeGate } from '../libix/fake-gate.ts';
import { Fixture } from '../net/fixture.ts';
import { ipFrame, udp } from '../net/packets.ts';
import { Peer } from '../tcp/peer.ts';
import { ANY, closeGate, makeGate, mapped } from './gate-fixture.ts';

const HOST = mapped('10.77.0.1');
const environment = (given: Partial<Quotas>) => ({
  limits: { quotas: limitsFor({ quotas: given }).quotas },
});

/** A gate under these quotas; afterwards everything must be home. */
function withGate(quotas: Partial<Quotas>, run: (g: ReturnType<typeof makeGate>) => void): void {
  const g = makeGate(quotas);
  run(g);
  closeGate(g);
}

/** Peers of one host, each with an accepted flow. */
function openPeers(p: Peer, count: number): Peer[] {
  return Array.from({ length: count }, (_, i) => {
    const peer = new Peer({ host: p.host, sourcePort: 41_000 + i });
    peer.handle = -1;
    return peer.open();
  });
}

describe('quotas', () => {
  test('default_noneBelowThePools', () => {
    const { quotas } = limitsFor({ quotas: { timers: 3 } });
    const { timers, ...others } = quotas;
    assert.equal(timers, 3);
    assert.deepEqual(new Set(Object.values(others)), new Set([2 ** 31 - 1]));
  });

  test('connect_overFlows_isQuotaUntilOneEnds', () => {
    withGate({ flows: 2 }, (g) => {
      const open = (port: number): number => g.call([CALL.connect, 7, ...HOST, port])[0]!;
      const first = open(80);
      assert.ok(first > 0 && open(81) > 0);
      assert.equal(open(82), CODE.QUOTA);
      assert.equal(g.env.counters.get('quotaFlows'), 1);
      assert.equal(g.env.counters.get('tcpFlowsFull'), 0);
      g.call([CALL.abort, first]);
      for (let i = 0; i < 2; i++) {
        g.sink.clear();
        g.stack.emit(g.sink);
      }
      assert.ok(open(83) > 0);
      assert.equal(open(84), CODE.QUOTA);
    });
  });

  test('syn_overFlows_isDroppedAndTheNextOneAfterACloseIsServed', () => {
    const p = new Peer({ environment: environment({ flows: 2 }) });
    p.host.tcp.listen(1, 0, 7, 16, 0);
    const [first] = openPeers(p, 2);
    const late = new Peer({ host: p.host, sourcePort: 45_000 });
    late.handle = -1;
    late.send('S', { mss: 1460 });
    late.expect();
    assert.equal(p.host.count('quotaFlows'), 1);
    p.host.tcp.abort(first!.handle);
    p.host.turn();
    p.host.turn();
    p.host.env.nic.takeSent();
    p.host.takeEvents();
    late.seq = 0;
    late.open();
    p.close();
  });

  test('syn_overFlowsWithATimeWait_recyclesIt', () => {
    const p = new Peer({ environment: environment({ flows: 1 }) }).open();
    p.host.tcp.close(p.handle);
    p.turn();
    p.replies();
    p.send('FA');
    p.replies();
    p.turn();
    const next = new Peer({ host: p.host, sourcePort: 45_000 });
    next.host.takeEvents();
    next.handle = -1;
    next.open();
    assert.equal(p.host.count('quotaFlows'), 0);
    p.close();
  });

  test('listenAndBind_overTheirQuotas_areQuotaUntilOneEnds', () => {
    withGate({ listeners: 2, udpSockets: 1 }, (g) => {
      const listen = (port: number): number => g.call([CALL.listen, 1, ...ANY, port, 16, 0])[0]!;
      const bind = (port: number): number => g.call([CALL.udp_bind, 1, ...ANY, port])[0]!;
      const [listener, socket] = [listen(1), bind(1)];
      assert.ok(listener > 0 && listen(2) > 0 && socket > 0);
      assert.deepEqual([listen(3), listen(1), bind(2)], [CODE.QUOTA, CODE.IN_USE, CODE.QUOTA]);
      assert.equal(g.env.counters.get('quotaListeners'), 1);
      assert.equal(g.env.counters.get('quotaUdpSockets'), 1);
      assert.deepEqual(g.call([CALL.unlisten, listener], [CALL.udp_close, socket]), [0, 0]);
      assert.ok(listen(3) > 0 && bind(2) > 0);
    });
  });

  test('timer_overTimers_isQuotaUntilOneIsCancelled', () => {
    withGate({ timers: 3 }, (g) => {
      const start = (): number => g.call([CALL.timer, 1, 1_000_000])[0]!;
      const handles = [start(), start(), start()];
      assert.ok(handles.every((handle) => handle > 0));
      assert.equal(start(), CODE.QUOTA);
      assert.equal(g.env.counters.get('quotaTimers'), 1);
      assert.deepEqual(g.call([CALL.timer_cancel, handles[1]!]), [CODE.OK]);
      assert.ok(start() > 0);
      assert.equal(start(), CODE.QUOTA);
    });
  });

  test('batch_overCalls_theRestIsAnsweredQuotaAndNotMade', () => {
    withGate({ calls: 4 }, (g) => {
      const timers = Array.from({ length: 7 }, (_, i) => [CALL.timer, i + 1, 1_000_000]);
      const results = g.call(...timers);
      assert.ok(results.slice(0, 4).every((handle) => handle > 0));
      assert.deepEqual(results.slice(4), Array(3).fill(CODE.QUOTA));
      assert.equal(g.timers.active, 4);
      assert.equal(g.env.counters.get('quotaCalls'), 3);
      assert.ok(g.gate.wantsTurn(), 'the application will see the answers');
    });
  });

  test('libix_calls_writesNoMoreThanItMayAndTheRestNextTurn', () => {
    const fake = new FakeGate(undefined, 4);
    let fired = 0;
    for (let i = 0; i < 10; i++) fake.ix.timer(1000, () => fired++);
    const batches: number[] = [];
    for (let i = 0; i < 4; i++) {
      fake.turn();
      batches.push(fake.callCount);
    }
    assert.deepEqual(batches, [4, 4, 2, 0]);
    assert.equal(fired, 0);
  });

  test('sendv_overUnackedBytes_takesAPrefixThenQuotaThenGoesOnAfterAnAcknowledgement', () => {
    const p = new Peer({ environment: environment({ unackedBytes: 8192 }) }).open();
    const { tcp } = p.host;
    const [other] = openOthers(p, 1);
    // 64 flows have 64 bytes each; of the other 4096 there is half of what is left
    assert.equal(tcp.send(p.handle, p.host.at(0), 20_000), 64 + 2048);
    // A flow that holds more than is left gets nothing; others share what is left.
    assert.equal(tcp.send(p.handle, p.host.at(2112), 1000), CODE.QUOTA);
    assert.equal(tcp.send(other!.handle, p.host.at(0), 20_000), 64 + 1024);
    assert.equal(p.host.count('quotaUnackedBytes'), 3);
    p.host.turn();
    p.replies();
    p.host.takeEvents();
    p.send('A', { ack: 2113 });
    const [sent] = p.eventsOf(EVENT.sent);
    assert.deepEqual(
      [sent?.words[0], sent?.words[1]],
      [2112, 64 + 1536],
      'what sendv would take now',
    );
    assert.equal(tcp.send(p.handle, p.host.at(2112), 20_000), 64 + 1536);
    p.close();
  });

  test('sendv_quotaUsedUpByOthers_everyFlowEnds_allComesBack', () => {
    const p = new Peer({ environment: environment({ unackedBytes: 4096 }) }).open();
    const others = openOthers(p, 14);
    const { tcp } = p.host;
    const taken = others.map((peer) => tcp.send(peer.handle, p.host.at(0), 9000));
    assert.deepEqual(taken.slice(0, 3), [32 + 1024, 32 + 512, 32 + 256]);
    assert.ok(
      taken.every((bytes) => bytes >= 32),
      'nobody gets nothing',
    );
    const sum = taken.reduce((all, bytes) => all + bytes, 0);
    assert.ok(sum <= 4096, `${sum}: not a byte more`);
    for (const { handle } of others) tcp.abort(handle);
    assert.equal(tcp.send(p.handle, p.host.at(0), 9000), 32 + 1024);
    p.host.env.nic.takeSent();
    p.close();
  });

  test('received_overReceiveFrames_windowClosesAndReopens', () => {
    const p = new Peer({ environment: environment({ receiveFrames: 32 }) });
    p.open({ mss: 1460, scale: 7, sack: true });
    const free = p.host.env.frames.receiveFree;
    for (let i = 0; i < 200; i++) p.send('A', { data: 1460 });
    const held = p.host.field(p.handle, 'rxFrames');
    assert.ok(held >= 4 && held <= 32, `${held} frames`);
    assert.ok(p.host.env.frames.receiveFree >= free - 32, "the pool is the dataplane's");
    assert.ok(p.host.count('quotaReceiveFrames') > 0);
    assert.equal(p.host.count('tcpReceivePressure'), 0, 'it was not the pool');
    const last = p.replies().at(-1)!;
    assert.equal(last.window, 0, 'its window is closed');
    const received = p.eventsOf(EVENT.recv).reduce((sum, event) => sum + event.words[1]!, 0);
    assert.equal(p.host.tcp.recvDone(p.handle, received), CODE.OK);
    p.host.turn();
    assert.ok(p.replies().at(-1)!.window > 0, 'and opens again');
    assert.equal(p.host.env.frames.held, 0);
    p.close();
  });

  test('datagrams_overReceiveFrames_areDroppedAndCounted', () => {
    const f = new Fixture(environment({ receiveFrames: 32 }));
    f.meetHost();
    f.stack.udp.bind(0, 7, 1);
    for (let i = 0; i < 20; i++) f.deliver(ipFrame(udp([i])));
    const counted = f.counted() as Partial<Record<CounterName, number>>;
    assert.equal(counted.quotaReceiveFrames, 12);
    assert.equal(counted.udpQueueFull, 12);
    const events = f.events();
    assert.equal(events.length, 8, 'a quarter of the quota');
    for (const [, handle, , offset] of events) f.stack.udp.recvDone(handle!, offset!);
    f.deliver(ipFrame(udp([99])));
    const [[, handle, , offset] = []] = f.events();
    f.stack.udp.recvDone(handle!, offset!);
    assert.equal(f.env.frames.held, 0);
    f.close();
  });

  test('calls_quotaIsNeverMoreThanTheArray', () => {
    withGate({ calls: CALLS_MAX * 2 }, (g) => {
      const calls = Array.from({ length: CALLS_MAX }, () => [99]);
      assert.deepEqual(new Set(g.call(...calls)), new Set([CODE.BAD_CALL]));
      assert.equal(g.env.counters.get('quotaCalls'), 0);
    });
  });
});

/** More flows on the same host, whose listener is there already. */
function openOthers(p: Peer, count: number): Peer[] {
  p.host.takeEvents();
  return openPeers(p, count);
}
