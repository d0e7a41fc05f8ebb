/**
 * Frames from any elastic thread of a dataplane to any other, through memory that they share.
 *
 * - A ring (arena/ring.ts) for each pair and direction, of `slotsFor` slots: a thread that does not
 *   get to its own loses what is more, and nobody else's. `give` says so, its caller counts.
 * - A frame is copied in and copied out, as words: it stands as far behind a word's beginning there
 *   as here. What is handed on is what came to the wrong thread: it is rare, or a NIC has been set
 *   up badly.
 * - The rings of a thread are looked at only after somebody has `rung`.
 * - Sleeping: `prepareSleep` says so in the shared memory and looks once more; who gives writes the
 *   eventfd only for one that sleeps. Store-then-load on both sides: one of them always sees the
 *   other (Dekker).
 * - The threads are one program and trust each other. Nothing is allocated per frame.
 *
 * Called by siblings.ts; made by dataplane/main.ts. Read first: arena/ring.ts.
 */
import type { Arena } from '../../arena/arena.ts';
import { RingConsumer, RingProducer, ringBytes } from '../../arena/ring.ts';
import { FRAME_BYTES, powerOfTwo } from '../../limits.ts';
import { SYS, sys } from '../../native/sys.ts';
import { makeEventfd } from '../eventfd.ts';

/** Frames that wait for one thread, all others' together; and for each of them at least. */
const WAITING = 512;
const WAITING_MIN = 8;

/** In a slot: length and shift, then the frame from its shift on. */
const SLOT_FRAME = 4;
const SLOT_WORDS = SLOT_FRAME + FRAME_BYTES / 4;
const SHIFT_AT = 16;

/** For each thread: whether somebody has given, and whether it sleeps, on lines of their own. */
const RUNG = 0;
const SLEEPING = 32;
const FLAG_WORDS = 64;

/** What the threads are given at their start. */
export interface HandoverParts {
  readonly memory: SharedArrayBuffer;
  readonly threads: number;
  /** An eventfd a thread; none: nobody sleeps. */
  readonly wakeFds: readonly number[];
}

const slotsFor = (threads: number): number =>
  Math.max(WAITING_MIN, powerOfTwo(Math.ceil(WAITING / threads)));

/** `wakes`: with an eventfd a thread. Pages that are not used cost address space only. */
export function makeHandover(threads: number, wakes: boolean): HandoverParts {
  const bytes = 4 * threads * FLAG_WORDS + threads ** 2 * ringBytes(slotsFor(threads), SLOT_WORDS);
  const wakeFds = Array.from({ length: wakes ? threads : 0 }, () => makeEventfd('eventfd'));
  return { memory: new SharedArrayBuffer(bytes), threads, wakeFds };
}

export class Handover {
  /** To be polled by a thread that sleeps. */
  readonly fds: readonly number[];
  readonly #local: Int32Array;
  readonly #shared: Int32Array<SharedArrayBuffer>;
  readonly #flags: number;
  readonly #wakeFds: readonly number[];
  /** By thread; ours stay empty. */
  readonly #to: RingProducer[];
  readonly #from: RingConsumer[];
  /** An eventfd is written and read as eight bytes. */
  readonly #one = BigUint64Array.of(1n);
  readonly #received = new BigUint64Array(1);
  #next = 0;
  #isLeft = false;
  #isAsleep = false;

  constructor({ memory, threads, wakeFds }: HandoverParts, thread: number, arena: Arena) {
    this.#local = arena.i32;
    this.#shared = new Int32Array(memory);
    this.#flags = thread * FLAG_WORDS;
    this.#wakeFds = wakeFds;
    this.fds = wakeFds.length > 0 ? [wakeFds[thread]!] : [];
    const slots = slotsFor(threads);
    const ring = (from: number, to: number): number =>
      threads * FLAG_WORDS + ((from * threads + to) * ringBytes(slots, SLOT_WORDS)) / 4;
    const all = Array.from({ length: threads }, (_, other) => other);
    this.#to = all.map(
      (other) => new RingProducer(this.#shared, ring(thread, other), slots, SLOT_WORDS),
    );
    this.#from = all.map(
      (other) => new RingConsumer(this.#shared, ring(other, thread), slots, SLOT_WORDS),
    );
  }

  /** A copy of the frame of `length` bytes at `offset` for thread `to`; false: it has no room. */
  give(to: number, offset: number, length: number): boolean {
    const ring = this.#to[to]!;
    if (ring.free() === 0) return false;
    const shift = offset & 3;
    const slot = ring.slot(0);
    this.#shared[slot] = length | (shift << SHIFT_AT);
    copyWords(this.#shared, slot + SLOT_FRAME, this.#local, offset >> 2, shift + length);
    ring.publish(1);
    const flags = to * FLAG_WORDS;
    Atomics.store(this.#shared, flags + RUNG, 1);
    if (Atomics.load(this.#shared, flags + SLEEPING) === 0) return true;
    if (Atomics.exchange(this.#shared, flags + SLEEPING, 0) === 0) return true;
    if (to < this.#wakeFds.length) sys.syscall(SYS.write, this.#wakeFds[to]!, this.#one, 8);
    return true;
  }

  /** Frames for us. */
  waiting(): number {
    if (!this.#isLeft) {
      if (Atomics.load(this.#shared, this.#flags + RUNG) === 0) return 0;
      Atomics.store(this.#shared, this.#flags + RUNG, 0);
    }
    let count = 0;
    for (let i = 0; i < this.#from.length; i++) count = (count + this.#from[i]!.available()) | 0;
    this.#isLeft = count > 0;
    return count;
  }

  /** Length of the frame that `take` has copied, and how far behind the beginning it stands. */
  length = 0;
  shift = 0;

  /** Copies one, of each thread in turn, to the frame that begins at `frame`; one is `waiting`. */
  take(frame: number): void {
    let ring = this.#from[this.#next]!;
    for (let i = 0; i < this.#from.length && ring.available() === 0; i++) ring = this.#turn();
    const slot = ring.slot(0);
    const word = this.#shared[slot]!;
    this.length = word & 0xffff;
    this.shift = word >> SHIFT_AT;
    copyWords(this.#local, frame >> 2, this.#shared, slot + SLOT_FRAME, this.shift + this.length);
    ring.release(1);
    this.#turn();
  }

  #turn(): RingConsumer {
    this.#next = (this.#next + 1) % this.#from.length;
    return this.#from[this.#next]!;
  }

  /** True: nothing has come, and from now on who gives writes `fds`. `wake` ends it. */
  prepareSleep(): boolean {
    Atomics.store(this.#shared, this.#flags + SLEEPING, 1);
    this.#isAsleep = true;
    if (this.waiting() === 0) return true;
    this.wake();
    return false;
  }

  wake(): void {
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    Atomics.store(this.#shared, this.#flags + SLEEPING, 0);
    // Even if nobody cleared the flag: a late write of last time would end every later sleep.
    if (this.fds.length > 0) sys.syscall(SYS.read, this.fds[0]!, this.#received, 8);
  }
}

/** Between two memories, so no kernel's; 375 words for a long frame. */
function copyWords(
  to: Int32Array,
  toWord: number,
  from: Int32Array,
  fromWord: number,
  bytes: number,
): void {
  const words = (bytes + 3) >> 2;
  for (let i = 0; i < words; i++) to[toWord + i] = from[fromWord + i]!;
}
