/**
 * An AF_XDP socket made ready: memory registered, four rings mapped into the arena, a queue bound.
 *
 * - `bind` is a step of its own, because the fill ring must have entries before: some drivers (igb)
 *   take their buffers while the socket is bound, and never look again if there were none.
 * - Zero-copy is asked for by name and copy mode after it, so that the kernel's reason is known: a
 *   bind without either flag falls back in silence.
 * - Needs only the descriptor and locked memory: RLIMIT_MEMLOCK >= the frames, or CAP_IPC_LOCK.
 * - The UMEM is `frames.base .. frames.end`. Its pages are pinned: memfds are put under it before.
 * - UMEM headroom is TRANSMIT_HEADROOM: a received IP header is 4-byte aligned like one we send.
 * - The rings are mapped MAP_FIXED over arena segments, so the arena's own views reach them. The
 *   arena must be the bound one (`arena.bindNative`).
 * - A mapping keeps the socket alive: `release` puts plain memory back before it closes.
 *
 * Called by afxdp.ts. Read first: net/xdp/xsk.c; Documentation/networking/af_xdp.rst "Rings".
 */
import type { Arena } from '../arena/arena.ts';
import type { Frames } from '../arena/frames.ts';
import { FRAME_BYTES, TRANSMIT_HEADROOM } from '../limits.ts';
import {
  AF_XDP,
  EBUSY,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  SYS,
  sys,
} from '../native/sys.ts';
import type { CopyWish } from './drivers.ts';
import { BIND_MEANINGS, errnoText, granted, ZEROCOPY_MEANINGS } from './errors.ts';
import { Struct } from './struct.ts';

const SOL_XDP = 283;
const XDP_MMAP_OFFSETS = 1;
const XDP_RX_RING = 2;
const XDP_TX_RING = 3;
const XDP_UMEM_REG = 4;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;
const XDP_STATISTICS = 7;
const XDP_OPTIONS = 8;
/** Kernel 6.17: how many frames one kick may send in copy mode, 32 otherwise. */
const XDP_MAX_TX_SKB_BUDGET = 9;
const XDP_COPY = 2;
const XDP_ZEROCOPY = 4;
const XDP_USE_NEED_WAKEUP = 8;
const MAP_ANONYMOUS = 0x20;
const PAGE_BYTES = 4096;
/** The kernel frees a closed socket's queue from a work queue, a little after close(2) returned. */
const BIND_PATIENCE_MS = 300;

/** Where each ring is: option that sizes it, page offset of its mapping, bytes of an entry. */
const RINGS = {
  rx: { option: XDP_RX_RING, page: 0, entryBytes: 16 },
  tx: { option: XDP_TX_RING, page: 0x80000000, entryBytes: 16 },
  fill: { option: XDP_UMEM_FILL_RING, page: 0x100000000, entryBytes: 8 },
  completion: { option: XDP_UMEM_COMPLETION_RING, page: 0x180000000, entryBytes: 8 },
} as const;
/** Their order in struct xdp_mmap_offsets. */
const RING_ORDER = ['rx', 'tx', 'fill', 'completion'] as const;

/** Blocks this thread; true, so that it can stand in a condition. */
function pause(ms: number): true {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return true;
}

/** Word indexes in the arena. */
export interface XskRing {
  producer: number;
  consumer: number;
  flags: number;
  descriptors: number;
}

export interface XskOptions {
  /**
   * From Attachment.openSocket, or any that does not block. Owned from here on: closed by
   * `release`, and when opening fails.
   */
  fd: number;
  ifindex: number;
  queue: number;
  /** Entries of each ring, a power of two. */
  ringEntries: number;
  /** Default: zero-copy where the kernel grants it. A program in generic mode needs 'copy'. */
  copy?: CopyWish;
}

export interface XskStatistics {
  rxDropped: number;
  rxInvalidDescriptors: number;
  txInvalidDescriptors: number;
  rxRingFull: number;
  fillRingEmpty: number;
  txRingEmpty: number;
}

export class Xsk {
  readonly fd: number;
  readonly rx: XskRing;
  readonly tx: XskRing;
  readonly fill: XskRing;
  readonly completion: XskRing;
  /** Most frames that one kick sends. */
  readonly kickBudget: number;
  readonly #mapped: { offset: number; bytes: number }[] = [];
  readonly #options: XskOptions;
  #zeroCopy = false;
  #refusal = '';

  constructor(arena: Arena, frames: Frames, options: XskOptions) {
    this.fd = options.fd;
    this.#options = options;
    try {
      this.#registerMemory(arena, frames);
      for (const name of RING_ORDER) {
        this.#set(
          RINGS[name].option,
          options.ringEntries,
          `${name} ring of ${options.ringEntries}`,
        );
      }
      const offsets = this.#get(XDP_MMAP_OFFSETS, 128);
      const map = (index: number) => this.#mapRing(arena, offsets, index, options.ringEntries);
      this.rx = map(0);
      this.tx = map(1);
      this.fill = map(2);
      this.completion = map(3);
      const budget = new Struct(4).u32(0, options.ringEntries).bytes;
      const set = sys.syscall(SYS.setsockopt, this.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, budget, 4);
      this.kickBudget = set < 0 ? 32 : options.ringEntries;
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** To the queue, as was wished. Throws a NicError; the socket is then to be released. */
  bind(): void {
    const { copy = 'auto', queue, ifindex } = this.#options;
    const what = `binding to queue ${queue} of interface ${ifindex}`;
    if (copy !== 'copy') {
      const result = this.#tryBind(XDP_ZEROCOPY);
      if (copy === 'zerocopy') granted(result, `${what} in zero-copy mode`, ZEROCOPY_MEANINGS);
      // Somebody else's queue is nobody's in copy mode either.
      if (result === -EBUSY) granted(result, what, BIND_MEANINGS);
      if (result < 0) this.#refusal = `zero-copy refused: ${errnoText(-result)}`;
    }
    if (copy === 'copy' || this.#refusal !== '') {
      granted(this.#tryBind(XDP_COPY), what, BIND_MEANINGS);
    }
    this.#zeroCopy = (this.#get(XDP_OPTIONS, 4).readU32(0) & 1) !== 0;
  }

  /** Once bound: what the kernel says (XDP_OPTIONS). */
  get zeroCopy(): boolean {
    return this.#zeroCopy;
  }

  /** Why zero-copy was asked for and not granted; empty otherwise. */
  get refusal(): string {
    return this.#refusal;
  }

  statistics(): XskStatistics {
    const s = this.#get(XDP_STATISTICS, 48);
    return {
      rxDropped: s.readU64(0),
      rxInvalidDescriptors: s.readU64(8),
      txInvalidDescriptors: s.readU64(16),
      rxRingFull: s.readU64(24),
      fillRingEmpty: s.readU64(32),
      txRingEmpty: s.readU64(40),
    };
  }

  /** The kernel lets go of socket, queue and memory before this returns, if no other fd is open. */
  release(): void {
    for (const { offset, bytes } of this.#mapped) {
      const flags = MAP_PRIVATE | MAP_ANONYMOUS;
      granted(sys.mapAt(offset, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), 'unmapping a ring');
    }
    this.#mapped.length = 0;
    sys.syscall(SYS.close, this.fd);
  }

  #registerMemory(arena: Arena, frames: Frames): void {
    const bytes = frames.end - frames.base;
    const registration = new Struct(32)
      .u64(0, sys.address(arena.u8) + BigInt(frames.base))
      .u64(8, bytes)
      .u32(16, FRAME_BYTES)
      .u32(20, TRANSMIT_HEADROOM);
    const result = sys.syscall(
      SYS.setsockopt,
      this.fd,
      SOL_XDP,
      XDP_UMEM_REG,
      registration.bytes,
      32,
    );
    granted(result, `registering ${bytes} bytes of packet memory`);
  }

  #set(option: number, value: number, what: string): void {
    const bytes = new Struct(4).u32(0, value).bytes;
    granted(sys.syscall(SYS.setsockopt, this.fd, SOL_XDP, option, bytes, 4), what);
  }

  #get(option: number, size: number): Struct {
    const value = new Struct(size);
    const length = new Struct(4).u32(0, size).bytes;
    const result = sys.syscall(SYS.getsockopt, this.fd, SOL_XDP, option, value.bytes, length);
    granted(result, `AF_XDP option ${option}`);
    return value;
  }

  #mapRing(arena: Arena, offsets: Struct, index: number, entries: number): XskRing {
    const name = RING_ORDER[index]!;
    const { page, entryBytes } = RINGS[name];
    const [producer, consumer, descriptors, flags] = [0, 8, 16, 24].map((field) =>
      offsets.readU64(index * 32 + field),
    ) as [number, number, number, number];
    const length = descriptors + entries * entryBytes;
    const bytes = Math.ceil(length / PAGE_BYTES) * PAGE_BYTES;
    const at = arena.carve(`${name} ring`, bytes, PAGE_BYTES);
    const mapping = MAP_SHARED | MAP_POPULATE;
    granted(
      sys.mapAt(at, bytes, PROT_READ | PROT_WRITE, mapping, this.fd, page),
      `mapping the ${name} ring`,
    );
    this.#mapped.push({ offset: at, bytes });
    return {
      producer: (at + producer) >> 2,
      consumer: (at + consumer) >> 2,
      flags: (at + flags) >> 2,
      descriptors: (at + descriptors) >> 2,
    };
  }

  #tryBind(how: number): number {
    const { ifindex, queue } = this.#options;
    const address = new Struct(16)
      .u16(0, AF_XDP)
      .u16(2, XDP_USE_NEED_WAKEUP | how)
      .u32(4, ifindex)
      .u32(8, queue);
    const until = performance.now() + BIND_PATIENCE_MS;
    let result: number;
    do result = sys.syscall(SYS.bind, this.fd, address.bytes, 16);
    while (result === -EBUSY && performance.now() < until && pause(1));
    return result;
  }
}
