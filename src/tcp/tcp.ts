/**
 * TCP of one elastic thread: the facade that the stack and the gate see. Who does what:
 *
 *   tcb         control blocks, handles, lists        input        border checks, header prediction
 *   open        creation, SYN options                 passive      a segment for no flow; LISTEN
 *   listen      listeners and backlogs                syn-sent     SYN-SENT
 *   calls       what applications ask                 synchronized every later state, in the RFC's order
 *   events      what applications are told            acknowledge  ACKs: round trip, recovery, windows
 *   teardown    TIME-WAIT, death, memory              receive(-queue) payload, in order and out of order
 *   output      what to send, once an iteration       send-queue   spans not yet acknowledged
 *   segment     building one segment                  expire, timers, rto, congestion, icmp-error
 *
 * - Handles are generation << 20 | index, > 0. Codes are abi.ts CODE.
 * - `input` keeps or frees the frame as it answers; `flush` once an iteration after the application's calls;
 *   `emit` once an iteration before them.
 * - Nothing is allocated after construction.
 *
 * Called by net/stack.ts, net/ipv4-input.ts, net/icmp.ts, dataplane/gate.ts. Read first: RFC 9293.
 */
import type { EventSink } from '../dataplane/events.ts';
import type { Environment } from '../net/environment.ts';
import { VERIFY as VERIFY_ } from '../verify.ts';
import { Acknowledging } from './acknowledge.ts';
import { Calls } from './calls.ts';
import { NewReno } from './congestion.ts';
import { Events } from './events.ts';
import { Expiry } from './expire.ts';
import { IcmpErrors } from './icmp-error.ts';
import { Input } from './input.ts';
import { Listeners } from './listen.ts';
import { Opening } from './open.ts';
import { Output } from './output.ts';
import { Passive } from './passive.ts';
import { Receiving } from './receive.ts';
import { ReceiveQueue } from './receive-queue.ts';
import { type IpLayer, SegmentWriter } from './segment.ts';
import { SendQueue } from './send-queue.ts';
import { SynSent } from './syn-sent.ts';
import { Synchronized } from './synchronized.ts';
import { Flows, STATE as STATE_, TCB as TCB_ } from './tcb.ts';
import { Teardown } from './teardown.ts';
import { Timers } from './timers.ts';
import { verifyFlow } from './verify-flow.ts';

// Bound here because V8 folds a module's own constants only (tcb.ts).
const VERIFY = VERIFY_;
const STATE = STATE_;
const TCB = TCB_;

export interface TcpOptions {
  /** 2 MSL, microseconds. */
  timeWaitUs?: number;
}

export class Tcp {
  readonly flows: Flows;
  readonly sendQueue: SendQueue;
  readonly #calls: Calls;
  readonly #input: Input;
  readonly #output: Output;
  readonly #events: Events;
  readonly #expiry: Expiry;
  readonly #icmp: IcmpErrors;

  constructor(env: Environment, ip: IpLayer, options: TcpOptions = {}) {
    const flows = new Flows(env);
    const sendQueue = new SendQueue(env);
    const receiveQueue = new ReceiveQueue(env);
    const timers = new Timers(flows.i32, env.wheel);
    const congestion = new NewReno(flows.i32);
    const listeners = new Listeners(env);
    const writer = new SegmentWriter(env, ip, sendQueue, receiveQueue);
    const output = new Output(env, flows, writer, sendQueue, timers, congestion);
    const teardown = new Teardown(env, flows, timers, sendQueue, receiveQueue, writer, listeners);
    const opening = new Opening(env, flows, ip, timers, teardown, listeners, congestion);
    const receiving = new Receiving(env, flows, receiveQueue, output);
    const acknowledging = new Acknowledging(env, flows, sendQueue, timers, congestion);
    const expiry = new Expiry(env, flows, ip, timers, sendQueue, congestion, teardown);
    const passive = new Passive(env, flows, listeners, opening, writer, timers);
    const shared = {
      flows, ip, timers, listeners, opening, receiving, receiveQueue, sendQueue, writer, teardown,
      expiry, acknowledging, passive, output,
    }; // biome-ignore format: a list
    const synSent = new SynSent(env, shared);
    const synchronized = new Synchronized(env, shared);
    this.flows = flows;
    this.sendQueue = sendQueue;
    this.#input = new Input(env, {
      flows,
      acknowledging,
      receiving,
      passive,
      synSent,
      synchronized,
    });
    this.#output = output;
    this.#events = new Events(env, flows, receiveQueue, sendQueue, teardown);
    this.#expiry = expiry;
    this.#calls = new Calls(env, shared);
    this.#icmp = new IcmpErrors(env, flows, opening, sendQueue, teardown);
    if (options.timeWaitUs !== undefined) teardown.timeWaitUs = options.timeWaitUs;
  }

  // --- below: the stack ---

  /** One segment of `bytes` (header and payload) at `tcp` in `frame`. -> FREE_FRAME or KEEP_FRAME. */
  input(
    frame: number,
    _ip: number,
    tcp: number,
    bytes: number,
    source: number,
    destination: number,
  ): number {
    const result = this.#input.segment(frame, tcp, bytes, source, destination);
    if (VERIFY && this.#input.lastRow !== 0) this.verifyFlow(this.#input.lastRow);
    return result;
  }

  /** The wheel's timer of flow number `flow` has fired. */
  expire(flow: number): void {
    const row = this.flows.row(flow);
    this.#expiry.expire(row);
    if (VERIFY) this.verifyFlow(row);
  }

  /** Sends what is due. */
  flush(): void {
    this.#output.flush();
    if (VERIFY) this.verifyAll();
  }

  /** Whether a flush has left something that could not go (no frames, or more than a burst). */
  hasOutput(): boolean {
    return this.flows.output.head !== 0;
  }

  /** Whether events wait that found no room. */
  hasEvents(): boolean {
    return this.flows.ready.head !== 0;
  }

  emit(sink: EventSink): void {
    this.#events.emit(sink);
  }

  icmpError(
    type: number,
    code: number,
    localAddress: number,
    localPort: number,
    remoteAddress: number,
    remotePort: number,
    sequence: number,
    mtu: number,
  ): void {
    const ports = (remotePort << 16) | localPort;
    this.#icmp.error(type, code, remoteAddress, ports, localAddress, sequence, mtu);
  }

  /** ARP has given up on a neighbour. */
  neighbourFailed(neighbour: number): void {
    this.#icmp.neighbourFailed(neighbour);
  }

  // --- above: the gate; see calls.ts ---

  listen(cookie: number, address: number, port: number, backlog: number, flags: number): number {
    return this.#calls.listen(cookie, address, port, backlog, flags);
  }

  unlisten(handle: number): number {
    return this.#calls.unlisten(handle);
  }

  connect(cookie: number, address: number, ports: number): number {
    return this.#calls.connect(cookie, address, ports);
  }

  accept(handle: number, cookie: number): number {
    return this.#calls.accept(handle, cookie);
  }

  reject(handle: number): number {
    return this.#calls.reject(handle);
  }

  send(handle: number, offset: number, length: number): number {
    return this.#calls.send(handle, offset, length);
  }

  recvDone(handle: number, bytes: number): number {
    return this.#calls.recvDone(handle, bytes);
  }

  close(handle: number): number {
    return this.#calls.close(handle);
  }

  shutdown(handle: number): number {
    return this.#calls.shutdown(handle);
  }

  abort(handle: number): number {
    return this.#calls.abort(handle);
  }

  keepalive(handle: number, idleMs: number): number {
    return this.#calls.keepalive(handle, idleMs);
  }

  /** The application is gone: no listener and no live flow is left (RST); see calls.ts. */
  dropApplication(): void {
    this.#calls.dropApplication();
  }

  // --- for tests ---

  /** Flows in any state but CLOSED, TIME-WAIT included. */
  get openFlows(): number {
    return this.flows.table.count;
  }

  /** True when no flow exists and no pool lacks anything. */
  allHome(): boolean {
    return this.flows.free === this.flows.count && this.sendQueue.allHome();
  }

  /** Throws if an invariant of the row does not hold. */
  verifyFlow(row: number): void {
    verifyFlow(this.flows, this.sendQueue, row);
  }

  verifyAll(): void {
    for (let flow = 0; flow < this.flows.count; flow++) {
      const row = this.flows.row(flow);
      if (this.flows.i32[row + TCB.state] !== STATE.closed) this.verifyFlow(row);
    }
  }
}
