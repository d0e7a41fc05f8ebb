/**
 * The native boundary, typed. One addon, loaded once per JavaScript environment (a worker is one).
 *
 * - Set-up calls (`syscall`, `map`, `mapAt`) may be used anywhere; hot calls take integers only,
 *   and offsets into the arena that this environment gave to `useArena`.
 * - Results are the kernel's: `>= 0`, or `-errno`. `must()` turns a failure into a
 *   `SystemCallError` that names the call and the remedy; only set-up code uses it.
 *
 * Read first: native/sys.c.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

type View = ArrayBufferView<ArrayBufferLike>;

/** An opaque native handle. */
export type Watch = { readonly __watch: never };
export type Rounds = { readonly __rounds: never };

export interface Sys {
  syscall(nr: number, ...args: (number | bigint | View)[]): number;
  /**
   * The same by every thread of the process, for what is per thread (capabilities). Set-up only.
   */
  everyThread(nr: number, ...args: (number | bigint | View)[]): number;
  address(view: View): bigint;
  useArena(bytes: Uint8Array<ArrayBufferLike>): number;
  mapAt(
    offset: number,
    length: number,
    prot: number,
    flags: number,
    fd: number,
    fdOffset: number,
  ): number;
  map(
    length: number,
    prot: number,
    flags: number,
    fd: number,
    fdOffset: number,
  ): ArrayBuffer | number;
  /**
   * Doorbell of an AF_XDP transmit ring, whose socket must not block (SOCK_NONBLOCK). 0 or -errno
   * (-EAGAIN: more budget needed, call again; -EOPNOTSUPP: it blocks).
   */
  kick(fd: number): number;
  /** Writes two int32 words at `offset`: microseconds, milliseconds (monotonic, modulo 2^32). */
  clock(offset: number): number;
  /**
   * ppoll over `count` struct pollfd (fd, events | revents << 16) at `offset`: how many are ready.
   */
  wait(offset: number, count: number, timeoutUs: number): number;
  futexWait(offset: number, expected: number, timeoutUs: number): number;
  futexWake(offset: number, count: number): number;
  readFrames(fd: number, list: number, max: number, capacity: number): number;
  writeFrames(fd: number, list: number, count: number): number;
  pin(cpu: number): number;
  /** Calls back from this thread's event loop while `fd` is readable and the watch is armed. */
  watch(fd: number, callback: () => void): Watch | number;
  armWatch(watch: Watch, on: boolean): number;
  /** Whether the event loop goes on for its sake alone; at first it does. */
  refWatch(watch: Watch, on: boolean): number;
  /**
   * Calls back from this thread's event loop as `armRounds` says, in the async context of this
   * call: 18 bytes of garbage a round instead of the 704 of an immediate and its context, which a
   * thread that naps collected every three seconds.
   */
  rounds(callback: () => void): Rounds;
  /**
   * `ms` 0: at the beginning of each round, and the loop never waits; above: once, after so long;
   * below: not at all, as at first.
   */
  armRounds(rounds: Rounds, ms: number): number;
  /** What a callback has thrown becomes 'uncaughtException', or ends the program, as in Node. */
  fatal(error: unknown): number;
  /** Readable when this thread's event loop has something to do, timers apart. */
  loopFd(): number;
}

/** Compiled here, or, in a package, beforehand for each machine. */
const FILES = ['../../build/sys.node', `../../build/linux-${process.arch}/sys.node`];
const file = FILES.find((each) => existsSync(new URL(each, import.meta.url))) ?? FILES[0]!;

export const sys: Sys = createRequire(import.meta.url)(file);

/** System-call numbers differ by machine; Node is shipped for these two. */
const NUMBERS = {
  x64: {
    read: 0, write: 1, close: 3, ioctl: 16, getpid: 39, socket: 41, connect: 42, sendmsg: 46,
    bind: 49, setsockopt: 54, getsockopt: 55, fcntl: 72, ftruncate: 77, prctl: 157, unshare: 272,
    epoll_ctl: 233, epoll_pwait: 281, eventfd2: 290, epoll_create1: 291, setns: 308,
    memfd_create: 319, bpf: 321, pidfd_open: 434, pidfd_getfd: 438, madvise: 28,
  },
  arm64: {
    read: 63, write: 64, close: 57, ioctl: 29, getpid: 172, socket: 198, connect: 203, sendmsg: 211,
    bind: 200, setsockopt: 208, getsockopt: 209, fcntl: 25, ftruncate: 46, prctl: 167, unshare: 97,
    epoll_ctl: 21, epoll_pwait: 22, eventfd2: 19, epoll_create1: 20, setns: 268,
    memfd_create: 279, bpf: 280, pidfd_open: 434, pidfd_getfd: 438, madvise: 233,
  },
} as const; // biome-ignore format: a table

export const SYS: Record<keyof (typeof NUMBERS)['x64'], number> =
  NUMBERS[process.arch === 'arm64' ? 'arm64' : 'x64'];

export const EPERM = 1;
export const EINTR = 4;
export const EBADF = 9;
export const EAGAIN = 11;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENOSYS = 38;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_POPULATE = 0x8000;
export const MADV_HUGEPAGE = 14;
export const POLLIN = 1;
export const SIGKILL = 9;
export const AF_XDP = 44;
export const SOCK_RAW_CLOEXEC: number = 3 | 0o2000000;
export const SOCK_NONBLOCK = 0o4000;

/** A set-up call that was refused: `code` is stable, the message names call, errno and remedy. */
export class SystemCallError extends Error {
  readonly code = 'IX_SYSTEM_CALL';
  readonly errno: number;
  constructor(what: string, errno: number, remedy = '') {
    super(`${what} failed: errno ${errno}${remedy && ` (${remedy})`}`);
    this.errno = errno;
  }
}

/** Result of a set-up call, or an exception that says what was asked and what would help. */
export function must(result: number, what: string, remedy = ''): number {
  if (result < 0) throw new SystemCallError(what, -result, remedy);
  return result;
}
