/**
 * TCP of one elastic thread: the facade that the stack and the gate see. Who does what:
 *
 *   in        input (border, header prediction), arrival, options; passive (CLOSED, LISTEN),
 *             syn-cookies; syn-sent; synchronized (every later state, in the RFC's order)
 *   its data  receive, receive-queue, out-of-order, held-table
 *   its ACK   acknowledge, scoreboard, recovery (RACK, TLP, PRR, F-RTO), rto
 *   out       output (what to send), segment (building one), send-queue, sack-writer
 *   how fast  congestion (NewReno), cubic, dctcp, ecn, path-mtu
 *   a flow    tcb (its row), flows (all rows), open, teardown, iss, listen, per-source
 *   time      timers, expire, loss-timer, user-timeout; errors: icmp-error
 *   the gate  calls (what applications ask), ephemeral-ports, events (what they are told)
 *
 * - The loop's order: `expire`, `input`, `emit`, calls, `flush`. Only `flush` sends data, so all
 *   that one iteration has to say to a peer leaves together.
 * - Handles are generation << 20 | index, > 0. Codes are gate/abi.ts CODE.
 * - Nothing is allocated after construction.
 *
 * Called by dataplane/stack.ts, dataplane/gate.ts, and as TcpLayer by what is below.
 */
import type { EventSink } from '../gate/arrays.ts';
import type { Environment } from '../net/both/environment.ts';
import { VERIFY } from '../verify.ts';
import { Acknowledging } from './acknowledge.ts';
import { Calls } from './calls.ts';
import { type Congestion, NewReno } from './congestion.ts';
import type { CONGESTION_NAMES } from './constants.ts';
import { Cubic } from './cubic.ts';
import { Dctcp } from './dctcp.ts';
import { Ecn, type EcnOption } from './ecn.ts';
import { Events } from './events.ts';
import { Expiry } from './expire.ts';
import { Flows } from './flows.ts';
import { IcmpErrors } from './icmp-error.ts';
import { Input } from './input.ts';
import { Listeners } from './listen.ts';
import { LossTimer } from './loss-timer.ts';
import { type Offer, Opening } from './open.ts';
import { Output } from './output.ts';
import { Passive } from './passive.ts';
import { PathMtu } from './path-mtu.ts';
import { PerSource } from './per-source.ts';
import { Receiving } from './receive.ts';
import { ReceiveQueue } from './receive-queue.ts';
import { Recovery } from './recovery.ts';
import { Scoreboard } from './scoreboard.ts';
import { type IpLayer, SegmentWriter } from './segment.ts';
import { SendQueue } from './send-queue.ts';
import { SynSent } from './syn-sent.ts';
import { Synchronized } from './synchronized.ts';
import { Teardown } from './teardown.ts';
import { Timers } from './timers.ts';
import { verifyFlow } from './verify-flow.ts';

export interface TcpOptions extends Offer {
  /** 2 MSL, microseconds. */
  timeWaitUs?: number;
  /** Default: cubic. */
  congestion?: CongestionName;
  /** Default: accept, as Linux does; `ask` with dctcp, which is nothing without. */
  ecn?: EcnOption;
  /** How long an acknowledgement waits that is due by count; default: 0, at once. */
  holdAckUs?: number;
}

export type CongestionName = (typeof CONGESTION_NAMES)[number];

function makeCongestion(name: CongestionName, env: Environment, flows: Flows): Congestion {
  if (name === 'newReno') return new NewReno(flows.i32);
  return name === 'dctcp' ? new Dctcp(flows.i32) : new Cubic(flows.i32, env.clock);
}

export class Tcp {
  readonly flows: Flows;
  readonly sendQueue: SendQueue;
  readonly #board: Scoreboard;
  readonly #calls: Calls;
  readonly #input: Input;
  readonly #output: Output;
  readonly #events: Events;
  readonly #expiry: Expiry;
  readonly #icmp: IcmpErrors;
  readonly #noted: Int32Array;

  constructor(env: Environment, ip: IpLayer, options: TcpOptions = {}) {
    const flows = new Flows(env);
    const sendQueue = new SendQueue(env);
    const receiveQueue = new ReceiveQueue(env);
    const timers = new Timers(flows.i32, env.wheel);
    const name = options.congestion ?? 'cubic';
    const congestion = makeCongestion(name, env, flows);
    const isDctcp = name === 'dctcp';
    const ecn = new Ecn(env, congestion, options.ecn ?? (isDctcp ? 'ask' : 'accept'), isDctcp);
    const board = new Scoreboard(env);
    const lossTimer = new LossTimer(env, timers);
    const pathMtu = new PathMtu(env, flows, timers, ip);
    const recovery = new Recovery(env, flows, board, congestion, lossTimer, pathMtu);
    const listeners = new Listeners(env, ip);
    const writer = new SegmentWriter(env, ip, sendQueue, receiveQueue, ecn);
    const output = new Output(
      env, flows, writer, sendQueue, timers, congestion, board, recovery, lossTimer, pathMtu,
      options.holdAckUs ?? 0,
    ); // biome-ignore format: a list
    ecn.output = output;
    const perSource = new PerSource(env, ip);
    const teardown = new Teardown(
      env, flows, ip, timers, sendQueue, receiveQueue, writer, listeners, board, perSource,
    ); // biome-ignore format: a list
    const opening = new Opening(
      env, flows, ip, timers, teardown, listeners, congestion, options,
    ); // biome-ignore format: a list
    const receiving = new Receiving(env, flows, receiveQueue, output);
    const acknowledging = new Acknowledging(
      env, flows, sendQueue, timers, congestion, board, recovery, lossTimer,
    ); // biome-ignore format: a list
    const expiry = new Expiry(
      env, flows, ip, timers, sendQueue, congestion, teardown, recovery, pathMtu,
    ); // biome-ignore format: a list
    const passive = new Passive(env, flows, ip, listeners, opening, writer, timers, ecn, perSource);
    const shared = {
      flows, ip, timers, listeners, opening, receiving, receiveQueue, sendQueue, writer, teardown,
      expiry, acknowledging, passive, output, ecn,
    }; // biome-ignore format: a list
    const synSent = new SynSent(env, shared);
    const synchronized = new Synchronized(env, shared);
    this.flows = flows;
    this.#noted = new Int32Array(VERIFY ? flows.count : 0);
    this.sendQueue = sendQueue;
    this.#board = board;
    this.#input = new Input(env, {
      flows,
      ip,
      acknowledging,
      receiving,
      passive,
      synSent,
      synchronized,
      ecn,
    });
    this.#output = output;
    this.#events = new Events(env, flows, ip, receiveQueue, sendQueue, teardown);
    this.#expiry = expiry;
    this.#calls = new Calls(env, shared);
    this.#icmp = new IcmpErrors(env, flows, ip, opening, sendQueue, teardown, recovery, pathMtu);
    if (options.timeWaitUs !== undefined) teardown.timeWaitUs = options.timeWaitUs;
  }

  // --- below: the stack ---

  /** One segment of `bytes` (header and payload) at `tcp` in `frame`. -> FREE_FRAME, KEEP_FRAME. */
  input(
    frame: number,
    ip: number,
    tcp: number,
    bytes: number,
    source: number,
    destination: number,
  ): number {
    const result = this.#input.segment(frame, ip, tcp, bytes, source, destination);
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
    const count = VERIFY ? this.#noteOutput() : 0;
    this.#output.flush();
    for (let i = 0; i < count; i++) this.verifyFlow(this.#noted[i]!);
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
    this.#icmp.settle();
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

  /** ARP, or neighbour discovery if `isIpv6`, has given up on a neighbour. */
  neighbourFailed(neighbour: number, isIpv6: boolean): void {
    this.#icmp.neighbourFailed(neighbour, isIpv6);
  }

  // --- above: the gate; see calls.ts ---

  listen(cookie: number, address: number, port: number, backlog: number, flags: number): number {
    return this.#calls.listen(cookie, address, port, backlog, flags);
  }

  listenerPort(handle: number): number {
    return this.#calls.listenerPort(handle);
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

  keepalive(handle: number, idleMs: number, intervalMs = 0, count = 0): number {
    return this.#calls.keepalive(handle, idleMs, intervalMs, count);
  }

  userTimeout(handle: number, ms: number): number {
    return this.#calls.userTimeout(handle, ms);
  }

  marking(handle: number, hops: number, codePoint: number): number {
    return this.#calls.marking(handle, hops, codePoint);
  }

  /** The application is gone: no listener is left, no flow but those that end by FIN. */
  dropApplication(isGraceful = false): void {
    this.#calls.dropApplication(isGraceful);
  }

  // --- for tests ---

  /** Flows in any state but CLOSED, TIME-WAIT included. */
  get openFlows(): number {
    return this.flows.table.count;
  }

  /** VERIFY: flows that were looked at because neighbours failed. */
  get failureSteps(): number {
    return this.#icmp.steps;
  }

  /** True when no flow exists and no pool lacks anything. */
  allHome(): boolean {
    const { flows } = this;
    return flows.free === flows.count && this.sendQueue.allHome() && this.#board.allHome();
  }

  /** Throws if an invariant of the row does not hold. */
  verifyFlow(row: number): void {
    verifyFlow(this.flows, this.sendQueue, row);
  }

  /** VERIFY: the rows that a flush will touch. */
  #noteOutput(): number {
    const { output } = this.flows;
    let count = 0;
    for (let row = output.head; row !== 0; row = output.next(row)) this.#noted[count++] = row;
    return count;
  }
}
