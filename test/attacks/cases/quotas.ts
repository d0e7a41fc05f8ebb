/**
 * Every quota used up: a defined answer, a line that names who wanted more, and everything back.
 * For a service with QUOTA.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { CALL, CALL_RESULT, CODE, EVENT, WORD } from '../../../src/gate/abi.ts';
import { FRAME_BYTES } from '../../../src/limits.ts';
import { ANY, type Case, distinct, mapped, type Observed, open, pause, sleep } from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';
import { FLOOD_MS, flood } from './exhaustion.ts';

export const QUOTA =
  'flows=100,listeners=8,udpSockets=8,timers=50,unackedBytes=65536,receiveFrames=64,calls=64,perSource=60';
const SOURCE_MAX = 60;

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

/** As many sockets as the quota allows, on ports of this many. */
const DATAGRAM_PORTS = 8;
const DATAGRAM_PORT = 900;
const FLOODED_PORT = 950;
const DATAGRAMS_MS = 1200;
const SOURCE_PORT = 970;
const SETTLE_MS = 300;

/** Datagrams for all of them, as long as the case runs: many more than may be held. */
async function sendDatagrams(address: string): Promise<void> {
  const socket = createSocket('udp4').on('error', () => {});
  for (const end = performance.now() + DATAGRAMS_MS; performance.now() < end; await sleepFor(10)) {
    for (let i = 0; i < DATAGRAM_PORTS; i++) socket.send('x', DATAGRAM_PORT + i, address);
  }
  socket.close();
}

/** As many connections from the host as are asked for; they stay for a while. */
const connectMany =
  (count: number) =>
  async (address: string): Promise<void> => {
    await sleepFor(SETTLE_MS); // The application has its own first.
    const sockets = Array.from({ length: count }, () =>
      connect(SOURCE_PORT, address).on('error', () => {}),
    );
    await sleepFor(SETTLE_MS);
    for (const socket of sockets) {
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
    }
  };

/** Connections that have come to a listener. Whose reset was lost is refused. */
function come(gate: HostileGate): number {
  const knocks = gate.events.filter(({ kind, cookie }) => kind === EVENT.knock && cookie === 98);
  gate.calls(knocks.map(({ handle }) => [CALL.reject, handle]));
  return knocks.length;
}

/** Datagrams that have come and were not given back; `ms` later. */
function heldAfter(gate: HostileGate, ms: number): number[][] {
  pause(gate, ms);
  const received = gate.events.filter(({ kind }) => kind === EVENT.udp_recv);
  gate.events = gate.events.filter(({ kind }) => kind !== EVENT.udp_recv);
  return received.map(({ handle, words }) => [CALL.udp_recv_done, handle, words[WORD.a]!]);
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
    name: 'quotaOfReceivedFrames_datagramsNeverGivenBack_noMoreComeUntilTheyAreAndNamed',
    run: (gate) => {
      for (let i = 0; i < DATAGRAM_PORTS; i++) {
        gate.call(CALL.udp_bind, 1, ...ANY, DATAGRAM_PORT + i);
      }
      const held = heldAfter(gate, 500);
      const more = heldAfter(gate, 200);
      const results = distinct(gate.calls(held));
      return [held.length, more.length, results, heldAfter(gate, 200).length > 0];
    },
    meanwhile: sendDatagrams,
    expects: [16, 0, [CODE.OK], true], // all UDP sockets together may have a quarter
    named: used('receiveFrames'),
    check: (_: never, { counters }: Observed) => {
      assert.ok(counters['quotaReceiveFrames']! > 0);
      assert.equal(counters['quotaReceiveFrames'], counters['udpQueueFull']);
    },
  },
  {
    name: 'quotaOfReceivedFrames_strangersWriteAndAreNotRead_windowsClose',
    run: (gate) => {
      const listener = gate.call(CALL.listen, 99, ...ANY, FLOODED_PORT, 64, 0);
      sleep(FLOOD_MS + 350);
      pause(gate, 100);
      // A reset beyond a closed window is no reset: whose was lost on the way is still here.
      const knocks = gate.events.filter(
        ({ kind, cookie }) => kind === EVENT.knock && cookie === 99,
      );
      gate.calls(knocks.map(({ handle }) => [CALL.reject, handle]));
      return listener > 0;
    },
    meanwhile: (address) => flood(address, FLOODED_PORT, 40),
    expects: true,
    check: (_: never, { counters }: Observed) => {
      assert.ok(counters['quotaReceiveFrames']! > 0);
      const most = 64 * FRAME_BYTES;
      assert.ok(counters['tcpBytesIn']! <= most, `${counters['tcpBytesIn']} bytes`);
    },
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
    name: 'quotaOfASource_connectionsOfTheApplicationItself_areNotItsPeers',
    run: (gate, given) => {
      gate.call(CALL.listen, 98, ...ANY, SOURCE_PORT, 64, 0);
      const own = Array.from({ length: SOURCE_MAX + 5 }, () => open(gate, given));
      pause(gate, 3 * SETTLE_MS);
      return [own.length, come(gate)];
    },
    meanwhile: connectMany(20),
    expects: [SOURCE_MAX + 5, 20],
    check: (_: never, { counters }: Observed) => assert.equal(counters['quotaPerSource'], 0),
  },
  {
    name: 'quotaOfASource_onePeerOpensMany_restAreDroppedAndPeersNamed',
    run: (gate) => {
      gate.call(CALL.listen, 98, ...ANY, SOURCE_PORT, 1000, 0);
      pause(gate, 3 * SETTLE_MS);
      return come(gate);
    },
    meanwhile: connectMany(SOURCE_MAX + 20),
    expects: SOURCE_MAX - 1, // with the one that asks
    named: used('perSource'),
    check: (_: never, { counters }: Observed) => assert.ok(counters['quotaPerSource']! >= 20),
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
