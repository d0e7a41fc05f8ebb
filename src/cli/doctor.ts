/**
 * `ix doctor`: what this machine has and lacks, and the command that fixes it.
 *
 * - A check is `needed` when `npm start` cannot do without it; the rest makes things faster or is
 *   for tests.
 * - Every check tries the thing itself where it can (opens an AF_XDP socket, a tun device), not a
 *   version number.
 * - Exit code 0 when nothing needed is missing, else 1.
 */
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { describeXdp } from '../control/link/xdp.ts';
import { interfaceXdp } from '../control/link/xdp-features.ts';
import { liveInstances, orphans } from '../control/record/instances.ts';
import { limitsFor, packetBytesOf } from '../limits.ts';
import {
  hasCapability,
  KERNEL_MIN,
  kernelIsOld,
  kernelVersion,
  mayLoadPrograms,
} from '../native/process.ts';
import { AF_XDP, SOCK_RAW_CLOEXEC, SYS, sys } from '../native/sys.ts';
import { printable } from '../printable.ts';
import { confinementChecks } from './doctor-confinement.ts';

export interface Check {
  name: string;
  ok: boolean;
  /** What was found. */
  found: string;
  needed: boolean;
  /** Command or step that would fix it; only when it is not ok. */
  remedy?: string;
}

const BPF_MAP_CREATE = 0;
const BPF_MAP_TYPE_ARRAY = 2;
/** What an AF_XDP socket locks, with the default limits. */
const MEMLOCK_BYTES = packetBytesOf(limitsFor());
const AS_ROOT = 'run as root, or: sudo npm start';

export async function doctor(options: { json?: boolean }): Promise<void> {
  const checks = examine();
  const ok = checks.every((check) => check.ok || !check.needed);
  if (options.json) console.log(JSON.stringify({ ok, checks }));
  else for (const check of checks) console.log(line(check));
  process.exitCode = ok ? 0 : 1;
}

function line({ name, ok, found, needed, remedy }: Check): string {
  const state = ok ? 'ok' : needed ? 'missing' : 'could be';
  return `${state.padEnd(9)} ${name}: ${found}${remedy === undefined ? '' : ` -> ${remedy}`}`;
}

export function examine(): Check[] {
  return [
    check('Node', true, process.version),
    compiler(),
    kernel(),
    ...capabilities(),
    afXdp(),
    bpf(),
    ...confinementChecks(check),
    tun(),
    memlock(),
    cores(),
    governor(),
    hugePages('dataplane memory', 'enabled', 'madvise'),
    hugePages('shared memory', 'shmem_enabled', 'advise'),
    ...interfaces(),
    ...services(),
    tool('nc', 'netcat-openbsd'),
    tool('memccapable', 'libmemcached-tools'),
    tool('memcached', 'memcached'),
  ];
}

function check(name: string, ok: boolean, found: string, remedy = '', needed = true): Check {
  return { name, ok, found, needed, ...(ok ? {} : { remedy }) };
}

function compiler(): Check {
  const found = [process.env['CC'], 'cc', 'gcc', 'clang'].find((name) => name && whereIs(name));
  const remedy =
    'apt-get install gcc libc6-dev (what is built is up to date: after the next change)';
  // Not needed: this runs, so what is compiled is there.
  return check('C compiler', found !== undefined, found ?? 'none', remedy, false);
}

function kernel(): Check {
  const found = `Linux ${kernelVersion().join('.')}`;
  const remedy = `Linux ${KERNEL_MIN.join('.')} or newer, or: bin/ix serve kv --nic tap`;
  return check('kernel', !kernelIsOld(), found, remedy);
}

function capabilities(): Check[] {
  const held: [string, boolean][] = [
    ['CAP_NET_ADMIN', hasCapability('CAP_NET_ADMIN')],
    ['CAP_NET_RAW', hasCapability('CAP_NET_RAW')],
    ['CAP_BPF', mayLoadPrograms()],
  ];
  return held.map(([name, has]) => check(name, has, has ? 'held' : 'not held', AS_ROOT));
}

const found = (result: number): string => (result >= 0 ? 'works' : `errno ${-result}`);

/** Tries a call that returns a descriptor, and closes it again. */
function tried(result: number): number {
  if (result >= 0) sys.syscall(SYS.close, result);
  return result;
}

function afXdp(): Check {
  const result = tried(sys.syscall(SYS.socket, AF_XDP, SOCK_RAW_CLOEXEC, 0));
  const remedy = hasCapability('CAP_NET_RAW')
    ? 'a kernel with CONFIG_XDP_SOCKETS, or: bin/ix serve kv --nic tap'
    : AS_ROOT;
  return check('AF_XDP socket', result >= 0, found(result), remedy);
}

function bpf(): Check {
  const attributes = new Int32Array(32);
  attributes.set([BPF_MAP_TYPE_ARRAY, 4, 4, 1]); // type, key bytes, value bytes, entries
  const result = tried(sys.syscall(SYS.bpf, BPF_MAP_CREATE, attributes, 72));
  const remedy = mayLoadPrograms() ? 'a kernel with CONFIG_BPF_SYSCALL' : AS_ROOT;
  return check('BPF', result >= 0, found(result), remedy);
}

function tun(): Check {
  try {
    closeSync(openSync('/dev/net/tun', constants.O_RDWR));
    return check('tun device', true, '/dev/net/tun', '', false);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'cannot be opened';
    const command = code === 'EACCES' ? 'chmod 666 /dev/net/tun' : 'modprobe tun';
    return check('tun device', false, code, `${command} (for --nic tap)`, false);
  }
}

function memlock(): Check {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? '0';
  const ok = soft === 'unlimited' || Number(soft) >= MEMLOCK_BYTES || hasCapability('CAP_IPC_LOCK');
  const needed = `${MEMLOCK_BYTES / 2 ** 20} MiB for packets, or: ulimit -l unlimited`;
  return check('locked memory', ok, `limit ${soft}`, needed);
}

function cores(): Check {
  const count = availableParallelism();
  const remedy = 'two cores: one for the dataplane, one for its clients';
  return check('cores', count >= 2, `${count}`, remedy, false);
}

/** How frames would get to a service on each of them. */
const interfaces = (): Check[] =>
  interfaceXdp().map(({ name, found }) => check(`interface ${name}`, true, found, '', false));

const service = (name: string, found: string): Check => check(name, true, found, '', false);

/** How they get to those that run. */
const services = (): Check[] =>
  [...liveInstances(), ...orphans()].flatMap(({ app, address, nic, xdp }) =>
    xdp
      ? [service(`${printable(app)} at ${address}`, `${printable(nic)}: ${describeXdp(xdp)}`)]
      : [],
  );

/** What a file of the kernel says; undefined: it has no such file. */
function setting(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}

function governor(): Check {
  const name = setting('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor');
  if (name === undefined) {
    return check('frequency governor', true, 'none (virtual machine, or fixed)', '', false);
  }
  const remedy = 'echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor';
  return check('frequency governor', name === 'performance', name, remedy, false);
}

/** Of the kernel's choices in such a file one is in brackets. */
function hugePages(what: string, file: string, wanted: string): Check {
  const path = `/sys/kernel/mm/transparent_hugepage/${file}`;
  const chosen = /\[(\w+)\]/.exec(setting(path) ?? '')?.[1] ?? 'not in this kernel';
  const ok = [wanted, 'always', 'within_size', 'force'].includes(chosen);
  return check(`huge pages for ${what}`, ok, chosen, `echo ${wanted} > ${path}`, false);
}

function tool(name: string, debianPackage: string): Check {
  const path = whereIs(name);
  const remedy = `apt-get install ${debianPackage}`;
  return check(name, path !== undefined, path ?? 'not found', remedy, false);
}

export function whereIs(name: string): string | undefined {
  const directories = (process.env['PATH'] ?? '').split(delimiter);
  const paths = name.includes('/') ? [name] : directories.map((directory) => join(directory, name));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
