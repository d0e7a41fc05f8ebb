/**
 * Descriptors, headers and bytes that another thread of the application rewrites while the
 * dataplane reads them.
 */
import assert from 'node:assert/strict';
import { CALL, CALL_RESULT, CODE, EVENT, SENDV_VECTOR, WORD } from '../../../src/gate/abi.ts';
import {
  GATE_AGAIN,
  GATE_COUNT,
  GATE_DONE,
  GATE_TURN,
  GATE_WAITING,
  WAITING,
} from '../../../src/gate/arrays.ts';
import { CALLS_MAX } from '../../../src/limits.ts';
import { sys } from '../../../src/native/sys.ts';
import {
  ANY,
  type Case,
  distinct,
  type Given,
  INT_MAX,
  INT_MIN,
  type Observed,
  open,
  sleep,
} from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';
import { raced, type Write } from '../hostile/racer.ts';

const RACE_MS = 150;
const MARK = 0x4d;
/** How often the dataplane waits again for a turn that is not over (src/domain/process.ts). */
const LOOKS_MAX = 8;

/**
 * Batches of sends on one flow for a while; the results that there were. What is acknowledged makes
 * room.
 */
function sending(gate: HostileGate, flow: number, words: readonly number[]): number[] {
  const seen = new Set<number>();
  const end = performance.now() + RACE_MS;
  while (performance.now() < end) {
    gate.hold();
    const batch = Array.from({ length: 64 }, () => words);
    gate.write(batch);
    gate.submit(batch.length);
    batch.forEach((_, i) => void seen.add(gate.i32[gate.callAt(i) + CALL_RESULT]!));
    gate.events = gate.events.filter(({ handle }) => handle !== flow);
  }
  return distinct(seen);
}

/** The same word of the first 64 calls. */
const inEvery = (gate: HostileGate, word: number, values: number[]): Write[] =>
  Array.from({ length: 64 }, (_, i) => ({ word: gate.callAt(i) + word, values }));

/**
 * All of application memory that a race may name, filled with one byte: whatever else arrives was
 * not the application's.
 */
function markMemory({ u8, layout }: HostileGate): { offset: number; bytes: number } {
  const { offset, bytes } = layout.memory;
  const usable = bytes - 2 ** 21;
  u8.fill(MARK, offset, offset + usable);
  return { offset, bytes: usable };
}

/** Every call was answered with bytes or one of these codes, and nothing but marked bytes left. */
const onlyMarked =
  (...codes: number[]) =>
  (results: number[], { sink, host }: Observed): void => {
    const wrong = results.filter((result) => result < 0 && !codes.includes(result));
    assert.deepEqual(wrong, []);
    assert.ok(sink.bytes > 0, 'something was sent');
    assert.deepEqual(sink.values, [MARK]);
    assert.equal(host['TcpInCsumErrors'], 0);
  };

/** Waits a turn with each value of a header word; the dataplane gives turns all the same. */
function withHeader(gate: HostileGate, word: number, values: readonly number[]): boolean {
  for (const value of values) {
    gate.hold();
    Atomics.store(gate.i32, gate.callHeader + word, value);
    gate.give();
    sys.futexWake((gate.callHeader + word) << 2, 1);
    Atomics.store(gate.i32, gate.callHeader + GATE_AGAIN, 1);
    gate.ring();
  }
  return gate.call(CALL.timer, 1, 1) > 0;
}

function sendFrom(
  gate: HostileGate,
  given: Given,
  race: (flow: number) => { words: number[]; writes: Write[] },
) {
  const flow = open(gate, given);
  const { words, writes } = race(flow);
  return raced(gate, writes, () => sending(gate, flow, words));
}

export const cases: Case[] = [
  {
    name: 'race_sendvOffset_leavesApplicationMemoryNever',
    run: (gate, given) =>
      sendFrom(gate, given, (flow) => {
        const { offset } = markMemory(gate);
        const { receivePool, events, memory } = gate.layout;
        const values = [
          offset,
          receivePool.offset,
          0,
          offset + 4096,
          events.offset,
          memory.offset - 64,
          -1,
          offset,
        ];
        return { words: [CALL.sendv, flow, 1, offset, 64], writes: inEvery(gate, WORD.b, values) };
      }),
    check: onlyMarked(CODE.BAD_RANGE),
  },
  {
    name: 'race_sendvLength_leavesApplicationMemoryNever',
    run: (gate, given) =>
      sendFrom(gate, given, (flow) => {
        const { offset, bytes } = markMemory(gate);
        gate.u8.fill(MARK, offset + bytes, offset + gate.layout.memory.bytes);
        const at = offset + gate.layout.memory.bytes - 128;
        const values = [64, 4096, 128, INT_MAX, -1, 64, 0, 129];
        return { words: [CALL.sendv, flow, 1, at, 64], writes: inEvery(gate, WORD.c, values) };
      }),
    check: onlyMarked(CODE.BAD_RANGE),
  },
  {
    name: 'race_sendvCount_isBadCallOrGood',
    run: (gate, given) =>
      sendFrom(gate, given, (flow) => {
        const { offset } = markMemory(gate);
        const spans = [offset, 8, offset, 8, offset, 8, offset, 8];
        const values = [1, 4, 5, 0, SENDV_VECTOR, -1, INT_MAX, 4];
        return {
          words: [CALL.sendv, flow, 4, ...spans],
          writes: inEvery(gate, WORD.a - 1, values),
        };
      }),
    // As a vector its offset is marked memory, read as pairs that lie outside.
    check: onlyMarked(CODE.BAD_RANGE, CODE.BAD_CALL),
  },
  {
    name: 'race_sendvVectorPairs_leaveApplicationMemoryNever',
    run: (gate, given) =>
      sendFrom(gate, given, (flow) => {
        const { offset, bytes } = markMemory(gate);
        const vector = offset + bytes;
        const { receivePool, calls } = gate.layout;
        const at = [offset, receivePool.offset, offset + 64, calls.offset, -1, offset];
        const length = [32, INT_MAX, 32, -1, 32, 0, 32];
        for (let i = 0; i < 8; i++) gate.i32.set([offset, 32], (vector >> 2) + 2 * i);
        const writes = Array.from({ length: 16 }, (_, i) => {
          return { word: (vector >> 2) + i, values: i % 2 === 0 ? at : length };
        });
        return { words: [CALL.sendv, flow, SENDV_VECTOR, vector, 8], writes };
      }),
    check: onlyMarked(CODE.BAD_RANGE),
  },
  {
    name: 'race_kindOfCall_everyResultIsOfTheAbi',
    run: (gate, given) => {
      const flow = open(gate, given, given.deaf);
      const { offset } = gate.layout.memory;
      const kinds = [
        CALL.sendv,
        CALL.recv_done,
        CALL.accept,
        99,
        CALL.keepalive,
        CALL.udp_close,
        0,
        CALL.unlisten,
      ];
      const writes = inEvery(gate, WORD.kind, kinds);
      const seen = raced(gate, writes, () => sending(gate, flow, [CALL.sendv, flow, 1, offset, 1]));
      return seen.every((result) => Number.isInteger(result) && result >= CODE.TOO_LONG);
    },
    expects: true,
  },
  {
    name: 'race_handles_liveAndForged',
    run: (gate, given) => {
      const flow = open(gate, given, given.deaf);
      const { offset } = gate.layout.memory;
      // Its own commands come by a flow that is as good as this one: what is sent there is right.
      const other = (flow ^ 1) === given.flow ? flow ^ 2 : flow ^ 1;
      const handles = [flow, flow + (1 << 20), 0, -1, other, INT_MAX, INT_MIN, flow];
      const writes = inEvery(gate, WORD.handle, handles);
      const seen = raced(gate, writes, () => sending(gate, flow, [CALL.sendv, flow, 1, offset, 1]));
      return seen.filter(
        (result) => result < 0 && result !== CODE.BAD_HANDLE && result !== CODE.BAD_STATE,
      );
    },
    expects: [],
  },
  {
    name: 'race_connectAddress_isRoutedOrRefused',
    run: (gate, given) => {
      const values = [0, 1, 0xffff, -1, INT_MIN];
      const writes = [3, 4, 5].flatMap((word) => inEvery(gate, word, values));
      const words = [CALL.udp_bind, 1, ...ANY, 0];
      const seen = raced(gate, writes, () => sending(gate, given.flow, words));
      // The handles were not remembered: every index and generation of the 256 sockets goes.
      for (let generation = 1; generation < 64; generation++) {
        const all = Array.from({ length: 256 }, (_, i) => (generation << 20) | i);
        gate.calls(all.map((handle) => [CALL.udp_close, handle]));
      }
      return distinct(seen.filter((result) => result < 0)).every((code) =>
        [CODE.NO_ROUTE, CODE.NO_FLOW, CODE.QUOTA].includes(code as never),
      );
    },
    expects: true,
  },
  {
    name: 'race_count_isCut',
    run: (gate) => {
      const writes = [
        { word: gate.callHeader + GATE_COUNT, values: [1, INT_MAX, -1, 511, 513, INT_MIN, 0] },
      ];
      gate.hold();
      gate.write(Array.from({ length: CALLS_MAX }, () => [0]));
      return raced(gate, writes, () => {
        for (let i = 0; i < 50; i++) {
          gate.hold();
          gate.submit(1);
        }
        return true;
      });
    },
    expects: true,
  },
  {
    name: 'race_bytesOnTheWay_checksumsHold',
    run: (gate, given) =>
      sendFrom(gate, given, (flow) => {
        const { offset } = markMemory(gate);
        const words = Array.from({ length: 350 }, (_, i) => (offset >> 2) + i);
        const writes = words.map((word) => ({ word, values: [0x4d4d4d4d, 0x4d004d00, 0, -1] }));
        return { words: [CALL.sendv, flow, 1, offset, 1400], writes };
      }),
    check: (results: number[], { sink, host }: Observed) => {
      assert.ok(sink.bytes > 100_000 && results.at(-1) === 1400, `${sink.bytes} bytes`);
      assert.equal(host['TcpInCsumErrors'], 0);
    },
  },
  {
    name: 'race_results_areTheApplicationsOwnLoss',
    run: (gate, given) => {
      const flow = open(gate, given, given.deaf);
      const writes = inEvery(gate, CALL_RESULT, [INT_MAX, INT_MIN, 1]);
      const words = [CALL.sendv, flow, 1, gate.layout.memory.offset, 1];
      return raced(gate, writes, () => sending(gate, flow, words)).length > 0;
    },
    expects: true,
  },
  {
    name: 'header_turnsThatNeverWere_areNotBelieved',
    run: (gate) => {
      const turn = gate.i32[gate.eventHeader + GATE_TURN]!;
      return withHeader(gate, GATE_DONE, [turn + 1000, turn - 1000, 0, -1, INT_MAX, INT_MIN]);
    },
    expects: true,
  },
  {
    name: 'header_waysOfWaitingThatDoNotExist_areHarmless',
    run: (gate) =>
      withHeader(gate, GATE_WAITING, [
        -1,
        4,
        99,
        INT_MAX,
        INT_MIN,
        WAITING.polling,
        WAITING.eventLoop,
      ]),
    expects: true,
  },
  {
    name: 'race_turnsDone_dataplaneGoesOn',
    run: (gate) => {
      const values = [0, 1, -1, INT_MAX, INT_MIN, 77, 78, 79];
      return raced(gate, [{ word: gate.callHeader + GATE_DONE, values }], () => {
        const end = performance.now() + RACE_MS;
        while (performance.now() < end) gate.ring();
        return true;
      });
    },
    expects: true,
  },
  {
    name: 'race_wholeHeader_dataplaneGoesOn',
    run: (gate) => {
      const values = [0, 1, 2, 3, -1, INT_MAX, INT_MIN];
      const words = Array.from({ length: 16 }, (_, i) => gate.callHeader + i);
      return raced(
        gate,
        words.map((word, i) => ({ word, values: values.slice(i % 3) })),
        () => {
          const end = performance.now() + RACE_MS;
          while (performance.now() < end) gate.ring();
          return true;
        },
      );
    },
    expects: true,
  },
  {
    name: 'header_dataplaneWokenWithoutADoneTurn_goesOn',
    run: (gate) => {
      const word = gate.callHeader + GATE_DONE;
      let most = 0;
      for (let round = 0; round < 30; round++) {
        const changes = (round % 3) - 1;
        gate.hold();
        const turn = gate.i32[word]!;
        let looks = 0;
        // Whatever it is told, its futex is not what the turn is over by.
        for (let n = 0, end = performance.now() + 30; performance.now() < end; n++) {
          Atomics.store(gate.i32, word, turn + changes * (2 + (n & 1023)));
          looks += sys.futexWake(word << 2, 1); // 1: it was waiting
        }
        most = Math.max(most, looks);
        gate.give();
      }
      return [gate.call(0), most <= LOOKS_MAX ? 'few' : most];
    },
    expects: [CODE.BAD_CALL, 'few'],
  },
  {
    name: 'header_absentForAWhile_isNotBelieved',
    run: (gate) => {
      gate.hold();
      const timers = gate.calls(Array.from({ length: 8 }, (_, i) => [CALL.timer, i, 60_000]));
      gate.give();
      Atomics.store(gate.i32, gate.callHeader + GATE_WAITING, WAITING.absent);
      sleep(120);
      const fired = gate.until(EVENT.timer, 0, 50);
      return [timers.every((timer) => timer > 0), fired !== undefined];
    },
    expects: [true, true],
  },
];
