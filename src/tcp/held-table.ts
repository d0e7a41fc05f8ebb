/**
 * The metadata of frames that flows hold: where a payload lies, and what it hangs on.
 *
 * - There is an entry for each frame of the pools, so holding one can never fail. An entry is known
 *   by the word index of its first word, 0 means none.
 * - `hold` and `free` count a flow's frames, and all.
 * - Small payloads are copied behind what a frame has already, or in front, where its headers were.
 *
 * Called by receive-queue.ts, out-of-order.ts. Read first: arena/frames.ts.
 */
import type { Frames } from '../arena/frames.ts';
import { FRAME_BYTES } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';
import { VERIFY } from '../verify.ts';
import type { Kernels } from '../wire/kernels.ts';
import { TCB } from './tcb.ts';

/** A held frame's metadata, by the word index of its first word; 0 means none. */
export const HELD = {
  next: 0,
  /** Any offset inside the frame. */
  frame: 1,
  /** First byte that is not done, and how many follow. */
  data: 2,
  length: 3,
  /** Sequence number of `data`; out of order only. */
  seq: 4,
  /** In order: bytes from `data` on that were emitted. */
  emitted: 5,
  /**
   * Of a run's first frame: its last one; the runs on either side in the tree (out-of-order.ts).
   */
  last: 5,
  left: 6,
  right: 7,
} as const;
const HELD_SHIFT = 3;

export class HeldTable {
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #frames: Frames;
  readonly #kernels: Kernels;

  constructor(env: Environment) {
    const { arena, frames, limits } = env;
    const count = limits.receiveFrames + limits.transmitFrames;
    this.#i32 = arena.i32;
    this.#base = arena.carve('held frames', count << (HELD_SHIFT + 2), 64) >> 2;
    this.#frames = frames;
    this.#kernels = arena.kernels;
  }

  /** `row` keeps the frame. Its entry, which is in no queue and has no sequence number yet. */
  hold(row: number, frame: number, data: number, length: number): number {
    if (VERIFY) this.#frames.verifyInside(frame, data, length);
    const i32 = this.#i32;
    const m = this.#base + (this.#frames.indexOf(frame) << HELD_SHIFT);
    i32[m + HELD.next] = 0;
    i32[m + HELD.frame] = frame;
    i32[m + HELD.data] = data;
    i32[m + HELD.length] = length;
    i32[m + HELD.emitted] = 0;
    i32[row + TCB.rxFrames] = i32[row + TCB.rxFrames]! + 1;
    this.#frames.held = (this.#frames.held + 1) | 0;
    return m;
  }

  free(row: number, m: number): void {
    const i32 = this.#i32;
    i32[row + TCB.rxFrames] = i32[row + TCB.rxFrames]! - 1;
    this.#frames.held = (this.#frames.held - 1) | 0;
    this.#frames.free(i32[m + HELD.frame]!);
  }

  /** Copies a payload behind that of a held frame; false: no room. */
  copyBehind(m: number, data: number, length: number): boolean {
    const i32 = this.#i32;
    const end = i32[m + HELD.data]! + i32[m + HELD.length]!;
    const frameEnd = this.#frames.startOf(i32[m + HELD.frame]!) + FRAME_BYTES;
    if (frameEnd - end < length) return false;
    this.#kernels.copy(end, data, length);
    i32[m + HELD.length] = i32[m + HELD.length]! + length;
    return true;
  }

  /** The same in front of it. */
  copyBefore(m: number, data: number, length: number): boolean {
    const i32 = this.#i32;
    const at = i32[m + HELD.data]! - length;
    if (at < this.#frames.startOf(i32[m + HELD.frame]!)) return false;
    this.#kernels.copy(at, data, length);
    i32[m + HELD.data] = at;
    i32[m + HELD.length] = i32[m + HELD.length]! + length;
    return true;
  }
}
