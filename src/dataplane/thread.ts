/**
 * Builds one elastic thread from its configuration: arena, pools, driver, stack, gate, and the application's side.
 *
 * - Called in the thread that will run it; everything it makes belongs to that thread.
 * - Each elastic thread has an arena of its own: nothing is shared between threads but what they exchange explicitly.
 * - `close` takes every frame home and says whether all pools are full again.
 */
import { randomBytes } from 'node:crypto';
import { Arena } from '../arena/arena.ts';
import { Frames } from '../arena/frames.ts';
import { Wheel } from '../arena/wheel.ts';
import { Counters } from '../counters.ts';
import { Ix, type IxHooks } from '../libix/ix.ts';
import { arenaBytesFor, type Limits, limitsFor } from '../limits.ts';
import { Clock, type Environment, type NetConfig, timerRanges } from '../net/environment.ts';
import { Stack } from '../net/stack.ts';
import type { Nic } from '../nic/nic.ts';
import type { IdlePolicy } from './config.ts';
import { ElasticThread } from './elastic-thread.ts';
import { EVENT_ARRAY_BYTES, EventSink } from './events.ts';
import { CALL_ARRAY_BYTES, Gate } from './gate.ts';
import { InlineDomain } from './inline-domain.ts';
import { Runner } from './runner.ts';
import { ApplicationTimers } from './timers.ts';

/** What the driver's maker gets. */
export interface NicParts {
  arena: Arena;
  frames: Frames;
  counters: Counters;
  clock: Clock;
  limits: Limits;
}

export interface ThreadOptions {
  thread: number;
  limits?: Parameters<typeof limitsFor>[0];
  net: Pick<NetConfig, 'address' | 'prefixLength' | 'gateway'>;
  policy: IdlePolicy;
  openNic(parts: NicParts): Nic;
  hooks: Pick<IxHooks, 'report' | 'stop'>;
  /** Maps the statistics segment, if somebody wants to read it. */
  shareCounters?(counters: Counters): void;
  failed(error: unknown): void;
  batchMax?: number;
}

export interface DataplaneThread {
  readonly arena: Arena;
  readonly frames: Frames;
  readonly counters: Counters;
  readonly nic: Nic;
  readonly stack: Stack;
  readonly ix: Ix;
  readonly thread: ElasticThread;
  readonly runner: Runner;
  /** Stops the loop and closes the driver; true when every frame came home. */
  close(): boolean;
}

/** Ipv4 addresses never leave this many bits of secret: two words for keyed hashes (RFC 6528). */
const secretWord = (): number => randomBytes(4).readInt32LE();

export function openThread(options: ThreadOptions): DataplaneThread {
  const limits = limitsFor(options.limits);
  const arena = new Arena(arenaBytesFor(limits));
  arena.bindNative();
  const counters = new Counters(arena);
  options.shareCounters?.(counters);
  const frames = new Frames(arena, limits.receiveFrames, limits.transmitFrames);
  const ranges = timerRanges(limits);
  const wheel = new Wheel(arena, ranges.count);
  const clock = new Clock();
  const nic = options.openNic({ arena, frames, counters, clock, limits });
  const config: NetConfig = { ...options.net, secret0: secretWord(), secret1: secretWord() };
  const env: Environment = { arena, frames, nic, wheel, clock, counters, limits, config };
  const timers = new ApplicationTimers(arena, wheel, clock, limits.timers, ranges.application);
  const stack = new Stack(env, (index) => timers.expired(index));

  const eventArray = arena.carve('gate events', EVENT_ARRAY_BYTES);
  const callArray = arena.carve('gate calls', CALL_ARRAY_BYTES);
  const applicationMemory = arena.carve('application memory', limits.applicationBytes);
  const sink = new EventSink(arena, eventArray);
  const gate = new Gate(
    { arena, counters, tcp: stack.tcp, udp: stack.udp, timers },
    callArray,
    applicationMemory,
    applicationMemory + limits.applicationBytes,
  );
  let wake = (): void => {};
  const ix = new Ix({
    arena,
    eventArray,
    callArray,
    applicationMemory,
    applicationBytes: limits.applicationBytes,
    thread: options.thread,
    sizes: sessionSizesFor(limits),
    hooks: { ...options.hooks, wake: () => wake() },
  });
  const domain = new InlineDomain(ix);
  const thread = new ElasticThread({
    arena,
    counters,
    clock,
    nic,
    stack,
    sink,
    gate,
    timers,
    domain,
    ...(options.batchMax === undefined ? {} : { batchMax: options.batchMax }),
  });
  const { policy, failed } = options;
  const runner = new Runner({ thread, nic, wheel, counters, policy, failed });
  wake = () => {
    gate.askTurn();
    runner.wake();
  };
  const close = (): boolean => {
    runner.stop();
    stack.close();
    const lent = nic.framesLent();
    nic.close();
    return frames.allHome() || frames.allHome(lent);
  };
  return { arena, frames, counters, nic, stack, ix, thread, runner, close };
}

/** libix's own pools: in proportion to the flows, within an eighth of application memory. */
function sessionSizesFor(limits: Limits) {
  const eighth = limits.applicationBytes / 8;
  return {
    spans: Math.max(16_384, limits.flows * 4),
    sendBlocks: Math.max(64, Math.min(limits.flows * 2, Math.floor(eighth / 2048))),
    gatherBlocks: Math.max(16, Math.min(limits.flows, Math.floor(eighth / 2 / 8192))),
  };
}
