/** Every quota used up: a defined answer, a line that names who wanted more, and everything back. For a service with QUOTA. */
import assert from 'node:assert/strict';
import { CALL, CALL_RESULT, CODE } from '../../../src/abi.ts';
import { ANY, type Case, distinct, mapped, type Observed, open } from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';

export const QUOTA =
  'flows=100,listeners=8,udpSockets=8,timers=50,unackedBytes=65536,receiveFrames=64,calls=64';

const used = (quota: string) => [{ event: 'quota', quota } as never];

/** Repeats a call; how many were good, and the other answers. */
function times(
  gate: HostileGate,
  count: number,
  make: (n: number) => number[],
): [number, number[]] {
  const results = gate.calls(Array.from({ length: count }, (_, i) => make(i)));
  return [results.filter((result) => result > 0).length, distinct(results.filter((r) => r <= 0))];
}

export const cases: Case[] = [
  {
    name: 'quotaOfFlows_usedUp_isQuotaAndNamed',
    run: (gate, { host, mute }) => times(gate, 500, () => [CALL.connect, 1, ...mapped(host), mute]),
    expects: [99, [CODE.QUOTA]], // with the one that asks
    named: used('flows'),
  },
  {
    name: 'quotaOfListeners_usedUp_isQuotaAndNamed',
    run: (gate) => times(gate, 100, (i) => [CALL.listen, 1, ...ANY, 800 + i, 16, 0]),
    expects: [7, [CODE.QUOTA]],
    named: used('listeners'),
  },
  {
    name: 'quotaOfUdpSockets_usedUp_isQuotaAndNamed',
    run: (gate) => times(gate, 100, () => [CALL.udp_bind, 1, ...ANY, 0]),
    expects: [8, [CODE.QUOTA]],
    named: used('udpSockets'),
  },
  {
    name: 'quotaOfTimers_usedUp_isQuotaAndNamed',
    run: (gate) => times(gate, 500, () => [CALL.timer, 1, 60_000_000]),
    expects: [50, [CODE.QUOTA]],
    named: used('timers'),
  },
  {
    name: 'quotaOfUnacknowledgedBytes_usedUp_isFewerBytesAndNamed',
    run: (gate, given) => {
      const flows = Array.from({ length: 8 }, () => open(gate, given, given.deaf));
      const { offset } = gate.layout.memory;
      const ask = (flow: number) => [CALL.sendv, flow, 1, offset, 1_000_000];
      const taken = gate.calls(flows.map(ask)).filter((bytes) => bytes > 0);
      return [taken.length > 0, taken.reduce((sum, bytes) => sum + bytes, 0) <= 65_536];
    },
    expects: [true, true],
    named: used('unackedBytes'),
  },
  {
    name: 'quotaOfCalls_moreInABatch_areNotMadeAndNamed',
    run: (gate) => {
      gate.hold();
      gate.write(Array.from({ length: 512 }, () => [CALL.recv_done, 0, 0]));
      gate.submit(512);
      const results = Array.from(
        { length: 512 },
        (_, i) => gate.i32[gate.callAt(i) + CALL_RESULT]!,
      );
      return [distinct(results.slice(0, 64)), distinct(results.slice(64))];
    },
    expects: [[CODE.BAD_HANDLE], [CODE.QUOTA]],
    named: used('calls'),
    check: (_: never, { counters }: Observed) => assert.equal(counters['quotaCalls'], 448),
  },
  {
    name: 'quotas_allUsedUpAgain_nothingIsSaidAgainSoSoon',
    run: (gate, { host, mute }) => [
      times(gate, 200, () => [CALL.timer, 1, 60_000_000]),
      times(gate, 200, () => [CALL.connect, 1, ...mapped(host), mute]),
    ],
    expects: [
      [50, [CODE.QUOTA]],
      [99, [CODE.QUOTA]],
    ],
  },
];
