/**
 * Descriptors across processes: what one is, and how a control plane takes one from a child that
 * another one started.
 *
 * - A child holds a copy of whatever must live on when its control plane dies. The record says
 *   under which number, and what it was: a child that has put something else there (F_DUPFD is not
 *   refused) is not believed.
 * - Taking is pidfd_getfd(2): the caller must be allowed to trace the child; the child does nothing
 *   and is not asked.
 *
 * Called by control/children/child.ts and control/service/holdings.ts. Read first: man 2
 * pidfd_getfd, man 5 proc_pid_fdinfo.
 */
import { closeSync, fstatSync, readFileSync, readlinkSync } from 'node:fs';
import * as v from 'valibot';
import { callNumber } from '../../confine/seccomp-numbers.ts';
import { UserError } from '../../errors.ts';
import { isProcess, type ProcessName } from '../../native/process.ts';
import { ENOSYS, must, SYS, sys } from '../../native/sys.ts';

/** A descriptor in a child: its number there, and what it is. */
export const Held = v.object({ fd: v.number(), what: v.string() });
export type Held = v.InferOutput<typeof Held>;

const ESRCH = 3;
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;

/** Why something cannot be adopted. */
export class AdoptionError extends UserError {
  constructor(problem: string) {
    super('IX_ADOPTION', problem, '');
  }
}

/** The same for two descriptors of one thing, in whatever process; different for two things. */
export function identityOf(fd: number): string {
  const { dev, ino } = fstatSync(fd);
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
  // Anonymous inodes are all one: these say which map, link, counter or tap it is.
  const ids = [...info.matchAll(/^(map_id|link_id|eventfd-id|iff):\s*(\S+)/gm)];
  const path = readlinkSync(`/proc/self/fd/${fd}`);
  return [path, dev, ino, ...ids.map(([, name, id]) => `${name} ${id}`)].join(' ');
}

/**
 * Of a process that is still who it was, and one of `users`; the caller closes it. Opened first,
 * then looked at: if the number had changed hands before, what we see is not what was meant; if it
 * does later, the descriptor is still the one we looked at.
 */
export function openProcess(process: ProcessName, users: readonly number[]): number {
  const pidfd = sys.syscall(SYS.pidfd_open, process.pid, 0);
  if (pidfd >= 0 && isProcess(process, users)) return pidfd;
  if (pidfd >= 0) closeSync(pidfd);
  if (pidfd === -ENOSYS) must(pidfd, 'pidfd_open', 'needs Linux 5.3');
  throw new AdoptionError(`process ${process.pid} is gone`);
}

/** Sends it to that process, or to nobody. */
export function signalOnly(process: ProcessName, users: readonly number[], signal: number): void {
  let pidfd: number;
  try {
    pidfd = openProcess(process, users);
  } catch (error) {
    if (error instanceof AdoptionError) return;
    throw error;
  }
  const result = signalProcess(pidfd, signal);
  closeSync(pidfd);
  if (result !== -ESRCH) must(result, `signalling process ${process.pid}`, 'run as its user');
}

/** A copy of a child's descriptor; the caller's to close. */
export function takeDescriptor(pidfd: number, held: Held): number {
  const remedy = 'needs CAP_SYS_PTRACE: run as root';
  const fd = must(sys.syscall(SYS.pidfd_getfd, pidfd, held.fd, 0), 'pidfd_getfd', remedy);
  const found = identityOf(fd);
  if (found === held.what) return fd;
  closeSync(fd);
  throw new AdoptionError(`its descriptor ${held.fd} is ${found}, not ${held.what}`);
}

/** 0, or -errno (-ESRCH: it has ended). */
export const signalProcess = (pidfd: number, signal: number): number =>
  sys.syscall(callNumber('pidfd_send_signal'), pidfd, signal, 0, 0);

/** Both ends of a stream between two processes. */
export function socketPair(): [number, number] {
  const ends = new Int32Array(2);
  must(sys.syscall(callNumber('socketpair'), AF_UNIX, SOCK_STREAM_CLOEXEC, 0, ends), 'socketpair');
  return [ends[0]!, ends[1]!];
}
