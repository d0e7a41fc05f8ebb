/**
 * UDP sockets: who listens on which port, and the received frames that each holds.
 *
 * - Ports are looked up directly in a column of 65,536 halfwords: one socket a port.
 * - A received datagram stays in its frame from `queue` until `recvDone` or `close`. A socket holds
 *   at most QUEUE_MAX frames and all sockets together a quarter of the receive pool, or of the
 *   application's quota of it; `hasRoom` says no before that is exceeded.
 * - Events are derived from state by `emit`: what finds no room in the array waits, and nothing is
 *   lost. One `udp_sent` sums up all datagrams (words a: bytes, b: datagrams) since the last.
 * - Handles are generation << 20 | index, as TCP's are. Any int32 may be given as one.
 *
 * Called by udp.ts.
 */
import type { Frames } from '../arena/frames.ts';
import { FreeList, IndexList } from '../arena/list.ts';
import { PURPOSE, Unpredictable } from '../arena/siphash.ts';
import { COUNTER, type Counters } from '../counters.ts';
import { CODE, EVENT, WORD } from '../gate/abi.ts';
import type { EventSink } from '../gate/arrays.ts';
import { FLOW_INDEX_BITS, GENERATION_MAX } from '../limits.ts';
import { VERIFY } from '../verify.ts';
import type { Environment } from './both/environment.ts';
import { Owners } from './both/owners.ts';

const C_DEFERRED = COUNTER.eventsDeferred;
const C_QUOTA_FRAMES = COUNTER.quotaReceiveFrames;

/** Frames that one socket may hold, queued or with the application: four batches. */
export const QUEUE_MAX = 256;
/** Ports that the stack picks from (RFC 6335 6). */
const EPHEMERAL_FIRST = 49_152;
const EPHEMERAL_COUNT = 16_384;

/** Whether the stack may have picked it. */
export const isEphemeral = (port: number): boolean => port >= EPHEMERAL_FIRST;

const INDEX_MASK = (1 << FLOW_INDEX_BITS) - 1;

/** Words of a socket. GENERATION is negative while the socket is free. */
const SOCKET_SHIFT = 3;
const GENERATION = 0;
const COOKIE = 1;
const ADDRESS = 2;
const PORT = 3;
const HELD = 4;
/** First frame of the queue that the application has not been told of, or -1. */
const NEXT = 5;
/** What went out since the last `udp_sent`. */
const SENT_BYTES = 6;
const SENT_COUNT = 7;

/**
 * Words that go with a received frame. OWNER is the socket's handle while the application has the
 * frame; SOURCE is four words, as the event has them.
 */
const FRAME_ROW_SHIFT = 4;
const OWNER = 0;
const OFFSET = 1;
const LENGTH = 2;
const SOURCE_PORT = 3;
const IS_TRUNCATED = 4;
const SOURCE = 5;
/** Word of udp_recv: behind the ports. */
const TRUNCATED_WORD = WORD.g + 1;

export class UdpSockets {
  readonly #i32: Int32Array;
  readonly #u16: Uint16Array;
  readonly #frames: Frames;
  readonly #counters: Counters;
  readonly #count: number;
  readonly #free: FreeList;
  /** Sockets with pending events. */
  readonly #ready: IndexList;
  /** One list a socket; nodes are frame indexes. */
  readonly #queues: IndexList;
  readonly #rows: number;
  readonly #frameRows: number;
  /** Halfword index of the column of ports: socket index + 1, or 0. */
  readonly #ports: number;
  readonly #heldMax: number;
  /** What the application may have: sockets, and receive frames with those of its connections. */
  readonly #socketQuota: number;
  readonly #frameQuota: number;
  readonly #random: Unpredictable;
  readonly #owners: Owners;
  #held = 0;

  constructor(env: Environment) {
    const { arena, frames } = env;
    const { quotas } = env.limits;
    const count = env.limits.udpSockets;
    this.#i32 = arena.i32;
    this.#u16 = arena.u16;
    this.#frames = frames;
    this.#counters = env.counters;
    this.#count = count;
    this.#free = new FreeList(arena, 'udp indexes', count);
    this.#ready = new IndexList(arena, 'udp ready', count);
    this.#queues = new IndexList(arena, 'udp queues', frames.receiveCount, count);
    this.#rows = arena.carve('udp sockets', count << (SOCKET_SHIFT + 2), 64) >> 2;
    const frameBytes = frames.receiveCount << (FRAME_ROW_SHIFT + 2);
    this.#frameRows = arena.carve('udp frames', frameBytes, 64) >> 2;
    this.#ports = arena.carve('udp ports', 65_536 * 2, 64) >> 1;
    this.#socketQuota = quotas.udpSockets;
    this.#frameQuota = quotas.receiveFrames;
    this.#heldMax = Math.min(frames.receiveCount, this.#frameQuota) >> 2;
    this.#random = new Unpredictable(env.config.wireKey, PURPOSE.udpPort);
    this.#owners = new Owners(env);
    for (let s = 0; s < count; s++) this.#i32[this.#row(s) + GENERATION] = -1;
  }

  /** Frames that sockets hold. */
  get held(): number {
    return this.#held;
  }

  /** A socket on `port` (0: picked here). -> handle, IN_USE, NO_FLOW, QUOTA. */
  open(address: number, port: number, cookie: number): number {
    const chosen = port === 0 ? this.#pickPort() : port;
    if (chosen < 0 || this.find(chosen) >= 0) return CODE.IN_USE;
    if (this.#count - this.#free.free >= this.#socketQuota) {
      this.#counters.bump(COUNTER.quotaUdpSockets);
      return CODE.QUOTA;
    }
    const socket = this.#free.take();
    if (socket < 0) return CODE.NO_FLOW;
    const i32 = this.#i32;
    const row = this.#row(socket);
    const generation = -i32[row + GENERATION]!;
    i32[row + GENERATION] = generation;
    i32[row + COOKIE] = cookie;
    i32[row + ADDRESS] = address;
    i32[row + PORT] = chosen;
    i32[row + HELD] = 0;
    i32[row + NEXT] = -1;
    i32[row + SENT_BYTES] = 0;
    i32[row + SENT_COUNT] = 0;
    this.#u16[this.#ports + chosen] = socket + 1;
    return (generation << FLOW_INDEX_BITS) | socket;
  }

  /** Index of a live socket, or -1. */
  indexOf(handle: number): number {
    const socket = handle & INDEX_MASK;
    if (handle <= 0 || socket >= this.#count) return -1;
    return this.#i32[this.#row(socket) + GENERATION] === handle >> FLOW_INDEX_BITS ? socket : -1;
  }

  /** Index of the socket on a port, or -1. */
  find(port: number): number {
    return this.#u16[this.#ports + port]! - 1;
  }

  portOf(socket: number): number {
    return this.#i32[this.#row(socket) + PORT]!;
  }

  /** The address of ours that it is bound to; 0: none in particular. */
  addressOf(socket: number): number {
    return this.#i32[this.#row(socket) + ADDRESS]!;
  }

  hasRoom(socket: number): boolean {
    if (this.#i32[this.#row(socket) + HELD]! >= QUEUE_MAX) return false;
    if (this.#held < this.#heldMax && this.#frames.held < this.#frameQuota) return true;
    if (this.#frameQuota < this.#frames.receiveCount) this.#counters.bump(C_QUOTA_FRAMES);
    return false;
  }

  /**
   * Appends `frame` (any offset inside it) to a socket's queue, with the payload in it. Consumes
   * the frame. -> what `setSource` takes, which must follow. The application names the datagram by
   * its payload's place; an empty one may stand at the frame's end, which is the next frame's
   * beginning, so it is told as standing at `frame`.
   */
  queue(
    socket: number,
    frame: number,
    payload: number,
    bytes: number,
    sourcePort: number,
    isTruncated: number,
  ): number {
    const i32 = this.#i32;
    if (VERIFY) this.#frames.verifyInside(frame, payload, bytes);
    const node = this.#frames.indexOf(frame);
    const received = this.#frameRow(node);
    i32[received + OWNER] = 0;
    i32[received + OFFSET] = bytes === 0 ? frame : payload;
    i32[received + LENGTH] = bytes;
    i32[received + SOURCE_PORT] = sourcePort;
    i32[received + IS_TRUNCATED] = isTruncated;
    const row = this.#row(socket);
    this.#queues.push(node, socket);
    i32[row + HELD] = i32[row + HELD]! + 1;
    this.#held = (this.#held + 1) | 0;
    this.#frames.held = (this.#frames.held + 1) | 0;
    if (i32[row + NEXT]! < 0) i32[row + NEXT] = node;
    this.#wake(socket);
    return node;
  }

  /** The address that a queued frame came from. */
  setSource(node: number, w0: number, w1: number, w2: number, w3: number): void {
    const i32 = this.#i32;
    const source = this.#frameRow(node) + SOURCE;
    i32[source] = w0;
    i32[source + 1] = w1;
    i32[source + 2] = w2;
    i32[source + 3] = w3;
  }

  /** The frame at `offset` comes back from the application. -> OK, BAD_RANGE. */
  recvDone(socket: number, offset: number): number {
    const frames = this.#frames;
    if (offset < frames.base || offset >= frames.transmitBase) return CODE.BAD_RANGE;
    const node = frames.indexOf(offset);
    if (this.#i32[this.#frameRow(node) + OWNER] !== this.#handle(socket)) return CODE.BAD_RANGE;
    this.#release(socket, node);
    return CODE.OK;
  }

  /** One datagram of `bytes` has left. */
  noteSent(socket: number, bytes: number): void {
    const row = this.#row(socket);
    this.#i32[row + SENT_BYTES] = this.#i32[row + SENT_BYTES]! + bytes;
    this.#i32[row + SENT_COUNT] = this.#i32[row + SENT_COUNT]! + 1;
    this.#wake(socket);
  }

  /** Drops what is queued and takes back what the application still reads. */
  close(socket: number): void {
    const i32 = this.#i32;
    const row = this.#row(socket);
    for (let node = this.#queues.first(socket); node >= 0; node = this.#queues.first(socket)) {
      this.#release(socket, node);
    }
    if (this.#ready.isLinked(socket)) this.#ready.remove(socket);
    this.#u16[this.#ports + i32[row + PORT]!] = 0;
    const generation = i32[row + GENERATION]!;
    i32[row + GENERATION] = generation >= GENERATION_MAX ? -1 : -(generation + 1);
    this.#free.give(socket);
  }

  closeAll(): void {
    for (let s = 0; s < this.#count; s++) {
      if (this.#i32[this.#row(s) + GENERATION]! > 0) this.close(s);
    }
  }

  /**
   * Event conditions of every socket that has some. Who finds no room goes to the end of the line.
   */
  emit(sink: EventSink): void {
    const ready = this.#ready;
    for (let socket = ready.first(); socket >= 0; socket = ready.first()) {
      ready.remove(socket);
      if (!this.#emitReceived(socket, sink) || !this.#emitSent(socket, sink)) {
        ready.push(socket);
        this.#counters.bump(C_DEFERRED);
        return;
      }
    }
  }

  #emitReceived(socket: number, sink: EventSink): boolean {
    const i32 = this.#i32;
    const row = this.#row(socket);
    const handle = this.#handle(socket);
    for (let node = i32[row + NEXT]!; node >= 0; node = i32[row + NEXT]!) {
      if (sink.space() <= 0) return false;
      const received = this.#frameRow(node);
      const w = sink.push(EVENT.udp_recv, handle, i32[row + COOKIE]!);
      i32[w + WORD.a] = i32[received + OFFSET]!;
      i32[w + WORD.b] = i32[received + LENGTH]!;
      i32[w + WORD.c] = i32[received + SOURCE]!;
      i32[w + WORD.d] = i32[received + SOURCE + 1]!;
      i32[w + WORD.e] = i32[received + SOURCE + 2]!;
      i32[w + WORD.f] = i32[received + SOURCE + 3]!;
      i32[w + WORD.g] = (i32[row + PORT]! << 16) | i32[received + SOURCE_PORT]!;
      i32[w + TRUNCATED_WORD] = i32[received + IS_TRUNCATED]!;
      i32[received + OWNER] = handle;
      i32[row + NEXT] = this.#queues.next(node);
    }
    return true;
  }

  #emitSent(socket: number, sink: EventSink): boolean {
    const i32 = this.#i32;
    const row = this.#row(socket);
    if (i32[row + SENT_COUNT] === 0) return true;
    if (sink.space() <= 0) return false;
    const w = sink.push(EVENT.udp_sent, this.#handle(socket), i32[row + COOKIE]!);
    i32[w + WORD.a] = i32[row + SENT_BYTES]!;
    i32[w + WORD.b] = i32[row + SENT_COUNT]!;
    i32[row + SENT_BYTES] = 0;
    i32[row + SENT_COUNT] = 0;
    return true;
  }

  #release(socket: number, node: number): void {
    const i32 = this.#i32;
    const row = this.#row(socket);
    const received = this.#frameRow(node);
    this.#queues.remove(node);
    i32[received + OWNER] = 0;
    i32[row + HELD] = i32[row + HELD]! - 1;
    this.#held = (this.#held - 1) | 0;
    this.#frames.held = (this.#frames.held - 1) | 0;
    this.#frames.free(i32[received + OFFSET]!);
  }

  /** A free port, from a place that nobody else can know (RFC 6056 3.3.1), or -1. */
  #pickPort(): number {
    const start = this.#random.next();
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + ((start + i) & (EPHEMERAL_COUNT - 1));
      if (this.#owners.picks(port) && this.find(port) < 0) return port;
    }
    return -1;
  }

  #handle(socket: number): number {
    return (this.#i32[this.#row(socket) + GENERATION]! << FLOW_INDEX_BITS) | socket;
  }

  #row(socket: number): number {
    return this.#rows + (socket << SOCKET_SHIFT);
  }

  #frameRow(node: number): number {
    return this.#frameRows + (node << FRAME_ROW_SHIFT);
  }

  #wake(socket: number): void {
    if (!this.#ready.isLinked(socket)) this.#ready.push(socket);
  }
}
