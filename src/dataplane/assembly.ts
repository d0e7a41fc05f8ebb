/**
 * How a dataplane is put together, storey by storey: each function builds one on what is below it.
 *
 * - Whoever needs less than a whole one stops at a lower storey. Nothing is wired elsewhere, so
 *   what the simulator, the benchmarks and the tests run is wired as what serves.
 * - What differs is given: memory, driver, configuration, TCP's options, the time, and the
 *   application's side.
 * - Everything comes out of one arena, which whoever calls has made.
 *
 * Called by thread.ts, sim/host.ts, bench/goodput/simulated.ts, and by tests (test/net/harness.ts,
 * test/tcp/host.ts, test/dataplane/gate-fixture.ts). Read first: docs/ARCHITECTURE.md.
 */
import type { Arena, Segment } from '../arena/arena.ts';
import { Clock } from '../arena/clock.ts';
import { Frames } from '../arena/frames.ts';
import { Wheel } from '../arena/wheel.ts';
import { Counters } from '../counters.ts';
import type { Domain, Layout } from '../domain/domain.ts';
import { addressesWord, EVENT_ARRAY_BYTES, EventSink } from '../gate/arrays.ts';
import { CALLS_MAX, type Limits } from '../limits.ts';
import { type Environment, timerRanges } from '../net/both/environment.ts';
import { Tcp, type TcpOptions } from '../tcp/tcp.ts';
import { ElasticThread, type ElasticThreadParts } from './elastic-thread.ts';
import { CALL_ARRAY_BYTES, Gate } from './gate.ts';
import { Stack } from './stack.ts';
import { ApplicationTimers } from './timers.ts';

/** Puts shared memory under a segment, before its first use. */
export type Back = (segment: Segment) => void;

/** What a driver and a stack stand on. */
export type Ground = Omit<Environment, 'nic' | 'config' | 'egress'>;

export function layGround(arena: Arena, limits: Limits, back?: Back): Ground {
  const counters = new Counters(arena);
  const frames = new Frames(arena, limits.receiveFrames, limits.transmitFrames, back);
  const wheel = new Wheel(arena, timerRanges(limits).count);
  return { arena, limits, counters, frames, wheel, clock: new Clock() };
}

/** The stack with our TCP in it, and the application's timers, which share its wheel. */
export interface Stacked {
  readonly env: Environment;
  readonly timers: ApplicationTimers;
  readonly stack: Stack;
}

/** `env`: a ground, the driver on it, and the configuration. */
export function raiseStack(env: Environment, tcp: TcpOptions = {}): Stacked {
  const timers = new ApplicationTimers(env, timerRanges(env.limits).application);
  const stack = new Stack(
    env,
    (index) => timers.expired(index),
    (above, ip) => new Tcp(above, ip, tcp),
  );
  return { env, timers, stack };
}

/** The four segments that an application sees: the receive pool, and three new ones. */
export function carveLayout({ arena, frames, limits }: Ground, back?: Back): Layout {
  const carve = (name: string, bytes: number): Segment => {
    const size = Math.ceil(bytes / 4096) * 4096;
    const segment = { name, offset: arena.carve(name, size), bytes: size };
    back?.(segment);
    return segment;
  };
  return {
    arenaBytes: arena.bytes,
    receivePool: frames.receivePool,
    events: carve('events', EVENT_ARRAY_BYTES),
    calls: carve('calls', CALL_ARRAY_BYTES),
    memory: carve('memory', limits.applicationBytes),
  };
}

/** For who asks what the stack has to tell, and makes its calls without a gate. */
export const carveSink = (arena: Arena): EventSink =>
  new EventSink(arena, arena.carve('events', EVENT_ARRAY_BYTES));

/** The dataplane's half of a gate: what it writes events into, and what executes calls. */
export interface OpenGate {
  readonly sink: EventSink;
  readonly gate: Gate;
}

export function openGate({ env, timers, stack }: Stacked, layout: Layout): OpenGate {
  const { arena, counters, egress, limits } = env;
  const { ip, tcp, udp } = stack;
  const sink = new EventSink(arena, layout.events.offset);
  sink.announceCalls(Math.min(CALLS_MAX, limits.quotas.calls));
  stack.discovery.onAddresses = () => ip.v6.addresses.show(addressesWord(layout.events.offset));
  const parts = { arena, counters, ip, tcp, udp, timers, egress };
  return { sink, gate: new Gate(parts, layout.calls.offset, layout.memory, limits.quotas.calls) };
}

/** `choices`: another clock than the kernel's, another bound of a batch. */
export function openElasticThread(
  { env, timers, stack }: Stacked,
  { sink, gate }: OpenGate,
  domain: Domain,
  choices: Pick<ElasticThreadParts, 'readTime' | 'batchMax'> = {},
): ElasticThread {
  const { arena, counters, clock, nic } = env;
  return new ElasticThread({
    ...{ arena, counters, clock, nic, stack, sink, gate, timers, domain },
    ...choices,
  });
}
