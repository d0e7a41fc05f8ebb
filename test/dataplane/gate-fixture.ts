/**
 * The dataplane's half of a gate for tests: stack, timers and call array, and calls by their words.
 */
import assert from 'node:assert/strict';
import { carveLayout, openGate, raiseStack } from '../../src/dataplane/assembly.ts';
import { Gate } from '../../src/dataplane/gate.ts';
import { CALL_RESULT } from '../../src/gate/abi.ts';
import { GATE_COUNT, GATE_HEADER_BYTES } from '../../src/gate/arrays.ts';
import { DESCRIPTOR_WORDS, limitsFor, type Quotas } from '../../src/limits.ts';
import { Egress, type EgressRange } from '../../src/net/both/egress.ts';
import type { NetConfig } from '../../src/net/both/environment.ts';
import { address, makeEnvironment } from '../net/harness.ts';

const MEMORY_BYTES = 65_536;

export function makeGate(
  given: Partial<Quotas> = {},
  net: Partial<NetConfig> = {},
  ranges?: readonly EgressRange[],
) {
  const { quotas } = limitsFor({ quotas: given });
  const egress = ranges && new Egress(ranges, 0x5eed);
  const made = makeEnvironment({
    config: { gateway: 0, ...net },
    limits: { quotas, applicationBytes: MEMORY_BYTES },
  });
  const stacked = raiseStack({ ...made, ...(egress && { egress }) });
  const { stack, timers } = stacked;
  const env = { ...stacked.env, nic: made.nic };
  const { arena, counters } = env;
  const layout = carveLayout(env);
  const { sink, gate } = openGate(stacked, layout);
  const { memory } = layout;
  const calls = layout.calls.offset;
  const { i32 } = arena;
  const header = calls >> 2;
  /** Makes the calls, returns their results. */
  const call = (...all: number[][]): number[] => {
    all.forEach((words, i) => {
      const w = ((calls + GATE_HEADER_BYTES) >> 2) + i * DESCRIPTOR_WORDS;
      i32.fill(0, w, w + DESCRIPTOR_WORDS);
      i32.set(words, w);
    });
    i32[header + GATE_COUNT] = all.length;
    gate.execute();
    return all.map(
      (_words, i) => i32[((calls + GATE_HEADER_BYTES) >> 2) + i * DESCRIPTOR_WORDS + CALL_RESULT]!,
    );
  };
  /** A word of call `index` of the last batch, as it stands now. */
  const wordOfCall = (index: number, word: number): number =>
    i32[((calls + GATE_HEADER_BYTES) >> 2) + index * DESCRIPTOR_WORDS + word]!;
  /** Frames arrive, and are run through the stack. */
  const deliver = (...arriving: Uint8Array[]): void => {
    for (const bytes of arriving) {
      assert.ok(env.nic.inject(bytes));
      env.nic.receive(1);
      stack.receive(env.nic.rxOffsets[0]!, env.nic.rxLengths[0]!);
    }
    stack.flush();
  };
  /**
   * Makes the calls by a gate of which every read is counted: words of the arena, and how often.
   */
  const countReads = (...all: number[][]): Map<string, number> => {
    const reads = new Map<string, number>();
    const watched = new Proxy(i32, {
      get: (target, name) => {
        reads.set(String(name), (reads.get(String(name)) ?? 0) + 1);
        return Reflect.get(target, name);
      },
      set: (target, name, value) => Reflect.set(target, name, value),
    });
    const seen = Object.create(arena, { i32: { value: watched } });
    const { ip, tcp, udp } = stack;
    const parts = { arena: seen, counters, ip, tcp, udp, timers, egress };
    const careful = new Gate(parts, calls, memory, quotas.calls);
    call(...all.map(() => [0])); // room for them
    all.forEach((words, i) => {
      i32.set(words, ((calls + GATE_HEADER_BYTES) >> 2) + i * DESCRIPTOR_WORDS);
    });
    i32[header + GATE_COUNT] = all.length;
    careful.execute();
    return reads;
  };
  return {
    deliver,
    env,
    stack,
    timers,
    gate,
    memory,
    header,
    i32,
    call,
    countReads,
    sink,
    wordOfCall,
  };
}

export const ANY = [0, 0, 0, 0];
export const mapped = (text: string) => [0, 0, 0xffff, address(text)];

/** The application is gone: everything must be home. */
export function closeGate(g: ReturnType<typeof makeGate>): void {
  g.stack.dropApplication();
  g.timers.cancelAll();
  for (let i = 0; i < 4; i++) {
    g.sink.clear();
    g.timers.emit(g.sink);
    g.stack.emit(g.sink);
    g.stack.flush();
  }
  g.stack.close();
  assert.ok(g.stack.tcp.allHome(), 'flows and spans are home');
  assert.equal(g.timers.active, 0);
  assert.ok(g.env.frames.allHome(g.env.nic.receiveLent()), 'frames are home');
}
