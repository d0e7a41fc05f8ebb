/**
 * How flows begin: the control block, what a SYN negotiates, and the moment of ESTABLISHED.
 *
 * - The stack offers MSS, window scale, SACK-permitted and timestamps (those that TcpOptions has
 *   not switched off), and uses of them what the peer offers too, which may be none.
 *
 * Called by passive.ts (SYN for a listener), syn-sent.ts, synchronized.ts and calls.ts (connect).
 * Read first: RFC 9293 3.10.1, 3.7.1; RFC 7323 2, 3.2.
 */
import type { Clock } from '../arena/clock.ts';
import { COUNTER, type Counters } from '../counters.ts';
import type { Environment } from '../net/both/environment.ts';
import { isToken } from '../net/v6/destinations.ts';
import { MSS_DEFAULT, MSS_DEFAULT_IPV6, TCP_HEADER_BYTES, TIMESTAMPS_BYTES } from '../wire/tcp.ts';
import type { Congestion } from './congestion.ts';
import {
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_PROBES_MAX,
  RECEIVE_BUFFER_INITIAL,
  RECEIVE_SCALE,
  RTO_AFTER_SYN_LOSS_US,
  SEND_MSS_MIN,
  WAIT_MAX_MS,
} from './constants.ts';
import type { Flows } from './flows.ts';
import { ConnectionHash, initialSequence, SequenceClock } from './iss.ts';
import type { Listeners } from './listen.ts';
import type { OptionReader } from './options.ts';
import { initRto } from './rto.ts';
import type { IpLayer } from './segment.ts';
import { FLAG, PENDING, RARE, STATE, TCB, TIMER } from './tcb.ts';
import type { Teardown } from './teardown.ts';
import type { Timers } from './timers.ts';

const C_OPENED = COUNTER.tcpOpened;

/** What SYNs offer and answers accept; default: all. */
export interface Offer {
  sack?: boolean;
  timestamps?: boolean;
  windowScale?: boolean;
  /** Keepalive of every flow until its application says otherwise: idle ms; 0: none. */
  keepaliveMs?: number;
}

/** Of a peer that names none (RFC 9293 MUST-15). */
export const mssDefault = (remote: number): number =>
  isToken(remote) ? MSS_DEFAULT_IPV6 : MSS_DEFAULT;

export class Opening {
  readonly #i32: Int32Array;
  readonly #flows: Flows;
  readonly #ip: IpLayer;
  readonly #clock: Clock;
  readonly #hash: ConnectionHash;
  readonly #counters: Counters;
  readonly #timers: Timers;
  readonly #teardown: Teardown;
  readonly #listeners: Listeners;
  readonly #congestion: Congestion;
  readonly #sequenceClock = new SequenceClock();
  readonly #hasSack: boolean;
  readonly #hasTimestamps: boolean;
  readonly #hasScale: boolean;
  readonly #keepaliveMs: number;

  constructor(
    env: Environment,
    flows: Flows,
    ip: IpLayer,
    timers: Timers,
    teardown: Teardown,
    listeners: Listeners,
    congestion: Congestion,
    offer: Offer,
  ) {
    this.#i32 = flows.i32;
    this.#flows = flows;
    this.#ip = ip;
    this.#clock = env.clock;
    this.#hash = new ConnectionHash(env.config.wireKey, ip);
    this.#counters = env.counters;
    this.#timers = timers;
    this.#teardown = teardown;
    this.#listeners = listeners;
    this.#congestion = congestion;
    this.#hasSack = offer.sack !== false;
    this.#hasTimestamps = offer.timestamps !== false;
    this.#hasScale = offer.windowScale !== false;
    this.#keepaliveMs = offer.keepaliveMs ?? 0;
  }

  /** A row for a new flow, in the table, its ISS chosen; 0: no route, or no row (counted). */
  create(remote: number, ports: number, local: number): number {
    const neighbour = this.#ip.neighbourFor(remote);
    if (neighbour < 0) return 0;
    const row = this.#teardown.take();
    if (row === 0) return 0;
    const i32 = this.#i32;
    this.#hash.of(remote, ports, local);
    const iss = initialSequence(this.#clock.ms, this.#hash);
    const fraction = this.#sequenceClock.fraction(this.#clock.ms, this.#clock.us);
    const stamps = this.#hasTimestamps ? FLAG.timestamps : 0;
    i32[row + TCB.flags] = stamps | (this.#hasSack ? FLAG.sack : 0);
    i32[row + TCB.remote] = remote;
    i32[row + TCB.ports] = ports;
    i32[row + TCB.local] = local;
    i32[row + TCB.neighbour] = neighbour;
    i32[row + TCB.tsOffset] = this.#hash.stamp;
    i32[row + TCB.rcvScale] = this.#hasScale ? RECEIVE_SCALE : -1;
    i32[row + TCB.rcvBuf] = RECEIVE_BUFFER_INITIAL;
    i32[row + TCB.rcvMss] = MSS_DEFAULT;
    i32[row + TCB.mss] = MSS_DEFAULT;
    i32[row + TCB.keepIdleMs] = this.#keepaliveMs;
    i32[row + RARE.keepIntervalMs] = KEEPALIVE_INTERVAL_MS;
    i32[row + RARE.keepMost] = KEEPALIVE_PROBES_MAX;
    i32[row + TCB.lastTxMs] = i32[row + TCB.lastRxMs] = this.#clock.ms;
    initRto(i32, row);
    this.startAt(row, (iss + fraction) | 0);
    this.#flows.table.insert(remote, ports, local, row);
    this.#ip.hold(remote);
    return row;
  }

  /** Sets the initial send sequence number of a flow that has sent nothing. */
  startAt(row: number, iss: number): void {
    const i32 = this.#i32;
    i32[row + TCB.iss] = i32[row + TCB.recover] = i32[row + TCB.reoRound] = iss;
    i32[row + TCB.sndUna] = i32[row + TCB.sndNxt] = i32[row + TCB.sndMax] = iss;
  }

  /** Of what a peer's SYN offers, what we do not offer ourselves is as if it were not there. */
  narrow(options: OptionReader): void {
    if (!this.#hasSack) options.sackPermitted = false;
    if (!this.#hasTimestamps) options.hasTimestamps = false;
    if (!this.#hasScale) options.scale = -1;
  }

  /** The peer's SYN: where its numbers begin, and what it offers. `window` is not scaled. */
  synchronize(row: number, irs: number, ack: number, window: number, options: OptionReader): void {
    const i32 = this.#i32;
    this.narrow(options);
    let flags = i32[row + TCB.flags]!;
    if (!options.hasTimestamps) flags &= ~FLAG.timestamps;
    if (!options.sackPermitted) flags &= ~FLAG.sack;
    i32[row + TCB.flags] = flags;
    i32[row + TCB.tsRecent] = options.hasTimestamps ? options.tsVal : 0;
    i32[row + TCB.tsRecentMs] = this.#clock.ms;
    if (options.scale < 0) i32[row + TCB.rcvScale] = -1;
    i32[row + TCB.sndScale] = Math.max(options.scale, 0);
    i32[row + TCB.irs] = irs;
    const promised = (i32[row + TCB.rcvEdge]! - i32[row + TCB.rcvNxt]!) | 0; // by our own SYN
    i32[row + TCB.rcvNxt] = i32[row + TCB.lastAckSent] = (irs + 1) | 0;
    i32[row + TCB.rcvEdge] = (irs + 1 + promised) | 0;
    i32[row + TCB.sndWnd] = i32[row + TCB.maxWnd] = window;
    i32[row + TCB.sndWl1] = irs;
    i32[row + TCB.sndWl2] = ack;
    const remote = i32[row + TCB.remote]!;
    const peerMss = options.mss === 0 ? mssDefault(remote) : options.mss;
    i32[row + TCB.peerMss] = peerMss;
    const fits = this.#ip.pathMtu(remote) - this.#ip.headerBytes(remote) - TCP_HEADER_BYTES;
    this.setMss(row, Math.min(peerMss, fits));
  }

  /** `mss` without options, as in the MSS option; timestamps take their share of every segment. */
  setMss(row: number, mss: number): void {
    const i32 = this.#i32;
    const hasTimestamps = (i32[row + TCB.flags]! & FLAG.timestamps) !== 0;
    const payload = mss - (hasTimestamps ? TIMESTAMPS_BYTES : 0);
    i32[row + TCB.mss] = Math.max(payload, SEND_MSS_MIN);
  }

  /** The three-way handshake is complete. Our SYN has been acknowledged: sndUna is iss + 1. */
  established(row: number): void {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    const hasLostSyn = (flags & FLAG.synLost) !== 0;
    const hasLostSyns = i32[row + TCB.retries]! > 1;
    i32[row + TCB.retries] = 0;
    this.#flows.connecting.remove(row);
    this.#timers.clear(row, TIMER.rto | TIMER.long);
    if (hasLostSyn && i32[row + TCB.rto]! < RTO_AFTER_SYN_LOSS_US && i32[row + TCB.srtt] === 0) {
      i32[row + TCB.rto] = RTO_AFTER_SYN_LOSS_US;
    }
    this.#congestion.opened(row, hasLostSyns);
    const idleMs = Math.min(i32[row + TCB.keepIdleMs]!, WAIT_MAX_MS);
    if (idleMs !== 0 && (i32[row + TCB.timers]! & TIMER.keep) === 0) {
      this.#timers.set(row, TIMER.keep, TCB.keepAt, (this.#clock.us + idleMs * 1000) | 0);
    }
    i32[row + TCB.state] = (flags & FLAG.finQueued) !== 0 ? STATE.finWait1 : STATE.established;
    this.#counters.bump(C_OPENED);
    if ((flags & FLAG.active) !== 0) {
      i32[row + TCB.pending] = i32[row + TCB.pending]! | PENDING.connected;
      this.#flows.ready.push(row);
    } else if ((flags & (FLAG.owned | FLAG.knocked)) === 0) this.knock(row);
    else this.#listeners.forget(row);
    if (i32[row + TCB.txBytes] !== 0 || (flags & FLAG.finQueued) !== 0)
      this.#flows.output.push(row);
  }

  /** The application will be asked whether it takes the flow. */
  knock(row: number): void {
    const i32 = this.#i32;
    if ((i32[row + TCB.pending]! & PENDING.knock) !== 0) return;
    this.#listeners.count(row, i32[row + TCB.listener]!, FLAG.waiting);
    i32[row + TCB.pending] = i32[row + TCB.pending]! | PENDING.knock;
    this.#flows.ready.push(row);
  }
}
