/**
 * The part of libix that a load generator uses, on the kernel's TCP: epoll, one thread that sleeps
 * only when the generator says so.
 *
 * - One iteration: what epoll says is ready is read and handed over, end-of-batch callbacks, one
 *   write for each connection that has something to send, due timers. So the generator runs here as
 *   it does on the dataplane, and what differs between two measurements is the stack.
 * - Does not sleep by itself: a sleeping generator measures its own wake-up. A generator that rests
 *   (`rest`) wants that. Every few milliseconds it goes around Node's event loop, for its messages.
 *
 * Made by main.ts. Read first: man 7 epoll.
 */
import { callNumber } from '../../confine/seccomp-numbers.ts';
import type { Connection, Handlers } from '../../libix/index.ts';
import { EAGAIN, ENOSYS, must, SYS, sys } from '../../native/sys.ts';
import type { LoadHost } from '../exchange/exchange.ts';
import { KernelSocket, reasonOf } from './socket.ts';

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLLERR = 8;
const EPOLLHUP = 16;
/** struct epoll_event is packed on x86 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA = EVENT_BYTES - 8;
const EVENTS_MAX = 64;
const READ_BYTES = 65_536;
/** Bytes that a handler may leave: as much again as libix gathers. */
const HELD_MAX = 16_384;
/** Between two rounds of Node's event loop, as a dataplane's (dataplane/runner.ts). */
const SLICE_MS = 4;
/** Linux 5.11: nanoseconds. */
const EPOLL_PWAIT2 = callNumber('epoll_pwait2');
/** So much of a rest is spent awake, because sleeping ends late. */
const LATE_US = 60;

export class KernelHost implements LoadHost {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  readonly #address: number;
  readonly #read: number;
  #next: number;
  readonly #epoll: number;
  readonly #events = new DataView(new ArrayBuffer(EVENTS_MAX * EVENT_BYTES));
  /** struct timespec. */
  readonly #timeout = new DataView(new ArrayBuffer(16));
  #restUs = 0;
  readonly #event = new DataView(new ArrayBuffer(EVENT_BYTES));
  readonly #sockets = new Map<number, KernelSocket>();
  #dirty: KernelSocket[] = [];
  #timers: { dueMs: number; callback: () => void }[] = [];
  readonly #batchEnds: (() => void)[] = [];
  readonly #report: (value: unknown) => void;

  constructor(bytes: number, report: (value: unknown) => void) {
    const buffer = new ArrayBuffer(bytes);
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.view = new DataView(buffer);
    this.#address = Number(sys.address(this.u8));
    this.#read = 64 + HELD_MAX;
    this.#next = this.#read + READ_BYTES;
    this.#report = report;
    this.#epoll = must(sys.syscall(SYS.epoll_create1, 0o2000000), 'epoll_create1');
  }

  alloc(bytes: number, alignment = 8): number {
    const offset = Math.ceil(this.#next / alignment) * alignment;
    this.#next = offset + bytes;
    if (this.#next > this.u8.length) throw new RangeError('the load does not fit into its memory');
    return offset;
  }

  timer(delayUs: number, callback: () => void): void {
    this.#timers.push({ dueMs: performance.now() + delayUs / 1000, callback });
  }

  report(value: unknown): boolean {
    this.#report(value);
    return true;
  }

  onBatchEnd(callback: () => void): void {
    this.#batchEnds.push(callback);
  }

  /** It always does. */
  keepTurning(): void {}

  rest(us: number): void {
    this.#restUs = us > LATE_US ? us - LATE_US : 0;
  }

  connect(address: string | number, port: number, handlers: Handlers): Connection {
    const socket = new KernelSocket(String(address), port, handlers, this.u8, this.#dirty);
    this.#sockets.set(socket.fd, socket);
    this.#watch(EPOLL_CTL_ADD, socket, EPOLLIN | EPOLLOUT);
    return socket.connection;
  }

  #watch(operation: number, { fd }: KernelSocket, events: number): void {
    this.#event.setUint32(0, events, true);
    this.#event.setInt32(EVENT_DATA, fd, true);
    must(sys.syscall(SYS.epoll_ctl, this.#epoll, operation, fd, this.#event), 'epoll_ctl');
  }

  /** Runs until the process ends. */
  start(failed: (error: unknown) => void): void {
    const slice = (): void => {
      try {
        const until = performance.now() + SLICE_MS;
        while (performance.now() < until) this.#turn();
        setImmediate(slice);
      } catch (error) {
        failed(error);
      }
    };
    slice();
  }

  #turn(): void {
    const ready = this.#wait();
    for (let i = 0; i < ready; i++) {
      const at = i * EVENT_BYTES;
      const socket = this.#sockets.get(this.#events.getInt32(at + EVENT_DATA, true));
      if (socket && !socket.isClosed) this.#ready(socket, this.#events.getUint32(at, true));
    }
    for (const callback of this.#batchEnds) callback();
    this.#flushDirty();
    if (this.#timers.length > 0) this.#runTimers();
  }

  /** What is ready; sleeps for as long as the generator rests. */
  #wait(): number {
    this.#timeout.setInt32(8, this.#restUs * 1000, true);
    this.#restUs = 0;
    const ready = sys.syscall(
      EPOLL_PWAIT2,
      this.#epoll,
      this.#events,
      EVENTS_MAX,
      this.#timeout,
      0,
    );
    if (ready !== -ENOSYS) return ready;
    return sys.syscall(SYS.epoll_pwait, this.#epoll, this.#events, EVENTS_MAX, 0, 0, 0);
  }

  #ready(socket: KernelSocket, events: number): void {
    if (!socket.isOpen) return this.#connected(socket);
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) this.#receive(socket);
    if (events & EPOLLOUT && !socket.isClosed) this.#flush(socket, true);
  }

  #connected(socket: KernelSocket): void {
    const errno = socket.connectError();
    if (errno !== 0) return this.#died(socket, errno);
    socket.isOpen = true;
    this.#watch(EPOLL_CTL_MOD, socket, EPOLLIN);
    socket.handlers.opened?.(socket.connection);
  }

  #receive(socket: KernelSocket): void {
    const n = sys.syscall(SYS.read, socket.fd, this.#address + this.#read, READ_BYTES);
    if (n === -EAGAIN) return;
    if (n < 0) return this.#died(socket, -n);
    if (n === 0) {
      this.#sockets.delete(socket.fd);
      socket.close();
      return socket.handlers.ended?.(socket.connection);
    }
    const held = socket.held?.length ?? 0;
    if (held > HELD_MAX) throw new RangeError('a generator left more than it may');
    const from = this.#read - held;
    if (socket.held) this.u8.set(socket.held, from);
    const length = held + n;
    const used = socket.handlers.received(socket.connection, from, length);
    socket.held = used < length ? this.u8.slice(from + used, from + length) : undefined;
  }

  #flushDirty(): void {
    const dirty = this.#dirty;
    for (let i = 0; i < dirty.length; i++) this.#flush(dirty[i]!, false);
    dirty.length = 0;
  }

  #flush(socket: KernelSocket, wasFull: boolean): void {
    const errno = socket.flush();
    if (errno !== 0) return this.#died(socket, errno);
    if (!socket.isOpen || socket.isClosed || socket.hasUnsent === wasFull) return;
    this.#watch(EPOLL_CTL_MOD, socket, socket.hasUnsent ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }

  #died(socket: KernelSocket, errno: number): void {
    this.#sockets.delete(socket.fd);
    socket.close();
    socket.handlers.closed?.(socket.connection, reasonOf(errno));
  }

  #runTimers(): void {
    const now = performance.now();
    const due = this.#timers.filter(({ dueMs }) => dueMs <= now);
    if (due.length === 0) return;
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > now);
    for (const { callback } of due) callback();
  }
}
