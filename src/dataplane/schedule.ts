/**
 * What the kernel's scheduler is to know of an elastic thread: that it wants to run soon rather
 * than long, and that its timers are exact; and of V8's helpers beside it, that they can wait.
 *
 * - Timer slack 1 ns: a nap ends when it was to end, not up to 50 us later, where another timer
 *   would fire anyway (man 2 PR_SET_TIMERSLACK).
 * - A slice of SLICE_NS: the fair scheduler (EEVDF, Linux 6.12 and later) lets a thread that wakes
 *   with a shorter slice than the running one's (3 ms) have the core at once. Otherwise a compiler
 *   thread of V8 that took the idle core would be waited for until the next tick or two, 4 to 8 ms.
 *   Its share of the core stays the same; it needs no privilege, and older kernels ignore it. Not
 *   in domain process: there thread and application hand the core to each other, and whose slice is
 *   shorter would have it back before the other one has done.
 * - Nice 10 for V8's helpers, which run on any core. To the scheduler they and the elastic thread
 *   are one program: on the same core both would get half of it. Measured beside a thread that
 *   spins, p99 of how late naps of 100 us end, when a tenth of the core is napped: 4.6 ms beside
 *   nice 0, 4.0 beside 5, 0.20 beside 10, 0.31 alone; when half is: 1.5, 0.12, 0.11, 0.26. What V8
 *   compiles at start is not later for it, in a closed loop that takes both cores, and collections
 *   that wait for helpers take as long (median 0.15 ms, 90 of 100 below 0.3).
 *
 * Called by worker.ts and main.ts before the process is confined, and by the box of `ix bench
 * goodput`. Read first: man 2 sched_setattr; Documentation/scheduler/sched-eevdf.rst.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { callNumber } from '../confine/seccomp-numbers.ts';
import { SYS, sys } from '../native/sys.ts';

const TASKS = '/proc/self/task';
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

/** Threads of V8's platform: they compile and collect for every isolate of the process. */
const HELPERS = 'node-V8Worker';
const PRIO_PROCESS = 0;
const HELPERS_NICE = 10;

/** V8's helpers of this process step back. No privilege; without /proc they stay as they are. */
export function scheduleHelpers(): void {
  for (const thread of threads()) {
    if (readFileSync(`${TASKS}/${thread}/comm`, 'latin1').trim() !== HELPERS) continue;
    sys.syscall(callNumber('setpriority'), PRIO_PROCESS, Number(thread), HELPERS_NICE);
  }
}

function threads(): string[] {
  try {
    return readdirSync(TASKS);
  } catch {
    return [];
  }
}
