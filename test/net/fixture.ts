/**
 * A whole stack on a WireNic, with a TCP that only takes notes: for tests of everything below TCP.
 *
 * - `deliver` runs frames through the driver and the stack; `sent` takes what came out.
 * - `close` ends a test: sockets and held frames are given back, and every frame must be home.
 */
import assert from 'node:assert/strict';
import { COUNTER_NAMES, type CounterName } from '../../src/counters.ts';
import { carveSink } from '../../src/dataplane/assembly.ts';
import { Stack, type TcpAbove } from '../../src/dataplane/stack.ts';
import type { EventSink } from '../../src/gate/arrays.ts';
import { DESCRIPTOR_WORDS } from '../../src/limits.ts';
import { FREE_FRAME, KEEP_FRAME } from '../../src/net/both/environment.ts';
import {
  type EnvironmentChoices,
  makeEnvironment,
  passTime,
  type TestEnvironment,
} from './harness.ts';
import { arp } from './packets.ts';

export class NotingTcp implements TcpAbove {
  /** [frame, ip, segment, bytes, source, destination] of every segment. */
  segments: number[][] = [];
  /** Arguments of every icmpError. */
  errors: number[][] = [];
  expired: number[] = [];
  failed: number[] = [];
  flushes = 0;
  /** Off: nothing is noted (for tests that measure allocation). */
  isNoting = true;
  answer = FREE_FRAME;

  input(
    frame: number,
    ip: number,
    segment: number,
    bytes: number,
    source: number,
    destination: number,
  ): number {
    if (this.isNoting) this.segments.push([frame, ip, segment, bytes, source, destination]);
    return this.answer;
  }

  icmpError(...fields: [number, number, number, number, number, number, number, number]): void {
    this.errors.push(fields);
  }

  neighbourFailed(neighbour: number, _isIpv6: boolean): void {
    this.failed.push(neighbour);
  }

  expire(flow: number): void {
    this.expired.push(flow);
  }

  flush(): void {
    this.flushes++;
  }

  emit(_sink: EventSink): void {}
  dropApplication(): void {}

  hasOutput(): boolean {
    return false;
  }

  hasEvents(): boolean {
    return false;
  }
}

export class Fixture {
  readonly env: TestEnvironment;
  readonly tcp = new NotingTcp();
  readonly stack: Stack<NotingTcp>;
  readonly sink: EventSink;
  readonly timers: number[] = [];
  #snapshot: Record<CounterName, number>;

  constructor(choices: EnvironmentChoices = {}) {
    this.env = makeEnvironment(choices);
    this.stack = new Stack(
      this.env,
      (index) => this.timers.push(index),
      () => this.tcp,
    );
    this.sink = carveSink(this.env.arena);
    this.#snapshot = this.env.counters.snapshot();
  }

  /** Frames arrive and are run to completion. */
  deliver(...frames: Uint8Array[]): void {
    const { nic } = this.env;
    for (const frame of frames) {
      nic.inject(frame);
      const count = nic.receive(1);
      for (let i = 0; i < count; i++) this.stack.receive(nic.rxOffsets[i]!, nic.rxLengths[i]!);
    }
  }

  sent(): Uint8Array[] {
    return this.env.nic.takeSent();
  }

  pass(ms: number): void {
    passTime(this.env, ms * 1000);
    this.stack.advance();
  }

  /** The host asks for our address, so that its own is known; what we answered is thrown away. */
  meetHost(): void {
    this.deliver(arp());
    this.sent();
  }

  /** Counters that moved since the last call, by how much. */
  counted(): Partial<Record<CounterName, number>> {
    const now = this.env.counters.snapshot();
    const moved: Partial<Record<CounterName, number>> = {};
    for (const name of COUNTER_NAMES) {
      if (now[name] !== this.#snapshot[name]) moved[name] = now[name] - this.#snapshot[name];
    }
    this.#snapshot = now;
    return moved;
  }

  /** Event descriptors of one emit, as arrays of words. */
  events(): number[][] {
    this.sink.clear();
    this.stack.emit(this.sink);
    const first = (this.sink.header + 16) | 0;
    return Array.from({ length: this.sink.count }, (_, i) => {
      const at = first + i * DESCRIPTOR_WORDS;
      return Array.from(this.env.arena.i32.subarray(at, at + DESCRIPTOR_WORDS));
    });
  }

  close(): void {
    for (const [frame] of this.tcp.answer === KEEP_FRAME ? this.tcp.segments : []) {
      this.env.frames.free(frame!);
    }
    this.stack.close();
    assert.ok(this.env.frames.allHome(this.env.nic.receiveLent()), 'every frame is home');
  }
}
