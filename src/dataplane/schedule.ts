/**
 * What the kernel's scheduler is to know of an elastic thread: that it wants to run soon rather
 * than long, and that its timers are exact.
 *
 * - Timer slack 1 ns: a nap ends when it was to end, not up to 50 us later, where another timer
 *   would fire anyway (man 2 PR_SET_TIMERSLACK).
 * - A slice of SLICE_NS: the fair scheduler (EEVDF, Linux 6.12 and later) lets a thread that wakes
 *   with a shorter slice than the running one's (3 ms) have the core at once. Otherwise a compiler
 *   thread of V8 that took the idle core would be waited for until the next tick or two, 4 to 8 ms.
 *   Its share of the core stays the same; it needs no privilege, and older kernels ignore it. Not
 *   in domain process: there thread and application hand the core to each other, and whose slice is
 *   shorter would have it back before the other one has done.
 *
 * Called by worker.ts before the process is confined, and by the box of `ix bench goodput`. Read
 * first: man 2 sched_setattr; Documentation/scheduler/sched-eevdf.rst.
 */
import { callNumber } from '../confine/seccomp-numbers.ts';
import { SYS, sys } from '../native/sys.ts';

const PR_SET_TIMERSLACK = 29;
const SLICE_NS = 100_000;
/** struct sched_attr, its first version: size, policy, flags, nice, priority, runtime, ... */
const ATTR_BYTES = 48;
const RUNTIME = 24;

/** This thread: how much later than asked for it may wake, in nanoseconds. */
export function setTimerSlack(slackNs: number): void {
  sys.syscall(SYS.prctl, PR_SET_TIMERSLACK, slackNs, 0, 0, 0);
}

/** This thread; `isInline`: it runs the application too. What the kernel lacks it goes without. */
export function scheduleElastic(isInline: boolean): void {
  setTimerSlack(1);
  if (!isInline) return;
  const attr = new DataView(new ArrayBuffer(ATTR_BYTES));
  const read = sys.syscall(callNumber('sched_getattr'), 0, attr, ATTR_BYTES, 0);
  if (read < 0) return;
  attr.setUint32(0, ATTR_BYTES, true);
  attr.setBigUint64(RUNTIME, BigInt(SLICE_NS), true);
  sys.syscall(callNumber('sched_setattr'), 0, attr, 0);
}
