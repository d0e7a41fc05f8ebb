/**
 * Builds and sends one segment: header, options, payload and checksum in one pass.
 *
 * - The payload is copied and summed by a kernel call per span; the header is summed in registers.
 * - `send` says false, and has changed nothing, when there is no frame: the next flush tries again.
 * - Every segment with ACK acknowledges: what was due is then done. Every segment but a SYN
 *   advertises the window as `#advertise` finds it: the right edge never moves left, and right only
 *   by a segment or half the buffer.
 * - `reset` answers a segment that belongs to no flow.
 *
 * Called by output.ts, calls.ts, teardown.ts, and by what input leads to (passive.ts,
 * syn-cookies.ts, syn-sent.ts, synchronized.ts). Read first: RFC 9293 3.1, 3.8.6.2.2 (receiver's
 * silly window), 3.10.7.1 (reset).
 */
import type { Clock } from '../arena/clock.ts';
import type { Frames } from '../arena/frames.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { TRANSMIT_HEADROOM } from '../limits.ts';
import type { Environment } from '../net/both/environment.ts';
import type { Ip } from '../net/ip.ts';
import { isToken } from '../net/v6/destinations.ts';
import { finish, sumShort, swap } from '../wire/checksum.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import {
  ACK,
  RST,
  SYN,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_HEADER_BYTES,
  TCP_OPTIONS,
  TCP_SEQUENCE,
  TCP_URGENT,
  TIMESTAMPS_BYTES,
} from '../wire/tcp.ts';
import type { Arrival } from './arrival.ts';
import { RECEIVE_SCALE } from './constants.ts';
import type { Ecn } from './ecn.ts';
import { SACK_HEAD_BYTES, sackBlocks, writeSynOptions, writeTimestamps } from './options.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import { SackWriter } from './sack-writer.ts';
import type { SendQueue } from './send-queue.ts';
import { gt } from './seq.ts';
import { FLAG, RARE, TCB, TIMER } from './tcb.ts';

const C_OUT = COUNTER.tcpOut;
const C_NO_FRAME = COUNTER.tcpNoFrame;
const C_RESETS_OUT = COUNTER.tcpResetsOut;

/** What IP, in either version, is to TCP. */
export type IpLayer = Pick<
  Ip,
  | 'headerBytes'
  | 'payloadAt'
  | 'remoteSum'
  | 'localSum'
  | 'writeHeader'
  | 'setHops'
  | 'transmit'
  | 'neighbourFor'
  | 'doubt'
  | 'sourceFor'
  | 'linkMtu'
  | 'pathMtu'
  | 'hold'
  | 'release'
  | 'isLocal'
  | 'describe'
  | 'describeLocal'
>;

const WINDOW_FIELD_MAX = 0xffff;

export class SegmentWriter {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #ip: IpLayer;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #sendQueue: SendQueue;
  readonly #receiveQueue: ReceiveQueue;
  readonly #sackWriter: SackWriter;
  readonly #ecn: Ecn;
  /**
   * Some flow was marked: until then nobody reads RARE.marking, which has a cache line of its own.
   */
  #hasMarkings = false;

  constructor(
    env: Environment,
    ip: IpLayer,
    sendQueue: SendQueue,
    receiveQueue: ReceiveQueue,
    ecn: Ecn,
  ) {
    this.#i32 = env.arena.i32;
    this.#view = env.arena.view;
    this.#ip = ip;
    this.#frames = env.frames;
    this.#counters = env.counters;
    this.#clock = env.clock;
    this.#sendQueue = sendQueue;
    this.#receiveQueue = receiveQueue;
    this.#ecn = ecn;
    this.#sackWriter = new SackWriter(env.arena.i32, env.arena.view, receiveQueue.outOfOrder);
  }

  /**
   * Sends a segment with `length` payload bytes from `done` bytes into `span` on.
   * `sendQueue.span/done` are then the place behind them.
   */
  send(
    row: number,
    seq: number,
    flags: number,
    span: number,
    done: number,
    length: number,
  ): boolean {
    const frame = this.#frames.takeTransmit();
    if (frame < 0) {
      this.#counters.bump(C_NO_FRAME);
      return false;
    }
    const i32 = this.#i32;
    const view = this.#view;
    const eth = frame + TRANSMIT_HEADROOM;
    const remote = i32[row + TCB.remote]!;
    const tcp = eth + this.#ip.payloadAt(remote);
    let optionBytes = 0;
    let tos = 0;
    if ((flags & SYN) !== 0) {
      optionBytes = this.#synOptions(row, tcp + TCP_OPTIONS);
      flags |= this.#ecn.synFlags(row, flags);
    } else if ((i32[row + TCB.flags]! & FLAG.timestamps) !== 0) {
      const tsVal = (this.#clock.ms + i32[row + TCB.tsOffset]!) | 0;
      writeTimestamps(view, tcp + TCP_OPTIONS, tsVal, i32[row + TCB.tsRecent]!);
      optionBytes = TIMESTAMPS_BYTES;
    }
    if ((i32[row + TCB.flags]! & FLAG.ecn) !== 0 && (flags & SYN) === 0) {
      flags |= this.#ecn.outgoing(row, seq, length);
      tos = this.#ecn.tos;
    }
    if ((length === 0 || i32[row + TCB.oooHead] !== 0) && (flags & SYN) === 0) {
      optionBytes += this.#sack(row, tcp + TCP_OPTIONS, optionBytes, length);
    }
    const payload = tcp + TCP_OPTIONS + optionBytes;
    let sum = length === 0 ? 0 : this.#sendQueue.copySum(payload, span, done, length);
    sum = sumShort(view, tcp + TCP_OPTIONS, optionBytes, sum);
    const window = (flags & SYN) !== 0 ? this.#synWindow(row) : this.#advertise(row);
    const ports = i32[row + TCB.ports]!;
    const local = i32[row + TCB.local]!;
    const tcpBytes = TCP_HEADER_BYTES + optionBytes + length;
    const ack = (flags & ACK) !== 0 ? i32[row + TCB.rcvNxt]! : 0;
    this.#header(
      tcp,
      (ports << 16) | (ports >>> 16),
      seq,
      ack,
      ((TCP_HEADER_BYTES + optionBytes) << 26) | (flags << 16) | window,
      remote,
      local,
      tcpBytes,
      sum,
    );
    this.#counters.bump(C_OUT);
    const marking = this.#hasMarkings ? i32[row + RARE.marking]! : 0;
    this.#ip.writeHeader(eth, remote, local, PROTOCOL_TCP, tos | (marking & 0xff), tcpBytes);
    if (marking >= 0x100) this.#ip.setHops(eth, remote, marking >> 8);
    this.#ip.transmit(eth, tcpBytes, i32[row + TCB.neighbour]!, remote);
    if ((flags & ACK) !== 0) this.#acknowledged(row, ack);
    return true;
  }

  /**
   * SACK behind `optionBytes` of others at `at`, beside data as the MSS leaves room. -> its bytes.
   */
  #sack(row: number, at: number, optionBytes: number, length: number): number {
    const i32 = this.#i32;
    if ((i32[row + TCB.flags]! & FLAG.sack) === 0 || !this.#sackWriter.hasSomething(row)) return 0;
    let most = sackBlocks(optionBytes);
    if (length > 0) most = Math.min(most, (i32[row + TCB.mss]! - length - SACK_HEAD_BYTES) >> 3);
    return most <= 0 ? 0 : this.#sackWriter.write(row, at + optionBytes, most);
  }

  /** Bytes that a segment with data leaves to SACK; 0: nothing has arrived out of order. */
  sackRoom(row: number): number {
    const i32 = this.#i32;
    const flags = i32[row + TCB.flags]!;
    if (i32[row + TCB.oooHead] === 0 || (flags & FLAG.sack) === 0) return 0;
    const others = (flags & FLAG.timestamps) !== 0 ? TIMESTAMPS_BYTES : 0;
    return SACK_HEAD_BYTES + (sackBlocks(others) << 3);
  }

  /** The flow's segments have these from now on; hops 0: the usual. ECN bits are ecn.ts's alone. */
  mark(row: number, hops: number, codePoint: number): void {
    this.#i32[row + RARE.marking] = (hops << 8) | (codePoint << 2);
    this.#hasMarkings = true;
  }

  #acknowledged(row: number, ack: number): void {
    const i32 = this.#i32;
    i32[row + TCB.lastAckSent] = ack;
    i32[row + TCB.unacked] = 0;
    i32[row + TCB.flags] = i32[row + TCB.flags]! & ~(FLAG.ackNow | FLAG.ackDelayed);
    i32[row + TCB.timers] = i32[row + TCB.timers]! & ~TIMER.delack;
  }

  /** `sum`: of what follows the header, native order. `lengthFlagsWindow`: its fourth word. */
  #header(
    tcp: number,
    ports: number,
    seq: number,
    ack: number,
    lengthFlagsWindow: number,
    remote: number,
    local: number,
    tcpBytes: number,
    sum: number,
  ): void {
    const view = this.#view;
    const isIpv6 = isToken(remote);
    const remoteSum = isIpv6 ? this.#ip.remoteSum(remote) : remote;
    const localSum = isIpv6 ? this.#ip.localSum(local) : local;
    view.setInt32(tcp, ports);
    view.setInt32(tcp + TCP_SEQUENCE, seq);
    view.setInt32(tcp + TCP_ACK, ack);
    view.setInt32(tcp + TCP_DATA_OFFSET, lengthFlagsWindow);
    view.setUint16(tcp + TCP_URGENT, 0);
    const bigEndian =
      PROTOCOL_TCP +
      tcpBytes +
      (ports >>> 16) +
      (ports & 0xffff) +
      (seq >>> 16) +
      (seq & 0xffff) +
      (ack >>> 16) +
      (ack & 0xffff) +
      (lengthFlagsWindow >>> 16) +
      (lengthFlagsWindow & 0xffff) +
      (remoteSum >>> 16) +
      (remoteSum & 0xffff) +
      (localSum >>> 16) +
      (localSum & 0xffff);
    view.setUint16(tcp + TCP_CHECKSUM, finish(sum + swap(bigEndian)), true);
  }

  /** The MSS that we name: what the link carries, whatever the path does (RFC 9293 3.7.1). */
  #mss(remote: number): number {
    return this.#ip.linkMtu(remote) - this.#ip.headerBytes(remote) - TCP_HEADER_BYTES;
  }

  #synOptions(row: number, at: number): number {
    const i32 = this.#i32;
    const mss = this.#mss(i32[row + TCB.remote]!);
    const flags = i32[row + TCB.flags]!;
    const tsVal = (this.#clock.ms + i32[row + TCB.tsOffset]!) | 0;
    const hasTimestamps = (flags & FLAG.timestamps) !== 0;
    const hasSack = (flags & FLAG.sack) !== 0;
    const scale = i32[row + TCB.rcvScale]!;
    const tsEcr = i32[row + TCB.tsRecent]!;
    return writeSynOptions(
      this.#view, at, mss, hasSack, scale, hasTimestamps, tsVal, tsEcr,
    ); // biome-ignore format: one line
  }

  /** What may be promised now, as far as the window field can say it. */
  #offer(row: number, scale: number): number {
    return Math.min(this.#receiveQueue.offer(row), WINDOW_FIELD_MAX << scale);
  }

  /**
   * A SYN's window is not scaled (RFC 7323 2.2); one sent again promises no less than the first.
   */
  #synWindow(row: number): number {
    const i32 = this.#i32;
    const next = i32[row + TCB.rcvNxt]!;
    const promised = (i32[row + TCB.rcvEdge]! - next) | 0;
    const window = Math.min(Math.max(this.#offer(row, 0), promised), WINDOW_FIELD_MAX);
    if (window > promised) i32[row + TCB.rcvEdge] = (next + window) | 0;
    return window;
  }

  /**
   * The window field, and rcvEdge moved to what it promises. Without SACK the edge stays while
   * something is missing, so that our duplicate acknowledgements are recognised as such (RFC 5681
   * 2: same window); with it they are told by their blocks, and its recovery goes on with new data.
   */
  #advertise(row: number): number {
    const i32 = this.#i32;
    const next = i32[row + TCB.rcvNxt]!;
    const edge = i32[row + TCB.rcvEdge]!;
    const scale = Math.max(i32[row + TCB.rcvScale]!, 0);
    let window = (edge - next) | 0;
    // rounded up: rounding down would move the edge left
    let units = (window + (1 << scale) - 1) >> scale;
    const stays = i32[row + TCB.oooHead] !== 0 && (i32[row + TCB.flags]! & FLAG.sack) === 0;
    if (!stays || window < i32[row + TCB.rcvMss]! << 1) {
      const offer = this.#offer(row, scale);
      const growth = offer - window;
      const buffer = i32[row + TCB.rcvBuf]!;
      if (growth > 0 && (growth >= i32[row + TCB.rcvMss]! || growth << 1 >= buffer)) {
        window = offer;
        units = offer >> scale;
      }
    }
    units = Math.min(units, WINDOW_FIELD_MAX);
    const promised = (next + (units << scale)) | 0;
    if (gt(promised, edge)) i32[row + TCB.rcvEdge] = promised;
    return units;
  }

  /** Whether the window has opened so far that the peer is told unasked (RFC 9293 3.8.6.2.2). */
  shouldUpdateWindow(row: number): boolean {
    const i32 = this.#i32;
    const window = (i32[row + TCB.rcvEdge]! - i32[row + TCB.rcvNxt]!) | 0;
    const buffer = i32[row + TCB.rcvBuf]!;
    const growth = this.#offer(row, Math.max(i32[row + TCB.rcvScale]!, 0)) - window;
    if (growth < i32[row + TCB.rcvMss]! << 1 && growth << 1 < buffer) return false;
    // not for every two segments of a wide window
    return growth << 2 >= buffer || window << 3 <= buffer;
  }

  /**
   * A SYN-ACK in no flow's name, in answer to `a`; `stamp` is our timestamp if the peer has one.
   */
  synAck(
    a: Arrival,
    iss: number,
    window: number,
    sack: boolean,
    scales: boolean,
    stamp: number,
  ): void {
    const neighbour = this.#ip.neighbourFor(a.remote);
    const frame = neighbour < 0 ? -1 : this.#frames.takeTransmit();
    if (frame < 0) {
      this.#counters.bump(C_NO_FRAME);
      return;
    }
    const view = this.#view;
    const eth = frame + TRANSMIT_HEADROOM;
    const tcp = eth + this.#ip.payloadAt(a.remote);
    const { hasTimestamps, tsVal } = a.options;
    const scale = scales ? RECEIVE_SCALE : -1;
    const at = tcp + TCP_OPTIONS;
    const mss = this.#mss(a.remote);
    const bytes = writeSynOptions(view, at, mss, sack, scale, hasTimestamps, stamp, tsVal);
    const header = TCP_HEADER_BYTES + bytes;
    const word = (header << 26) | ((SYN | ACK) << 16) | window;
    const turned = (a.ports << 16) | (a.ports >>> 16);
    const sum = sumShort(view, at, bytes, 0);
    this.#header(
      tcp, turned, iss, (a.seq + 1) | 0, word, a.remote, a.local, header, sum,
    ); // biome-ignore format: one line
    this.#counters.bump(C_OUT);
    this.#ip.writeHeader(eth, a.remote, a.local, PROTOCOL_TCP, 0, header);
    this.#ip.transmit(eth, header, neighbour, a.remote);
  }

  /**
   * RST, with ACK or not, marked as flow `row` is; 0: in no flow's name. Addresses and ports as
   * received (`ports` is remote << 16 | local).
   */
  reset(
    remote: number,
    ports: number,
    local: number,
    seq: number,
    ack: number,
    flags: number,
    row = 0,
  ): void {
    const neighbour = this.#ip.neighbourFor(remote);
    if (neighbour < 0) return;
    const frame = this.#frames.takeTransmit();
    if (frame < 0) {
      this.#counters.bump(C_NO_FRAME);
      return;
    }
    const eth = frame + TRANSMIT_HEADROOM;
    const turned = (ports << 16) | (ports >>> 16);
    const word = (TCP_HEADER_BYTES << 26) | ((RST | flags) << 16);
    this.#header(
      eth + this.#ip.payloadAt(remote), turned, seq, ack, word, remote, local, TCP_HEADER_BYTES, 0,
    ); // biome-ignore format: one line
    this.#counters.bump(C_OUT);
    this.#counters.bump(C_RESETS_OUT);
    const marking = row !== 0 ? this.#i32[row + RARE.marking]! : 0;
    const tos = marking & 0xff;
    this.#ip.writeHeader(eth, remote, local, PROTOCOL_TCP, tos, TCP_HEADER_BYTES);
    if (marking >= 0x100) this.#ip.setHops(eth, remote, marking >> 8);
    this.#ip.transmit(eth, TCP_HEADER_BYTES, neighbour, remote);
  }
}
