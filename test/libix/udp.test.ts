import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { carveLayout, openGate } from '../../src/dataplane/assembly.ts';
import type { Stack } from '../../src/dataplane/stack.ts';
import { ApplicationTimers } from '../../src/dataplane/timers.ts';
import { CALL, CODE } from '../../src/gate/abi.ts';
import type { UdpHandlers } from '../../src/libix/index.ts';
import { Ix } from '../../src/libix/ix.ts';
import { timerRanges } from '../../src/net/both/environment.ts';
import { Fixture } from '../net/fixture.ts';
import { ipFrame, parseIpv4, udp as udpPacket } from '../net/packets.ts';
import { FakeGate } from './fake-gate.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const HOST = (10 << 24) | 1;

function bound(handlers: UdpHandlers, callsMax = 0) {
  const gate = new FakeGate(undefined, callsMax);
  const udp = gate.ix.udp(9, handlers);
  gate.turn();
  gate.turn();
  return { gate, udp, socket: gate.sockets[0]! };
}

describe('udp', () => {
  it('bound_datagram_isAnsweredAndGivenBack', () => {
    const { gate, socket } = bound({
      received(udp, offset, length, address, port) {
        assert.deepEqual([...udp.source], [0, 0, 0xffff, HOST]);
        const copy = gate.ix.alloc(length);
        gate.ix.u8.copyWithin(copy, offset, offset + length);
        assert.ok(udp.send(copy, length, address, port));
      },
    });
    for (const text of ['one', 'two']) gate.datagram(socket, bytesOf(text), HOST, 1234);
    gate.turn();
    assert.deepEqual(socket.sent, [
      { text: 'one', address: HOST, port: 1234 },
      { text: 'two', address: HOST, port: 1234 },
    ]);
    assert.equal(socket.lent.size, 0);
  });

  it('handlerThrows_reportedAndTheFrameIsGivenBack', (t) => {
    const said: string[] = [];
    t.mock.method(process.stderr, 'write', (text: string) => said.push(text) > 0);
    const { gate, socket } = bound({
      received() {
        throw new Error('not this one');
      },
      sent() {
        throw new Error('nor that');
      },
    });
    gate.datagram(socket, bytesOf('boom'), HOST, 1234);
    gate.udpSent(socket, 4);
    gate.turn();
    assert.equal(socket.lent.size, 0);
    assert.equal(said.length, 2);
    assert.match(said[0]!, /^ix: application error: Error: not this one/);
  });

  it('batchFull_framesAreGivenBackInLaterBatches', () => {
    const { gate, socket } = bound({ received() {} }, 4);
    for (let i = 0; i < 10; i++) gate.datagram(socket, bytesOf('x'), HOST, 1);
    gate.turn();
    assert.equal(socket.lent.size, 6);
    for (let i = 0; i < 3; i++) gate.turn();
    assert.equal(socket.lent.size, 0);
  });

  it('closedInTheTurnOfItsBind_isClosedWhenItIsBound', () => {
    const gate = new FakeGate();
    const heard: string[] = [];
    const udp = gate.ix.udp(9, { received: () => heard.push('datagram') });
    udp.close();
    udp.close();
    gate.turn();
    gate.datagram(gate.sockets[0]!, bytesOf('early'), HOST, 1);
    gate.turn();
    assert.deepEqual([gate.sockets[0]!.isOpen, gate.sockets[0]!.lent.size], [false, 0]);
    assert.deepEqual(heard, []);
    assert.equal(udp.send(0, 1, HOST, 1), false);
  });

  it('closed_cookieIsUsedAgain_theOldSocketSaysNothing', () => {
    const { gate, udp } = bound({ received() {} });
    udp.close();
    gate.turn();
    gate.turn();
    const heard: string[] = [];
    gate.ix.udp(10, { received: () => heard.push('datagram') });
    gate.turn();
    gate.turn();
    const [first, second] = gate.sockets;
    assert.equal(second!.cookie, first!.cookie);
    udp.close();
    gate.datagram(second!, bytesOf('x'), HOST, 1);
    gate.turn();
    gate.turn();
    assert.deepEqual([second!.isOpen, heard], [true, ['datagram']]);
  });

  it('outsideATurn_send_leavesInTheNext', () => {
    const { gate, udp, socket } = bound({ received() {} });
    const { offset, length } = gate.ix.text('later');
    const address = Int32Array.of(0, 0, 0xffff, HOST);
    assert.ok(udp.send(offset, length, address, 77));
    address.fill(0);
    gate.turn();
    assert.deepEqual(socket.sent, [{ text: 'later', address: HOST, port: 77 }]);
  });

  it('sendRefused_itsMemoryIsToldFree', () => {
    const freed: number[] = [];
    const { gate, udp } = bound({ received() {}, sent: (_udp, bytes) => freed.push(bytes) });
    const { offset, length } = gate.ix.text('nowhere');
    gate.answers.set(CALL.udp_sendv, CODE.NO_ROUTE);
    udp.send(offset, length, HOST, 77);
    gate.turn();
    gate.turn();
    gate.turn();
    assert.deepEqual(freed, [length]);
  });

  it('starting_portInUse_failsTheStart', () => {
    const gate = new FakeGate();
    gate.answers.set(CALL.udp_bind, CODE.IN_USE);
    const udp = gate.ix.udp(9, { received() {} });
    let told: unknown;
    gate.ix.whenSettled((refused) => {
      told = refused;
    });
    gate.turn();
    gate.turn();
    assert.match(`${told}`, /UDP port 9 is in use already \(IN_USE\); choose another/);
    udp.close();
    gate.turn();
    assert.equal(gate.callCount, 0, 'there is nothing to close');
  });
});

/** libix on the real stack and gate; `turn` is what an elastic thread does with its application. */
function onTheStack() {
  const f = new Fixture({ limits: { applicationBytes: 4 * 2 ** 20 } });
  const { arena, limits } = f.env;
  const timers = new ApplicationTimers(f.env, timerRanges(limits).application);
  const layout = carveLayout(f.env);
  const stack = f.stack as unknown as Stack; // no flow is opened
  const { sink, gate } = openGate({ env: f.env, timers, stack }, layout);
  const ix = new Ix({
    ...{ arena, layout, flows: limits.flows, thread: 0 },
    hooks: { report: () => true, wake() {}, stop() {} },
  });
  const turn = (): void => {
    sink.clear();
    f.stack.emit(sink);
    sink.publish(0, 0);
    ix.dispatch();
    gate.execute();
    f.stack.flush();
  };
  f.meetHost();
  return { f, ix, turn };
}

describe('udp on the real stack', () => {
  it('echoOfThousands_someHandlersThrow_allOthersAreAnsweredAndEveryFrameComesHome', (t) => {
    t.mock.method(process.stderr, 'write', () => true);
    const { f, ix, turn } = onTheStack();
    const SLOTS = 64;
    const slot = ix.alloc(SLOTS * 64);
    let next = 0;
    let freed = 0;
    const server = ix.udp(7, {
      received(socket, offset, length, address, port) {
        if (ix.u8[offset] === 0) throw new Error('zero');
        const at = slot + (next++ % SLOTS) * 64;
        ix.u8.copyWithin(at, offset, offset + length);
        assert.ok(socket.send(at, length, address, port));
      },
      sent: (_socket, bytes) => {
        freed += bytes;
      },
    });
    turn();
    turn();
    let answered = 0;
    const sent: number[][] = [];
    for (let round = 0; round < 300; round++) {
      for (let i = 0; i < 10; i++) {
        const data = [i % 5, round & 255, round >> 8, i];
        if (data[0] !== 0) sent.push(data);
        f.deliver(ipFrame(udpPacket(data, { sourcePort: 999 })));
      }
      turn();
      for (const frame of f.sent()) {
        const { payload } = parseIpv4(frame);
        assert.deepEqual([...payload.subarray(8)], sent[answered]);
        answered++;
      }
    }
    turn();
    assert.equal(answered, 2400);
    assert.equal(freed, 2400 * 4);
    server.close();
    turn();
    turn();
    assert.equal(f.stack.udp.held, 0);
    f.close();
  });

  it('closedBeforeItIsBound_thePortIsFreeAgain', () => {
    const { f, ix, turn } = onTheStack();
    for (let i = 0; i < 100; i++) {
      ix.udp(7, { received() {} }).close();
      turn();
      turn();
    }
    ix.udp(7, { received() {} });
    let refused: unknown = 'not told';
    ix.whenSettled((it) => {
      refused = it;
    });
    turn();
    turn();
    turn();
    assert.equal(refused, undefined);
    f.close();
  });
});
