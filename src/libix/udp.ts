/**
 * UDP for applications: bind, send from application memory, datagrams handed over where they lie.
 *
 * - A datagram's memory is given back when its handler returns.
 *
 * Called by ix.ts. Read first: src/abi.ts (udp_bind, udp_sendv, udp_recv).
 */
import { CALL as CALL_, MAPPED_V4 as MAPPED_V4_ } from '../abi.ts';
import type { RawGate } from './raw.ts';
import { type Requests, refuse } from './requests.ts';

// Own constants are folded by V8, imported ones are not (four accesses: 1.5 ns against 4.6 ns).
const CALL = CALL_;
const MAPPED_V4 = MAPPED_V4_;

export interface UdpSocket {
  /**
   * Sends bytes of application memory to an IPv4 address (int32) or to four words, `source` for one; false when it cannot
   * now. They must stay until `sent`.
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
  sent?(socket: UdpSocket, bytes: number): void;
}

interface Binding {
  /** 0 until the dataplane has answered. */
  handle: number;
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
  readonly #wake: () => void;
  readonly #bindings: Binding[] = [];

  constructor(gate: RawGate, requests: Requests, wake: () => void) {
    this.#gate = gate;
    this.#requests = requests;
    this.#wake = wake;
  }

  bind(port: number, handlers: UdpHandlers): UdpSocket {
    const gate = this.#gate;
    const cookie = this.#bindings.length + 1;
    const socket: UdpSocket = {
      source: new Int32Array(4),
      send: (offset, length, address, remotePort) =>
        this.#send(binding, offset, length, address, remotePort),
      close: () => this.#requests.add(() => gate.call(CALL.udp_close, binding.handle)),
    };
    const binding: Binding = { handle: 0, handlers, socket };
    this.#bindings.push(binding);
    const write = (): number => {
      const w = gate.call(CALL.udp_bind, cookie);
      if (w < 0) return -1;
      writeAddress(gate.i32, w + 2, 0);
      gate.i32[w + 6] = port;
      return w;
    };
    this.#requests.add(write, (result) => {
      refuse(`udp port ${port}`, result);
      binding.handle = result;
    });
    return socket;
  }

  #send(
    binding: Binding,
    offset: number,
    length: number,
    address: number | ArrayLike<number>,
    port: number,
  ): boolean {
    if (binding.handle === 0) return false;
    const w = this.#gate.call(CALL.udp_sendv, binding.handle);
    if (w < 0) return false;
    const i32 = this.#gate.i32;
    i32[w + 2] = offset;
    i32[w + 3] = length;
    writeAddress(i32, w + 4, address);
    i32[w + 8] = port;
    this.#wake();
    return true;
  }

  /** The event udp_recv at `w`. */
  received(w: number, cookie: number): void {
    const i32 = this.#gate.i32;
    const binding = this.#bindings[cookie - 1];
    if (!binding) return;
    const { handlers, socket } = binding;
    const offset = i32[w + 3]!;
    const length = i32[w + 4]!;
    const port = i32[w + 9]! & 0xffff;
    for (let i = 0; i < 4; i++) socket.source[i] = i32[w + 5 + i]!;
    handlers.received(socket, offset, length, i32[w + 8]!, port, i32[w + 10] === 1);
    if (this.#giveBack(binding, offset) >= 0) return;
    this.#requests.add(() => this.#giveBack(binding, offset)); // the batch is full
  }

  #giveBack({ handle }: Binding, offset: number): number {
    const w = this.#gate.call(CALL.udp_recv_done, handle);
    if (w >= 0) this.#gate.i32[w + 2] = offset;
    return w;
  }

  /** The event udp_sent. */
  sent(cookie: number, bytes: number): void {
    const binding = this.#bindings[cookie - 1];
    binding?.handlers.sent?.(binding.socket, bytes);
  }
}
