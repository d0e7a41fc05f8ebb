/**
 * What a dataplane and the application's side of it are to each other: the side is inline or
 * another process, and the elastic thread does not know which.
 *
 * - The thread owns both arrays until `enter`; the side owns them until `enter` returned true, or
 *   `isBack` says so.
 * - A side sees four segments of the arena (`Layout`) and nothing else.
 */
import type { Arena, Segment } from '../arena/arena.ts';
import type { Limits } from '../limits.ts';

/** Whoever runs the application's turn: the inline domain, or the hand-over to its process. */
export interface Domain {
  /**
   * The application consumes the published events and leaves its calls. False: it has not come back
   * yet and still owns both arrays; `isBack` says when it has.
   */
  enter(): boolean;
  /** The application is another process: a turn of it costs microseconds. */
  readonly isApart: boolean;
  /** How long after `enter` it is late: until then the thread polls, then it may sleep. */
  readonly patienceUs: number;
  /** It is late: it is to ring the bell when it is back. True: it is back already. */
  goOn(): boolean;
  /** Whether the arrays are the dataplane's again. */
  isBack(): boolean;
}

/**
 * The four segments that an application sees, by their places in the arena (the same in both
 * processes).
 */
export interface Layout {
  arenaBytes: number;
  receivePool: Segment;
  events: Segment;
  calls: Segment;
  memory: Segment;
}

/** A descriptor that somebody else makes readable to wake this thread. */
export interface Doorbell {
  readonly fd: number;
  /** Makes it unreadable again. */
  drain(): void;
}

/** The application's side as the thread sees it. */
export interface Side {
  readonly domain: Domain;
  /** The application is gone: the arrays are the dataplane's, nobody takes turns. */
  leave?(): void;
  /** Rung when the application wants a turn while the thread sleeps. */
  readonly doorbell?: Doorbell;
  /**
   * Of an application that wants a turn in every iteration: for so many microseconds it does not.
   * -1: it wants none but for its events.
   */
  restUs?(): number;
}

export interface SideParts {
  readonly arena: Arena;
  readonly layout: Layout;
  readonly limits: Limits;
  /** The next iteration enters the application although it has no event for it. */
  askTurn(): void;
  /** Wakes the thread's runner. */
  wake(): void;
  /** Whether the runner goes around the event loop after each turn. */
  yields?(on: boolean): void;
}
