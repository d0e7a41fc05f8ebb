/**
 * The elastic threads of one dataplane, in one isolate and under virtual time: a stack each, the
 * real table and hash, and the way between them. Frames come on whatever queue a test says.
 *
 * - `arrive` puts a frame on a queue; `settle` runs all threads until nobody has anything to do.
 * - What came of it is in `outcomes`, by thread: `heard` takes the datagrams that UDP's socket got,
 *   `errors` the ICMP errors that TCP was told of, flows are TCP's own.
 */
import assert from 'node:assert/strict';
import { carveSink, raiseStack, type Stacked } from '../../../src/dataplane/assembly.ts';
import { EVENT } from '../../../src/gate/abi.ts';
import type { EventSink } from '../../../src/gate/arrays.ts';
import { BATCH_MAX, DESCRIPTOR_WORDS } from '../../../src/limits.ts';
import { Handover, makeHandover } from '../../../src/nic/around/handover.ts';
import { Siblings } from '../../../src/nic/around/siblings.ts';
import { FlowGroups, type FlowGroupTable, spreadGroups } from '../../../src/nic/flow-groups.ts';
import { type Flow, groupOf, keyFrom } from '../../nic/flow-frames.ts';
import { makeEnvironment, type TestEnvironment } from '../harness.ts';
import { ipv6Choices } from '../packets6.ts';

/** Where every thread listens. */
export const PORT = 7;

export interface Thread {
  readonly env: TestEnvironment;
  readonly siblings: Siblings;
  readonly stack: Stacked['stack'];
  readonly sink: EventSink;
  /** Datagrams that its sockets were given, by the socket's cookie. */
  readonly heard: number[];
  /** Local port of each ICMP error that TCP was told of. */
  readonly errors: number[];
}

export class Threads {
  readonly table: FlowGroupTable;
  readonly all: Thread[];
  readonly #groups: FlowGroups;

  constructor(count: number, seed: number) {
    this.table = { key: keyFrom(seed), threads: spreadGroups(count) };
    this.#groups = new FlowGroups(this.table);
    const parts = makeHandover(count, false);
    this.all = Array.from({ length: count }, (_, thread) => {
      const { config: ipv6 } = ipv6Choices();
      const config = { ...ipv6, flowGroups: this.table, thread, threads: count };
      const env = makeEnvironment({ config, limits: { flows: 256 } });
      const { arena, frames, clock, counters, nic } = env;
      const handover = new Handover(parts, thread, arena);
      const tell = (frame: Uint8Array): void => {
        for (const [other, { siblings }] of this.all.entries()) {
          if (other !== thread) siblings.hear(frame);
        }
      };
      const siblings = new Siblings(nic, { arena, frames, clock, counters, handover, tell });
      const { stack } = raiseStack({ ...env, nic: siblings });
      const errors: number[] = [];
      stack.tcp.icmpError = (_type, _code, _local, port) => errors.push(port);
      return { env, siblings, stack, sink: carveSink(arena), heard: [], errors };
    });
    for (const { stack } of this.all) {
      assert.ok(stack.tcp.listen(1, 0, PORT, 128, 0) > 0);
      assert.ok(stack.udp.bind(0, PORT, 1) > 0);
    }
  }

  ownerOf(flow: Flow): number {
    return this.table.threads[groupOf(this.#groups, flow)]!;
  }

  arrive(queue: number, frame: Uint8Array): void {
    assert.ok(this.all[queue]!.env.nic.inject(frame), 'no receive frame');
  }

  settle(): void {
    while (this.all.map((thread) => turn(thread)).some((count) => count > 0));
  }

  /** Flows, datagrams and errors of each thread. */
  outcomes(): number[] {
    return this.all.map(
      ({ stack, heard, errors }) => stack.tcp.openFlows + heard.length + errors.length,
    );
  }

  counted(name: Parameters<TestEnvironment['counters']['get']>[0]): number {
    return this.all.reduce((sum, { env }) => sum + env.counters.get(name), 0);
  }

  close(): void {
    for (const { stack, env } of this.all) {
      stack.dropApplication();
      stack.close();
      assert.ok(env.frames.allHome(env.nic.receiveLent()), 'every frame is home');
    }
  }
}

/** One iteration; the application gives every frame back. -> frames that it received. */
function turn({ env, siblings, stack, sink, heard }: Thread): number {
  stack.advance();
  const count = siblings.receive(BATCH_MAX);
  for (let i = 0; i < count; i++) {
    stack.receive(siblings.rxOffsets[i]!, siblings.rxLengths[i]!);
  }
  sink.clear();
  stack.emit(sink);
  const { i32 } = env.arena;
  for (let i = 1; i <= sink.count; i++) {
    const at = sink.header + i * DESCRIPTOR_WORDS;
    if (i32[at] !== EVENT.udp_recv) continue;
    heard.push(i32[at + 2]!);
    stack.udp.recvDone(i32[at + 1]!, i32[at + 3]!);
  }
  stack.flush();
  return count;
}
