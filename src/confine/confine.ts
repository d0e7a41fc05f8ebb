/**
 * The control plane's part of confinement: how a child is started so that it confines itself, and
 * what became of it.
 *
 * - A PID namespace can only be entered by being born in it: the control plane's main thread asks
 *   for one, forks, and goes back. The child is process 1 in there: signals it has no handler for
 *   do not reach it, except SIGKILL from us; all others see it as a process of ours.
 *
 * Called by control/children/child.ts. The child's part: exec.ts, then child/lock.ts.
 */
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { must, SYS, sys } from '../native/sys.ts';
import { CONFINED } from './list.ts';
import type { Confinement } from './plan.ts';

const EXEC = fileURLToPath(new URL('./exec.ts', import.meta.url));
const CLONE_NEWPID = 0x20000000;

/**
 * No inspector that a signal opens; and no thread that blocks all signals, which `everyThread`
 * could not reach.
 */
export const CONFINED_FLAGS = ['--disable-sigusr1'];

/** What a child says of itself before it becomes its program. */
export const Confined = v.object({
  type: v.literal('confined'),
  done: v.array(v.string()),
  /** With the reason. */
  missing: v.array(v.string()),
});
export type Confined = v.InferOutput<typeof Confined>;

/**
 * What holds for a child that has started: the steps it took, and the list of system calls, without
 * which it would not.
 */
export const enforced = (confined: Confined | undefined): string[] =>
  confined ? [...confined.done, 'system calls'] : [];

/**
 * Arguments for Node, instead of `argv`: the step in between gets them. `lastFd`: the last
 * descriptor that is meant.
 */
export function confinedArguments(
  confinement: Confinement,
  lastFd: number,
  argv: readonly string[],
): string[] {
  const flags = ['--disable-warning=ExperimentalWarning', ...CONFINED_FLAGS];
  const program = [process.execPath, ...CONFINED_FLAGS, ...argv];
  return [...flags, EXEC, JSON.stringify(confinement), `${lastFd}`, ...program];
}

export const confinedEnvironment = (confinement: Confinement): NodeJS.ProcessEnv => {
  const source = process.env['IX_SOURCE'];
  return {
    // OpenSSL gives up where its configuration may not be read; there is nobody to speak TLS with
    // anyway.
    ...{ [CONFINED]: confinement.profile, OPENSSL_CONF: '/dev/null' },
    ...(source === undefined ? {} : { IX_SOURCE: source }),
  };
};

/**
 * Forks in `spawn` are born into a PID namespace of their own; or not, where that is not allowed
 * and need not be.
 */
export function inOwnPidNamespace<T>(isStrict: boolean, spawn: () => T): T {
  const back = openSync('/proc/self/ns/pid', 'r');
  try {
    // Whether we may come back is asked first: root of a user namespace only may not.
    const may = sys.syscall(SYS.setns, back, CLONE_NEWPID);
    if (may < 0 && !isStrict) return spawn();
    must(may, 'our own PID namespace', 'needs CAP_SYS_ADMIN');
    must(sys.syscall(SYS.unshare, CLONE_NEWPID), 'a PID namespace for a child');
    try {
      return spawn();
    } finally {
      must(sys.syscall(SYS.setns, back, CLONE_NEWPID), 'returning to our PID namespace');
    }
  } finally {
    closeSync(back);
  }
}
