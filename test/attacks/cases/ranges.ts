/**
 * Offsets, lengths, counts, ports and addresses at and past every edge: refused, and nothing but
 * the application's bytes is sent.
 */
import assert from 'node:assert/strict';
import {
  CALL,
  CODE,
  EVENT,
  SENDV_DONE,
  SENDV_VECTOR,
  SENDV_VECTOR_MAX,
  WORD,
} from '../../../src/gate/abi.ts';
import { GATE_COUNT } from '../../../src/gate/arrays.ts';
import { CALLS_MAX } from '../../../src/limits.ts';
import { KEEPALIVE_COUNT_MAX, WAIT_MAX_MS } from '../../../src/tcp/constants.ts';
import {
  ANY,
  type Case,
  distinct,
  INT_MAX,
  INT_MIN,
  mapped,
  type Observed,
  open,
  pause,
} from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';

const { BAD_CALL, BAD_COUNT, BAD_RANGE, NO_ROUTE, IN_USE, OK, TOO_LONG } = CODE;

const sends = (
  gate: HostileGate,
  flow: number,
  pairs: readonly (readonly [number, number])[],
): number[] => gate.calls(pairs.map(([at, length]) => [CALL.sendv, flow, 1, at, length]));

/**
 * One datagram of a given size from itself: through the host is not needed, the stack refuses or
 * sends.
 */
const bind = (gate: HostileGate, port: number): number => gate.call(CALL.udp_bind, 1, ...ANY, port);

const sinkGot =
  (bytes: number, values: number[]) =>
  (_: never, { sink }: Observed) => {
    assert.deepEqual([sink.bytes, sink.values], [bytes, values]);
  };

export const cases: Case[] = [
  {
    name: 'sendv_acrossTheStartOfMemory_isBadRange',
    run: (gate, { flow }) => {
      const { offset } = gate.layout.memory;
      return distinct(
        sends(gate, flow, [
          [offset - 1, 1],
          [offset - 1, 2],
          [offset - 4096, 4097],
          [offset - 1, INT_MAX],
        ]),
      );
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'sendv_acrossTheEndOfMemory_isBadRange',
    run: (gate, { flow }) => {
      const { offset, bytes } = gate.layout.memory;
      const end = offset + bytes;
      return distinct(
        sends(gate, flow, [
          [end, 1],
          [end - 1, 2],
          [end - 4096, 4097],
          [offset, bytes + 1],
          [end + 1, 1],
        ]),
      );
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'sendv_lastByteOfMemory_isSent',
    run: (gate, given) => {
      const { offset, bytes } = gate.layout.memory;
      const flow = open(gate, given);
      gate.u8[offset + bytes - 1] = 0x5a;
      const sent = gate.call(CALL.sendv, flow, 1, offset + bytes - 1, 1);
      gate.until(EVENT.sent, flow);
      return sent;
    },
    expects: 1,
    check: sinkGot(1, [0x5a]),
  },
  {
    name: 'sendv_everyOtherSegment_isBadRange',
    run: (gate, { flow }) => {
      const { receivePool, events, calls, arenaBytes } = gate.layout;
      const places = [receivePool, events, calls].flatMap(({ offset, bytes }) => [
        offset,
        offset + bytes - 64,
      ]);
      return distinct(
        sends(
          gate,
          flow,
          [0, 64, 4096, arenaBytes - 64, ...places].map((at) => [at, 64]),
        ),
      );
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'sendv_everyMebibyteOfTheArenaButMemory_isBadRange',
    run: (gate, { flow }) => {
      const { arenaBytes, memory } = gate.layout;
      const places = Array.from({ length: arenaBytes >> 20 }, (_, i) => i << 20).filter(
        (at) => at + 16 <= memory.offset || at >= memory.offset + memory.bytes,
      );
      return [
        places.length > 30,
        distinct(
          sends(
            gate,
            flow,
            places.map((at) => [at, 16]),
          ),
        ),
      ];
    },
    expects: [true, [BAD_RANGE]],
  },
  {
    name: 'sendv_lengthsZeroAndNegative_areBadRange',
    run: (gate, { flow }) => {
      const { offset } = gate.layout.memory;
      return distinct(
        sends(
          gate,
          flow,
          [0, -1, -4096, INT_MIN, INT_MIN + 1].map((length) => [offset, length]),
        ),
      );
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'sendv_sumsThatWrap_areBadRange',
    run: (gate, { flow }) => {
      const { offset } = gate.layout.memory;
      const wrapping: [number, number][] = [
        ...([
          [offset, INT_MAX],
          [offset + 8, INT_MAX - 4],
          [INT_MAX, 1],
          [INT_MAX, INT_MAX],
        ] as const),
        ...([
          [INT_MIN, 4],
          [INT_MIN, INT_MIN],
          [-1, 1],
          [-offset, 2 * offset],
        ] as const),
      ].map(([at, length]) => [at, length]);
      return distinct(sends(gate, flow, wrapping));
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'sendv_spansThatOverlap_areSentAsAsked',
    run: (gate, given) => {
      const { offset } = gate.layout.memory;
      const flow = open(gate, given);
      gate.u8.fill(0x41, offset, offset + 4096);
      const spans = [offset, 4096, offset + 1, 4095, offset + 100, 3000, offset, 4096];
      const sent = gate.call(CALL.sendv, flow, 4, ...spans);
      for (let acknowledged = 0; acknowledged < sent; ) {
        acknowledged += gate.until(EVENT.sent, flow)?.words[WORD.a] ?? sent;
      }
      return sent;
    },
    expects: 15_287,
    check: sinkGot(15_287, [0x41]),
  },
  {
    name: 'sendv_goodSpanThenBad_goodPrefixOnly',
    run: (gate, given) => {
      const { offset, bytes } = gate.layout.memory;
      const flow = open(gate, given);
      gate.u8.fill(0x42, offset, offset + 64);
      const sent = gate.call(CALL.sendv, flow, 3, offset, 64, offset + bytes, 64, offset, 64);
      gate.until(EVENT.sent, flow);
      pause(gate, 20);
      return sent;
    },
    expects: 64,
    check: sinkGot(64, [0x42]),
  },
  {
    name: 'sendv_spanCountsOutOfRange_areBadCall',
    run: (gate, { flow }) => {
      const { offset } = gate.layout.memory;
      const counts = [0, -1, 5, 16, 254, 256, INT_MAX, INT_MIN];
      return distinct(gate.calls(counts.map((count) => [CALL.sendv, flow, count, offset, 1])));
    },
    expects: [BAD_CALL],
  },
  {
    name: 'sendvVector_outsideMemoryOrUnaligned_isBadRange',
    run: (gate, { flow }) => {
      const { memory, receivePool, events } = gate.layout;
      const end = memory.offset + memory.bytes;
      const places = [
        ...[memory.offset - 8, memory.offset + 2, end - 8, end, receivePool.offset, events.offset],
        ...[0, 1, -8, INT_MAX - 7, INT_MIN],
      ];
      return distinct(gate.calls(places.map((at) => [CALL.sendv, flow, SENDV_VECTOR, at, 2])));
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'sendvVector_countsOutOfRange_areBadCall',
    run: (gate, { flow }) => {
      const { offset } = gate.layout.memory;
      const counts = [0, -1, SENDV_VECTOR_MAX + 1, 1 << 29, INT_MAX, INT_MIN];
      return distinct(gate.calls(counts.map((n) => [CALL.sendv, flow, SENDV_VECTOR, offset, n])));
    },
    expects: [BAD_CALL],
  },
  {
    name: 'sendvVector_pairsThatPointAnywhere_nothingIsSent',
    run: (gate, given) => {
      const { memory, receivePool } = gate.layout;
      const flow = open(gate, given);
      const pairs = [receivePool.offset, 64, 0, 4096, -1, -1, INT_MAX, INT_MAX];
      return pairs.map((_, i) => {
        gate.i32.set([...pairs.slice(i), ...pairs.slice(0, i)], memory.offset >> 2);
        return gate.call(CALL.sendv, flow, SENDV_VECTOR, memory.offset, 4);
      });
    },
    expects: Array(8).fill(BAD_RANGE),
    check: sinkGot(0, []),
  },
  {
    name: 'recvDone_moreThanWasReceived_isBadCount',
    run: (gate, { flow }) =>
      gate.calls([1, 2, -1, INT_MAX, INT_MIN].map((bytes) => [CALL.recv_done, flow, bytes])),
    expects: Array(5).fill(BAD_COUNT),
  },
  {
    name: 'sendvThatConsumes_moreThanWasReceived_isBadCountAndSendsNothing',
    run: (gate, given) => {
      const flow = open(gate, given);
      const consuming = (bytes: number): number[] => {
        const words = [CALL.sendv, flow, 1, gate.layout.memory.offset, 64];
        words[SENDV_DONE] = bytes;
        return Array.from(words, (word) => word ?? 0);
      };
      return gate.calls([1, -1, INT_MAX, INT_MIN].map(consuming));
    },
    expects: Array(4).fill(BAD_COUNT),
    check: sinkGot(0, []),
  },
  {
    name: 'udpSend_rangesOutsideMemory_areBadRangeOrTooLong',
    run: (gate, { host }) => {
      const { memory, receivePool } = gate.layout;
      const socket = bind(gate, 510);
      const end = memory.offset + memory.bytes;
      const bad = [
        [memory.offset - 1, 8], [end - 4, 8], [end, 1], [receivePool.offset, 8], [0, 8],
        [memory.offset, -1], [memory.offset, INT_MAX], [INT_MAX, INT_MAX], [INT_MIN, 1],
      ]; // biome-ignore format: a table
      const send = ([at = 0, n = 0]: number[]) => [
        CALL.udp_sendv,
        socket,
        at,
        n,
        ...mapped(host),
        9,
      ];
      return [distinct(gate.calls(bad.map(send))), gate.call(...send([memory.offset, 65_508]))];
    },
    expects: [[BAD_RANGE], TOO_LONG],
  },
  {
    name: 'udpRecvDone_offsetsThatAreNotHeld_areBadRange',
    run: (gate) => {
      const { memory, receivePool } = gate.layout;
      const socket = bind(gate, 511);
      const end = receivePool.offset + receivePool.bytes;
      const places = [
        ...[receivePool.offset, receivePool.offset + 7, end - 1, end, receivePool.offset - 1],
        ...[memory.offset, 0, -1, INT_MAX, INT_MIN],
      ];
      return distinct(gate.calls(places.map((at) => [CALL.udp_recv_done, socket, at])));
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'udpRecvDone_everyFrameOfThePool_noneIsGivenAway',
    run: (gate) => {
      const { receivePool } = gate.layout;
      const socket = bind(gate, 512);
      const calls: number[][] = [];
      for (let at = 0; at < receivePool.bytes; at += 2048) {
        calls.push([CALL.udp_recv_done, socket, receivePool.offset + at + 256 + 42]);
      }
      return distinct(gate.calls(calls));
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'ports_outOfRange_areBadRange',
    run: (gate, { host }) => {
      const ports = [65_536, -1, INT_MAX, INT_MIN];
      const listens = ports.map((port) => [CALL.listen, 1, ...ANY, port, 16, 0]);
      const binds = ports.map((port) => [CALL.udp_bind, 1, ...ANY, port]);
      const connects = [0, 80 << 16, INT_MIN].map((word) => [
        CALL.connect,
        1,
        ...mapped(host),
        word,
      ]);
      return distinct(gate.calls([...listens, ...binds, ...connects]));
    },
    expects: [BAD_RANGE],
  },
  {
    name: 'ports_ofOthers_areInUse',
    run: (gate) => {
      const listen = gate.call(CALL.listen, 1, ...ANY, 7, 16, 0);
      return [listen, bind(gate, 513) > 0, bind(gate, 513)];
    },
    expects: [IN_USE, true, IN_USE],
  },
  {
    name: 'addresses_thatNobodyMayUse_areNoRoute',
    run: (gate) => {
      const words = [ANY, [0, 0, 0, 1], [1, 0, 0xffff, 1], [0, 0, 0xfffe, 5], [-1, -1, -1, -1]];
      const texts = [
        '8.8.8.8',
        '0.0.0.0',
        '255.255.255.255',
        '224.0.0.1',
        '10.77.0.255',
        '127.0.0.1',
      ];
      return distinct(
        gate.calls([...words, ...texts.map(mapped)].map((each) => [CALL.connect, 1, ...each, 80])),
      );
    },
    expects: [NO_ROUTE],
  },
  {
    name: 'addresses_thatAreNotOurs_cannotBeListenedOn',
    run: (gate) =>
      distinct(
        gate.calls(
          ['10.77.0.2', '10.77.0.3', '10.77.0.1', '127.0.0.1', '255.255.255.255'].flatMap(
            (text) => [
              [CALL.listen, 1, ...mapped(text), 520, 16, 0],
              [CALL.udp_bind, 1, ...mapped(text), 520],
            ],
          ),
        ),
      ),
    expects: [NO_ROUTE],
  },
  {
    name: 'listen_unknownFlags_areBadCall',
    run: (gate) =>
      distinct(
        gate.calls([2, 3, -1, INT_MIN, 1 << 30].map((f) => [CALL.listen, 1, ...ANY, 521, 16, f])),
      ),
    expects: [BAD_CALL],
  },
  {
    name: 'listen_anyBacklog_isCutOrRefused',
    run: (gate) =>
      gate
        .calls([0, -1, INT_MIN, INT_MAX].map((n, i) => [CALL.listen, 1, ...ANY, 530 + i, n, 0]))
        .every((result) => result > 0 || result === BAD_RANGE),
    expects: true,
  },
  {
    name: 'timesNegative_areBadRange',
    run: (gate, { flow }) =>
      gate.calls([
        ...[-1, INT_MIN].map((us) => [CALL.timer, 1, us]),
        ...[-1, INT_MIN].map((ms) => [CALL.keepalive, flow, ms]),
        ...[-1, INT_MIN].map((ms) => [CALL.user_timeout, flow, ms]),
      ]),
    expects: Array(6).fill(BAD_RANGE),
  },
  {
    name: 'keepalive_intervalsAndCountsOutOfRange_areBadRange',
    run: (gate, given) => {
      const flow = open(gate, given);
      const rests = [
        ...[-1, INT_MIN, WAIT_MAX_MS + 1, INT_MAX].map((interval) => [interval, 3]),
        ...[-1, INT_MIN, KEEPALIVE_COUNT_MAX + 1, 256, 1 << 24, INT_MAX].map((n) => [10, n]),
      ];
      const refused = distinct(
        gate.calls(rests.map((rest) => [CALL.keepalive, flow, 10, ...rest])),
      );
      pause(gate, 100); // as nothing was taken, nobody is asked, and nobody gives up
      return [refused, gate.call(CALL.keepalive, flow, 10, WAIT_MAX_MS, KEEPALIVE_COUNT_MAX)];
    },
    expects: [[BAD_RANGE], OK],
  },
  {
    name: 'keepalive_everyMillisecondOnManyFlows_nobodyDiesAndNobodyWaits',
    run: (gate, given) => {
      const flows = Array.from({ length: 64 }, () => open(gate, given));
      // Linux answers such probes of one connection every 500 ms (tcp_invalid_ratelimit): with an
      // interval of 1 ms their count would be up before, and living peers be given up.
      gate.calls(flows.map((flow) => [CALL.keepalive, flow, 1, 5, KEEPALIVE_COUNT_MAX]));
      pause(gate, 2 * 5 * KEEPALIVE_COUNT_MAX); // who has not answered is given up by now
      return distinct(gate.calls(flows.map((flow) => [CALL.keepalive, flow, 0, 0, 0])));
    },
    expects: [OK],
    check: (_: never, { host }: Observed) => assert.ok(host['TcpInSegs']! > 128),
  },
  {
    name: 'marking_hopsAndCodePointsOutOfRange_areBadRange',
    run: (gate, given) => {
      const flow = open(gate, given);
      const bad = [
        ...[-1, 256, 1 << 16, INT_MAX, INT_MIN].map((hops) => [hops, 0]),
        ...[-1, 64, 255, INT_MAX, INT_MIN].map((codePoint) => [64, codePoint]),
      ];
      const refused = distinct(gate.calls(bad.map((words) => [CALL.marking, flow, ...words])));
      const sent = gate.call(CALL.sendv, flow, 1, gate.layout.memory.offset, 64);
      return [refused, sent, gate.until(EVENT.sent, flow) !== undefined];
    },
    expects: [[BAD_RANGE], 64, true],
    check: (_: never, { sink, host }: Observed) => {
      assert.equal(sink.bytes, 64);
      assert.equal(host['IpInHdrErrors'], 0);
    },
  },
  {
    name: 'timesAtTheEdge_areTaken',
    run: (gate, { flow }) => {
      const [timer = 0, alive, never] = gate.calls([
        [CALL.timer, 1, INT_MAX], [CALL.keepalive, flow, INT_MAX], [CALL.keepalive, flow, 0],
      ]); // biome-ignore format: a table
      return [timer > 0, alive, never];
    },
    expects: [true, OK, OK],
  },
  {
    name: 'calls_thatDoNotExist_areBadCall',
    run: (gate) => {
      const after = Math.max(...Object.values(CALL)) + 1;
      const kinds = [0, after, after + 1, 255, 1024, -1, INT_MAX, INT_MIN];
      return distinct(gate.calls(kinds.map((kind) => [kind, 1, 2, 3])));
    },
    expects: [BAD_CALL],
  },
  {
    name: 'count_thatLies_isCutAndCounted',
    run: (gate) => {
      for (const count of [-1, INT_MIN, CALLS_MAX + 1, INT_MAX]) {
        gate.hold();
        gate.write(Array.from({ length: CALLS_MAX }, () => [0]));
        gate.submit(count);
      }
      return gate.i32[gate.callHeader + GATE_COUNT];
    },
    expects: 0,
    check: (_: never, { counters }) => {
      assert.equal(counters['gateBadCount'], 4);
      assert.ok(counters['calls']! >= 2 * CALLS_MAX);
    },
  },
];
