/**
 * The arena: the one memory of a dataplane, into which every packet, row, ring, table is an offset.
 *
 * - A shared `WebAssembly.Memory` of fixed size, at most 2 GiB: so every offset is a non-negative
 *   int32. Untouched pages cost nothing.
 * - `carve` hands out named, aligned segments at start-up; there is no free and no growth.
 * - Views are native-endian (the machines are little-endian); network order goes through `view`.
 * - WASM kernels see the same bytes; other processes see memfds that are mapped over parts of it.
 * - It asks for huge pages, as IX's did, so that a miss of the cache is no miss of the TLB as well:
 *   250,000 connections whose state is cold answered 20 % more messages in one hour of a virtual
 *   machine, no more in another.
 *
 * Read first: docs/ARCHITECTURE.md "The arena".
 */
import { MADV_HUGEPAGE, MAP_SHARED, must, SYS, sys } from '../native/sys.ts';
import { type Kernels, kernelsOver } from '../wire/kernels.ts';

/** One page of WebAssembly below 2^31: the end of the arena is an int32, too. */
export const ARENA_BYTES_MAX = 2 ** 31 - 65_536;
/** A huge page of x86-64, and of arm64 with base pages of 4 KiB; V8 aligns memories to it. */
const HUGE_PAGE_BYTES = 2 ** 21;
/**
 * Segments from this size on begin at a huge page; for smaller ones the hole would be too large.
 */
const LARGE_BYTES = 4 * HUGE_PAGE_BYTES;

export interface Segment {
  name: string;
  offset: number;
  bytes: number;
}

export class ArenaFullError extends Error {
  readonly code = 'IX_ARENA_FULL';
}

export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly bytes: number;
  readonly u8: Uint8Array<SharedArrayBuffer>;
  readonly u16: Uint16Array<SharedArrayBuffer>;
  readonly i32: Int32Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  /** 8-byte cells: counters, exact to 2^53. */
  readonly f64: Float64Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;
  readonly kernels: Kernels;
  readonly segments: Segment[];
  #next: number;

  /** Over an existing memory or a new one of `bytes`, of which `segments` are taken already. */
  constructor(bytes: number, memory?: WebAssembly.Memory, segments: Segment[] = []) {
    const pages = Math.ceil(bytes / 65_536);
    if (bytes > ARENA_BYTES_MAX) {
      throw new ArenaFullError(
        `arena of ${bytes} bytes: the limit is 2 GiB; ask for less memory (-m) or fewer flows`,
      );
    }
    this.memory =
      memory ?? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const buffer = this.memory.buffer as unknown as SharedArrayBuffer;
    this.bytes = buffer.byteLength;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
    this.kernels = kernelsOver(this.memory);
    this.segments = segments;
    // offset 0 is never valid
    this.#next = segments.reduce((end, s) => Math.max(end, s.offset + s.bytes), 4096);
  }

  /** A new segment: page aligned unless told otherwise, so that memfds can be mapped over it. */
  carve(name: string, bytes: number, alignment = 4096): number {
    const unit = Math.max(alignment, bytes >= LARGE_BYTES ? HUGE_PAGE_BYTES : 0);
    const offset = Math.ceil(this.#next / unit) * unit;
    if (offset + bytes > this.bytes) {
      throw new ArenaFullError(
        `arena full: ${name} needs ${bytes} bytes at ${offset} of ${this.bytes}`,
      );
    }
    this.#next = offset + bytes;
    this.segments.push({ name, offset, bytes });
    return offset;
  }

  segment(name: string): Segment {
    const found = this.segments.find((s) => s.name === name);
    if (!found) throw new ArenaFullError(`no segment ${name}`);
    return found;
  }

  /**
   * A wish for huge pages under `bytes` from `offset` on: who has none leaves pages as they are.
   */
  preferHugePages(offset = 0, bytes: number = this.bytes): void {
    sys.syscall(SYS.madvise, this.u8.subarray(offset, offset + bytes), bytes, MADV_HUGEPAGE);
  }

  /** Puts a memfd under a segment of this arena, which must be the bound one. */
  mapShared({ name, offset, bytes }: Segment, fd: number, protection: number): void {
    must(sys.mapAt(offset, bytes, protection, MAP_SHARED, fd, 0), `mmap of ${name}`);
    this.preferHugePages(offset, bytes); // the mapping before it took its wish along
  }

  /** Makes this arena the one that native calls of this environment mean. */
  bindNative(): void {
    sys.useArena(this.u8);
  }
}
