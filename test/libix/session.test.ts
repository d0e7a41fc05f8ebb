import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import echo from '../../src/apps/echo.ts';
import { DEAD } from '../../src/gate/abi.ts';
import type { Connection } from '../../src/libix/index.ts';
import { FakeGate } from './fake-gate.ts';
import { bytesOf, finish, serving, settle, textOf } from './serving.ts';

describe('session', () => {
  it('listening_knock_acceptsAndEchoes', () => {
    const gate = new FakeGate();
    echo(gate.ix, { port: '7' });
    gate.turn();
    gate.turn();
    assert.deepEqual(gate.ix.ports, [7]);
    const flow = gate.knock();
    gate.turn();
    assert.ok(flow.cookie > 0);
    gate.receive(flow, bytesOf('hello'));
    gate.turn();
    assert.equal(textOf(flow.out), 'hello');
    assert.equal(flow.done, 5);
    settle(gate);
    finish(gate);
  });

  it('open_nothingAcceptedNorOnTheWay_askedAgainOnlyWhenOthersGaveBack', () => {
    const gate = serving({
      received: (c, offset, length) => (c.write(offset, length) ? length : 0),
    });
    const [busy, hungry] = [gate.knock(), gate.knock()];
    gate.turn();
    gate.receive(busy, bytesOf('abc'));
    gate.turn();
    let asked = 0;
    gate.accept = () => {
      asked += 1;
      return 0;
    };
    gate.receive(hungry, bytesOf('defg'));
    for (let i = 0; i < 50; i++) gate.turn();
    assert.equal(asked, 1, 'not in every turn');
    gate.acknowledge(busy, 3);
    for (let i = 0; i < 50; i++) gate.turn();
    assert.equal(asked, 2);
    gate.accept = (all) => all;
    gate.die(busy);
    gate.turn();
    assert.equal(textOf(hungry.out), 'defg');
    settle(gate);
    finish(gate);
  });

  it('hungry_manyMoreThanABatchAsks_allAreServed', () => {
    const gate = serving({
      received: (c, offset, length) => (c.write(offset, length) ? length : 0),
    });
    const first = gate.knock();
    const flows = Array.from({ length: 50 }, () => gate.knock());
    gate.turn();
    gate.receive(first, bytesOf('first'));
    gate.turn();
    gate.accept = () => 0;
    for (const flow of flows) gate.receive(flow, bytesOf('reply'));
    gate.turn();
    gate.turn();
    gate.accept = (all) => all;
    settle(gate);
    for (const flow of flows) assert.equal(textOf(flow.out), 'reply');
    finish(gate);
  });

  it('starved_othersNeverRead_goesOnWithWhatItsOwnPeerGivesBack', () => {
    const reply = 2048 * 2;
    const sizes = { spans: 256, receiveSpans: 64, sendBlocks: 64, gatherBlocks: 8 };
    const gate = serving(
      {
        received(c, offset, length) {
          for (let i = 0; i < length; i++) if (!c.write(offset, reply)) return i;
          return length;
        },
      },
      sizes,
    );
    const stuck = Array.from({ length: 5 }, () => gate.knock());
    const reader = gate.knock();
    gate.turn();
    // Each asks for more than its share, and nothing of it is ever acknowledged.
    for (const flow of stuck) {
      gate.receive(flow, new Uint8Array(40));
      gate.turn();
    }
    gate.receive(reader, new Uint8Array(30));
    for (let i = 0; i < 200; i++) {
      const open = reader.out.length - reader.acknowledged;
      if (open > 0) gate.acknowledge(reader, open);
      gate.turn();
    }
    assert.deepEqual([reader.out.length, reader.done], [30 * reply, 30]);
    for (const flow of stuck) assert.ok(flow.done < 40, 'the others do not go on');
    finish(gate);
  });

  it('open_prefixAccepted_sendsTheRestAfterSent', () => {
    const gate = serving({
      received: (c, offset, length) => (c.write(offset, length) ? length : 0),
    });
    const flow = gate.knock();
    gate.turn();
    gate.accept = () => 3;
    gate.receive(flow, bytesOf('abcdefghij'));
    gate.turn();
    gate.turn();
    assert.equal(textOf(flow.out), 'abc', 'no second sendv while the first is unacknowledged');
    gate.accept = (asked) => asked;
    gate.acknowledge(flow, 3);
    gate.turn();
    assert.equal(textOf(flow.out), 'abcdefghij');
    settle(gate);
    finish(gate);
  });

  it('open_messageInPieces_isGatheredAndContiguous', () => {
    const lines: string[] = [];
    const gate: FakeGate = serving({
      received(_c, offset, length) {
        const text = Buffer.from(gate.ix.u8.subarray(offset, offset + length)).toString();
        const end = text.lastIndexOf('\n') + 1;
        if (end > 0) lines.push(...text.slice(0, end - 1).split('\n'));
        return end;
      },
    });
    const flow = gate.knock();
    gate.turn();
    for (const piece of ['he', 'l', 'lo\nwor', 'ld\n', 'a\nb\nc', '\n']) {
      gate.receive(flow, bytesOf(piece));
      gate.turn();
    }
    assert.deepEqual(lines, ['hello', 'world', 'a', 'b', 'c']);
    gate.turn();
    assert.equal(flow.done, flow.received);
    finish(gate);
  });

  it('open_handlerNeverConsumes_isAborted', () => {
    const reasons: number[] = [];
    const gate = serving({ received: () => 0, closed: (_c, reason) => reasons.push(reason) });
    const flow = gate.knock();
    gate.turn();
    for (let i = 0; i < 20 && !flow.isClosed; i++) {
      gate.receive(flow, new Uint8Array(1024));
      gate.turn();
      gate.turn();
    }
    assert.ok(flow.isClosed);
    gate.die(flow, DEAD.aborted);
    gate.turn();
    assert.deepEqual(reasons, [DEAD.aborted]);
    finish(gate);
  });

  it('paused_bytesArrive_stayUnconsumedUntilResume', () => {
    let connection: Connection | undefined;
    let seen = '';
    const gate: FakeGate = serving({
      opened(c) {
        connection = c;
        c.pause();
      },
      received(_c, offset, length) {
        seen += Buffer.from(gate.ix.u8.subarray(offset, offset + length)).toString();
        return length;
      },
    });
    const flow = gate.knock();
    gate.turn();
    gate.receive(flow, bytesOf('one '));
    gate.receive(flow, bytesOf('two'));
    gate.turn();
    assert.equal(seen, '');
    assert.equal(flow.done, 0);
    connection?.resume();
    gate.turn();
    assert.equal(seen, 'one two');
    assert.equal(flow.done, 7);
    finish(gate);
  });

  for (const readsWhileBlocked of [false, true]) {
    const what = readsWhileBlocked ? 'comesAllTheSame' : 'waitsUntilThePeerHasTakenSome';
    it(`queueFull_input_${what}`, () => {
      let seen = '';
      const gate: FakeGate = serving({
        opened(c) {
          c.readsWhileBlocked = readsWhileBlocked;
          while (c.writable) assert.ok(c.send(stream, 60_000));
        },
        received(_c, offset, length) {
          seen += Buffer.from(gate.ix.u8.subarray(offset, offset + length)).toString();
          return length;
        },
      });
      const stream = gate.ix.alloc(60_000);
      gate.accept = () => 1000;
      const flow = gate.knock();
      gate.turn();
      gate.receive(flow, bytesOf('one'));
      gate.turn();
      assert.equal(seen, readsWhileBlocked ? 'one' : '');
      gate.accept = (asked) => asked;
      gate.acknowledge(flow, 1000);
      gate.turn();
      settle(gate);
      assert.equal(seen, 'one');
      finish(gate);
    });
  }

  it('queueFull_requestHalfHere_restIsReadAndTheNextOneWaits', () => {
    let seen = '';
    const gate: FakeGate = serving({
      // A request ends with a full stop; what comes of it is taken as it comes.
      received(c, offset, length) {
        const text = Buffer.from(gate.ix.u8.subarray(offset, offset + length)).toString();
        const taken = text.indexOf('.') + 1 || length;
        seen += text.slice(0, taken);
        c.midRequest = !seen.endsWith('.');
        while (c.writable) assert.ok(c.send(stream, 60_000));
        return taken;
      },
    });
    const stream = gate.ix.alloc(60_000);
    gate.accept = () => 1000;
    const flow = gate.knock();
    gate.turn();
    for (const piece of ['on', 'e', ' more. ', 'next', '.']) {
      gate.receive(flow, bytesOf(piece));
      gate.turn();
    }
    assert.equal(seen, 'one more.');
    gate.accept = (asked) => asked;
    gate.acknowledge(flow, 1000);
    gate.turn();
    settle(gate);
    assert.equal(seen, 'one more. next.');
    finish(gate);
  });

  it('open_taggedSend_isReleasedExactlyOnceEvenWhenItDies', () => {
    const released: number[] = [];
    const gate = serving({
      opened(c) {
        const span = gate.ix.text('constant');
        c.send(span.offset, span.length, 11);
        c.send(span.offset, span.length, 12);
      },
      received: (_c, _o, length) => length,
      released: (_c, tag) => released.push(tag),
    });
    const flow = gate.knock();
    gate.turn();
    gate.acknowledge(flow, 9);
    gate.turn();
    assert.deepEqual(released, [11]);
    gate.die(flow, DEAD.reset);
    gate.turn();
    assert.deepEqual(released, [11, 12]);
    finish(gate);
  });

  it('open_keepalive_idleIntervalAndCountAreTold', () => {
    const told: ((c: Connection) => boolean)[] = [
      (c) => c.keepalive(1000, 500, 3),
      (c) => c.keepalive(60_000),
      (c) => c.keepalive(0, 1, 127),
    ];
    const gate: FakeGate = serving({
      received(c, offset, length) {
        told[gate.ix.u8[offset]!]!(c);
        return length;
      },
    });
    const flow = gate.knock();
    gate.turn();
    assert.equal(flow.keepalive, undefined, 'not before it is asked for');
    for (const [i, words] of [[1000, 500, 3], [60_000, 75_000, 9], [0, 1, 127]].entries()) {
      gate.receive(flow, Uint8Array.of(i));
      gate.turn();
      assert.deepEqual(flow.keepalive, words);
    } // biome-ignore format: triples
    finish(gate);
  });

  it('open_userTimeout_isToldOnce', () => {
    const gate: FakeGate = serving({
      opened: (c) => c.userTimeout(1500),
      received: (_c, _o, length) => length,
    });
    const flow = gate.knock();
    gate.turn();
    assert.equal(flow.userTimeoutMs, 1500);
    flow.userTimeoutMs = -1;
    gate.receive(flow, Uint8Array.of(1));
    gate.turn();
    assert.equal(flow.userTimeoutMs, -1);
    finish(gate);
  });

  it('open_urgent_isToldBeforeItsData', () => {
    const seen: [string, number][] = [];
    const gate: FakeGate = serving({
      urgent: (_c, bytes) => void seen.push(['urgent', bytes]),
      received: (_c, _o, length) => {
        seen.push(['received', length]);
        return length;
      },
    });
    const flow = gate.knock();
    gate.turn();
    gate.urgent(flow, 3);
    gate.receive(flow, Uint8Array.of(1, 2, 3, 4));
    gate.turn();
    assert.deepEqual(seen, [
      ['urgent', 3],
      ['received', 4],
    ]);
    finish(gate);
  });

  it('open_mark_isToldOnce_badOnesThrow', () => {
    const gate: FakeGate = serving({
      opened: (c) => {
        assert.throws(() => c.mark(64), RangeError);
        assert.throws(() => c.mark(-1), RangeError);
        assert.throws(() => c.mark(0, 256), RangeError);
        c.mark(46, 255);
      },
      received: (_c, _o, length) => length,
    });
    const flow = gate.knock();
    gate.turn();
    assert.deepEqual(flow.marking, [255, 46]);
    delete flow.marking;
    gate.receive(flow, Uint8Array.of(1));
    gate.turn();
    assert.equal(flow.marking, undefined);
    finish(gate);
  });

  it('open_close_waitsForWhatIsQueued', () => {
    const gate: FakeGate = serving({
      received(c, offset, length) {
        c.write(offset, length);
        c.close();
        return length;
      },
    });
    const flow = gate.knock();
    gate.turn();
    gate.accept = () => 2;
    gate.receive(flow, bytesOf('bye!'));
    gate.turn();
    assert.equal(flow.isClosed, false);
    gate.accept = (asked) => asked;
    settle(gate);
    assert.equal(textOf(flow.out), 'bye!');
    assert.ok(flow.isClosed);
    finish(gate);
  });

  it('handler_throws_abortsOnlyItsConnection', () => {
    const gate: FakeGate = serving({
      received(c, offset, length) {
        if (gate.ix.u8[offset] === 33) throw new Error('expected by this test');
        c.write(offset, length);
        return length;
      },
    });
    const [bad, good] = [gate.knock(), gate.knock()];
    gate.turn();
    gate.receive(bad, bytesOf('!'));
    gate.receive(good, bytesOf('fine'));
    gate.turn();
    gate.turn();
    assert.ok(bad.isClosed);
    assert.equal(textOf(good.out), 'fine');
    settle(gate);
    finish(gate);
  });

  it('blocksRunOut_inputWaits_andGoesOnWhenTheyComeBack', () => {
    const gate = serving(
      { received: (c, offset, length) => (c.write(offset, length) ? length : 0) },
      { spans: 64, receiveSpans: 64, sendBlocks: 8, gatherBlocks: 8 },
    );
    const flows = [gate.knock(), gate.knock(), gate.knock()];
    gate.turn();
    const sent = flows.map((flow, k) => {
      const bytes = new Uint8Array(9000).map((_b, i) => (i * 7 + k) & 255);
      for (let i = 0; i < bytes.length; i += 1000) gate.receive(flow, bytes.subarray(i, i + 1000));
      return bytes;
    });
    gate.turn();
    settle(gate);
    flows.forEach((flow, k) => {
      assert.deepEqual(Uint8Array.from(flow.out), sent[k]);
      assert.equal(flow.done, 9000);
    });
    finish(gate);
  });
});
