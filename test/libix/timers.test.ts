/** Timers of an application: a cancelled one is never called, whenever that is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CALL, CODE } from '../../src/gate/abi.ts';
import { FakeGate } from './fake-gate.ts';

/** A gate, and what its timers have called. */
function timing() {
  const gate = new FakeGate();
  const fired: string[] = [];
  const settle = (): void => {
    for (let i = 0; i < 4; i++) gate.turn();
  };
  return { gate, fired, settle, say: (name: string) => () => void fired.push(name) };
}

describe('timers', () => {
  it('running_cancelled_isNeverCalledAndItsSlotIsFree', () => {
    const { gate, fired, settle, say } = timing();
    const timer = gate.ix.timer(5, say('first'));
    settle();
    assert.deepEqual([...gate.timers.values()], [1]);
    timer.cancel();
    timer.cancel();
    gate.turn();
    assert.equal(gate.callCount, 1, 'said once');
    settle();
    assert.equal(gate.timers.size, 0);
    gate.ix.timer(5, say('second'));
    settle();
    assert.deepEqual([...gate.timers.values()], [1], 'the slot of the first');
    timer.cancel();
    settle();
    gate.expire(1);
    gate.turn();
    assert.deepEqual(fired, ['second'], 'who is over cancels nobody else');
  });

  it('askedFor_cancelledBeforeItsAnswer_isCancelledThen', () => {
    const { gate, fired, settle, say } = timing();
    gate.ix.timer(5, say('never')).cancel();
    gate.turn();
    assert.equal(gate.timers.size, 1);
    settle();
    assert.equal(gate.timers.size, 0);
    assert.deepEqual(fired, []);
  });

  it('eventOnTheWay_cancelled_isNotCalledAndTheSlotIsFreeAfterIt', () => {
    const { gate, fired, settle, say } = timing();
    const timer = gate.ix.timer(5, say('never'));
    settle();
    gate.answers.set(CALL.timer_cancel, CODE.BAD_STATE); // it has fired
    timer.cancel();
    gate.turn();
    gate.answers.clear();
    gate.timers.clear();
    gate.ix.timer(5, say('other'));
    settle();
    assert.deepEqual([...gate.timers.values()], [2], 'the slot of the first is not free yet');
    gate.expire(1);
    gate.turn();
    gate.ix.timer(5, say('third'));
    settle();
    assert.deepEqual([...gate.timers.values()], [2, 1]);
    gate.expire(2);
    gate.expire(1);
    gate.turn();
    assert.deepEqual(fired, ['other', 'third']);
  });

  it('cancelledInTheTurnOfItsEvent_isNotCalled', () => {
    const { gate, fired, settle, say } = timing();
    const second = gate.ix.timer(5, say('never'));
    settle();
    gate.ix.timer(1, () => second.cancel());
    settle();
    gate.expire(2);
    gate.expire(1);
    gate.turn();
    settle();
    gate.ix.timer(5, say('again'));
    settle();
    gate.expire([...gate.timers.values()].at(-1)!);
    gate.turn();
    assert.deepEqual(fired, ['again']);
  });

  it('cancelBeyondTheQuotaOfCalls_isAskedAgain', () => {
    const { gate, settle, say } = timing();
    const timer = gate.ix.timer(5, say('never'));
    settle();
    gate.answers.set(CALL.timer_cancel, CODE.QUOTA);
    timer.cancel();
    settle();
    assert.equal(gate.timers.size, 1);
    gate.answers.clear();
    settle();
    assert.equal(gate.timers.size, 0);
  });

  it('repeating_cancelled_noneFollows', () => {
    for (const isInside of [false, true]) {
      const { gate, fired, settle } = timing();
      const timer = gate.ix.every(5, () => {
        fired.push('tick');
        if (isInside && fired.length === 2) timer.cancel();
      });
      settle();
      for (let i = 0; i < 2; i++) {
        gate.expire([...gate.timers.values()].at(-1)!);
        gate.timers.clear();
        gate.turn();
        settle();
      }
      if (!isInside) timer.cancel();
      settle();
      assert.deepEqual([...gate.timers.values()], []);
      assert.deepEqual(fired, ['tick', 'tick']);
    }
  });
});
