/**
 * A network of one cable for tests: an in-memory driver and an environment under virtual time.
 *
 * - `makeEnvironment` builds what a Stack or a Tcp needs; nothing happens unless the test says so:
 *   time moves by `at`, frames come by `nic.inject`, leave into `nic.sent`.
 * - `WireNic.transmit` copies and poisons at once: a layer that touches a transmitted frame is
 *   found out.
 * - `connect(a, b)` makes two drivers peers: what one transmits, the other receives. `impair` sees
 *   every frame on its way out and may drop, change or multiply it.
 * - `inject(bytes, at)` needs a free receive frame, as a fill ring would; without one it counts
 *   rxNoFrame.
 */
import { Arena } from '../../src/arena/arena.ts';
import type { Frames } from '../../src/arena/frames.ts';
import { COUNTER, type Counters } from '../../src/counters.ts';
import { layGround } from '../../src/dataplane/assembly.ts';
import { BATCH_MAX, type Limits, limitsFor } from '../../src/limits.ts';
import type { Environment, NetConfig } from '../../src/net/both/environment.ts';
import type { Nic } from '../../src/nic/nic.ts';

/** Where AF_XDP puts a received frame inside its buffer: 256 bytes of the kernel's, two of ours. */
const RECEIVE_HEADROOM = 258;

export class WireNic implements Nic {
  readonly name = 'wire';
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly fds: readonly number[] = [];
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);
  /** Every transmitted frame, in order, as copies; `takeSent` empties it. */
  sent: Uint8Array[] = [];
  /** Off: transmitted frames are only counted and freed (for tests that measure allocation). */
  isRecording = true;
  transmitted = 0;
  kicks = 0;
  peer: WireNic | null = null;
  /** What becomes of a frame on its way to the peer: nothing, itself, or several. */
  impair: ((frame: Uint8Array) => Uint8Array[]) | null = null;
  readonly #arena: Arena;
  readonly #frames: Frames;
  readonly #counters: Counters;
  /** Received and not yet taken: pairs of offset and length. */
  readonly #pending: number[] = [];

  constructor(arena: Arena, frames: Frames, counters: Counters, mac: Uint8Array, mtu: number) {
    this.#arena = arena;
    this.#frames = frames;
    this.#counters = counters;
    this.mac = mac;
    this.mtu = mtu;
  }

  /** Two drivers at the ends of one cable. */
  static connect(a: WireNic, b: WireNic): void {
    a.peer = b;
    b.peer = a;
  }

  /** A frame arrives: it waits for `receive`. False when no receive frame is free. */
  inject(bytes: Uint8Array): boolean {
    const offset = this.place(bytes);
    if (offset < 0) return false;
    this.#pending.push(offset, bytes.length);
    return true;
  }

  /** Copies bytes into a receive frame, which is the caller's: its offset, or -1. */
  place(bytes: Uint8Array): number {
    const frame = this.#frames.takeReceive();
    if (frame < 0) {
      this.#counters.bump(COUNTER.rxNoFrame);
      return -1;
    }
    this.#arena.u8.set(bytes, frame + RECEIVE_HEADROOM);
    return frame + RECEIVE_HEADROOM;
  }

  receive(max: number): number {
    const count = Math.min(max, BATCH_MAX, this.#pending.length >> 1);
    for (let i = 0; i < count; i++) {
      this.rxOffsets[i] = this.#pending.shift()!;
      this.rxLengths[i] = this.#pending.shift()!;
    }
    return count;
  }

  transmit(offset: number, length: number): void {
    this.transmitted = (this.transmitted + 1) | 0;
    if (this.isRecording || this.peer !== null) this.#record(offset, length);
    this.#frames.free(offset);
  }

  #record(offset: number, length: number): void {
    const bytes = Uint8Array.from(this.#arena.u8.subarray(offset, offset + length));
    if (this.isRecording) this.sent.push(bytes);
    if (this.peer === null) return;
    for (const frame of this.impair?.(bytes) ?? [bytes]) this.peer.inject(frame);
  }

  /** The frames sent since the last call. */
  takeSent(): Uint8Array[] {
    const sent = this.sent;
    this.sent = [];
    return sent;
  }

  kick(): void {
    this.kicks = (this.kicks + 1) | 0;
  }

  reclaim(): void {}

  receiveLent(): number {
    return this.#pending.length >> 1;
  }

  close(): void {
    for (let i = 0; i < this.#pending.length; i += 2) this.#frames.free(this.#pending[i]!);
    this.#pending.length = 0;
  }
}

export interface TestEnvironment extends Environment {
  readonly nic: WireNic;
}

export interface EnvironmentChoices {
  config?: Partial<NetConfig>;
  limits?: Partial<Limits>;
  mac?: readonly number[];
  mtu?: number;
  /** Microseconds at the start: near the wrap unless told otherwise. */
  us?: number;
  arenaMiB?: number;
}

/** 10.77.0.2/24, gateway 10.77.0.1, small pools, the clock shortly before both of its wraps. */
export function makeEnvironment(choices: EnvironmentChoices = {}): TestEnvironment {
  const limits: Limits = {
    ...limitsFor({ flows: 64 }),
    receiveFrames: 512,
    transmitFrames: 256,
    ringEntries: 64,
    listeners: 8,
    udpSockets: 8,
    sendSpans: 1024,
    neighbours: 16,
    reassemblies: 4,
    timers: 16,
    applicationBytes: 2 ** 20,
    ...choices.limits,
  };
  const arena = new Arena((choices.arenaMiB ?? 32) * 2 ** 20);
  const ground = layGround(arena, limits);
  const { frames, counters, clock } = ground;
  clock.us = (choices.us ?? 0x7fff_f000) | 0;
  clock.ms = (clock.us / 1000) | 0;
  const mac = Uint8Array.from(choices.mac ?? [0x02, 0, 0, 0, 0, 0x02]);
  const nic = new WireNic(arena, frames, counters, mac, choices.mtu ?? 1500);
  const config: NetConfig = {
    address: address('10.77.0.2'),
    prefixLength: 24,
    gateway: address('10.77.0.1'),
    secret0: 0x01234567,
    secret1: 0x89abcdef | 0,
    wireKey: [0x01234567, 0x89abcdef, 0x02468ace, 0x13579bdf],
    ...choices.config,
  };
  return { ...ground, nic, config };
}

/** Moves an environment's clock on. The caller then lets the stack advance. */
export function passTime(env: Environment, us: number): void {
  const clock = env.clock;
  const carry = clock.us % 1000;
  clock.ms = (clock.ms + Math.floor((((carry + 1000) % 1000) + us) / 1000)) | 0;
  clock.us = (clock.us + us) | 0;
}

/** '10.77.0.2' as a big-endian integer. */
export function address(text: string): number {
  return text.split('.').reduce((word, part) => (word << 8) | Number(part) | 0, 0);
}
