/**
 * What of the confinement of dataplanes and applications can be enforced on this machine, for `ix
 * doctor`.
 *
 * - Only the list of system calls is needed: a child that cannot lock itself down does not start.
 *   The rest is done where it can be, and `serve` names what could not.
 */
import { landlockAbi } from '../confine/landlock.ts';
import { ownUser } from '../confine/plan.ts';
import { hasSeccomp } from '../confine/seccomp.ts';
import { hasCapability } from '../native/process.ts';
import type { Check } from './doctor.ts';

/** Version that can keep signals and abstract sockets inside. */
const LANDLOCK_WHOLE = 6;

type MakeCheck = (
  name: string,
  ok: boolean,
  found: string,
  remedy?: string,
  needed?: boolean,
) => Check;

export function confinementChecks(check: MakeCheck): Check[] {
  const seccomp = hasSeccomp();
  const abi = landlockAbi();
  const user = ownUser('application');
  const hasUser = typeof user !== 'string';
  const namespaces = hasCapability('CAP_SYS_ADMIN');
  const emptied = hasCapability('CAP_SETPCAP');
  const root = 'run as root';
  const landlock = abi > 0 ? `version ${abi}` : 'not in this kernel, or not in lsm= at boot';
  return [
    check(
      'seccomp',
      seccomp,
      seccomp ? 'filters of system calls' : 'no filters',
      'a kernel with CONFIG_SECCOMP_FILTER, or: bin/ix serve kv --unconfined',
    ),
    check('Landlock', abi >= LANDLOCK_WHOLE, landlock, 'Linux 6.12 with lsm=landlock', false),
    check('users of their own', hasUser, hasUser ? `${user.uid}` : user, root, false),
    check(
      'namespaces of their own',
      namespaces,
      namespaces ? 'network, files, processes, IPC' : 'no CAP_SYS_ADMIN',
      root,
      false,
    ),
    check('empty bounding set', emptied, emptied ? 'yes' : 'no CAP_SETPCAP', root, false),
  ];
}
