/**
 * One side of a hand-over as a program that stops before each of its steps, so that a test can put
 * the steps of two sides into any order.
 *
 * - A step is whatever the other side could notice: an access to a word that both see, a futex, a
 *   descriptor, the time, a wait in the event loop. Everything in between is the side's own affair.
 * - JavaScript cannot stop in the middle of a function. So a side is run again from its beginning,
 *   each step answered as it was before (its `history`), until the history ends: there `step`
 *   throws, and what it was asked is the side's next step. A side is a function of its history.
 * - `Point` is a history with its next step, made once: exploring costs a run for each history, not
 *   for each order.
 */

/** What a side does next. Each says what `a` and `b` are, and what its result means. */
export const STEP = {
  /** word -> its value */
  load: 0,
  /** word, value */
  store: 1,
  /** word, expected -> 0 when woken, or -errno */
  futexWait: 2,
  /** word */
  futexWake: 3,
  /** one of FD */
  ring: 4,
  /** one of FD */
  drain: 5,
  /** -> 1: much time has passed since it was read, 0: none */
  clock: 6,
  /** whether immediates wait, descriptors armed (bits of FD) -> one of LOOP */
  loop: 7,
  /** -> frames that came */
  frames: 8,
  /** The application's turn begins, and ends (a: how many events it saw). */
  enter: 9,
  leave: 10,
  /** The dataplane has counted: one of COUNTER. */
  count: 11,
  /** The dataplane has (a: again) nobody in its arrays. */
  vacant: 12,
} as const;

export const FD = { bell: 1, wake: 2, nic: 4 } as const;

/** What the event loop brings. */
export const LOOP = { immediate: 0, bell: 1, wake: 2, nic: 4, own: 5, gone: 6 } as const;

export type Program = (side: Side) => void;

const STOPPED = Symbol('stopped');

export class Side {
  readonly #history: readonly number[];
  #at = 0;
  kind = -1;
  a = 0;
  b = 0;

  constructor(history: readonly number[]) {
    this.#history = history;
  }

  step(kind: number, a = 0, b = 0): number {
    if (this.#at < this.#history.length) return this.#history[this.#at++]!;
    this.kind = kind;
    this.a = a;
    this.b = b;
    throw STOPPED;
  }
}

/** Where a side is: all that it has been answered, and what it does next. */
export class Point {
  static #count = 0;
  readonly id = Point.#count++;
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly #program: Program;
  readonly #history: readonly number[];
  readonly #next = new Map<number, Point>();
  /** Readings of the clock that stood, and times that it, or a wait, took long without need. */
  readonly stills: number;
  readonly jumps: number;

  constructor(program: Program, history: readonly number[] = [], stills = 0, jumps = 0) {
    const side = new Side(history);
    try {
      program(side);
    } catch (error) {
      if (error !== STOPPED) throw error;
    }
    this.#program = program;
    this.#history = history;
    this.kind = side.kind;
    this.a = side.a;
    this.b = side.b;
    this.stills = stills;
    this.jumps = jumps;
  }

  get depth(): number {
    return this.#history.length;
  }

  /** After its step was answered with `result`; `isLong`: time has passed without need. */
  after(result: number, isLong: boolean): Point {
    const known = this.#next.get(result);
    if (known) return known;
    const stills = this.stills + (this.kind === STEP.clock && result === 0 ? 1 : 0);
    const jumps = this.jumps + (isLong ? 1 : 0);
    const next = new Point(this.#program, [...this.#history, result], stills, jumps);
    this.#next.set(result, next);
    return next;
  }
}
