/**
 * Who serves what on this machine: one file per running instance in the state directory.
 *
 * - The file is written before anything is made, so that whatever ends an instance (`kill -9`
 *   included), the next start knows what to take away: the links of dead instances, and a dataplane
 *   that outlived its control plane.
 * - An address belongs to one live instance per network namespace: the file is named by both.
 * - Starts exclude each other with a lock on the directory from sweep to claim (`withLock`).
 * - Directory: IX_STATE_DIR, else the first that can be written of /run/ix, $XDG_RUNTIME_DIR/ix,
 *   <tmp>/ix-<uid>.
 *
 * Called by network.ts (claim, sweep) and stat.ts (list).
 */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { must, SYS, sys } from '../native/sys.ts';
import { UserError } from './errors.ts';
import { isAlive, networkNamespace } from './process.ts';

const ProcessName = v.object({ pid: v.number(), start: v.number() });

const Instance = v.object({
  control: ProcessName,
  dataplane: v.optional(ProcessName),
  /** Inode of the network namespace. */
  namespace: v.string(),
  address: v.string(),
  /** IPv6, if it has one. */
  address6: v.optional(v.string()),
  app: v.string(),
  ports: v.array(v.number()),
  nic: v.string(),
  /** Links this instance made, by name. */
  links: v.array(v.string()),
  /** Descriptor of the statistics memfd in the control process. */
  statisticsFd: v.number(),
  /** Names of the counters in it, in order: a reader of another version prints the right names. */
  counters: v.array(v.string()),
  threads: v.number(),
});
export type Instance = v.InferOutput<typeof Instance>;

const uid = process.getuid?.() ?? 0;

function candidates(): string[] {
  const fixed = process.env['IX_STATE_DIR'];
  if (fixed) return [fixed];
  const runtime = process.env['XDG_RUNTIME_DIR'];
  return ['/run/ix', ...(runtime ? [join(runtime, 'ix')] : []), join(tmpdir(), `ix-${uid}`)];
}

/** The directory that this user's instances are written to. */
export function stateDirectory(): string {
  for (const directory of candidates()) {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      accessSync(directory, constants.W_OK);
      // In a shared place like /tmp, somebody else may have made it first.
      if (lstatSync(directory).isDirectory() && lstatSync(directory).uid === uid) return directory;
    } catch {
      // The next candidate.
    }
  }
  throw new UserError(
    'IX_STATE_DIR',
    `no directory for state can be written (${candidates().join(', ')})`,
    'set IX_STATE_DIR to one that can',
  );
}

const fileOf = (directory: string, address: string, namespace: string): string =>
  join(directory, `${address}@${namespace}.json`);

/** Instances whose files can be read, dead ones included. */
function recorded(directory: string): { file: string; instance: Instance }[] {
  const found: { file: string; instance: Instance }[] = [];
  let names: string[] = [];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  } catch {
    // Nobody has run anything from there.
  }
  for (const name of names) {
    const file = join(directory, name);
    try {
      const parsed = v.safeParse(Instance, JSON.parse(readFileSync(file, 'utf8')));
      if (parsed.success) found.push({ file, instance: parsed.output });
    } catch {
      // Removed meanwhile, or not ours.
    }
  }
  return found;
}

/** Every live instance that this user may see. */
export function liveInstances(): Instance[] {
  return candidates()
    .flatMap(recorded)
    .map(({ instance }) => instance)
    .filter((instance) => isAlive(instance.control));
}

/** The live instance that has `address` in this network namespace. */
export function holderOf(address: string): Instance | undefined {
  const namespace = networkNamespace();
  return liveInstances().find((i) => i.address === address && i.namespace === namespace);
}

/** Writes (or rewrites) the file of an instance. */
export function record(instance: Instance): void {
  const file = fileOf(stateDirectory(), instance.address, instance.namespace);
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(instance));
  renameSync(`${file}.${process.pid}`, file);
}

export function forget(instance: Instance): void {
  rmSync(fileOf(stateDirectory(), instance.address, instance.namespace), { force: true });
}

/**
 * Takes away what dead instances left in this network namespace and forgets them. `removeLink` is
 * asked for every link that a dead one made and no live one has. Returns what was removed. Call
 * under `withLock`.
 */
export function sweep(removeLink: (name: string) => boolean): string[] {
  const namespace = networkNamespace();
  const all = recorded(stateDirectory());
  const dead = all.filter(({ instance }) => !isAlive(instance.control));
  const live = all.filter(
    (entry) => !dead.includes(entry) && entry.instance.namespace === namespace,
  );
  const kept = new Set(live.flatMap(({ instance }) => instance.links));
  const removed: string[] = [];
  for (const { file, instance } of dead) {
    // Links of another namespace cannot be seen from here; a start in there sweeps them.
    if (instance.namespace !== namespace && instance.links.length > 0) continue;
    const { dataplane } = instance;
    if (dataplane && isAlive(dataplane)) process.kill(dataplane.pid, 'SIGKILL');
    for (const name of instance.links) {
      if (!kept.has(name) && removeLink(name)) removed.push(name);
    }
    rmSync(file, { force: true });
  }
  return removed;
}

const F_OFD_SETLKW = 38;
const F_WRLCK = 1;

/**
 * Runs `work` while no other start does (man 2 fcntl, open file description locks: gone with the
 * process).
 */
export function withLock<T>(work: () => T): T {
  const fd = openSync(join(stateDirectory(), 'lock'), 'w');
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
