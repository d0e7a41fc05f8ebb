/**
 * Domain process: the application runs in a process of its own and is entered once a batch.
 *
 * - Turns are numbered: the dataplane writes the number of the turn that begins (GATE_TURN), the
 *   application writes it back when its calls are complete (GATE_DONE). Between the two both arrays
 *   are the application's; they are memfds that both map, the event array read-only over there.
 * - Run to completion is kept: on one core the futex hands the core over and back. That is 5.5 to 6
 *   us a round trip, hence once a batch. Mostly the kernel runs the application already inside our
 *   wake; only when it does not do we wait, and are to be woken (GATE_WAITED). sched_yield between
 *   two threads that can both run is faster by itself (4 us), but echoed 9 % fewer messages with 64
 *   connections.
 * - Placement `split`: the application polls on a core of its own, and the dataplane does not wait
 *   for it but goes on with its NIC; `isBack` is asked in each iteration. Still one turn at a time.
 * - An application that does not come back within WATCHDOG_US (WAKING_US when it slept) keeps the
 *   arrays but nothing else: the thread goes on acknowledging, timing and receiving without it, and
 *   looks again in each iteration. It may fall asleep meanwhile: GATE_AWAY asks the application to
 *   ring the bell when it is back. Each side writes its word before it reads the other's, so one of
 *   them always sees.
 * - Nothing that the application writes can do more than end its own turn early or late.
 *
 * Called by the elastic thread. The other side is src/application/worker.ts. Read first: man 2
 * futex.
 */
import type { Arena } from '../arena/arena.ts';
import type { Placement } from '../child/config.ts';
import {
  GATE_AGAIN,
  GATE_AWAY,
  GATE_COUNT,
  GATE_DONE,
  GATE_TURN,
  GATE_WAITED,
  GATE_WAITING,
  WAITING,
} from '../gate/arrays.ts';
import { ETIMEDOUT, SYS, sys } from '../native/sys.ts';
import type { Domain } from './domain.ts';

/**
 * How long the application may take for a turn before it is late: same-core the elastic thread
 * waits so long. With 5 ms, a timer that the kernel need not program into the hardware, 4 % more
 * messages were echoed; but a flood fills the receive ring in that time, and a stranger's SYN is
 * lost.
 */
const WATCHDOG_US = 1000;
/**
 * The same for an application that slept in its event loop: nobody has asked for anything for a
 * while, and what it needs to run has to be fetched from memory first (1 to 3 ms where others fill
 * the caches). After WATCHDOG_US the thread would go to sleep, only to be woken again.
 */
const WAKING_US = 4000;
const LOOKS_MAX = 8;

export interface ProcessDomainParts {
  readonly arena: Arena;
  /** Offsets of the two arrays. */
  readonly eventArray: number;
  readonly callArray: number;
  /** Wakes an application that waits in its event loop. */
  readonly wakeFd: number;
  readonly placement?: Placement;
}

export class ProcessDomain implements Domain {
  readonly isApart = true;
  readonly patienceUs: number;
  readonly #isSplit: boolean;
  readonly #i32: Int32Array;
  readonly #turnWord: number;
  readonly #doneWord: number;
  readonly #waitingWord: number;
  readonly #awayWord: number;
  readonly #waitedWord: number;
  readonly #callHeader: number;
  readonly #wakeFd: number;
  readonly #one = new Uint8Array(1);
  #turn: number;
  #isPresent = false;

  constructor(parts: ProcessDomainParts) {
    this.#isSplit = parts.placement === 'split';
    this.patienceUs = this.#isSplit ? WATCHDOG_US : 0; // same-core `enter` itself has waited
    this.#i32 = parts.arena.i32;
    this.#turnWord = (parts.eventArray >> 2) + GATE_TURN;
    this.#doneWord = (parts.callArray >> 2) + GATE_DONE;
    this.#waitingWord = (parts.callArray >> 2) + GATE_WAITING;
    this.#wakeFd = parts.wakeFd;
    this.#awayWord = (parts.eventArray >> 2) + GATE_AWAY;
    this.#waitedWord = (parts.eventArray >> 2) + GATE_WAITED;
    this.#callHeader = parts.callArray >> 2;
    this.#turn = Atomics.load(this.#i32, this.#turnWord);
    this.leave();
  }

  /** Nobody is there (yet, or any more): the arrays are ours and hold nothing. */
  leave(): void {
    const i32 = this.#i32;
    this.#isPresent = false;
    Atomics.store(i32, this.#waitingWord, WAITING.absent);
    Atomics.store(i32, this.#awayWord, 0);
    Atomics.store(i32, this.#waitedWord, 0);
    Atomics.store(i32, this.#callHeader + GATE_COUNT, 0);
    Atomics.store(i32, this.#callHeader + GATE_AGAIN, 0);
    Atomics.store(i32, this.#doneWord, this.#turn);
  }

  enter(): boolean {
    const i32 = this.#i32;
    if (!this.#isPresent) {
      // nobody: the events are dropped
      if (Atomics.load(i32, this.#waitingWord) === WAITING.absent) return true;
      this.#isPresent = true; // from here on only `leave` says that it is gone, not the application
    }
    this.#turn = (this.#turn + 1) | 0;
    Atomics.store(i32, this.#turnWord, this.#turn);
    const waiting = Atomics.load(i32, this.#waitingWord);
    if (waiting === WAITING.futex) sys.futexWake(this.#turnWord << 2, 1);
    else if (waiting === WAITING.eventLoop) sys.syscall(SYS.write, this.#wakeFd, this.#one, 1);
    if (this.#isSplit) return false;
    const limitUs = waiting === WAITING.eventLoop ? WAKING_US : WATCHDOG_US;
    // An honest application changes the word once; one that keeps changing it is not waited for.
    for (let look = 0; look < LOOKS_MAX; look++) {
      const done = Atomics.load(i32, this.#doneWord);
      if (done === this.#turn) return true;
      Atomics.store(i32, this.#waitedWord, 1);
      const result = sys.futexWait(this.#doneWord << 2, done, limitUs);
      Atomics.store(i32, this.#waitedWord, 0);
      if (result === -ETIMEDOUT) break;
    }
    return false;
  }

  goOn(): boolean {
    Atomics.store(this.#i32, this.#awayWord, 1);
    return this.isBack();
  }

  isBack(): boolean {
    if (Atomics.load(this.#i32, this.#doneWord) !== this.#turn) return false;
    Atomics.store(this.#i32, this.#awayWord, 0);
    return true;
  }
}
