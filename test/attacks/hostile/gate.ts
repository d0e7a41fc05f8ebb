/**
 * The gate in hostile hands: an application that takes its turns itself, without libix and without
 * src/domain/turns.ts.
 *
 * - Everything is synchronous: `calls` writes a batch, hands it over and waits for the turn that
 *   brings its results, so that an attack reads from top to bottom. Its thread never goes back to
 *   its event loop.
 * - Nothing is checked: what an attack writes is what the dataplane finds. Words, offsets and
 *   descriptors are there for it.
 * - Handles that calls return are remembered, so that `cleanUp` can give everything back after an
 *   attack.
 *
 * Used by the attacks of this directory. The honest one is src/domain/turns.ts.
 */
import type { ApplicationDescriptors } from '../../../src/child/config.ts';
import type { Layout } from '../../../src/domain/domain.ts';
import { CALL, CALL_RESULT, EVENT } from '../../../src/gate/abi.ts';
import {
  GATE_AGAIN,
  GATE_AWAY,
  GATE_CALLS,
  GATE_COUNT,
  GATE_DONE,
  GATE_HEADER_BYTES,
  GATE_TURN,
  GATE_WAITING,
  WAITING,
} from '../../../src/gate/arrays.ts';
import { CALLS_MAX, DESCRIPTOR_WORDS } from '../../../src/limits.ts';
import { ETIMEDOUT, SYS, sys } from '../../../src/native/sys.ts';

export interface Event {
  kind: number;
  handle: number;
  cookie: number;
  /** All sixteen words. */
  words: Int32Array;
}

/** Calls that give a handle, and the call that gives it back. */
const BACK: Record<number, number> = {
  [CALL.connect]: CALL.abort,
  [CALL.listen]: CALL.unlisten,
  [CALL.udp_bind]: CALL.udp_close,
  [CALL.timer]: CALL.timer_cancel,
};

export class HostileGate {
  readonly i32: Int32Array<ArrayBufferLike>;
  readonly u8: Uint8Array<ArrayBufferLike>;
  readonly layout: Layout;
  readonly shared: ApplicationDescriptors;
  /** Words of the two headers and of the first call. */
  readonly eventHeader: number;
  readonly callHeader: number;
  readonly firstCall: number;
  /** Events that nobody has looked at. */
  events: Event[] = [];
  #done: number;
  #turn = 0;
  #isHeld = false;
  /**
   * What it has: handles by the call that gives them back (the same number can be a handle of each
   * kind).
   */
  readonly #mine = new Map(Object.values(BACK).map((back) => [back, new Set<number>()]));

  constructor(buffer: ArrayBufferLike, layout: Layout, shared: ApplicationDescriptors) {
    this.i32 = new Int32Array(buffer);
    this.u8 = new Uint8Array(buffer);
    this.layout = layout;
    this.shared = shared;
    this.eventHeader = layout.events.offset >> 2;
    this.callHeader = layout.calls.offset >> 2;
    this.firstCall = (layout.calls.offset + GATE_HEADER_BYTES) >> 2;
    this.#done = Atomics.load(this.i32, this.callHeader + GATE_DONE);
  }

  /** First word of call i. */
  callAt(i: number): number {
    return this.firstCall + i * DESCRIPTOR_WORDS;
  }

  ring(): void {
    sys.syscall(SYS.write, this.shared.bell, Uint8Array.of(1), 1);
  }

  /** Waits for the next turn and reads its events; false when none came in time. */
  take(limitMs: number): boolean {
    const { i32 } = this;
    const turnWord = this.eventHeader + GATE_TURN;
    const end = performance.now() + limitMs;
    Atomics.store(i32, this.callHeader + GATE_WAITING, WAITING.futex);
    for (;;) {
      const turn = Atomics.load(i32, turnWord);
      if (turn !== this.#done) {
        this.#turn = turn;
        this.#isHeld = true;
        Atomics.store(i32, this.callHeader + GATE_AGAIN, 0);
        this.#readEvents();
        return true;
      }
      const leftUs = Math.floor((end - performance.now()) * 1000);
      if (leftUs <= 0) return false;
      const slept = sys.futexWait(turnWord << 2, turn, Math.min(leftUs, 1_000_000));
      if (slept === -ETIMEDOUT && leftUs <= 1_000_000) return false;
    }
  }

  /** Ends the turn. */
  give(): void {
    const { i32 } = this;
    this.#isHeld = false;
    this.#done = this.#turn;
    const doneWord = this.callHeader + GATE_DONE;
    Atomics.store(i32, doneWord, this.#turn);
    sys.futexWake(doneWord << 2, 1);
    if (Atomics.load(i32, this.eventHeader + GATE_AWAY) !== 0) this.ring();
  }

  /** A turn of ours, asked for if there is none. */
  hold(): void {
    while (!this.#isHeld) {
      Atomics.store(this.i32, this.callHeader + GATE_AGAIN, 1);
      this.ring();
      if (this.take(1000)) return;
    }
  }

  /** Writes calls from descriptor `from` on; nothing is handed over. */
  write(list: readonly (readonly number[])[], from = 0): void {
    list.forEach((words, i) => {
      const w = this.callAt(from + i);
      this.i32.fill(0, w, w + DESCRIPTOR_WORDS);
      this.i32.set(words, w);
    });
  }

  /** Hands over what is written, as `count` calls; returns when the results are there. */
  submit(count: number): void {
    const { i32, callHeader } = this;
    i32[callHeader + GATE_COUNT] = count;
    Atomics.store(i32, callHeader + GATE_AGAIN, 1);
    this.give();
    while (!this.take(1000)) this.ring();
  }

  /** Makes the calls, as many batches as they need; returns their results. */
  calls(list: readonly (readonly number[])[]): number[] {
    const results: number[] = [];
    const most = this.i32[this.eventHeader + GATE_CALLS] || CALLS_MAX;
    for (let at = 0; at < list.length; at += most) {
      const batch = list.slice(at, at + most);
      this.hold();
      this.write(batch);
      this.submit(batch.length);
      batch.forEach(([kind = 0, handle = 0], i) => {
        const result = this.i32[this.callAt(i) + CALL_RESULT]!;
        const back = BACK[kind];
        if (back !== undefined && result > 0) this.#mine.get(back)!.add(result);
        if (kind === CALL.accept && result === 0) this.#mine.get(CALL.abort)!.add(handle);
        results.push(result);
      });
    }
    return results;
  }

  call(...words: number[]): number {
    return this.calls([words])[0]!;
  }

  /** The first event of a kind (of that handle), waiting for it. */
  until(kind: number, handle = 0, limitMs = 2000): Event | undefined {
    const end = performance.now() + limitMs;
    for (;;) {
      const at = this.events.findIndex(
        (e) => e.kind === kind && (handle === 0 || e.handle === handle),
      );
      if (at >= 0) return this.events.splice(at, 1)[0];
      if (this.#isHeld) this.give();
      const left = end - performance.now();
      if (left <= 0 || !this.take(left)) return undefined;
    }
  }

  /** Gives up the turn and waits for events. */
  rest(limitMs: number): boolean {
    if (this.#isHeld) this.give();
    return this.take(limitMs);
  }

  /** Gives back every flow but one, and every listener, socket and timer. */
  cleanUp(keep: number): void {
    for (const [back, handles] of this.#mine) {
      const given = [...handles].filter((handle) => back !== CALL.abort || handle !== keep);
      this.calls(given.map((handle) => [back, handle]));
      for (const handle of given) handles.delete(handle);
    }
  }

  /** A listener that stays. */
  forget(listener: number): void {
    this.#mine.get(CALL.unlisten)!.delete(listener);
  }

  #readEvents(): void {
    const { i32, eventHeader } = this;
    const first = eventHeader + GATE_HEADER_BYTES / 4;
    const count = i32[eventHeader + GATE_COUNT]!;
    for (let i = 0; i < count; i++) {
      const words = i32.slice(first + i * DESCRIPTOR_WORDS, first + (i + 1) * DESCRIPTOR_WORDS);
      const [kind = 0, handle = 0, cookie = 0] = words;
      if (kind === EVENT.dead) this.#mine.get(CALL.abort)!.delete(handle);
      if (kind === EVENT.timer) this.#mine.get(CALL.timer_cancel)!.delete(handle);
      this.events.push({ kind, handle, cookie, words });
    }
  }
}
