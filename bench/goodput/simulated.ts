/**
 * One lane of `ix bench goodput` in virtual time: our stack at both ends, the same paths, no
 * machine in between.
 *
 * - The same `Path` options and random streams as the live box (box.ts), so that the table of a
 *   machine can be compared with what our TCP does by itself. A host's turn takes TURN_US, as a
 *   dataplane's iteration does.
 * - The sender always has more to send; the receiver consumes at once.
 * - A run is a function of the lane and its seed.
 *
 * Used by tests and to look into a cell: `trace` sees the sender's congestion window.
 */
import { Path } from '../../sim/path.ts';
import { Random } from '../../sim/random.ts';
import { Schedule } from '../../sim/schedule.ts';
import { type Wire, WireNic } from '../../sim/wire-nic.ts';
import { Arena } from '../../src/arena/arena.ts';
import type { Clock } from '../../src/arena/clock.ts';
import type { Counters } from '../../src/counters.ts';
import { carveSink, layGround, raiseStack } from '../../src/dataplane/assembly.ts';
import type { Stack } from '../../src/dataplane/stack.ts';
import { EVENT } from '../../src/gate/abi.ts';
import type { EventSink } from '../../src/gate/arrays.ts';
import { BATCH_MAX, DESCRIPTOR_WORDS, limitsFor } from '../../src/limits.ts';
import type { Environment } from '../../src/net/both/environment.ts';
import { TCB } from '../../src/tcp/tcb.ts';
import {
  type Conditions,
  ENDPOINT_BASE,
  ENDPOINT_PREFIX,
  LANE_PORT,
  pathOptions,
} from './conditions.ts';

export const TURN_US = 20;
const SEND_BYTES = 65_536;
const SPANS = 64;
const SMALL_BYTES = 24 * 2 ** 20;
const UNTIL_MAX_US = 1_000_000;
/** The clocks begin shortly before their wrap. */
const START_US = 0x7fff_f000;

export interface SimulatedResult {
  bytes: number;
  mbits: number;
  longestGapMs: number;
  /** The sender's. */
  counters: Record<string, number>;
}

export interface Trace {
  us: number;
  row: Int32Array;
  counters: Counters;
}

class SimulatedHost {
  readonly env: Environment;
  readonly nic: WireNic;
  readonly stack: Stack;
  turnAt = 0;
  /** Arena offset of bytes to send. */
  readonly block: number;
  onEvent: (kind: number, handle: number, words: Int32Array, at: number) => void = () => {};
  readonly #sink: EventSink;
  readonly #schedule: Schedule;
  readonly #clock: Clock;
  #readyAt = 0;
  readonly #turnUs: number;

  constructor(index: number, schedule: Schedule, wire: Wire, turnUs: number) {
    this.#turnUs = turnUs;
    const limits = {
      ...limitsFor({ flows: 16 }),
      receiveFrames: 8192,
      applicationBytes: SEND_BYTES,
    };
    const frameBytes = (limits.receiveFrames + limits.transmitFrames) * (2048 + 64);
    const arena = new Arena(frameBytes + SMALL_BYTES);
    const ground = layGround(arena, limits);
    this.#clock = ground.clock;
    this.nic = new WireNic(arena, ground.frames, Uint8Array.of(2, 0, 0, 0, 0, index + 1), wire);
    this.#schedule = schedule;
    this.#setClock();
    this.env = {
      ...ground,
      nic: this.nic,
      config: {
        address: ENDPOINT_BASE + index,
        prefixLength: ENDPOINT_PREFIX,
        gateway: 0,
        secret0: 11 + index,
        secret1: 13,
        wireKey: [11 + index, 13, 17, 19],
      },
    };
    this.stack = raiseStack(this.env).stack;
    this.#sink = carveSink(arena);
    this.block = arena.carve('application', SEND_BYTES);
  }

  #setClock(): void {
    const us = START_US + this.#schedule.now;
    this.#clock.us = us | 0;
    this.#clock.ms = Math.floor(us / 1000) | 0;
  }

  wake(): void {
    this.turnAt = Math.min(this.turnAt, Math.max(this.#schedule.now, this.#readyAt));
  }

  turn(): void {
    const { nic, stack, env } = this;
    this.#setClock();
    stack.advance();
    const count = nic.receive(BATCH_MAX);
    for (let i = 0; i < count; i++) stack.receive(nic.rxOffsets[i]!, nic.rxLengths[i]!);
    this.#emit();
    stack.flush();
    this.#readyAt = this.#schedule.now + this.#turnUs;
    const isBusy = nic.arrived.length > 0 || stack.tcp.hasOutput() || stack.tcp.hasEvents();
    const sleep = isBusy ? 0 : env.wheel.untilNext(this.#clock.us, UNTIL_MAX_US);
    this.turnAt = this.#schedule.now + Math.max(sleep, this.#turnUs);
  }

  #emit(): void {
    const { i32 } = this.env.arena;
    this.#sink.clear();
    this.stack.emit(this.#sink);
    const first = this.#sink.header + DESCRIPTOR_WORDS;
    for (let i = 0; i < this.#sink.count; i++) {
      const at = first + i * DESCRIPTOR_WORDS;
      this.onEvent(i32[at]!, i32[at + 1]!, i32, at + 3);
    }
  }
}

/**
 * `turnUs`: how long a turn takes, and so how much comes at once; `trace` is called after every
 * turn of the sender.
 */
export function simulate(
  conditions: Conditions,
  seed: number,
  ms: number,
  { turnUs = TURN_US, trace }: { turnUs?: number; trace?: (at: Trace) => void } = {},
): SimulatedResult {
  const schedule = new Schedule();
  const options = pathOptions(conditions);
  const there = new Path(options, new Random(seed));
  const back = new Path(options, new Random(seed).fork(1));
  const hosts: SimulatedHost[] = [];
  const wire = (to: number, path: Path) => (frame: Uint8Array) => {
    const isIp = frame[12] === 0x08 && frame[13] === 0x00;
    const at = isIp ? path.send(schedule.now, frame.length, false) : schedule.now;
    if (at < 0) return;
    schedule.at(at, () => {
      hosts[to]!.nic.arrived.push(frame);
      hosts[to]!.wake();
    });
  };
  const sender = new SimulatedHost(0, schedule, wire(1, there), turnUs);
  const receiver = new SimulatedHost(1, schedule, wire(0, back), turnUs);
  hosts.push(sender, receiver);
  const taken = receive(receiver, schedule);
  const handle = send(sender);
  for (;;) {
    let at = schedule.next;
    let next: SimulatedHost | undefined;
    for (const host of hosts) {
      if (host.turnAt >= at) continue;
      at = host.turnAt;
      next = host;
    }
    if (taken.startUs >= 0 && at >= taken.startUs + ms * 1000) break;
    schedule.now = at;
    if (!next) schedule.take()();
    else {
      next.turn();
      const row = sender.stack.tcp.flows.resolve(handle);
      if (trace && next === sender && row !== 0) {
        const words = sender.env.arena.i32.subarray(row);
        trace({ us: schedule.now, row: words, counters: sender.env.counters });
      }
    }
  }
  taken.hear(taken.startUs + ms * 1000);
  return {
    bytes: taken.bytes,
    mbits: (taken.bytes * 8) / ms / 1000,
    longestGapMs: taken.longestGapUs / 1000,
    counters: sender.env.counters.snapshot(),
  };
}

function receive(host: SimulatedHost, schedule: Schedule) {
  const taken = {
    startUs: -1,
    lastUs: 0,
    bytes: 0,
    longestGapUs: 0,
    hear(nowUs: number) {
      taken.longestGapUs = Math.max(taken.longestGapUs, nowUs - taken.lastUs);
      taken.lastUs = nowUs;
    },
  };
  const { tcp } = host.stack;
  tcp.listen(1, 0, LANE_PORT, 4, 0);
  host.onEvent = (kind, handle, words, at) => {
    if (kind === EVENT.knock) {
      tcp.accept(handle, 1);
      taken.startUs = taken.lastUs = schedule.now;
    } else if (kind === EVENT.recv) {
      taken.hear(schedule.now);
      taken.bytes += words[at + 1]!;
      tcp.recvDone(handle, words[at + 1]!);
    }
  };
  return taken;
}

function send(host: SimulatedHost): number {
  const { tcp } = host.stack;
  let queued = 0;
  const handle = tcp.connect(1, ENDPOINT_BASE + 1, LANE_PORT);
  const pump = (): void => {
    while (queued < SPANS * SEND_BYTES) {
      const accepted = tcp.send(handle, host.block, SEND_BYTES);
      if (accepted <= 0) return;
      queued += accepted;
    }
  };
  host.onEvent = (kind, _handle, words, at) => {
    if (kind === EVENT.sent) queued -= words[at]!;
    if (kind === EVENT.connected || kind === EVENT.sent) pump();
  };
  return handle;
}

/** The words of a row by name, for traces. */
export const FIELD: typeof TCB = TCB;
