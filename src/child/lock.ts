/**
 * The last step of confinement, taken by a child itself once it has what it needs: the capability
 * that was kept is dropped by every thread, and the allow-list of system calls holds for every
 * thread and for ever.
 *
 * - The dataplane calls it when its drivers are bound, before the first frame flows; the
 *   application's process before it starts the threads that load the application.
 * - From here on it is not dumpable: no core of it is written, nor given to a program that the
 *   kernel starts for cores (core_pattern), which is another user's.
 * - Which list is in IX_CONFINED, set by the control plane; nothing is done without it
 *   (`--unconfined`, tests).
 * - The wish to die with the control plane is renewed, since the kernel forgets it when a process
 *   changes who it is; or taken back, if the service is `lasting`. Afterwards neither can be asked
 *   for any more.
 */
import { dropEverywhere } from '../confine/identity.ts';
import { CONFINED, OTHERWISE, type Profile, rulesFor } from '../confine/list.ts';
import { assembleFilter, installFilter } from '../confine/seccomp.ts';
import { must, SYS, sys } from '../native/sys.ts';
import { endWithParent, liveOn } from './channel.ts';

const PR_SET_DUMPABLE = 4;

export function lockDown(lasting = false): void {
  const profile = process.env[CONFINED] as Profile | undefined;
  if (profile) dropEverywhere();
  if (lasting) liveOn();
  else endWithParent();
  if (!profile) return;
  must(sys.syscall(SYS.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), 'prctl(PR_SET_DUMPABLE)');
  installFilter(assembleFilter(rulesFor(profile), OTHERWISE));
}
