/**
 * The state directory: where it is written who serves what, and whose word is taken for it.
 *
 * - Ours, to write: IX_STATE_DIR, or of root /run/ix, of a user $XDG_RUNTIME_DIR/ix, else
 *   <tmp>/ix-UID. It is a directory of our own that nobody else can write to, or it is not used.
 * - To read: ours and root's; root reads every user's besides. A file counts if it belongs to who
 *   its directory belongs to; of a user's file root believes what it says of that user's processes,
 *   and nothing else (instances.ts).
 * - Names of others lead anywhere. Directories are pinned by a descriptor before they are looked
 *   into; files are opened without following a link and without waiting (a FIFO has no writer),
 *   must be files, and are read up to a bound. (Whatever Node opens is O_CLOEXEC.)
 * - The lock is for its owner only: whoever could read it could hold it, and make every start wait.
 *
 * Called by instances.ts. Read first: man 2 open (O_NOFOLLOW, O_NONBLOCK), man 5 proc
 * (/proc/pid/fd).
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import { hasAllUsers } from '../../native/process.ts';

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const READ_SAFELY = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
const OTHERS_MAY_WRITE = 0o022;
/** Of a record: some hundred counters by name, a layout for each of 64 threads. */
const FILE_BYTES_MAX = 1 << 20;
/** More instances than this in one directory are somebody's joke. */
const FILES_MAX = 4096;
const ROOT = '/run/ix';

export const ourselves = (): number => process.geteuid?.() ?? 0;

/** Root of the machine; that of a user namespace is some user. */
export const isRoot = (): boolean => ourselves() === 0 && hasAllUsers();

/** The number that this user has outside of the user namespace it may be root of. */
function outerUser(): number {
  const [inside = 0, outside = 0] = readFileSync('/proc/self/uid_map', 'latin1')
    .trim()
    .split(/\s+/)
    .map(Number);
  return ourselves() - inside + outside;
}

/** Where ours may be, best first. */
function candidates(): string[] {
  const fixed = process.env['IX_STATE_DIR'];
  if (fixed) return [fixed];
  if (isRoot()) return [ROOT];
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const own = [...(runtime ? [join(runtime, 'ix')] : []), join(tmpdir(), `ix-${outerUser()}`)];
  return ourselves() === 0 ? [ROOT, ...own] : own; // root of a container has a /run of its own
}

export interface Directory {
  /** Open; the caller closes it. */
  fd: number;
  owner: number;
}

/** undefined: it is none, or others than its owner may write to it. */
export function openDirectory(path: string): Directory | undefined {
  let fd: number;
  try {
    fd = openSync(path, READ_SAFELY | O_DIRECTORY);
  } catch {
    return undefined;
  }
  const { uid, mode } = fstatSync(fd);
  if ((mode & OTHERS_MAY_WRITE) === 0) return { fd, owner: uid };
  closeSync(fd);
  return undefined;
}

/** The directory that this user's instances are written to; it is made if need be. */
export function stateDirectory(): string {
  for (const path of candidates()) {
    try {
      mkdirSync(path, { recursive: path === process.env['IX_STATE_DIR'], mode: 0o755 });
    } catch {
      // There already, or not to be had: that is seen now.
    }
    const found = openDirectory(path);
    if (!found) continue;
    closeSync(found.fd);
    if (found.owner === ourselves()) return realpathSync(path);
  }
  throw new UserError(
    'IX_STATE_DIR',
    `no directory for state is ours alone (${candidates().join(', ')})`,
    'set IX_STATE_DIR to one that is',
  );
}

/** Every directory that may have something to say to us. */
function readable(): string[] {
  const own = candidates();
  if (process.env['IX_STATE_DIR']) return own;
  if (!isRoot()) return [...new Set([ROOT, ...own])];
  const users = [
    ...namesIn('/run/user').map((name) => join('/run/user', name, 'ix')),
    ...namesIn(tmpdir())
      .filter((name) => /^ix-\d+$/.test(name))
      .map((name) => join(tmpdir(), name)),
  ];
  return [...own, ...users];
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

export interface StateFile {
  /** Its path, for who may remove it. */
  file: string;
  name: string;
  owner: number;
  text: string;
}

/** The files of a directory whose word counts, if the directory's does. */
function filesOf(path: string): StateFile[] {
  const directory = openDirectory(path);
  if (!directory) return [];
  try {
    const { fd, owner } = directory;
    if (owner !== ourselves() && owner !== 0 && !isRoot()) return [];
    const names = namesIn(`/proc/self/fd/${fd}`).filter((name) => name.endsWith('.json'));
    return names.slice(0, FILES_MAX).flatMap((name) => {
      const text = readOwned(`/proc/self/fd/${fd}/${name}`, owner);
      return text === undefined ? [] : [{ file: join(path, name), name, owner, text }];
    });
  } finally {
    closeSync(directory.fd);
  }
}

/** undefined: gone, not a file, too long, or somebody else's. */
function readOwned(path: string, owner: number): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, READ_SAFELY);
  } catch {
    return undefined;
  }
  try {
    const { uid, size } = fstatSync(fd);
    if (!fstatSync(fd).isFile() || uid !== owner || size > FILE_BYTES_MAX) return undefined;
    const bytes = Buffer.alloc(size);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}

/** All that this user may see. */
export const readableFiles = (): StateFile[] => readable().flatMap(filesOf);

/** Those that this user's starts have written. */
export const ownFiles = (): StateFile[] =>
  filesOf(stateDirectory()).filter(({ owner }) => owner === ourselves());

/** The caller locks and closes it. */
export function openLock(): number {
  const path = join(stateDirectory(), 'lock');
  const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);
  return fd;
}
