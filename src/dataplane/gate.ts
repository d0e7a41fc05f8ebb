/**
 * The gate, dataplane side: executes one batch of system calls and writes each result in place.
 *
 * - The application owns the call array and may change it at any time: every field is read exactly
 *   once, then checked, then used. Handles are checked by the protocol that owns them.
 * - Offsets that calls name must lie in application memory; nothing else of the arena can be sent.
 * - A call array that lies about its count is cut at CALLS_MAX and counted (`gateBadCount`).
 * - Whom the application may speak to first (`--connect`) is checked here: src/net/both/egress.ts.
 * - Quotas are checked where the things are that they count (src/limits.ts); here: calls a batch.
 * - No sequence of calls may throw, stall or leak: unknown calls are answered BAD_CALL.
 *
 * Called by the elastic thread once an iteration. Read first: src/gate/abi.ts; OSDI'14 section 4.3.
 */
import type { Arena } from '../arena/arena.ts';
import { COUNTER, type Counters } from '../counters.ts';
import {
  BOUND_PORT,
  CALL,
  CALL_RESULT,
  CODE,
  LISTEN_KNOCK_AT_SYN,
  SENDV_DONE,
  SENDV_SPANS_MAX,
  SENDV_VECTOR,
  SENDV_VECTOR_MAX,
} from '../gate/abi.ts';
import { GATE_AGAIN, GATE_COUNT, GATE_HEADER_BYTES } from '../gate/arrays.ts';
import { CALLS_MAX, DESCRIPTOR_WORDS, QUOTA_NONE } from '../limits.ts';
import type { Egress } from '../net/both/egress.ts';
import { type Ip, NOT_OURS } from '../net/ip.ts';
import type { Udp } from '../net/udp.ts';
import type { Tcp } from '../tcp/tcp.ts';
import type { ApplicationTimers } from './timers.ts';

export const CALL_ARRAY_BYTES = GATE_HEADER_BYTES + CALLS_MAX * DESCRIPTOR_WORDS * 4;

const C_CALLS = COUNTER.calls;
const C_REFUSED = COUNTER.callsRefused;
const C_BAD_COUNT = COUNTER.gateBadCount;
const C_QUOTA_CALLS = COUNTER.quotaCalls;
const C_EGRESS = COUNTER.egressDenied;

export interface GateParts {
  readonly arena: Arena;
  readonly counters: Counters;
  readonly ip: Ip;
  readonly tcp: Tcp;
  readonly udp: Udp;
  readonly timers: ApplicationTimers;
  /** Absent: the application may speak to everybody. */
  readonly egress?: Egress | undefined;
}

export class Gate {
  readonly #i32: Int32Array;
  readonly #counters: Counters;
  readonly #ip: Ip;
  readonly #tcp: Tcp;
  readonly #udp: Udp;
  readonly #timers: ApplicationTimers;
  readonly #egress: Egress | undefined;
  readonly #header: number;
  readonly #first: number;
  readonly #memoryStart: number;
  readonly #memoryEnd: number;
  readonly #callQuota: number;
  /**
   * The address of the call at hand: a copy, which the application cannot change between check and
   * use.
   */
  readonly #to = new Int32Array(4);
  /** A sendv of this batch took less than was asked. */
  #isPartial = false;

  /**
   * `callArray` is the offset of the call array, `memory` and `callQuota` (calls a batch) the
   * application's.
   */
  constructor(
    parts: GateParts,
    callArray: number,
    memory: { offset: number; bytes: number },
    callQuota: number = QUOTA_NONE,
  ) {
    this.#callQuota = callQuota;
    this.#i32 = parts.arena.i32;
    this.#counters = parts.counters;
    this.#ip = parts.ip;
    this.#tcp = parts.tcp;
    this.#udp = parts.udp;
    this.#timers = parts.timers;
    this.#egress = parts.egress;
    this.#header = callArray >> 2;
    this.#first = (callArray + GATE_HEADER_BYTES) >> 2;
    this.#memoryStart = memory.offset;
    this.#memoryEnd = memory.offset + memory.bytes;
  }

  /** Whether the application asked for another turn without an event. */
  wantsTurn(): boolean {
    return this.#i32[this.#header + GATE_AGAIN] !== 0;
  }

  /** The application asked from outside its turn (inline domain only). */
  askTurn(): void {
    this.#i32[this.#header + GATE_AGAIN] = 1;
  }

  /** Executes the batch; returns how many calls it held. */
  execute(): number {
    const i32 = this.#i32;
    let count = i32[this.#header + GATE_COUNT]!;
    if (count === 0) return 0;
    if (count < 0 || count > CALLS_MAX) {
      this.#counters.bump(C_BAD_COUNT);
      count = count < 0 ? 0 : CALLS_MAX;
    }
    const made = Math.min(count, this.#callQuota);
    let refused = 0;
    for (let i = 0; i < made; i++) {
      const w = (this.#first + i * DESCRIPTOR_WORDS) | 0;
      const result = this.#call(w);
      i32[w + CALL_RESULT] = result;
      if (result < 0) refused = (refused + 1) | 0;
    }
    if (made < count) refused = (refused + this.#overQuota(made, count)) | 0;
    i32[this.#header + GATE_COUNT] = 0;
    this.#counters.add(C_CALLS, count);
    if (refused > 0) this.#counters.add(C_REFUSED, refused);
    // What was not done as asked must be seen, although perhaps no event will come.
    if (refused > 0 || this.#isPartial) i32[this.#header + GATE_AGAIN] = 1;
    this.#isPartial = false;
    return count;
  }

  /** Calls [made, count) are not made. */
  #overQuota(made: number, count: number): number {
    for (let i = made; i < count; i++) {
      this.#i32[((this.#first + i * DESCRIPTOR_WORDS) | 0) + CALL_RESULT] = CODE.QUOTA;
    }
    this.#counters.add(C_QUOTA_CALLS, count - made);
    return count - made;
  }

  #call(w: number): number {
    const i32 = this.#i32;
    const handle = i32[w + 1]!;
    switch (i32[w]!) {
      case CALL.sendv:
        return this.#sendv(w, handle);
      case CALL.recv_done:
        return this.#tcp.recvDone(handle, i32[w + 2]!);
      case CALL.accept:
        return this.#tcp.accept(handle, i32[w + 2]!);
      case CALL.close:
        return this.#tcp.close(handle);
      case CALL.shutdown:
        return this.#tcp.shutdown(handle);
      case CALL.keepalive:
        return this.#tcp.keepalive(handle, i32[w + 2]!, i32[w + 3]!, i32[w + 4]!);
      case CALL.user_timeout:
        return this.#tcp.userTimeout(handle, i32[w + 2]!);
      case CALL.marking:
        return this.#tcp.marking(handle, i32[w + 2]!, i32[w + 3]!);
      case CALL.abort:
        return this.#tcp.abort(handle);
      case CALL.reject:
        return this.#tcp.reject(handle);
      case CALL.connect:
        return this.#connect(w, handle);
      case CALL.listen: {
        const address = this.#local(w + 2);
        if (address === NOT_OURS) return CODE.NO_ROUTE;
        const flags = i32[w + 8]!;
        if ((flags & ~LISTEN_KNOCK_AT_SYN) !== 0) return CODE.BAD_CALL;
        return this.#listen(w, handle, address, flags);
      }
      case CALL.unlisten:
        return this.#tcp.unlisten(handle);
      case CALL.udp_bind: {
        const address = this.#local(w + 2);
        return address === NOT_OURS ? CODE.NO_ROUTE : this.#bind(w, handle, address);
      }
      case CALL.udp_sendv:
        return this.#udpSendv(w, handle);
      case CALL.udp_recv_done:
        return this.#udp.recvDone(handle, i32[w + 2]!);
      case CALL.udp_close:
        return this.#udp.close(handle);
      case CALL.timer:
        return this.#timers.start(handle, i32[w + 2]!);
      case CALL.timer_cancel:
        return this.#timers.cancel(handle);
      default:
        return CODE.BAD_CALL;
    }
  }

  /**
   * Spans in order until one is refused or partly accepted; returns the bytes accepted, or the
   * first refusal.
   */
  #sendv(w: number, handle: number): number {
    const i32 = this.#i32;
    const done = i32[w + SENDV_DONE]!;
    if (done !== 0) {
      const refusal = this.#tcp.recvDone(handle, done);
      if (refusal < 0) return refusal;
      i32[w + SENDV_DONE] = 0;
    }
    const count = i32[w + 2]!;
    let pairs = (w + 3) | 0;
    let spans = count;
    if (count === SENDV_VECTOR) {
      const offset = i32[w + 3]!;
      spans = i32[w + 4]!;
      if (spans < 1 || spans > SENDV_VECTOR_MAX) return CODE.BAD_CALL;
      if ((offset & 3) !== 0 || !this.#inMemory(offset, spans * 8)) return CODE.BAD_RANGE;
      pairs = offset >> 2;
    } else if (count < 1 || count > SENDV_SPANS_MAX) return CODE.BAD_CALL;
    let accepted = 0;
    for (let i = 0; i < spans; i++) {
      const offset = i32[pairs + 2 * i]!;
      const length = i32[pairs + 2 * i + 1]!;
      if (length <= 0 || !this.#inMemory(offset, length))
        return accepted > 0 ? accepted : CODE.BAD_RANGE;
      const taken = this.#tcp.send(handle, offset, length);
      if (taken < 0) {
        if (accepted === 0) return taken;
        this.#isPartial = true;
        return accepted;
      }
      accepted = (accepted + taken) | 0;
      if (taken < length) {
        this.#isPartial = true;
        break;
      }
    }
    return accepted;
  }

  /** A port that was picked is written where it was asked for. */
  #listen(w: number, cookie: number, address: number, flags: number): number {
    const port = this.#i32[w + BOUND_PORT]!;
    const handle = this.#tcp.listen(cookie, address, port, this.#i32[w + 7]!, flags);
    if (port === 0 && handle > 0) this.#i32[w + BOUND_PORT] = this.#tcp.listenerPort(handle);
    return handle;
  }

  #bind(w: number, cookie: number, address: number): number {
    const port = this.#i32[w + BOUND_PORT]!;
    const handle = this.#udp.bind(address, port, cookie);
    if (port === 0 && handle > 0) this.#i32[w + BOUND_PORT] = this.#udp.portOf(handle);
    return handle;
  }

  #connect(w: number, cookie: number): number {
    const to = this.#addressee(w + 2);
    if (this.#egress !== undefined && !this.#egress.allows(to, 0)) return this.#denied();
    const address = this.#peer(to);
    return address === 0 ? CODE.NO_ROUTE : this.#tcp.connect(cookie, address, this.#i32[w + 6]!);
  }

  #udpSendv(w: number, handle: number): number {
    const i32 = this.#i32;
    const offset = i32[w + 2]!;
    const length = i32[w + 3]!;
    if (!this.#inMemory(offset, length)) return CODE.BAD_RANGE;
    const to = this.#addressee(w + 4);
    const port = i32[w + 8]!;
    const egress = this.#egress;
    if (egress !== undefined && !egress.allows(to, 0)) {
      const local = this.#udp.portOf(handle);
      if (local < 0) return local;
      if (!egress.answers(to, 0, (local << 16) | (port & 0xffff))) return this.#denied();
    }
    const address = this.#peer(to);
    return address === 0 ? CODE.NO_ROUTE : this.#udp.send(handle, offset, length, address, port);
  }

  #denied(): number {
    this.#counters.bump(C_EGRESS);
    return CODE.DENIED;
  }

  /** The four words at `w`, read once. */
  #addressee(w: number): Int32Array {
    const i32 = this.#i32;
    const to = this.#to;
    to[0] = i32[w]!;
    to[1] = i32[w + 1]!;
    to[2] = i32[w + 2]!;
    to[3] = i32[w + 3]!;
    return to;
  }

  #inMemory(offset: number, length: number): boolean {
    return (
      length >= 0 &&
      offset >= this.#memoryStart &&
      offset <= this.#memoryEnd &&
      length <= this.#memoryEnd - offset
    );
  }

  /** The peer of this address, as the stack has it; 0: nobody can have it. */
  #peer(to: Int32Array): number {
    return this.#ip.peerOf(to[0]!, to[1]!, to[2]!, to[3]!);
  }

  /** The same for an address of ours; 0: any; NOT_OURS. */
  #local(w: number): number {
    const i32 = this.#i32;
    return this.#ip.localOf(i32[w]!, i32[w + 1]!, i32[w + 2]!, i32[w + 3]!);
  }
}
