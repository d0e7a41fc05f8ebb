/**
 * Which descriptors a child takes through execve(2): those that it was given, and no others.
 *
 * - Marks, does not close: Node, which runs this, needs its own until then.
 * - `close_range` with CLOSE_RANGE_CLOEXEC is of Linux 5.11. A tap works on older kernels, so there
 *   the descriptors that are open are marked one by one. Nobody opens one meanwhile: what Node
 *   opens is O_CLOEXEC by itself.
 *
 * Called by exec.ts.
 */
import { readdirSync } from 'node:fs';
import { EBADF, EINVAL, ENOSYS, must, sys } from '../native/sys.ts';
import { callNumber } from './seccomp-numbers.ts';

const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const FD_MAX = 0xffffffff;

const markFrom = (first: number): number =>
  sys.syscall(callNumber('close_range'), first, FD_MAX, CLOSE_RANGE_CLOEXEC);

const setFlags = (fd: number, flags: number): number =>
  sys.syscall(callNumber('fcntl'), fd, F_SETFD, flags);

/**
 * Descriptors up to `last` are meant (Node has marked them, too, to be closed); whatever else there
 * is ends at execve.
 */
export function keepOnly(last: number, mark: (first: number) => number = markFrom): void {
  const result = mark(last + 1);
  if (result === -ENOSYS || result === -EINVAL) markOneByOne(last + 1);
  else must(result, 'close_range');
  for (let fd = 0; fd <= last; fd++) must(setFlags(fd, 0), `keeping descriptor ${fd}`);
}

function markOneByOne(first: number): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    if (fd < first) continue;
    const result = setFlags(fd, FD_CLOEXEC);
    // The descriptor of the listing itself is in the list.
    if (result !== -EBADF) must(result, `closing descriptor ${fd}`);
  }
}
