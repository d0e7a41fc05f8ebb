/**
 * Builds one elastic thread from its configuration: an arena, all storeys of assembly.ts, the
 * driver, the way to the application, and what runs it.
 *
 * - Called in the thread that will run it; everything it makes belongs to that thread.
 * - Each elastic thread has an arena of its own: nothing is shared between threads but what they
 *   exchange explicitly.
 * - What the application may see is four segments (`Layout`). In domain inline it sees them because
 *   it is here; for domain process `back` puts a memfd under each of them before it is used.
 * - `close` takes every frame home and says whether all pools are full again.
 */
import { randomBytes } from 'node:crypto';
import { getHeapStatistics } from 'node:v8';
import { Arena, type Segment } from '../arena/arena.ts';
import type { Frames } from '../arena/frames.ts';
import type { IdlePolicy, ThreadState } from '../child/config.ts';
import type { Counters } from '../counters.ts';
import type { Layout, Side, SideParts } from '../domain/domain.ts';
import { arenaBytesFor, type Limits, limitsFor } from '../limits.ts';
import { Egress, type EgressRange } from '../net/both/egress.ts';
import type { Environment, NetConfig } from '../net/both/environment.ts';
import type { Nic } from '../nic/nic.ts';
import { HOLD_ACK_US } from '../tcp/constants.ts';
import type { TcpOptions } from '../tcp/tcp.ts';
import {
  carveLayout,
  type Ground,
  layGround,
  openElasticThread,
  openGate,
  raiseStack,
} from './assembly.ts';
import type { ElasticThread } from './elastic-thread.ts';
import type { Gate } from './gate.ts';
import { Nap } from './nap.ts';
import { Runner } from './runner.ts';
import type { Stack } from './stack.ts';
import { Stalls } from './stalls.ts';
import type { ApplicationTimers } from './timers.ts';

/** What the driver's maker gets. */
export type NicParts = Omit<Ground, 'wheel'>;

export interface ThreadOptions<S extends Side> {
  limits?: Parameters<typeof limitsFor>[0];
  net: Omit<NetConfig, 'secret0' | 'secret1' | 'wireKey'>;
  policy: IdlePolicy;
  tcp?: Pick<TcpOptions, 'congestion' | 'ecn' | 'keepaliveMs'>;
  openNic(parts: NicParts): Nic;
  openSide(parts: SideParts): S;
  /** Puts shared memory under a segment, before its first use. */
  back?(segment: Segment, arena: Arena): void;
  /** Maps the statistics segment, if somebody wants to read it. */
  shareCounters?(counters: Counters): void;
  failed(error: unknown): void;
  batchMax?: number;
  /** Iterations further apart are kept (stalls.ts); absent: none. */
  stallUs?: number;
  /** Whom the application may speak to first; absent: everybody. */
  egress?: readonly EgressRange[];
}

export interface DataplaneThread<S extends Side> {
  readonly arena: Arena;
  readonly limits: Limits;
  readonly layout: Layout;
  readonly frames: Frames;
  readonly counters: Counters;
  readonly nic: Nic;
  readonly stack: Stack;
  readonly timers: ApplicationTimers;
  readonly gate: Gate;
  readonly side: S;
  readonly thread: ElasticThread;
  readonly runner: Runner;
  /**
   * The application is gone: its listeners, sockets and timers end, everything it held comes back.
   * Its flows are reset; with `isGraceful` those that have lost nothing are closed (tcp/calls.ts).
   */
  dropApplication(isGraceful?: boolean): void;
  /** What is held now, for tests and the soak. */
  state(): ThreadState;
  /** Stops the loop and closes the driver; true when every frame came home. */
  close(): boolean;
}

const secretWord = (): number => randomBytes(4).readInt32LE();

/** What nobody outside may know: it keys the tables, and what leaves the machine (RFC 6528). */
const makeSecrets = (): Pick<NetConfig, 'secret0' | 'secret1' | 'wireKey'> => ({
  secret0: secretWord(),
  secret1: secretWord(),
  wireKey: [secretWord(), secretWord(), secretWord(), secretWord()],
});

export function openThread<S extends Side>(options: ThreadOptions<S>): DataplaneThread<S> {
  const limits = limitsFor(options.limits);
  const arena = new Arena(arenaBytesFor(limits));
  arena.bindNative();
  arena.preferHugePages();
  const back = (segment: Segment): void => options.back?.(segment, arena);
  const ground = layGround(arena, limits, back);
  const { frames, counters, wheel } = ground;
  options.shareCounters?.(counters); // nothing has counted yet
  const layout = carveLayout(ground, back);
  const nic = options.openNic(ground);
  const config: NetConfig = { ...options.net, ...makeSecrets() };
  const egress = options.egress && new Egress(options.egress, secretWord());
  const env: Environment = { ...ground, nic, config, ...(egress && { egress }) };
  const stacked = raiseStack(env, { ...options.tcp, holdAckUs: HOLD_ACK_US });
  const { stack, timers } = stacked;
  const opened = openGate(stacked, layout);
  const { gate } = opened;
  let wake = (): void => {};
  let yields = (_on: boolean): void => {};
  const side = options.openSide({
    ...{ arena, layout, limits },
    askTurn: () => gate.askTurn(),
    wake: () => wake(),
    yields: (on) => yields(on),
  });
  const { batchMax } = options;
  const choices = batchMax === undefined ? {} : { batchMax };
  const thread = openElasticThread(stacked, opened, side.domain, choices);
  const { policy, failed } = options;
  const { doorbell } = side;
  const bell = doorbell === undefined ? {} : { doorbell };
  const nap = new Nap(arena, nic.fds, doorbell?.fd);
  const restUs = side.restUs && (() => side.restUs!());
  const stalls = options.stallUs === undefined ? undefined : new Stalls(options.stallUs);
  stalls?.observe(thread.readClock());
  const parts = { thread, nic, wheel, counters, policy, nap, restUs, stalls, failed };
  const runner = new Runner({ ...parts, ...bell });
  wake = () => runner.wake();
  yields = (on) => {
    runner.yields = on;
  };
  const close = (): boolean => {
    runner.stop();
    stalls?.close();
    stack.close();
    const lent = nic.receiveLent();
    nic.close();
    return frames.allHome() || frames.allHome(lent);
  };
  const dropApplication = (isGraceful = false): void => {
    side.leave?.();
    thread.readClock();
    stack.dropApplication(isGraceful);
    timers.cancelAll();
    thread.drain();
    if (isGraceful) runner.wake(); // what was closed has timers that its sleep does not know of
  };
  return {
    ...{ arena, limits, layout, frames, counters, nic, stack, timers, gate, side, thread, runner },
    dropApplication,
    state: () => ({
      ...stateOf(frames, nic, stack, timers),
      ...(stalls && { stalls: stalls.list() }),
    }),
    close,
  };
}

function stateOf(frames: Frames, nic: Nic, stack: Stack, timers: ApplicationTimers): ThreadState {
  nic.reclaim();
  return {
    flows: stack.tcp.openFlows,
    timers: timers.active,
    receiveHeld: frames.receiveCount - frames.receiveFree - nic.receiveLent(),
    transmitHeld: frames.transmitCount - frames.transmitFree,
    allocatedBytes: getHeapStatistics().total_allocated_bytes,
    kernelDrops: { ...nic.kernelDrops?.() },
  };
}
