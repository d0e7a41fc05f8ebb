/**
 * A driver whose frames go wherever its maker says, as bytes: the end of a wire between stacks of
 * one process.
 *
 * - `transmit` gives a copy to the wire at once; what `arrived` is received in that order.
 * - A frame that finds the receive pool empty waits: whatever is lost, the wire has lost.
 *
 * Used by bench/goodput/simulated.ts and by the bed of test/node. sim-nic.ts is the one for a
 * network of many.
 */
import type { Arena } from '../src/arena/arena.ts';
import type { Frames } from '../src/arena/frames.ts';
import { BATCH_MAX, ETHERNET_MTU } from '../src/limits.ts';
import type { Nic } from '../src/nic/nic.ts';

/** Where XDP puts a received frame inside its buffer. */
const RECEIVE_HEADROOM = 256;

/** What one host sends into. */
export type Wire = (frame: Uint8Array) => void;

export class WireNic implements Nic {
  readonly name = 'wire';
  readonly mac: Uint8Array;
  readonly mtu = ETHERNET_MTU;
  readonly fds: readonly number[] = [];
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);
  /** What has come and was not received yet, the oldest first. */
  readonly arrived: Uint8Array[] = [];
  readonly #arena: Arena;
  readonly #frames: Frames;
  readonly #wire: Wire;

  constructor(arena: Arena, frames: Frames, mac: Uint8Array, wire: Wire) {
    this.mac = mac;
    this.#arena = arena;
    this.#frames = frames;
    this.#wire = wire;
  }

  receive(max: number): number {
    let count = 0;
    while (count < max && this.arrived.length > 0) {
      const frame = this.#frames.takeReceive();
      if (frame < 0) break;
      const bytes = this.arrived.shift()!;
      this.#arena.u8.set(bytes, frame + RECEIVE_HEADROOM);
      this.rxOffsets[count] = frame + RECEIVE_HEADROOM;
      this.rxLengths[count++] = bytes.length;
    }
    return count;
  }

  transmit(offset: number, length: number): void {
    this.#wire(this.#arena.u8.slice(offset, offset + length));
    this.#frames.free(offset);
  }

  kick(): void {}
  reclaim(): void {}
  receiveLent(): number {
    return 0;
  }
  close(): void {}
}
