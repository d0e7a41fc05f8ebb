/**
 * Never returning, or returning late: the dataplane goes on without the application, its control
 * plane says so, and in the end kills and restarts it. For a service that is told to wait
 * HANG_SECONDS.
 */
import { CALL, CODE } from '../../../src/gate/abi.ts';
import {
  GATE_AWAY,
  GATE_COUNT,
  GATE_TURN,
  GATE_WAITING,
  WAITING,
} from '../../../src/gate/arrays.ts';
import { type Case, mapped, open, sleep } from '../case.ts';
import { raced } from '../hostile/racer.ts';

/**
 * A hang is reported after one second, looked for every half: so that every hang is reported before
 * it is the last.
 */
export const HANG_SECONDS = 2.6;

const HUNG = { cause: 'hang' } as const;
const FOR_EVER_MS = 600_000;

export const cases: Case[] = [
  {
    name: 'hang_spinningInItsTurn_killedAndNamed',
    run: (gate) => {
      gate.hold();
      for (;;);
    },
    ends: HUNG,
  },
  {
    name: 'hang_everythingOpenBatchWrittenTurnNeverOver_killedAndNamed',
    run: (gate, given) => {
      const { offset } = gate.layout.memory;
      for (let i = 0; i < 8; i++)
        gate.call(CALL.sendv, open(gate, given, given.deaf), 1, offset, 65_536);
      gate.calls(Array.from({ length: 100 }, (_, i) => [CALL.timer, i, 50_000 * i]));
      gate.hold();
      const connect = [CALL.connect, 1, ...mapped(given.host), given.sink];
      gate.write(Array.from({ length: 64 }, () => connect));
      gate.i32[gate.callHeader + GATE_COUNT] = 64;
      sleep(FOR_EVER_MS);
    },
    ends: HUNG,
  },
  {
    name: 'late_inEveryTurn_isWaitedForNoLongerThanTheWatchdogSays',
    run: (gate) => {
      let wasAway = 0;
      for (let i = 0; i < 10; i++) {
        gate.hold();
        sleep(15);
        wasAway += gate.i32[gate.eventHeader + GATE_AWAY]!;
        gate.give();
      }
      return [wasAway, gate.call(0)];
    },
    expects: [10, CODE.BAD_CALL],
  },
  {
    name: 'late_forLongerThanASecond_namedAndForgiven',
    run: (gate) => {
      gate.hold();
      sleep(2050);
      gate.give();
      return gate.call(0);
    },
    expects: CODE.BAD_CALL,
    named: [{ event: 'hanging' }],
  },
  {
    name: 'late_butPretendingToBePunctual_turnsStayItsOwn',
    run: (gate) => {
      // Another thread says "done" all the time, while the calls are being written.
      const word = gate.eventHeader + GATE_TURN;
      const turn = gate.i32[word]!;
      const values = Array.from({ length: 64 }, (_, i) => turn + i);
      return raced(gate, [{ word: gate.callHeader + 2, values }], () => {
        for (const end = performance.now() + 100; performance.now() < end; ) {
          gate.write([[CALL.timer, 1, 1], [99], [CALL.recv_done, -1, -1]]);
          gate.i32[gate.callHeader + GATE_COUNT] = 3;
          gate.ring();
        }
        return true;
      });
    },
    expects: true,
  },
  {
    name: 'absent_thoughItIsThere_peersAreAnsweredByTheDataplane',
    run: (gate) => {
      gate.hold();
      gate.give();
      Atomics.store(gate.i32, gate.callHeader + GATE_WAITING, WAITING.absent);
      sleep(300);
      return gate.call(0);
    },
    expects: CODE.BAD_CALL,
  },
];
