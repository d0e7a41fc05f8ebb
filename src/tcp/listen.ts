/**
 * Listeners: who waits on which address and port, and how many flows each may have on the way.
 *
 * - Two bounds, both the backlog: half-open flows (handshake under way), and flows that knocked and
 *   were not accepted. Too many half-open: SYNs are answered with cookies. Too many that wait:
 *   SYNs, and the handshake's last ACK, are dropped silently, the peer tries again. Both are
 *   counted tcpBacklogFull.
 * - A flow is counted by one listener as one of the two, or not at all (`count`, `forget`).
 * - A listener on one of our addresses comes before one on any.
 * - Handles have the flows' form, at the other end of the index range: none is taken for another.
 *
 * Called by calls.ts, passive.ts, open.ts, synchronized.ts, teardown.ts. Read first: RFC 9293
 * 3.10.1 (passive OPEN), 3.10.7.2.
 */
import { COUNTER, type Counters } from '../counters.ts';
import { CODE, LISTEN_KNOCK_AT_SYN } from '../gate/abi.ts';
import { FLOW_INDEX_BITS, GENERATION_MAX } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';
import { assert } from '../verify.ts';
import { EPHEMERAL_COUNT, EPHEMERAL_FIRST } from './constants.ts';
import type { IpLayer } from './segment.ts';
import { FLAG, TCB } from './tcb.ts';

/** Fields of a listener. */
const GENERATION = 0;
const IN_USE = 1;
const ADDRESS = 2;
const PORT = 3;
const BACKLOG = 4;
const FLAGS = 5;
const COOKIE = 6;
const HALF_OPEN = 7;
const WAITING = 8;
const FIELDS = 9;

const INDEX_LAST = (1 << FLOW_INDEX_BITS) - 1;

export class Listeners {
  readonly #count: number;
  readonly #ip: IpLayer;
  readonly #rows: Int32Array;
  readonly #i32: Int32Array;
  readonly #backlogMax: number;
  readonly #quota: number;
  readonly #counters: Counters;

  constructor(env: Environment, ip: IpLayer) {
    const { limits } = env;
    assert(limits.flows + limits.listeners <= 1 << FLOW_INDEX_BITS, 'tcp: too many listeners');
    assert(limits.listeners < EPHEMERAL_COUNT, 'tcp: more listeners than ports to pick from');
    this.#count = limits.listeners;
    this.#ip = ip;
    this.#rows = new Int32Array(limits.listeners * FIELDS);
    this.#i32 = env.arena.i32;
    this.#backlogMax = limits.flows;
    this.#quota = limits.quotas.listeners;
    this.#counters = env.counters;
    for (let i = 0; i < this.#count; i++) this.#rows[i * FIELDS + GENERATION] = 1;
  }

  /**
   * -> handle, BAD_RANGE, NO_ROUTE (not our address), IN_USE, NO_FLOW, QUOTA. Address 0: any. Port
   * 0: picked here (`portOf`).
   */
  open(cookie: number, address: number, asked: number, backlog: number, flags: number): number {
    if (asked < 0 || asked > 0xffff) return CODE.BAD_RANGE;
    const port = asked === 0 ? this.#freePort() : asked;
    if (address !== 0 && !this.#ip.isLocal(address)) return CODE.NO_ROUTE;
    const rows = this.#rows;
    let free = -1;
    let used = 0;
    for (let i = this.#count - 1; i >= 0; i--) {
      const at = i * FIELDS;
      if (rows[at + IN_USE] === 0) {
        free = i;
        continue;
      }
      used += 1;
      if (rows[at + PORT] === port && rows[at + ADDRESS] === address) return CODE.IN_USE;
    }
    if (used >= this.#quota) {
      this.#counters.bump(COUNTER.quotaListeners);
      return CODE.QUOTA;
    }
    if (free < 0) return CODE.NO_FLOW;
    const at = free * FIELDS;
    rows[at + IN_USE] = 1;
    rows[at + ADDRESS] = address;
    rows[at + PORT] = port;
    rows[at + BACKLOG] = backlog < 1 ? 1 : Math.min(backlog, this.#backlogMax);
    rows[at + FLAGS] = flags;
    rows[at + COOKIE] = cookie;
    rows[at + HALF_OPEN] = rows[at + WAITING] = 0;
    return (rows[at + GENERATION]! << FLOW_INDEX_BITS) | (INDEX_LAST - free);
  }

  /**
   * The first port of the ephemeral ones on which nobody listens: there are more of them than
   * listeners. Not a random one, so that the threads of one application, each of which listens for
   * itself, get the same. Connections of ours may use it, too: they are found first.
   */
  #freePort(): number {
    let port = EPHEMERAL_FIRST;
    while (this.#isTaken(port)) port++;
    return port;
  }

  #isTaken(port: number): boolean {
    const rows = this.#rows;
    for (let at = 0; at < rows.length; at += FIELDS) {
      if (rows[at + IN_USE] === 1 && rows[at + PORT] === port) return true;
    }
    return false;
  }

  /** What a live listener listens on. */
  portOf(listener: number): number {
    return this.#rows[listener * FIELDS + PORT]!;
  }

  /** The listener of a live handle, or -1. */
  resolve(handle: number): number {
    const listener = INDEX_LAST - (handle & INDEX_LAST);
    if (handle <= 0 || listener >= this.#count) return -1;
    const at = listener * FIELDS;
    const isLive =
      this.#rows[at + IN_USE] === 1 && this.#rows[at + GENERATION] === handle >> FLOW_INDEX_BITS;
    return isLive ? listener : -1;
  }

  close(listener: number): void {
    const at = listener * FIELDS;
    const generation = this.#rows[at + GENERATION]!;
    this.#rows[at + IN_USE] = 0;
    this.#rows[at + GENERATION] = generation >= GENERATION_MAX ? 1 : generation + 1;
  }

  /** Hands every live listener's handle to `close`. */
  closeAll(close: (handle: number) => void): void {
    for (let i = 0; i < this.#count; i++) {
      if (this.#rows[i * FIELDS + IN_USE] === 0) continue;
      close((this.#rows[i * FIELDS + GENERATION]! << FLOW_INDEX_BITS) | (INDEX_LAST - i));
    }
  }

  /** Who listens on our `address` and `port`; -1: nobody. */
  find(address: number, port: number): number {
    const rows = this.#rows;
    let any = -1;
    for (let i = 0; i < this.#count; i++) {
      const at = i * FIELDS;
      if (rows[at + PORT] !== port || rows[at + IN_USE] === 0) continue;
      if (rows[at + ADDRESS] === address) return i;
      if (rows[at + ADDRESS] === 0) any = i;
    }
    return any;
  }

  cookie(listener: number): number {
    return this.#rows[listener * FIELDS + COOKIE]!;
  }

  knocksAtSyn(listener: number): boolean {
    return (this.#rows[listener * FIELDS + FLAGS]! & LISTEN_KNOCK_AT_SYN) !== 0;
  }

  /** Too many handshakes under way, and nothing else is wrong: cookies may answer SYNs. */
  mayUseCookies(listener: number): boolean {
    return this.hasRoomToWait(listener) && !this.knocksAtSyn(listener);
  }

  hasRoomForSyn(listener: number): boolean {
    const rows = this.#rows;
    const at = listener * FIELDS;
    return rows[at + HALF_OPEN]! < rows[at + BACKLOG]! && this.hasRoomToWait(listener);
  }

  hasRoomToWait(listener: number): boolean {
    const rows = this.#rows;
    const at = listener * FIELDS;
    return rows[at + WAITING]! < rows[at + BACKLOG]!;
  }

  /** The flow is now half-open, or waits for accept: the listener counts it so, and only so. */
  count(row: number, listener: number, flag: number): void {
    this.forget(row);
    this.#i32[row + TCB.listener] = listener;
    this.#i32[row + TCB.flags] = this.#i32[row + TCB.flags]! | flag;
    const at = listener * FIELDS + (flag === FLAG.halfOpen ? HALF_OPEN : WAITING);
    this.#rows[at] = this.#rows[at]! + 1;
  }

  /** The flow was accepted or died: the listener counts it no more. */
  forget(row: number): void {
    const flags = this.#i32[row + TCB.flags]!;
    if ((flags & (FLAG.halfOpen | FLAG.waiting)) === 0) return;
    const base = this.#i32[row + TCB.listener]! * FIELDS;
    const at = base + ((flags & FLAG.halfOpen) !== 0 ? HALF_OPEN : WAITING);
    this.#i32[row + TCB.flags] = flags & ~(FLAG.halfOpen | FLAG.waiting);
    this.#rows[at] = this.#rows[at]! - 1;
  }
}
