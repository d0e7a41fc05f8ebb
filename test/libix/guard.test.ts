import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CALL, CODE } from '../../src/gate/abi.ts';
import type { Connection, Handlers } from '../../src/libix/index.ts';
import { listenToErrors } from './errors.ts';
import { FakeGate } from './fake-gate.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: number[]) => Buffer.from(bytes).toString('latin1');

const TAG = 5;

/** Echoes; `boom` sends three spans first. `misdeed` throws at the connection that said boom. */
function boomingEcho(gate: FakeGate, misdeed: string, calls: string[]): Handlers {
  let victim: Connection | undefined;
  const block = gate.ix.alloc(64);
  const deed = (name: string, c: Connection, note = ''): void => {
    if (c === victim) calls.push(`${name}${note}`);
    if (c === victim && name === misdeed) throw new Error(`in ${name}`);
  };
  return {
    opened(c) {
      if (misdeed !== 'opened') return;
      victim ??= c;
      deed('opened', c);
    },
    received(c, offset, length) {
      if (gate.ix.u8[offset] === 98) {
        victim = c;
        for (let tag = TAG; tag < TAG + 3; tag++) c.send(block, length, tag);
      } else c.write(offset, length);
      deed('received', c);
      return length;
    },
    urgent: (c) => deed('urgent', c),
    released: (c, tag) => deed('released', c, ` ${tag}`),
    drained: (c) => deed('drained', c),
    ended: (c) => {
      deed('ended', c);
      c.close();
    },
    closed: (c) => deed('closed', c),
  };
}

function finish(gate: FakeGate): void {
  for (const flow of gate.flows.values()) if (!flow.isDead) gate.die(flow);
  gate.turn();
  gate.turn();
  assert.ok(gate.ix.allHome(), 'every span and block came back');
  assert.equal(gate.ix.openConnections, 0);
}

describe('guard', () => {
  for (const name of ['opened', 'received', 'urgent', 'released', 'drained', 'ended', 'closed']) {
    it(`${name}_throws_reportedOnceItsConnectionResetOthersServed`, (t) => {
      const said = listenToErrors(t);
      const gate = new FakeGate();
      const calls: string[] = [];
      gate.ix.listen(7, boomingEcho(gate, name, calls));
      gate.turn();
      gate.turn();
      const victim = gate.knock();
      gate.turn();
      const other = gate.knock();
      gate.turn();
      gate.receive(victim, bytesOf('boom'));
      gate.receive(other, bytesOf('fine'));
      gate.turn();
      if (name === 'urgent') gate.urgent(victim, 1);
      else if (name === 'ended') gate.end(victim);
      else if (name === 'closed') gate.die(victim);
      else if (victim.out.length > 0) gate.acknowledge(victim, victim.out.length);
      gate.turn();
      gate.turn();
      assert.equal(said.length, name === 'released' ? 3 : 1, said.join(''));
      assert.match(said[0]!, new RegExp(`^ix: application error: Error: in ${name}\\n +at `));
      assert.equal(victim.isClosed, name !== 'closed', 'reset');
      gate.receive(other, bytesOf(' still'));
      gate.turn();
      assert.equal(textOf(other.out), 'fine still');
      finish(gate);
      assert.equal(calls.filter((call) => call === 'closed').length, 1);
      if (name === 'opened') return;
      const released = calls.filter((call) => call.startsWith('released'));
      assert.deepEqual(released, ['released 5', 'released 6', 'released 7'], 'each once');
    });
  }

  it('connectRefused_closedThrows_theTurnGoesOn', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    gate.ix.listen(7, boomingEcho(gate, '', []));
    gate.turn();
    gate.turn();
    const other = gate.knock();
    gate.turn();
    gate.answers.set(CALL.connect, CODE.NO_ROUTE);
    gate.ix.connect('10.0.0.1', 9, {
      received: (_c, _offset, length) => length,
      closed() {
        throw new Error('refused');
      },
    });
    gate.turn();
    gate.receive(other, bytesOf('fine'));
    gate.turn();
    assert.equal(textOf(other.out), 'fine');
    assert.equal(said.length, 1);
    finish(gate);
  });

  it('starved_receivedThrowsWhenFed_reportedAndReset', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate({ spans: 64, receiveSpans: 64, sendBlocks: 4, gatherBlocks: 4 });
    let isFed = false;
    gate.ix.listen(7, {
      received(c, offset, length) {
        if (isFed) throw new Error('fed');
        return c.write(offset, 2048 * 3) && c.write(offset, 2048 * 3) ? length : 0;
      },
    });
    gate.turn();
    gate.turn();
    const flow = gate.knock();
    gate.turn();
    gate.receive(flow, bytesOf('x'));
    gate.turn();
    isFed = true;
    for (let i = 0; i < 4; i++) {
      if (flow.out.length > flow.acknowledged) {
        gate.acknowledge(flow, flow.out.length - flow.acknowledged);
      }
      gate.turn();
    }
    assert.equal(said.length, 1, said.join(''));
    assert.ok(flow.isClosed);
    finish(gate);
  });

  it('batchEndAndTimer_throw_othersAreCalled', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    const calls: string[] = [];
    gate.ix.onBatchEnd(() => {
      if (calls.length === 0) throw new Error('at the end');
    });
    gate.ix.onBatchEnd(() => calls.push('end'));
    gate.ix.timer(10, () => {
      throw new Error('timer');
    });
    gate.ix.timer(10, () => calls.push('timer'));
    gate.turn();
    gate.expire(1);
    gate.expire(2);
    gate.turn();
    assert.deepEqual(calls, ['end', 'timer', 'end']);
    assert.equal(said.length, 2);
  });

  it('aThousandFaultsASecond_mostAreOnlyCounted', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    gate.ix.onBatchEnd(() => {
      throw Object.create(null); // cannot be made a string
    });
    for (let i = 0; i < 1000; i++) gate.turn();
    const { now } = performance;
    t.mock.method(performance, 'now', () => now.call(performance) + 1000);
    gate.turn();
    assert.ok(said.length < 30, `${said.length}`);
    assert.match(said.at(-2)!, /^ix: application error: 9\d\d more were not shown\n$/);
  });
});

describe('requests', () => {
  it('starting_listenRefused_whenSettledIsToldAndNothingElseSaid', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    gate.answers.set(CALL.listen, CODE.IN_USE);
    gate.ix.listen(7, boomingEcho(gate, '', []));
    const told: unknown[] = [];
    gate.turn();
    gate.ix.whenSettled((refused) => told.push(refused));
    for (let i = 0; i < 3; i++) gate.turn();
    assert.equal(told.length, 1);
    assert.match(`${told[0]}`, /^Error: port 7 is in use already \(IN_USE\); choose another$/);
    assert.deepEqual(gate.ix.ports, []);
    assert.deepEqual(said, []);
  });

  it('running_timersRefused_reportedAndTheRestGoesOn', (t) => {
    const said = listenToErrors(t);
    const gate = new FakeGate();
    const told: unknown[] = [];
    gate.ix.whenSettled((refused) => told.push(refused));
    gate.turn();
    assert.deepEqual(told, [undefined]);
    gate.answers.set(CALL.timer, CODE.QUOTA);
    let fired = 0;
    gate.ix.timer(5, () => fired++);
    gate.turn();
    gate.turn();
    assert.equal(said.length, 1);
    assert.match(said[0]!, /a timer of 5 us is beyond this application's quota \(QUOTA\); raise/);
    gate.answers.clear();
    gate.ix.timer(5, () => fired++);
    gate.turn();
    gate.expire(1); // the cookie of the refused one is used again
    gate.turn();
    assert.equal(fired, 1);
  });
});
