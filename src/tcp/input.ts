/**
 * A segment arrives: the border checks, header prediction, and whose it is.
 *
 * - Header prediction takes what nearly every segment of an ESTABLISHED flow is: next in order, no
 *   flags but ACK (and PSH), nothing missing on either side. Data, an acknowledgement, or both. It
 *   answers NOT_PREDICTED before it has changed anything.
 * - Everything else goes by the steps of RFC 9293 3.10.7, each state's in a file of its own:
 *   passive.ts (CLOSED, LISTEN), syn-sent.ts, synchronized.ts.
 * - Input sends at once only what must go at once: acknowledgements of out-of-order and
 *   unacceptable segments, challenges, resets. Else it marks flows for `flush` and `emit`.
 *
 * Called by tcp.ts `input`, for the IP of both versions. Read first: RFC 9293 3.10.7; Van
 * Jacobson's header prediction (tcp_input.c, 4.4BSD).
 */
import { COUNTER, type Counters } from '../counters.ts';
import { type Environment, FREE_FRAME } from '../net/both/environment.ts';
import { Owners } from '../net/both/owners.ts';
import { PartialChecksums } from '../net/both/partial-checksums.ts';
import { isToken } from '../net/v6/destinations.ts';
import { finish, pseudoHeaderSum, sumShort } from '../wire/checksum.ts';
import { isMarked, PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { Kernels } from '../wire/kernels.ts';
import {
  ACK,
  headerBytes,
  PSH,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_OPTIONS,
  TCP_SEQUENCE,
  TCP_WINDOW,
  TIMESTAMPS_BYTES,
  TIMESTAMPS_WORD,
} from '../wire/tcp.ts';
import type { Acknowledging } from './acknowledge.ts';
import { Arrival } from './arrival.ts';
import type { Ecn } from './ecn.ts';
import type { Flows } from './flows.ts';
import type { Passive } from './passive.ts';
import type { Receiving } from './receive.ts';
import { TROUBLE } from './recovery.ts';
import type { IpLayer } from './segment.ts';
import type { SynSent } from './syn-sent.ts';
import type { Synchronized } from './synchronized.ts';
import { FLAG, STATE, TCB } from './tcb.ts';

const C_IN = COUNTER.tcpIn;
const C_SHORT = COUNTER.tcpShort;
const C_BAD_OFFSET = COUNTER.tcpBadOffset;
const C_BAD_CHECKSUM = COUNTER.tcpBadChecksum;
const C_BAD_OPTION = COUNTER.tcpBadOption;
const C_PREDICTED = COUNTER.tcpHeaderPredicted;

/** Below this many bytes summing in TypeScript beats a kernel call (checksum.ts). */
const SHORT_SUM_BYTES = 40;
/** With one of these a segment in order may mean more than its payload. */
const UNPREDICTABLE = TROUBLE | FLAG.noReader | FLAG.finKnown;
/** Says that header prediction does not hold. */
const NOT_PREDICTED = -1;

export interface InputParts {
  readonly flows: Flows;
  readonly ip: IpLayer;
  readonly acknowledging: Acknowledging;
  readonly receiving: Receiving;
  readonly passive: Passive;
  readonly synSent: SynSent;
  readonly synchronized: Synchronized;
  readonly ecn: Ecn;
}

export class Input {
  readonly #i32: Int32Array;
  readonly #u8: Uint8Array;
  readonly #view: DataView;
  readonly #kernels: Kernels;
  readonly #counters: Counters;
  readonly #clock: Environment['clock'];
  readonly #flows: Flows;
  readonly #ip: IpLayer;
  readonly #acknowledging: Acknowledging;
  readonly #receiving: Receiving;
  readonly #passive: Passive;
  readonly #synSent: SynSent;
  readonly #synchronized: Synchronized;
  readonly #ecn: Ecn;
  readonly #arrival = new Arrival();
  readonly #partial: PartialChecksums;
  readonly #owners: Owners;
  /** The row that the last segment went to, for VERIFY; 0: none. */
  lastRow = 0;

  constructor(env: Environment, parts: InputParts) {
    this.#i32 = env.arena.i32;
    this.#u8 = env.arena.u8;
    this.#view = env.arena.view;
    this.#kernels = env.arena.kernels;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#partial = new PartialChecksums(env, COUNTER.tcpPartialChecksums);
    this.#owners = new Owners(env);
    this.#flows = parts.flows;
    this.#ip = parts.ip;
    this.#acknowledging = parts.acknowledging;
    this.#receiving = parts.receiving;
    this.#passive = parts.passive;
    this.#synSent = parts.synSent;
    this.#synchronized = parts.synchronized;
    this.#ecn = parts.ecn;
  }

  /**
   * One segment of `bytes` at `tcp`, in `frame`, of the packet at `ip`. -> FREE_FRAME, KEEP_FRAME.
   */
  segment(
    frame: number,
    ip: number,
    tcp: number,
    bytes: number,
    source: number,
    destination: number,
  ): number {
    const counters = this.#counters;
    counters.bump(C_IN);
    this.lastRow = 0;
    if (bytes < TCP_HEADER_BYTES) {
      counters.bump(C_SHORT);
      return FREE_FRAME;
    }
    const header = headerBytes(this.#u8, tcp);
    if (header < TCP_HEADER_BYTES || header > bytes) {
      counters.bump(C_BAD_OFFSET);
      return FREE_FRAME;
    }
    if (!this.#isIntact(tcp, bytes, source, destination)) {
      counters.bump(C_BAD_CHECKSUM);
      return FREE_FRAME;
    }
    const row = this.#flows.table.find(source, this.#view.getInt32(tcp), destination);
    if (row > 0) {
      this.lastRow = row;
      const result = this.#predicted(row, frame, ip, tcp, header, bytes - header);
      if (result !== NOT_PREDICTED) return result;
    } else if (this.#owners.handsOn(frame, ip, tcp, tcp + bytes)) return FREE_FRAME;
    const arrival = this.#arrival;
    if (!arrival.read(this.#view, this.#u8, frame, tcp, bytes, source, destination)) {
      counters.bump(C_BAD_OPTION);
      return FREE_FRAME;
    }
    arrival.isMarked = isMarked(this.#u8, ip);
    if (row < 0) {
      const revived = this.#passive.revive(arrival);
      if (revived === 0) return this.#passive.arrives(arrival);
      if (revived < 0) return FREE_FRAME;
      this.lastRow = revived;
      return this.#synchronized.arrives(revived, arrival);
    }
    if (this.#i32[row + TCB.state] === STATE.synSent) return this.#synSent.arrives(row, arrival);
    return this.#synchronized.arrives(row, arrival);
  }

  #isIntact(tcp: number, bytes: number, source: number, destination: number): boolean {
    if (isToken(source)) {
      source = this.#ip.remoteSum(source);
      destination = this.#ip.localSum(destination);
    }
    const seed = pseudoHeaderSum(source, destination, PROTOCOL_TCP, bytes);
    if (bytes <= SHORT_SUM_BYTES && (bytes & 1) === 0) {
      if (finish(sumShort(this.#view, tcp, bytes, seed)) === 0) return true;
    } else if (this.#kernels.sum(tcp, bytes, seed) === 0xffff) return true;
    return this.#partial.takes(tcp + TCP_CHECKSUM, seed);
  }

  /** The common case, or NOT_PREDICTED with nothing changed. */
  #predicted(
    row: number,
    frame: number,
    ip: number,
    tcp: number,
    header: number,
    length: number,
  ): number {
    const i32 = this.#i32;
    const view = this.#view;
    if (i32[row + TCB.state] !== STATE.established) return NOT_PREDICTED;
    if ((this.#u8[tcp + TCP_FLAGS]! & ~PSH) !== ACK) return NOT_PREDICTED;
    const seq = view.getInt32(tcp + TCP_SEQUENCE);
    const flags = i32[row + TCB.flags]!;
    if (seq !== i32[row + TCB.rcvNxt] || (flags & UNPREDICTABLE) !== 0) return NOT_PREDICTED;
    const ack = view.getInt32(tcp + TCP_ACK);
    const una = i32[row + TCB.sndUna]!;
    const acked = (ack - una) | 0;
    if (acked < 0 || ((i32[row + TCB.sndMax]! - ack) | 0) < 0) return NOT_PREDICTED;
    // a duplicate, a window update, a keepalive
    if (acked === 0 && length === 0) return NOT_PREDICTED;
    if (length > 0) {
      if (i32[row + TCB.oooHead] !== 0) return NOT_PREDICTED;
      if (((i32[row + TCB.rcvEdge]! - seq) | 0) < length) return NOT_PREDICTED;
    }
    let echo = 0;
    if ((flags & FLAG.timestamps) !== 0) {
      const at = tcp + TCP_OPTIONS;
      if (header !== TCP_HEADER_BYTES + TIMESTAMPS_BYTES) return NOT_PREDICTED;
      if (view.getInt32(at) !== TIMESTAMPS_WORD) return NOT_PREDICTED;
      const tsVal = view.getInt32(at + 4);
      if (((tsVal - i32[row + TCB.tsRecent]!) | 0) < 0) return NOT_PREDICTED;
      if (seq === i32[row + TCB.lastAckSent]) {
        // of the segment that our last acknowledgement asked for (RFC 7323 4.3)
        i32[row + TCB.tsRecent] = tsVal;
        i32[row + TCB.tsRecentMs] = this.#clock.ms;
      }
      echo = view.getInt32(at + 8);
    } else if (header !== TCP_HEADER_BYTES) return NOT_PREDICTED;
    i32[row + TCB.lastRxMs] = this.#clock.ms;
    i32[row + TCB.keepProbes] = 0;
    this.#counters.bump(C_PREDICTED);
    if (acked > 0) this.#acknowledging.advance(row, ack, echo !== 0, echo);
    const window = view.getUint16(tcp + TCP_WINDOW) << i32[row + TCB.sndScale]!;
    this.#acknowledging.window(row, seq, ack, window);
    if (length === 0) return FREE_FRAME;
    if ((flags & FLAG.ecn) !== 0) this.#ecn.received(row, isMarked(this.#u8, ip), 0);
    return this.#receiving.accept(row, frame, tcp + header, length);
  }
}
