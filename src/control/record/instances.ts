/**
 * Who serves what on this machine: one file per running instance in the state directory.
 *
 * - The file is written before anything is made, so that whatever ends an instance (`kill -9`
 *   included), the next start knows what to take away (sweep.ts).
 * - An instance whose control plane has died while its dataplane goes on is an *orphan*: it serves,
 *   keeps its address and its links, and can be adopted (control/service/adopt.ts); its file says
 *   what an adopter needs (`Estate`). One that did not serve yet is no orphan: it cannot, and is
 *   swept.
 * - An address belongs to one live instance per network namespace: the file is named by both.
 * - Starts exclude each other with a lock on the directory from sweep to claim (`withLock`).
 * - What is shown may be another user's. What holds an address against us is ours or root's; what
 *   is swept, adopted, or has its links removed is ours. Whom we signal is ours; for root any
 *   user's, as long as the process is that user's.
 * - A file that says of a living process what is not so (its user, what it runs) is a lie, and not
 *   looked at.
 *
 * Called by control/link/network.ts (claim), control/service/holdings.ts (record), cli/stat.ts and
 * cli/stop.ts (list).
 */
import { closeSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { isAlive, isProcess, networkNamespace, type ProcessName } from '../../native/process.ts';
import { must, SYS, sys } from '../../native/sys.ts';
import { Instance } from './record.ts';
import {
  isRoot,
  openLock,
  ourselves,
  ownFiles,
  readableFiles,
  type StateFile,
  stateDirectory,
} from './state.ts';

export {
  type ChildRecord,
  type Estate,
  type Instance,
  LINK_STATES,
  type LinkState,
} from './record.ts';
export { stateDirectory } from './state.ts';

const nameOf = ({ address, namespace }: Instance): string => `${address}@${namespace}.json`;

const fileOf = (instance: Instance): string => join(stateDirectory(), nameOf(instance));

export interface Recorded {
  file: string;
  instance: Instance;
}

/** Who its processes may be: of another user's file only that user. */
export const usersOf = ({ users, owner = ourselves() }: Instance): readonly number[] =>
  owner === ourselves() || owner === 0 ? users : [owner];

/** Nothing that it says of a process is wrong. */
function isTrue(instance: Instance): boolean {
  const { control, dataplane, application } = instance;
  const named = [control, dataplane, application].filter((each) => each !== undefined);
  return named.every((each) => !isAlive(each) || isProcess(each, usersOf(instance), true));
}

/** Instances that can be read and are believed, dead ones included. */
function recorded(files: readonly StateFile[]): Recorded[] {
  return files.flatMap(({ file, name, owner, text }) => {
    let said: unknown;
    try {
      said = JSON.parse(text);
    } catch {
      return []; // not ours
    }
    const parsed = v.safeParse(Instance, said);
    if (!parsed.success) return [];
    const instance: Instance = { ...parsed.output, owner };
    return nameOf(instance) === name && isTrue(instance) ? [{ file, instance }] : [];
  });
}

/** All that this user may see, dead ones included. */
export const allInstances = (): Recorded[] => recorded(readableFiles());

/** Those that this user's next start would find, and sweep. */
export const ownInstances = (): Recorded[] => recorded(ownFiles());

const isAliveIf = (process: ProcessName | undefined): boolean =>
  process !== undefined && isAlive(process);

/** It goes on without its control plane. */
export const isOrphan = ({ control, dataplane, estate }: Instance): boolean =>
  estate !== undefined && isAliveIf(dataplane) && !isAlive(control);

/** Every live instance that this user may see. */
export function liveInstances(): Instance[] {
  const all = allInstances().map(({ instance }) => instance);
  return all.filter((instance) => isAlive(instance.control));
}

/** Every orphan that this user may see. */
export const orphans = (): Instance[] =>
  allInstances()
    .map(({ instance }) => instance)
    .filter(isOrphan);

export const isOurs = ({ owner = ourselves() }: Instance): boolean => owner === ourselves();

/** Whether we may end it: our own, or as root anybody's. */
export const mayEnd = (instance: Instance): boolean => isOurs(instance) || isRoot();

/**
 * Who has addresses in this network namespace, orphans included: what another user claims does not
 * keep anybody from one.
 */
export function holders(): Instance[] {
  const namespace = networkNamespace();
  return [...liveInstances(), ...orphans()].filter(
    (each) => each.namespace === namespace && (isOurs(each) || each.owner === 0),
  );
}

/** The instance, orphans included, that has `address` in this network namespace. */
export const holderOf = (address: string): Instance | undefined =>
  holders().find((each) => each.address === address);

/** Writes (or rewrites) the file of an instance. */
export function record(instance: Instance): void {
  const file = fileOf(instance);
  const draft = `${file}.${process.pid}`;
  rmSync(draft, { force: true });
  writeFileSync(draft, JSON.stringify(instance), { flag: 'wx', mode: 0o644 });
  renameSync(draft, file);
}

/**
 * The same while it serves: a record that cannot be written (a full disk) is said, and no reason to
 * end.
 */
export function recordOrSay(instance: Instance): void {
  try {
    record(instance);
  } catch (error) {
    console.error(`ix: its record is not up to date (${(error as Error).message})`);
  }
}

export function forget(instance: Instance): void {
  rmSync(fileOf(instance), { force: true });
}

const F_OFD_SETLKW = 38;
const F_WRLCK = 1;

/**
 * Runs `work` while no other start does (man 2 fcntl, open file description locks: gone with the
 * process).
 */
export function withLock<T>(work: () => T): T {
  const fd = openLock();
  try {
    // struct flock: type, whence = SEEK_SET, start = 0, length = 0, which means all of it.
    const flock = new Int16Array(16);
    flock[0] = F_WRLCK;
    must(sys.syscall(SYS.fcntl, fd, F_OFD_SETLKW, flock), 'fcntl(F_OFD_SETLKW)');
    return work();
  } finally {
    closeSync(fd);
  }
}
