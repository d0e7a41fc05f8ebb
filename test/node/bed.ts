/**
 * Where Node programs are tested without a network: two stacks of ours in one process, a wire
 * between them, and Node's own net over both.
 *
 * - What listens is at SERVER, what connects comes from CLIENT: every byte goes through TCP twice,
 *   as frames. Loopback addresses stay in the thread, as in the product.
 * - The stacks take their turns from the event loop, as the runner gives them. Their time is real,
 *   but no look at it is more than LOOK_MAX_US behind the last: a busy machine is no slow network.
 * - `close` asserts that nothing is held any more: no connection, no frame, no span.
 * - Its own timer holds the event loop unless it is told not to (`holds`): then a program over it
 *   ends as it would in the product.
 */
import assert from 'node:assert/strict';
import { ipv6ConfigOf } from '../../sim/address.ts';
import { type Wire, WireNic } from '../../sim/wire-nic.ts';
import { Arena } from '../../src/arena/arena.ts';
import type { Clock } from '../../src/arena/clock.ts';
import {
  carveLayout,
  layGround,
  openElasticThread,
  openGate,
  raiseStack,
} from '../../src/dataplane/assembly.ts';
import { openInlineSide } from '../../src/domain/inline.ts';
import type { Ix } from '../../src/libix/ix.ts';
import { limitsFor } from '../../src/limits.ts';
import { Flows } from '../../src/node/flows.ts';
import { install } from '../../src/node/install.ts';
import { Loopback } from '../../src/node/loopback.ts';
import { Network } from '../../src/node/network.ts';

export const SERVER = '10.77.0.2';
export const CLIENT = '10.77.0.1';
/** Of a bed with IPv6. */
export const SERVER6 = 'fd77::a4d:2';
const PREFIX_LENGTH = 24;
const CLIENT_WORD = 0x0a4d0001;
const SMALL_BYTES = 24 * 2 ** 20;
const ROUNDS_MAX = 64;
export const WAIT_MAX_US = 50_000;
const LOOK_MAX_US = 1000;
/** How long `settled` waits for both ends, in looks. */
const LOOKS_MAX = 3000;
const LOOK_MS = 10;

/** What both stacks take for the time. */
class Time {
  us = 0;
  readonly #lookMaxUs: number;
  #seenUs = performance.now() * 1000;

  constructor(lookMaxUs: number) {
    this.#lookMaxUs = lookMaxUs;
  }

  look(): void {
    const nowUs = performance.now() * 1000;
    this.us += Math.min(this.#lookMaxUs, nowUs - this.#seenUs);
    this.#seenUs = nowUs;
  }

  set(clock: Clock): void {
    clock.us = this.us | 0;
    clock.ms = Math.floor(this.us / 1000) | 0;
  }
}

function openHost(index: number, { isIpv6 }: BedOptions, time: Time, wire: Wire, wake: () => void) {
  const limits = { ...limitsFor({ flows: 4096, applicationMiB: 64 }), receiveFrames: 8192 };
  const frameBytes = (limits.receiveFrames + limits.transmitFrames) * (2048 + 64);
  const arena = new Arena(frameBytes + limits.applicationBytes + SMALL_BYTES);
  const ground = layGround(arena, limits);
  time.set(ground.clock);
  const nic = new WireNic(arena, ground.frames, Uint8Array.of(2, 0, 0, 0, 0, index + 1), wire);
  const config = {
    ...{ address: CLIENT_WORD + index, prefixLength: PREFIX_LENGTH, gateway: 0 },
    ...{ secret0: 11 + index, secret1: 13, wireKey: [11 + index, 13, 17, 19] as const },
    ...(isIpv6 && { ipv6: ipv6ConfigOf(index) }),
  };
  const stacked = raiseStack({ ...ground, nic, config });
  const layout = carveLayout(ground);
  const opened = openGate(stacked, layout);
  const parts = { arena, layout, limits, askTurn: () => opened.gate.askTurn(), wake };
  const side = openInlineSide(parts, 0, { report: () => true, stop: () => {} });
  const thread = openElasticThread(stacked, opened, side.domain, {
    readTime: (clock) => time.set(clock),
  });
  stacked.stack.start();
  return { ix: side.ix as Ix, thread, nic, ground, stack: stacked.stack };
}

type Host = ReturnType<typeof openHost>;

export interface BedOptions {
  /** Each end also has fd77::a4d:N; default: no. */
  readonly isIpv6?: boolean;
  /** It holds the event loop; default: yes. */
  readonly holds?: boolean;
  /** Most that its time goes on between two looks at it; default: LOOK_MAX_US. */
  readonly lookMaxUs?: number;
}

export class Bed {
  readonly server: Host;
  readonly client: Host;
  network!: Network;
  #hosts: readonly Host[] = [];
  #isScheduled = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #run = () => this.#pump();
  readonly #time: Time;

  readonly #holds: boolean;

  constructor(options: BedOptions = {}) {
    this.#holds = options.holds ?? true;
    this.#time = new Time(options.lookMaxUs ?? LOOK_MAX_US);
    const wake = (): void => this.#soon();
    const wire = (to: number) => (frame: Uint8Array) => this.#hosts[to]?.nic.arrived.push(frame);
    this.client = openHost(0, options, this.#time, wire(0), wake);
    this.server = openHost(1, options, this.#time, wire(1), wake);
    this.#hosts = [this.server, this.client];
  }

  #soon(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    clearTimeout(this.#timer);
    setImmediate(this.#run);
  }

  #pump(): void {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#time.look();
      let work = 0;
      for (const { thread, nic } of this.#hosts) work |= thread.turn() | nic.arrived.length;
      if (work === 0) return this.#wait();
    }
    this.#soon();
  }

  #wait(): void {
    const due = this.#hosts.map(({ ground, thread }) =>
      ground.wheel.untilNext(thread.us, WAIT_MAX_US),
    );
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#run, Math.min(...due) / 1000);
    if (!this.#holds) this.#timer.unref();
  }

  start(): void {
    this.#soon();
  }

  /** Waits until both ends hold nothing. */
  async settled(): Promise<void> {
    for (let looks = 0; looks < LOOKS_MAX && !this.#isHome(); looks++) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    for (const { ix } of this.#hosts) {
      assert.equal(ix.openConnections, 0, 'connections are over');
      assert.ok(ix.allHome(), 'every span and block came back');
    }
    for (const { ground } of this.#hosts) {
      assert.ok(ground.frames.allHome(), 'every frame came back');
    }
  }

  #isHome(): boolean {
    return this.#hosts.every(
      ({ ix, ground }) => ix.openConnections === 0 && ix.allHome() && ground.frames.allHome(),
    );
  }

  async close(): Promise<void> {
    await this.settled();
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}

/** Node's own net over two stacks, from here on, in this process. */
export function layBed(): Bed {
  const bed = new Bed();
  const server = new Flows(bed.server.ix);
  const client = new Flows(bed.client.ix);
  const outer = {
    listen: server.listen.bind(server),
    connect: client.connect.bind(client),
  };
  const loopback = new Loopback();
  // In the product our own address is ourselves; here it is the other stack.
  bed.network = new Network({ outer, loopback, addresses: [SERVER, CLIENT], selves: [] });
  install(bed.network);
  bed.start();
  return bed;
}
