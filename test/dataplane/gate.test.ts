/**
 * The gate against an application that may write anything: every answer is a code, nothing throws,
 * nothing leaks.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { BOUND_PORT, CALL, CODE, SENDV_VECTOR } from '../../src/gate/abi.ts';
import { GATE_AGAIN, GATE_COUNT } from '../../src/gate/arrays.ts';
import { CALLS_MAX } from '../../src/limits.ts';
import { RARE, TCB } from '../../src/tcp/tcb.ts';
import { address } from '../net/harness.ts';
import { ANY, closeGate, makeGate, mapped } from './gate-fixture.ts';

describe('gate', () => {
  let g: ReturnType<typeof makeGate>;
  beforeEach(() => {
    g = makeGate();
  });
  afterEach(() => closeGate(g));

  const open = (): number => g.call([CALL.connect, 7, ...mapped('10.77.0.1'), 80])[0]!;

  test('unknownCall_isBadCall', () => {
    assert.deepEqual(g.call([0], [99], [-1], [2 ** 31 - 1]), Array(4).fill(CODE.BAD_CALL));
  });

  test('handles_staleForeignOrWrongKind_areBadHandle', () => {
    const flow = open();
    const [listener] = g.call([CALL.listen, 1, ...ANY, 7, 16, 0]);
    const [udp] = g.call([CALL.udp_bind, 1, ...ANY, 53]);
    assert.ok(flow > 0 && listener! > 0 && udp! > 0);
    const wrong = [0, -1, 1, flow + 1, flow + (1 << 20), listener!, -(2 ** 31), 2 ** 31 - 1];
    for (const handle of wrong) {
      for (const kind of [CALL.accept, CALL.reject, CALL.recv_done, CALL.close, CALL.abort]) {
        assert.deepEqual(g.call([kind, handle, 0]), [CODE.BAD_HANDLE], `call ${kind} of ${handle}`);
      }
      const send = [CALL.sendv, handle, 1, g.memory.offset, 4];
      assert.deepEqual(g.call(send), [CODE.BAD_HANDLE], `sendv to ${handle}`);
    }
    // Flows, sockets and timers are numbered apart, so the same number can be a live handle of each
    // kind.
    for (const handle of [0, -1, flow, udp!]) {
      assert.deepEqual(g.call([CALL.unlisten, handle]), [CODE.BAD_HANDLE]);
    }
    for (const handle of [0, -1, flow + 1, listener!]) {
      assert.deepEqual(g.call([CALL.udp_close, handle]), [CODE.BAD_HANDLE]);
      assert.deepEqual(g.call([CALL.timer_cancel, handle]), [CODE.BAD_HANDLE]);
    }
  });

  test('calls_everyFieldOfThem_isReadOnce', () => {
    const flow = open();
    const { offset } = g.memory;
    g.i32.set([offset, 4, offset + 8, 4], offset >> 2);
    const reads = g.countReads(
      [CALL.sendv, flow, 2, offset, 4, offset + 8, 4],
      [CALL.sendv, flow, SENDV_VECTOR, offset, 2],
      [CALL.connect, 7, ...mapped('10.77.0.1'), 81],
      [CALL.listen, 1, ...ANY, 8, 16, 0],
      [CALL.udp_bind, 1, ...ANY, 54],
      [CALL.udp_sendv, 1, offset, 4, ...mapped('10.77.0.1'), 9],
      [CALL.recv_done, flow, 0],
      [CALL.timer, 1, 1000],
      [CALL.close, flow],
    );
    assert.ok(reads.size > 30, `${reads.size} were read`);
    // What is read again may be another by then: it would be used unchecked.
    assert.deepEqual(
      [...reads].filter(([, count]) => count > 1),
      [],
    );
  });

  test('sendv_rangesAtAndPastEveryEdge_areBadRange', () => {
    const flow = open();
    const { offset, bytes } = g.memory;
    const bad: [number, number][] = [
      [offset - 1, 4],
      [offset + bytes - 3, 4],
      [offset + bytes, 1],
      [offset, bytes + 1],
      [offset, 0],
      [offset, -1],
      [0, 16],
      [-4, 16],
      [offset + 8, 2 ** 31 - 1],
      [2 ** 31 - 1, 2],
      [-(2 ** 31), 4],
    ];
    for (const [at, length] of bad) {
      const result = g.call([CALL.sendv, flow, 1, at, length]);
      assert.deepEqual(result, [CODE.BAD_RANGE], `${at} + ${length}`);
    }
    assert.deepEqual(g.call([CALL.sendv, flow, 1, offset + bytes - 4, 4]), [4]);
    assert.deepEqual(g.call([CALL.sendv, flow, 2, offset, 4, offset + bytes, 4]), [4], 'a prefix');
    for (const count of [0, -1, 5, 254, 256]) {
      assert.deepEqual(g.call([CALL.sendv, flow, count, offset, 4]), [CODE.BAD_CALL]);
    }
  });

  test('sendvVector_outsideMemoryOrUnaligned_isRefused', () => {
    const flow = open();
    const { offset, bytes } = g.memory;
    g.i32.set([offset, 5, offset + 16, 6], offset >> 2);
    const vector = (at: number, count: number) =>
      g.call([CALL.sendv, flow, SENDV_VECTOR, at, count])[0];
    assert.equal(vector(offset, 2), 11);
    assert.equal(vector(offset + 2, 1), CODE.BAD_RANGE);
    assert.equal(vector(offset - 8, 2), CODE.BAD_RANGE);
    assert.equal(vector(offset + bytes - 8, 2), CODE.BAD_RANGE);
    for (const count of [0, -1, 257, 2 ** 31 - 1])
      assert.equal(vector(offset, count), CODE.BAD_CALL);
  });

  test('connect_addressNotMappedOrNoRoute_isNoRoute', () => {
    for (const words of [
      [0, 0, 0, 0],
      [0, 0, 0, 1],
      [1, 0, 0xffff, 1],
      [0, 0, 0xfffe, 5],
    ]) {
      assert.deepEqual(g.call([CALL.connect, 1, ...words, 80]), [CODE.NO_ROUTE]);
    }
    assert.deepEqual(g.call([CALL.connect, 1, ...mapped('8.8.8.8'), 80]), [CODE.NO_ROUTE]);
    assert.deepEqual(g.call([CALL.connect, 1, ...mapped('10.77.0.1'), 0]), [CODE.BAD_RANGE]);
  });

  test('listen_badFlagPortOrAddress_isRefused', () => {
    const listen = (words: number[], port: number, flags = 0) =>
      g.call([CALL.listen, 1, ...words, port, 16, flags])[0]!;
    assert.equal(listen(ANY, 7, 2), CODE.BAD_CALL);
    assert.equal(listen(ANY, 65_536), CODE.BAD_RANGE);
    assert.equal(listen(ANY, -1), CODE.BAD_RANGE);
    assert.equal(listen(mapped('10.77.0.9'), 7), CODE.NO_ROUTE);
    assert.ok(listen(ANY, 7) > 0);
    assert.equal(listen(ANY, 7), CODE.IN_USE);
  });

  test('listenOrBind_anyPort_isPickedAndWrittenInTheCall', () => {
    const port = (): number => g.wordOfCall(0, BOUND_PORT);
    const kinds = [CALL.listen, CALL.udp_bind];
    for (const kind of kinds) {
      const ask = (): number => g.call([kind, 1, ...ANY, 0, 16, 0])[0]!;
      const picked = new Set<number>();
      for (let i = 0; i < 3; i++) {
        assert.ok(ask() > 0);
        picked.add(port());
      }
      assert.equal(picked.size, 3, 'one each');
      for (const each of picked) {
        assert.ok(each >= 32_768 && each <= 65_535);
        assert.deepEqual(g.call([kind, 1, ...ANY, each, 16, 0]), [CODE.IN_USE]);
        assert.equal(port(), each);
      }
    }
  });

  test('listen_anyPortAgain_isTheOneThatWasGivenUp', () => {
    const ask = (): number => g.call([CALL.listen, 1, ...ANY, 0, 16, 0])[0]!;
    const first = ask();
    const port = g.wordOfCall(0, BOUND_PORT);
    assert.deepEqual(g.call([CALL.unlisten, first]), [CODE.OK]);
    assert.ok(ask() > 0);
    assert.equal(g.wordOfCall(0, BOUND_PORT), port, 'every thread of an application gets the same');
  });

  test('timers_exhausted_isQuotaAndCancelGivesBack', () => {
    const { timers: max } = g.env.limits;
    const handles: number[] = [];
    for (let i = 0; i < max; i++) handles.push(g.call([CALL.timer, i + 1, 1_000_000])[0]!);
    assert.ok(handles.every((handle) => handle > 0));
    assert.deepEqual(g.call([CALL.timer, 1, 5]), [CODE.QUOTA]);
    assert.deepEqual(g.call([CALL.timer, 1, -5]), [CODE.BAD_RANGE]);
    assert.deepEqual(g.call([CALL.timer_cancel, handles[0]!]), [CODE.OK]);
    assert.deepEqual(g.call([CALL.timer_cancel, handles[0]!]), [CODE.BAD_HANDLE]);
    assert.ok(g.call([CALL.timer, 1, 5])[0]! > 0);
  });

  test('count_negativeOrHuge_isCutAndCounted', () => {
    for (const count of [-1, -(2 ** 31), CALLS_MAX + 1, 2 ** 31 - 1]) {
      g.i32[g.header + GATE_COUNT] = count;
      const before = g.env.counters.get('gateBadCount');
      g.gate.execute();
      assert.equal(g.env.counters.get('gateBadCount'), before + 1, `${count}`);
      assert.equal(g.i32[g.header + GATE_COUNT], 0);
    }
  });

  test('refusedCall_asksForAnotherTurn', () => {
    g.i32[g.header + GATE_AGAIN] = 0;
    g.call([CALL.connect, 1, ...mapped('8.8.8.8'), 80]);
    assert.ok(g.gate.wantsTurn());
  });

  test('userTimeout_negativeOrStale_isRefused', () => {
    const flow = open();
    assert.deepEqual(g.call([CALL.user_timeout, flow, 1000]), [CODE.OK]);
    assert.deepEqual(g.call([CALL.user_timeout, flow, 0]), [CODE.OK]);
    assert.deepEqual(g.call([CALL.user_timeout, flow, -1]), [CODE.BAD_RANGE]);
    assert.deepEqual(g.call([CALL.user_timeout, flow + 1, 1000]), [CODE.BAD_HANDLE]);
  });

  test('keepalive_idleIntervalAndCount_reachTheFlow', () => {
    const flow = open();
    const { flows } = g.stack.tcp;
    const seen = () => {
      const row = flows.resolve(flow);
      return [TCB.keepIdleMs, RARE.keepIntervalMs, RARE.keepMost].map((w) => flows.i32[row + w]);
    };
    assert.deepEqual(g.call([CALL.keepalive, flow, 60_000, 5000, 3]), [CODE.OK]);
    assert.deepEqual(seen(), [60_000, 5000, 3]);
    assert.deepEqual(g.call([CALL.keepalive, flow, 60_000, 0, 0]), [CODE.OK]);
    assert.deepEqual(seen(), [60_000, 75_000, 9], 'as Linux');
  });

  test('keepalive_badRangeOrStale_isRefused', () => {
    const flow = open();
    // biome-ignore format: triples
    const bad = [[-1, 0, 0], [1, -1, 0], [1, 1_000_001, 0], [1, 0, -1], [1, 0, 128]];
    for (const [idle, interval, count] of bad) {
      assert.deepEqual(g.call([CALL.keepalive, flow, idle!, interval!, count!]), [CODE.BAD_RANGE]);
    }
    assert.deepEqual(g.call([CALL.keepalive, flow + 1, 1000, 0, 0]), [CODE.BAD_HANDLE]);
  });

  test('marking_badRangeOrStale_isRefused', () => {
    const flow = open();
    for (const [hops, codePoint] of [[1, 0], [255, 63], [0, 0]]) {
      assert.deepEqual(g.call([CALL.marking, flow, hops!, codePoint!]), [CODE.OK]);
    } // biome-ignore format: pairs
    for (const [hops, codePoint] of [[-1, 0], [256, 0], [64, 64], [64, -1], [2 ** 31 - 1, 0]]) {
      assert.deepEqual(g.call([CALL.marking, flow, hops!, codePoint!]), [CODE.BAD_RANGE]);
    } // biome-ignore format: pairs
    assert.deepEqual(g.call([CALL.marking, flow + 1, 64, 0]), [CODE.BAD_HANDLE]);
  });

  test('randomCalls_neverThrowAndLeaveNothing', () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    let state = seed | 1;
    const random = (): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state | 0;
    };
    const { offset, bytes } = g.memory;
    const handles = [open()];
    const word = (): number => {
      switch (random() & 7) {
        case 0:
          return random();
        case 1:
          return handles[(random() >>> 1) % handles.length]!;
        case 2:
          return offset + ((random() >>> 1) % (bytes + 8)) - 4;
        case 3:
          return 0xffff;
        case 4:
          return address('10.77.0.1');
        default:
          return random() & 255;
      }
    };
    for (let i = 0; i < 20_000; i++) {
      const words = [random() & 31, ...Array.from({ length: 9 }, word)];
      const [result] = g.call(words);
      assert.ok(Number.isInteger(result), `seed ${seed}, call ${words}`);
      if (result! > 1 << 20 && handles.length < 1000) handles.push(result!);
      if (i % 64 === 0) g.stack.flush();
    }
  });
});
