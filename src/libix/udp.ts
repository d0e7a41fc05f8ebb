/**
 * UDP for applications: bind, send from application memory, datagrams handed over where they lie.
 *
 * - A datagram's memory is given back when its handler returns, or throws (guard.ts).
 * - `send` in a turn is one call of this batch. From outside (a timer of Node, a promise) it is a request, written in the next turn.
 * - A socket may be closed at any time, also before the dataplane has answered its bind; it hears nothing afterwards.
 *
 * Called by ix.ts. Read first: src/abi.ts (udp_bind, udp_sendv, udp_recv).
 */
import { CALL, CALL_RESULT, MAPPED_V4 } from '../abi.ts';
import type { Faults } from './guard.ts';
import type { RawGate } from './raw.ts';
import { type Requests, refuse } from './requests.ts';

export interface UdpSocket {
  /**
   * Sends bytes of application memory to an IPv4 address (int32) or to four words, `source` for one; false when it cannot
   * now. They must stay until `sent`. What happens to it later nobody is told: UDP may lose it.
   */
  send(offset: number, length: number, address: number | ArrayLike<number>, port: number): boolean;
  /** Where the datagram that is being handled came from: four words, overwritten by the next. */
  readonly source: Int32Array;
  close(): void;
}

export interface UdpHandlers {
  /**
   * A datagram at `offset`; its memory is given back when the handler returns. `address` is the sender's IPv4 address, or
   * the last word of its IPv6 address: all of it stands in `socket.source`.
   */
  received(
    socket: UdpSocket,
    offset: number,
    length: number,
    address: number,
    port: number,
    truncated: boolean,
  ): void;
  /** `bytes` of memory are free again: of datagrams that have left, or could not (no route, too long, no frame). */
  sent?(socket: UdpSocket, bytes: number): void;
}

interface Binding {
  /** 0 until the dataplane has answered. */
  handle: number;
  readonly cookie: number;
  isClosed: boolean;
  handlers: UdpHandlers;
  socket: UdpSocket;
}

/** Four words at `w`: an IPv4 address (0: any address of either protocol) or four words as they are. */
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
  readonly #requests: Requests;
  readonly #faults: Faults;
  /** By cookie - 1. */
  readonly #bindings: (Binding | undefined)[] = [];
  readonly #freeCookies: number[] = [];
  readonly #byHandle = new Map<number, Binding>();
  /** Sends of the batch at the gate. */
  #sends = 0;

  constructor(gate: RawGate, requests: Requests, faults: Faults) {
    this.#gate = gate;
    this.#requests = requests;
    this.#faults = faults;
  }

  bind(port: number, handlers: UdpHandlers): UdpSocket {
    const gate = this.#gate;
    const cookie = this.#freeCookies.pop() ?? this.#bindings.length + 1;
    const socket: UdpSocket = {
      source: new Int32Array(4),
      send: (offset, length, address, remotePort) =>
        this.#send(binding, offset, length, address, remotePort),
      close: () => this.#close(binding),
    };
    const binding: Binding = { handle: 0, cookie, isClosed: false, handlers, socket };
    this.#bindings[cookie - 1] = binding;
    const write = (): number => {
      const w = gate.call(CALL.udp_bind, cookie);
      if (w < 0) return -1;
      writeAddress(gate.i32, w + 2, 0);
      gate.i32[w + 6] = port;
      return w;
    };
    this.#requests.add(write, (result) => this.#bound(binding, port, result));
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
    this.#requests.add(write, () => this.#forget(binding));
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
    this.#sends = (this.#sends + 1) | 0;
    const i32 = this.#gate.i32;
    i32[w + 2] = offset;
    i32[w + 3] = length;
    writeAddress(i32, w + 4, address);
    i32[w + 8] = port;
    return w;
  }

  /** Reads the results of the last batch: the memory of what was refused is free again. */
  results(): void {
    if (this.#sends === 0) return;
    this.#sends = 0;
    const gate = this.#gate;
    const i32 = gate.i32;
    for (let i = 0; i < gate.callCount; i++) {
      const w = gate.callAt(i);
      if (i32[w] !== CALL.udp_sendv || i32[w + CALL_RESULT]! >= 0) continue;
      const binding = this.#byHandle.get(i32[w + 1]!);
      if (binding) this.#tellSent(binding, i32[w + 3]!);
    }
  }

  /** The event udp_recv at `w`. */
  received(w: number, cookie: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#bindings[cookie - 1];
    if (!binding || binding.isClosed) return; // closing gives everything back
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
    if (w >= 0) this.#gate.i32[w + 2] = offset;
    return w;
  }

  /** The event udp_sent. */
  sent(cookie: number, bytes: number): void {
    const binding = this.#bindings[cookie - 1];
    if (binding) this.#tellSent(binding, bytes);
  }

  #tellSent({ handlers, socket, isClosed }: Binding, bytes: number): void {
    if (isClosed) return;
    try {
      handlers.sent?.(socket, bytes);
    } catch (error) {
      this.#faults.report(error);
    }
  }
}
