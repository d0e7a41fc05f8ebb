/**
 * What belongs to a finished connection, socket or timer does nothing, whoever has its id, cookie
 * or slot by now.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import v8 from 'node:v8';
import echo from '../../src/apps/echo.ts';
import { CALL, CODE, DEAD, EVENT } from '../../src/gate/abi.ts';
import type { Connection, Handlers, UdpSocket } from '../../src/libix/index.ts';
import type { Life } from '../../src/libix/life.ts';
import { Random } from '../net/random.ts';
import { FakeGate } from './fake-gate.ts';
import { bytesOf, finish, serving, settle, textOf } from './serving.ts';

/**
 * Everything that can be done with a connection, with what it must answer when that is finished.
 */
const DEEDS: Record<string, (c: Connection, block: number) => unknown> = {
  send: (c, block) => c.send(block, 4, 1),
  sendOfNothing: (c, block) => c.send(block, 0, 1),
  write: (c, block) => c.write(block, 4),
  writeText: (c) => c.writeText('for another'),
  close: (c) => c.close(),
  end: (c) => c.end(),
  keepalive: (c) => c.keepalive(1000),
  userTimeout: (c) => c.userTimeout(1000),
  mark: (c) => c.mark(8, 9),
  abort: (c) => c.abort(),
  pause: (c) => c.pause(),
  resume: (c) => c.resume(),
};
/** What libix itself does with one, and an application without types could. */
const WRITES: Record<string, (c: Life) => void> = {
  ports: (c) => {
    c.ports = 1;
  },
  setRemote: (c) => c.setRemote([1, 2, 3, 4]),
  setLocal: (c) => c.setLocal([1, 2, 3, 4]),
  readsWhileBlocked: (c) => {
    c.readsWhileBlocked = true;
  },
  handlers: (c) => {
    c.handlers = { received: () => assert.fail('of the finished one') };
  },
  pausedAgain: (c) => {
    c.isPaused = true;
  },
};

/** Echoes, and keeps whoever it has seen. */
function keeper(gate: () => FakeGate): { seen: Connection[]; handlers: Handlers } {
  const seen: Connection[] = [];
  const handlers: Handlers = {
    opened: (c) => void seen.push(c),
    received: (c, offset, length) => (c.write(offset, length) ? length : 0),
    released: () => assert.ok(gate(), 'nothing was sent with a tag'),
  };
  return { seen, handlers };
}

/** A finished connection, and the living one that has its id. */
function successor() {
  const { seen, handlers } = keeper(() => gate);
  const gate: FakeGate = serving({
    ...handlers,
    released: () => assert.fail('nothing was sent with a tag'),
  });
  const first = gate.knock();
  gate.turn();
  gate.die(first, DEAD.reset);
  gate.turn();
  const second = gate.knock();
  gate.turn();
  const [late, living] = seen as [Life, Life];
  assert.equal(living.id, late.id, 'ids are small and dense');
  assert.notEqual(living, late);
  return { gate, late, living, second };
}

describe('lives', () => {
  for (const [name, deed] of Object.entries(DEEDS)) {
    it(`finished_${name}_answersFalseAndItsSuccessorIsServedAsEver`, () => {
      const { gate, late, second } = successor();
      const block = gate.ix.text('late').offset;
      gate.turn();
      assert.equal(deed(late, block), false);
      assert.ok(!gate.ix.wantsTurn, 'nothing is to be said');
      gate.turn();
      assert.equal(gate.callCount, 0);
      gate.receive(second, bytesOf('mine'));
      gate.turn();
      gate.turn();
      assert.equal(textOf(second.out), 'mine');
      assert.equal(second.isClosed, false);
      assert.deepEqual([second.marking, second.userTimeoutMs], [undefined, undefined]);
      settle(gate);
      finish(gate);
    });
  }

  for (const [name, write] of Object.entries(WRITES)) {
    it(`finished_${name}Written_itsSuccessorIsServedAsEver`, () => {
      const { gate, late, living, second } = successor();
      living.setRemote([0, 0, 0xffff, 0x0a4d0001]);
      living.ports = (7 << 16) | 4000;
      living.setLocal([0, 0, 0xffff, 0x0a4d0002]);
      write(late);
      assert.deepEqual([living.remoteAddress, living.remotePort], ['10.77.0.1', 4000]);
      assert.deepEqual([living.localAddress, living.localPort], ['10.77.0.2', 7]);
      gate.receive(second, bytesOf('mine'));
      gate.turn();
      assert.equal(textOf(second.out), 'mine');
      settle(gate);
      finish(gate);
    });
  }

  it('finished_read_showsNothingOfItsSuccessorAndKeepsItsState', () => {
    const { gate, late, living } = successor();
    late.state = 'mine';
    living.setRemote([1, 2, 3, 4]);
    living.setLocal([5, 6, 7, 8]);
    living.ports = (6 << 16) | 5;
    living.keepalive(1000);
    living.userTimeout(2000);
    living.mark(8, 9);
    const { remoteAddress, remotePort, localAddress, localPort } = late;
    assert.deepEqual([remoteAddress, remotePort, localAddress, localPort], ['', 0, '', 0]);
    for (let i = 0; i < 4; i++) assert.deepEqual([late.remoteWord(i), late.localWord(i)], [0, 0]);
    const { keepaliveMs, userTimeoutMs, hops, codePoint } = late;
    assert.deepEqual([keepaliveMs, userTimeoutMs, hops, codePoint], [0, 0, 0, 0]);
    assert.deepEqual([late.isOpen, late.writable, late.queuedBytes], [false, false, 0]);
    assert.deepEqual([late.state, living.state], ['mine', undefined]);
    finish(gate);
  });

  it('finishedInTheTurnOfItsWish_theWishIsForgotten', () => {
    const { gate, living, second } = successor();
    living.writeText('too late'); // not flushed yet: it dies with the next events
    living.keepalive(5);
    gate.die(second);
    gate.turn();
    const third = gate.knock();
    gate.turn();
    assert.equal(gate.callCount, 1, 'its accept');
    assert.deepEqual(third.out, []);
    finish(gate);
  });

  it('eventOfAnEarlierFlow_underACookieThatIsUsedAgain_isNobodys', () => {
    const { gate, second } = successor();
    const [first] = [...gate.flows.values()];
    assert.equal(first?.cookie, second.cookie);
    gate.receive(first!, bytesOf('from the grave'));
    gate.end(first!);
    gate.urgent(first!, 1);
    gate.die(first!);
    gate.turn();
    assert.deepEqual(second.out, []);
    gate.receive(second, bytesOf('mine'));
    gate.turn();
    assert.equal(textOf(second.out), 'mine');
    settle(gate);
    finish(gate);
  });

  it('acceptRefused_closedConnectsAnew_resultsOfTheOldOneAreNotTheNewOnes', () => {
    const opened: Connection[] = [];
    const gate: FakeGate = serving({
      opened(c) {
        c.writeText('hello');
      },
      received: (_c, _offset, length) => length,
      closed() {
        const received = (_c: Connection, _o: number, length: number) => length;
        opened.push(gate.ix.connect('10.0.0.1', 9, { received }));
        opened.at(-1)!.writeText('I am new');
      },
    });
    gate.answers.set(CALL.accept, CODE.BAD_HANDLE); // it died before it was taken
    gate.answers.set(CALL.sendv, 5);
    gate.knock();
    gate.turn();
    gate.answers.clear();
    gate.turn();
    gate.turn();
    assert.equal(opened.length, 1);
    const [c] = opened as Life[];
    assert.deepEqual([c!.queuedBytes, c!.inFlight, c!.sendPending], [8, 0, false]);
    const [flow] = [...gate.flows.values()].filter((each) => each.cookie === c!.id + 1);
    gate.connected(flow!);
    gate.turn();
    assert.equal(textOf(flow!.out), 'I am new');
    for (const each of gate.flows.values()) if (each !== flow) each.isDead = true; // refused
    settle(gate);
    finish(gate);
  });

  it('atRandom_lateDeedsOfEveryLife_reachNobody', () => {
    const seed = Number(process.env['SEED'] ?? 7);
    const random = new Random(seed);
    const { seen, handlers } = keeper(() => gate);
    const gate: FakeGate = serving({ ...handlers, released: () => {} });
    const block = gate.ix.text('late').offset;
    const living = new Map<Connection, ReturnType<FakeGate['knock']>>();
    const deeds = Object.values(DEEDS);
    let echoed = 0;
    for (let turn = 0; turn < 3000; turn++) {
      if (living.size < 8 && random.below(2) === 0) {
        const flow = gate.knock();
        gate.turn();
        living.set(seen.at(-1)!, flow);
      }
      for (const c of seen) {
        if (living.has(c) || random.below(4) !== 0) continue;
        assert.equal(deeds[random.below(deeds.length)]!(c, block), false, `seed ${seed}`);
      }
      for (const [c, flow] of living) {
        if (random.below(8) === 0) {
          gate.die(flow);
          living.delete(c);
        } else if (flow.out.length === flow.acknowledged) {
          gate.receive(flow, bytesOf(`${c.id}`));
        } else gate.acknowledge(flow, flow.out.length - flow.acknowledged);
      }
      gate.turn();
      for (const [c, flow] of living) {
        assert.ok(!flow.isClosed, `seed ${seed}`);
        assert.match(textOf(flow.out), new RegExp(`^(${c.id})*$`), `seed ${seed}`);
        echoed += flow.out.length;
      }
      if (seen.length > 40) seen.splice(0, 20);
    }
    assert.ok(echoed > 1000);
    for (const c of living.keys()) assert.ok(c.id < 10, 'ids are used again');
    settle(gate);
    finish(gate);
  });

  it('pooled_comeAndGo_oneObjectBeginsAnewEachTime', () => {
    const seen: [Connection, unknown, boolean][] = [];
    const gate = serving({
      pooled: true,
      opened(c) {
        seen.push([c, c.state, c.isPaused]);
        c.state = 'mine';
        c.pause();
      },
      received: (_c, _offset, length) => length,
    });
    for (let i = 0; i < 3; i++) {
      const flow = gate.knock();
      gate.turn();
      gate.die(flow);
      gate.turn();
    }
    const [[c] = []] = seen;
    assert.deepEqual(seen, [
      [c, undefined, false],
      [c, undefined, false],
      [c, undefined, false],
    ]);
    finish(gate);
  });

  it('pooled_thenNot_theObjectIsNotUsedAgain', () => {
    const gate = new FakeGate();
    const handlers = (pooled: boolean) => ({ pooled, received: () => 0 });
    const lived: Connection[] = [];
    for (const pooled of [true, true, false, true]) {
      lived.push(gate.ix.connect('10.0.0.1', 9, handlers(pooled)));
      gate.turn();
      gate.turn();
      for (const flow of gate.flows.values()) if (!flow.isDead) gate.die(flow);
      gate.turn();
    }
    assert.equal(lived[0], lived[1]);
    assert.equal(lived[1], lived[2], 'who promised to forget it does not mind');
    assert.notEqual(lived[2], lived[3]);
    assert.ok(!lived[2]!.writeText('late'));
    finish(gate);
  });

  it('pooledEcho_comeAndGo_allocatesNothing', () => {
    const gate = new FakeGate();
    echo(gate.ix, {});
    gate.turn();
    gate.turn();
    const { arena, ix, sink } = gate;
    let handle = 1 << 20;
    const life = (): void => {
      handle = (handle + 1) | 0;
      sink.push(EVENT.knock, handle, gate.listenerCookie);
      sink.publish(0, 0);
      ix.dispatch();
      sink.clear();
      gate.answerAll(0);
      arena.i32[sink.push(EVENT.dead, handle, 1) + 3] = DEAD.closed;
      sink.publish(0, 0);
      ix.dispatch();
      sink.clear();
    };
    const windows: number[] = [];
    while (windows.length < 20 && !(windows.at(-1)! < 1)) {
      const before = v8.getHeapStatistics().total_allocated_bytes;
      for (let i = 0; i < 300_000; i++) life();
      windows.push((v8.getHeapStatistics().total_allocated_bytes - before) / 300_000);
    }
    assert.ok(windows.at(-1)! < 1, `bytes a life, window by window: ${windows.join(' ')}`);
    assert.equal(ix.openConnections, 0);
  });
});

describe('lives of sockets and timers', () => {
  /** Two sockets one after the other; the closing of the first is answered with `code` once. */
  function sockets(code?: number) {
    const gate = new FakeGate();
    const heard: string[] = [];
    const bind = (name: string): UdpSocket => {
      const socket = gate.ix.udp(9, {
        received: () => void heard.push(name),
        sent: (_socket, bytes) => void heard.push(`${name} sent ${bytes}`),
      });
      gate.turn();
      gate.turn();
      return socket;
    };
    const first = bind('first');
    first.close();
    if (code !== undefined) gate.answers.set(CALL.udp_close, code);
    gate.turn();
    gate.answers.clear();
    gate.turn();
    gate.turn();
    const second = bind('second');
    return { gate, heard, first, second };
  }

  it('closedSocket_sendAndClose_doNothingForItsSuccessor', () => {
    const { gate, heard, first, second } = sockets();
    const block = gate.ix.text('late').offset;
    assert.equal(first.send(block, 4, 0x0a4d0001, 9), false);
    first.close();
    gate.turn();
    gate.turn();
    assert.deepEqual(gate.sockets[1]!.sent, []);
    assert.equal(gate.sockets[1]!.isOpen, true);
    assert.equal(second.send(block, 4, 0x0a4d0001, 9), true);
    gate.datagram(gate.sockets[1]!, bytesOf('hi'), 0x0a4d0001, 9);
    gate.turn();
    assert.deepEqual(heard, ['second']);
    assert.equal(gate.sockets[1]!.sent.length, 1);
  });

  it('socketWhoseCloseWasNotMade_isClosedByAnotherAndItsCookieWaits', () => {
    const { gate, heard } = sockets(CODE.QUOTA);
    assert.equal(gate.sockets[0]!.isOpen, false, 'asked again');
    const { cookie } = gate.sockets[0]!;
    gate.datagram({ ...gate.sockets[0]!, cookie }, bytesOf('old'), 0x0a4d0001, 9);
    gate.udpSent({ ...gate.sockets[0]!, cookie }, 4);
    gate.turn();
    assert.deepEqual(heard, []);
  });

  it('timerThatExpired_itsEventAgain_isNobodys', () => {
    const gate = new FakeGate();
    const fired: string[] = [];
    gate.ix.timer(5, () => fired.push('first'));
    gate.turn();
    gate.expire(1);
    gate.expire(1);
    gate.turn();
    gate.ix.timer(5, () => fired.push('second'));
    gate.ix.timer(5, () => fired.push('third'));
    gate.turn();
    gate.expire(1);
    gate.expire(2);
    gate.turn();
    assert.deepEqual(fired, ['first', 'second', 'third']);
  });
});
