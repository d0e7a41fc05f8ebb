/**
 * What an application gives that cannot be: refused where it is given, in one line, and nothing of
 * libix's is harmed.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Connection, type Handlers, IxArgumentError } from '../../src/libix/index.ts';
import { bytesPerOperation } from '../arena/property.ts';
import { listenToErrors } from './errors.ts';
import { FakeGate } from './fake-gate.ts';
import { bytesOf, finish, serving, settle, textOf } from './serving.ts';

const any = (value: unknown): never => value as never;
const received = (_c: unknown, _offset: number, length: number): number => length;
const NO_NUMBERS = [Number.NaN, 0.5, -1, 2 ** 31, Number.POSITIVE_INFINITY, any('7'), any(7n)];

/** Misuses of an open connection, each with what the line must say. */
function misusesOf(gate: FakeGate, c: Connection): [string, () => unknown, RegExp][] {
  const { offset } = gate.ix.text('text');
  const end = gate.arena.u8.length;
  const list: [string, () => unknown, RegExp][] = [];
  const add = (name: string, what: RegExp, ...deeds: (() => unknown)[]) => {
    for (const deed of deeds) list.push([name, deed, what]);
  };
  const outside = /not in application memory; send what ix\.alloc/;
  for (const bad of NO_NUMBERS) {
    add(
      'send',
      outside,
      () => c.send(any(bad), 4),
      () => c.send(offset, any(bad)),
    );
    add('send', /a tag is/, () => c.send(offset, 4, any(bad)));
    add(
      'write',
      /no bytes of the arena/,
      () => c.write(any(bad), 4),
      () => c.write(offset, any(bad)),
    );
    add('keepalive', /whole number from 0/, () => c.keepalive(any(bad)));
    if (bad !== undefined) {
      add('keepalive', /interval .*from 1 to 1000000/, () => c.keepalive(1000, any(bad)));
      add('keepalive', /count.*from 1 to 127/, () => c.keepalive(1000, 1000, any(bad)));
    }
    add('userTimeout', /whole number from 0/, () => c.userTimeout(any(bad)));
    add('mark', /code point.*0 to 63/, () => c.mark(any(bad)));
    add('mark', /hop limit.*0 to 255/, () => c.mark(8, any(bad)));
    if (bad !== 0.5) add('timer', /microseconds/, () => gate.ix.timer(any(bad), () => {}));
    add('alloc', /alloc: bytes/, () => gate.ix.alloc(any(bad)));
    add('listen', /listen: port/, () => gate.ix.listen(any(bad), { received }));
    add('connect', /connect: port/, () => gate.ix.connect(1, any(bad), { received }));
    add('stop', /exit code/, () => gate.ix.stop(any(bad)));
  }
  for (const bad of [...NO_NUMBERS, 0]) {
    add('alloc', /alignment/, () => gate.ix.alloc(8, any(bad)));
    add('listen', /backlog/, () => gate.ix.listen(7, { received }, { backlog: any(bad) }));
  }
  add(
    'send',
    outside,
    () => c.send(0, 4),
    () => c.send(end - 4, 4),
    () => c.send(offset, end),
  );
  add(
    'write',
    /no bytes/,
    () => c.write(end, 1),
    () => c.write(end - 4, 5),
  );
  add('listen', /listen: port/, () => gate.ix.listen(-1, { received }));
  add('accept', /listen: accept/, () => gate.ix.listen(7, { received }, { accept: any(true) }));
  for (const bad of [0x0a4d0001, [1, 2, 3], undefined, null]) {
    add('formatAddress', /four words/, () => gate.ix.formatAddress(any(bad)));
  }
  add('listen', /listen: port/, () => gate.ix.listen(65_536, { received }));
  add('udp', /udp: port/, () => gate.ix.udp(65_536, { received: () => {} }));
  for (const bad of [undefined, null, {}, { received: 7 }, 'text']) {
    add('handlers', /received\(\.\.\.\)/, () => gate.ix.listen(7, any(bad)));
    add('handlers', /received\(\.\.\.\)/, () => gate.ix.connect(1, 7, any(bad)));
    add('handlers', /received\(\.\.\.\)/, () => gate.ix.udp(7, any(bad)));
    add('handlers', /received\(\.\.\.\)/, () => {
      c.handlers = any(bad);
    });
    add(
      'callback',
      /a function/,
      () => gate.ix.timer(5, any(bad)),
      () => gate.ix.every(5, any(bad)),
    );
    add('callback', /a function/, () => gate.ix.onBatchEnd(any(bad)));
  }
  for (const bad of [undefined, null, 2 ** 32, 0.5, [1, 2, 3], [1, 2, 3, Number.NaN], {}]) {
    add('connect', /connect: address/, () => gate.ix.connect(any(bad), 7, { received }));
  }
  return list;
}

describe('arguments', () => {
  it('open_anyMisuse_throwsOneLineAndTheConnectionGoesOn', () => {
    let open: Connection | undefined;
    const gate = serving({
      opened(c) {
        open = c;
      },
      received: (c, offset, length) => (c.write(offset, length) ? length : 0),
    });
    const flow = gate.knock();
    gate.turn();
    const misuses = misusesOf(gate, open!);
    const free = gate.ix.applicationFree;
    for (const [name, misuse, what] of misuses) {
      assert.throws(misuse, (error) => {
        assert.ok(error instanceof IxArgumentError, `${name}: ${error}`);
        assert.match(error.message, what);
        assert.ok(!error.message.includes('\n'));
        return true;
      });
    }
    assert.equal(gate.ix.applicationFree, free);
    assert.ok(!gate.ix.wantsTurn, 'nothing was asked for');
    gate.receive(flow, bytesOf('still here'));
    gate.turn();
    assert.equal(textOf(flow.out), 'still here');
    settle(gate);
    finish(gate);
  });

  it('handler_misuse_resetsItsConnectionAndIsReportedOnce', (t) => {
    const said = listenToErrors(t);
    const gate = serving({
      received(c, offset, length) {
        c.send(offset, length); // the receive pool's
        return length;
      },
    });
    const flow = gate.knock();
    gate.turn();
    gate.receive(flow, bytesOf('abc'));
    gate.turn();
    assert.ok(flow.isClosed);
    assert.equal(said.length, 1);
    assert.match(said[0]!, /IxArgumentError.*send\(\d+, 3\): these bytes are not in application/);
    finish(gate);
  });

  it('boundSocket_anyMisuse_throwsOneLine', () => {
    const gate = new FakeGate();
    const socket = gate.ix.udp(7, { received: () => {} });
    gate.turn();
    gate.turn();
    const { offset, length } = gate.ix.text('text');
    const { source } = socket;
    for (const bad of NO_NUMBERS) {
      assert.throws(() => socket.send(any(bad), length, 1, 9), IxArgumentError);
      assert.throws(() => socket.send(offset, any(bad), 1, 9), IxArgumentError);
      assert.throws(() => socket.send(offset, length, source, any(bad)), IxArgumentError);
    }
    for (const bad of [undefined, null, 2 ** 32, 0.5, '10.0.0.1', [1, 2, 3], {}]) {
      assert.throws(() => socket.send(offset, length, any(bad), 9), /send: address/);
    }
    assert.throws(() => socket.send(0, length, 1, 9), /not in application memory/);
    for (const address of [-1, 2 ** 32 - 1, source]) {
      assert.ok(socket.send(offset, length, address, 9));
    }
    assert.ok(socket.send(offset, 0, 1, 9), 'an empty datagram is one');
  });
});

/** What `received` may return that is no count of 5 bytes. */
const RESULTS: Record<string, [value: unknown, says: RegExp]> = {
  promise: [Promise.resolve(5), /returned Promise .*must not be async/],
  nothing: [undefined, /returned undefined/],
  notANumber: [Number.NaN, /returned NaN/],
  fraction: [2.5, /returned 2\.5/],
  negative: [-1, /returned -1/],
  tooMany: [6, /given 5 bytes and returned 6/],
  infinity: [Number.POSITIVE_INFINITY, /returned Infinity/],
  text: ['5', /returned '5'/],
  truth: [true, /returned true/],
  bigint: [5n, /returned 5n/],
  symbol: [Symbol('five'), /returned Symbol\(five\)/],
  object: [{ valueOf: () => 5 }, /returned \{/],
  hostile: [
    {
      get [Symbol.toStringTag]() {
        throw new Error('no');
      },
    },
    /returned/,
  ],
};

describe('what received returns', () => {
  for (const [name, [value, says]] of Object.entries(RESULTS)) {
    for (const isGathered of [false, true]) {
      const where = isGathered ? 'OfAMessageInPieces' : '';
      it(`${name}${where}_reportedOnceAndReset_othersAreServed`, (t) => {
        const said = listenToErrors(t);
        const gate: FakeGate = serving({
          received(c, offset, length) {
            if (gate.ix.u8[offset] !== 98) return c.write(offset, length) ? length : 0;
            return isGathered && length < 5 ? 0 : any(value);
          },
        });
        const [bad, good] = [gate.knock(), gate.knock()];
        gate.turn();
        gate.receive(bad, bytesOf('ba'));
        if (isGathered) gate.turn();
        gate.receive(bad, bytesOf('dly'));
        if (!isGathered) {
          gate.sink.clear();
          bad.received = 0;
          gate.receive(bad, bytesOf('badly'));
        }
        gate.turn();
        assert.ok(bad.isClosed);
        assert.equal(said.length, 1, said.join(''));
        assert.match(said[0]!, /^ix: application error: received was given 5 bytes and returned /);
        assert.match(said[0]!, says);
        assert.equal(said[0]!.indexOf('\n'), said[0]!.length - 1, 'one line');
        gate.receive(good, bytesOf('well'));
        gate.turn();
        assert.equal(textOf(good.out), 'well');
        settle(gate);
        finish(gate);
        assert.equal(said.length, 1, 'once');
      });
    }
  }

  it('handlersPutInLater_areWatchedAsWell', (t) => {
    const said = listenToErrors(t);
    const other: Handlers = { received: () => any(Promise.resolve(1)) };
    const gate = serving({
      opened(c) {
        c.handlers = other;
      },
      received: () => assert.fail('no more'),
    });
    const flow = gate.knock();
    gate.turn();
    gate.receive(flow, bytesOf('a'));
    gate.turn();
    assert.ok(flow.isClosed);
    assert.match(said.join(''), /must not be async/);
    finish(gate);
  });

  it('checked_steadyState_allocatesNothing', () => {
    const gate = new FakeGate();
    let given: Connection | undefined;
    gate.ix.listen(7, {
      opened(c) {
        given = c;
      },
      received: (_c, _offset, length) => length,
    });
    gate.turn();
    gate.turn();
    const flow = gate.knock();
    gate.turn();
    const c = given!;
    const bytes = bytesPerOperation((count) => {
      for (let i = 0; i < count; i++) c.handlers.received(c, 64, 1 + (i & 63));
    }, 1_000_000);
    assert.ok(bytes < 0.5, `${bytes} bytes a call`);
    assert.equal(flow.isClosed, false);
    finish(gate);
  });
});
