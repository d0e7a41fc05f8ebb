/**
 * One TCP connection of the kernel's, non-blocking, with the calls of a libix connection.
 *
 * - `send` and `write` copy into a buffer of the connection; `flush` writes it with one system
 *   call, once a batch. They are never refused: what is in flight is limited by the generator.
 * - TCP_NODELAY, as every load generator has it.
 *
 * Used by host.ts. Read first: man 7 tcp, man 2 connect (EINPROGRESS).
 */
import { DEAD } from '../../gate/abi.ts';
import { parseAddress } from '../../libix/address.ts';
import type { Connection, Handlers } from '../../libix/index.ts';
import { EAGAIN, must, SYS, sys } from '../../native/sys.ts';

const AF_INET = 2;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const EINPROGRESS = 115;
const ECONNREFUSED = 111;
const EHOSTUNREACH = 113;
const ENETUNREACH = 101;
const ETIMEDOUT = 110;
const OUT_BYTES = 4096;

/** Reason (gate/abi.ts DEAD) for an errno. */
export function reasonOf(errno: number): number {
  if (errno === ECONNREFUSED) return DEAD.refused;
  if (errno === ETIMEDOUT) return DEAD.timeout;
  return errno === EHOSTUNREACH || errno === ENETUNREACH ? DEAD.unreachable : DEAD.reset;
}

function sockaddr(host: string, port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.writeInt32BE(parseAddress(host), 4);
  return address;
}

const option = (fd: number, level: number, name: number, ...words: number[]): number => {
  const value = Int32Array.from(words);
  return sys.syscall(SYS.setsockopt, fd, level, name, value, value.byteLength);
};

export class KernelSocket {
  state: unknown = undefined;
  readonly fd: number;
  readonly handlers: Handlers;
  readonly #arena: Uint8Array;
  readonly #dirty: KernelSocket[];
  isOpen = false;
  isClosed = false;
  /** Received and not consumed: comes again in front of what follows. */
  held: Uint8Array | undefined;
  #out = Buffer.alloc(OUT_BYTES);
  #outAddress: number;
  #begin = 0;
  #end = 0;
  #isDirty = false;

  /** `dirty` gets every socket that has something to write. */
  constructor(
    host: string,
    port: number,
    handlers: Handlers,
    arena: Uint8Array,
    dirty: KernelSocket[],
  ) {
    this.handlers = handlers;
    this.#arena = arena;
    this.#dirty = dirty;
    this.#outAddress = Number(sys.address(this.#out));
    const remedy = 'more descriptors: ulimit -n';
    const kind = SOCK_STREAM_NONBLOCK_CLOEXEC;
    this.fd = must(sys.syscall(SYS.socket, AF_INET, kind, 0), 'socket', remedy);
    option(this.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    const result = sys.syscall(SYS.connect, this.fd, sockaddr(host, port), 16);
    if (result < 0 && result !== -EINPROGRESS) must(result, `connect to ${host}:${port}`);
  }

  /** As libix's handlers expect it. */
  get connection(): Connection {
    return this as unknown as Connection;
  }

  /** Whether bytes wait for the kernel to take them. */
  get hasUnsent(): boolean {
    return this.#end > this.#begin;
  }

  send(offset: number, length: number): boolean {
    if (this.isClosed) return false;
    this.#makeRoom(length);
    this.#out.set(this.#arena.subarray(offset, offset + length), this.#end);
    this.#end += length;
    if (!this.#isDirty) {
      this.#isDirty = true;
      this.#dirty.push(this);
    }
    return true;
  }

  write(offset: number, length: number): boolean {
    return this.send(offset, length);
  }

  #makeRoom(length: number): void {
    if (this.#end + length <= this.#out.length) return;
    const waiting = this.#out.subarray(this.#begin, this.#end);
    const bytes = waiting.length + length;
    if (bytes > this.#out.length) {
      const larger = Buffer.alloc(2 ** Math.ceil(Math.log2(bytes)));
      larger.set(waiting);
      this.#out = larger;
      this.#outAddress = Number(sys.address(larger));
    } else this.#out.copyWithin(0, this.#begin, this.#end);
    this.#begin = 0;
    this.#end = waiting.length;
  }

  /** Errno of a failure, 0 otherwise. */
  flush(): number {
    this.#isDirty = false;
    if (!this.isOpen || this.isClosed || !this.hasUnsent) return 0;
    const from = this.#outAddress + this.#begin;
    const n = sys.syscall(SYS.write, this.fd, from, this.#end - this.#begin);
    if (n < 0) return n === -EAGAIN ? 0 : -n;
    this.#begin += n;
    if (this.#begin === this.#end) this.#begin = this.#end = 0;
    return 0;
  }

  /** The handshake is over: 0, or why it failed. */
  connectError(): number {
    const value = Int32Array.of(0);
    const length = Int32Array.of(4);
    const result = sys.syscall(SYS.getsockopt, this.fd, SOL_SOCKET, SO_ERROR, value, length);
    return result < 0 ? -result : value[0]!;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    sys.syscall(SYS.close, this.fd);
  }

  /** With RST. */
  abort(): void {
    if (!this.isClosed) option(this.fd, SOL_SOCKET, SO_LINGER, 1, 0);
    this.close();
  }
}
