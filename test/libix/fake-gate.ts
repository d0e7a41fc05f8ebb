/**
 * The other side of a gate, for tests of libix alone: executes calls as a dataplane would, with a
 * mind of its own about how much of a sendv it accepts and when bytes are acknowledged.
 */
import { Arena } from '../../src/arena/arena.ts';
import { CALL_ARRAY_BYTES } from '../../src/dataplane/gate.ts';
import {
  BOUND_PORT,
  CALL,
  CALL_RESULT,
  CODE,
  DEAD,
  EVENT,
  SENDV_DONE,
  SENDV_VECTOR,
} from '../../src/gate/abi.ts';
import {
  EVENT_ARRAY_BYTES,
  EventSink,
  GATE_COUNT,
  GATE_HEADER_BYTES,
} from '../../src/gate/arrays.ts';
import { Ix } from '../../src/libix/ix.ts';
import { DESCRIPTOR_WORDS } from '../../src/limits.ts';

export interface FakeFlow {
  handle: number;
  cookie: number;
  /** Bytes accepted, in order, as they were when they were accepted. */
  out: number[];
  /** Where each accepted byte lies, to see that it has not changed when it is acknowledged. */
  places: number[];
  acknowledged: number;
  received: number;
  done: number;
  isClosed: boolean;
  isDead: boolean;
  isRejected: boolean;
  userTimeoutMs?: number;
  keepalive?: [idleMs: number, intervalMs: number, count: number];
  marking?: [hops: number, codePoint: number];
}

export interface FakeSocket {
  handle: number;
  cookie: number;
  port: number;
  isOpen: boolean;
  /** Offsets of received datagrams that the application still has. */
  lent: Set<number>;
  sent: { text: string; address: number; port: number }[];
}

const RECEIVE_BYTES = 1 << 20;
/** Who knocks, and where. */
const PEER = [0, 0, 0xffff, 0x0a4d0001];
const PEER_PORT = 40_000;
const OURS = [0, 0, 0xffff, 0x0a4d0002];
/** What the stack picks. */
export const PICKED_PORT = 32_768;

export class FakeGate {
  readonly arena = new Arena(64 * 2 ** 20);
  readonly sink: EventSink;
  readonly ix: Ix;
  readonly flows = new Map<number, FakeFlow>();
  readonly reports: unknown[] = [];
  hasRoomForReports = true;
  /** How many bytes of a sendv to accept. */
  accept = (asked: number): number => asked;
  /** Answers to calls of a kind, instead of what they would get. */
  readonly answers = new Map<number, number>();
  readonly sockets: FakeSocket[] = [];
  /** Port of each listener, cookie of each timer that runs, by their handles. */
  readonly listeners = new Map<number, number>();
  readonly timers = new Map<number, number>();
  #lastListener = 1 << 20;
  #lastTimer = 1 << 20;
  readonly #callArray: number;
  readonly #receive: number;
  #receiveNext = 0;
  #nextHandle = 1 << 20;
  listenerCookie = 0;
  /** Of the last batch. */
  callCount = 0;

  constructor(
    sizes = { spans: 4096, receiveSpans: 1024, sendBlocks: 256, gatherBlocks: 16 },
    callsMax = 0,
  ) {
    const { arena } = this;
    const carve = (name: string, bytes: number) => ({ offset: arena.carve(name, bytes), bytes });
    const layout = {
      events: carve('events', EVENT_ARRAY_BYTES),
      calls: carve('calls', CALL_ARRAY_BYTES),
      memory: carve('application', 16 * 2 ** 20),
      receivePool: carve('receive', RECEIVE_BYTES),
    };
    this.#callArray = layout.calls.offset;
    this.#receive = layout.receivePool.offset;
    this.sink = new EventSink(arena, layout.events.offset);
    this.sink.announceCalls(callsMax);
    this.ix = new Ix({
      arena,
      layout,
      flows: 64,
      thread: 0,
      sizes,
      hooks: {
        report: (json) => this.hasRoomForReports && this.reports.push(JSON.parse(json)) > 0,
        wake: () => {},
        stop: () => {},
      },
    });
  }

  /** The application's turn, then its calls. */
  turn(): void {
    this.sink.publish(0, 0);
    this.ix.dispatch();
    this.sink.clear();
    const i32 = this.arena.i32;
    const count = i32[(this.#callArray >> 2) + GATE_COUNT]!;
    this.callCount = count;
    for (let i = 0; i < count; i++) {
      const w = ((this.#callArray + GATE_HEADER_BYTES) >> 2) + i * DESCRIPTOR_WORDS;
      i32[w + CALL_RESULT] = this.#execute(w);
    }
  }

  /** Somebody knocks at the last listener, or at the one of `cookie`. */
  knock(cookie = this.listenerCookie, { remote = PEER, local = OURS, port = 7 } = {}): FakeFlow {
    const handle = this.#nextHandle++;
    const flow = this.#flow(handle, 0);
    const w = this.sink.push(EVENT.knock, handle, cookie);
    this.arena.i32.set([...remote, (port << 16) | PEER_PORT, ...local], w + 3);
    return flow;
  }

  #flow(handle: number, cookie: number): FakeFlow {
    const flow: FakeFlow = {
      handle,
      cookie,
      out: [],
      places: [],
      acknowledged: 0,
      received: 0,
      done: 0,
      isClosed: false,
      isDead: false,
      isRejected: false,
    };
    this.flows.set(handle, flow);
    return flow;
  }

  /** The peer of a `connect` has answered. */
  connected(flow: FakeFlow): void {
    const w = this.sink.push(EVENT.connected, flow.handle, flow.cookie);
    this.arena.i32.set([...OURS, (PICKED_PORT << 16) | 9], w + 3);
  }

  expire(cookie: number): void {
    this.sink.push(EVENT.timer, 0, cookie);
  }

  /** A datagram arrives; it stays lent until recv_done or close. */
  datagram(socket: FakeSocket, bytes: Uint8Array, address: number, port: number): number {
    if (this.#receiveNext + bytes.length > RECEIVE_BYTES) this.#receiveNext = 0;
    const offset = this.#receive + this.#receiveNext;
    this.#receiveNext += Math.max(1, bytes.length);
    this.arena.u8.set(bytes, offset);
    const w = this.sink.push(EVENT.udp_recv, socket.handle, socket.cookie);
    const truncated = 0;
    const source = [0, 0, 0xffff, address];
    const ports = (socket.port << 16) | port;
    this.arena.i32.set([offset, bytes.length, ...source, ports, truncated], w + 3);
    socket.lent.add(offset);
    return offset;
  }

  udpSent(socket: FakeSocket, bytes: number): void {
    this.arena.i32[this.sink.push(EVENT.udp_sent, socket.handle, socket.cookie) + 3] = bytes;
  }

  receive(flow: FakeFlow, bytes: Uint8Array): void {
    if (this.#receiveNext + bytes.length > RECEIVE_BYTES) this.#receiveNext = 0;
    const offset = this.#receive + this.#receiveNext;
    this.#receiveNext += bytes.length;
    this.arena.u8.set(bytes, offset);
    const w = this.sink.push(EVENT.recv, flow.handle, flow.cookie);
    this.arena.i32[w + 3] = offset;
    this.arena.i32[w + 4] = bytes.length;
    this.arena.i32[w + 5] = 0;
    flow.received += bytes.length;
  }

  /** Acknowledges `bytes`; throws when a byte has changed since it was accepted. */
  acknowledge(flow: FakeFlow, bytes: number): void {
    const from = flow.acknowledged;
    for (let i = from; i < from + bytes; i++) {
      if (this.arena.u8[flow.places[i]!] !== flow.out[i]) throw new Error('sent bytes changed');
    }
    flow.acknowledged += bytes;
    const w = this.sink.push(EVENT.sent, flow.handle, flow.cookie);
    this.arena.i32[w + 3] = bytes;
  }

  urgent(flow: FakeFlow, bytes: number): void {
    this.arena.i32[this.sink.push(EVENT.urgent, flow.handle, flow.cookie) + 3] = bytes;
  }

  end(flow: FakeFlow): void {
    this.sink.push(EVENT.recv_end, flow.handle, flow.cookie);
  }

  die(flow: FakeFlow, reason: number = DEAD.closed): void {
    flow.isDead = true;
    const w = this.sink.push(EVENT.dead, flow.handle, flow.cookie);
    this.arena.i32[w + 3] = reason;
  }

  /** Writes `result` into every call of the batch, without looking. */
  answerAll(result: number): void {
    const i32 = this.arena.i32;
    const count = i32[(this.#callArray >> 2) + GATE_COUNT]!;
    const first = (this.#callArray + GATE_HEADER_BYTES) >> 2;
    for (let i = 0; i < count; i++) i32[first + i * DESCRIPTOR_WORDS + CALL_RESULT] = result;
  }

  #execute(w: number): number {
    const i32 = this.arena.i32;
    const kind = i32[w]!;
    const answer = this.answers.get(kind);
    if (answer !== undefined) return answer;
    if (kind >= CALL.udp_bind && kind <= CALL.udp_close) return this.#udp(kind, w);
    if (kind === CALL.connect) {
      const handle = this.#nextHandle++;
      this.#flow(handle, i32[w + 1]!);
      return handle;
    }
    if (kind === CALL.listen) {
      this.listenerCookie = i32[w + 1]!;
      if (i32[w + BOUND_PORT] === 0) i32[w + BOUND_PORT] = PICKED_PORT;
      this.listeners.set(++this.#lastListener, i32[w + BOUND_PORT]!);
      return this.#lastListener;
    }
    if (kind === CALL.unlisten) return this.listeners.delete(i32[w + 1]!) ? 0 : CODE.BAD_HANDLE;
    if (kind === CALL.timer) {
      this.timers.set(++this.#lastTimer, i32[w + 1]!);
      return this.#lastTimer;
    }
    if (kind === CALL.timer_cancel) return this.timers.delete(i32[w + 1]!) ? 0 : CODE.BAD_STATE;
    const flow = this.flows.get(i32[w + 1]!);
    if (!flow || flow.isDead) return CODE.BAD_HANDLE;
    switch (kind) {
      case CALL.reject:
        flow.isRejected = true;
        return CODE.OK;
      case CALL.accept:
        flow.cookie = i32[w + 2]!;
        return CODE.OK;
      case CALL.recv_done:
        flow.done += i32[w + 2]!;
        return flow.done <= flow.received ? CODE.OK : CODE.BAD_COUNT;
      case CALL.sendv:
        return this.#sendv(w, flow);
      case CALL.user_timeout:
        flow.userTimeoutMs = i32[w + 2]!;
        return CODE.OK;
      case CALL.shutdown:
        return CODE.OK;
      case CALL.keepalive:
        flow.keepalive = [i32[w + 2]!, i32[w + 3]!, i32[w + 4]!];
        return CODE.OK;
      case CALL.marking:
        flow.marking = [i32[w + 2]!, i32[w + 3]!];
        return CODE.OK;
      case CALL.close:
      case CALL.abort:
        flow.isClosed = true;
        return CODE.OK;
      default:
        return CODE.BAD_CALL;
    }
  }

  #udp(kind: number, w: number): number {
    const { i32, u8 } = this.arena;
    if (kind === CALL.udp_bind) {
      const handle = this.#nextHandle++;
      if (i32[w + BOUND_PORT] === 0) i32[w + BOUND_PORT] = PICKED_PORT;
      const bound = { handle, cookie: i32[w + 1]!, port: i32[w + BOUND_PORT]!, isOpen: true };
      this.sockets.push({ ...bound, lent: new Set(), sent: [] });
      return handle;
    }
    const socket = this.sockets.find(({ handle }) => handle === i32[w + 1]);
    if (!socket?.isOpen) return CODE.BAD_HANDLE;
    if (kind === CALL.udp_recv_done) return socket.lent.delete(i32[w + 2]!) ? 0 : CODE.BAD_RANGE;
    if (kind === CALL.udp_close) {
      socket.isOpen = false;
      socket.lent.clear();
      return CODE.OK;
    }
    const [offset, length] = [i32[w + 2]!, i32[w + 3]!];
    const text = Buffer.from(u8.subarray(offset, offset + length)).toString('latin1');
    socket.sent.push({ text, address: i32[w + 7]!, port: i32[w + 8]! });
    return length;
  }

  #sendv(w: number, flow: FakeFlow): number {
    const i32 = this.arena.i32;
    flow.done += i32[w + SENDV_DONE]!;
    i32[w + SENDV_DONE] = 0;
    if (flow.done > flow.received) return CODE.BAD_COUNT;
    const isVector = i32[w + 2] === SENDV_VECTOR;
    const pairs = isVector ? i32[w + 3]! >> 2 : w + 3;
    const spans = isVector ? i32[w + 4]! : i32[w + 2]!;
    let asked = 0;
    for (let i = 0; i < spans; i++) asked += i32[pairs + 2 * i + 1]!;
    let left = Math.min(asked, Math.max(0, this.accept(asked)));
    const accepted = left;
    for (let i = 0; i < spans && left > 0; i++) {
      const offset = i32[pairs + 2 * i]!;
      const length = Math.min(left, i32[pairs + 2 * i + 1]!);
      for (let k = 0; k < length; k++) {
        flow.out.push(this.arena.u8[offset + k]!);
        flow.places.push(offset + k);
      }
      left -= length;
    }
    return accepted;
  }
}
