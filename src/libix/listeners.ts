/**
 * Who listens: from `ix.listen` to the handlers of a knock, and to whoever is not let in.
 *
 * - A listener's cookie is another's only when the dataplane has closed it: then no knock of its
 *   comes any more. A knock that was on the way when its application closed is refused.
 * - A knock is refused by one `reject` of this batch, or of a later one when that is full; nothing
 *   is kept of it but its handle, and nothing is made for it.
 * - Who gives no `accept` pays nothing for it but one comparison a connection.
 *
 * Called by ix.ts. Read first: src/gate/abi.ts (listen, knock, reject).
 */
import { BOUND_PORT, CALL, CALL_RESULT, CODE, KNOCK, WORD } from '../gate/abi.ts';
import type { Knock, Listener, ListenOptions } from './application.ts';
import { describe, type Faults, type GuardedHandlers } from './guard.ts';
import type { RawGate } from './raw.ts';
import { refusal } from './refusals.ts';
import type { Requests } from './requests.ts';
import type { Session } from './session.ts';
import { writeAddress } from './udp.ts';

class Listening implements Listener {
  readonly handlers: GuardedHandlers;
  readonly accept: ListenOptions['accept'];
  readonly listening: ListenOptions['listening'];
  readonly refused: ListenOptions['refused'];
  readonly #listeners: Listeners;
  /** 0 until the dataplane has answered. */
  handle = 0;
  cookie = 0;
  port: number;
  isClosed = false;

  constructor(listeners: Listeners, wish: ListenWish, handlers: GuardedHandlers) {
    this.#listeners = listeners;
    this.port = wish.port;
    this.handlers = handlers;
    this.accept = wish.accept;
    this.listening = wish.listening;
    this.refused = wish.refused;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.handle !== 0) this.#listeners.unlisten(this); // else when it has one
  }
}

/** What a listen is asked for, checked (ix.ts). */
export interface ListenWish {
  port: number;
  address: number | ArrayLike<number>;
  backlog: number;
  accept: ListenOptions['accept'];
  listening: ListenOptions['listening'];
  refused: ListenOptions['refused'];
}

export class Listeners {
  readonly #gate: RawGate;
  readonly #requests: Requests;
  readonly #session: Session;
  readonly #faults: Faults;
  /** By cookie - 1. */
  readonly #all: (Listening | undefined)[] = [];
  readonly #freeCookies: number[] = [];
  /** Handles of flows that are to be rejected. */
  readonly #refused: number[] = [];
  /** Rejects in the batch at the gate. */
  #rejects = 0;
  readonly #knock: { -readonly [K in keyof Knock]: Knock[K] } = {
    remote: new Int32Array(4),
    remotePort: 0,
    local: new Int32Array(4),
    localPort: 0,
  };

  constructor(gate: RawGate, requests: Requests, session: Session, faults: Faults) {
    this.#gate = gate;
    this.#requests = requests;
    this.#session = session;
    this.#faults = faults;
  }

  /** Ports that are listened on, in the order of their listeners. */
  get ports(): number[] {
    return this.#all.flatMap((each) =>
      each === undefined || each.handle === 0 || each.isClosed ? [] : [each.port],
    );
  }

  listen(wish: ListenWish, handlers: GuardedHandlers): Listener {
    const { port, address, backlog } = wish;
    const listening = new Listening(this, wish, handlers);
    const cookie = this.#freeCookies.pop() ?? this.#all.length + 1;
    listening.cookie = cookie;
    this.#all[cookie - 1] = listening;
    const { i32 } = this.#gate;
    let at = 0;
    const write = (): number => {
      at = this.#gate.call(CALL.listen, cookie);
      if (at < 0) return -1;
      writeAddress(i32, at + 2, address);
      i32[at + BOUND_PORT] = port;
      i32[at + 7] = backlog;
      i32[at + 8] = 0;
      return at;
    };
    this.#requests.add(write, (result) => {
      if (result < 0) return this.#tellRefused(listening, result);
      listening.handle = result;
      listening.port = i32[at + BOUND_PORT]!;
      if (listening.isClosed) this.unlisten(listening);
      else listening.listening?.();
    });
    return listening;
  }

  /** Told to the one who asked, if he wants to hear of it; else thrown, to be reported. */
  #tellRefused(listening: Listening, result: number): void {
    this.#forget(listening);
    const { port, refused } = listening;
    const error = refusal(port === 0 ? 'a port of its choice' : `port ${port}`, result);
    if (refused === undefined) throw error;
    refused(error);
  }

  unlisten(listening: Listening): void {
    const write = (): number => this.#gate.call(CALL.unlisten, listening.handle);
    this.#requests.add(write, (result) => {
      if (result === CODE.QUOTA) this.unlisten(listening);
      else this.#forget(listening);
    });
  }

  /** The dataplane knows it no more: no knock of its will come. */
  #forget(listening: Listening): void {
    listening.isClosed = true;
    this.#all[listening.cookie - 1] = undefined;
    this.#freeCookies.push(listening.cookie);
  }

  // --- knocks ---

  /** The event knock at `w`. */
  knocked(w: number, cookie: number): void {
    const listening = this.#all[cookie - 1];
    if (listening === undefined || listening.isClosed) return this.#refuse(w);
    const { accept } = listening;
    if (accept !== undefined && !this.#isWelcome(w, accept)) return this.#refuse(w);
    this.#session.accept(w, listening.handlers);
  }

  #isWelcome(w: number, accept: (knock: Knock) => boolean): boolean {
    const { i32 } = this.#gate;
    const knock = this.#knock;
    for (let i = 0; i < 4; i++) {
      knock.remote[i] = i32[w + KNOCK.remote + i]!;
      knock.local[i] = i32[w + KNOCK.local + i]!;
    }
    knock.remotePort = i32[w + KNOCK.ports]! & 0xffff;
    knock.localPort = i32[w + KNOCK.ports]! >>> 16;
    try {
      const answer: unknown = accept(knock);
      if (typeof answer === 'boolean') return answer;
      const what = answer instanceof Promise ? 'it must not be async' : describe(answer);
      this.#faults.tell(`accept has not returned true or false (${what}), so nobody was let in`);
    } catch (error) {
      this.#faults.report(error);
    }
    return false;
  }

  #refuse(w: number): void {
    this.#refused.push(this.#gate.i32[w + WORD.handle]!);
  }

  /** Whether somebody waits for a batch to be refused in. */
  get isWaiting(): boolean {
    return this.#refused.length > 0;
  }

  /** Into this batch, as far as it holds them. */
  write(): void {
    const refused = this.#refused;
    while (refused.length > 0 && this.#gate.call(CALL.reject, refused.at(-1)!) >= 0) {
      refused.pop();
      this.#rejects = (this.#rejects + 1) | 0;
    }
  }

  /** Reads the results of the last batch: one that was beyond the quota is refused again. */
  results(): void {
    if (this.#rejects === 0) return;
    this.#rejects = 0;
    const gate = this.#gate;
    for (let i = 0; i < gate.callCount; i++) {
      const w = gate.callAt(i);
      if (gate.i32[w] !== CALL.reject || gate.i32[w + CALL_RESULT] !== CODE.QUOTA) continue;
      this.#refused.push(gate.i32[w + 1]!);
    }
  }
}
