/**
 * Bytes from JavaScript's memory with back-pressure by bytes, what a paused connection is given at
 * its end, and a listener that hears of its own refusal.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CALL, CODE, DEAD } from '../../src/gate/abi.ts';
import { HIGH_WATER_BYTES, LOW_WATER_BYTES } from '../../src/libix/connection.ts';
import type { Connection, Handlers, ListenOptions } from '../../src/libix/index.ts';
import { listenToErrors } from './errors.ts';
import { FakeGate } from './fake-gate.ts';
import { bytesOf, finish, serving, settle, textOf } from './serving.ts';

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_v, i) => i * 7 + 3);

function open(more: Partial<Handlers> = {}, sizes?: Parameters<typeof serving>[1]) {
  let connection: Connection | undefined;
  const drained: number[] = [];
  const gate = serving(
    {
      opened: (c) => void (connection = c),
      received: (_c, _offset, length) => length,
      drained: (c) => void drained.push(c.queuedBytes),
      ...more,
    },
    sizes,
  );
  const flow = gate.knock();
  gate.turn();
  return { gate, flow, c: connection!, drained };
}

describe('writeSome', () => {
  it('open_severalPieces_arriveInOrder_fromAnyIndex', () => {
    const { gate, flow, c } = open();
    const bytes = pattern(10_000);
    assert.equal(c.writeSome(bytes.subarray(0, 3)), 3);
    assert.equal(c.writeSome(bytes, 3), 9_997);
    gate.turn();
    assert.deepEqual(Uint8Array.from(flow.out), bytes);
    settle(gate);
    finish(gate);
  });

  it('queueIsFull_takesAsMuchAsThereIsRoom_drainedAtHalf_once', () => {
    const { gate, flow, c, drained } = open(
      {},
      { spans: 4096, receiveSpans: 64, sendBlocks: 2048, gatherBlocks: 4 },
    );
    const bytes = pattern(HIGH_WATER_BYTES + 1000);
    assert.equal(c.writeSome(bytes), HIGH_WATER_BYTES);
    assert.equal(c.writeSome(bytes, HIGH_WATER_BYTES), 0);
    gate.turn();
    gate.turn();
    gate.acknowledge(flow, LOW_WATER_BYTES - 1);
    gate.turn();
    assert.deepEqual(drained, [], 'not yet half');
    gate.acknowledge(flow, 1);
    gate.turn();
    assert.deepEqual(drained, [LOW_WATER_BYTES]);
    gate.acknowledge(flow, 1);
    gate.turn();
    assert.equal(drained.length, 1);
    assert.equal(c.writeSome(bytes, HIGH_WATER_BYTES), 1000);
    settle(gate);
    assert.deepEqual(Uint8Array.from(flow.out), bytes);
    assert.deepEqual(drained, [LOW_WATER_BYTES, 0]);
    finish(gate);
  });

  it('blocksAreShort_takesWhatThereIs_drainedWhenSomeAreBack', () => {
    const { gate, flow, c, drained } = open(
      {},
      { spans: 64, receiveSpans: 64, sendBlocks: 8, gatherBlocks: 4 },
    );
    const bytes = pattern(40_000);
    let sent = 0;
    for (let i = 0; i < 100 && sent < bytes.length; i++) {
      const taken = c.writeSome(bytes, sent);
      assert.ok(taken > 0, `nothing in round ${i}`);
      sent += taken;
      const before = drained.length;
      for (let turn = 0; turn < 4; turn++) {
        const open = flow.out.length - flow.acknowledged;
        if (open > 0) gate.acknowledge(flow, open);
        gate.turn();
      }
      assert.ok(drained.length > before, 'told that there is room again');
    }
    settle(gate);
    assert.deepEqual(Uint8Array.from(flow.out), bytes);
    finish(gate);
  });

  it('closing_ended_gone_takeNothing', () => {
    const { gate, c } = open();
    c.end();
    assert.equal(c.writeSome(bytesOf('late')), 0);
    c.close();
    assert.equal(c.writeSome(bytesOf('late')), 0);
    finish(gate);
    assert.equal(c.writeSome(bytesOf('late')), 0);
    assert.throws(() => c.writeSome(bytesOf('x'), 2), /from/);
  });
});

describe('paused', () => {
  function paused(more: Partial<Handlers> = {}) {
    const seen: string[] = [];
    const opened = open({
      opened: (c) => void c.pause(),
      received(_c, offset, length) {
        const { u8 } = opened.gate.ix;
        seen.push(textOf([...u8.subarray(offset, offset + length)]));
        return length;
      },
      ended: () => void seen.push('ended'),
      closed: (_c, reason) => void seen.push(`closed ${reason}`),
      ...more,
    });
    return { ...opened, seen };
  }

  it('bothSidesHaveClosed_whatHasComeIsHandedOver_thenEndedAndClosed', () => {
    const { gate, flow, seen } = paused();
    gate.receive(flow, bytesOf('last '));
    gate.receive(flow, bytesOf('words'));
    gate.end(flow);
    gate.turn();
    assert.deepEqual(seen, []);
    gate.die(flow, DEAD.closed);
    gate.turn();
    assert.deepEqual(
      [seen.slice(0, -2).join(''), ...seen.slice(-2)],
      ['last words', 'ended', 'closed 0'],
    );
    finish(gate);
  });

  it('bothSidesHaveClosed_handlerTakesNothing_endsAllTheSame', () => {
    const { gate, flow, seen } = paused({
      received(c) {
        c.pause();
        return 0;
      },
    });
    gate.receive(flow, bytesOf('left'));
    gate.turn();
    gate.die(flow, DEAD.closed);
    gate.turn();
    assert.deepEqual(seen, ['closed 0']);
    finish(gate);
  });

  it('reset_whatHasComeIsNotHandedOver', () => {
    const { gate, flow, seen } = paused();
    gate.receive(flow, bytesOf('lost'));
    gate.turn();
    gate.die(flow, DEAD.reset);
    gate.turn();
    assert.deepEqual(seen, ['closed 1']);
    finish(gate);
  });
});

describe('listen', () => {
  it('heard_toldOnce_inALaterTurn_notWhenClosedMeanwhile', () => {
    const gate = new FakeGate();
    let told = 0;
    const listen = () => gate.ix.listen(7, { received: () => 0 }, { listening: () => told++ });
    listen();
    gate.turn();
    assert.equal(told, 0);
    gate.turn();
    gate.turn();
    assert.equal(told, 1);
    const closed = listen();
    closed.close();
    gate.turn();
    gate.turn();
    assert.equal(told, 1);
  });

  const listening = (options: ListenOptions) => {
    const gate = new FakeGate();
    gate.answers.set(CALL.listen, CODE.IN_USE);
    const settled: unknown[] = [];
    gate.ix.listen(7, { received: () => 0 }, options);
    gate.ix.whenSettled((refused) => settled.push(refused?.result));
    gate.turn();
    gate.turn();
    return settled;
  };

  it('refused_toldToTheListener_andTheStartGoesOn', (t) => {
    const said = listenToErrors(t);
    const results: number[] = [];
    const settled = listening({ refused: ({ result }) => void results.push(result) });
    assert.deepEqual([results, settled, said], [[CODE.IN_USE], [undefined], []]);
  });

  it('refused_nobodyAskedToHearOfIt_theStartFails', () => {
    assert.deepEqual(listening({}), [CODE.IN_USE]);
  });
});
