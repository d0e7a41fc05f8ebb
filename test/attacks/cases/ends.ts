/**
 * Ends: in the middle of a batch, by every way there is, with connections open. Everything comes
 * back, the next start serves.
 */
import { fileURLToPath } from 'node:url';
import { callNumber } from '../../../src/confine/seccomp-numbers.ts';
import { CALL, EVENT } from '../../../src/gate/abi.ts';
import { GATE_AGAIN, GATE_COUNT, GATE_DONE } from '../../../src/gate/arrays.ts';
import { sys } from '../../../src/native/sys.ts';
import { ANY, type Case, type Given, mapped, open } from '../case.ts';
import type { HostileGate } from '../hostile/gate.ts';
import { raced } from '../hostile/racer.ts';

/** At once: no destructor, no handler, nothing flushed. */
const vanish = (code = 42): number => sys.syscall(callNumber('exit_group'), code);

/** Sixty-four calls that open things, written but not handed over. */
function prepare(gate: HostileGate, { host, sink }: Given): void {
  gate.hold();
  const kinds = [
    [CALL.connect, 1, ...mapped(host), sink],
    [CALL.timer, 1, 60_000_000],
    [CALL.udp_bind, 1, ...ANY, 0],
  ];
  gate.write(Array.from({ length: 64 }, (_, i) => kinds[i % 3]!));
}

/** One of everything: connections, bytes on the way, a listener, sockets, timers. */
function possess(gate: HostileGate, given: Given): void {
  const { offset } = gate.layout.memory;
  for (let i = 0; i < 4; i++) {
    const flow = open(gate, given, i % 2 === 0 ? given.sink : given.deaf);
    gate.calls(Array.from({ length: 16 }, () => [CALL.sendv, flow, 1, offset, 65_536]));
  }
  gate.calls(Array.from({ length: 200 }, () => [CALL.timer, 1, 60_000_000]));
  gate.calls(Array.from({ length: 32 }, () => [CALL.udp_bind, 1, ...ANY, 0]));
  gate.calls(Array.from({ length: 8 }, (_, i) => [CALL.listen, 1, ...ANY, 700 + i, 16, 0]));
}

const NAMED = { cause: 'exit', exitCode: 42 } as const;

const HOSTILE = fileURLToPath(new URL('../hostile/application.ts', import.meta.url));

export const cases: Case[] = [
  { name: 'end_insideItsTurn', run: (gate) => [gate.hold(), vanish()], ends: NAMED },
  {
    name: 'end_descriptorsWrittenCountNot',
    run: (gate, given) => [prepare(gate, given), vanish()],
    ends: NAMED,
  },
  {
    name: 'end_countWrittenTurnNotOver',
    run: (gate, given) => {
      prepare(gate, given);
      gate.i32[gate.callHeader + GATE_COUNT] = 64;
      vanish();
    },
    ends: NAMED,
  },
  {
    name: 'end_turnOverNobodyWoken',
    run: (gate, given) => {
      prepare(gate, given);
      gate.i32[gate.callHeader + GATE_COUNT] = 64;
      Atomics.add(gate.i32, gate.callHeader + GATE_DONE, 1);
      vanish();
    },
    ends: NAMED,
  },
  {
    name: 'end_whileItsBatchIsMade',
    run: (gate, given) => {
      prepare(gate, given);
      gate.i32[gate.callHeader + GATE_COUNT] = 64;
      Atomics.store(gate.i32, gate.callHeader + GATE_AGAIN, 1);
      gate.give();
      vanish();
    },
    ends: NAMED,
  },
  {
    name: 'end_withHalfADescriptor',
    run: (gate, given) => {
      prepare(gate, given);
      gate.i32.fill(-1, gate.callAt(32) + 3, gate.callAt(64));
      gate.i32[gate.callHeader + GATE_COUNT] = 64;
      Atomics.add(gate.i32, gate.callHeader + GATE_DONE, 1);
      vanish();
    },
    ends: NAMED,
  },
  {
    name: 'end_withOneOfEverything_allComesBack',
    run: (gate, given) => [possess(gate, given), vanish()],
    ends: NAMED,
  },
  {
    name: 'end_whileAnotherThreadWritesTheHeader',
    run: (gate) => {
      const writes = [GATE_COUNT, GATE_AGAIN, GATE_DONE].map((word) => {
        return { word: gate.callHeader + word, values: [1, 64, 513, -1, 0] };
      });
      return raced(gate, writes, () => [gate.hold(), vanish()]);
    },
    ends: NAMED,
  },
  {
    name: 'end_withFramesNotGivenBack',
    // The bytes of its next command are never done with: it leaves while they are held.
    run: (gate, { flow }) => {
      gate.until(EVENT.recv, flow, 20);
      return vanish();
    },
    ends: NAMED,
  },
  {
    name: 'end_byExitCodeZero',
    run: () => vanish(0),
    ends: { cause: 'exit', exitCode: 0 },
  },
  {
    name: 'end_byException',
    run: () => {
      throw new RangeError('thrown on purpose');
    },
    ends: {
      cause: 'failure',
      message: `${HOSTILE} failed to start: RangeError: thrown on purpose`,
    },
  },
];
