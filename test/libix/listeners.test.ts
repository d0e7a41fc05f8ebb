/** Listeners: the port that was picked, closing, and who is not let in. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import v8 from 'node:v8';
import { CALL, CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import type { Connection, Handlers, Knock, ListenOptions } from '../../src/libix/index.ts';
import { listenToErrors } from './errors.ts';
import { FakeGate, PICKED_PORT } from './fake-gate.ts';
import { bytesOf, finish, settle, textOf } from './serving.ts';

const V6 = { remote: [0xfd770000 | 0, 0, 0, 1], local: [0xfd770000 | 0, 0, 0, 2] };

function listening(port = 7, options: ListenOptions = {}, callsMax = 0) {
  const gate = new FakeGate(undefined, callsMax);
  const seen: Connection[] = [];
  const handlers: Handlers = {
    opened: (c) => void seen.push(c),
    received: (c, offset, length) => (c.write(offset, length) ? length : 0),
  };
  const listener = gate.ix.listen(port, handlers, options);
  gate.turn();
  gate.turn();
  return { gate, seen, listener, handlers };
}

describe('listeners', () => {
  it('listening_anyPort_saysWhichItGot', () => {
    const gate = new FakeGate();
    const listener = gate.ix.listen(0, { received: () => 0 });
    assert.deepEqual([listener.port, gate.ix.ports], [0, []]);
    gate.turn();
    gate.turn();
    assert.deepEqual([listener.port, gate.ix.ports], [PICKED_PORT, [PICKED_PORT]]);
  });

  it('listening_knocks_eachKnowsBothEnds', () => {
    const { gate, seen } = listening();
    gate.knock();
    gate.knock(undefined, { ...V6, port: 8 });
    gate.turn();
    const ends = seen.map((c) => [c.remoteAddress, c.remotePort, c.localAddress, c.localPort]);
    assert.deepEqual(ends, [
      ['10.77.0.1', 40_000, '10.77.0.2', 7],
      ['fd77::1', 40_000, 'fd77::2', 8],
    ]);
    const word = (c: Connection): number[] => [3, 2].map((i) => c.localWord(i));
    assert.deepEqual(seen.map(word), [
      [0x0a4d0002, 0xffff],
      [2, 0],
    ]);
    assert.equal(gate.ix.formatAddress(seen[1]!.remoteAddress), 'fd77::1');
    assert.equal(gate.ix.formatAddress(V6.remote), 'fd77::1');
    finish(gate);
  });

  it('connecting_opened_thenItKnowsItsOwnEnd', () => {
    const { gate, handlers } = listening();
    const local = (c: Connection) => [c.localAddress, c.localPort, c.localWord(3)];
    const c = gate.ix.connect('10.77.0.9', 9, handlers);
    const given = gate.ix.connect('10.77.0.9', 9, handlers, { localPort: 5000 });
    gate.turn();
    gate.turn();
    assert.deepEqual(
      [local(c), local(given)],
      [
        ['', 0, 0],
        ['', 5000, 0],
      ],
    );
    for (const flow of gate.flows.values()) gate.connected(flow);
    gate.turn();
    assert.deepEqual(local(c), ['10.77.0.2', PICKED_PORT, 0x0a4d0002]);
    assert.deepEqual([c.remoteAddress, c.remotePort], ['10.77.0.9', 9]);
    settle(gate);
    finish(gate);
  });

  it('closed_openConnectionsLiveOnAndThePortIsFree', () => {
    const { gate, seen, listener } = listening();
    const flow = gate.knock();
    gate.turn();
    listener.close();
    listener.close();
    assert.deepEqual(gate.ix.ports, []);
    gate.turn();
    assert.equal(gate.listeners.size, 0);
    gate.turn();
    gate.receive(flow, bytesOf('still here'));
    settle(gate);
    assert.equal(textOf(flow.out), 'still here');
    assert.equal(seen.length, 1);
    const { callCount } = gate;
    listener.close();
    gate.turn();
    assert.equal(gate.callCount, callCount, 'nothing is said again');
    finish(gate);
  });

  it('closedBeforeItsAnswer_isClosedWhenItHasOne', () => {
    const gate = new FakeGate();
    gate.ix.listen(7, { received: () => 0 }).close();
    gate.turn();
    assert.equal(gate.listeners.size, 1);
    gate.turn();
    gate.turn();
    assert.equal(gate.listeners.size, 0);
    assert.deepEqual(gate.ix.ports, []);
  });

  it('closed_knockOnTheWay_isRefusedAndItsCookieIsKept', () => {
    const { gate, seen, listener } = listening();
    const cookie = gate.listenerCookie;
    listener.close();
    const late = gate.knock(cookie);
    gate.turn();
    assert.deepEqual([late.isRejected, seen.length], [true, 0]);
    gate.turn();
    gate.ix.listen(8, { received: () => 0 });
    gate.turn();
    assert.equal(gate.listenerCookie, cookie, 'free again');
    gate.turn();
    finish(gate);
  });

  it('closed_beyondTheQuotaOfCalls_isAskedAgain', () => {
    const { gate, listener } = listening();
    gate.answers.set(CALL.unlisten, CODE.QUOTA);
    listener.close();
    gate.turn();
    gate.turn();
    assert.equal(gate.listeners.size, 1);
    gate.answers.clear();
    gate.turn();
    gate.turn();
    assert.equal(gate.listeners.size, 0);
  });

  it('accept_false_rejectedAndNoHandlerHearsOfIt', () => {
    const asked: unknown[] = [];
    const isV4 = ({ remote, remotePort, local, localPort }: Knock): boolean => {
      asked.push([[...remote], remotePort, [...local], localPort]);
      return remote[2] === 0xffff;
    };
    const { gate, seen } = listening(7, { accept: isV4 });
    const welcome = gate.knock();
    const other = gate.knock(undefined, V6);
    gate.turn();
    assert.deepEqual(asked[1], [V6.remote, 40_000, V6.local, 7]);
    assert.deepEqual([welcome.isRejected, other.isRejected], [false, true]);
    assert.deepEqual([seen.length, gate.ix.openConnections], [1, 1]);
    gate.die(other, DEAD.aborted);
    gate.turn();
    assert.equal(gate.ix.openConnections, 1);
    finish(gate);
  });

  it('accept_throwsOrIsNoAnswer_nobodyIsLetInAndItIsTold', (t) => {
    const said = listenToErrors(t);
    const answers: (() => unknown)[] = [
      () => assert.fail('mine'),
      async () => true,
      () => undefined,
      () => 1,
    ];
    for (const accept of answers) {
      const { gate, seen } = listening(7, { accept: accept as () => boolean });
      const flow = gate.knock();
      gate.turn();
      assert.deepEqual([flow.isRejected, seen.length], [true, 0]);
      gate.die(flow, DEAD.aborted);
      finish(gate);
    }
    assert.equal(said.length, answers.length);
    assert.match(said[0]!, /mine/);
    assert.match(said[1]!, /accept has not returned true or false \(it must not be async\)/);
  });

  it('rejectsBeyondABatch_eachIsRefusedInALaterOne', () => {
    const { gate } = listening(7, { accept: () => false }, 2);
    const flows = Array.from({ length: 5 }, () => gate.knock());
    gate.turn();
    assert.equal(flows.filter(({ isRejected }) => isRejected).length, 2);
    assert.ok(gate.ix.wantsTurn);
    gate.answers.set(CALL.reject, CODE.QUOTA);
    gate.turn();
    gate.answers.clear();
    for (let i = 0; i < 3; i++) gate.turn();
    assert.ok(flows.every(({ isRejected }) => isRejected));
    assert.ok(!gate.ix.wantsTurn);
    for (const flow of flows) gate.die(flow, DEAD.aborted);
    finish(gate);
  });

  it('refused_comeAndGo_allocatesNothing', () => {
    const { gate } = listening(7, { accept: () => false });
    const { ix, sink } = gate;
    let handle = 1 << 20;
    const refusal = (): void => {
      handle = (handle + 1) | 0;
      sink.push(EVENT.knock, handle, gate.listenerCookie);
      sink.publish(0, 0);
      ix.dispatch();
      sink.clear();
      gate.answerAll(0);
    };
    const windows: number[] = [];
    while (windows.length < 20 && !(windows.at(-1)! < 1)) {
      const before = v8.getHeapStatistics().total_allocated_bytes;
      for (let i = 0; i < 300_000; i++) refusal();
      windows.push((v8.getHeapStatistics().total_allocated_bytes - before) / 300_000);
    }
    assert.ok(windows.at(-1)! < 1, `bytes a refusal, window by window: ${windows.join(' ')}`);
  });
});
