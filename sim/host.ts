/**
 * One simulated host: a whole dataplane under virtual time, with its application inline
 * (src/domain/inline.ts).
 *
 * - Runs `ElasticThread.turn` as the runner does: again while there is work, then when a frame
 *   arrives, a timer of the wheel is due, or the application wants a turn. A turn takes `turnUs`,
 *   so frames gather into batches; `pause` is a collector or a scheduler that takes longer.
 * - Its clock starts anywhere, often shortly before one of its wraps.
 */
import type { Clock } from '../src/arena/clock.ts';
import {
  carveLayout,
  layGround,
  openElasticThread,
  openGate,
  raiseStack,
} from '../src/dataplane/assembly.ts';
import type { ElasticThread } from '../src/dataplane/elastic-thread.ts';
import type { Gate } from '../src/dataplane/gate.ts';
import type { Stack } from '../src/dataplane/stack.ts';
import type { ApplicationTimers } from '../src/dataplane/timers.ts';
import type { Layout } from '../src/domain/domain.ts';
import { InlineDomain, type InlineSide, openInlineSide } from '../src/domain/inline.ts';
import { GATE_AGAIN } from '../src/gate/arrays.ts';
import type { Ix } from '../src/libix/ix.ts';
import type { Limits } from '../src/limits.ts';
import type { Environment, NetConfig } from '../src/net/both/environment.ts';
import type { EcnOption } from '../src/tcp/ecn.ts';
import type { CongestionName } from '../src/tcp/tcp.ts';
import { addressOf, ipv6ConfigOf, macOf, PREFIX_LENGTH, wireKeyOf } from './address.ts';
import type { Endpoint } from './endpoint.ts';
import type { Memories } from './memories.ts';
import type { Network } from './network.ts';
import type { Schedule } from './schedule.ts';
import { SimNic } from './sim-nic.ts';
import { Violation } from './violation.ts';
import { WindowRules } from './window-rules.ts';

export interface HostPlan {
  /** Whether the application uses libix, or TCP's calls directly. */
  kind: 'raw' | 'ix';
  /** Its flows go over IPv6. */
  isIpv6: boolean;
  mtu: number;
  /** The host's monotonic clock at the start, microseconds. */
  startUs: number;
  turnUs: number;
  txRing: number;
  rxRing: number;
  secret0: number;
  secret1: number;
  limits: Limits;
  congestion?: CongestionName;
  ecn?: EcnOption;
  holdAckUs?: number;
  /** TCP options that it does not know. */
  lacks?: { sack?: false; timestamps?: false; windowScale?: false };
}

/** What runs on a host. */
export interface Application {
  /**
   * The raw application's turn: events are published, calls go to `host.stack.tcp`. Not called on
   * an Ix host.
   */
  enter(): void;
  listen(port: number, backlog: number): void;
  /** An endpoint of this host will act out its plan. */
  add(e: Endpoint): void;
  /** Aborts it: nobody is there any more. */
  giveUp(e: Endpoint): void;
}

export interface HostParts {
  index: number;
  plan: HostPlan;
  schedule: Schedule;
  network: Network;
  memories: Memories;
  pattern: Buffer;
}

/** Arena beyond frames and application memory: flows, tables, wheel, gate, reassembly. */
const SMALL_BYTES = 2 * 2 ** 20;
const SPINS_MAX = 3000;
const DEEDS = ['rxFrames', 'txFrames', 'events', 'calls', 'tcpTimeouts'] as const;
const UNTIL_MAX_US = 60_000_000;
/**
 * libix's pools: few, so that connections must share them; but without a gather block a connection
 * is reset.
 */
const IX_SIZES = { spans: 1024, sendBlocks: 96, gatherBlocks: 128 };
const IX_BYTES = 3 * 2 ** 19;

const configOf = (index: number, plan: HostPlan): NetConfig => ({
  address: addressOf(index),
  prefixLength: PREFIX_LENGTH,
  gateway: 0,
  secret0: plan.secret0,
  secret1: plan.secret1,
  wireKey: wireKeyOf(plan.secret0, plan.secret1),
  ...(plan.isIpv6 && { ipv6: ipv6ConfigOf(index) }),
});

export class Host {
  readonly index: number;
  readonly plan: HostPlan;
  readonly env: Environment;
  readonly nic: SimNic;
  readonly stack: Stack;
  readonly timers: ApplicationTimers;
  readonly ix: Ix | null;
  /** The whole arena, for `compare`. */
  readonly memory: Buffer;
  /** Offset of the pattern in application memory. */
  readonly pattern: number;
  /** Word index of the event array. */
  readonly events: number;
  application!: Application;
  isAlive = true;
  /** Time of the next turn. */
  turnAt = 0;
  turns = 0;
  readonly #schedule: Schedule;
  readonly #clock: Clock;
  /** Word index of the call array. */
  readonly #calls: number;
  readonly #gate: Gate;
  readonly #windows: WindowRules;
  readonly #thread: ElasticThread;
  readonly #memoryEnd: number;
  #memoryNext: number;
  /** Busy turns on end in which nothing was done, and the sum of what was done before them. */
  #spins = 0;
  #done = 0;
  /** Busy until. */
  #readyAt = 0;

  constructor(parts: HostParts) {
    const { index, plan, schedule } = parts;
    const { limits } = plan;
    this.index = index;
    this.plan = plan;
    this.#schedule = schedule;
    const frameBytes = (limits.receiveFrames + limits.transmitFrames) * (2048 + 64);
    const arena = parts.memories.take(frameBytes + limits.applicationBytes + SMALL_BYTES);
    this.memory = Buffer.from(arena.memory.buffer as ArrayBuffer);
    const ground = layGround(arena, limits);
    const { frames, counters } = ground;
    this.#clock = ground.clock;
    this.#setClock();
    const { mtu, txRing, rxRing } = plan;
    const options = { index, mac: macOf(index), mtu, txRing, rxRing };
    this.nic = new SimNic(options, parts.network, arena, frames, counters);
    const congestion = plan.congestion ?? 'cubic';
    const stacked = raiseStack(
      { ...ground, nic: this.nic, config: configOf(index, plan) },
      {
        congestion,
        ...(plan.ecn && { ecn: plan.ecn }),
        ...(plan.holdAckUs && { holdAckUs: plan.holdAckUs }),
        ...plan.lacks,
      },
    );
    this.env = stacked.env;
    this.timers = stacked.timers;
    this.stack = stacked.stack;
    this.#windows = new WindowRules(this.stack.tcp, counters, congestion);
    const layout = carveLayout(ground);
    this.events = layout.events.offset >> 2;
    this.#calls = layout.calls.offset >> 2;
    // libix has the beginning of application memory; behind it the pattern and the rings of this
    // host's endpoints
    const ixBytes = plan.kind === 'ix' ? IX_BYTES : 0;
    this.pattern = layout.memory.offset + ixBytes;
    arena.u8.set(parts.pattern, this.pattern);
    this.#memoryNext = this.pattern + parts.pattern.length;
    this.#memoryEnd = layout.memory.offset + limits.applicationBytes;
    const opened = openGate(stacked, layout);
    this.#gate = opened.gate;
    const side = plan.kind === 'ix' ? this.#openIx(layout) : null;
    this.ix = side?.ix ?? null;
    const domain = side ? side.domain : new InlineDomain({ dispatch: () => this.#enterRaw() });
    const readTime = (): void => this.#setClock();
    this.#thread = openElasticThread(stacked, opened, domain, { readTime });
  }

  #openIx(layout: Layout): InlineSide {
    const { arena, limits } = this.env;
    const askTurn = (): void => this.#gate.askTurn();
    const wake = (): void => this.wake(this.#schedule.now);
    const hooks = { report: () => true, stop: () => {} };
    const sizes = { ...IX_SIZES, receiveSpans: limits.receiveFrames };
    return openInlineSide({ arena, layout, limits, askTurn, wake }, this.index, hooks, { sizes });
  }

  /** Application memory, for good. */
  alloc(bytes: number): number {
    const offset = this.#memoryNext;
    this.#memoryNext += Math.ceil(bytes / 64) * 64;
    if (this.#memoryNext > this.#memoryEnd) throw new Error('sim: application memory is too small');
    return offset;
  }

  #setClock(): void {
    const us = this.plan.startUs + this.#schedule.now;
    this.#clock.us = us | 0; // ToInt32 is modulo 2^32
    this.#clock.ms = Math.floor(us / 1000) | 0;
  }

  /** What libix does at the beginning of a turn. */
  #enterRaw(): void {
    this.env.arena.i32[this.#calls + GATE_AGAIN] = 0;
    this.application.enter();
  }

  /** The application has something to say although no event came. */
  askTurn(): void {
    this.#gate.askTurn();
    this.wake(this.#schedule.now);
  }

  wake(at: number): void {
    this.turnAt = Math.min(this.turnAt, Math.max(at, this.#readyAt));
  }

  /** Nothing happens on this host before then. */
  pause(until: number): void {
    this.#readyAt = Math.max(this.#readyAt, until);
    this.turnAt = Math.max(this.turnAt, until);
  }

  turn(): void {
    const now = this.#schedule.now;
    this.turns++;
    const work = this.#turnInEarnest();
    this.#windows.check();
    this.#checkSpin(work);
    this.#readyAt = now + this.plan.turnUs;
    const isBusy = work > 0 || this.nic.waiting > 0;
    const sleep = isBusy ? 0 : this.env.wheel.untilNext(this.#clock.us, UNTIL_MAX_US);
    this.turnAt = now + Math.max(sleep, this.plan.turnUs);
  }

  /** A thread that says it is busy and never does anything would keep its core busy for ever. */
  #checkSpin(work: number): void {
    const { counters } = this.env;
    let done = 0;
    for (const name of DEEDS) done += counters.get(name);
    this.#spins = work > 0 && done === this.#done ? this.#spins + 1 : 0;
    this.#done = done;
    if (this.#spins > SPINS_MAX) {
      throw new Violation(`host ${this.index + 1} says that it is busy, and does nothing`);
    }
  }

  /**
   * An idle thread looks for frames some times before it does anything else: looks take no time
   * here.
   */
  #turnInEarnest(): number {
    const { counters } = this.env;
    const before = counters.get('iterations');
    for (;;) {
      const work = this.#thread.turn();
      if (work > 0 || counters.get('iterations') !== before) return work;
    }
  }

  /** The host loses power: it holds nothing, says nothing, hears nothing. */
  die(): void {
    this.isAlive = false;
    this.turnAt = Number.POSITIVE_INFINITY;
    this.nic.close();
  }
}
