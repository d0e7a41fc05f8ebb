/**
 * UDP for applications: bind, send from application memory, datagrams handed over where they lie.
 *
 * - A datagram's memory is given back when its handler returns, or throws (guard.ts).
 * - `send` in a turn is one call of this batch. From outside (a timer of Node, a promise) it is a
 *   request, written in the next turn.
 * - A socket may be closed at any time, also before the dataplane has answered its bind; it hears
 *   and sends nothing afterwards, for ever. Its cookie is another's when the dataplane has closed
 *   it, and events name the handle too.
 * - A call beyond what the batch may hold (QUOTA) is made again, but for a datagram, which is lost
 *   like any other.
 *
 * Called by ix.ts. Read first: src/gate/abi.ts (udp_bind, udp_sendv, udp_recv).
 */
import { BOUND_PORT, CALL, CALL_RESULT, CODE, MAPPED_V4 } from '../gate/abi.ts';
import { badAddress, badSpan, integer, isAddress } from './arguments.ts';
import type { Faults } from './guard.ts';
import type { ApplicationMemory } from './memory.ts';
import type { RawGate } from './raw.ts';
import { refuse, refusedDatagram } from './refusals.ts';
import type { Requests } from './requests.ts';

const PORT_MAX = 65_535;
/** Codes that may be the answer to any datagram. */
const LOST: readonly number[] = [CODE.AGAIN, CODE.NO_ROUTE, CODE.TOO_LONG, CODE.QUOTA];

export interface UdpSocket {
  /**
   * Sends bytes of application memory to an IPv4 address (int32) or to four words, `source` for
   * one; false when it cannot now, or never again. They must stay until `sent`. What happens to it
   * later nobody is told: UDP may lose it. Throws IxArgumentError for bytes that are not in
   * application memory.
   */
  send(offset: number, length: number, address: number | ArrayLike<number>, port: number): boolean;
  /** Ours; asked for as 0: 0 until the dataplane has answered. */
  readonly port: number;
  /** Where the datagram that is being handled came from: four words, overwritten by the next. */
  readonly source: Int32Array;
  close(): void;
}

export interface UdpHandlers {
  /**
   * A datagram at `offset`; its memory is given back when the handler returns. `address` is the
   * sender's IPv4 address, or the last word of its IPv6 address: all of it stands in
   * `socket.source`.
   */
  received(
    socket: UdpSocket,
    offset: number,
    length: number,
    address: number,
    port: number,
    truncated: boolean,
  ): void;
  /**
   * `bytes` of memory are free again: of datagrams that have left (`code` 0), or of one that could
   * not (gate/abi.ts CODE).
   */
  sent?(socket: UdpSocket, bytes: number, code: number): void;
}

interface Binding {
  /** 0 until the dataplane has answered. */
  handle: number;
  readonly cookie: number;
  isClosed: boolean;
  handlers: UdpHandlers;
  socket: UdpSocket & { port: number };
}

/**
 * Four words at `w`: an IPv4 address (0: any address of either protocol) or four words as they are.
 */
export function writeAddress(
  i32: Int32Array,
  w: number,
  address: number | ArrayLike<number>,
): void {
  if (typeof address !== 'number') {
    for (let i = 0; i < 4; i++) i32[w + i] = address[i]!;
    return;
  }
  i32[w] = 0;
  i32[w + 1] = 0;
  i32[w + 2] = address === 0 ? 0 : MAPPED_V4;
  i32[w + 3] = address;
}

export class UdpSockets {
  readonly #gate: RawGate;
  readonly #memory: ApplicationMemory;
  readonly #requests: Requests;
  readonly #faults: Faults;
  /** By cookie - 1. */
  readonly #bindings: (Binding | undefined)[] = [];
  readonly #freeCookies: number[] = [];
  readonly #byHandle = new Map<number, Binding>();
  /** Datagrams sent and given back in the batch at the gate. */
  #calls = 0;

  constructor(gate: RawGate, memory: ApplicationMemory, requests: Requests, faults: Faults) {
    this.#gate = gate;
    this.#memory = memory;
    this.#requests = requests;
    this.#faults = faults;
  }

  bind(port: number, handlers: UdpHandlers): UdpSocket {
    const gate = this.#gate;
    const cookie = this.#freeCookies.pop() ?? this.#bindings.length + 1;
    const socket: Binding['socket'] = {
      port,
      source: new Int32Array(4),
      send: (offset, length, address, remotePort) =>
        this.#send(binding, offset, length, address, remotePort),
      close: () => this.#close(binding),
    };
    const binding: Binding = { handle: 0, cookie, isClosed: false, handlers, socket };
    this.#bindings[cookie - 1] = binding;
    let at = 0;
    const write = (): number => {
      at = gate.call(CALL.udp_bind, cookie);
      if (at < 0) return -1;
      writeAddress(gate.i32, at + 2, 0);
      gate.i32[at + BOUND_PORT] = port;
      return at;
    };
    this.#requests.add(write, (result) => {
      socket.port = gate.i32[at + BOUND_PORT]!;
      this.#bound(binding, port, result);
    });
    return socket;
  }

  #bound(binding: Binding, port: number, result: number): void {
    if (result < 0) {
      binding.isClosed = true;
      this.#forget(binding);
      refuse(`UDP port ${port}`, result);
    }
    binding.handle = result;
    this.#byHandle.set(result, binding);
    if (binding.isClosed) this.#closeCall(binding);
  }

  #close(binding: Binding): void {
    if (binding.isClosed) return;
    binding.isClosed = true;
    if (binding.handle !== 0) this.#closeCall(binding); // else when it has one
  }

  #closeCall(binding: Binding): void {
    const write = (): number => this.#gate.call(CALL.udp_close, binding.handle);
    this.#requests.add(write, (result) => {
      if (result === CODE.QUOTA) this.#closeCall(binding);
      else this.#forget(binding);
    });
  }

  /** The dataplane knows it no more: no event of it will come. */
  #forget(binding: Binding): void {
    this.#byHandle.delete(binding.handle);
    this.#bindings[binding.cookie - 1] = undefined;
    this.#freeCookies.push(binding.cookie);
  }

  #send(
    binding: Binding,
    offset: number,
    length: number,
    address: number | ArrayLike<number>,
    port: number,
  ): boolean {
    if (binding.handle === 0 || binding.isClosed) return false;
    if (!this.#memory.holds(offset, length)) throw badSpan('send', offset, length);
    if (!isAddress(address)) throw badAddress('send: address');
    integer('send: port', port, 1, PORT_MAX);
    if (!this.#gate.isOpen) {
      const kept = typeof address === 'number' ? address : Array.from(address); // `source` changes
      const write = (): number => this.#sendCall(binding, offset, length, kept, port);
      this.#requests.add(write);
      return true;
    }
    return this.#sendCall(binding, offset, length, address, port) >= 0;
  }

  #sendCall(
    binding: Binding,
    offset: number,
    length: number,
    address: number | ArrayLike<number>,
    port: number,
  ): number {
    const w = this.#gate.call(CALL.udp_sendv, binding.handle);
    if (w < 0) return w;
    this.#calls = (this.#calls + 1) | 0;
    const i32 = this.#gate.i32;
    i32[w + 2] = offset;
    i32[w + 3] = length;
    writeAddress(i32, w + 4, address);
    i32[w + 8] = port;
    return w;
  }

  /** Reads the results of the last batch. */
  results(): void {
    if (this.#calls === 0) return;
    this.#calls = 0;
    const gate = this.#gate;
    const i32 = gate.i32;
    for (let i = 0; i < gate.callCount; i++) {
      const w = gate.callAt(i);
      const code = i32[w + CALL_RESULT]!;
      if (code >= 0) continue;
      if (i32[w] === CALL.udp_sendv) this.#unsent(w, code);
      else if (i32[w] === CALL.udp_recv_done) this.#notGivenBack(w, code);
    }
  }

  /** The memory of what was refused is free again. */
  #unsent(w: number, code: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#byHandle.get(i32[w + 1]!);
    if (!binding || binding.isClosed) return;
    if (!LOST.includes(code)) this.#faults.tell(refusedDatagram(CALL.udp_sendv, code));
    this.#tellSent(binding, i32[w + 3]!, code);
  }

  #notGivenBack(w: number, code: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#byHandle.get(i32[w + 1]!);
    if (!binding || binding.isClosed) return; // closing gives everything back
    const offset = i32[w + 2]!;
    if (code === CODE.QUOTA) this.#requests.add(() => this.#giveBack(binding, offset));
    else this.#faults.tell(refusedDatagram(CALL.udp_recv_done, code));
  }

  /** The event udp_recv at `w`. */
  received(w: number, cookie: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#bindings[cookie - 1];
    if (binding?.handle !== i32[w + 1] || binding.isClosed) return; // closing gives everything back
    const offset = i32[w + 3]!;
    const { source } = binding.socket;
    for (let i = 0; i < 4; i++) source[i] = i32[w + 5 + i]!;
    this.#deliver(binding, w, offset);
    if (this.#giveBack(binding, offset) >= 0) return;
    this.#requests.add(() => this.#giveBack(binding, offset)); // the batch is full
  }

  #deliver({ handlers, socket }: Binding, w: number, offset: number): void {
    const i32 = this.#gate.i32;
    const length = i32[w + 4]!;
    const port = i32[w + 9]! & 0xffff;
    try {
      handlers.received(socket, offset, length, i32[w + 8]!, port, i32[w + 10] === 1);
    } catch (error) {
      this.#faults.report(error);
    }
  }

  #giveBack({ handle }: Binding, offset: number): number {
    const w = this.#gate.call(CALL.udp_recv_done, handle);
    if (w < 0) return w;
    this.#calls = (this.#calls + 1) | 0;
    this.#gate.i32[w + 2] = offset;
    return w;
  }

  /** The event udp_sent at `w`. */
  sent(w: number, cookie: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#bindings[cookie - 1];
    if (binding?.handle === i32[w + 1]) this.#tellSent(binding, i32[w + 3]!, CODE.OK);
  }

  #tellSent({ handlers, socket, isClosed }: Binding, bytes: number, code: number): void {
    if (isClosed) return;
    try {
      handlers.sent?.(socket, bytes, code);
    } catch (error) {
      this.#faults.report(error);
    }
  }
}
