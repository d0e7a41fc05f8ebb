/**
 * What a child is confined to: decided by the control plane, carried out by the child itself before
 * it becomes Node (exec.ts).
 *
 * - A user of its own for each child of each control plane: no account has these numbers, so there
 *   is no file it owns, no process of the same user to signal or trace, and its limit on threads is
 *   its own. (An application whose files are for their owner only runs as that owner, still without
 *   capabilities, and that is said; unless it is user 0, whom no child ever is.) The groups are the
 *   same always: `chgrp 64322 DIR; chmod g+w DIR` gives a directory to applications.
 * - `isStrict`: as root of the machine everything must succeed, a refused step ends the start.
 *   Elsewhere (root of a user namespace, a user with some capabilities) what cannot be had is
 *   named, and the rest is done.
 * - Paths are real paths: the child gets a root of its own, where links of ours are not.
 *
 * Called by control/service/service.ts. Read first: docs/SECURITY.md.
 */
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OptionError } from '../errors.ts';
import { hasAllUsers, hasCapability, mappedUsers } from '../native/process.ts';
import type { Profile } from './list.ts';

export interface User {
  uid: number;
  gid: number;
}

export interface Confinement {
  profile: Profile;
  isStrict: boolean;
  user?: User;
  /** What is known from the start not to be enforced, and why. */
  notes: string[];
  /** Capabilities kept until `lockDown`. */
  keep: number[];
  /** Files and directories to be read, with all below them. */
  read: string[];
  write: string[];
  /** Resource and its limit: man 2 setrlimit. */
  limits: [number, number][];
  /** The kernel's choice when memory runs out: 0 to 1000. */
  oomScore: number;
  directory: string;
}

/** What a user gives the application besides its own code. */
export interface Given {
  read: string[];
  write: string[];
}

const CAP_IPC_LOCK = 14;
/** Inline, the application's files are the dataplane's. */
const GROUPS = { dataplane: 64321, application: 64322, inline: 64322 };
const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

// asm-generic/resource.h
const RLIMIT_CORE = 4;
/**
 * Too short for a file; and of a core that goes to a program (core_pattern) 1 says: none. 0 would
 * not (fs/coredump.c).
 */
const CORE_NONE = 1;
const RLIMIT_NPROC = 6;
const RLIMIT_NOFILE = 7;
const RLIMIT_MEMLOCK = 8;
const RLIMIT_MSGQUEUE = 12;

/** Threads: Node starts 6, libuv 4 when needed, V8 none per Worker; the rest is for Workers. */
const LIMITS: Record<Profile, [number, number][]> = {
  dataplane: [
    [RLIMIT_CORE, CORE_NONE],
    [RLIMIT_NPROC, 256],
    [RLIMIT_NOFILE, 1024],
    [RLIMIT_MSGQUEUE, 0],
  ],
  application: [
    [RLIMIT_CORE, CORE_NONE],
    [RLIMIT_NPROC, 128],
    [RLIMIT_NOFILE, 1024],
    [RLIMIT_MEMLOCK, 0],
    [RLIMIT_MSGQUEUE, 0],
  ],
  inline: [
    [RLIMIT_CORE, CORE_NONE],
    [RLIMIT_NPROC, 256],
    [RLIMIT_NOFILE, 1024],
    [RLIMIT_MSGQUEUE, 0],
  ],
};

/** 'I' << 24, then two for every process number: far from every range that systems give out. */
const USER_BASE = 0x49000000;
/** Where only 16 bits are mapped (containers): below systemd's dynamic users. */
const USER_BASE_SMALL = 0x8000;
const USERS_SMALL = 0x1000;

/** The child's own user, or why it cannot have one. */
export function ownUser(profile: Profile, pid = process.pid): User | string {
  const gid = GROUPS[profile];
  const second = profile === 'application' ? 1 : 0;
  if (!hasCapability('CAP_SETUID') || !hasCapability('CAP_SETGID')) return 'not root';
  const users = mappedUsers('uid_map');
  if (mappedUsers('gid_map') <= gid) return 'no other users in this user namespace';
  if (users >= 0x50000000) return { uid: USER_BASE + pid * 2 + second, gid };
  if (users < 0x10000) return 'no other users in this user namespace';
  return { uid: USER_BASE_SMALL + (pid % USERS_SMALL) * 2 + second, gid };
}

const isMachineRoot = (): boolean =>
  hasAllUsers() &&
  (['CAP_SYS_ADMIN', 'CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'] as const).every(hasCapability);

export interface Confinements {
  dataplane: Confinement;
  /** Domain process only. */
  application: Confinement | undefined;
}

export interface ConfineOptions {
  domain: 'inline' | 'process';
  module: string;
  given: Given;
  /** The dataplane registers packet memory: more than an ordinary user may lock. */
  locksMemory: boolean;
}

export function planConfinement(options: ConfineOptions): Confinements {
  const { domain, module, locksMemory } = options;
  const own = [ROOT, realpathSync(process.execPath)];
  const application = outermost([...own, packageOf(module), module, ...options.given.read]);
  const { write } = options.given;
  const keep = locksMemory && hasCapability('CAP_IPC_LOCK') ? [CAP_IPC_LOCK] : [];
  if (domain === 'inline') {
    return { dataplane: plan('inline', application, write, keep), application: undefined };
  }
  return {
    dataplane: plan('dataplane', outermost(own), [], keep),
    application: plan('application', application, write, []),
  };
}

function plan(profile: Profile, read: string[], write: string[], keep: number[]): Confinement {
  const own = ownUser(profile);
  const closed = read.find((path) => !isReadable(path));
  const inside = (path: string) => [...read, ...write].some((outer) => contains(outer, path));
  return {
    ...{ profile, isStrict: isMachineRoot(), keep, read, write },
    ...(typeof own === 'string' ? { notes: [`user (${own})`] } : userFor(own, closed)),
    limits: LIMITS[profile],
    oomScore: profile === 'application' ? 500 : 0,
    directory: inside(process.cwd()) ? process.cwd() : ROOT,
  };
}

/**
 * A user of its own can read what everybody can; for anything else the child must be the one who
 * owns that.
 */
function userFor(own: User, closed: string | undefined): { user: User; notes: string[] } {
  if (closed === undefined) return { user: own, notes: [] };
  const { uid } = statSync(closed);
  const remedy = `chmod -R o+rX ${closed}`;
  if (uid === 0)
    throw new OptionError(`only root can read ${closed}, and none of it runs as root`, remedy);
  const why = `${closed} is not for everybody to read: ${remedy}`;
  return { user: { uid, gid: own.gid }, notes: [`user (${why})`] };
}

function isReadable(path: string): boolean {
  const found = statSync(path);
  const need = found.isDirectory() ? 0o005 : 0o004;
  return (found.mode & need) === need;
}

const contains = (outer: string, inner: string): boolean =>
  inner === outer || inner.startsWith(`${outer}/`);

/**
 * What lies inside another one goes without saying. But what is not for everybody to read is said
 * (`userFor`).
 */
const outermost = (paths: string[]): string[] =>
  paths.filter((path, i) => {
    const covers = (outer: string, j: number) =>
      i !== j && contains(outer, path) && (outer !== path || j < i);
    return !paths.some(covers) || !isReadable(path);
  });

/** The directory of the package that a module belongs to, or its own directory. */
export function packageOf(module: string): string {
  const start = dirname(module);
  for (let directory = start; directory !== '/'; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return directory;
  }
  return start === '/' ? module : start;
}

/** Paths of --allow-read and --allow-write. */
export function realPaths(option: string, paths: readonly string[]): string[] {
  return paths.map((path) => {
    let real: string;
    try {
      real = realpathSync(path);
      accessSync(real, constants.R_OK);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'error';
      throw new OptionError(`${option} ${path}: ${code}`, 'give the path of a file or directory');
    }
    if (real === '/') throw new OptionError(`${option} / is everything`, 'name what it needs');
    return real;
  });
}

/**
 * What root runs, or believes, no application may change: this program, its Node, and the records
 * of who runs what.
 */
export function refuseOwn(option: string, paths: readonly string[], state: string): void {
  const own = [ROOT, realpathSync(process.execPath), state];
  for (const path of paths) {
    const hit = own.find((each) => contains(path, each) || contains(each, path));
    if (hit === undefined) continue;
    const what = hit === state ? 'where it is written who serves here' : 'what root runs';
    throw new OptionError(
      `${option} ${path} would let an application change ${what}`,
      'give it a directory of its own',
    );
  }
}
