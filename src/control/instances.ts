/**
 * Who serves what on this machine: one file per running instance in the state directory.
 *
 * - The file is written before anything is made, so that whatever ends an instance (`kill -9`
 *   included), the next start knows what to take away (sweep.ts).
 * - An instance whose control plane has died while its dataplane goes on is an *orphan*: it serves, keeps
 *   its address and its links, and can be adopted (adopt.ts); its file says what an adopter needs
 *   (`Estate`). One that did not serve yet is no orphan: it cannot, and is swept.
 * - An address belongs to one live instance per network namespace: the file is named by both.
 * - Starts exclude each other with a lock on the directory from sweep to claim (`withLock`).
 * - Directory: IX_STATE_DIR, else the first that can be written of /run/ix, $XDG_RUNTIME_DIR/ix,
 *   <tmp>/ix-<uid>.
 *
 * Called by network.ts (claim), holdings.ts (record), stat.ts and stop.ts (list).
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
import { Ipv6Config, Layout } from '../dataplane/config.ts';
import { must, SYS, sys } from '../native/sys.ts';
import { Confined } from './confine.ts';
import { Held } from './descriptors.ts';
import { UserError } from './errors.ts';
import { isAlive, type ProcessName as Name, networkNamespace } from './process.ts';

export const LINK_STATES = ['up', 'no carrier', 'down', 'gone'] as const;
export type LinkState = (typeof LINK_STATES)[number];

const ProcessName = v.object({ pid: v.number(), start: v.number() });

/** A dataplane or an application, with what is needed to adopt it. */
const ChildRecord = v.object({
  ...ProcessName.entries,
  /** The control plane's end of its channel, as it holds it. */
  channel: Held,
  confined: v.optional(Confined),
});
export type ChildRecord = v.InferOutput<typeof ChildRecord>;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const SharedHeld = v.object({
  receivePool: Held,
  events: Held,
  calls: Held,
  memory: Held,
  wake: Held,
  bell: Held,
  theirWake: Held,
  theirBell: Held,
});

/** What the dataplane of a lasting service holds for an adopter, and what else one has to know. */
const Estate = v.object({
  /** What was asked for: who asks for the same adopts it (adopt.ts). */
  wish: v.string(),
  network: v.object({
    kind: v.picklist(['link', 'tap']),
    linkKind: v.string(),
    ifname: v.string(),
    ifindex: count,
    mac: v.array(count),
    mtu: count,
    gateway: v.number(),
    hostName: v.optional(v.string()),
    hostIndex: v.optional(count),
    ipv6: v.optional(Ipv6Config),
  }),
  statistics: Held,
  /** tap: the device. */
  device: v.optional(Held),
  xdp: v.optional(
    v.object({
      mode: v.picklist(['native', 'generic']),
      fallback: v.string(),
      map: Held,
      link: Held,
    }),
  ),
  /** Domain process: one a thread. */
  shared: v.optional(v.array(SharedHeld)),
  /** What it said when its drivers were bound. */
  layouts: v.array(Layout),
  flows: count,
  driver: v.string(),
});
export type Estate = v.InferOutput<typeof Estate>;

const Instance = v.object({
  control: ProcessName,
  dataplane: v.optional(ChildRecord),
  application: v.optional(ChildRecord),
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
  /** The interface that its dataplane drives, and what its links were when that was last known. */
  link: v.optional(
    v.object({ name: v.string(), indexes: v.array(count), state: v.picklist(LINK_STATES) }),
  ),
  /** Descriptor of the statistics memfd in the control process. */
  statisticsFd: v.number(),
  /** Names of the counters in it, in order: a reader of another version prints the right names. */
  counters: v.array(v.string()),
  threads: v.number(),
  /** Lasting services, while they serve. */
  estate: v.optional(Estate),
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
function recorded(directory: string): Recorded[] {
  const found: Recorded[] = [];
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

export interface Recorded {
  file: string;
  instance: Instance;
}

/** All that this user may see, dead ones included. */
export const allInstances = (): Recorded[] => candidates().flatMap(recorded);

/** Those that this user's next start would find, and sweep. */
export const ownInstances = (): Recorded[] => recorded(stateDirectory());

const isAliveIf = (process: Name | undefined): boolean => process !== undefined && isAlive(process);

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

/** The instance, orphans included, that has `address` in this network namespace. */
export function holderOf(address: string): Instance | undefined {
  const namespace = networkNamespace();
  const holders = [...liveInstances(), ...orphans()];
  return holders.find((i) => i.address === address && i.namespace === namespace);
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
