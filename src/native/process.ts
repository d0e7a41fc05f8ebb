/**
 * Facts about processes and this machine, from /proc.
 *
 * - A process is named by pid, start time and what it runs, so that a reused pid is not taken for
 *   the one that was meant. `isProcess` is asked before anybody is signalled or taken from.
 */
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { release } from 'node:os';

export interface ProcessName {
  pid: number;
  /** Clock ticks from boot to its start: field 22 of /proc/pid/stat. */
  start: number;
  /**
   * What it runs: device and inode of its program. A confined child cannot change it; its command
   * line it can. '': not ours to see.
   */
  program: string;
}

/** Who `pid` is now; undefined when there is nobody, or only the exit code is left. */
export function processName(pid: number): ProcessName | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field, the command in brackets, may hold spaces and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    if (state === 'Z' || state === 'X') return undefined;
    return { pid, start: Number(fields[19]), program: programOf(pid) };
  } catch {
    return undefined;
  }
}

function programOf(pid: number): string {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/exe`);
    return `${dev}:${ino}`;
  } catch {
    return '';
  }
}

export function isAlive({ pid, start }: Pick<ProcessName, 'pid' | 'start'>): boolean {
  return processName(pid)?.start === start;
}

/** The user of a process, if it is one and the same in every respect. */
function userOf(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const users = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status)?.slice(1) ?? [];
    return new Set(users).size === 1 ? Number(users[0]) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * It lives, is one of `users`, and runs what it ran. Where we may not see what it runs: false,
 * unless that `mayBeHidden`, which is enough to be shown but not to be signalled.
 */
export function isProcess(
  process: ProcessName,
  users: readonly number[],
  mayBeHidden = false,
): boolean {
  const { pid, start, program } = process;
  const now = processName(pid);
  if (now?.start !== start || !users.includes(userOf(pid) ?? -1)) return false;
  return now.program === '' ? mayBeHidden : now.program === program;
}

/** How many user or group numbers, from 0 on, this user namespace has. */
export function mappedUsers(file: 'uid_map' | 'gid_map'): number {
  const lines = readFileSync(`/proc/self/${file}`, 'latin1').trim().split('\n');
  const [inside = 1, , count = 0] = (lines[0] ?? '').trim().split(/\s+/).map(Number);
  return inside === 0 ? count : 0;
}

const ALL_USERS = 2 ** 32 - 1;

/** Not of a user namespace only. */
export const hasAllUsers = (): boolean => mappedUsers('uid_map') === ALL_USERS;

/** Identity of the network namespace that this process works in. */
export const networkNamespace = (): string => readlinkSync('/proc/self/ns/net').replace(/\D/g, '');

/** linux/capability.h */
const CAPABILITIES = {
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
} as const;
export type Capability = keyof typeof CAPABILITIES;

export function hasCapability(name: Capability): boolean {
  const status = readFileSync('/proc/self/status', 'latin1');
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
}

/** Loading a program needs CAP_BPF, or what there was before it. */
export const mayLoadPrograms = (): boolean =>
  hasCapability('CAP_BPF') || hasCapability('CAP_SYS_ADMIN');

/** [major, minor] of the kernel. */
export function kernelVersion(): [number, number] {
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  return [major, minor];
}

/** The oldest kernel that AF_XDP is used on: XSKMAP with bpf_link, and what the drivers rely on. */
export const KERNEL_MIN: readonly [number, number] = [5, 11];

export function kernelIsOld([major, minor] = kernelVersion()): boolean {
  return major < KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor < KERNEL_MIN[1]);
}
