/**
 * A cable: a link in shared memory between two dataplanes, of one process or of two.
 *
 * - `makeCable` makes what both ends need: a memfd (sealed: nobody can shrink it under the other)
 *   and one eventfd a direction. Each end maps the memfd into its own arena, the bound one.
 * - Each direction is a ring (arena/ring.ts) of 2048-byte slots. `transmit` copies the frame in and
 *   frees it, `receive` copies it out into a receive frame. Indexes are published once a batch.
 * - The ends do not trust each other: every index and length is checked once, on a copy.
 * - Sleeping: `prepareSleep` says so in the shared memory and looks once more; the sender writes
 *   the eventfd only for a receiver that sleeps. Store-then-load on both sides: one of them always
 *   sees the other (Dekker).
 *
 * Made by dataplane/nics.ts: the NIC of demonstrations, tests, benchmarks, chains of dataplanes.
 */
import type { Arena } from '../arena/arena.ts';
import type { Frames } from '../arena/frames.ts';
import { RingConsumer, RingProducer, ringBytes } from '../arena/ring.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { BATCH_MAX, ETHERNET_MTU, FRAME_BYTES, TRANSMIT_HEADROOM } from '../limits.ts';
import { MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, SYS, sys } from '../native/sys.ts';
import { assert, VERIFY } from '../verify.ts';
import { granted } from './errors.ts';
import { makeEventfd } from './eventfd.ts';
import type { Nic } from './nic.ts';

const C_RX_FRAMES = COUNTER.rxFrames;
const C_RX_BYTES = COUNTER.rxBytes;
const C_TX_FRAMES = COUNTER.txFrames;
const C_TX_BYTES = COUNTER.txBytes;
const C_TX_FULL = COUNTER.txFull;
const C_TX_BAD_LENGTH = COUNTER.txBadLength;
const C_RX_NO_FRAME = COUNTER.rxNoFrame;
const C_RX_SHORT = COUNTER.rxShort;
const C_RX_TOO_LONG = COUNTER.rxTooLong;
const C_KICKS = COUNTER.kicks;

const MFD_CLOEXEC_SEALABLE = 1 | 2;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK_GROW = 2 | 4;
const MAP_ANONYMOUS = 0x20;
const ETHERNET_BYTES = 14;

// Shared memory: a page with the sleeping flags, then the ring that side 0 fills, then side 1's.
const FLAGS_BYTES = 4096;
/** Flags on cache lines of their own, and no two in a pair that the prefetcher joins. */
const FLAG_BYTES = 128;
const SLOT_WORDS = FRAME_BYTES / 4;
/** In a slot: length, then the frame at a multiple of 16. */
const SLOT_FRAME = 16;
const FRAME_MAX = FRAME_BYTES - SLOT_FRAME;

/**
 * A frame is on its way only when the batch is over, so the two ends overlap only if batches are
 * smaller than what is in flight: with 64 the ends took turns. Echo, 64 connections: 678,000,
 * 628,000 and 421,000 messages a second with 16, 32, 64.
 */
const CABLE_BATCH_MAX = 16;

export type CableSide = 0 | 1;

export interface CableParts {
  memoryFd: number;
  /** wakeFds[s] wakes side s. */
  wakeFds: readonly [number, number];
  /** Slots a direction, a power of two. */
  entries: number;
}

/** Whole pages, because it is mapped over a segment of the arena. */
const memoryBytes = (entries: number): number =>
  Math.ceil((FLAGS_BYTES + 2 * ringBytes(entries, SLOT_WORDS)) / 4096) * 4096;

/** The descriptors are the caller's: `closeCable`, or inherited by a child process as they are. */
export function makeCable(entries = 1024): CableParts {
  assert((entries & (entries - 1)) === 0, 'cable: entries must be a power of two');
  const name = Buffer.from('ix cable\0');
  const memory = granted(sys.syscall(SYS.memfd_create, name, MFD_CLOEXEC_SEALABLE), 'cable memory');
  granted(sys.syscall(SYS.ftruncate, memory, memoryBytes(entries)), 'cable memory');
  granted(sys.syscall(SYS.fcntl, memory, F_ADD_SEALS, F_SEAL_SHRINK_GROW), 'sealing cable memory');
  const event = (): number => makeEventfd('cable eventfd');
  return { memoryFd: memory, wakeFds: [event(), event()], entries };
}

export function closeCable(parts: CableParts): void {
  for (const fd of [parts.memoryFd, ...parts.wakeFds]) sys.syscall(SYS.close, fd);
}

export interface CableOptions {
  /** Default 02:69:78:00:00:01 for side 0, :02 for side 1. */
  mac?: Uint8Array;
  mtu?: number;
}

export class Cable implements Nic {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly fds: readonly number[];
  readonly batchMax = CABLE_BATCH_MAX;
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);

  readonly #arena: Arena;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #i32: Int32Array;
  readonly #offset: number;
  readonly #bytes: number;
  readonly #tx: RingProducer;
  readonly #rx: RingConsumer;
  readonly #peerWakeFd: number;
  /** An eventfd is written and read as eight bytes. */
  readonly #one = BigUint64Array.of(1n);
  readonly #received = new BigUint64Array(1);

  /** Word indexes. */
  readonly #sleeping: number;
  readonly #peerSleeping: number;

  /** Frames in the transmit ring that are not published yet. */
  #written = 0;
  #txBytes = 0;
  #asleep = false;
  #open = true;

  constructor(
    arena: Arena,
    frames: Frames,
    counters: Counters,
    parts: CableParts,
    side: CableSide,
    options: CableOptions = {},
  ) {
    this.name = `cable side ${side}`;
    this.mac = options.mac ?? Uint8Array.of(2, 0x69, 0x78, 0, 0, side + 1);
    this.mtu = Math.min(options.mtu ?? ETHERNET_MTU, FRAME_MAX - ETHERNET_BYTES);
    this.fds = [parts.wakeFds[side]];
    this.#peerWakeFd = parts.wakeFds[side === 0 ? 1 : 0];
    this.#arena = arena;
    this.#frames = frames;
    this.#counters = counters;
    this.#i32 = arena.i32;
    this.#bytes = memoryBytes(parts.entries);
    this.#offset = arena.carve(this.name, this.#bytes);
    const protection = PROT_READ | PROT_WRITE;
    granted(
      sys.mapAt(this.#offset, this.#bytes, protection, MAP_SHARED, parts.memoryFd, 0),
      'mapping cable memory',
    );
    this.#sleeping = (this.#offset + side * FLAG_BYTES) >> 2;
    this.#peerSleeping = (this.#offset + (1 - side) * FLAG_BYTES) >> 2;
    const ring = (filledBy: number): number =>
      (this.#offset + FLAGS_BYTES + filledBy * ringBytes(parts.entries, SLOT_WORDS)) >> 2;
    this.#tx = new RingProducer(arena.i32, ring(side), parts.entries, SLOT_WORDS);
    this.#rx = new RingConsumer(arena.i32, ring(1 - side), parts.entries, SLOT_WORDS);
  }

  receive(max: number): number {
    if (this.#asleep) this.#wakeUp();
    const rx = this.#rx;
    let count = rx.available(max);
    if (count === 0) return 0;
    if (count > max) count = max;
    if (count > BATCH_MAX) count = BATCH_MAX;
    let good = 0;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const slot = rx.slot(i);
      const length = this.#i32[slot]!; // read once: the other end may change it
      if (length < ETHERNET_BYTES || length > FRAME_MAX) {
        this.#counters.bump(length < ETHERNET_BYTES ? C_RX_SHORT : C_RX_TOO_LONG);
        continue;
      }
      const frame = this.#frames.takeReceive();
      if (frame < 0) {
        this.#counters.bump(C_RX_NO_FRAME);
        continue;
      }
      this.#arena.kernels.copy(frame + TRANSMIT_HEADROOM, (slot << 2) + SLOT_FRAME, length);
      this.rxOffsets[good] = frame + TRANSMIT_HEADROOM;
      this.rxLengths[good] = length;
      good++;
      bytes += length;
    }
    rx.release(count);
    this.#counters.add(C_RX_FRAMES, good);
    this.#counters.add(C_RX_BYTES, bytes);
    return good;
  }

  transmit(offset: number, length: number): void {
    if (VERIFY) assert(length >= ETHERNET_BYTES && length <= FRAME_MAX, 'cable: bad length');
    const full = this.#tx.free(this.#written + 1) <= this.#written;
    if (full || length < ETHERNET_BYTES || length > FRAME_MAX) {
      this.#counters.bump(full ? C_TX_FULL : C_TX_BAD_LENGTH);
    } else {
      const slot = this.#tx.slot(this.#written);
      this.#i32[slot] = length;
      this.#arena.kernels.copy((slot << 2) + SLOT_FRAME, offset, length);
      this.#written = (this.#written + 1) | 0;
      this.#txBytes = (this.#txBytes + length) | 0;
    }
    this.#frames.free(offset);
  }

  kick(): void {
    const fresh = this.#written;
    if (fresh === 0) return;
    this.#tx.publish(fresh);
    this.#written = 0;
    this.#counters.add(C_TX_FRAMES, fresh);
    this.#counters.add(C_TX_BYTES, this.#txBytes);
    this.#txBytes = 0;
    if (Atomics.load(this.#i32, this.#peerSleeping) === 0) return;
    if (Atomics.exchange(this.#i32, this.#peerSleeping, 0) === 0) return;
    this.#counters.bump(C_KICKS);
    sys.syscall(SYS.write, this.#peerWakeFd, this.#one, 8);
  }

  /** Frames are copied: nothing is out. */
  reclaim(): void {}

  receiveLent(): number {
    return 0;
  }

  /** True: nothing has come, and the sender will write `fds[0]`. `wake` or `receive` ends it. */
  prepareSleep(): boolean {
    Atomics.store(this.#i32, this.#sleeping, 1);
    this.#asleep = true;
    if (this.#rx.available() === 0) return true;
    this.#wakeUp();
    return false;
  }

  wake(): void {
    if (this.#asleep) this.#wakeUp();
  }

  #wakeUp(): void {
    this.#asleep = false;
    Atomics.store(this.#i32, this.#sleeping, 0);
    // Even if nobody cleared the flag: a late write of last time would end every later sleep.
    sys.syscall(SYS.read, this.fds[0]!, this.#received, 8);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const protection = PROT_READ | PROT_WRITE;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    granted(
      sys.mapAt(this.#offset, this.#bytes, protection, flags, -1, 0),
      'unmapping cable memory',
    );
  }
}
