/**
 * Between a connection's wishes and the gate: which call is made when, and what its result means.
 *
 * - One connection in one batch makes at most one accept or connect, one coalesced sendv that says
 *   what was received too (without anything to send: one recv_done), and one close or abort. The
 *   result of each comes with the next batch.
 * - QUOTA means that the batch held too many calls: the call is made again. For sendv, like AGAIN
 *   or 0, that others hold what there is: again when somebody has given something back. For connect
 *   it is a refusal.
 * - Every other refusal ends the connection: it is reset, and `closed` comes as always. Mostly the
 *   flow has ended by itself, and its `dead` is on the way, perhaps behind bytes that are still to
 *   be handed over: so the reset is asked for after this batch's events, and only if `dead` says
 *   that it was the reset that ended it, the refusal is told (session.ts).
 * - BAD_HANDLE: the dataplane does not know it, and no `dead` will come. It is dead now.
 *
 * Called by session.ts. Read first: src/gate/abi.ts; what each call refuses: src/tcp/calls.ts.
 */
import { CALL, CALL_RESULT, CODE, DEAD, SENDV_DONE } from '../gate/abi.ts';
import { CALLS_MAX } from '../limits.ts';
import type { Faults } from './guard.ts';
import { PHASE } from './inside.ts';
import type { Life } from './life.ts';
import type { Outbox } from './outbox.ts';
import type { RawGate } from './raw.ts';
import { refusedCall, refusedConnect } from './refusals.ts';
import type { Session } from './session.ts';

/** Bits of `Inside.wants`. */
export const WANTS = {
  accept: 1,
  connect: 2,
  close: 4,
  abort: 8,
  shutdown: 16,
  keepalive: 32,
  userTimeout: 64,
  marking: 128,
} as const;

/** What is wanted again when a call was not made. */
const WANTED_BY: Record<number, number> = {
  [CALL.accept]: WANTS.accept,
  [CALL.close]: WANTS.close,
  [CALL.abort]: WANTS.abort,
  [CALL.shutdown]: WANTS.shutdown,
  [CALL.keepalive]: WANTS.keepalive,
  [CALL.user_timeout]: WANTS.userTimeout,
  [CALL.marking]: WANTS.marking,
};

/** What becomes of a connection whose connect was refused so. */
const CONNECT_DEAD: Record<number, number> = {
  [CODE.NO_ROUTE]: DEAD.noRoute,
  [CODE.DENIED]: DEAD.denied,
  [CODE.IN_USE]: DEAD.inUse,
  [CODE.NO_FLOW]: DEAD.exhausted,
  [CODE.QUOTA]: DEAD.quota,
};

export class Calls {
  readonly #session: Session;
  readonly #gate: RawGate;
  readonly #outbox: Outbox;
  readonly #faults: Faults;
  /** Connection of each call of the batch at the gate. */
  readonly #owners = new Int32Array(CALLS_MAX).fill(-1);

  constructor(session: Session, gate: RawGate, outbox: Outbox, faults: Faults) {
    this.#session = session;
    this.#gate = gate;
    this.#outbox = outbox;
    this.#faults = faults;
  }

  // --- into the batch ---

  /** False when the batch is full: the connection stays dirty. */
  write(c: Life): boolean {
    if (c.wants & WANTS.connect) return this.#connectCall(c);
    if (c.handle === 0) return true; // `results` marks it again when the handle is known
    if (c.wants & WANTS.accept) {
      const w = this.#call(CALL.accept, c);
      if (w < 0) return false;
      this.#gate.i32[w + 2] = c.id + 1;
      c.wants &= ~WANTS.accept;
    }
    const isWaiting = c.phase === PHASE.connecting || c.sendPending || c.isBlocked;
    const sends = !isWaiting && (c.wants & WANTS.abort) === 0 && this.#outbox.hasUnsent(c);
    if (c.consumed > 0 && !sends && !this.#recvDoneCall(c)) return false;
    if (c.wants & WANTS.abort) return this.#endCall(CALL.abort, c, WANTS.abort);
    if (c.wants & WANTS.userTimeout && !this.#userTimeoutCall(c)) return false;
    if (c.wants & WANTS.marking && !this.#markingCall(c)) return false;
    if (isWaiting) return true;
    if (c.wants & WANTS.keepalive && !this.#keepaliveCall(c)) return false;
    if (sends) return this.#sendvCall(c);
    if (c.wants & WANTS.shutdown && !this.#endCall(CALL.shutdown, c, WANTS.shutdown)) return false;
    return c.wants & WANTS.close ? this.#endCall(CALL.close, c, WANTS.close) : true;
  }

  #call(kind: number, c: Life): number {
    const index = this.#gate.callCount;
    const w = this.#gate.call(kind, c.handle);
    if (w >= 0) this.#owners[index] = c.id;
    return w;
  }

  #endCall(kind: number, c: Life, want: number): boolean {
    if (this.#call(kind, c) < 0) return false;
    c.wants &= ~want;
    return true;
  }

  #recvDoneCall(c: Life): boolean {
    const w = this.#call(CALL.recv_done, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.consumed;
    c.consumed = 0;
    return true;
  }

  #keepaliveCall(c: Life): boolean {
    const w = this.#call(CALL.keepalive, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.keepaliveMs;
    this.#gate.i32[w + 3] = c.keepaliveIntervalMs;
    this.#gate.i32[w + 4] = c.keepaliveCount;
    c.wants &= ~WANTS.keepalive;
    return true;
  }

  #userTimeoutCall(c: Life): boolean {
    const w = this.#call(CALL.user_timeout, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.userTimeoutMs;
    c.wants &= ~WANTS.userTimeout;
    return true;
  }

  #markingCall(c: Life): boolean {
    const w = this.#call(CALL.marking, c);
    if (w < 0) return false;
    this.#gate.i32[w + 2] = c.hops;
    this.#gate.i32[w + 3] = c.codePoint;
    c.wants &= ~WANTS.marking;
    return true;
  }

  #connectCall(c: Life): boolean {
    const w = this.#call(CALL.connect, c);
    if (w < 0) return false;
    const i32 = this.#gate.i32;
    i32[w + 1] = c.id + 1;
    for (let i = 0; i < 4; i++) i32[w + 2 + i] = c.remoteWord(i);
    i32[w + 6] = c.ports;
    c.wants &= ~WANTS.connect;
    return true;
  }

  #sendvCall(c: Life): boolean {
    const spans = this.#outbox.spansToSend(c);
    if (spans === 0) return false;
    const w = this.#call(CALL.sendv, c);
    if (w < 0) return false;
    this.#outbox.writeSendv(c, spans, w);
    this.#gate.i32[w + SENDV_DONE] = c.consumed;
    c.consumed = 0;
    c.sendPending = true;
    return true;
  }

  // --- what became of it ---

  /** Reads the results of the last batch. */
  results(): void {
    const gate = this.#gate;
    const i32 = gate.i32;
    const count = gate.callCount;
    for (let i = 0; i < count; i++) {
      const owner = this.#owners[i]!;
      if (owner < 0) continue;
      this.#owners[i] = -1;
      const c = this.#session.byId(owner);
      if (c.phase === PHASE.free) continue; // another call of this batch said that it is gone
      const w = gate.callAt(i);
      const kind = i32[w]!;
      const result = i32[w + CALL_RESULT]!;
      if (kind === CALL.sendv) this.#sendvResult(c, w, result);
      else if (kind === CALL.connect) this.#connectResult(c, result);
      else if (result === CODE.QUOTA) this.#again(c, kind, w);
      else if (result < 0) this.#refused(c, kind, result);
    }
  }

  #sendvResult(c: Life, w: number, result: number): void {
    c.sendPending = false;
    if (result > 0) this.#outbox.accepted(c, result);
    else if (result === CODE.QUOTA || result === CODE.AGAIN) {
      this.#session.consume(c, this.#gate.i32[w + SENDV_DONE]!); // not done, if still there
    } else if (result < 0) return this.#refused(c, CALL.sendv, result);
    if (this.#outbox.hasUnsent(c)) {
      // With bytes on the way `sent` will come; without any, others must give something back first.
      c.isBlocked = true;
      if (c.inFlight === 0) this.#session.hunger(c);
    } else if (c.wants !== 0) this.#session.markDirty(c);
  }

  #connectResult(c: Life, result: number): void {
    if (result > 0) {
      c.handle = result;
      if (c.wants !== 0) this.#session.markDirty(c);
      return;
    }
    // A quota that is used up is told by the control plane, which counts how often
    // (src/control/children/incidents.ts).
    if (result !== CODE.QUOTA && result !== CODE.NO_ROUTE) {
      this.#faults.tell(refusedConnect(`${c.remoteAddress} port ${c.remotePort}`, result));
    }
    this.#session.dead(c, CONNECT_DEAD[result] ?? DEAD.refused);
  }

  /** The call was not made: the batch was longer than it may be. */
  #again(c: Life, kind: number, w: number): void {
    if (kind === CALL.recv_done) return this.#session.consume(c, this.#gate.i32[w + 2]!);
    c.wants |= WANTED_BY[kind]!;
    this.#session.markDirty(c);
  }

  #refused(c: Life, kind: number, code: number): void {
    if (kind === CALL.accept || kind === CALL.abort) {
      // Mostly it died before it was taken, or while it was reset.
      return this.#session.dead(c, kind === CALL.accept ? DEAD.reset : DEAD.aborted);
    }
    if (code === CODE.BAD_HANDLE) {
      this.#faults.tell(refusedCall(kind, code));
      return this.#session.dead(c, DEAD.reset);
    }
    // What a connection that is closing can do no more is its end's business.
    const isEnding = c.phase === PHASE.closing && code === CODE.BAD_STATE;
    if (!isEnding && c.refusal === 0) c.refusal = (kind << 8) | (-code & 0xff);
    c.isRefused = true;
    this.#session.markDirty(c);
  }
}

/** What `Inside.refusal` says, in one line. */
export const refusalText = (refusal: number): string =>
  refusedCall(refusal >> 8, -(refusal & 0xff));
