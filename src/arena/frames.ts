/**
 * Packet buffers: a receive pool and a transmit pool, adjacent in the arena, one UMEM.
 *
 * - A frame is FRAME_BYTES long and aligned, so any offset inside names it. What lies in a frame
 *   may end where the next frame begins: who keeps a frame keeps an offset inside it, never that of
 *   a payload, which may be empty.
 * - Each pool is a stack of free frames: the warmest is used again first.
 * - `takeReceive` and `takeTransmit` hand over ownership, or answer -1 when the pool is empty;
 *   `free` consumes a frame of either pool.
 * - Under VERIFY free frames hold 0xdd, and who writes to one or frees it twice is caught. Every
 *   test ends with `allHome()`.
 */
import { FRAME_BYTES, FRAME_SHIFT } from '../limits.ts';
import { assert, VERIFY } from '../verify.ts';
import type { Arena, Segment } from './arena.ts';

const POISON = 0xdd;

export class Frames {
  readonly arena: Arena;
  /** First byte of the receive pool; the transmit pool follows it directly. */
  readonly base: number;
  readonly transmitBase: number;
  readonly end: number;
  readonly receiveCount: number;
  readonly transmitCount: number;
  /** Receive frames that the application's flows and sockets hold; these count themselves. */
  held = 0;
  readonly #i32: Int32Array;
  /** Word index of the receive stack; the transmit stack follows. */
  readonly #receiveStack: number;
  readonly #transmitStack: number;
  #receiveFree: number;
  #transmitFree: number;
  /** VERIFY only: 1 while a frame is free. */
  readonly #isFree: Uint8Array;

  /** `back` may put shared memory under the receive pool before it is used. */
  constructor(
    arena: Arena,
    receiveCount: number,
    transmitCount: number,
    back: (segment: Segment) => void = () => {},
  ) {
    this.arena = arena;
    this.receiveCount = receiveCount;
    this.transmitCount = transmitCount;
    const count = receiveCount + transmitCount;
    this.base = arena.carve('frames', count * FRAME_BYTES, 65_536);
    this.transmitBase = this.base + receiveCount * FRAME_BYTES;
    this.end = this.base + count * FRAME_BYTES;
    back(this.receivePool);
    this.#i32 = arena.i32;
    this.#receiveStack = arena.carve('frame stacks', count * 4) >> 2;
    this.#transmitStack = this.#receiveStack + receiveCount;
    this.#receiveFree = 0;
    this.#transmitFree = 0;
    this.#isFree = new Uint8Array(VERIFY ? count : 0);
    for (let i = count - 1; i >= 0; i--) this.free(this.base + i * FRAME_BYTES);
  }

  /** The part of the arena that an application may read. */
  get receivePool(): Segment {
    return {
      name: 'receivePool',
      offset: this.base,
      bytes: this.transmitBase - this.base,
    };
  }

  get receiveFree(): number {
    return this.#receiveFree;
  }

  get transmitFree(): number {
    return this.#transmitFree;
  }

  /** Number of a frame, from any offset inside it: an index for per-frame tables. */
  indexOf(offset: number): number {
    return (offset - this.base) >> FRAME_SHIFT;
  }

  /** The frame's first byte, from any offset inside it. */
  startOf(offset: number): number {
    return offset & -FRAME_BYTES;
  }

  /** VERIFY: `bytes` at `at`, perhaps none, lie in the frame that `offset` names. */
  verifyInside(offset: number, at: number, bytes: number): void {
    const frame = this.startOf(offset);
    const isInside = bytes >= 0 && at >= frame && at + bytes <= frame + FRAME_BYTES;
    assert(isInside, 'frames: bytes outside the frame that is said to hold them');
    assert(this.#isFree[this.indexOf(offset)] === 0, 'frames: a free frame is said to hold bytes');
  }

  isReceive(offset: number): boolean {
    return offset < this.transmitBase;
  }

  takeReceive(): number {
    if (this.#receiveFree === 0) return -1;
    this.#receiveFree = (this.#receiveFree - 1) | 0;
    const offset = this.#i32[this.#receiveStack + this.#receiveFree]!;
    if (VERIFY) this.#verifyTake(offset);
    return offset;
  }

  takeTransmit(): number {
    if (this.#transmitFree === 0) return -1;
    this.#transmitFree = (this.#transmitFree - 1) | 0;
    const offset = this.#i32[this.#transmitStack + this.#transmitFree]!;
    if (VERIFY) this.#verifyTake(offset);
    return offset;
  }

  /** Consumes a frame of either pool. */
  free(offset: number): void {
    const frame = this.startOf(offset);
    if (VERIFY) this.#verifyFree(frame);
    if (frame < this.transmitBase) {
      this.#i32[this.#receiveStack + this.#receiveFree] = frame;
      this.#receiveFree = (this.#receiveFree + 1) | 0;
    } else {
      this.#i32[this.#transmitStack + this.#transmitFree] = frame;
      this.#transmitFree = (this.#transmitFree + 1) | 0;
    }
  }

  /** True when every frame is free. `inDriver` receive frames are lent to a fill ring. */
  allHome(inDriver = 0): boolean {
    return (
      this.#receiveFree + inDriver === this.receiveCount &&
      this.#transmitFree === this.transmitCount
    );
  }

  #verifyTake(frame: number): void {
    const index = this.indexOf(frame);
    assert(this.#isFree[index] === 1, 'frames: took a frame that was not free');
    this.#isFree[index] = 0;
    const i32 = this.#i32;
    for (let w = frame >> 2; w < (frame + FRAME_BYTES) >> 2; w += 61) {
      assert(i32[w] === 0xdddddddd >> 0, 'frames: a free frame was written to');
    }
  }

  #verifyFree(frame: number): void {
    assert(frame >= this.base && frame < this.end, 'frames: freed an offset outside the pools');
    const index = this.indexOf(frame);
    assert(this.#isFree[index] === 0, 'frames: freed twice');
    this.#isFree[index] = 1;
    this.arena.u8.fill(POISON, frame, frame + FRAME_BYTES);
  }
}
