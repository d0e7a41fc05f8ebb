/**
 * The kernel's side of an AF_XDP socket, faked: what other kernels and drivers do with the four
 * rings, in a pure test.
 *
 * - `FakeKernel` stands in for the system calls of src/nic/xsk.ts and afxdp.ts on its own
 *   descriptors; all others go through. The rings are the arena's own memory, read and written here
 *   as the kernel does.
 * - Each behaviour was seen on the kernel that it is named by (test/drivers/run shows them on the
 *   real ones).
 * - `wire` is what was transmitted, `deliver` is a frame that arrives.
 *
 * Read first: net/xdp/xsk.c `__xsk_generic_xmit`, `xsk_bind`; net/xdp/xsk_queue.h.
 */
import type { Arena } from '../../src/arena/arena.ts';
import { EAGAIN, EINVAL, SYS, sys } from '../../src/native/sys.ts';

export interface Behaviour {
  /** Frames that one kick sends in copy mode. */
  budget: number;
  /** XDP_MAX_TX_SKB_BUDGET is known (6.17): the budget becomes what is asked for, 32 at least. */
  budgetIsAnOption: boolean;
  /** The transmit ring's consumer index moves only with a kick that ends without EAGAIN. */
  consumerIsLazy: boolean;
  /**
   * none: EOPNOTSUPP; picky: EINVAL; whole: the driver looks at the fill ring again and again;
   * atBind: only while it has buffers.
   */
  zeroCopy: 'none' | 'picky' | 'whole' | 'atBind';
  /** Sent frames complete at once, or when `complete` is called: a NIC's interrupt. */
  completesLater: boolean;
}

/** Debian 12's, and Debian 13's 6.12. */
export const LINUX_6_1: Behaviour = {
  ...{ budget: 32, budgetIsAnOption: false, consumerIsLazy: true },
  ...{ zeroCopy: 'none', completesLater: false },
};
export const LINUX_6_18: Behaviour = {
  ...{ budget: 32, budgetIsAnOption: true, consumerIsLazy: false },
  ...{ zeroCopy: 'none', completesLater: false },
};
export const VIRTIO_ZERO_COPY: Behaviour = { ...LINUX_6_18, zeroCopy: 'whole' };
export const IGB_ZERO_COPY: Behaviour = { ...LINUX_6_18, zeroCopy: 'atBind' };

const SOL_XDP = 283;
const [MMAP_OFFSETS, RX_RING, TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING, STATISTICS, OPTIONS] =
  [1, 2, 3, 4, 5, 6, 7, 8];
const MAX_TX_SKB_BUDGET = 9;
/** Flags of bind(2). */
export const COPY = 2;
export const ZEROCOPY = 4;
const USE_NEED_WAKEUP = 8;
const NEED_WAKEUP = 1;
const ENOPROTOOPT = 92;
const EACCES = 13;
const EOPNOTSUPP = 95;
const XDP_HEADROOM = 256;
const NIC_DESCRIPTORS = 256;
/**
 * Where things are in a mapping: producer, consumer, descriptors, flags (struct xdp_ring_offset).
 */
const [PRODUCER, CONSUMER, DESCRIPTORS, FLAGS] = [0, 64, 192, 128];

interface Ring {
  /** Words in the arena; below 0: not mapped. */
  base: number;
  entries: number;
  /** The kernel's own index: it publishes it when it likes. */
  mine: number;
}

/** By page offset of the mapping. */
const PAGES = new Map([
  [0, RX_RING],
  [0x80000000, TX_RING],
  [0x100000000, FILL_RING],
  [0x180000000, COMPLETION_RING],
]);

export class FakeKernel {
  readonly fd = 1_000_000;
  /** What was transmitted, oldest first. */
  readonly wire: Uint8Array[] = [];
  /** Flags of each bind(2), granted or not. */
  readonly binds: number[] = [];
  kicks = 0;
  isOpen = true;
  /** What the next calls of bind(2) answer, before the behaviour is asked. */
  bindAnswers: number[] = [];
  /** What the next kicks answer without sending anything. */
  kickAnswers: number[] = [];
  readonly #arena: Arena;
  readonly #how: Behaviour;
  readonly #rings = new Map<number, Ring>();
  readonly #real = { syscall: sys.syscall, mapAt: sys.mapAt, kick: sys.kick, wait: sys.wait };
  /** Of the UMEM: where in the arena, and its chunks. */
  #umem = { base: 0, chunk: 0, headroom: 0 };
  #budget: number;
  #isZeroCopy = false;
  /** Sent, not completed yet: addresses. */
  #owed: number[] = [];
  /** Zero copy: buffers that the NIC has. */
  #buffers: number[] = [];
  #counts = { rxDropped: 0, rxRingFull: 0, fillRingEmpty: 0 };

  constructor(arena: Arena, how: Behaviour) {
    this.#arena = arena;
    this.#how = how;
    this.#budget = how.budget;
  }

  /** Takes the place of the kernel until `remove`. */
  install(): void {
    const { syscall, mapAt, kick, wait } = this.#real;
    sys.syscall = (nr, ...args) =>
      args[0] === this.fd ? this.#call(nr, args) : syscall.call(sys, nr, ...args);
    sys.mapAt = (offset, length, prot, flags, fd, at) =>
      fd === this.fd ? this.#map(offset, at) : mapAt.call(sys, offset, length, prot, flags, fd, at);
    sys.kick = (fd) => (fd === this.fd ? this.#kick() : kick.call(sys, fd));
    sys.wait = (offset, count, us) =>
      this.#arena.i32[offset >> 2] === this.fd ? this.#poll() : wait.call(sys, offset, count, us);
  }

  remove(): void {
    Object.assign(sys, this.#real);
  }

  #call(nr: number, args: readonly unknown[]): number {
    const [, first, option, value] = args as [number, Uint8Array, number, Uint8Array];
    if (nr === SYS.close) {
      this.isOpen = false;
      return 0;
    }
    if (nr === SYS.bind) return this.#bind(new DataView(first.buffer, first.byteOffset));
    if ((first as unknown) !== SOL_XDP) return -EINVAL;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    return nr === SYS.setsockopt ? this.#set(option, view) : this.#get(option, view);
  }

  #set(option: number, value: DataView): number {
    if (option === UMEM_REG) {
      const base = Number(value.getBigUint64(0, true) - sys.address(this.#arena.u8));
      this.#umem = { base, chunk: value.getUint32(16, true), headroom: value.getUint32(20, true) };
      return 0;
    }
    const amount = value.getUint32(0, true);
    if (option === MAX_TX_SKB_BUDGET) {
      if (!this.#how.budgetIsAnOption) return -ENOPROTOOPT;
      if (amount < 32) return -EACCES;
      this.#budget = amount;
      return 0;
    }
    this.#rings.set(option, { base: -1, entries: amount, mine: 0 });
    return 0;
  }

  #get(option: number, value: DataView): number {
    const offsets = [PRODUCER, CONSUMER, DESCRIPTORS, FLAGS];
    if (option === MMAP_OFFSETS) {
      for (let i = 0; i < 16; i++) value.setBigUint64(i * 8, BigInt(offsets[i % 4]!), true);
    } else if (option === STATISTICS) {
      const { rxDropped, rxRingFull, fillRingEmpty } = this.#counts;
      for (const [at, n] of [
        [0, rxDropped],
        [24, rxRingFull],
        [32, fillRingEmpty],
      ] as const) {
        value.setBigUint64(at, BigInt(n), true);
      }
    } else if (option === OPTIONS) value.setUint32(0, this.#isZeroCopy ? 1 : 0, true);
    return 0;
  }

  #map(offset: number, page: number): number {
    const ring = this.#rings.get(PAGES.get(page) ?? 0);
    if (!ring) return -EINVAL;
    ring.base = offset >> 2;
    return 0;
  }

  #bind(address: DataView): number {
    const flags = address.getUint16(2, true);
    this.binds.push(flags);
    const answer = this.bindAnswers.shift();
    if (answer !== undefined) return answer;
    const { zeroCopy } = this.#how;
    const can = zeroCopy === 'whole' || zeroCopy === 'atBind';
    if ((flags & ZEROCOPY) !== 0 && !can) return zeroCopy === 'picky' ? -EINVAL : -EOPNOTSUPP;
    this.#isZeroCopy = can && (flags & COPY) === 0;
    if (this.#isZeroCopy) this.#refill();
    if ((flags & USE_NEED_WAKEUP) !== 0) this.#write(TX_RING, FLAGS, NEED_WAKEUP);
    return 0;
  }

  #word(ring: number, field: number): number {
    return this.#rings.get(ring)!.base + (field >> 2);
  }

  #read(ring: number, field: number): number {
    return this.#arena.i32[this.#word(ring, field)]!;
  }

  #write(ring: number, field: number, value: number): void {
    this.#arena.i32[this.#word(ring, field)] = value;
  }

  /** Word of an entry. */
  #entry(option: number, index: number, words: number): number {
    const { base, entries } = this.#rings.get(option)!;
    return base + (DESCRIPTORS >> 2) + (index & (entries - 1)) * words;
  }

  #kick(): number {
    this.kicks += 1;
    const answer = this.kickAnswers.shift();
    if (answer !== undefined) return answer;
    const ring = this.#rings.get(TX_RING)!;
    const { consumerIsLazy } = this.#how;
    const budget = this.#isZeroCopy ? Number.POSITIVE_INFINITY : this.#budget;
    let result = 0;
    for (let sent = 0; ring.mine !== this.#read(TX_RING, PRODUCER); sent++) {
      if (sent === budget) {
        result = -EAGAIN;
        break;
      }
      this.#send(ring);
    }
    if (!consumerIsLazy || result === 0) this.#write(TX_RING, CONSUMER, ring.mine);
    if (!this.#how.completesLater) this.complete();
    return result;
  }

  #send(ring: Ring): void {
    const { i32, u8 } = this.#arena;
    const word = this.#entry(TX_RING, ring.mine, 4);
    const [address, length] = [i32[word]!, i32[word + 2]!];
    const at = this.#umem.base + address;
    this.wire.push(u8.slice(at, at + length));
    this.#owed.push(address);
    ring.mine = (ring.mine + 1) | 0;
  }

  /** The NIC has sent `count` of what it was given: their buffers come back. */
  complete(count = Number.POSITIVE_INFINITY): void {
    const ring = this.#rings.get(COMPLETION_RING)!;
    for (const address of this.#owed.splice(0, count)) {
      const word = this.#entry(COMPLETION_RING, ring.mine, 2);
      this.#arena.i32[word] = address;
      ring.mine = (ring.mine + 1) | 0;
    }
    this.#write(COMPLETION_RING, PRODUCER, ring.mine);
  }

  /** A buffer of the fill ring; below 0: it is empty. */
  #take(): number {
    const ring = this.#rings.get(FILL_RING)!;
    if (ring.mine === this.#read(FILL_RING, PRODUCER)) {
      this.#counts.fillRingEmpty += 1;
      return -1;
    }
    const address = this.#arena.i32[this.#entry(FILL_RING, ring.mine, 2)]!;
    ring.mine = (ring.mine + 1) | 0;
    this.#write(FILL_RING, CONSUMER, ring.mine);
    return address;
  }

  /** Zero copy: the NIC wants its descriptors full, and counts it when they are not. */
  #refill(): void {
    while (this.#buffers.length < NIC_DESCRIPTORS) {
      const address = this.#take();
      if (address < 0) return;
      this.#buffers.push(address);
    }
  }

  #poll(): number {
    if (this.#isZeroCopy && this.#how.zeroCopy === 'whole') this.#refill();
    return 0;
  }

  /** A frame arrives; false: it is lost. */
  deliver(frame: Uint8Array): boolean {
    const { zeroCopy } = this.#how;
    if (this.#isZeroCopy && (zeroCopy === 'whole' || this.#buffers.length > 0)) this.#refill();
    const address = this.#isZeroCopy ? (this.#buffers.shift() ?? -1) : this.#take();
    if (address < 0) {
      this.#counts.rxDropped += 1;
      return false;
    }
    const { base, chunk, headroom } = this.#umem;
    const at = (address & -chunk) + XDP_HEADROOM + headroom;
    this.#arena.u8.set(frame, base + at);
    const ring = this.#rings.get(RX_RING)!;
    const word = this.#entry(RX_RING, ring.mine, 4);
    this.#arena.i32[word] = at;
    this.#arena.i32[word + 2] = frame.length;
    ring.mine = (ring.mine + 1) | 0;
    this.#write(RX_RING, PRODUCER, ring.mine);
    if (this.#isZeroCopy) this.#refill();
    return true;
  }
}
