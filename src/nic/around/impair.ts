/**
 * A bad network: a driver around a driver, which loses, duplicates, corrupts, delays or reorders.
 *
 * - Each direction has its own impairments and its own random stream, a function of the seed and of
 *   the frames that went before: a run with the same seed and the same traffic is the same run.
 * - Time is the `clock`, virtual or real; held frames go on at the next `receive` or `kick`.
 * - What is held (delayed, duplicated, overtaken) is copied into buffers of its own, so no pool
 *   runs short by it and nothing is lent; they are bounded, and a frame that finds none free is
 *   lost (`overflowed`).
 * - While frames are held `prepareSleep` says no: the thread spins, as it is a test that runs.
 *
 * Used by dataplane/nics.ts (`--impair`) and the simulator (sim/path.ts). Read first: tc-netem(8),
 * whose vocabulary this is.
 */
import type { Arena } from '../../arena/arena.ts';
import type { Clock } from '../../arena/clock.ts';
import type { Frames } from '../../arena/frames.ts';
import { BATCH_MAX, TRANSMIT_HEADROOM } from '../../limits.ts';
import type { Nic } from '../nic.ts';
import { AroundNic } from './around.ts';
import { HeldFrames } from './held-frames.ts';

/** Probabilities are 0..1 a frame. */
export interface Impairment {
  loss?: number;
  /**
   * Gilbert's two states: in the bad one every frame is lost; its mean length is 1 / exit frames.
   */
  burst?: { enter: number; exit: number };
  duplicate?: number;
  /** One bit is inverted. */
  corrupt?: number;
  /** The frame is held for `reorderUs` (default 1000) more, so that later ones overtake it. */
  reorder?: number;
  reorderUs?: number;
  delayUs?: number;
  /** Uniform in 0..jitterUs, added to the delay. */
  jitterUs?: number;
}

export interface ImpairOptions {
  seed: number;
  receive?: Impairment;
  transmit?: Impairment;
  /** Frames that one direction can hold, default 1024. */
  holdMax?: number;
}

export interface ImpairCounts {
  passed: number;
  lost: number;
  duplicated: number;
  corrupted: number;
  reordered: number;
  overflowed: number;
}

/** A probability as a bound on a random 31-bit number: `random <= bound` happens so often. */
const bound = (probability = 0): number => Math.round(probability * 0x7fffffff) - 1;

/** One direction: what happens to each frame. */
class Path {
  readonly counts: ImpairCounts;
  readonly held: HeldFrames;
  readonly #arena: Arena;
  readonly #frames: Frames;
  readonly #loss: number;
  readonly #enter: number;
  readonly #exit: number;
  readonly #duplicate: number;
  readonly #corrupt: number;
  readonly #reorder: number;
  readonly #reorderUs: number;
  readonly #delayUs: number;
  readonly #jitterUs: number;
  #random: number;
  #inBurst = false;

  constructor(arena: Arena, frames: Frames, how: Impairment, seed: number, holdMax: number) {
    this.counts = { passed: 0, lost: 0, duplicated: 0, corrupted: 0, reordered: 0, overflowed: 0 };
    this.held = new HeldFrames(arena, holdMax);
    this.#arena = arena;
    this.#frames = frames;
    this.#loss = bound(how.loss);
    this.#enter = bound(how.burst?.enter);
    this.#exit = bound(how.burst?.exit);
    this.#duplicate = bound(how.duplicate);
    this.#corrupt = bound(how.corrupt);
    this.#reorder = bound(how.reorder);
    this.#reorderUs = how.reorderUs ?? 1000;
    this.#delayUs = how.delayUs ?? 0;
    this.#jitterUs = how.jitterUs ?? 0;
    this.#random = seed | 0;
  }

  /** mulberry32, the upper 31 bits. */
  #draw(): number {
    this.#random = (this.#random + 0x6d2b79f5) | 0;
    let t = this.#random;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 1;
  }

  #happens(limit: number): boolean {
    return limit >= 0 && this.#draw() <= limit;
  }

  #isLost(): boolean {
    if (this.#happens(this.#inBurst ? this.#exit : this.#enter)) this.#inBurst = !this.#inBurst;
    return this.#inBurst || this.#happens(this.#loss);
  }

  /** True: the frame goes on now, and is still the caller's. False: it is consumed. */
  admit(offset: number, length: number, nowUs: number): boolean {
    if (this.#isLost()) {
      this.counts.lost++;
      this.#frames.free(offset);
      return false;
    }
    if (this.#happens(this.#corrupt)) {
      this.counts.corrupted++;
      const bit = this.#draw() % (length * 8);
      const at = offset + (bit >> 3);
      this.#arena.u8[at] = this.#arena.u8[at]! ^ (1 << (bit & 7));
    }
    let delay = this.#delayUs;
    if (this.#jitterUs > 0) delay += this.#draw() % (this.#jitterUs + 1);
    if (this.#happens(this.#duplicate)) {
      this.counts.duplicated++;
      this.#hold(offset, length, (nowUs + delay) | 0);
    }
    if (this.#happens(this.#reorder)) {
      this.counts.reordered++;
      delay += this.#reorderUs;
    }
    if (delay === 0) {
      this.counts.passed++;
      return true;
    }
    this.#hold(offset, length, (nowUs + delay) | 0);
    this.#frames.free(offset);
    return false;
  }

  #hold(offset: number, length: number, dueUs: number): void {
    if (!this.held.put(offset, length, dueUs)) this.counts.overflowed++;
  }
}

export class Impair extends AroundNic {
  override readonly rxOffsets = new Int32Array(BATCH_MAX);
  override readonly rxLengths = new Int32Array(BATCH_MAX);
  readonly #frames: Frames;
  readonly #clock: Clock;
  readonly #receive: Path;
  readonly #transmit: Path;

  constructor(inner: Nic, arena: Arena, frames: Frames, clock: Clock, options: ImpairOptions) {
    super(inner, `impaired ${inner.name}`);
    this.#frames = frames;
    this.#clock = clock;
    const holdMax = options.holdMax ?? 1024;
    const path = (how: Impairment = {}, salt: number): Path =>
      new Path(arena, frames, how, Math.imul(options.seed, 2) + salt, holdMax);
    this.#receive = path(options.receive, 0);
    this.#transmit = path(options.transmit, 1);
  }

  get received(): Readonly<ImpairCounts> {
    return this.#receive.counts;
  }

  get transmitted(): Readonly<ImpairCounts> {
    return this.#transmit.counts;
  }

  override receive(max: number): number {
    if (max > BATCH_MAX) max = BATCH_MAX;
    const now = this.#clock.us;
    const { held } = this.#receive;
    let count = 0;
    for (; count < max && held.isDue(now); count++) {
      const frame = this.#frames.takeReceive();
      if (frame < 0) break;
      this.rxLengths[count] = held.take(frame + TRANSMIT_HEADROOM);
      this.rxOffsets[count] = frame + TRANSMIT_HEADROOM;
    }
    if (count === max) return count;
    const { inner } = this;
    const fresh = inner.receive(max - count);
    for (let i = 0; i < fresh; i++) {
      const offset = inner.rxOffsets[i]!;
      const length = inner.rxLengths[i]!;
      if (!this.#receive.admit(offset, length, now)) continue;
      this.rxOffsets[count] = offset;
      this.rxLengths[count] = length;
      count++;
    }
    return count;
  }

  override transmit(offset: number, length: number): void {
    if (this.#transmit.admit(offset, length, this.#clock.us)) this.inner.transmit(offset, length);
  }

  override kick(): void {
    const { held } = this.#transmit;
    while (held.isDue(this.#clock.us)) {
      const frame = this.#frames.takeTransmit();
      if (frame < 0) break;
      const length = held.take(frame + TRANSMIT_HEADROOM);
      this.inner.transmit(frame + TRANSMIT_HEADROOM, length);
    }
    this.inner.kick();
  }

  override prepareSleep(): boolean {
    if (this.#receive.held.count + this.#transmit.held.count > 0) return false;
    return super.prepareSleep();
  }
}
