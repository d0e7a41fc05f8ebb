/**
 * The application's side of a hand-over: waits for its turn, takes it, gives the core back.
 *
 * - While turns come often the thread waits on the turn word's futex (one crossing each way). Every
 *   SLICE_US, and when no turn came for WAIT_US, it goes around its event loop, so that the
 *   application's own asynchronous code (timers, promises, files) runs between batches; an idle
 *   application sleeps there and costs nothing.
 * - Placement `split` (`polls`): it polls the turn word after a turn, for as long as the idle
 *   policy says, before it waits on the futex, and the dataplane, which polls too, is not woken at
 *   the end of a turn.
 * - An application that yields (`yields`: one that works in promises, timers, files, or that is
 *   still starting) waits in the event loop always: what it has put off runs behind each turn.
 * - Calls made outside a turn set GATE_AGAIN and wake the dataplane. So does the end of a turn that
 *   took so long that the dataplane went on (GATE_AWAY): it may be asleep.
 *
 * Called by application/worker.ts. The other side is src/domain/process.ts.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Arena } from '../arena/arena.ts';
import type { IdlePolicy } from '../child/config.ts';
import {
  GATE_AGAIN,
  GATE_AWAY,
  GATE_DONE,
  GATE_TURN,
  GATE_WAITED,
  GATE_WAITING,
  WAITING,
} from '../gate/arrays.ts';
import type { Ix } from '../libix/ix.ts';
import { must, SYS, sys, type Watch } from '../native/sys.ts';

const SLICE_US = 4000;
/**
 * How long it waits for a turn: longer than the kernel's tick (4 ms at 250 Hz), because a timer
 * that would be the next to fire is programmed into the hardware and out again, which makes a turn
 * about 1 us longer.
 */
const WAIT_US = 5000;
/** Placement split: how long it polls after its last turn. */
const POLL_US: Record<IdlePolicy, number> = { spin: SLICE_US, adaptive: 200, sleep: 0 };
/** Looks at the turn word between two at the clock. */
const LOOKS = 64;
/** Bytes of wakes that one look takes. */
const WAKES_MAX = 64;

export interface TurnsParts {
  readonly arena: Arena;
  readonly ix: Ix;
  readonly eventArray: number;
  readonly callArray: number;
  /** Readable when the dataplane wants us while we sleep in the event loop. */
  readonly wakeFd: number;
  /** Wakes the dataplane. */
  readonly dataplaneFd: number;
  /** Placement split; absent: same-core. */
  readonly polls?: IdlePolicy;
}

export class Turns {
  readonly #i32: Int32Array;
  readonly #ix: Ix;
  readonly #turnWord: number;
  readonly #doneWord: number;
  readonly #waitingWord: number;
  readonly #againWord: number;
  readonly #awayWord: number;
  readonly #waitedWord: number;
  readonly #wakeFd: number;
  readonly #dataplaneFd: number;
  readonly #clockWord: number;
  /** undefined: same-core. */
  readonly #pollsUs: number | undefined;
  readonly #watch: Watch;
  readonly #one = new Uint8Array(1);
  readonly #woke = new Uint8Array(WAKES_MAX);
  /** In no async context of the application's, whoever has asked for the turn. */
  readonly #run = AsyncLocalStorage.bind(() => this.#slice());
  /** It waits in the event loop. */
  yields = false;
  #done: number;

  constructor(parts: TurnsParts) {
    this.#i32 = parts.arena.i32;
    this.#ix = parts.ix;
    this.#turnWord = (parts.eventArray >> 2) + GATE_TURN;
    this.#doneWord = (parts.callArray >> 2) + GATE_DONE;
    this.#waitingWord = (parts.callArray >> 2) + GATE_WAITING;
    this.#againWord = (parts.callArray >> 2) + GATE_AGAIN;
    this.#awayWord = (parts.eventArray >> 2) + GATE_AWAY;
    this.#waitedWord = (parts.eventArray >> 2) + GATE_WAITED;
    this.#wakeFd = parts.wakeFd;
    this.#dataplaneFd = parts.dataplaneFd;
    this.#pollsUs = parts.polls && POLL_US[parts.polls];
    this.#clockWord = parts.arena.carve('application clock', 64, 64) >> 2;
    this.#done = Atomics.load(this.#i32, this.#doneWord);
    const watch = sys.watch(this.#wakeFd, () => this.#woken());
    if (typeof watch === 'number') must(watch, 'watch of the wake descriptor');
    this.#watch = watch as Watch;
  }

  start(): void {
    Atomics.store(this.#i32, this.#waitingWord, WAITING.futex);
    this.askTurn();
    setImmediate(this.#run);
  }

  /** Whether this thread goes on when nothing else holds its event loop; at first it does. */
  stay(on: boolean): void {
    sys.refWatch(this.#watch, on);
  }

  /** The application has calls to make outside its turn. */
  askTurn(): void {
    Atomics.store(this.#i32, this.#againWord, 1);
    this.#ring();
  }

  #slice(): void {
    const i32 = this.#i32;
    const start = this.#us();
    let now = start;
    Atomics.store(i32, this.#waitingWord, WAITING.futex);
    for (;;) {
      const turn = Atomics.load(i32, this.#turnWord);
      if (turn !== this.#done) {
        this.#take(turn);
        if (this.yields) return this.#sleep();
        now = this.#us();
        if (((now - start) | 0) > SLICE_US) break;
        continue;
      }
      if (this.yields) return this.#sleep();
      if (this.#pollsUs !== undefined) {
        if (this.#polls(turn, start, this.#pollsUs)) continue;
        now = this.#us();
      }
      const left = (SLICE_US - ((now - start) | 0)) | 0;
      if (left <= 0 && this.#pollsUs !== undefined) break;
      if (left <= 0 || sys.futexWait(this.#turnWord << 2, turn, WAIT_US) !== 0) {
        if (Atomics.load(i32, this.#turnWord) === this.#done) return this.#sleep();
      }
    }
    setImmediate(this.#run);
  }

  /** Placement split: true when there is a turn. `start`: of the slice, whose end is not passed. */
  #polls(turn: number, start: number, pollsUs: number): boolean {
    const i32 = this.#i32;
    Atomics.store(i32, this.#waitingWord, WAITING.polling);
    const from = this.#us();
    for (;;) {
      for (let look = 0; look < LOOKS; look++) {
        if (Atomics.load(i32, this.#turnWord) !== turn) return true;
      }
      const now = this.#us();
      if (((now - from) | 0) >= pollsUs || ((now - start) | 0) >= SLICE_US) break;
    }
    Atomics.store(i32, this.#waitingWord, WAITING.futex);
    return false; // a turn that came just now changes the word that futexWait compares
  }

  #take(turn: number): void {
    this.#ix.dispatch();
    this.#done = turn;
    Atomics.store(this.#i32, this.#doneWord, turn);
    // It stored that word before it compares ours, and we store ours before we read that one: no
    // wake is lost.
    if (Atomics.load(this.#i32, this.#waitedWord) !== 0) sys.futexWake(this.#doneWord << 2, 1);
    if (Atomics.load(this.#i32, this.#awayWord) !== 0) this.#ring();
  }

  #ring(): void {
    sys.syscall(SYS.write, this.#dataplaneFd, this.#one, 1);
  }

  /** No turn for a slice: wait in the event loop. */
  #sleep(): void {
    Atomics.store(this.#i32, this.#waitingWord, WAITING.eventLoop);
    if (Atomics.load(this.#i32, this.#turnWord) !== this.#done) return void setImmediate(this.#run);
    sys.armWatch(this.#watch, true);
  }

  #woken(): void {
    sys.armWatch(this.#watch, false);
    sys.syscall(SYS.read, this.#wakeFd, this.#woke, this.#woke.length);
    this.#slice();
  }

  #us(): number {
    sys.clock(this.#clockWord << 2);
    return this.#i32[this.#clockWord]!;
  }
}
