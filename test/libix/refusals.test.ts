/**
 * Every call of libix's, refused with every code: nothing stands still. Either the call is made
 * again and the connection goes on, or it is over and its application has been told.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CALL, CODE, DEAD } from '../../src/gate/abi.ts';
import type { Connection } from '../../src/libix/index.ts';
import { listenToErrors } from './errors.ts';
import { FakeGate } from './fake-gate.ts';
import { bytesOf, finish, settle, textOf } from './serving.ts';

const REFUSALS: [string, number][] = Object.entries(CODE).filter(([, code]) => code < 0);
/** A code of some later version. */
REFUSALS.push(['unknown', -99]);

/** What of a connection makes libix write the call. */
const DEEDS: Record<string, (c: Connection) => unknown> = {
  accept: () => {},
  sendv: (c) => c.writeText('answer'),
  recv_done: () => {},
  close: (c) => c.close(),
  abort: (c) => c.abort(),
  shutdown: (c) => c.end(),
  keepalive: (c) => c.keepalive(1000),
  user_timeout: (c) => c.userTimeout(1000),
  marking: (c) => c.mark(8),
};
/** Codes after which the connection goes on. */
const goesOn = (call: string, code: number): boolean =>
  code === CODE.QUOTA || (call === 'sendv' && code === CODE.AGAIN);
/** Ends that need no word: it died before it was taken, or was being reset. */
const isSilent = (call: string): boolean => call === 'accept' || call === 'abort';

/** A dataplane resets a flow when asked, and closes it when its peer has closed too. */
function carryOut(gate: FakeGate): void {
  for (const flow of gate.flows.values()) {
    if (flow.isClosed && !flow.isDead) gate.die(flow, DEAD.aborted);
  }
}

function refusing(call: string, code: number) {
  const gate = new FakeGate();
  const closed: number[] = [];
  let asked = 0;
  gate.ix.listen(7, {
    opened: (c) => void (call === 'accept' && DEEDS[call]!(c)),
    received(c, offset, length) {
      if (asked++ === 0) DEEDS[call]!(c);
      else c.write(offset, length);
      return length;
    },
    closed: (_c, reason) => closed.push(reason),
  });
  gate.turn();
  gate.turn();
  const kind = CALL[call as keyof typeof CALL];
  if (call === 'accept') gate.answers.set(kind, code);
  const flow = gate.knock();
  gate.turn();
  if (goesOn(call, code) && call === 'sendv') gate.knock(); // it holds what there is, until it dies
  gate.answers.set(kind, code);
  if (call !== 'accept') gate.receive(flow, bytesOf('go'));
  gate.turn();
  gate.answers.clear();
  return { gate, flow, closed };
}

describe('refusals', () => {
  for (const call of Object.keys(DEEDS)) {
    for (const [name, code] of REFUSALS) {
      const outcome = goesOn(call, code) ? 'itIsMadeAgain' : 'theConnectionEndsAndIsTold';
      it(`${call}_${name}_${outcome}`, (t) => {
        const said = listenToErrors(t);
        const { gate, flow, closed } = refusing(call, code);
        for (let i = 0; i < 4; i++) {
          carryOut(gate);
          gate.turn();
        }
        if (goesOn(call, code)) {
          assert.deepEqual(said, []);
          if (call === 'close' || call === 'abort') assert.deepEqual(closed, [DEAD.aborted]);
          else {
            const [, other] = gate.flows.values();
            if (other) gate.die(other);
            gate.turn();
            closed.length = 0;
            gate.receive(flow, bytesOf('go'));
            gate.receive(flow, bytesOf('on'));
            gate.turn();
            settle(gate);
            assert.equal(gate.callCount, 0);
            const isShut = call === 'shutdown';
            assert.match(textOf(flow.out), isShut ? /^$/ : /on$/);
            assert.equal(flow.done, flow.received, 'every byte is accounted for');
            assert.deepEqual(closed, []);
          }
        } else {
          assert.equal(closed.length, 1, 'closed, once');
          assert.equal(gate.ix.openConnections, 0);
          // What a connection that is closing can do no more needs no word either.
          const isEnd = call === 'close' && name === 'BAD_STATE';
          const words = isSilent(call) || isEnd ? [] : [new RegExp(`${call} was refused \\(`)];
          assert.equal(said.length, words.length, said.join(''));
          if (words[0]) assert.match(said[0]!, words[0]);
          const shown = name === 'unknown' ? 'code -99' : name;
          if (words[0]) assert.ok(said[0]!.includes(shown), said[0]);
        }
        finish(gate);
      });
    }
  }

  for (const [name, code] of REFUSALS) {
    it(`connect_${name}_closedIsCalledAndTheReasonTold`, (t) => {
      const said = listenToErrors(t);
      const gate = new FakeGate();
      const closed: number[] = [];
      gate.answers.set(CALL.connect, code);
      const c = gate.ix.connect('10.0.0.1', 80, {
        received: (_c, _o, length) => length,
        closed: (_c, reason) => closed.push(reason),
      });
      c.writeText('never sent');
      gate.turn();
      gate.turn();
      const isRoute = code === CODE.NO_ROUTE;
      const reasons: Record<number, number> = {
        [CODE.NO_ROUTE]: DEAD.noRoute,
        [CODE.DENIED]: DEAD.denied,
        [CODE.IN_USE]: DEAD.inUse,
        [CODE.NO_FLOW]: DEAD.exhausted,
        [CODE.QUOTA]: DEAD.quota,
      };
      assert.deepEqual(closed, [reasons[code] ?? DEAD.refused]);
      const isTold = !isRoute && code !== CODE.QUOTA; // told by who counts it
      assert.equal(said.length, isTold ? 1 : 0);
      if (isTold) assert.match(said[0]!, /a connection to 10\.0\.0\.1 port 80 .*\(.*\); /);
      assert.ok(gate.ix.allHome());
    });
  }

  it('flowDiedByItself_callRefusedMeanwhile_lastBytesComeAndNothingIsSaid', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    const seen: string[] = [];
    gate.ix.listen(7, {
      received(c, offset, length) {
        seen.push(Buffer.from(gate.ix.u8.subarray(offset, offset + length)).toString());
        c.writeText('x');
        return length;
      },
      closed: (_c, reason) => seen.push(`closed ${reason}`),
    });
    gate.turn();
    gate.turn();
    const flow = gate.knock();
    gate.turn();
    gate.receive(flow, bytesOf('first'));
    gate.answers.set(CALL.sendv, CODE.BAD_STATE); // the peer has reset it
    gate.turn();
    gate.answers.clear();
    gate.receive(flow, bytesOf('last'));
    gate.die(flow, DEAD.reset);
    gate.turn();
    assert.deepEqual(seen, ['first', 'last', `closed ${DEAD.reset}`]);
    assert.deepEqual(said, []);
    finish(gate);
  });

  for (const [name, code] of REFUSALS) {
    it(`udpSend_${name}_itsMemoryIsToldFreeWithTheCode`, (t) => {
      const said = listenToErrors(t);
      const { gate, told, socket } = bound();
      gate.answers.set(CALL.udp_sendv, code);
      gate.ix.onBatchEnd(() => {
        if (told.length === 0) socket.send(gate.ix.alloc(4), 4, 0x0a000001, 9);
      });
      gate.turn();
      gate.turn();
      assert.deepEqual(told[0], [4, code]);
      const isUsual = [CODE.AGAIN, CODE.NO_ROUTE, CODE.TOO_LONG, CODE.QUOTA].includes(
        code as never,
      );
      assert.equal(said.length > 0, !isUsual, said.join(''));
    });

    it(`udpGivingBack_${name}_${code === CODE.QUOTA ? 'isRepeated' : 'isTold'}`, (t) => {
      const said = listenToErrors(t);
      const { gate } = bound();
      gate.datagram(gate.sockets[0]!, bytesOf('hi'), 0x0a000001, 9);
      gate.answers.set(CALL.udp_recv_done, code);
      gate.turn();
      gate.answers.clear();
      for (let i = 0; i < 3; i++) gate.turn();
      assert.equal(gate.sockets[0]!.lent.size, code === CODE.QUOTA ? 0 : 1);
      assert.equal(said.length, code === CODE.QUOTA ? 0 : 1);
    });

    for (const call of ['listen', 'udp_bind', 'timer'] as const) {
      it(`${call}_${name}_isToldOnce`, (t) => {
        const said = listenToErrors(t);
        const gate = new FakeGate();
        gate.ix.whenSettled(() => {});
        gate.turn();
        gate.answers.set(CALL[call], code);
        if (call === 'listen') gate.ix.listen(7, { received: () => 0 });
        else if (call === 'udp_bind') gate.ix.udp(7, { received: () => {} });
        else gate.ix.timer(5, () => assert.fail('it was refused'));
        for (let i = 0; i < 3; i++) gate.turn();
        assert.equal(said.length, 1);
        assert.match(said[0]!, /^ix: application error: IxCallError|Error: .*\(.*\); /);
      });
    }
  }

  function bound() {
    const gate = new FakeGate();
    const told: [number, number][] = [];
    const socket = gate.ix.udp(9, {
      received: () => {},
      sent: (_s, bytes, code) => told.push([bytes, code]),
    });
    gate.turn();
    assert.equal(socket.send(gate.ix.alloc(4), 4, 0x0a000001, 9), false, 'not bound yet');
    gate.turn();
    return { gate, told, socket };
  }
});
