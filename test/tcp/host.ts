/**
 * A host for TCP tests: a whole stack on a WireNic, application memory, the loop's turn by hand.
 *
 * - `turn` runs one iteration as the elastic thread does: timers, frames, events to `onEvent`,
 *   calls made there, flush.
 * - Application memory holds a pattern of PATTERN_BYTES (a prime), so that any stretch of a stream
 *   can be sent without a copy and checked by its position: stream byte i is pattern[i %
 *   PATTERN_BYTES].
 * - `close` ends a test: flows die, time passes, and every pool must be full again.
 */
import assert from 'node:assert/strict';
import { COUNTER_NAMES, type CounterName } from '../../src/counters.ts';
import { carveSink, raiseStack } from '../../src/dataplane/assembly.ts';
import type { Stack } from '../../src/dataplane/stack.ts';
import { EVENT } from '../../src/gate/abi.ts';
import type { EventSink } from '../../src/gate/arrays.ts';
import { DESCRIPTOR_WORDS } from '../../src/limits.ts';
import type { Nic } from '../../src/nic/nic.ts';
import type { EcnOption } from '../../src/tcp/ecn.ts';
import type { Offer } from '../../src/tcp/open.ts';
import { STATE, TCB } from '../../src/tcp/tcb.ts';
import type { CongestionName, Tcp } from '../../src/tcp/tcp.ts';
import {
  address,
  type EnvironmentChoices,
  makeEnvironment,
  passTime,
  type TestEnvironment,
} from '../net/harness.ts';

export const PATTERN_BYTES = 65_521;
/** Enough behind one period that a span may begin anywhere. */
const PATTERN_TAIL = 65_536;

export interface Event {
  kind: number;
  handle: number;
  cookie: number;
  /** Words 3 and up. */
  words: number[];
}

const KIND_NAMES = Object.fromEntries(Object.entries(EVENT).map(([name, kind]) => [kind, name]));
export const nameOf = (event: Event): string => KIND_NAMES[event.kind] ?? `kind ${event.kind}`;

export class Host {
  readonly env: TestEnvironment;
  /** `env.nic`, or what a test has put around it. */
  readonly #nic: Nic;
  readonly stack: Stack;
  readonly tcp: Tcp;
  readonly sink: EventSink;
  readonly address: number;
  /** Offset of the pattern. */
  readonly pattern: number;
  /** Everything that was emitted, when nobody handles it. */
  events: Event[] = [];
  onEvent: ((event: Event) => void) | null = null;
  /**
   * Handles whose `dead` is in the batch that is being handled: calls for them are answered
   * BAD_HANDLE already.
   */
  readonly dying = new Set<number>();
  #snapshot: Record<CounterName, number>;

  constructor(
    choices: EnvironmentChoices = {},
    timeWaitUs?: number,
    congestion: CongestionName = 'cubic',
    ecn?: EcnOption,
    offer: Offer & { holdAckUs?: number } = {},
    around: (env: TestEnvironment) => Nic = ({ nic }) => nic,
  ) {
    this.env = makeEnvironment(choices);
    this.#nic = around(this.env);
    this.address = this.env.config.address;
    this.stack = raiseStack(
      { ...this.env, nic: this.#nic },
      {
        congestion,
        ...(timeWaitUs === undefined ? {} : { timeWaitUs }),
        ...(ecn === undefined ? {} : { ecn }),
        ...offer,
      },
    ).stack;
    this.tcp = this.stack.tcp;
    const { arena } = this.env;
    this.sink = carveSink(arena);
    this.pattern = arena.carve('application', PATTERN_BYTES + PATTERN_TAIL);
    for (let i = 0; i < PATTERN_BYTES + PATTERN_TAIL; i++) {
      arena.u8[this.pattern + i] = patternByte(i);
    }
    this.#snapshot = this.env.counters.snapshot();
  }

  /** Frames that wait are run through the stack, at most a batch. */
  receive(): number {
    const nic = this.#nic;
    const count = nic.receive(64);
    for (let i = 0; i < count; i++) this.stack.receive(nic.rxOffsets[i]!, nic.rxLengths[i]!);
    return count;
  }

  /** Emits; the events go to `onEvent`, or into `events`. */
  emit(): Event[] {
    const { i32 } = this.env.arena;
    this.sink.clear();
    this.stack.emit(this.sink);
    const first = this.sink.header + DESCRIPTOR_WORDS;
    const events: Event[] = [];
    for (let i = 0; i < this.sink.count; i++) {
      const at = first + i * DESCRIPTOR_WORDS;
      const words = Array.from(i32.subarray(at + 3, at + DESCRIPTOR_WORDS));
      const event = { kind: i32[at]!, handle: i32[at + 1]!, cookie: i32[at + 2]!, words };
      events.push(event);
      // What recv says of acknowledged bytes is told like any other.
      const isBoth = event.kind === EVENT.recv && words[2] !== 0;
      if (isBoth) events.push({ ...event, kind: EVENT.sent, words: words.slice(2) });
    }
    this.dying.clear();
    for (const event of events) if (event.kind === EVENT.dead) this.dying.add(event.handle);
    for (const event of events) {
      if (this.onEvent === null) this.events.push(event);
      else this.onEvent(event);
    }
    return events;
  }

  /** One iteration. Returns whether anything happened. */
  turn(): boolean {
    this.stack.advance();
    const frames = this.receive();
    const events = this.emit();
    this.stack.flush();
    return frames + events.length > 0 || this.tcp.hasOutput();
  }

  pass(ms: number): void {
    passTime(this.env, ms * 1000);
  }

  /** Events since the last call. */
  takeEvents(): Event[] {
    const events = this.events;
    this.events = [];
    return events;
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

  count(name: CounterName): number {
    return this.env.counters.get(name);
  }

  /** A field of the flow behind a live handle. */
  field(handle: number, name: keyof typeof TCB): number {
    const row = this.tcp.flows.resolve(handle);
    assert.notEqual(row, 0, 'the handle is live');
    return this.env.arena.i32[row + TCB[name]]!;
  }

  stateOf(handle: number): string {
    const state = this.field(handle, 'state');
    return Object.entries(STATE).find(([, value]) => value === state)![0];
  }

  /** Offset of stream byte `position`. */
  at(position: number): number {
    return this.pattern + (position % PATTERN_BYTES);
  }

  /** Everything ends: all flows are aborted, TIME-WAIT passes, every pool must be full. */
  close(): void {
    this.onEvent = null;
    const { flows } = this.tcp;
    for (let turn = 0; turn < 2; turn++) {
      for (let flow = 0; flow < flows.count; flow++) {
        const row = flows.row(flow);
        const state = this.env.arena.i32[row + TCB.state]!;
        if (state === STATE.closed || state === STATE.timeWait) continue;
        const handle = flows.handle(row);
        if (this.tcp.abort(handle) !== 0) this.tcp.reject(handle);
      }
      for (let i = 0; i < 8; i++) this.turn();
    }
    this.env.nic.close();
    for (let minute = 0; minute < 12 && !this.tcp.allHome(); minute++) {
      this.pass(30_000);
      for (let i = 0; i < 4; i++) this.turn();
      this.env.nic.close();
    }
    this.stack.close();
    assert.ok(this.tcp.allHome(), 'every flow and span is home');
    assert.ok(this.env.frames.allHome(this.env.nic.receiveLent()), 'every frame is home');
    assert.equal(this.env.frames.held, 0, 'no held frame is counted');
  }
}

const patternByte = (i: number): number => {
  const at = i % PATTERN_BYTES;
  return (Math.imul(at, 0x9e3779b1) >>> 24) ^ (at & 0xff);
};

/** Whether `length` bytes at `offset` are the stream from `position` on. */
export function isStream(host: Host, offset: number, length: number, position: number): boolean {
  const { u8 } = host.env.arena;
  let at = host.at(position);
  for (let i = 0; i < length; i++, at++) {
    if (at === host.pattern + PATTERN_BYTES) at = host.pattern;
    if (u8[offset + i] !== u8[at]) return false;
  }
  return true;
}

export const HOST_A = address('10.77.0.2');
export const HOST_B = address('10.77.0.3');
