/**
 * A host's driver in a simulated network: frames leave at `kick`, come back to their pool at the
 * next `reclaim`.
 *
 * - A frame belongs to the driver until `reclaim`, and its bytes are read at `kick`: a stack that
 *   touches a transmitted frame sends garbage, and the observer sees it.
 * - Arrived frames wait in the network's slots until `receive` puts them into receive frames; the
 *   receive ring is finite (`rxRing`), and without a free receive frame they are lost, as with an
 *   empty fill ring (rxNoFrame).
 */
import type { Arena } from '../src/arena/arena.ts';
import type { Frames } from '../src/arena/frames.ts';
import { COUNTER, type Counters } from '../src/counters.ts';
import { BATCH_MAX } from '../src/limits.ts';
import type { Nic } from '../src/nic/nic.ts';
import type { Network } from './network.ts';

/** Where XDP puts a received frame inside its buffer. */
const RECEIVE_HEADROOM = 256;
const C_RX_FRAMES = COUNTER.rxFrames;
const C_RX_NO_FRAME = COUNTER.rxNoFrame;
const C_TX_FRAMES = COUNTER.txFrames;
const C_TX_FULL = COUNTER.txFull;

export interface SimNicOptions {
  index: number;
  mac: Uint8Array;
  mtu: number;
  /** Frames that one batch can transmit, and that can wait to be received. */
  txRing: number;
  rxRing: number;
}

export class SimNic implements Nic {
  readonly name: string;
  readonly index: number;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly fds: readonly number[] = [];
  readonly rxOffsets = new Int32Array(BATCH_MAX);
  readonly rxLengths = new Int32Array(BATCH_MAX);
  /** Frames that the host itself has lost: receive ring or pool empty, transmit ring full. */
  dropped = 0;
  readonly #options: SimNicOptions;
  readonly #network: Network;
  readonly #arena: Arena;
  readonly #frames: Frames;
  readonly #counters: Counters;
  /** Transmitted since the last kick, and given to the network since the last reclaim. */
  #queued: number[] = [];
  #lengths: number[] = [];
  #sent: number[] = [];
  /** Slots that have arrived; `#taken` of them were received. */
  readonly #arrived: number[] = [];
  #taken = 0;

  constructor(
    options: SimNicOptions,
    network: Network,
    arena: Arena,
    frames: Frames,
    counters: Counters,
  ) {
    this.name = `sim host ${options.index + 1}`;
    this.index = options.index;
    this.mac = options.mac;
    this.mtu = options.mtu;
    this.#options = options;
    this.#network = network;
    this.#arena = arena;
    this.#frames = frames;
    this.#counters = counters;
  }

  get waiting(): number {
    return this.#arrived.length - this.#taken;
  }

  /** From the network: a frame in one of its slots, which is ours until we release it. */
  arrive(slot: number): void {
    if (this.waiting >= this.#options.rxRing) {
      this.dropped++;
      this.#network.release(slot);
    } else this.#arrived.push(slot);
  }

  receive(max: number): number {
    const network = this.#network;
    const arrived = Math.min(max, BATCH_MAX, this.waiting);
    let count = 0;
    for (let i = 0; i < arrived; i++) {
      const slot = this.#arrived[this.#taken++]!;
      const frame = this.#frames.takeReceive();
      if (frame < 0) {
        this.dropped++;
        this.#counters.bump(C_RX_NO_FRAME);
      } else {
        const at = frame + RECEIVE_HEADROOM;
        this.rxLengths[count] = network.deliver(slot, this.index, this.#arena.u8, at);
        this.rxOffsets[count++] = at;
      }
      network.release(slot);
    }
    if (this.#taken > 64 && this.waiting === 0) {
      this.#arrived.length = 0;
      this.#taken = 0;
    }
    if (count > 0) this.#counters.add(C_RX_FRAMES, count);
    return count;
  }

  transmit(offset: number, length: number): void {
    this.#queued.push(offset);
    this.#lengths.push(length);
  }

  kick(): void {
    const count = this.#queued.length;
    for (let i = 0; i < count; i++) {
      // a full ring drops: the observer sees the frame all the same, TCP believes that it has left
      const isFull = this.#sent.length >= this.#options.txRing;
      const offset = this.#queued[i]!;
      this.#network.send(this.index, this.#arena.u8, offset, this.#lengths[i]!, isFull);
      this.#sent.push(offset);
      this.#counters.bump(isFull ? C_TX_FULL : C_TX_FRAMES);
      if (isFull) this.dropped++;
    }
    this.#queued.length = 0;
    this.#lengths.length = 0;
  }

  reclaim(): void {
    for (const offset of this.#sent) this.#frames.free(offset);
    this.#sent.length = 0;
  }

  receiveLent(): number {
    return 0;
  }

  close(): void {
    this.reclaim();
    for (const offset of this.#queued) this.#frames.free(offset);
    while (this.waiting > 0) this.#network.release(this.#arrived[this.#taken++]!);
    this.#queued.length = 0;
  }
}
