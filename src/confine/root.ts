/**
 * A root directory of its own: an empty tmpfs, into which only what was given is mounted, at its
 * own path.
 *
 * - Everything is read-only but what is to be written; nothing is set-user-id or a device, except
 *   /dev/null and its like.
 * - /proc is that of the process's own PID namespace and shows processes only (subset=pid): there
 *   is no process but itself to look at.
 * - The system's libraries are there because the dynamic loader of the next Node needs them.
 * - Needs CAP_SYS_ADMIN and a mount namespace of its own: `makeRoot`, then `enterRoot`. The steps
 *   are bubblewrap's: pivot into the new root first, mount from the old one, throw that away.
 *
 * Called by exec.ts. Read first: man 2 pivot_root, mount_setattr, mount_namespaces(7).
 */
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  symlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ENOSYS, must, sys } from '../native/sys.ts';
import { callNumber } from './seccomp-numbers.ts';

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MS_REC = 16_384;
const MS_PRIVATE = 1 << 18;
const MNT_DETACH = 2;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;

/** Any directory will do to mount the new root on for a moment; this one is everywhere. */
const STAGE = '/proc';
const OLD = '/.old';
const DEVICES = ['null', 'zero', 'random', 'urandom'];
/** Libraries, their cache, and which time zone it is; links stay links. */
const SYSTEM = ['/usr/lib', '/usr/lib64', '/lib', '/lib64', '/etc/ld.so.cache', '/etc/localtime'];

const text = (value: string): Uint8Array => Buffer.from(`${value}\0`);

function mount(source: string, target: string, type: string, flags: number, data = ''): number {
  const call = callNumber('mount');
  return sys.syscall(call, text(source), text(target), text(type), flags, text(data));
}

/**
 * Sets flags (MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC have the values of MOUNT_ATTR_*) on a mount
 * and all below.
 */
function restrict(path: string, flags: number, recursive = AT_RECURSIVE): void {
  const attribute = BigUint64Array.of(BigInt(flags), 0n, 0n, 0n); // struct mount_attr
  const call = callNumber('mount_setattr');
  let result = sys.syscall(call, AT_FDCWD, text(path), recursive, attribute, 32);
  // before Linux 5.12
  if (result === -ENOSYS) result = mount('none', path, 'none', MS_REMOUNT | MS_BIND | flags);
  must(result, `restricting the mount of ${path}`);
}

const kindOf = (path: string): 'link' | 'directory' | 'file' | undefined => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return undefined;
  return found.isSymbolicLink() ? 'link' : found.isDirectory() ? 'directory' : 'file';
};

/** Mounts `path` of the old root at the same place of the new one. */
function bind(path: string, flags: number): void {
  const kind = kindOf(OLD + path);
  if (kind === undefined) return;
  if (kindOf(path) === undefined) {
    mkdirSync(dirname(path), { recursive: true });
    if (kind === 'link') return symlinkSync(readlinkSync(OLD + path), path);
    if (kind === 'directory') mkdirSync(path);
    else closeSync(openSync(path, 'w'));
  }
  must(mount(OLD + path, path, 'none', MS_BIND | MS_REC), `mounting ${path}`);
  restrict(path, flags);
}

/** Where the libraries of the running Node come from: not under /usr/lib everywhere. */
export function libraries(): string[] {
  const maps = readFileSync('/proc/self/maps', 'latin1');
  const found = [...maps.matchAll(/ (\/\S+\/)[^/\s]+\.so[.\d]*$/gm)].map(([, path]) => path!);
  const directories = new Set(found.map((path) => path.replace(/\/$/, '')));
  const isListed = (path: string) => SYSTEM.some((known) => path.startsWith(`${known}/`));
  return [...SYSTEM, ...[...directories].filter((path) => !isListed(path))];
}

export interface RootContents {
  read: readonly string[];
  write: readonly string[];
  /** From `libraries`. */
  system: readonly string[];
}

/** Outer directories first, so that what lies inside them is mounted over them. */
const byDepth = (a: string, b: string): number => a.length - b.length;

/**
 * In the mount namespace that is to have it. What this refuses has changed nothing; `enterRoot`
 * goes through.
 */
export function makeRoot(): void {
  must(mount('none', '/', 'none', MS_REC | MS_PRIVATE), 'making mounts private');
  const limits = 'mode=0755,size=1m,nr_inodes=4096';
  must(mount('ix', STAGE, 'tmpfs', MS_NOSUID | MS_NODEV, limits), 'mounting a root');
}

export function enterRoot({ read, write, system }: RootContents): void {
  mkdirSync(STAGE + OLD);
  const pivot = callNumber('pivot_root');
  must(sys.syscall(pivot, text(STAGE), text(STAGE + OLD)), 'pivot_root');
  must(sys.syscall(callNumber('chdir'), text('/')), 'chdir');
  const fixed = MS_RDONLY | MS_NOSUID | MS_NODEV;
  for (const path of system) bind(path, fixed);
  for (const path of [...read].sort(byDepth)) bind(path, fixed);
  for (const path of [...write].sort(byDepth)) bind(path, MS_NOSUID | MS_NODEV | MS_NOEXEC);
  for (const device of DEVICES) bind(`/dev/${device}`, MS_NOSUID | MS_NOEXEC);
  mkdirSync('/proc');
  mountProc();
  must(sys.syscall(callNumber('umount2'), text(OLD), MNT_DETACH), 'leaving the old root');
  rmdirSync(OLD);
  restrict('/', fixed, 0);
}

function mountProc(): void {
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  // Without a PID namespace of its own: what was there, and Landlock keeps the others' entries
  // away.
  if (process.pid !== 1) return bind('/proc', MS_RDONLY | flags);
  if (mount('proc', '/proc', 'proc', flags, 'subset=pid') >= 0) return;
  must(mount('proc', '/proc', 'proc', flags), 'mounting /proc'); // before Linux 5.8
}
