/**
 * Services whose control plane has died: who may have them, and how they end.
 *
 * - `mayAdopt`: whether who dies here can be replaced at all. In a user namespace nobody may be
 *   left who could go back into its network; without CAP_SYS_PTRACE nobody gets at the descriptors.
 *   There, control plane and service die together.
 * - `claim` makes this process the control plane of the orphan at an address, if what is asked for
 *   now is what was asked for then (`wishOf`); nobody else can then. It only writes the record;
 *   service.ts `adoptService` does the rest.
 * - `endOrphan` ends one in order, as Ctrl-C at its control plane would have: SIGTERM to the
 *   application, then to the dataplane, which resets its connections; SIGKILL to who does not
 *   listen. Then its links go, and its record.
 *
 * Called by cli/serve.ts and cli/stop.ts.
 */
import { createHash } from 'node:crypto';
import { closeSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  hasAllUsers,
  hasCapability,
  isAlive,
  networkNamespace,
  processName,
} from '../../native/process.ts';
import { SIGKILL } from '../../native/sys.ts';
import { removeNetwork } from '../link/network.ts';
import { openProcess, signalProcess } from '../record/descriptors.ts';
import {
  type ChildRecord,
  type Instance,
  isOurs,
  orphans,
  record,
  usersOf,
  withLock,
} from '../record/instances.ts';
import type { Plan } from '../wish/plan.ts';

/**
 * What the parts of a service must understand alike: who was started from other files is not
 * adopted.
 */
const SPOKEN = [
  '../../gate/abi.ts',
  '../../counters.ts',
  '../../limits.ts',
  '../../child/channel.ts',
  '../../child/config.ts',
  '../../gate/arrays.ts',
  '../../nic/flow-groups.ts',
  '../../nic/toeplitz.ts',
  '../record/record.ts',
];
/** Who ends in order needs far less; who needs longer does not listen. */
const STOP_MS = 2000;
const LOOK_MS = 20;
const SIGTERM = 15;

export const mayAdopt = (): boolean => hasAllUsers() && hasCapability('CAP_SYS_PTRACE');

/**
 * What is asked for, in full: the plan, and the application as it is on the disk now. As a digest:
 * the record is everybody's to read, a program's environment is not.
 */
export function wishOf(plan: Plan): string {
  const { mtimeMs, size } = statSync(plan.application.module);
  const wish = JSON.stringify({ spoken: digestOf(SPOKEN), mtimeMs, size, plan });
  return createHash('sha256').update(wish).digest('base64url');
}

function digestOf(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(new URL(file, import.meta.url)));
  return hash.digest('base64url');
}

/**
 * The orphan of ours that has `address` in this network namespace. Root does not adopt another
 * user's: what it would take over, links and descriptors included, is what that user has written.
 */
export function orphanAt(address: string): Instance | undefined {
  const namespace = networkNamespace();
  return orphans().find(
    (each) => each.address === address && each.namespace === namespace && isOurs(each),
  );
}

/** True: `orphan` is ours now, and says so. False: it is somebody's already, or gone. */
export function claim(orphan: Instance): boolean {
  return withLock(() => {
    const now = orphanAt(orphan.address);
    const control = processName(process.pid);
    if (now?.dataplane?.pid !== orphan.dataplane?.pid || !control) return false;
    orphan.control = control;
    record(orphan);
    return true;
  });
}

/**
 * Its links stay if they are in another network namespace, or another user's: a start in there, or
 * of theirs, sweeps them.
 */
export async function endOrphan(orphan: Instance): Promise<void> {
  const { application, dataplane, namespace } = orphan;
  if (application) await endProcess(application, usersOf(orphan));
  if (dataplane) await endProcess(dataplane, usersOf(orphan));
  if (isOurs(orphan) && namespace === networkNamespace()) removeNetwork(orphan);
}

async function endProcess(child: ChildRecord, users: readonly number[]): Promise<void> {
  if (!isAlive(child)) return;
  const pidfd = openProcess(child, users);
  try {
    signalProcess(pidfd, SIGTERM);
    for (let waitedMs = 0; isAlive(child); waitedMs += LOOK_MS) {
      if (waitedMs > STOP_MS) signalProcess(pidfd, SIGKILL);
      await sleep(LOOK_MS);
    }
  } finally {
    closeSync(pidfd);
  }
}
