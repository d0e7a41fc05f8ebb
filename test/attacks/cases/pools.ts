/**
 * Pools used up, and calls by the thousand: a defined answer, everything back afterwards, and
 * nobody waits for it.
 */
import assert from 'node:assert/strict';
import { CALL, CODE, EVENT } from '../../../src/gate/abi.ts';
import { GATE_AGAIN } from '../../../src/gate/arrays.ts';
import {
  ANY,
  type Case,
  distinct,
  type Given,
  INT_MAX,
  mapped,
  type Observed,
  open,
  sleep,
} from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';

const { BAD_CALL, IN_USE, NO_FLOW, OK, QUOTA } = CODE;
const NOBODY = '10.77.0.250';
const BATCH = 512;

/** Repeats a call until it is refused; how many were good, and the refusal. */
export function exhaust(
  gate: HostileGate,
  make: (n: number) => number[],
  most: number,
): [number, number] {
  for (let good = 0; good < most; ) {
    const results = gate.calls(Array.from({ length: BATCH }, (_, i) => make(good + i)));
    const at = results.findIndex((result) => result <= 0);
    if (at >= 0) return [good + at, results[at]!];
    good += BATCH;
  }
  return [most, 0];
}

/** Every batch full of the same for a while; how many batches. */
function flood(gate: HostileGate, calls: readonly number[][], ms: number): number {
  let batches = 0;
  for (const end = performance.now() + ms; performance.now() < end; batches++) gate.calls(calls);
  gate.events = gate.events.filter(({ kind }) => kind !== EVENT.dead && kind !== EVENT.timer);
  return batches;
}
export const many = (...words: number[]): number[][] => Array.from({ length: BATCH }, () => words);

/** A connection to a port of the host that never answers. */
export const silent =
  ({ host, mute }: Given) =>
  (): number[] => [CALL.connect, 1, ...mapped(host), mute];

export const cases: Case[] = [
  {
    name: 'flows_exhausted_isNoFlowAndAllComeBack',
    run: (gate, given) => exhaust(gate, silent(given), 40_000),
    check: ([good, code]: number[]) => {
      assert.ok(good! > 16_000, `${good}`);
      assert.equal(code, NO_FLOW);
    },
  },
  {
    name: 'flows_exhausted_strangersAreStillRefusedAtOnce',
    run: (gate, given) => {
      exhaust(gate, silent(given), 40_000);
      sleep(100); // meanwhile the witness asks a closed port
      return true;
    },
    expects: true,
    check: (_: never, { counters }: Observed) => assert.ok(counters['tcpResetsOut']! > 3),
  },
  {
    name: 'flows_openedAndAbortedByTheThousand_allComeBack',
    run: (gate, given) => {
      for (let round = 0; round < 20; round++) {
        const flows = gate.calls(many(...silent(given)()));
        gate.calls(flows.map((flow) => [CALL.abort, flow]));
        gate.events = gate.events.filter(({ kind }) => kind !== EVENT.dead);
      }
      return true;
    },
    expects: true,
  },
  {
    name: 'timers_exhausted_isQuota',
    run: (gate) => exhaust(gate, (n) => [CALL.timer, n, 60_000_000], 10_000),
    expects: [4096, QUOTA],
  },
  {
    name: 'timers_allAtOnce_everyOneFires',
    run: (gate) => {
      const [count] = exhaust(gate, (n) => [CALL.timer, n, 300_000], 10_000);
      let fired = 0;
      while (fired < count && gate.until(EVENT.timer)) fired += 1;
      return [count, fired];
    },
    expects: [4096, 4096],
  },
  {
    name: 'timers_ofNoDelay_rearmedForEver_doNotStarveTheRest',
    run: (gate) => flood(gate, many(CALL.timer, 1, 0), 200) > 0,
    expects: true,
  },
  {
    name: 'listeners_exhausted_isNoFlow',
    run: (gate) => exhaust(gate, (n) => [CALL.listen, n, ...ANY, 1000 + n, 1, 0], 1000),
    expects: [63, NO_FLOW],
  },
  {
    name: 'listeners_openedAndClosedForEver_doNotStarveTheRest',
    run: (gate) => {
      const listener = gate.call(CALL.listen, 1, ...ANY, 999, INT_MAX, 0);
      gate.call(CALL.unlisten, listener);
      // A handle's generation is one more each time: the whole batch can be written in advance.
      const step = 1 << 20;
      const index = listener & (step - 1);
      let generation = listener >> 20;
      for (const end = performance.now() + 200; performance.now() < end; ) {
        const calls = Array.from({ length: BATCH / 2 }, () => {
          generation = generation >= 2047 ? 1 : generation + 1;
          return [
            [CALL.listen, 1, ...ANY, 999, 16, 0],
            [CALL.unlisten, generation * step + index],
          ];
        }).flat();
        gate.calls(calls);
      }
      return gate.call(CALL.listen, 1, ...ANY, 998, 16, 0) > 0;
    },
    expects: true,
  },
  {
    name: 'udpSockets_exhausted_isNoFlow',
    run: (gate) => exhaust(gate, (n) => [CALL.udp_bind, n, ...ANY, 1000 + n], 1000),
    expects: [256, NO_FLOW],
  },
  {
    name: 'udpSockets_onPickedPorts_areInUseOrNoFlow',
    run: (gate) => exhaust(gate, (n) => [CALL.udp_bind, n, ...ANY, 0], 1000)[1],
    check: (code: number) => assert.ok([IN_USE, NO_FLOW].includes(code as never)),
  },
  {
    name: 'sendSpans_exhausted_isZeroBytesOrAgain',
    run: (gate, given) => {
      const flow = open(gate, given, given.deaf);
      const { offset } = gate.layout.memory;
      const [good, code] = exhaust(gate, () => [CALL.sendv, flow, 1, offset, 1], 100_000);
      return [good > 100, code === 0 || code === CODE.AGAIN];
    },
    expects: [true, true],
  },
  {
    name: 'aPeerThatReadsNothing_isSentMuch_holdsNobodyUp',
    run: (gate, given) => {
      const flows = Array.from({ length: 8 }, () => open(gate, given, given.deaf));
      const { offset } = gate.layout.memory;
      for (const flow of flows) gate.calls(many(CALL.sendv, flow, 1, offset, 65_536));
      sleep(50);
      return flows.length;
    },
    expects: 8,
  },
  {
    name: 'datagrams_toNobody_byTheThousand',
    run: (gate) => {
      const socket = gate.call(CALL.udp_bind, 1, ...ANY, 0);
      const send = [CALL.udp_sendv, socket, gate.layout.memory.offset, 1400, ...mapped(NOBODY), 9];
      return flood(gate, many(...send), 200) > 0;
    },
    expects: true,
  },
  {
    name: 'callsThatAreRefused_inEveryBatch_doNotStarveTheRest',
    run: (gate) => [distinct(gate.calls(many(99))), flood(gate, many(99), 200) > 0],
    expects: [[BAD_CALL], true],
  },
  {
    name: 'turns_askedForWithoutEnd_doNotStarveTheRest',
    run: (gate) => {
      for (const end = performance.now() + 200; performance.now() < end; ) {
        gate.hold();
        Atomics.store(gate.i32, gate.callHeader + GATE_AGAIN, 1);
        gate.give();
        gate.ring();
      }
      return gate.call(CALL.keepalive, 0, 0) < 0;
    },
    expects: true,
  },
  {
    name: 'everyPoolAtOnce_thenGivenBack',
    run: (gate, given) => {
      exhaust(gate, (n) => [CALL.timer, n, 60_000_000], 10_000);
      exhaust(gate, (n) => [CALL.udp_bind, n, ...ANY, 1000 + n], 1000);
      exhaust(gate, (n) => [CALL.listen, n, ...ANY, 1000 + n, 1, 0], 1000);
      exhaust(gate, silent(given), 40_000);
      const one = [
        [CALL.timer, 1, 1],
        [CALL.udp_bind, 1, ...ANY, 0],
        [CALL.connect, 1, ...mapped(NOBODY), 5],
      ];
      const results = gate.calls(one);
      return [results, gate.call(CALL.keepalive, 0, OK)];
    },
    expects: [[QUOTA, NO_FLOW, NO_FLOW], CODE.BAD_HANDLE],
  },
];
