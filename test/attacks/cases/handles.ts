/**
 * Forged, stale and foreign handles, and calls in the wrong state: each gets its code, and what is
 * live stays alive.
 */
import { CALL, CODE, EVENT, LISTEN_KNOCK_AT_SYN } from '../../../src/gate/abi.ts';
import { ANY, type Case, distinct, INT_MAX, INT_MIN, mapped, open } from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';

const { BAD_HANDLE, BAD_STATE, OK } = CODE;
const ON_FLOWS = [
  CALL.accept, CALL.reject, CALL.sendv, CALL.recv_done, CALL.close, CALL.abort, CALL.shutdown,
  CALL.keepalive, CALL.user_timeout, CALL.marking,
]; // biome-ignore format: a table
const ON_OTHERS = [
  CALL.unlisten,
  CALL.udp_sendv,
  CALL.udp_recv_done,
  CALL.udp_close,
  CALL.timer_cancel,
];

/** A call of each kind that is right in everything but its handle. */
function withHandle(gate: HostileGate, kinds: readonly number[], handle: number): number[][] {
  const { offset } = gate.layout.memory;
  return kinds.map((kind) => {
    if (kind === CALL.sendv) return [kind, handle, 1, offset, 4];
    if (kind === CALL.udp_sendv) return [kind, handle, offset, 4, ...mapped('10.77.0.1'), 9];
    return [kind, handle, 0];
  });
}

const results = (
  gate: HostileGate,
  kinds: readonly number[],
  handles: Iterable<number>,
): number[] =>
  distinct(gate.calls([...handles].flatMap((handle) => withHandle(gate, kinds, handle))));

const INDEXES = 1 << 20;
const listenOn = (gate: HostileGate, port: number, flags = 0): number =>
  gate.call(CALL.listen, 50, ...ANY, port, 16, flags);

export const cases: Case[] = [
  {
    name: 'handles_neverIssued_areBadHandle',
    run: (gate) =>
      results(
        gate,
        [...ON_FLOWS, ...ON_OTHERS],
        [0, -1, 1, INDEXES - 1, INT_MAX, INT_MIN, INT_MIN + 1],
      ),
    expects: [BAD_HANDLE],
  },
  {
    name: 'handles_everyGenerationOfALiveFlow_onlyItsOwnIsGood',
    run: (gate, given) => {
      const flow = open(gate, given);
      const index = flow & (INDEXES - 1);
      const others = Array.from({ length: 2048 }, (_, g) => (g * INDEXES) | index);
      const refused = results(
        gate,
        [CALL.abort],
        others.filter((each) => each !== flow),
      );
      return [refused, gate.call(CALL.abort, flow)];
    },
    expects: [[BAD_HANDLE], OK],
  },
  {
    name: 'handles_everyIndexOfThreeGenerations_onlyOnesOwnAnswer',
    run: (gate, { flow }) => {
      const live: number[] = [];
      for (let generation = 1; generation <= 3; generation++) {
        const calls = Array.from({ length: 16_384 }, (_, i) => [
          CALL.recv_done,
          generation * INDEXES + i,
          -1,
        ]);
        gate.calls(calls).forEach((result, i) => {
          if (result !== BAD_HANDLE) live.push(generation * INDEXES + i);
        });
      }
      return live.filter((handle) => handle !== flow);
    },
    expects: [],
  },
  {
    name: 'handles_beyondTheTable_areBadHandle',
    run: (gate) =>
      results(
        gate,
        ON_FLOWS,
        [16_384, 16_385, 65_536, INDEXES - 1].map((i) => INDEXES + i),
      ),
    expects: [BAD_HANDLE],
  },
  {
    name: 'handle_ofADeadFlow_isBadHandleForEveryCall',
    run: (gate, given) => {
      const flow = open(gate, given);
      gate.call(CALL.abort, flow);
      gate.until(EVENT.dead, flow);
      return results(gate, ON_FLOWS, [flow]);
    },
    expects: [BAD_HANDLE],
  },
  {
    name: 'handle_ofADeadFlow_doesNotReachItsSuccessor',
    run: (gate, given) => {
      const old = open(gate, given);
      gate.call(CALL.abort, old);
      gate.until(EVENT.dead, old);
      const index = old & (INDEXES - 1);
      let flow = open(gate, given);
      for (let i = 0; (flow & (INDEXES - 1)) !== index && i < 64; i++) flow = open(gate, given);
      const refused = results(gate, ON_FLOWS, [old]);
      const sent = gate.call(CALL.sendv, flow, 1, gate.layout.memory.offset, 4);
      return [(flow & (INDEXES - 1)) === index, refused, sent];
    },
    expects: [true, [BAD_HANDLE], 4],
  },
  {
    name: 'handles_ofOtherKinds_areBadHandle',
    run: (gate) => {
      const handles = [
        listenOn(gate, 500),
        gate.call(CALL.udp_bind, 1, ...ANY, 500),
        gate.call(CALL.timer, 1, 60_000_000),
      ];
      // Their indexes may be those of live flows: so beyond what is there.
      const beyond = handles.map((handle) => handle + (900 << 20));
      return [handles.every((h) => h > 0), results(gate, [...ON_FLOWS, ...ON_OTHERS], beyond)];
    },
    expects: [true, [BAD_HANDLE]],
  },
  {
    name: 'flow_acceptedOrRejectedAgain_isBadState',
    run: (gate, { flow }) => [gate.call(CALL.accept, flow, 7), gate.call(CALL.reject, flow)],
    expects: [BAD_STATE, BAD_STATE],
  },
  {
    name: 'ownConnect_accepted_isBadState',
    run: (gate, given) => {
      const flow = gate.call(CALL.connect, 1, ...mapped(given.host), given.sink);
      return [gate.call(CALL.accept, flow, 7), gate.call(CALL.reject, flow)];
    },
    expects: [BAD_STATE, BAD_STATE],
  },
  {
    name: 'knockAtSyn_usedBeforeAccept_isBadState',
    run: (gate, { flow }) => {
      // Nobody knocks: that the listener is there with the flag, and gone with `unlisten`, is all.
      const listener = listenOn(gate, 501, LISTEN_KNOCK_AT_SYN);
      return [listener > 0, gate.call(CALL.unlisten, listener), gate.call(CALL.recv_done, flow, 0)];
    },
    expects: [true, OK, OK],
  },
  {
    name: 'flow_usedAfterShutdown_isBadState',
    run: (gate, given) => {
      const flow = open(gate, given, given.deaf);
      const first = gate.call(CALL.shutdown, flow);
      const { offset } = gate.layout.memory;
      return [first, gate.call(CALL.shutdown, flow), gate.call(CALL.sendv, flow, 1, offset, 4)];
    },
    expects: [OK, BAD_STATE, BAD_STATE],
  },
  {
    name: 'flow_closedTwiceInOneBatch_secondIsBadState',
    run: (gate, given) => {
      const flow = open(gate, given, given.deaf);
      return gate.calls([
        [CALL.close, flow],
        [CALL.close, flow],
        [CALL.shutdown, flow],
      ]);
    },
    expects: [OK, BAD_STATE, BAD_STATE],
  },
  {
    name: 'flow_abortedInTheBatchThatUsesIt_restIsRefused',
    run: (gate, given) => {
      const flow = open(gate, given);
      const { offset } = gate.layout.memory;
      const send = [CALL.sendv, flow, 1, offset, 64];
      return gate.calls([send, [CALL.abort, flow], send, [CALL.recv_done, flow, 1]]);
    },
    expects: [64, OK, BAD_STATE, CODE.BAD_COUNT],
  },
  {
    name: 'listener_closedTwice_isBadHandle',
    run: (gate) => {
      const listener = listenOn(gate, 502);
      return gate.calls([
        [CALL.unlisten, listener],
        [CALL.unlisten, listener],
      ]);
    },
    expects: [OK, BAD_HANDLE],
  },
  {
    name: 'timer_cancelledTwiceOrFired_isBadHandle',
    run: (gate) => {
      const [one = 0, two = 0] = gate.calls([
        [CALL.timer, 1, 60_000_000],
        [CALL.timer, 2, 0],
      ]);
      const fired = gate.until(EVENT.timer, two)?.cookie;
      return [fired, gate.calls([one, one, two].map((each) => [CALL.timer_cancel, each]))];
    },
    expects: [2, [OK, BAD_HANDLE, BAD_HANDLE]],
  },
  {
    name: 'udpSocket_usedAfterClose_isBadHandle',
    run: (gate, { host }) => {
      const socket = gate.call(CALL.udp_bind, 1, ...ANY, 503);
      const send = [CALL.udp_sendv, socket, gate.layout.memory.offset, 4, ...mapped(host), 9];
      return gate.calls([[CALL.udp_close, socket], send, [CALL.udp_close, socket]]);
    },
    expects: [OK, BAD_HANDLE, BAD_HANDLE],
  },
];
