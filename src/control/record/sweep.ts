/**
 * What dead instances left, and how it goes.
 *
 * - Dead is an instance whose control plane has ended and that is no orphan: its dataplane has
 *   ended, too, or never came to serve. What is left of its processes is killed, its links are
 *   removed, its file is forgotten.
 * - Orphans are left alone: they serve. Whoever starts the same service adopts them, `ix stop` ends
 *   them.
 * - Links of another network namespace cannot be seen from here: a start in there sweeps them. When
 *   nobody is in there any more the kernel has taken them away, and the file goes.
 *
 * Only what our own user has written down is swept: state.ts and instances.ts say what of it is
 * believed.
 *
 * Called by control/link/network.ts, under `withLock`.
 */
import { readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { isAlive, networkNamespace } from '../../native/process.ts';
import { SIGKILL } from '../../native/sys.ts';
import { signalOnly } from './descriptors.ts';
import { type Instance, isOrphan, ownInstances, usersOf } from './instances.ts';

/** Where `ip netns` keeps namespaces that no process is in. */
const NAMED = ['/run/netns', '/var/run/netns'];

/**
 * `removeLink` is asked for every link that a dead instance made and no other one has; `indexes`
 * are its links' numbers, if they were made. `closeWay` is asked for each of them. Returns what
 * was removed.
 */
export function sweep(
  removeLink: (name: string, indexes?: readonly number[]) => boolean,
  closeWay: (instance: Instance) => void = () => {},
): string[] {
  const namespace = networkNamespace();
  const all = ownInstances();
  const isDead = ({ control }: Instance): boolean => !isAlive(control);
  const dead = all.filter(({ instance }) => isDead(instance) && !isOrphan(instance));
  const others = all.filter((entry) => !dead.includes(entry));
  const here = others.filter(({ instance }) => instance.namespace === namespace);
  const kept = new Set(here.flatMap(({ instance }) => instance.links));
  const removed: string[] = [];
  for (const { file, instance } of dead) {
    killLeft(instance);
    if (instance.namespace === namespace) {
      closeWay(instance);
      for (const name of instance.links) {
        if (!kept.has(name) && removeLink(name, instance.link?.indexes)) removed.push(name);
      }
    } else if (instance.links.length > 0 && namespaceExists(instance.namespace)) continue;
    rmSync(file, { force: true });
  }
  return removed;
}

function killLeft(instance: Instance): void {
  for (const child of [instance.application, instance.dataplane]) {
    if (child) signalOnly(child, usersOf(instance), SIGKILL);
  }
}

/**
 * Whether a process that we may look into is in it, or a name stands for it. Other users' have none
 * of our links.
 */
function namespaceExists(inode: string): boolean {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readlinkSync(`/proc/${entry}/ns/net`) === `net:[${inode}]`) return true;
    } catch {
      // It has ended, or is not ours to look into.
    }
  }
  return NAMED.some((directory) => namesIn(directory).some((path) => inodeOf(path) === inode));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => `${directory}/${name}`);
  } catch {
    return [];
  }
}

const inodeOf = (path: string): string =>
  `${statSync(path, { throwIfNoEntry: false })?.ino ?? 'none'}`;
