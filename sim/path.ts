/**
 * One direction between two hosts: what becomes of each frame, and when it arrives.
 *
 * - A drop-tail queue in front of a link of finite rate, then delay, jitter, reordering,
 *   duplication, corruption, loss.
 * - Loss is independent, or in bursts (Gilbert's two states), or total (`downs`: partitions).
 * - Corruption inverts one bit of an IP packet; ARP has no checksum of its own, so there a frame
 *   check would drop it.
 *
 * Used by network.ts. Read first: tc-netem(8), whose vocabulary this is; src/nic/around/impair.ts
 * is its driver-level twin.
 */
import type { Impairment } from '../src/nic/around/impair.ts';
import type { Random } from './random.ts';

export interface PathOptions extends Impairment {
  /** Bytes per microsecond (125 is 1 Gb/s); 0: without limit. */
  rate?: number;
  /** Bytes that may wait for the link. */
  queueBytes?: number;
  /**
   * Largest IP packet; 0: without limit. Larger ones are dropped, and the sender is told by ICMP.
   */
  mtu?: number;
  /** So many bytes in the queue, or this share in any case: packets that know ECN are marked. */
  markBytes?: number;
  mark?: number;
  /** For tests of the simulator: payload is changed in a way that no checksum tells. */
  forges?: boolean;
  /** Jitter does not reorder. */
  inOrder?: boolean;
}

/** The Ethernet header: no checksum of ours covers it. */
const UNSUMMED_BITS = 14 * 8;

/** Results of `send` below zero: why the frame never arrives. */
export const FATE = { lost: -1, queueFull: -2, down: -3 } as const;

export class Path {
  readonly options: PathOptions;
  /** Partitions in force. */
  downs = 0;
  /** Largest IP packet now; whether the sender of a larger one is told. */
  mtu: number;
  isSilent = false;
  /** The last frame's: a router was congested. */
  isMarked = false;
  /** The last frame's: it arrives a second time at this time (0: it does not). */
  duplicateAt = 0;
  /** The last frame's: this bit is inverted (-1: none). */
  corruptBit = -1;
  readonly #random: Random;
  #inBurst = false;
  /** When the link is done with what waits for it. */
  #freeAt = 0;
  #lastArrival = 0;

  constructor(options: PathOptions, random: Random) {
    this.options = options;
    this.mtu = options.mtu ?? 0;
    this.#random = random;
  }

  #isLost(): boolean {
    const { burst, loss = 0 } = this.options;
    if (burst && this.#random.chance(this.#inBurst ? burst.exit : burst.enter)) {
      this.#inBurst = !this.#inBurst;
    }
    return this.#inBurst || this.#random.chance(loss);
  }

  /** The time at which a frame of `length` bytes sent now arrives, or a FATE. */
  send(now: number, length: number, mayCorrupt: boolean): number {
    const o = this.options;
    const random = this.#random;
    this.duplicateAt = 0;
    this.corruptBit = -1;
    this.isMarked = o.mark !== undefined && random.chance(o.mark);
    if (this.downs > 0) return FATE.down;
    let out = now;
    if (o.rate) {
      const start = Math.max(now, this.#freeAt);
      if ((start - now) * o.rate + length > (o.queueBytes ?? 262_144)) return FATE.queueFull;
      if (o.markBytes && (start - now) * o.rate > o.markBytes) this.isMarked = true;
      out = this.#freeAt = start + length / o.rate;
    }
    if (this.#isLost()) return FATE.lost;
    if (random.chance(o.corrupt ?? 0)) {
      if (!mayCorrupt) return FATE.lost;
      this.corruptBit = random.between(UNSUMMED_BITS, length * 8 - 1);
    }
    let arrival = Math.ceil(out + (o.delayUs ?? 0) + random.below((o.jitterUs ?? 0) + 1));
    if (o.inOrder) arrival = this.#lastArrival = Math.max(arrival, this.#lastArrival);
    if (random.chance(o.reorder ?? 0)) arrival += o.reorderUs ?? 1000;
    if (random.chance(o.duplicate ?? 0)) {
      this.duplicateAt = arrival + random.below(2 * (o.delayUs ?? 0) + 1000);
    }
    return arrival;
  }

  /**
   * Nothing on this path ever loses, changes, multiplies or overtakes a frame; only `queueFull` may
   * drop.
   */
  static isPerfect(o: PathOptions): boolean {
    const chances = [o.loss, o.duplicate, o.corrupt, o.reorder, o.burst?.enter];
    return chances.every((c) => !c) && (o.inOrder === true || !o.jitterUs);
  }
}
